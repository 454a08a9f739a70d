"""Audit events: who did what, and how much attention it deserves."""

import pytest
from tests.fakes.events import details_of

from waiaas.domain.audit import (
    OPERATOR,
    SYSTEM,
    UNAUTHENTICATED,
    AuditEvent,
    agent_actor,
    owner_actor,
)
from waiaas.domain.enums import AuditAction
from waiaas.domain.ids import AgentId

ATTENTION = {
    "AGENT_SUSPENDED": "warning",
    "TX_FAILED": "warning",
    "POLICY_VIOLATION": "warning",
    "OPERATION_REFUSED": "warning",
    "REQUEST_REFUSED": "warning",
    "KILL_SWITCH_RECOVERING": "warning",
    "KILL_SWITCH_RECOVERED": "warning",
    "AUTH_FAILED": "warning",
    "KEY_EXPORTED": "warning",
    "TX_DECISION_REFUSED": "warning",
    "RATE_LIMIT_EXCEEDED": "warning",
    "BACKUP_RESTORED": "warning",
    "FOREIGN_MOVEMENT_FOUND": "warning",
    "LEDGER_RECONCILED": "warning",
    "OWNER_REMOVED": "warning",
    "OWNER_CHANGE_REFUSED": "warning",
    "CLOCK_RETURNED": "warning",
    "CLOCK_ACCEPTED": "warning",
    "CLOCK_JUMPED": "critical",
    "KILL_SWITCH_ACTIVATED": "critical",
    "LEDGER_FULL": "critical",
}
"""Everything else is for information."""


@pytest.mark.parametrize("action", AuditAction)
def test_the_severity_of_an_event_follows_from_its_action(action: AuditAction) -> None:
    assert AuditEvent(action, SYSTEM, details=details_of(action)).severity == ATTENTION.get(
        action, "info"
    )


def test_an_event_of_the_system_alone_is_about_no_one() -> None:
    event = AuditEvent(AuditAction.DAEMON_STOPPED, actor=SYSTEM)
    assert (event.agent_id, event.session_id, event.tx_id, event.ip_address) == (None,) * 4
    assert event.details == {}


def test_actors_are_told_apart_by_their_names() -> None:
    agent = agent_actor(AgentId("0192d3c4-0000-7000-8000-000000000001"))
    assert [OPERATOR, SYSTEM, UNAUTHENTICATED] == ["operator", "system", "unauthenticated"]
    assert agent == "agent:0192d3c4-0000-7000-8000-000000000001"
    assert owner_actor("So1anaAddress") == "owner:So1anaAddress"


def test_an_event_cannot_be_changed() -> None:
    event = AuditEvent(AuditAction.DAEMON_STOPPED, actor=SYSTEM)
    with pytest.raises(AttributeError):
        event.actor = OPERATOR  # type: ignore[misc]  # -- the refusal is what is tested


def test_no_details_cannot_become_somebody_elses() -> None:
    event = AuditEvent(AuditAction.DAEMON_STOPPED, actor=SYSTEM)
    with pytest.raises(TypeError):
        event.details["a"] = 1  # type: ignore[index]  # -- the refusal is what is tested
