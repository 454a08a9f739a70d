"""Messages about transactions and the wallet they come from."""

from typing import Annotated, Final

from msgspec import Meta

from waiaas.domain.enums import (
    ChainType,
    NetworkType,
    PolicyTier,
    TransactionStatus,
    TransactionType,
)
from waiaas.wire.message import Message
from waiaas.wire.requests import SendRequest

TRANSACTIONS_MAX: Final = 100
"""In one answer."""


class Accepted(Message, frozen=True):
    """The request is in the ledger and will be carried out, at once or when its wait is over."""

    id: str
    status: TransactionStatus
    tier: PolicyTier | None
    waits_until: int | None
    """While it is QUEUED: from when it goes out (DELAY), or until when somebody can approve it."""


class Transaction(Message, frozen=True):
    """A transaction as it stands."""

    id: str
    agent_id: str
    type: TransactionType
    status: TransactionStatus
    tier: PolicyTier | None
    chain: ChainType
    network: NetworkType
    to_address: str | None
    amount: str | None
    tx_hash: str | None
    error: str | None
    created_at: int
    executed_at: int | None
    queued_at: int | None
    waits_until: int | None
    """As in `Accepted`."""
    reference: str | None
    rent: str | None
    """What of the chain's own asset it may pay, beside all else, for accounts that its recipients
    do not have for a token: at most, until it is EXECUTING, then exactly; null: to no such one."""
    request: SendRequest
    """All that was asked for, as it was accepted."""


class TransactionsBefore(Message, frozen=True):
    """Which are asked for: the newest, or those before one of them."""

    agent_id: str | None = None
    """Of one agent; without it, of all."""
    before: str | None = None
    """The id of the last one seen."""
    limit: Annotated[int, Meta(ge=1, le=TRANSACTIONS_MAX)] = 20


class Transactions(Message, frozen=True):
    """Some of them, the newest first."""

    items: list[Transaction]


class Decided(Message, frozen=True):
    """What became of a transaction by a decision."""

    id: str
    status: TransactionStatus


class WalletAddress(Message, frozen=True):
    """Where an agent's money is."""

    agent_id: str
    chain: ChainType
    network: NetworkType
    address: str


class WalletBalance(Message, frozen=True):
    """How much of the chain's own asset an agent has, by the chain's word."""

    agent_id: str
    chain: ChainType
    network: NetworkType
    address: str
    balance: str
    decimals: int
    symbol: str
