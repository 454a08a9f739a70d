"""Refusing: the refusal is written down, and nothing else is.

A rule of the pipeline that refuses writes its row in the transaction that found the reason. Raised
there, the refusal would undo that row. So it is returned, and raised once the row is durable. Every
other refusal is raised, and the edge, which knows who asked, writes its row.
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
        Refusal: what it returned, after COMMIT: whoever returns one has written it down.
    """
    outcome = await ledger.write_async(unit)
    if isinstance(outcome, Refusal):
        raise recorded(outcome)
    return outcome


def recorded(refusal: Refusal) -> Refusal:
    """Return *refusal*, of which the ledger has an audit row."""
    refusal.is_recorded = True
    return refusal
