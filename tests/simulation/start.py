"""What a world begins with: two agents, their rules, what they may ask for; a ledger's files."""

import json
import random  # noqa: TID251 -- reproducible cases, not secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from nacl.signing import SigningKey
from tests.fakes.agents import Rules, insert_agent
from tests.fakes.chain import RENT
from tests.fakes.clock import NOW_S
from tests.fakes.signer import FakeSigner

from waiaas.database import open_ledger
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import PolicyType
from waiaas.domain.ids import AgentId, PolicyId
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import (
    Approve,
    Batch,
    ContractCall,
    Part,
    Request,
    TokenTransfer,
    Transfer,
)
from waiaas.ports import LedgerTransaction

AMOUNTS: Final = (41, 60, 61, 99, 100, 101, 101, 250, 2**64, 2**256 - 1)
AMOUNTS_SMALL: Final = (1, 10, 20, 39, 40)
"""What goes out at once under most limits."""


def _key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


def _address(key: SigningKey) -> str:
    return solana_address(bytes(key.verify_key))


RECIPIENTS: Final = [_address(_key(n + 1)) for n in range(60)]
TOKEN: Final = _address(_key(100))
CONTRACT: Final = _address(_key(101))
OWNERS: Final[Mapping[str, SigningKey]] = {_address(_key(n)): _key(n) for n in (200, 201)}
"""People with wallets; the first is the owner most often, and a wrong key is the other's."""

TIERS: Final = {
    "asset": "native",
    "instant_max": "40",
    "notify_max": "60",
    "delay_max": "100",
    "delay_seconds": 60,
    "approval_timeout": 900,
}
TOKEN_TIERS: Final = {**TIERS, "asset": TOKEN}
POLICIES: Final[tuple[tuple[Rules, ...], ...]] = (
    ({**TIERS, "hourly_max": "200", "daily_max": "300"}, {**TOKEN_TIERS, "daily_max": "200"}),
    (
        {**TIERS, "weekly_max": "500"},
        {"asset": "native", "instant_max": "100", "hourly_max": "160"},
        {**TOKEN_TIERS, "hourly_max": "150", "monthly_max": "300"},
    ),
    (
        {"asset": "native", "instant_max": "100", "monthly_max": "400"},
        {"asset": TOKEN, "instant_max": "100", "weekly_max": "200"},
        {**TOKEN_TIERS},
    ),
    ({**TIERS, "per_transaction_max": "250", "daily_max": "350"}, TOKEN_TIERS),
    ({"asset": "native", "instant_max": str(2**256 - 1)},),
    (
        {"asset": "native", "instant_max": "100", "hourly_max": "120"},
        {"asset": TOKEN, "instant_max": "100", "daily_max": "120"},
    ),
    (
        {"asset": "native", "instant_max": str(2 * RENT), "hourly_max": str(5 * RENT)},
        {"asset": TOKEN, "instant_max": "1000"},
    ),
    ({**TIERS, "monthly_max": "200"}, TOKEN_TIERS),
)
"""Sets of limits; the first agent has one of them, the second another. Only the last but one has
room for the rent of recipients' accounts."""

GRANTS: Final[Mapping[PolicyType, Rules]] = {
    PolicyType.APPROVED_SPENDERS: {"spenders": RECIPIENTS[:1]},
    PolicyType.CONTRACT_WHITELIST: {"contracts": [CONTRACT], "tier": "INSTANT"},
}
"""What both may do besides."""

AGENTS: Final = (AgentId("00000000-0000-7000-8000-00000000000a"),
                 AgentId("00000000-0000-7000-8000-00000000000b"))  # fmt: skip


def make_id(number: int) -> str:
    """Return a UUID v7 that sorts as *number* does."""
    return f"00000000-0001-7000-8000-{number:012x}"


def make_template(folder: Path, policies: tuple[int, int]) -> None:
    """Make the ledger that a world with these policies begins with."""
    signer, numbers = FakeSigner(), count(1)
    with open_ledger(folder) as ledger:

        def unit(tx: LedgerTransaction) -> None:
            for agent_id, policy in zip(AGENTS, policies, strict=True):
                insert_agent(
                    tx,
                    agent_id,
                    address=signer.generate(agent_id),
                    limits=POLICIES[policy],
                    generate_id=lambda: make_id(next(numbers)),
                )
                for kind, rules in GRANTS.items():
                    number, text = PolicyId(make_id(next(numbers))), json.dumps(rules)
                    tx.policies.insert(
                        PolicyRecord(number, agent_id, kind, text, 0, 1, NOW_S, NOW_S)
                    )

        ledger.write(unit)


def draw_request(
    source: random.Random, number: int, *, amounts: Sequence[int], in_tokens: bool
) -> Request:
    """Draw what is asked for, after *number* requests before it."""
    to = RECIPIENTS[(2 * number + 1 if in_tokens else number) % len(RECIPIENTS)]
    amount = source.choice(amounts)
    kind = source.random()
    if kind < 1 / 2 and not in_tokens:
        return Transfer(to, amount)
    if kind < 2 / 3:
        return TokenTransfer(TOKEN, to, amount)
    if kind < 0.72:
        return Approve(TOKEN, RECIPIENTS[0], number)
    if kind < 0.77:
        selector = bytes([source.choice([1, 1, 2])])
        return ContractCall(CONTRACT, selector, source.choice([0, *AMOUNTS_SMALL]))
    return Batch(tuple(_draw_part(source, to) for _ in range(source.randint(2, 3))))


def _draw_part(source: random.Random, to: str) -> Part:
    amount = source.choice(AMOUNTS_SMALL)
    is_token = source.random() < 1 / 2
    return TokenTransfer(TOKEN, to, amount) if is_token else Transfer(to, amount)


@dataclass(frozen=True)
class Files:
    """A ledger's files as the operating system has them."""

    main: bytes
    log: bytes

    @classmethod
    def of(cls, folder: Path) -> "Files":
        log = folder / "ledger.db-wal"
        return cls((folder / "ledger.db").read_bytes(), log.read_bytes() if log.exists() else b"")

    def lay_out(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        (folder / "ledger.db").write_bytes(self.main)
        if self.log:
            (folder / "ledger.db-wal").write_bytes(self.log)
