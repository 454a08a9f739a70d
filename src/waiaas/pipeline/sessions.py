"""Issuing and revoking a session: an agent's permission to ask, for a while."""

import hashlib
from dataclasses import dataclass
from functools import partial

from waiaas.domain.access import (
    SESSION_ABSOLUTE_S,
    SESSION_TOKEN_PREFIX,
    SESSION_TTL_S_DEFAULT,
    SESSIONS_PER_AGENT_DEFAULT,
)
from waiaas.domain.assets import require_adapter
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AgentStatus, AuditAction
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, SessionId, is_id
from waiaas.domain.records import AgentRecord, SessionRecord
from waiaas.pipeline.end import live_transactions
from waiaas.pipeline.kill_switch import write_while_off
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.stop import ReportLeft, Stop, call_off, revoke, stopped
from waiaas.policy.document import RuleRefused
from waiaas.policy.session_constraints import Written, write_constraints
from waiaas.ports import Clock, GenerateId, GenerateSecret, Ledger, LedgerTransaction


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What holds for every session that is issued."""

    ttl_s: int = SESSION_TTL_S_DEFAULT
    """How long it lives, where nobody says."""
    live_max: int = SESSIONS_PER_AGENT_DEFAULT
    """How many of one agent may live at once."""


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """A session and its token, which exists nowhere else and is shown once."""

    session: SessionRecord
    token: str

    def __repr__(self) -> str:
        return f"IssuedSession({self.session.id})"


def hash_token(token: str) -> str:
    """Return what is stored of a token: its SHA-256, hex. 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


async def issue_session(
    agent_id: AgentId,
    *,
    ttl_s: int | None,
    constraints: str | None,
    ip_address: str | None,
    rules: SessionRules,
    ledger: Ledger,
    clock: Clock,
    generate_id: GenerateId,
    generate_secret: GenerateSecret,
) -> IssuedSession:
    """Make a session that may do what its *constraints* allow, and lives *ttl_s* seconds.

    Of what nobody says (None), the *rules* decide.

    Raises:
        Refusal: KILL_SWITCH_ACTIVE, VALIDATION_FAILED with the field, NOT_SUPPORTED_YET for any
            constraint, AGENT_NOT_FOUND, AGENT_NOT_ACTIVE, SESSION_LIMIT_EXCEEDED.
    """
    written = None if constraints is None else _written(constraints)
    token = SESSION_TOKEN_PREFIX + generate_secret()
    lives_s = rules.ttl_s if ttl_s is None else ttl_s
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> SessionRecord:
        now_s = ledger_time(tx, wall_s=wall_s)
        agent = _require_room(tx, agent_id, live_max=rules.live_max, now_s=now_s)
        if written is not None:
            _require_own_network(written, agent)
        session = SessionRecord(
            id=SessionId(generate_id()),
            agent_id=agent_id,
            token_hash=hash_token(token),
            expires_at=now_s + lives_s,
            revoked_at=None,
            absolute_expires_at=now_s + SESSION_ABSOLUTE_S,
            created_at=now_s,
            constraints=None if written is None else written.text,
        )
        tx.sessions.insert(session)
        remember(
            tx,
            AuditEvent(
                AuditAction.SESSION_ISSUED,
                OPERATOR,
                agent_id=agent_id,
                session_id=session.id,
                details={"expiresAt": session.expires_at, "constraints": session.constraints},
                ip_address=ip_address,
            ),
            now_s=now_s,
        )
        return session

    session = await write_while_off(
        unit,
        operation="issue session",
        agent_id=agent_id,
        ip_address=ip_address,
        ledger=ledger,
        wall_s=wall_s,
    )
    return IssuedSession(session, token)


async def revoke_session(
    session_id: SessionId,
    *,
    ip_address: str | None,
    ledger: Ledger,
    clock: Clock,
    report: ReportLeft,
) -> SessionRecord:
    """End a session for good, and with it whatever of it was not signed; return it as it is.

    One that was revoked before stays as it is.

    Raises:
        Refusal: SESSION_NOT_FOUND.
    """
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction, *, calls_off: bool) -> SessionRecord:
        session = tx.sessions.get(session_id) if is_id(session_id) else None
        if session is None:
            raise Refusal(ErrorCode.SESSION_NOT_FOUND, "there is no session with this id")
        stop = Stop(
            ledger_time(tx, wall_s=wall_s),
            f"{ErrorCode.SESSION_REVOKED}: the session was revoked before anything was signed",
            ip_address,
        )
        if not revoke(tx, session.id, agent_id=session.agent_id, stop=stop):
            return session
        if calls_off:
            of_agent = live_transactions(tx, session.agent_id)
            call_off(tx, [each for each in of_agent if each.session_id == session.id], stop)
        return session._replace(revoked_at=stop.now_s)

    return await stopped(
        lambda: ledger.write_async(partial(unit, calls_off=True)),
        lambda: ledger.write_async(partial(unit, calls_off=False)),
        report=report,
    )


def _written(constraints: str) -> Written:
    try:
        return write_constraints(constraints)
    except RuleRefused as refused:
        raise _refusal(refused) from refused


def _require_own_network(written: Written, agent: AgentRecord) -> None:
    require_adapter(agent.lives_on)  # What constraints would name there, we could not read.
    try:
        written.require_on(agent.lives_on)
    except RuleRefused as refused:
        raise _refusal(refused) from refused


def _refusal(refused: RuleRefused) -> Refusal:
    details = {"field": refused.field}
    return Refusal(ErrorCode.VALIDATION_FAILED, str(refused), details=details)


def _require_room(
    tx: LedgerTransaction, agent_id: AgentId, *, live_max: int, now_s: int
) -> AgentRecord:
    agent = tx.agents.get(agent_id)
    if agent is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
    if agent.status is not AgentStatus.ACTIVE:
        raise Refusal(ErrorCode.AGENT_NOT_ACTIVE, f"the agent is {agent.status}")
    if tx.sessions.count_live(agent_id, now_s=now_s) >= live_max:
        raise Refusal(
            ErrorCode.SESSION_LIMIT_EXCEEDED,
            f"an agent may have {live_max} live sessions, and this one has them",
            hint="Use one of them, or wait until one expires.",
        )
    return agent
