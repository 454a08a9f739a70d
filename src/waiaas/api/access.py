"""Who is calling? From the Authorization header to somebody the route admits."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from waiaas.api.operator import Caller
from waiaas.api.services import Services
from waiaas.domain.access import SESSION_TOKEN_PREFIX, Credential, session_status
from waiaas.domain.enums import SessionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.records import AgentRecord, SessionRecord
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.sessions import hash_token
from waiaas.ports import LedgerTransaction

_SESSION_TOKEN: Final = re.compile(re.escape(SESSION_TOKEN_PREFIX) + r"[A-Za-z0-9_-]{43}")
_ASK_OPERATOR: Final = "Ask the operator for a session token."
_LOG_IN: Final = "Log in with the master password; an agent's token does not do."


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller; an agent is known by its session, the operator by the credential alone."""

    session: SessionRecord | None = None
    agent: AgentRecord | None = None
    key: str = ""
    """Names the credential; empty where none was needed."""


def identify(request: Request, credential: Credential, services: Services) -> Principal:
    """Return who calls, if the route's *credential* admits them.

    Raises:
        Refusal: INVALID_TOKEN, SESSION_REVOKED or SESSION_EXPIRED.
    """
    if credential in {Credential.PUBLIC, Credential.OWNER}:  # The signature is in the body.
        return Principal()
    if credential is Credential.AGENT:
        return _agent(_bearer(request, hint=_ASK_OPERATOR), services)
    token = _bearer(request, hint=_LOG_IN)
    if not services.operator.allows(token, credential):
        raise Refusal(ErrorCode.INVALID_TOKEN, "this needs the operator's credential", hint=_LOG_IN)
    return Principal(key=hash_token(token))


def recognise(request: Request, services: Services) -> Principal | None:
    """Return who calls, if the credential is good for anything, be it not for what was asked."""
    for credential in (Credential.AGENT, Credential.OPERATOR_LOOK):
        with suppress(Refusal):
            return identify(request, credential, services)
    return None


def login_caller(request: Request, services: Services) -> Caller:
    """Return who tries to log in; a credential that proves nothing is as good as none."""
    try:
        identify(request, Credential.OPERATOR_LOOK, services)
    except Refusal:
        return Caller.ANYBODY
    return Caller.LOCAL_USER


def _bearer(request: Request, *, hint: str) -> str:
    headers = request.headers.getlist("authorization")
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(
            ErrorCode.INVALID_TOKEN,
            "one `Authorization: Bearer …` header is needed",
            hint=hint,
        )
    return token


def _agent(token: str, services: Services) -> Principal:
    """Look the token up by its hash: the look-up is the check."""
    unknown = Refusal(ErrorCode.INVALID_TOKEN, "the session token is not known", hint=_ASK_OPERATOR)
    if _SESSION_TOKEN.fullmatch(token) is None:
        raise unknown
    token_hash = hash_token(token)
    wall_s = services.clock.now_s()

    def look_up(tx: LedgerTransaction) -> tuple[SessionRecord | None, AgentRecord | None, int]:
        session = tx.sessions.by_token_hash(token_hash)
        agent = None if session is None else tx.agents.get(session.agent_id)
        # Ledger time: a clock that is set back does not bring an expired session to life.
        return session, agent, ledger_time(tx, wall_s=wall_s)

    session, agent, now_s = services.ledger.read(look_up)
    if session is None:
        raise unknown
    status = session_status(
        now_s=now_s, expires_at=session.expires_at, revoked_at=session.revoked_at
    )
    if status is SessionStatus.REVOKED:
        raise Refusal(ErrorCode.SESSION_REVOKED, "the session was revoked", hint=_ASK_OPERATOR)
    if status is SessionStatus.EXPIRED:
        raise Refusal(ErrorCode.SESSION_EXPIRED, "the session has expired", hint=_ASK_OPERATOR)
    assert agent is not None, "a session goes with its agent"
    return Principal(session, agent, session.id)
