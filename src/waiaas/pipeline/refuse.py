"""Refusing inside a transaction: the refusal is written down, and nothing else is.

A refusal that is raised inside a unit would undo its own audit row. So it is returned, and raised
once the row is durable.
"""

from collections.abc import Callable
from typing import TypeVar

from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId
from waiaas.pipeline.record import remember
from waiaas.ports import Ledger, LedgerTransaction

Value = TypeVar("Value")


def audit_refusal(
    tx: LedgerTransaction,
    refusal: Refusal,
    *,
    operation: str,
    now_s: int,
    agent_id: AgentId | None = None,
    ip_address: str | None = None,
) -> Refusal:
    """Write down what the operator's credential tried and could not do; return *refusal*."""
    event = AuditEvent(
        AuditAction.OPERATION_REFUSED,
        OPERATOR,
        agent_id=agent_id,
        details={"operation": operation, "code": refusal.code},
        ip_address=ip_address,
    )
    remember(tx, event, now_s=now_s)
    return refusal


async def unless_refused(
    ledger: Ledger, unit: Callable[[LedgerTransaction], Value | Refusal]
) -> Value:
    """Run *unit* in one transaction; return its value.

    Raises:
        Refusal: what it returned, after COMMIT.
    """
    outcome = await ledger.write_async(unit)
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome
