"""The kill switch: one transaction after which nothing is signed, and the guarded way back.

Turning it on takes one commit: the state, every session, every payment of which nothing was signed,
every agent. The signer reads the state in the transaction that records a signature, so from that
commit on there is no other. It asks no node, and on a full disk it is written in the ledger's
reserve.

The way back has two steps, each with the password: the first begins a wait, in which whoever did
not mean it turns it on again; the second ends it. Agents then are resumed one by one, and sessions
stay dead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, assert_never

from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AgentStatus, AuditAction, KillSwitchState
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, is_id
from waiaas.domain.records import AgentRecord, KillSwitch
from waiaas.domain.times import time_in_words
from waiaas.pipeline.end import live_transactions
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.refuse import audit_refusal, unless_refused
from waiaas.pipeline.stop import ReportLeft, Stop, call_off, revoke_sessions, stopped, suspend
from waiaas.ports import Clock, Ledger, LedgerTransaction, LedgerWithReserve

Value = TypeVar("Value")

SUSPENSION_REASON: Final = "KILL_SWITCH"
"""How the reason of a suspension begins that the kill switch made."""

_RECOVERY: Final = {
    KillSwitchState.RECOVERING: AuditAction.KILL_SWITCH_RECOVERING,
    KillSwitchState.NORMAL: AuditAction.KILL_SWITCH_RECOVERED,
}
"""The audit row that each step of the way back writes."""

_MESSAGE: Final = "the kill switch is on: nothing is admitted, allowed or signed"


@dataclass(frozen=True, slots=True)
class Activation:
    """What turning it on did."""

    switch: KillSwitch
    agents_suspended: int
    sessions_revoked: int
    transactions_cancelled: int
    transactions_under_way: int
    """Signed before: these are watched until the chain has decided."""


def is_on(tx: LedgerTransaction) -> bool:
    """Tell whether nothing may be signed; RECOVERING is on, too."""
    return tx.kill_switch.current().state is not KillSwitchState.NORMAL


def refusal_while_on(tx: LedgerTransaction) -> Refusal | None:
    """Return the refusal of whatever would loosen or spend, or None if the switch is off."""
    if not is_on(tx):
        return None
    return Refusal(
        ErrorCode.KILL_SWITCH_ACTIVE,
        _MESSAGE,
        hint="Only the operator can turn it off: `waiaas kill-switch off`.",
    )


def require_off(tx: LedgerTransaction) -> None:
    """Return if the kill switch is off.

    Raises:
        Refusal: KILL_SWITCH_ACTIVE.
    """
    refusal = refusal_while_on(tx)
    if refusal is not None:
        raise refusal


async def write_while_off(
    unit: Callable[[LedgerTransaction], Value],
    *,
    operation: str,
    agent_id: AgentId | None,
    ip_address: str | None,
    ledger: Ledger,
    wall_s: int,
) -> Value:
    """Run what loosens, unless the kill switch is on; then only the refusal is written down.

    Raises:
        Refusal: KILL_SWITCH_ACTIVE.
    """

    def guarded(tx: LedgerTransaction) -> Value | Refusal:
        refusal = refusal_while_on(tx)
        if refusal is None:
            return unit(tx)
        now_s, known = ledger_time(tx, wall_s=wall_s), _known(tx, agent_id)
        return audit_refusal(
            tx, refusal, operation=operation, now_s=now_s, agent_id=known, ip_address=ip_address
        )

    return await unless_refused(ledger, guarded)


def _known(tx: LedgerTransaction, agent_id: AgentId | None) -> AgentId | None:
    """Return *agent_id* if there is such an agent: what else a caller says is not written down."""
    known = agent_id is not None and is_id(agent_id) and tx.agents.get(agent_id) is not None
    return agent_id if known else None


async def activate(
    reason: str | None,
    *,
    ip_address: str | None,
    ledger: LedgerWithReserve,
    clock: Clock,
    report: ReportLeft,
) -> Activation:
    """Turn it on; what is on already stays on, and what is new since then is stopped, too.

    Where even the reserve of a full disk has no room for all of it, or something of it cannot be
    read, only the state is recorded, which is what the signer asks for. The rest follows when it is
    turned on once more, or at the latest with the first step of the way back.
    """
    wall_s = clock.now_s()

    def whole(tx: LedgerTransaction) -> Activation:
        now_s = ledger_time(tx, wall_s=wall_s)
        switch = _turn_on(tx, reason, now_s=now_s)
        done = _stop_everything(tx, switch, now_s=now_s, ip_address=ip_address)
        _record_activation(tx, done, now_s=now_s, ip_address=ip_address)
        return done

    def state_alone(tx: LedgerTransaction) -> Activation:
        now_s = ledger_time(tx, wall_s=wall_s)
        done = Activation(_turn_on(tx, reason, now_s=now_s), 0, 0, 0, 0)
        _record_activation(tx, done, now_s=now_s, ip_address=ip_address)
        return done

    return await stopped(
        lambda: ledger.write_from_reserve(whole, smaller=state_alone),
        lambda: ledger.write_from_reserve(state_alone, smaller=state_alone),
        report=report,
    )


async def recover(
    *, wait_s: int, ip_address: str | None, ledger: Ledger, clock: Clock
) -> KillSwitch:
    """Take the next step of the way back: from ACTIVATED to RECOVERING, from there to NORMAL.

    The caller has made sure that it is the operator, by the password.

    Args:
        wait_s: how long it is RECOVERING at least.
        ip_address: whose it is, for the audit log.
        ledger: where it is recorded.
        clock: what time it is.

    Raises:
        Refusal: KILL_SWITCH_NOT_ACTIVE, RECOVERY_WAIT_REQUIRED with retryAt.
    """
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> KillSwitch | Refusal:
        now_s = ledger_time(tx, wall_s=wall_s)
        switch = tx.kill_switch.current()
        after = _next_step_back(switch, now_s=now_s, wait_s=wait_s)
        if isinstance(after, Refusal):
            return audit_refusal(tx, after, operation="recover", now_s=now_s, ip_address=ip_address)
        if after.state is KillSwitchState.RECOVERING:  # Nothing that was left over comes to life.
            _stop_everything(tx, switch, now_s=now_s, ip_address=ip_address)
        tx.kill_switch.move(after)
        action, details = _RECOVERY[after.state], {"recoverableAt": after.recoverable_at}
        _audit(tx, action, details, now_s=now_s, ip_address=ip_address)
        return after

    return await unless_refused(ledger, unit)


def _next_step_back(switch: KillSwitch, *, now_s: int, wait_s: int) -> KillSwitch | Refusal:
    match switch.state:
        case KillSwitchState.NORMAL:
            return Refusal(ErrorCode.KILL_SWITCH_NOT_ACTIVE, "the kill switch is not on")
        case KillSwitchState.ACTIVATED:
            return KillSwitch(KillSwitchState.RECOVERING, now_s, switch.reason, now_s + wait_s)
        case KillSwitchState.RECOVERING:
            assert switch.recoverable_at is not None, "a recovery says when it may end"
            if now_s < switch.recoverable_at:
                return Refusal(
                    ErrorCode.RECOVERY_WAIT_REQUIRED,
                    "the kill switch cannot be turned off before"
                    f" {time_in_words(switch.recoverable_at)}",
                    hint="Do it again after retryAt; until then it can be turned on anew.",
                    details={"retryAt": switch.recoverable_at},
                )
            return KillSwitch(KillSwitchState.NORMAL, now_s)
        case _:
            assert_never(switch.state)


def _turn_on(tx: LedgerTransaction, reason: str | None, *, now_s: int) -> KillSwitch:
    switch = tx.kill_switch.current()
    if switch.state is KillSwitchState.ACTIVATED:
        return switch
    after = KillSwitch(KillSwitchState.ACTIVATED, now_s, reason)
    tx.kill_switch.move(after)
    return after


def _stop_everything(
    tx: LedgerTransaction, switch: KillSwitch, *, now_s: int, ip_address: str | None
) -> Activation:
    """Revoke, call off and suspend whatever there is; agent by agent, all in this *tx*."""
    error = f"{ErrorCode.KILL_SWITCH_ACTIVE}: called off by the kill switch"
    stop = Stop(now_s, error, ip_address)
    why = SUSPENSION_REASON if switch.reason is None else f"{SUSPENSION_REASON}: {switch.reason}"
    suspended = revoked = cancelled = under_way = 0
    for agent in _agents(tx):
        revoked += revoke_sessions(tx, agent.id, stop)
        cancelled += call_off(tx, live_transactions(tx, agent.id), stop)
        suspended += suspend(tx, agent.id, reason=why, stop=stop)
        under_way += len(live_transactions(tx, agent.id))
    return Activation(switch, suspended, revoked, cancelled, under_way)


def _agents(tx: LedgerTransaction) -> list[AgentRecord]:
    """Return all agents of which anything may be under way."""
    return [
        agent
        for status in AgentStatus
        if status is not AgentStatus.TERMINATED
        for agent in tx.agents.with_status(status)
    ]


def suspend_newcomer(tx: LedgerTransaction, agent_id: AgentId, *, now_s: int) -> bool:
    """Suspend an agent that became ACTIVE while the switch is on; tell whether that was so."""
    return is_on(tx) and suspend(
        tx, agent_id, reason=SUSPENSION_REASON, stop=Stop(now_s, "", ip_address=None)
    )


def _record_activation(
    tx: LedgerTransaction, done: Activation, *, now_s: int, ip_address: str | None
) -> None:
    details = {
        "reason": done.switch.reason,
        "agentsSuspended": done.agents_suspended,
        "sessionsRevoked": done.sessions_revoked,
        "transactionsCancelled": done.transactions_cancelled,
        "transactionsUnderWay": done.transactions_under_way,
    }
    _audit(tx, AuditAction.KILL_SWITCH_ACTIVATED, details, now_s=now_s, ip_address=ip_address)


def _audit(
    tx: LedgerTransaction,
    action: AuditAction,
    details: Mapping[str, str | int | None],
    *,
    now_s: int,
    ip_address: str | None,
) -> None:
    remember(tx, AuditEvent(action, OPERATOR, details=details, ip_address=ip_address), now_s=now_s)
