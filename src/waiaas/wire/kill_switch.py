"""Messages about the kill switch."""

from typing import Annotated

from msgspec import Meta

from waiaas.domain.enums import KillSwitchState
from waiaas.wire.message import Message


class ActivateKillSwitch(Message, frozen=True):
    """Stop everything, now."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class KillSwitch(Message, frozen=True):
    """Where it stands."""

    state: KillSwitchState
    since: int | None
    """When it came into this state; null if it was never touched."""
    reason: str | None
    recoverable_at: int | None
    """While RECOVERING: the second from which it may be turned off."""


class KillSwitchActivated(Message, frozen=True):
    """It is on, and what that stopped now: nothing more, if it was on before."""

    state: KillSwitchState
    activated_at: int
    reason: str | None
    agents_suspended: int
    sessions_revoked: int
    transactions_cancelled: int
    transactions_under_way: int
    """Signed before. They are watched until the chain has decided; what was not sent is not."""


class RecoverKillSwitch(Message, frozen=True):
    """Take one step of turning it off, with the master password entered for it."""

    password: Annotated[str, Meta(min_length=1, max_length=1024)]

    def __repr__(self) -> str:
        return "RecoverKillSwitch(password=…)"
