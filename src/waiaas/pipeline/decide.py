"""Deciding on a payment that is under way. One compare-and-set; the first decision wins.

What comes too late is refused, and the refusal is written down: who tried what, and why not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waiaas.domain.audit import OPERATOR, AuditEvent, agent_actor, owner_actor
from waiaas.domain.enums import AuditAction, TransactionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, SessionId, TransactionId, is_id
from waiaas.domain.records import TransactionRecord
from waiaas.domain.times import time_in_words
from waiaas.pipeline.end import cancel_unsigned
from waiaas.pipeline.kill_switch import refusal_while_on
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.refuse import unless_refused
from waiaas.pipeline.restored import require_not_restored
from waiaas.ports import Clock, Ledger, LedgerTransaction

_CANCEL: Final = "cancel"
_APPROVE: Final = "approve"
_REJECT: Final = "reject"
_NO_DETAILS: Final[Mapping[str, str | int | None]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides: the operator, an owner, or an agent on what is its own."""

    agent_id: AgentId | None
    """None: the operator or the owner."""
    session_id: SessionId | None
    ip_address: str | None
    owner_address: str | None = None
    """The owner's, if it is he; only his signature makes one of these."""

    @property
    def actor(self) -> str:
        """How the audit log names it."""
        if self.owner_address is not None:
            return owner_actor(self.owner_address)
        return OPERATOR if self.agent_id is None else agent_actor(self.agent_id)


Decision = Callable[[LedgerTransaction, TransactionRecord, int], Refusal | None]
"""Acts on a transaction at a second of ledger time, or changes nothing and says why."""


async def cancel(
    tx_id: TransactionId, *, by: Decider, ledger: Ledger, clock: Clock
) -> TransactionRecord:
    """Call a payment off of which nothing was signed; return it as it is now.

    Raises:
        Refusal: TX_NOT_FOUND, TX_ALREADY_PROCESSED, LEDGER_RESTORED.
    """

    def decide(tx: LedgerTransaction, transaction: TransactionRecord, now_s: int) -> Refusal | None:
        error = f"{ErrorCode.TX_CANCELLED}: called off by {by.actor}"
        if cancel_unsigned(tx, transaction, error=error, now_s=now_s, actor=by.actor):
            return None
        return too_late(transaction, "cancelled")

    return await decided(tx_id, _CANCEL, decide, by=by, ledger=ledger, clock=clock)


async def approve(
    tx_id: TransactionId, *, by: Decider, ledger: Ledger, clock: Clock
) -> TransactionRecord:
    """Let a payment that waits for a person go; return it, still QUEUED and now due.

    Raises:
        Refusal: TX_NOT_FOUND, APPROVAL_NOT_FOUND, APPROVAL_TIMEOUT, TX_ALREADY_PROCESSED,
            KILL_SWITCH_ACTIVE, OWNER_REQUIRED, LEDGER_RESTORED.
    """

    def decide(tx: LedgerTransaction, transaction: TransactionRecord, now_s: int) -> Refusal | None:
        return _owner_required(tx, transaction) or let_go(tx, transaction, by, now_s=now_s)

    return await decided(tx_id, _APPROVE, decide, by=by, ledger=ledger, clock=clock)


async def reject(
    tx_id: TransactionId, *, by: Decider, ledger: Ledger, clock: Clock
) -> TransactionRecord:
    """Let a payment that waits for a person never go; return it, cancelled.

    Raises:
        Refusal: as `approve` does, but for OWNER_REQUIRED: rejecting only tightens.
    """

    def decide(tx: LedgerTransaction, transaction: TransactionRecord, now_s: int) -> Refusal | None:
        return turn_down(tx, transaction, by, now_s=now_s)

    return await decided(tx_id, _REJECT, decide, by=by, ledger=ledger, clock=clock)


def let_go(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    by: Decider,
    *,
    now_s: int,
    owner_signature: str | None = None,
    details: Mapping[str, str | int | None] = _NO_DETAILS,
) -> Refusal | None:
    """Approve *transaction*, as read in this same *tx*, or change nothing and say why."""
    refusal = refusal_while_on(tx) or undecidable(tx, transaction, "approved", now_s=now_s)
    if refusal is not None:
        return refusal
    if not tx.approvals.approve(transaction.id, now_s=now_s, owner_signature=owner_signature):
        return too_late(transaction, "approved")
    tx.waits.hasten(transaction.id, until_at=now_s)
    _audit(tx, transaction, AuditAction.TX_APPROVED, by, details, now_s=now_s)
    return None


