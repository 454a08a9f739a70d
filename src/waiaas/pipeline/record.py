"""Writing down what happened: ledger time, and the one way to change a status."""

from collections.abc import Mapping

from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import PolicyTier, TransactionStatus, TransactionType
from waiaas.domain.notification import notification_of
from waiaas.domain.records import TransactionRecord
from waiaas.domain.transaction import AUDIT_ACTIONS, check_transition
from waiaas.ports import LedgerTransaction


class LostRace(Exception):  # noqa: N818 -- says what happened
    """Somebody else changed the row first; whoever tried must look again."""


def ledger_time(tx: LedgerTransaction, *, wall_s: int) -> int:
    """Return the time of an act: the wall clock, but never before the last recorded second.

    A clock that is set back can therefore not reopen a window that was already spent.
    """
    return max(wall_s, tx.audit.latest_timestamp())


def remember(
    tx: LedgerTransaction, event: AuditEvent, *, now_s: int, tier: PolicyTier | None = None
) -> None:
    """Write an act into the audit log, and what the owner is told of it into the outbox.

    Args:
        tx: the transaction of the act itself.
        event: the act.
        now_s: ledger time.
        tier: of the transaction it is about, if it is about one that was not denied.
    """
    tx.audit.append(event, now_s=now_s)
    notification = notification_of(event, tier)
    if notification is not None:
        tx.outbox.append(notification, now_s=now_s)


def move(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    new: TransactionStatus,
    *,
    now_s: int,
    actor: str = SYSTEM,
    details: Mapping[str, str | int | None] | None = None,
) -> None:
    """Change the status of *transaction*, as read in this same *tx*, and write the audit row.

    The parts of a batch go along: all of them happen or none.

    Raises:
        IllegalTransition: the table in `waiaas.domain.transaction` does not allow it.
        LostRace: the row is not in the state that was read.
    """
    check_transition(transaction.status, new)
    if not tx.transactions.compare_and_set_status(transaction.id, old=transaction.status, new=new):
        raise LostRace(f"transaction {transaction.id} is not {transaction.status} any more")
    if transaction.type is TransactionType.BATCH:
        # One chain transaction, so its parts have no life of their own, and no audit rows either.
        tx.transactions.set_status_of_parts(transaction.id, old=transaction.status, new=new)
    if transaction.status is TransactionStatus.QUEUED:
        tx.waits.end(transaction.id, now_s=now_s)
    remember(
        tx,
        AuditEvent(
            AUDIT_ACTIONS[new],
            actor,
            agent_id=transaction.agent_id,
            session_id=transaction.session_id,
            tx_id=transaction.id,
            details={"from": transaction.status, "to": new, **(details or {})},
        ),
        now_s=now_s,
        tier=transaction.tier,
    )
