"""What an owner is told about: chosen from the audit events, so that no act is told twice or lost.

A payment that goes out at once is not told of, unless it fails: the owner said so by its tier.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import AuditAction, NotificationEventType, PolicyTier
from waiaas.domain.event_values import Value
from waiaas.domain.events import check_details
from waiaas.domain.ids import AgentId, TransactionId

_OF_CAREFUL_TIERS: Final = frozenset(
    {
        AuditAction.TX_QUEUED,
        AuditAction.TX_SUBMITTED,
        AuditAction.TX_CONFIRMED,
        AuditAction.TX_CANCELLED,
        AuditAction.TX_EXPIRED,
    }
)
"""Told of payments with more care than INSTANT."""

_OF_NOTIFY_ONLY: Final = AuditAction.TX_REQUESTED
"""Told of a payment that goes out while the owner is told; others are QUEUED or not told of."""


@dataclass(frozen=True, slots=True)
class Notification:
    """Something an owner is told, before it has a number and a time.

    Raises:
        IllegalEvent: its details are not those that `waiaas.domain.events` gives the event.
    """

    event: NotificationEventType
    agent_id: AgentId | None
    tx_id: TransactionId | None
    details: Mapping[str, Value]
    """The facts of the act, as the audit log has them."""

    def __post_init__(self) -> None:
        check_details(self.event, self.details)


def notification_of(event: AuditEvent, tier: PolicyTier | None) -> Notification | None:
    """Return what the owner is told of an act, or None if nothing.

    Args:
        event: the act.
        tier: of the transaction that it is about, if it is about one that was not denied.
    """
    kind = NotificationEventType.__members__.get(event.action)
    if kind is None or not _is_told(event.action, tier):
        return None
    return Notification(kind, event.agent_id, event.tx_id, event.details)


def _is_told(action: AuditAction, tier: PolicyTier | None) -> bool:
    if action is _OF_NOTIFY_ONLY:
        return tier is PolicyTier.NOTIFY
    if action in _OF_CAREFUL_TIERS:
        return tier not in {None, PolicyTier.INSTANT}
    return True
