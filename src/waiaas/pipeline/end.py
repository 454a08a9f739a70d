"""Ending a transaction: its status, its attempt, its reservation and its audit row together."""

from collections.abc import Mapping
from typing import Final

from waiaas.domain.audit import SYSTEM
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.records import TransactionRecord
from waiaas.domain.transaction import AttemptState, ReservationState
from waiaas.pipeline.record import move
from waiaas.pipeline.session_use import give_back
from waiaas.ports import LedgerTransaction

_ENDED_ATTEMPT: Final[Mapping[TransactionStatus, AttemptState]] = {
    TransactionStatus.CONFIRMED: AttemptState.LANDED,
    TransactionStatus.FAILED: AttemptState.FAILED_ON_CHAIN,
    TransactionStatus.EXPIRED: AttemptState.EXPIRED,
}


def end(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    status: TransactionStatus,
    *,
    error: str | None,
    now_s: int,
    actor: str = SYSTEM,
) -> None:
    """End *transaction*, as read in this same *tx*; its money is spent or released, once.

    Raises:
        IllegalTransition, LostRace: as `move` does.
    """
    if transaction.status is TransactionStatus.SUBMITTED:
        ended = tx.attempts.compare_and_set_state(
            transaction.id, old=AttemptState.SENT, new=_ENDED_ATTEMPT[status]
        )
        assert ended, "a submitted transaction has one sent attempt"
    if error is not None:
        tx.transactions.set_error(transaction.id, error=error)
    spent = status is TransactionStatus.CONFIRMED
    settled = tx.reservations.settle(
        transaction.id,
        state=ReservationState.SPENT if spent else ReservationState.RELEASED,
        now_s=now_s,
    )
    assert settled, "money is spent or released once"
    if not spent:
        give_back(tx, transaction)
    details = {} if error is None else {"error": error}
    move(tx, transaction, status, now_s=now_s, actor=actor, details=details)


def is_unsigned(status: TransactionStatus, attempt: AttemptState | None) -> bool:
    """Tell whether a live transaction can still be called off: nothing of it was signed."""
    return status in {TransactionStatus.PENDING, TransactionStatus.QUEUED} or (
        status is TransactionStatus.EXECUTING and attempt is AttemptState.RECORDED
    )


def cancel_unsigned(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    *,
    error: str,
    now_s: int,
    actor: str = SYSTEM,
) -> bool:
    """Cancel *transaction*, as read in this same *tx*; False, changing nothing, if it is too late.

    A payload that was recorded is given up: whoever is signing it finds that he may not record the
    signature, and only recorded signatures are ever sent.
    """
    attempt = tx.attempts.of_transaction(transaction.id)
    if not is_unsigned(transaction.status, attempt and attempt.state):
        return False
    if attempt is not None:
        tx.attempts.compare_and_set_state(
            transaction.id, old=AttemptState.RECORDED, new=AttemptState.REPLACED
        )
    end(tx, transaction, TransactionStatus.CANCELLED, error=error, now_s=now_s, actor=actor)
    return True