def turn_down(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    by: Decider,
    *,
    now_s: int,
    owner_signature: str | None = None,
    details: Mapping[str, str | int | None] = _NO_DETAILS,
) -> Refusal | None:
    """Reject *transaction*, as read in this same *tx*, or change nothing and say why."""
    refusal = undecidable(tx, transaction, "rejected", now_s=now_s)
    if refusal is not None:
        return refusal
    if not tx.approvals.reject(transaction.id, now_s=now_s, owner_signature=owner_signature):
        return too_late(transaction, "rejected")
    _audit(tx, transaction, AuditAction.TX_REJECTED, by, details, now_s=now_s)
    # The agent reads this, and need not learn whose wallet the owner's is.
    who = by.actor if by.owner_address is None else "the owner"
    error = f"{ErrorCode.TX_CANCELLED}: rejected by {who}"
    cancel_unsigned(tx, transaction, error=error, now_s=now_s, actor=by.actor)
    return None


def _owner_required(tx: LedgerTransaction, transaction: TransactionRecord) -> Refusal | None:
    """Return why the operator cannot approve: there is an owner, who has proved his key."""
    owner = tx.owners.of_agent(transaction.agent_id)
    if owner is None or not owner.binds_operator:
        return None
    return Refusal(
        ErrorCode.OWNER_REQUIRED,
        f"only the owner, {owner.address}, approves payments of this agent",
        hint="`waiaas approval message` prints what the owner has to sign.",
    )


def undecidable(
    tx: LedgerTransaction, transaction: TransactionRecord, participle: str, *, now_s: int
) -> Refusal | None:
    """Return why a person has nothing to decide, or None if he has."""
    approval = tx.approvals.of_transaction(transaction.id)
    if approval is None:
        return Refusal(
            ErrorCode.APPROVAL_NOT_FOUND, "this transaction does not wait for anybody's approval"
        )
    if transaction.status is not TransactionStatus.QUEUED:
        return too_late(transaction, participle)
    if approval.approved_at is None and approval.expires_at <= now_s:
        return Refusal(
            ErrorCode.APPROVAL_TIMEOUT,
            f"the time to decide ended at {time_in_words(approval.expires_at)}",
            hint="The agent has to ask again.",
        )
    return None


async def decided(
    tx_id: TransactionId,
    decision: str,
    decide: Decision,
    *,
    by: Decider,
    ledger: Ledger,
    clock: Clock,
) -> TransactionRecord:
    """Run *decide* on a transaction in one unit; a refusal leaves nothing but its audit row."""
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> TransactionRecord | Refusal:
        transaction = _own(tx, tx_id, by)
        require_not_restored(tx)
        now_s = ledger_time(tx, wall_s=wall_s)
        refusal = decide(tx, transaction, now_s)
        if refusal is None:
            return _own(tx, tx_id, by)
        details = {"decision": decision, "code": refusal.code, "status": transaction.status}
        _audit(tx, transaction, AuditAction.TX_DECISION_REFUSED, by, details, now_s=now_s)
        return refusal

    return await unless_refused(ledger, unit)


def too_late(transaction: TransactionRecord, participle: str) -> Refusal:
    """Return the refusal of what came after another decision, or after the signature."""
    return Refusal(
        ErrorCode.TX_ALREADY_PROCESSED,
        f"the transaction is {transaction.status} and cannot be {participle} any more",
        details={"transactionId": transaction.id},
    )


def _audit(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    action: AuditAction,
    by: Decider,
    details: Mapping[str, str | int | None],
    *,
    now_s: int,
) -> None:
    event = AuditEvent(
        action,
        by.actor,
        agent_id=transaction.agent_id,
        session_id=by.session_id,
        tx_id=transaction.id,
        details=details,
        ip_address=by.ip_address,
    )
    remember(tx, event, now_s=now_s)


def _own(tx: LedgerTransaction, tx_id: TransactionId, by: Decider) -> TransactionRecord:
    transaction = tx.transactions.get(tx_id) if is_id(tx_id) else None
    if transaction is None or by.agent_id not in {None, transaction.agent_id}:
        raise Refusal(ErrorCode.TX_NOT_FOUND, "there is no such transaction")
    return transaction
