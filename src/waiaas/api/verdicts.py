"""What would become of a request: for the operator of any agent's, for an agent of its own.

It is asked as it would be sent, so a repeated one is told as such. One renderer for all who ask.
Nothing is written, nothing set aside, and no node is asked but for the decimals of a token: whether
the chain would take the payment, only sending it tells.
"""

from typing import Final

from waiaas.api.requests import digits, idempotency_key_of, request_of
from waiaas.api.routes import Call, Route
from waiaas.api.strict_json import decode
from waiaas.api.wallet import agent_of
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, SessionId, is_id
from waiaas.domain.records import AgentRecord
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.explain import Explained, explain
from waiaas.policy.verdict import Allow, Deny, Violation
from waiaas.wire.requests import (
    AskApprove,
    AskBatch,
    AskContractCall,
    AskRequest,
    AskTokenTransfer,
    AskTransfer,
)
from waiaas.wire.verdicts import Denial, ExplainRequest, Explanation, Reason

_OTHERS: Final = (AskTokenTransfer, AskContractCall, AskApprove, AskBatch)
"""What may be asked for beside a transfer, told by its `type`."""


async def explain_any(call: Call) -> Explanation:
    """Tell the operator what a request of an agent would get now."""
    body: ExplainRequest = call.body
    message = decode(bytes(body.request), AskTransfer, *_OTHERS, within="request")
    agent_id = AgentId(body.agent_id)
    agent = call.services.ledger.read(
        lambda tx: tx.agents.get(agent_id) if is_id(agent_id) else None
    )
    if agent is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
    session_id = None if body.session_id is None else SessionId(body.session_id)
    if session_id is not None and not is_id(session_id):
        raise Refusal(ErrorCode.SESSION_REVOKED, "the session does not exist")
    return await _explain(call, message, body.idempotency_key, agent, session_id)


async def simulate_own(call: Call) -> Explanation:
    """Tell an agent what a request of its own would get now."""
    session = call.principal.session
    assert session is not None, "the route's credential is AGENT"
    key = idempotency_key_of(call.request)
    return await _explain(call, call.body, key, agent_of(call.principal), session.id)


async def _explain(
    call: Call,
    message: AskRequest,
    idempotency_key: str | None,
    agent: AgentRecord,
    session_id: SessionId | None,
) -> Explanation:
    services = call.services
    request = await request_of(message, agent=agent, chain=services.chains.get(agent.lives_on))
    asked = Asked(request, idempotency_key, message.reference, message.allow_duplicate)
    return rendered(
        services.ledger.read(
            lambda tx: explain(
                tx,
                asked,
                agent_id=agent.id,
                session_id=session_id,
                rules=services.admission,
                wall_s=services.clock.now_s(),
                doubt=services.clock.doubt(),
            )
        ),
        is_locked=services.keystore.is_locked,
    )


def rendered(explained: Explained, *, is_locked: bool = False) -> Explanation:
    """Return the message that tells what a request would get, and whether the keystore is locked.

    A lock is no part of the verdict: what the rules say can be asked while nothing is signed.
    """
    verdict, refusal, repeated = explained.verdict, explained.refusal, explained.repeated
    allow = verdict if isinstance(verdict, Allow) and refusal is None else None
    return Explanation(
        tier=repeated.tier if repeated else allow.tier if allow else None,
        wait_seconds=None if allow is None else allow.wait_s,
        denial=None
        if refusal is None
        else Denial(refusal.code, refusal.message, refusal.hint, _told(refusal)),
        violations=[*map(_reason, verdict.violations)] if isinstance(verdict, Deny) else [],
        escalations=[] if verdict is None else [*map(_reason, verdict.escalations)],
        rent=None if allow is None or allow.rent is None else allow.rent.message,
        at=explained.at_s,
        repeats=None if repeated is None else repeated.id,
        keystore_locked=is_locked,
    )


def _told(refusal: Refusal) -> dict[str, str | int]:
    return {name: value for name, value in refusal.details.items() if value is not None}


def _reason(violation: Violation) -> Reason:
    return Reason(
        code=violation.code,
        rule=violation.rule,
        message=violation.message,
        asset=violation.asset,
        bound=violation.bound,
        limit=digits(violation.limit),
        observed=digits(violation.observed),
        max_allowed=digits(violation.max_allowed),
        retry_at=violation.retry_at,
        tier=violation.tier,
        delay_seconds=violation.delay_s,
        approval_seconds=violation.approval_s,
        part=violation.part,
    )


_CODES = (
    ErrorCode.INVALID_ADDRESS,
    ErrorCode.INVALID_AMOUNT,
    ErrorCode.NOT_SUPPORTED_YET,
    ErrorCode.NETWORK_NOT_CONFIGURED,
    ErrorCode.CHAIN_UNAVAILABLE,
    ErrorCode.AGENT_NOT_ACTIVE,
    ErrorCode.KILL_SWITCH_ACTIVE,
    ErrorCode.LEDGER_RESTORED,
    ErrorCode.CLOCK_IN_DOUBT,
)

ROUTES = (
    Route(
        "POST",
        "/v1/policies/explain",
        Credential.OPERATOR_LOOK,
        explain_any,
        Explanation,
        body=ExplainRequest,
        codes=(*_CODES, ErrorCode.AGENT_NOT_FOUND),
    ),
    Route(
        "POST",
        "/v1/transactions/simulate",
        Credential.AGENT,
        simulate_own,
        Explanation,
        body=AskTransfer,
        other_bodies=_OTHERS,
        codes=_CODES,
    ),
)
