"""Taking a request in: idempotency, permission, policy, reservation, and one durable commit.

The agent is answered only after that commit. A denial is an answer like any other: it is recorded
as a CANCELLED transaction with its reason, and a retry gets the same one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from waiaas.domain.access import session_status
from waiaas.domain.assets import require_adapter
from waiaas.domain.audit import AuditEvent, agent_actor
from waiaas.domain.clock import ClockDoubt
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
from waiaas.domain.request import Batch, Request
from waiaas.domain.waiting import PENDING_MAX_DEFAULT, WAITING_MAX_DEFAULT
from waiaas.pipeline.asked import Asked, Written, columns_of, write
from waiaas.pipeline.clock_guard import refuse_in_doubt
from waiaas.pipeline.decisions import judge, record_decision
from waiaas.pipeline.denial import dump, load, refusal_of
from waiaas.pipeline.guards import after_rules, before_rules, reused_key
from waiaas.pipeline.kill_switch import require_off
from waiaas.pipeline.record import ledger_time, move, remember
from waiaas.pipeline.refuse import unless_refused
from waiaas.pipeline.rent import money_of
from waiaas.pipeline.restored import require_not_restored
from waiaas.pipeline.session_use import count_use
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.verdict import Allow, Verdict
from waiaas.ports import GenerateId, GuardedClock, Ledger, LedgerTransaction


@dataclass(frozen=True, slots=True)
class Caller:
    """The session that asks."""

    agent_id: AgentId
    session_id: SessionId
    ip_address: str | None


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """What holds for every agent, where no policy says it."""

    waits: WaitDefaults = field(default_factory=WaitDefaults)
    """How long is waited where a rule does not say."""
    pending_max: int = PENDING_MAX_DEFAULT
    """How many transactions of one agent may have begun and not ended."""
    waiting_max: int = WAITING_MAX_DEFAULT
    """How many of them may wait for their time or for a person."""


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
    clock: GuardedClock,
    generate_id: GenerateId,
    rules: AdmissionRules,
    is_locked: bool = False,
) -> Admission:
    """Decide on what is *asked* and write everything down, in one durable commit.

    A repeated key writes nothing: it gives the same transaction, as it stands now, and refusal.

    Raises:
        Refusal: IDEMPOTENCY_KEY_REUSED, NOT_SUPPORTED_YET, AGENT_NOT_ACTIVE, SESSION_REVOKED,
            SESSION_EXPIRED, KILL_SWITCH_ACTIVE, LEDGER_RESTORED, CLOCK_IN_DOUBT, KEYSTORE_LOCKED,
            REFERENCE_REUSED, DUPLICATE_REQUEST, TOO_MANY_PENDING. These come before admission and
            are not remembered.
    """
    wall_s = clock.now_s()
    request, written = asked.request, write(asked.request)

    def unit(tx: LedgerTransaction) -> Admission | Refusal:
        earlier = earlier_of(tx, caller.agent_id, asked)
        if earlier is not None:
            return _replay(tx, earlier, asked, written)
        now_s = ledger_time(tx, wall_s=wall_s)
        agent, session = require_permission(tx, caller, now_s=now_s)
        require_off(tx)
        require_not_restored(tx)
        if closed := _closed(tx, clock.doubt(), is_locked=is_locked, now_s=now_s):
            return _remember_refusal(tx, closed, caller, now_s=now_s)
        if refused := _guarded(tx, caller, asked, written, rules, now_s=now_s):
            return refused
        judged = judge(tx, request, agent, session, rules.waits, now_s=now_s)
        verdict = judged.verdict
        if refused := _crowded(tx, caller, verdict, rules, now_s=now_s):
            return refused
        tx_id = TransactionId(generate_id())
        transaction = _pending(tx_id, request, agent, caller, verdict, now_s=now_s)
        refusal = refusal_of(verdict, tx_id)
        _insert(tx, transaction, request, generate_id)
        tx.requests.insert(_accepted(transaction, asked, written, refusal))
        record_decision(tx, transaction, judged, now_s=now_s)
        _remember_request(tx, transaction, caller)
        if refusal is not None:
            return _cancel(tx, transaction, caller, refusal, now_s=now_s)
        money = money_of(request, verdict)
        _hold(tx, transaction, money, now_s=now_s)
        _claim_reference(tx, transaction, asked)
        count_use(tx, session, base_units=money.get(NATIVE, 0))
        return _queue_if_it_waits(tx, transaction, verdict, generate_id)

    return await unless_refused(ledger, unit)


def require_permission(
    tx: LedgerTransaction, caller: Caller, *, now_s: int
) -> tuple[AgentRecord, SessionRecord]:
    """Return the caller's agent and session, if they may spend now.

    Asked inside the transaction that acts on the answer: a revocation committed before it counts.

    Raises:
        Refusal: NOT_SUPPORTED_YET, SESSION_REVOKED, SESSION_EXPIRED, AGENT_NOT_FOUND,
            AGENT_NOT_ACTIVE.
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
    return require_active(tx, caller.agent_id), session


def require_active(tx: LedgerTransaction, agent_id: AgentId) -> AgentRecord:
    """Return the agent, if it may spend.

    Raises:
        Refusal: NOT_SUPPORTED_YET, AGENT_NOT_FOUND, AGENT_NOT_ACTIVE.
    """
    agent = tx.agents.get(agent_id)
    if agent is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "the agent does not exist")
    require_adapter(agent.lives_on)
    if agent.status is not AgentStatus.ACTIVE:
        raise Refusal(
            ErrorCode.AGENT_NOT_ACTIVE,
            f"the agent is {agent.status} and may not spend",
            hint="Only the operator can make it ACTIVE.",
        )
    return agent


