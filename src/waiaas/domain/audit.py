"""What is worth remembering: one event per act, written in the transaction of the act."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from waiaas.domain.enums import AuditAction, AuditSeverity
from waiaas.domain.event_values import Value
from waiaas.domain.events import check_details
from waiaas.domain.ids import AgentId, SessionId, TransactionId

OPERATOR: Final = "operator"
SYSTEM: Final = "system"
UNAUTHENTICATED: Final = "unauthenticated"
"""Whoever tried to be somebody and could not prove it."""

_SEVERITY: Final[Mapping[AuditAction, AuditSeverity]] = {
    AuditAction.AGENT_SUSPENDED: AuditSeverity.WARNING,
    AuditAction.TX_FAILED: AuditSeverity.WARNING,
    AuditAction.POLICY_VIOLATION: AuditSeverity.WARNING,
    AuditAction.TX_DECISION_REFUSED: AuditSeverity.WARNING,
    AuditAction.AUTH_FAILED: AuditSeverity.WARNING,
    AuditAction.KEY_EXPORTED: AuditSeverity.WARNING,
    AuditAction.RATE_LIMIT_EXCEEDED: AuditSeverity.WARNING,
    AuditAction.BACKUP_RESTORED: AuditSeverity.WARNING,
    AuditAction.OPERATION_REFUSED: AuditSeverity.WARNING,
    AuditAction.REQUEST_REFUSED: AuditSeverity.WARNING,
    AuditAction.KILL_SWITCH_RECOVERING: AuditSeverity.WARNING,
    AuditAction.KILL_SWITCH_RECOVERED: AuditSeverity.WARNING,
    AuditAction.OWNER_REMOVED: AuditSeverity.WARNING,
    AuditAction.OWNER_CHANGE_REFUSED: AuditSeverity.WARNING,
    AuditAction.FOREIGN_MOVEMENT_FOUND: AuditSeverity.WARNING,
    AuditAction.LEDGER_RECONCILED: AuditSeverity.WARNING,
    AuditAction.CLOCK_RETURNED: AuditSeverity.WARNING,
    AuditAction.CLOCK_ACCEPTED: AuditSeverity.WARNING,
    AuditAction.CLOCK_JUMPED: AuditSeverity.CRITICAL,
    AuditAction.KILL_SWITCH_ACTIVATED: AuditSeverity.CRITICAL,
    AuditAction.LEDGER_FULL: AuditSeverity.CRITICAL,
}


def agent_actor(agent_id: AgentId) -> str:
    """Return how an agent is named as the actor of an event."""
    return f"agent:{agent_id}"


def owner_actor(address: str) -> str:
    """Return how an owner is named as the actor of an event."""
    return f"owner:{address}"


_NO_DETAILS: Final[Mapping[str, Value]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of the audit log, before it has a number and a time.

    Raises:
        IllegalEvent: its details are not those that `waiaas.domain.events` gives the action.
    """

    action: AuditAction
    actor: str
    """`operator`, `system`, `unauthenticated`, `agent:<id>` or `owner:<address>`."""
    agent_id: AgentId | None = None
    session_id: SessionId | None = None
    tx_id: TransactionId | None = None
    details: Mapping[str, Value] = field(default_factory=lambda: _NO_DETAILS)
    """Facts that explain the act. Never a secret."""
    ip_address: str | None = None

    def __post_init__(self) -> None:
        check_details(self.action, self.details)

    @property
    def severity(self) -> AuditSeverity:
        """How much attention it deserves."""
        return _SEVERITY.get(self.action, AuditSeverity.INFO)


class EventCount(NamedTuple):
    """How many rows of the audit log are alike."""

    event: str
    tier: str | None
    """Of the transaction that they are about; None if there is none, or it is denied."""
    rows: int
