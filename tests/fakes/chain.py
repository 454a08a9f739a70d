"""A chain in memory, as slow, forgetful and untruthful as its user wants it.

It knows what a payment needs of a chain and nothing else: blocks that are open, confirmed, final;
bytes that can land until a height; heights that fall back when blocks are abandoned. Everything
that goes wrong is a value (`Manners`) chosen for each call, so a run depends on its choices alone.
`tests/contract` holds it and the real client to the same contract.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from solders.pubkey import Pubkey
from solders.signature import Signature

from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType, TransactionType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.money import NATIVE
from waiaas.domain.rent import TOKEN_ACCOUNT_RENT, paid_accounts
from waiaas.domain.request import Approve, ContractCall, Request, parts_of
from waiaas.ports import (
    ChainUnavailable,
    HistoryPage,
    Landed,
    Movement,
    Payload,
    ProvablyExpired,
    Sighting,
    SignedTransaction,
    SimulationRefused,
    Unseen,
)

LOCALNET: Final = Network(ChainType.SOLANA, NetworkType.LOCALNET)
"""The network that it plays."""

LIFE_BLOCKS: Final = 150
"""Bytes can land in this many blocks after the one they name."""

LIFE_BLOCKS_MIN: Final = 100
"""With fewer left nothing is built: the node lags."""

FINAL_BLOCKS: Final = 32
"""A block is final once so many are behind it."""

PAGE: Final = 3
"""Transactions on one page of an address's history."""

FEE: Final = 5001
AMOUNT_MAX: Final = 2**64 - 1
TOKEN_DECIMALS: Final = 6
SIGNATURE_BYTES: Final = 64
APPROVE: Final = TransactionType.APPROVE.value
RENT: Final = TOKEN_ACCOUNT_RENT[ChainType.SOLANA]


@dataclass(frozen=True, slots=True)
class Manners:
    """How one call is treated."""

    reaches: bool = True
    """Whether the request arrives."""
    answers: bool = True
    """Whether the answer does; without one the caller knows nothing."""
    takes: bool = True
    """Whether a node that was handed bytes says that it took them."""
    drops: bool = False
    """What was sent is forgotten."""
    delay_blocks: int = 0
    """What was sent lands so many blocks later, if it still can."""
    lag_blocks: int = 0
    """The answer is from so many blocks ago."""
    denies: bool = False
    """The node says that it has never seen the transaction."""


HONEST: Final = Manners()


class Deed(NamedTuple):
    """One thing that a transaction does."""

    kind: str
    """The type of request that asks for it."""
    to_address: str
    """Who gets it, or of an APPROVE, who may take it."""
    asset: str
    base_units: int