def _guarded(
    tx: LedgerTransaction,
    caller: Caller,
    asked: Asked,
    written: Written,
    rules: AdmissionRules,
    *,
    now_s: int,
) -> Refusal | None:
    """Return what one of the guards has against it, written down, or None."""
    refusal = before_rules(
        tx, asked, written, caller.agent_id, pending_max=rules.pending_max, now_s=now_s
    )
    return None if refusal is None else _remember_refusal(tx, refusal, caller, now_s=now_s)


def _crowded(
    tx: LedgerTransaction, caller: Caller, verdict: Verdict, rules: AdmissionRules, *, now_s: int
) -> Refusal | None:
    """Return the refusal of one more that has to wait, written down, or None."""
    refusal = after_rules(tx, verdict, caller.agent_id, waiting_max=rules.waiting_max)
    return None if refusal is None else _remember_refusal(tx, refusal, caller, now_s=now_s)


def _closed(
    tx: LedgerTransaction, doubt: ClockDoubt | None, *, is_locked: bool, now_s: int
) -> Refusal | None:
    """Return why nobody is paid at present, whoever asks; or None."""
    if doubt is not None:
        return refuse_in_doubt(tx, doubt, now_s=now_s)
    if is_locked:  # It would set money aside for as long as nobody unlocks.
        return Refusal(ErrorCode.KEYSTORE_LOCKED, "the keystore is locked: nothing is signed")
    return None


def _remember_refusal(
    tx: LedgerTransaction, refusal: Refusal, caller: Caller, *, now_s: int
) -> Refusal:
    earlier = refusal.details.get("transactionId")
    event = AuditEvent(
        AuditAction.REQUEST_REFUSED,
        agent_actor(caller.agent_id),
        agent_id=caller.agent_id,
        session_id=caller.session_id,
        tx_id=None if earlier is None else TransactionId(str(earlier)),
        details={"code": refusal.code},
        ip_address=caller.ip_address,
    )
    remember(tx, event, now_s=now_s)
    return refusal


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
        reference=asked.reference,
        refusal=dump(refusal),
        admitted_at=transaction.created_at if refusal is None else None,
    )


def _remember_request(
    tx: LedgerTransaction, transaction: TransactionRecord, caller: Caller
) -> None:
    event = _event(AuditAction.TX_REQUESTED, transaction, caller, {})
    remember(tx, event, now_s=transaction.created_at, tier=transaction.tier)


def _hold(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    money: Mapping[str, int],
    *,
    now_s: int,
) -> None:
    """Set aside each asset that leaves, or may; of what moves nothing, the nothing.

    So every admitted transaction has something that is settled once.
    """
    for asset, base_units in (money or {NATIVE: 0}).items():
        tx.reservations.hold(
            transaction.id,
            agent_id=transaction.agent_id,
            asset=asset,
            amount=str(base_units),
            now_s=now_s,
        )


def _claim_reference(tx: LedgerTransaction, transaction: TransactionRecord, asked: Asked) -> None:
    """Take the reference, until this transaction has provably moved nothing."""
    if asked.reference is not None:
        tx.requests.claim_reference(
            transaction.id, agent_id=transaction.agent_id, reference=asked.reference
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
) -> Admission:
    """Let it wait for its time or for a person, if it has to; its money is set aside already."""
    wait_s = _wait_s(verdict)
    if wait_s is None:
        return Admission(transaction, None, None)
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
    return Admission(transaction._replace(status=TransactionStatus.QUEUED), None, until_at)


def _cancel(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    caller: Caller,
    refusal: Refusal,
    *,
    now_s: int,
) -> Admission:
    remember(
        tx, _event(AuditAction.POLICY_VIOLATION, transaction, caller, refusal.details), now_s=now_s
    )
    reason = str(refusal)
    tx.transactions.set_error(transaction.id, error=reason)
    move(
        tx,
        transaction,
        TransactionStatus.CANCELLED,
        now_s=now_s,
        details={"code": refusal.code},
    )
    cancelled = transaction._replace(status=TransactionStatus.CANCELLED, error=reason)
    return Admission(cancelled, refusal, None)


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


_TOLD: Final = MappingProxyType(
    {
        "amount": "amount",
        "to_address": "to",
        "token_mint": "tokenMint",
        "contract_address": "contractAddress",
        "method_signature": "methodSignature",
        "spender_address": "spenderAddress",
        "approved_amount": "approvedAmount",
    }
)
"""The columns of a request, and as what the audit log tells them."""


def _told(transaction: TransactionRecord) -> dict[str, str | None]:
    """Return what the audit log tells of a request; its rows and its text hold the rest."""
    known = {
        told: value
        for column, told in _TOLD.items()
        if (value := getattr(transaction, column)) is not None
    }
    return {"type": transaction.type, **known, "tier": transaction.tier}


def earlier_of(tx: LedgerTransaction, agent_id: AgentId, asked: Asked) -> AcceptedRequest | None:
    """Return what this agent asked for under the same key."""
    if asked.idempotency_key is None:
        return None
    return tx.requests.by_key(agent_id, idempotency_key=asked.idempotency_key)


def _replay(
    tx: LedgerTransaction, earlier: AcceptedRequest, asked: Asked, written: Written
) -> Admission:
    if refused := reused_key(earlier, asked, written):
        raise refused
    transaction = tx.transactions.get(earlier.tx_id)
    assert transaction is not None, "a request and its transaction are written together"
    return Admission(transaction, load(earlier.refusal), tx.waits.until(earlier.tx_id))
