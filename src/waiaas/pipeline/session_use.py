"""What a session's constraints have to do with its transactions: counting, and a second look.

What is used of them is counted in the transactions that use it. Before anything is signed they are
asked again, as they stand then.
"""

from typing import Final

import msgspec

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.money import NATIVE
from waiaas.domain.records import AcceptedRequest, SessionRecord, TransactionRecord
from waiaas.domain.request import parts_of
from waiaas.pipeline.asked import Tampered, asked
from waiaas.pipeline.decisions import read_terms
from waiaas.pipeline.rent import rent_held
from waiaas.policy.document import RuleRefused
from waiaas.policy.session_constraints import parse_constraints
from waiaas.ports import LedgerTransaction

_NOT_SENT: Final = {
    TransactionStatus.PENDING,
    TransactionStatus.QUEUED,
    TransactionStatus.EXECUTING,
}


def count_use(tx: LedgerTransaction, session: SessionRecord, *, base_units: int) -> None:
    """Count a transaction that was admitted of *session*, and the native money set aside for it."""
    if session.constraints is not None:
        tx.sessions.add_use(session.id, transactions=1, base_units=base_units)


def give_back(
    tx: LedgerTransaction, transaction: TransactionRecord, *, base_units: int | None = None
) -> None:
    """Take back the native money of a transaction that it provably does not move.

    That it was made stays.

    Args:
        tx: in which that is recorded.
        transaction: whose session counts it.
        base_units: how much; None: all that is set aside.
    """
    session = None if transaction.session_id is None else tx.sessions.get(transaction.session_id)
    if session is None or session.constraints is None or not _was_counted(tx, transaction):
        return
    if base_units is None:
        base_units = tx.reservations.amount_of(transaction.id, asset=NATIVE)
    tx.sessions.add_use(session.id, transactions=0, base_units=-base_units)


def _was_counted(tx: LedgerTransaction, transaction: TransactionRecord) -> bool:
    """Tell whether the session had constraints when *transaction* was admitted.

    Of what is not known any more nothing is given back: what others use stays counted.
    """
    try:
        return read_terms(tx.decisions.terms_of(transaction.id)).constraints is not None
    except (msgspec.MsgspecError, ValueError):
        return False


def objection(
    tx: LedgerTransaction,
    session: SessionRecord,
    transaction: TransactionRecord,
    accepted: AcceptedRequest,
) -> str | None:
    """Return what the session has against an admitted request that is not signed; None: nothing.

    A ledger that contradicts itself about the request is left to whoever reads it to build on it.
    """
    if session.constraints is None or transaction.status not in _NOT_SENT:
        return None
    try:
        constraints = parse_constraints(session.constraints)
        request = asked(transaction, accepted)
        rent = rent_held(tx, transaction.id, request)
        found = list(constraints.judge_again(parts_of(request), rent=rent))
    except RuleRefused as refused:
        return f"its constraints cannot be evaluated ({refused})"
    except Tampered:
        return None
    return found[0].message if found else None
