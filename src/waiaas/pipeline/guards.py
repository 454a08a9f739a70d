"""What an agent is kept from asking for, whatever the policies say: twice the same, and too much.

Each guard answers with a refusal, or None, and writes nothing, so explaining asks them, too. Who is
refused a payment leaves an audit row and nothing else: it is not remembered under the idempotency
key, so the same may be asked for again.
"""

from typing import Final

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AcceptedRequest
from waiaas.domain.transaction import is_terminal
from waiaas.pipeline.asked import Asked, Written
from waiaas.policy.verdict import Allow, Verdict
from waiaas.ports import LedgerTransaction

DUPLICATE_WINDOW_S: Final = 60
"""For so long an equal request without an Idempotency-Key is taken for a repeated one."""

_LIVE: Final = tuple(status for status in TransactionStatus if not is_terminal(status))


def before_rules(
    tx: LedgerTransaction,
    asked: Asked,
    written: Written,
    agent_id: AgentId,
    *,
    pending_max: int,
    now_s: int,
) -> Refusal | None:
    """Return what keeps an agent from asking for this, whatever the rules would say of it."""
    return (
        reused_reference(tx, asked, agent_id)
        or repeated(tx, asked, written, agent_id, now_s=now_s)
        or too_many_pending(tx, agent_id, most=pending_max)
    )


def after_rules(
    tx: LedgerTransaction, verdict: Verdict, agent_id: AgentId, *, waiting_max: int
) -> Refusal | None:
    """Return what keeps an agent from asking for this, where the rules let it wait."""
    if not isinstance(verdict, Allow) or verdict.wait_s is None:
        return None
    return too_many_waiting(tx, agent_id, most=waiting_max)


def reused_key(earlier: AcceptedRequest, asked: Asked, written: Written) -> Refusal | None:
    """Refuse another request under the key of an *earlier* one."""
    if (earlier.request_sha256, earlier.reference) == (written.sha256, asked.reference):
        return None
    return Refusal(
        ErrorCode.IDEMPOTENCY_KEY_REUSED,
        "this Idempotency-Key was used for another request",
        hint="Give each new payment a key of its own; repeat a key only with the same body.",
        details={"transactionId": earlier.tx_id},
    )


def reused_reference(tx: LedgerTransaction, asked: Asked, agent_id: AgentId) -> Refusal | None:
    """Refuse to pay a second time for what the agent calls the same.

    The reference is free again once the payment that has it provably moved nothing.
    """
    if asked.reference is None:
        return None
    earlier = tx.requests.claimed_by(agent_id, reference=asked.reference)
    if earlier is None:
        return None
    return Refusal(
        ErrorCode.REFERENCE_REUSED,
        f"transaction {earlier} has this reference and has moved money, or still may",
        hint="It is paid once. Look at that transaction; another payment needs another reference.",
        details={"transactionId": earlier},
    )


def repeated(
    tx: LedgerTransaction, asked: Asked, written: Written, agent_id: AgentId, *, now_s: int
) -> Refusal | None:
    """Refuse what was just asked for, if nothing tells a second payment from a repeated request.

    A key tells them apart, and so do another reference and the caller's word. What was denied, or
    provably moved nothing, was no payment.
    """
    if asked.idempotency_key is not None or asked.allow_duplicate:
        return None
    earlier = tx.requests.admitted_like(
        agent_id,
        request_sha256=written.sha256,
        reference=asked.reference,
        since_s=now_s - DUPLICATE_WINDOW_S,
    )
    if earlier is None:
        return None
    return Refusal(
        ErrorCode.DUPLICATE_REQUEST,
        f"the same was asked for less than {DUPLICATE_WINDOW_S} seconds ago",
        hint="Look at that transaction. If a second one is meant, send an Idempotency-Key of its "
        "own, or allowDuplicate.",
        details={"transactionId": earlier},
    )


def too_many_pending(tx: LedgerTransaction, agent_id: AgentId, *, most: int) -> Refusal | None:
    """Refuse to begin more than *most* payments of an agent that have not ended."""
    return _too_many(
        tx, agent_id, _LIVE, most=most, what="have not ended", hint="Ask again when some have."
    )


def too_many_waiting(tx: LedgerTransaction, agent_id: AgentId, *, most: int) -> Refusal | None:
    """Refuse to let more than *most* payments of an agent wait for their time or for a person."""
    return _too_many(
        tx,
        agent_id,
        (TransactionStatus.QUEUED,),
        most=most,
        what="wait for their time or for a decision",
        hint="Ask again when one was made, approved, rejected or cancelled.",
    )


def _too_many(
    tx: LedgerTransaction,
    agent_id: AgentId,
    statuses: tuple[TransactionStatus, ...],
    *,
    most: int,
    what: str,
    hint: str,
) -> Refusal | None:
    if tx.transactions.are_fewer(agent_id, statuses=statuses, most=most):
        return None
    return Refusal(
        ErrorCode.TOO_MANY_PENDING,
        f"{most} transactions of this agent {what}, and that is the most",
        hint=hint,
        details={"limit": str(most), "observed": str(most + 1)},
    )
