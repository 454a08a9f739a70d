"""Who may ask: credentials, and what a session is good for at a given second."""

from enum import StrEnum
from typing import Final

from waiaas.domain.enums import SessionStatus

SESSION_TTL_S_MIN: Final = 300
SESSION_TTL_S_MAX: Final = 604_800
SESSION_TTL_S_DEFAULT: Final = 86_400
SESSION_ABSOLUTE_S: Final = 30 * 86_400
"""A session dies 30 days after it was made, whatever its renewals."""
SESSIONS_PER_AGENT_DEFAULT: Final = 5
SESSIONS_PER_AGENT_MAX: Final = 50
"""What a setting may allow at most."""

SESSION_TOKEN_PREFIX: Final = "wai_sess_"  # noqa: S105 -- the public part of a token
OPERATOR_TOKEN_PREFIX: Final = "wai_op_"  # noqa: S105 -- the public part of a token


class Credential(StrEnum):
    """What a route demands of its caller; a route without one cannot be registered."""

    PUBLIC = "public"
    """Nothing: health and the login itself."""
    AGENT = "agent"
    """A live session's token."""
    OWNER = "owner"
    """No token: a wallet's signature in the body, over a message the daemon wrote."""
    OPERATOR_LOOK = "operator-look"
    """The cookie file or a login token: read and tighten."""
    OPERATOR = "operator"
    """A login token: loosen, spend, reveal."""


def session_status(*, now_s: int, expires_at: int, revoked_at: int | None) -> SessionStatus:
    """Return what a session is at *now_s*; the second it expires at is already too late."""
    if revoked_at is not None:
        return SessionStatus.REVOKED
    return SessionStatus.ACTIVE if now_s < expires_at else SessionStatus.EXPIRED
