"""Messages about sessions."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from waiaas.domain.access import SESSION_TTL_S_MAX, SESSION_TTL_S_MIN
from waiaas.domain.enums import SessionStatus
from waiaas.wire.message import Message


class CreateSession(Message, frozen=True):
    """Let an agent ask for a while."""

    agent_id: Annotated[str, Meta(max_length=36)]
    ttl: Annotated[int, Meta(ge=SESSION_TTL_S_MIN, le=SESSION_TTL_S_MAX)] | UnsetType = UNSET
    """In seconds; without it, as long as the settings say."""
    constraints: dict[str, Any] | None = None
    """What it may do, beside the policies of its agent; without any, whatever they allow."""


class Session(Message, frozen=True):
    """A session, without its token, which nobody can see again."""

    id: str
    agent_id: str
    status: SessionStatus
    expires_at: int
    revoked_at: int | None
    created_at: int


class Sessions(Message, frozen=True):
    """Those that are good for something, the oldest first."""

    items: list[Session]


class IssuedSession(Message, frozen=True):
    """A new session; the token is shown here and never again."""

    id: str
    token: str
    expires_at: int
    agent_id: str

    def __repr__(self) -> str:
        return f"IssuedSession({self.id})"
