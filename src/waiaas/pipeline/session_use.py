"""Counting what a session with constraints has used of them, in the transactions that use it."""

from waiaas.domain.money import NATIVE
from waiaas.domain.records import TransactionRecord
from waiaas.ports import LedgerTransaction


def count_use(tx: LedgerTransaction, transaction: TransactionRecord) -> None:
    """Count an admitted transaction, whose money is set aside already."""
    _add(tx, transaction, transactions=1, sign=1)


def give_back(tx: LedgerTransaction, transaction: TransactionRecord) -> None:
    """Take back the money of a transaction that provably moved none; that it was made stays."""
    _add(tx, transaction, transactions=0, sign=-1)


def _add(
    tx: LedgerTransaction, transaction: TransactionRecord, *, transactions: int, sign: int
) -> None:
    session = None if transaction.session_id is None else tx.sessions.get(transaction.session_id)
    if session is None or session.constraints is None:
        return
    base_units = tx.reservations.amount_of(transaction.id, asset=NATIVE)
    tx.sessions.add_use(session.id, transactions=transactions, base_units=sign * base_units)
