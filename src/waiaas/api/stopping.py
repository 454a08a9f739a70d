"""The operator stops things, and starts them again: kill switch, agents, sessions.

Stopping tightens, so the cookie does. Starting again loosens: it takes a login, and the kill switch
the master password besides, twice.
"""

import structlog

from waiaas.api.access import login_caller
from waiaas.api.agents import render_agent
from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential, session_status
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import AgentId, SessionId
from waiaas.domain.records import KillSwitch as KillSwitchRecord
from waiaas.domain.records import SessionRecord
from waiaas.pipeline.agent_life import AgentVerbs
from waiaas.pipeline.kill_switch import activate, recover
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.sessions import revoke_session
from waiaas.pipeline.stranded import require_nothing_stranded
from waiaas.ports import LedgerTransaction
from waiaas.wire.agents import Agent, SuspendAgent, TerminateAgent
from waiaas.wire.kill_switch import (
    ActivateKillSwitch,
    KillSwitch,
    KillSwitchActivated,
    RecoverKillSwitch,
)
from waiaas.wire.sessions import Session, Sessions

log = structlog.get_logger()


def _report_left(error: Exception) -> None:
    log.error("stopped, and its payments could not be called off", exc_info=error)


def _report_switch_alone(error: Exception) -> None:
    log.error(
        "the kill switch is on, and agents, sessions and payments are as they were", exc_info=error
    )


# ── the kill switch ────────────────────────────────────────────────────────────────────────────


async def get_kill_switch(call: Call) -> KillSwitch:
    """Tell where it stands."""
    return _switch(call.services.ledger.read(lambda tx: tx.kill_switch.current()))


async def turn_on(call: Call) -> KillSwitchActivated:
    """Stop everything; answered once that is durable. Doing it twice is harmless."""
    body: ActivateKillSwitch = call.body
    services = call.services
    done = await activate(
        body.reason,
        ip_address=call.ip_address,
        ledger=services.ledger,
        clock=services.clock,
        report=_report_switch_alone,
    )
    assert done.switch.since_at is not None, "it was turned on at some time"
    return KillSwitchActivated(
        state=done.switch.state,
        activated_at=done.switch.since_at,
        reason=done.switch.reason,
        agents_suspended=done.agents_suspended,
        sessions_revoked=done.sessions_revoked,
        transactions_cancelled=done.transactions_cancelled,
        transactions_under_way=done.transactions_under_way,
    )


async def take_step_back(call: Call) -> KillSwitch:
    """Begin to turn it off, or end it after the wait."""
    body: RecoverKillSwitch = call.body
    services = call.services
    await services.operator.confirm(
        body.password,
        caller=login_caller(call.request, services),
        ip_address=call.ip_address,
    )
    return _switch(
        await recover(
            wait_s=services.recovery_wait_s,
            ip_address=call.ip_address,
            ledger=services.ledger,
            clock=services.clock,
        )
    )


def _switch(switch: KillSwitchRecord) -> KillSwitch:
    return KillSwitch(switch.state, switch.since_at, switch.reason, switch.recoverable_at)


# ── agents ─────────────────────────────────────────────────────────────────────────────────────


async def suspend_agent(call: Call) -> Agent:
    """Let an agent sign nothing more, and call off what it has not signed."""
    body: SuspendAgent = call.body
    return render_agent(await _verbs(call).suspend(AgentId(call.path_id), reason=body.reason))


async def resume_agent(call: Call) -> Agent:
    """Let a suspended agent sign again."""
    return render_agent(await _verbs(call).resume(AgentId(call.path_id)))


async def terminate_agent(call: Call) -> Agent:
    """End an agent for good; one that has money only by force."""
    body: TerminateAgent = call.body
    services, agent_id = call.services, AgentId(call.path_id)
    if not body.force:
        await require_nothing_stranded(agent_id, ledger=services.ledger, chains=services.chains)
    return render_agent(await _verbs(call).terminate(agent_id))


def _verbs(call: Call) -> AgentVerbs:
    return AgentVerbs(call.services.ledger, call.services.clock, call.ip_address, _report_left)


# ── sessions ───────────────────────────────────────────────────────────────────────────────────


async def list_sessions(call: Call) -> Sessions:
    """Show every session that is good for something."""
    wall_s = call.services.clock.now_s()

    def look(tx: LedgerTransaction) -> list[Session]:
        now_s = ledger_time(tx, wall_s=wall_s)
        return [_session(each, now_s=now_s) for each in tx.sessions.live(now_s=now_s)]

    return Sessions(call.services.ledger.read(look))


async def revoke_one(call: Call) -> Session:
    """End a session for good, and call off what of it was not signed."""
    services = call.services
    session = await revoke_session(
        SessionId(call.path_id),
        ip_address=call.ip_address,
        ledger=services.ledger,
        clock=services.clock,
        report=_report_left,
    )
    return _session(session, now_s=services.clock.now_s())


def _session(session: SessionRecord, *, now_s: int) -> Session:
    status = session_status(
        now_s=now_s, expires_at=session.expires_at, revoked_at=session.revoked_at
    )
    return Session(
        id=session.id,
        agent_id=session.agent_id,
        status=status,
        expires_at=session.expires_at,
        revoked_at=session.revoked_at,
        created_at=session.created_at,
    )


_AGENT_CODES = (ErrorCode.AGENT_NOT_FOUND, ErrorCode.AGENT_NOT_ACTIVE)

ROUTES = (
    Route("GET", "/v1/admin/kill-switch", Credential.OPERATOR_LOOK, get_kill_switch, KillSwitch),
    Route(
        "POST",
        "/v1/admin/kill-switch",
        Credential.OPERATOR_LOOK,
        turn_on,
        KillSwitchActivated,
        body=ActivateKillSwitch,
    ),
    Route(
        "POST",
        "/v1/admin/recover",
        Credential.OPERATOR,
        take_step_back,
        KillSwitch,
        body=RecoverKillSwitch,
        codes=(
            ErrorCode.INVALID_MASTER_PASSWORD,
            ErrorCode.MASTER_PASSWORD_LOCKED,
            ErrorCode.KILL_SWITCH_NOT_ACTIVE,
            ErrorCode.RECOVERY_WAIT_REQUIRED,
        ),
    ),
    Route(
        "POST",
        "/v1/agents/{id}/suspend",
        Credential.OPERATOR_LOOK,
        suspend_agent,
        Agent,
        body=SuspendAgent,
        codes=_AGENT_CODES,
    ),
    Route(
        "POST",
        "/v1/agents/{id}/resume",
        Credential.OPERATOR,
        resume_agent,
        Agent,
        codes=(*_AGENT_CODES, ErrorCode.KILL_SWITCH_ACTIVE),
    ),
    Route(
        "POST",
        "/v1/agents/{id}/terminate",
        Credential.OPERATOR,
        terminate_agent,
        Agent,
        body=TerminateAgent,
        codes=(*_AGENT_CODES, ErrorCode.AGENT_HAS_MONEY),
    ),
    Route("GET", "/v1/sessions", Credential.OPERATOR_LOOK, list_sessions, Sessions),
    Route(
        "DELETE",
        "/v1/sessions/{id}",
        Credential.OPERATOR_LOOK,
        revoke_one,
        Session,
        codes=(ErrorCode.SESSION_NOT_FOUND,),
    ),
)
