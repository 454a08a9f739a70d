"""Suspending, resuming and terminating an agent, each in one transaction.

| verb        | CREATING | ACTIVE      | SUSPENDED   | TERMINATING | TERMINATED |
| ----------- | -------- | ----------- | ----------- | ----------- | ---------- |
| `suspend`   | refused  | SUSPENDED   | as it is    | refused     | refused    |
| `resume`    | refused  | as it is    | ACTIVE      | refused     | refused    |
| `terminate` | refused  | TERMINATING | TERMINATING | as it is    | as it is   |

An agent that is TERMINATING becomes TERMINATED with the last of its transactions, at once if there
is none. What was asked for twice was done the first time, and writes nothing the second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AgentStatus, AuditAction
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, is_id
from waiaas.domain.records import AgentRecord
from waiaas.pipeline.end import finish_termination, live_transactions
from waiaas.pipeline.kill_switch import refusal_while_on
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.refuse import audit_refusal, unless_refused
from waiaas.pipeline.stop import ReportLeft, Stop, call_off, revoke_sessions, stopped, suspend
from waiaas.ports import Clock, Ledger, LedgerTransaction

DEFAULT_REASON: Final = "by the operator"


@dataclass(frozen=True, slots=True)
class AgentVerbs:
    """What the operator does to agents, from one address."""

    ledger: Ledger
    clock: Clock
    ip_address: str | None
    report: ReportLeft

    async def suspend(self, agent_id: AgentId, *, reason: str | None) -> AgentRecord:
        """Let it sign nothing from this commit on, and call off what was not signed.

        Its sessions live on: they may look. Bytes that were signed before are held as long as it
        is SUSPENDED. What could not be called off with it is, when it is asked for once more, or at
        the latest before it is resumed.

        Raises:
            Refusal: AGENT_NOT_FOUND, AGENT_NOT_ACTIVE.
        """

        def itself(tx: LedgerTransaction, agent: AgentRecord, now_s: int) -> Refusal | None:
            stop = self._stop(now_s, AgentStatus.SUSPENDED)
            is_suspended = suspend(tx, agent.id, reason=reason or DEFAULT_REASON, stop=stop)
            is_suspended |= agent.status is AgentStatus.SUSPENDED
            return None if is_suspended else _not_active(agent)

        def all_of_it(tx: LedgerTransaction, agent: AgentRecord, now_s: int) -> Refusal | None:
            refusal = itself(tx, agent, now_s)
            if refusal is None:
                self._call_off(tx, agent.id, now_s)
            return refusal

        return await stopped(
            lambda: self._done(agent_id, "suspend agent", all_of_it),
            lambda: self._done(agent_id, "suspend agent", itself),
            report=self.report,
        )

    async def resume(self, agent_id: AgentId) -> AgentRecord:
        """Let it sign again. What was called off stays called off; what is left over is, too.

        Raises:
            Refusal: AGENT_NOT_FOUND, AGENT_NOT_ACTIVE, KILL_SWITCH_ACTIVE.
        """

        def act(tx: LedgerTransaction, agent: AgentRecord, now_s: int) -> Refusal | None:
            refusal = refusal_while_on(tx)
            if refusal is not None:
                return refusal
            if agent.status is AgentStatus.SUSPENDED:
                self._call_off(tx, agent.id, now_s)
            if tx.agents.resume(agent.id, now_s=now_s):
                self._audit(tx, AuditAction.AGENT_RESUMED, agent.id, now_s)
                return None
            return None if agent.status is AgentStatus.ACTIVE else _not_active(agent)

        return await self._done(agent_id, "resume agent", act)

    async def terminate(self, agent_id: AgentId) -> AgentRecord:
        """End it for good: its sessions, and what was not signed. There is no way back.

        Raises:
            Refusal: AGENT_NOT_FOUND, AGENT_NOT_ACTIVE.
        """

        def act(tx: LedgerTransaction, agent: AgentRecord, now_s: int) -> Refusal | None:
            if agent.status is AgentStatus.CREATING:
                return _not_active(agent)
            begin_termination(tx, agent, self._stop(now_s, AgentStatus.TERMINATING))
            return None

        return await self._done(agent_id, "terminate agent", act)

    async def _done(
        self,
        agent_id: AgentId,
        operation: str,
        act: Callable[[LedgerTransaction, AgentRecord, int], Refusal | None],
    ) -> AgentRecord:
        """Run *act* on an agent in one unit; a refusal leaves nothing but its audit row."""
        wall_s = self.clock.now_s()

        def unit(tx: LedgerTransaction) -> AgentRecord | Refusal:
            now_s = ledger_time(tx, wall_s=wall_s)
            refusal = act(tx, found(tx, agent_id), now_s)
            if refusal is None:
                return found(tx, agent_id)
            return audit_refusal(
                tx,
                refusal,
                operation=operation,
                now_s=now_s,
                agent_id=agent_id,
                ip_address=self.ip_address,
            )

        return await unless_refused(self.ledger, unit)

    def _call_off(self, tx: LedgerTransaction, agent_id: AgentId, now_s: int) -> None:
        stop = self._stop(now_s, AgentStatus.SUSPENDED)
        call_off(tx, live_transactions(tx, agent_id), stop)

    def _stop(self, now_s: int, status: AgentStatus) -> Stop:
        error = f"{ErrorCode.AGENT_NOT_ACTIVE}: the agent is {status}"
        return Stop(now_s, error, self.ip_address)

    def _audit(
        self, tx: LedgerTransaction, action: AuditAction, agent_id: AgentId, now_s: int
    ) -> None:
        event = AuditEvent(action, OPERATOR, agent_id=agent_id, ip_address=self.ip_address)
        remember(tx, event, now_s=now_s)


def begin_termination(tx: LedgerTransaction, agent: AgentRecord, stop: Stop) -> bool:
    """Let an agent that can be ACTIVE again never be; without anything under way it ends at once.

    Returns False, changing nothing, for any other.

    Args:
        tx: in which it happens.
        agent: as read in this same *tx*.
        stop: by whom, and why.
    """
    if agent.status not in {AgentStatus.ACTIVE, AgentStatus.SUSPENDED}:
        return False
    tx.agents.compare_and_set_status(
        agent.id, old=agent.status, new=AgentStatus.TERMINATING, now_s=stop.now_s
    )
    event = AuditEvent(
        AuditAction.AGENT_TERMINATING, OPERATOR, agent_id=agent.id, ip_address=stop.ip_address
    )
    remember(tx, event, now_s=stop.now_s)
    revoke_sessions(tx, agent.id, stop)
    call_off(tx, live_transactions(tx, agent.id), stop)
    finish_termination(tx, agent.id, now_s=stop.now_s)
    return True


def found(tx: LedgerTransaction, agent_id: AgentId) -> AgentRecord:
    """Return an agent.

    Raises:
        Refusal: AGENT_NOT_FOUND.
    """
    agent = tx.agents.get(agent_id) if is_id(agent_id) else None
    if agent is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
    return agent


def _not_active(agent: AgentRecord) -> Refusal:
    return Refusal(
        ErrorCode.AGENT_NOT_ACTIVE,
        f"the agent is {agent.status}, from where nothing leads there",
        hint="Make another agent." if agent.status is not AgentStatus.CREATING else None,
    )
