"""Ending a transaction: its status, its attempt, its reservation and its audit row together.

An agent that is being terminated ends with the last of its transactions.
"""

from collections.abc import Mapping
from typing import Final

from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AgentStatus, AuditAction, TransactionStatus
from waiaas.domain.event_values import TEXT_CHARACTERS_MAX
from waiaas.domain.ids import AgentId
from waiaas.domain.records import TransactionRecord
from waiaas.domain.transaction import AttemptState, ReservationState, is_terminal
from waiaas.pipeline.record import move, remember
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

    Args:
        tx: in which it ends.
        transaction: as it was read.
        status: what it comes to.
        error: code and sentence, if it did not go well; of a long one the beginning is kept, for
            a chain's own words may be in it.
        now_s: ledger time.
        actor: who ends it.

    Raises:
        IllegalTransition, LostRace: as `move` does.
    """
    error = error and error[:TEXT_CHARACTERS_MAX]
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
        tx.requests.free_reference(transaction.id)
    details = {} if error is None else {"error": error}
    move(tx, transaction, status, now_s=now_s, actor=actor, details=details)
    finish_termination(tx, transaction.agent_id, now_s=now_s)


def finish_termination(tx: LedgerTransaction, agent_id: AgentId, *, now_s: int) -> None:
    """Let an agent that is TERMINATING be TERMINATED, if nothing of it is under way any more."""
    agent = tx.agents.get(agent_id)
    assert agent is not None, "agents with transactions are never deleted"
    if agent.status is AgentStatus.TERMINATING and not live_transactions(tx, agent_id):
        tx.agents.compare_and_set_status(
            agent_id, old=AgentStatus.TERMINATING, new=AgentStatus.TERMINATED, now_s=now_s
        )
        event = AuditEvent(AuditAction.AGENT_TERMINATED, SYSTEM, agent_id=agent_id)
        remember(tx, event, now_s=now_s)


def live_transactions(tx: LedgerTransaction, agent_id: AgentId) -> list[TransactionRecord]:
    """Return an agent's transactions that have not come to their end."""
    return [
        found
        for status in TransactionStatus
        if not is_terminal(status)
        for found in tx.transactions.of_agent(agent_id, status=status)
    ]


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
