"""Ways to do it wrong, each of which the simulation must notice.

They are put in at the ports, from outside: the product has no switch for them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.fakes.chain import SIGNATURE_BYTES, FakeChain
from tests.fakes.clock import FakeClock
from tests.fakes.signer import FakeSigner

from waiaas.domain.ids import AgentId
from waiaas.ports import (
    ChainUnavailable,
    LedgerTransaction,
    ProvablyExpired,
    Sighting,
    Unseen,
)

IMPATIENCE_S: Final = 10


class SigningAgain(FakeChain):
    """A time-out is taken for a failure: the payment is built, signed and sent once more."""

    signer: FakeSigner
    agents: dict[str, AgentId]
    """By address."""

    async def send(self, raw: bytes) -> bool:
        try:
            return await super().send(raw)
        except ChainUnavailable:
            fields = json.loads(raw[SIGNATURE_BYTES:])
            again = json.dumps({**fields, "unit_price": 999, "height": self.tip - 1}).encode()
            signature = self.signer.sign(self.agents[self.paid(again).from_address], again)
            return await super().send(signature + again)


class Impatient(FakeChain):
    """What was not seen for ten seconds is called expired."""

    clock: FakeClock

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._asked_at: dict[str, int] = {}

    async def look_up(self, tx_hash: str, *, last_valid_block_height: int) -> Sighting:
        sighting = await super().look_up(tx_hash, last_valid_block_height=last_valid_block_height)
        first = self._asked_at.setdefault(tx_hash, self.clock.now_s())
        if isinstance(sighting, Unseen) and self.clock.now_s() > first + IMPATIENCE_S:
            return ProvablyExpired()
        return sighting


class Unfinalized(FakeChain):
    """The newest height is believed, though what is asked next may be a node that lags."""

    async def look_up(self, tx_hash: str, *, last_valid_block_height: int) -> Sighting:
        is_over = self.tip > last_valid_block_height
        sighting = await super().look_up(tx_hash, last_valid_block_height=last_valid_block_height)
        return ProvablyExpired() if is_over and isinstance(sighting, Unseen) else sighting


class _Nothing:
    """Reservations of which none is held."""

    def __init__(self, reservations: Any) -> None:
        self._reservations = reservations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reservations, name)

    def held(self, *_: object, **__: object) -> list[Any]:
        return []


class _Unreserved:
    def __init__(self, tx: LedgerTransaction) -> None:
        self._tx = tx
        self.reservations = _Nothing(tx.reservations)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


def unreserved(tx: LedgerTransaction) -> Any:
    """Show a ledger in which money in flight does not count."""
    return _Unreserved(tx)


def as_it_is(tx: LedgerTransaction) -> LedgerTransaction:
    return tx


@dataclass(frozen=True)
class Variant:
    """What is simulated; everything right, unless said otherwise."""

    chain: type[FakeChain] = FakeChain
    seen_as: Callable[[LedgerTransaction], LedgerTransaction] = as_it_is
    marks_restored: bool = True
    keeps_commits: bool = True
    """Whether a kill leaves what the operating system was given."""
    perjures: bool = False


RIGHT: Final = Variant()
