"""Messages about what owners are told."""

from typing import Annotated, Any, Final

from msgspec import Meta

from waiaas.domain.enums import NotificationEventType
from waiaas.wire.message import Message

NOTIFICATIONS_MAX: Final = 100
"""In one answer."""


class NotificationsAfter(Message, frozen=True):
    """Which are asked for: those after a number, the oldest first."""

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=NOTIFICATIONS_MAX)] = NOTIFICATIONS_MAX


class Notification(Message, frozen=True):
    """Something an owner is told."""

    number: int
    """Rises; ask for what comes after the last one seen."""
    event: NotificationEventType
    agent_id: str | None
    transaction_id: str | None
    details: dict[str, Any]
    created_at: int


class Notifications(Message, frozen=True):
    """Some of them, in the order in which they happened."""

    items: list[Notification]
