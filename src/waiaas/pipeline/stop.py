"""Stopping: what may not be signed any more ends in the transaction that forbids it.

Waiting for the worker to notice would do no harm, since it asks again before it signs. But an
operator who stops something shall see it stopped, also while no node answers.

What was signed is not called off: its bytes may be anywhere. It is held, and its money stays set
aside, until the chain has proved what became of it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, SessionId
from waiaas.domain.records import TransactionRecord
from waiaas.pipeline.end import cancel_unsigned, live_transactions
from waiaas.pipeline.record import remember
from waiaas.pipeline.restored import restored_at
from waiaas.ports import LedgerTransaction

Value = TypeVar("Value")

ReportLeft = Callable[[Exception], object]
"""Is told why payments were not called off with what stops them: a row cannot be read, say."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Who stops what, when and why."""

    now_s: int
    error: str
    """What the transactions that are called off get as their error: code and sentence."""
    ip_address: str | None


async def stopped(
    all_of_it: Callable[[], Awaitable[Value]],
    itself: Callable[[], Awaitable[Value]],
    *,
    report: ReportLeft,
) -> Value:
    """Stop something, and call off its payments; if that fails, stop it without.

    One payment that cannot be read must not keep anything from being stopped. Those that are left
    are signed no more either: the worker ends each that can be read when it comes to it.
    """
    try:
        return await all_of_it()
    except Refusal:
        raise
    except Exception as error:  # noqa: BLE001 -- as above; what is wrong with all is raised below
        done = await itself()
        report(error)
        return done


def call_off(tx: LedgerTransaction, transactions: Sequence[TransactionRecord], stop: Stop) -> int:
    """Cancel those of which nothing was signed; return how many they were.

    In a restored ledger it is not known what was paid after the backup. So there nothing is freed:
    what is forbidden stays where it is, unsigned, and ends after reconciliation.
    """
    if restored_at(tx) is not None:
        return 0
    return sum(
        cancel_unsigned(tx, each, error=stop.error, now_s=stop.now_s, actor=OPERATOR)
        for each in transactions
    )


def revoke(tx: LedgerTransaction, session_id: SessionId, *, agent_id: AgentId, stop: Stop) -> bool:
    """Revoke a session for good; False, changing nothing, if it was revoked before."""
    if not tx.sessions.revoke(session_id, now_s=stop.now_s):
        return False
    event = AuditEvent(
        AuditAction.SESSION_REVOKED,
        OPERATOR,
        agent_id=agent_id,
        session_id=session_id,
        ip_address=stop.ip_address,
    )
    remember(tx, event, now_s=stop.now_s)
    return True


def revoke_sessions(tx: LedgerTransaction, agent_id: AgentId, stop: Stop) -> int:
    """Revoke every session that could still ask or still pay; return how many they were.

    One that has expired can ask for nothing, but what it asked for in time may be under way.
    """
    live = {session.id for session in tx.sessions.live_of(agent_id, now_s=stop.now_s)}
    paying = {each.session_id for each in live_transactions(tx, agent_id) if each.session_id}
    return sum(
        revoke(tx, session_id, agent_id=agent_id, stop=stop) for session_id in sorted(live | paying)
    )


def suspend(tx: LedgerTransaction, agent_id: AgentId, *, reason: str, stop: Stop) -> bool:
    """Suspend an ACTIVE agent; False, changing nothing, if it is not ACTIVE."""
    if not tx.agents.suspend(agent_id, reason=reason, now_s=stop.now_s):
        return False
    event = AuditEvent(
        AuditAction.AGENT_SUSPENDED,
        OPERATOR,
        agent_id=agent_id,
        details={"reason": reason},
        ip_address=stop.ip_address,
    )
    remember(tx, event, now_s=stop.now_s)
    return True
