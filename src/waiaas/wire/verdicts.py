"""Messages about what would become of a request."""

from typing import Annotated

from msgspec import Meta, Raw

from waiaas.domain.enums import PolicyTier
from waiaas.wire.message import Message
from waiaas.wire.requests import IdempotencyKey

_Id = Annotated[str, Meta(max_length=36)]


class ExplainRequest(Message, frozen=True):
    """Ask what a request of an agent would get now."""

    agent_id: _Id
    request: Raw
    """An `AskRequest`, read as where it is sent: without `type` it is a TRANSFER."""
    session_id: _Id | None = None
    """Whose constraints count, too; without it, nobody's."""
    idempotency_key: IdempotencyKey | None = None
    """With which Idempotency-Key it would be sent; without it, with none."""


class Reason(Message, frozen=True):
    """What one rule says: it denies, or asks for a tier."""

    code: str
    rule: str
    message: str
    asset: str | None
    """Of what the amounts are: `native`, or a token's address."""
    bound: str | None
    limit: str | None
    observed: str | None
    max_allowed: str | None
    retry_at: int | None
    tier: PolicyTier | None
    """The care it asks for; null: it denies."""
    delay_seconds: int | None
    approval_seconds: int | None
    part: int | None
    """Which part of a batch it is about, from 0."""


class Denial(Message, frozen=True):
    """What `send` would refuse with; members as in a problem."""

    code: str
    message: str
    hint: str | None
    details: dict[str, str | int]


class Explanation(Message, frozen=True):
    """The answer that a request would get. Nothing was written, and the chain was not asked."""

    tier: PolicyTier | None
    """Null: it would be refused."""
    wait_seconds: int | None
    """How long it would wait: for its time (DELAY), or for a person (APPROVAL)."""
    denial: Denial | None
    violations: list[Reason]
    """Every rule that denies it."""
    escalations: list[Reason]
    """Everything that asks for more care than INSTANT."""
    rent: str | None
    """What may be paid for recipients' new token accounts, in words; null: there is none to pay."""
    at: int
    """The second of ledger time that it holds for."""
    repeats: str | None
    """The transaction that has this Idempotency-Key: `send` would answer with it again."""
    keystore_locked: bool
    """Whether `send` refuses whatever is new with KEYSTORE_LOCKED; all of this holds once the
    operator has unlocked it."""