class Paid(NamedTuple):
    """What a transaction does: all of its deeds or none."""

    from_address: str
    deeds: tuple[Deed, ...]

    def leaving(self) -> Counter[str]:
        """Return how much of each asset leaves; an approval moves nothing by itself."""
        leaving: Counter[str] = Counter()
        for deed in self.deeds:
            if deed.kind != APPROVE and deed.base_units:
                leaving[deed.asset] += deed.base_units
        return leaving


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a transaction landed, and whether the money moved."""

    height: int
    raw: bytes
    paid: Paid
    error: str | None
    made: tuple[tuple[str, str], ...] = ()
    """Accounts for tokens that were missing and that the payer paid for: wallet and token."""


async def _go_on(_call: str) -> None:
    """Nobody waits."""


class FakeChain:
    """`waiaas.ports.Chain`, with the truth beside what its callers are told.

    Args:
        manners: asked once for each call, by its name.
        pause: awaited where a call takes time: before the node does anything, and behind it.
        perjures: whether a denial is upheld where it is taken for proof. One node alone can do
            that to whoever asks nobody else; without it a denial is only ever *not seen (yet)*.
    """

    def __init__(
        self,
        *,
        manners: Callable[[str], Manners] = lambda _call: HONEST,
        pause: Callable[[str], Awaitable[None]] = _go_on,
        perjures: bool = False,
    ) -> None:
        self.manners = manners
        self.pause = pause
        self.tip = 1000
        """The height of the block that is still open."""
        self.final = self.tip - FINAL_BLOCKS
        """The height of the newest final block; never falls."""
        self.landed: dict[str, Trace] = {}
        """By hash, what is on the chain as it is now."""
        self.undone: set[str] = set()
        """Hashes of what was confirmed in a block that was abandoned all the same."""
        self.time_s: int | None = None
        """When the newest final block was made, if the network keeps time."""
        self._perjures = perjures
        self._funds: Counter[tuple[str, str]] = Counter()
        """By address and asset."""
        self._tokens: set[str] = set()
        self._closed: list[tuple[int, tuple[str, str]]] = []
        """Accounts for tokens that were there and are gone: behind which block, wallet, token."""
        self._under_way: list[tuple[int, bytes]] = []

    # ── waiaas.ports.Chain ─────────────────────────────────────────────────────────────────────

    async def balance(self, address: str) -> int:
        await self._meet("balance")
        return self._balance(address, NATIVE, height_max=self.tip - 1)

    def require_possible(self, request: Request, *, from_address: str) -> None:
        del from_address
        if any(isinstance(part, ContractCall) for part in parts_of(request)):
            raise Refusal(ErrorCode.VALIDATION_FAILED, "this chain has no contracts")

    async def token_decimals(self, token_address: str) -> int:
        await self._meet("token decimals")
        if token_address not in self._tokens:
            raise Refusal(ErrorCode.INVALID_ADDRESS, f"the chain has no token {token_address}")
        return TOKEN_DECIMALS

    async def build(
        self, request: Request, *, from_address: str, unit_price: int
    ) -> Payload | SimulationRefused:
        paid = paid_by(request, from_address)
        manners = await self._meet("build")
        unknown = {deed.asset for deed in paid.deeds} - self._tokens - {NATIVE}
        if unknown:
            return SimulationRefused(f"the chain has no token {min(unknown)}")
        for deed in paid.deeds:
            if deed.base_units > AMOUNT_MAX:
                if deed.asset == NATIVE:
                    return SimulationRefused(f"a payment moves 1 to {AMOUNT_MAX} lamports")
                return SimulationRefused(f"of a token, at most {AMOUNT_MAX} are moved or allowed")
        height = self.tip - 1 - manners.lag_blocks
        if height + LIFE_BLOCKS - self.tip + 1 < LIFE_BLOCKS_MIN:
            raise ChainUnavailable("the node lags too far behind to build on")
        makes = self._not_there(paid, height_max=height)
        error = self._missing(paid, makes=makes, height_max=height)
        if error is not None:
            return SimulationRefused(error)
        message = _message(paid, makes=makes, unit_price=unit_price, height=height)
        rent = len(makes) * RENT
        return Payload(message, unit_price, height + LIFE_BLOCKS, rent)

    def check(self, message: bytes, request: Request, *, from_address: str, rent: int) -> None:
        if _paid(message) != paid_by(request, from_address):
            raise ValueError("the message is not what was asked for")
        makes = _makes(message)
        asked = {(each.wallet, each.token_address) for each in paid_accounts(parts_of(request))}
        if len(set(makes)) != len(makes) or not asked.issuperset(makes):
            raise ValueError("the message makes accounts that were not asked for")
        if len(makes) * RENT > rent:
            raise ValueError("the message makes more accounts than rent is set aside for")

    def assemble(self, message: bytes, *, signature: bytes, from_address: str) -> SignedTransaction:
        if _paid(message).from_address != from_address:
            raise ValueError("the message does not pay from this address")
        try:
            VerifyKey(bytes(Pubkey.from_string(from_address))).verify(message, signature)
        except BadSignatureError as error:
            raise ValueError("the signature is not of this message and address") from error
        raw = signature + message
        return SignedTransaction(raw, _hash(raw))

    async def send(self, raw: bytes) -> bool:
        manners = self.manners("send")
        await self.pause("send")
        if manners.reaches and not manners.drops:
            self._take(raw, height=self.tip + manners.delay_blocks)
        await self.pause("sent")
        self._require_answer(manners)
        return manners.takes

    async def look_up(self, tx_hash: str, *, last_valid_block_height: int) -> Sighting:
        """Ask first whether the time is over, and then for a trace, as the real client does."""
        manners = await self._meet("look up")
        end = max(self.final - manners.lag_blocks, 0)
        is_over = end > last_valid_block_height
        await self.pause("looked up")
        view = self.tip - manners.lag_blocks
        trace = self.landed.get(tx_hash)
        if trace is not None and not manners.denies and trace.height < view:
            if trace.error is None:
                return Landed(None)
            return Landed(trace.error) if trace.height <= view - FINAL_BLOCKS else Unseen()
        if not is_over or view <= end or (manners.denies and trace and not self._perjures):
            return Unseen()
        return ProvablyExpired()

    async def chain_time(self) -> int:
        await self._meet("chain_time")
        if self.time_s is None:
            raise ChainUnavailable("this network keeps no time")
        return self.time_s

    async def horizon(self) -> int:
        await self._meet("horizon")
        return self.tip + LIFE_BLOCKS

    async def history(self, address: str, *, before: str | None) -> HistoryPage:
        """Give three at a time, so that everybody has to turn pages."""
        manners = await self._meet("history")
        height = max(self.final - manners.lag_blocks, 0)
        seen = [
            tx_hash
            for tx_hash, trace in reversed(self.landed.items())
            if trace.height <= height
            and trace.error is None
            and address
            in {trace.paid.from_address, *(deed.to_address for deed in trace.paid.deeds)}
            and not manners.denies
        ]
        page = seen[seen.index(before) + 1 if before in seen else 0 :][:PAGE]
        return HistoryPage(tuple(page), page[-1] if page else None, height)

    async def movement(self, tx_hash: str, *, address: str) -> Movement | None:
        await self._meet("movement")
        trace = self.landed[tx_hash]
        leaving = trace.paid.leaving() + Counter({NATIVE: len(trace.made) * RENT})
        if trace.paid.from_address != address or not leaving:
            return None
        return Movement(tx_hash, dict(leaving), None)

    # ── the world behind it ────────────────────────────────────────────────────────────────────

    def fund(self, address: str, *, base_units: int, asset: str = NATIVE) -> None:
        """Credit *address*, finally; a token that did not exist does so from now on."""
        self._funds[address, asset] += base_units
        self._tokens |= {asset} - {NATIVE}

    def close_account(self, address: str, token: str) -> bool:
        """Let *address* close its account for a token and keep the rent, if there is one."""
        behind = self.tip - 1
        is_there = self._is_there((address, token), height_max=behind)
        if is_there:
            self._closed.append((behind, (address, token)))
        return is_there

    def left(self, address: str) -> int:
        """Return how much of its own asset has left *address* with payments, by its balance."""
        funded = self._funds[address, NATIVE]
        fees = FEE * sum(each.paid.from_address == address for each in self.landed.values())
        return funded - fees - self._balance(address, NATIVE, height_max=self.tip)

    def pass_blocks(self, blocks: int) -> None:
        """Close the open block, and so on."""
        for _ in range(blocks):
            self.tip += 1
            self.final = max(self.final, self.tip - FINAL_BLOCKS)
            if self._under_way:
                due = [raw for height, raw in self._under_way if height <= self.tip]
                self._under_way = [each for each in self._under_way if each[0] > self.tip]
                for raw in due:
                    self._include(raw)

    def abandon_blocks(self, blocks: int, *, forgets: bool) -> None:
        """Go back by so many blocks that are not final; what was in them may land anew.

        Args:
            blocks: how many; final ones stay.
            forgets: whether what was in them is lost, until somebody sends it again.
        """
        blocks = min(blocks, self.tip - self.final - 1)
        for tx_hash, trace in list(self.landed.items()):
            if blocks and self.tip - blocks <= trace.height < self.tip:
                self.undone.add(tx_hash)  # or its block is open again
            if trace.height > self.tip - blocks:
                del self.landed[tx_hash]
                if not forgets:
                    self._under_way.append((self.tip - blocks + 1, trace.raw))
        self.tip -= blocks
        self._closed = [each for each in self._closed if each[0] < self.tip]

    def paid(self, message: bytes) -> Paid:
        """Return what a message would do."""
        return _paid(message)

    def effects(self) -> Counter[Paid]:
        """Return how often each payment was made, whatever anybody was told."""
        return Counter(trace.paid for trace in self.landed.values() if trace.error is None)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    async def _meet(self, call: str) -> Manners:
        manners = self.manners(call)
        await self.pause(call)
        if not manners.reaches:
            manners = replace(manners, answers=False)
        self._require_answer(manners)
        return manners

    def _require_answer(self, manners: Manners) -> None:
        if not (manners.answers and manners.reaches):
            raise ChainUnavailable("the node did not answer")

    def _take(self, raw: bytes, *, height: int) -> None:
        if height <= self.tip:
            self._include(raw)
        else:
            self._under_way.append((height, raw))

    def _include(self, raw: bytes) -> None:
        """Put a transaction into the open block, if it is not on the chain and still can be."""
        tx_hash, message = _hash(raw), raw[SIGNATURE_BYTES:]
        named = json.loads(message)["height"]
        if tx_hash in self.landed or not named < self.tip <= named + LIFE_BLOCKS:
            return
        paid, not_there = _paid(message), self._not_there(_paid(message), height_max=self.tip)
        makes = tuple(each for each in _makes(message) if each in not_there)
        error = self._missing(paid, makes=makes, height_max=self.tip)
        if error is None and makes != not_there:
            error = "a recipient has no account for the token"
        self.landed[tx_hash] = Trace(self.tip, raw, paid, error, () if error else makes)

    def _missing(
        self, paid: Paid, *, makes: tuple[tuple[str, str], ...], height_max: int
    ) -> str | None:
        """Say what the payer would need more of than he has; None: of nothing."""
        native = Counter({NATIVE: FEE + len(makes) * RENT})
        for asset, base_units in (native + paid.leaving()).items():
            if self._balance(paid.from_address, asset, height_max=height_max) < base_units:
                if asset == NATIVE:
                    return "the paying wallet holds less than the amount and the fee"
                return "the paying wallet holds less of the token than the amount"
        return None

    def _not_there(self, paid: Paid, *, height_max: int) -> tuple[tuple[str, str], ...]:
        """Return the accounts for tokens that are paid to and missing, each once."""
        accounts = dict.fromkeys(
            (deed.to_address, deed.asset)
            for deed in paid.deeds
            if deed.kind != APPROVE and deed.asset != NATIVE
        )
        return tuple(each for each in accounts if not self._is_there(each, height_max=height_max))

    def _is_there(self, account: tuple[str, str], *, height_max: int) -> bool:
        """Tell whether somebody has an account for a token: given at the beginning, or made."""
        made = [-1] if account in self._funds else []
        made += [
            trace.height
            for trace in self.landed.values()
            if account in trace.made and trace.height <= height_max
        ]
        closed = [at for at, each in self._closed if each == account and at <= height_max]
        return bool(made) and max(made) > max(closed, default=-2)

    def _balance(self, address: str, asset: str, *, height_max: int) -> int:
        balance = self._funds[address, asset]
        for trace in self.landed.values():
            if trace.height <= height_max:
                if asset == NATIVE and trace.paid.from_address == address:
                    balance -= FEE + RENT * len(trace.made)
                for deed in trace.paid.deeds if trace.error is None else ():
                    if deed.asset == asset and deed.kind != APPROVE:
                        balance += deed.base_units * (deed.to_address == address)
                        balance -= deed.base_units * (trace.paid.from_address == address)
        return balance


def paid_by(request: Request, from_address: str) -> Paid:
    """Return what the chain does if it does what is asked for."""
    deeds = list[Deed]()
    for part in parts_of(request):
        if isinstance(part, Approve):
            deed = Deed(part.type, part.spender_address, part.token_address, part.base_units)
        elif isinstance(part, ContractCall):
            deed = Deed(part.type, part.contract_address, NATIVE, part.base_units)
        else:
            deed = Deed(part.type, part.to_address, part.asset, part.base_units)
        deeds.append(deed)
    return Paid(from_address, tuple(deeds))


def _message(
    paid: Paid, *, makes: tuple[tuple[str, str], ...], unit_price: int, height: int
) -> bytes:
    fields = {"paid": [*paid], "makes": makes, "unit_price": unit_price, "height": height}
    return json.dumps(fields).encode("ascii")


def _paid(message: bytes) -> Paid:
    from_address, deeds = json.loads(message)["paid"]
    return Paid(from_address, tuple(Deed(*deed) for deed in deeds))


def _makes(message: bytes) -> tuple[tuple[str, str], ...]:
    """Return the accounts for tokens that a message makes where they are missing."""
    return tuple((wallet, token) for wallet, token in json.loads(message)["makes"])


def _hash(raw: bytes) -> str:
    return str(Signature.from_bytes(raw[:SIGNATURE_BYTES]))
