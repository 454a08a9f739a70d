"""Messages about what would become of a request."""

from typing import Annotated

from msgspec import Meta

from waiaas.domain.enums import PolicyTier
from waiaas.wire.message import Message
from waiaas.wire.requests import SendRequest

_Id = Annotated[str, Meta(max_length=36)]


class ExplainRequest(Message, frozen=True):
    """Ask what a request of an agent would get now."""

    agent_id: _Id
    request: SendRequest
    session_id: _Id | None = None
    """Whose constraints count, too; without it, nobody's."""


class Reason(Message, frozen=True):
    """What one rule says: it denies, or asks for a tier."""

    code: str
    rule: str
    message: str
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
    """The verdict that a request would get. Nothing was written, and the chain was not asked."""

    tier: PolicyTier | None
    """Null: it would be denied."""
    wait_seconds: int | None
    """How long it would wait: for its time (DELAY), or for a person (APPROVAL)."""
    denial: Denial | None
    violations: list[Reason]
    """Everything that denies it."""
    escalations: list[Reason]
    """Everything that asks for more care than INSTANT."""
    at: int
    """The second of ledger time that it holds for."""
