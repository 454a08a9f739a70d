"""Taking a request in: idempotency, permission, policy, reservation, and one durable commit.

The agent is answered only after that commit. A denial is an answer like any other: it is recorded
as a CANCELLED transaction with its reason, and a retry gets the same one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from waiaas.domain.access import session_status
from waiaas.domain.assets import Network
from waiaas.domain.audit import AuditEvent, agent_actor
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    PolicyTier,
    SessionStatus,
    TransactionStatus,
)
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, SessionId, TransactionId
from waiaas.domain.money import NATIVE
from waiaas.domain.records import (
    AcceptedRequest,
    AgentRecord,
    ApprovalRecord,
    SessionRecord,
    TransactionRecord,
)
from waiaas.domain.request import Batch, Request, outflows
from waiaas.pipeline.asked import Columns, Written, columns_of, write
from waiaas.pipeline.kill_switch import require_off
from waiaas.pipeline.record import ledger_time, move, remember
from waiaas.pipeline.restored import require_not_restored
from waiaas.pipeline.session_use import count_use
from waiaas.pipeline.usage import LedgerUsage
from waiaas.policy.evaluate import evaluate
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.verdict import Allow, Deny, Verdict, Violation
from waiaas.ports import Clock, GenerateId, Ledger, LedgerTransaction


@dataclass(frozen=True, slots=True)
class Caller:
    """The session that asks."""

    agent_id: AgentId
    session_id: SessionId
    ip_address: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, and by which key the caller will know it again."""

    request: Request
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a request: a transaction, and the refusal if it was denied."""

    transaction: TransactionRecord
    refusal: Refusal | None
    waits_until: int | None
    """The second in which its wait ends, if it is QUEUED."""


async def admit(
    asked: Asked,
    *,
    caller: Caller,
    ledger: Ledger,
    clock: Clock,
    generate_id: GenerateId,
    waits: WaitDefaults,
) -> Admission:
    """Decide on what is *asked* and write everything down, in one durable commit.

    A repeated key writes nothing: it gives the same transaction, as it stands now, and refusal.

    Raises:
        Refusal: IDEMPOTENCY_KEY_REUSED, AGENT_NOT_ACTIVE, SESSION_REVOKED, SESSION_EXPIRED,
            KILL_SWITCH_ACTIVE, LEDGER_RESTORED. These come before admission and are not remembered.
    """
    wall_s = clock.now_s()
    request, written = asked.request, write(asked.request)

    def unit(tx: LedgerTransaction) -> Admission:
        earlier = _earlier(tx, caller, asked)
        if earlier is not None:
            return _replay(tx, earlier, written)
        now_s = ledger_time(tx, wall_s=wall_s)
        agent, session = require_permission(tx, caller, now_s=now_s)
        require_off(tx)
        require_not_restored(tx)
        verdict = _evaluate(tx, request, agent, session, waits, now_s=now_s)
        tx_id = TransactionId(generate_id())
        transaction = _pending(tx_id, request, agent, caller, verdict, now_s=now_s)
        refusal = _refusal(verdict, tx_id)
        _insert(tx, transaction, request, generate_id)
        tx.requests.insert(_accepted(transaction, asked, written, refusal))
        _remember_request(tx, transaction, caller)
        if refusal is not None:
            _cancel(tx, transaction, caller, refusal, now_s=now_s)
        else:
            _hold(tx, transaction, request, now_s=now_s)
            count_use(tx, transaction)
            _queue_if_it_waits(tx, transaction, verdict, generate_id)
        return _admission(tx, tx_id, refusal)

    return await ledger.write_async(unit)


def require_permission(
    tx: LedgerTransaction, caller: Caller, *, now_s: int
) -> tuple[AgentRecord, SessionRecord]:
    """Return the caller's agent and session, if they may spend now.

    Asked inside the transaction that acts on the answer: a revocation committed before it counts.

    Raises:
        Refusal: SESSION_REVOKED, SESSION_EXPIRED, AGENT_NOT_FOUND, AGENT_NOT_ACTIVE.
    """
    session = tx.sessions.get(caller.session_id)
    if session is None or session.agent_id != caller.agent_id:
        raise Refusal(ErrorCode.SESSION_REVOKED, "the session does not exist any more")
    status = session_status(
        now_s=now_s, expires_at=session.expires_at, revoked_at=session.revoked_at
    )
    if status is not SessionStatus.ACTIVE:
        code = (
            ErrorCode.SESSION_REVOKED
            if status is SessionStatus.REVOKED
            else ErrorCode.SESSION_EXPIRED
        )
        raise Refusal(code, f"the session is {status}", hint="Ask the operator for a new session.")
    agent = tx.agents.get(caller.agent_id)
    if agent is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "the agent does not exist")
    if agent.status is not AgentStatus.ACTIVE:
        raise Refusal(
            ErrorCode.AGENT_NOT_ACTIVE,
            f"the agent is {agent.status} and may not spend",
            hint="Only the operator can make it ACTIVE.",
        )
    return agent, session


def _evaluate(
    tx: LedgerTransaction,
    request: Request,
    agent: AgentRecord,
    session: SessionRecord,
    waits: WaitDefaults,
    *,
    now_s: int,
) -> Verdict:
    return evaluate(
        request,
        network=Network(agent.chain, agent.network),
        policies=tx.policies.applying_to(agent.id),
        usage=LedgerUsage(tx, agent.id, now_s=now_s, session_id=session.id),
        waits=waits,
        now_s=now_s,
        constraints=session.constraints,
    )


def _pending(
    tx_id: TransactionId,
    request: Request,
    agent: AgentRecord,
    caller: Caller,
    verdict: Verdict,
    *,
    now_s: int,
) -> TransactionRecord:
    return TransactionRecord(
        id=tx_id,
        agent_id=agent.id,
        session_id=caller.session_id,
        chain=agent.chain,
        type=request.type,
        parent_id=None,
        batch_index=None,
        **columns_of(request)._asdict(),
        status=TransactionStatus.PENDING,
        tier=verdict.tier if isinstance(verdict, Allow) else None,
        tx_hash=None,
        created_at=now_s,
        executed_at=None,
        error=None,
        queued_at=None if _wait_s(verdict) is None else now_s,
    )


def _insert(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    request: Request,
    generate_id: GenerateId,
) -> None:
    """Write the row, and one for each part of a batch.

    Those say what the batch does, and follow its status.
    """
    tx.transactions.insert(transaction)
    for index, part in enumerate(request.parts if isinstance(request, Batch) else ()):
        tx.transactions.insert(
            transaction._replace(
                id=TransactionId(generate_id()),
                type=part.type,
                parent_id=transaction.id,
                batch_index=index,
                **columns_of(part)._asdict(),
            )
        )


def _accepted(
    transaction: TransactionRecord, asked: Asked, written: Written, refusal: Refusal | None
) -> AcceptedRequest:
    return AcceptedRequest(
        tx_id=transaction.id,
        agent_id=transaction.agent_id,
        idempotency_key=asked.idempotency_key,
        request=written.text,
        request_sha256=written.sha256,
        refusal=_dump(refusal),
        admitted_at=transaction.created_at if refusal is None else None,
    )


def _remember_request(
    tx: LedgerTransaction, transaction: TransactionRecord, caller: Caller
) -> None:
    event = _event(AuditAction.TX_REQUESTED, transaction, caller, {})
    remember(tx, event, now_s=transaction.created_at, tier=transaction.tier)


def _hold(
    tx: LedgerTransaction, transaction: TransactionRecord, request: Request, *, now_s: int
) -> None:
    """Set aside each asset that leaves; of what moves nothing, the nothing.

    So every admitted transaction has something that is settled once.
    """
    for asset, base_units in (outflows(request) or {NATIVE: 0}).items():
        tx.reservations.hold(
            transaction.id,
            agent_id=transaction.agent_id,
            asset=asset,
            amount=str(base_units),
            now_s=now_s,
        )


def _wait_s(verdict: Verdict) -> int | None:
    return verdict.wait_s if isinstance(verdict, Allow) else None


def _approval(approval_id: str, transaction: TransactionRecord, *, until_at: int) -> ApprovalRecord:
    return ApprovalRecord(
        id=approval_id,
        tx_id=transaction.id,
        required_by=until_at,
        expires_at=until_at,
        approved_at=None,
        rejected_at=None,
        created_at=transaction.created_at,
    )


def _queue_if_it_waits(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    verdict: Verdict,
    generate_id: GenerateId,
) -> None:
    """Let it wait for its time or for a person, if it has to; its money is set aside already."""
    wait_s = _wait_s(verdict)
    if wait_s is None:
        return
    until_at = transaction.created_at + wait_s
    if transaction.tier is PolicyTier.APPROVAL:
        tx.approvals.insert(_approval(generate_id(), transaction, until_at=until_at))
    tx.waits.begin(transaction.id, until_at=until_at)
    move(
        tx,
        transaction,
        TransactionStatus.QUEUED,
        now_s=transaction.created_at,
        details={"tier": transaction.tier, "until": until_at},
    )


def _refusal(verdict: Verdict, tx_id: TransactionId) -> Refusal | None:
    """Return how a denial is put to the agent, or None if the payment goes ahead or waits."""
    if isinstance(verdict, Allow):
        return None
    shown = _shown(verdict)
    return Refusal(
        shown.code,
        "; ".join(map(_words, verdict.violations)),
        hint=_hint(shown),
        details=_details(shown, tx_id),
    )


def _words(violation: Violation) -> str:
    """Say what one rule has against the request, and against which part of a batch."""
    if violation.part is None:
        return violation.message
    return f"instructions[{violation.part}]: {violation.message}"


def _shown(denial: Deny) -> Violation:
    """Return the one violation that is shown: the most fundamental, and of those the tightest.

    What to ask for instead, and when, has to get past all of them.
    """
    return replace(
        min(denial.violations, key=_precedence),
        max_allowed=denial.max_allowed,
        retry_at=denial.retry_at,
    )


def _precedence(violation: Violation) -> tuple[int, int]:
    return list(ErrorCode).index(violation.code), violation.max_allowed or 0


def _hint(violation: Violation) -> str:
    """Say what to do next. The old key keeps its answer, whatever time has passed since."""
    if violation.max_allowed is not None:
        return f"Ask for at most {violation.max_allowed} base units, or ask the operator."
    if violation.retry_at is not None:
        return "Ask again after retryAt, with a new Idempotency-Key, or ask the operator."
    return "Ask the operator to set a policy that allows this."


def _details(violation: Violation, tx_id: TransactionId) -> dict[str, str | int | None]:
    """Amounts are digits in strings: JSON numbers end at 2^53 in most clients."""
    return {
        "transactionId": tx_id,
        "rule": violation.rule,
        "bound": violation.bound,
        "limit": _digits(violation.limit),
        "observed": _digits(violation.observed),
        "maxAllowed": _digits(violation.max_allowed),
        "retryAt": violation.retry_at,
    }


def _digits(amount: int | None) -> str | None:
    return None if amount is None else str(amount)


def _cancel(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    caller: Caller,
    refusal: Refusal,
    *,
    now_s: int,
) -> None:
    remember(
        tx, _event(AuditAction.POLICY_VIOLATION, transaction, caller, refusal.details), now_s=now_s
    )
    tx.transactions.set_error(transaction.id, error=str(refusal))
    move(
        tx,
        transaction,
        TransactionStatus.CANCELLED,
        now_s=now_s,
        details={"code": refusal.code},
    )


def _event(
    action: AuditAction,
    transaction: TransactionRecord,
    caller: Caller,
    details: Mapping[str, str | int | None],
) -> AuditEvent:
    return AuditEvent(
        action,
        agent_actor(transaction.agent_id),
        agent_id=transaction.agent_id,
        session_id=caller.session_id,
        tx_id=transaction.id,
        details={**_told(transaction), **details},
        ip_address=caller.ip_address,
    )


def _told(transaction: TransactionRecord) -> dict[str, str | None]:
    """Return what the audit log tells of a request; its rows and its text hold the rest."""
    columns = {name: getattr(transaction, name) for name in Columns._fields}
    columns["to"] = columns.pop("to_address")
    known = {name: value for name, value in columns.items() if value is not None}
    return {"type": transaction.type, **known, "tier": transaction.tier}


def _earlier(tx: LedgerTransaction, caller: Caller, asked: Asked) -> AcceptedRequest | None:
    """Return what this agent asked for under the same key."""
    if asked.idempotency_key is None:
        return None
    return tx.requests.by_key(caller.agent_id, idempotency_key=asked.idempotency_key)


def _replay(tx: LedgerTransaction, earlier: AcceptedRequest, written: Written) -> Admission:
    if earlier.request_sha256 != written.sha256:
        raise Refusal(
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            "this Idempotency-Key was used for another request",
            hint="Give each new payment a key of its own; repeat a key only with the same body.",
            details={"transactionId": earlier.tx_id},
        )
    return _admission(tx, earlier.tx_id, _load(earlier.refusal))


def _admission(tx: LedgerTransaction, tx_id: TransactionId, refusal: Refusal | None) -> Admission:
    transaction = tx.transactions.get(tx_id)
    assert transaction is not None, "a request and its transaction are written together"
    return Admission(transaction, refusal, tx.waits.until(tx_id))


def _dump(refusal: Refusal | None) -> str | None:
    if refusal is None:
        return None
    return json.dumps(
        {
            "code": refusal.code,
            "message": refusal.message,
            "hint": refusal.hint,
            "details": dict(refusal.details),
        }
    )


def _load(refusal: str | None) -> Refusal | None:
    if refusal is None:
        return None
    stored = json.loads(refusal)
    return Refusal(
        ErrorCode(stored["code"]),
        stored["message"],
        hint=stored["hint"],
        details=stored["details"],
    )
