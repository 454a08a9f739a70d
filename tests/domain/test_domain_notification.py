"""What an owner is told: every act with every tier."""

import pytest
from tests.fakes.events import details_of

from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import AuditAction, NotificationEventType, PolicyTier
from waiaas.domain.notification import notification_of

INSTANT, NOTIFY, DELAY, APPROVAL = PolicyTier
CAREFUL: set[PolicyTier | None] = {NOTIFY, DELAY, APPROVAL}
ALL: set[PolicyTier | None] = {None, *PolicyTier}

TOLD: dict[AuditAction, set[PolicyTier | None]] = {
    AuditAction.TX_REQUESTED: {NOTIFY},
    AuditAction.TX_QUEUED: CAREFUL,
    AuditAction.TX_SUBMITTED: CAREFUL,
    AuditAction.TX_CONFIRMED: CAREFUL,
    AuditAction.TX_CANCELLED: CAREFUL,
    AuditAction.TX_EXPIRED: CAREFUL,
    AuditAction.TX_FAILED: ALL,
    AuditAction.POLICY_VIOLATION: ALL,
    AuditAction.AGENT_SUSPENDED: ALL,
    AuditAction.KILL_SWITCH_ACTIVATED: ALL,
    AuditAction.KILL_SWITCH_RECOVERED: ALL,
    AuditAction.SESSION_EXPIRED: ALL,
    AuditAction.OWNER_SET: ALL,
    AuditAction.OWNER_VERIFIED: ALL,
    AuditAction.OWNER_REMOVED: ALL,
    AuditAction.CLOCK_JUMPED: ALL,
}


@pytest.mark.parametrize("action", AuditAction)
@pytest.mark.parametrize("tier", [None, *PolicyTier])
def test_an_owner_is_told_of_what_needs_care_and_of_what_went_wrong(
    action: AuditAction, tier: PolicyTier | None
) -> None:
    details = details_of(action)
    notification = notification_of(AuditEvent(action, "system", details=details), tier)
    assert (notification is not None) is (tier in TOLD.get(action, set()))
    if notification is not None:
        assert notification.event is NotificationEventType(action)
        assert notification.details == details
