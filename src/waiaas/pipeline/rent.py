"""Rent of recipients' new token accounts, among the money that is set aside.

The most that it may come to is set aside with the verdict, as money of the chain's own asset and in
the same row as what else of it the request moves. Which accounts are missing is known when the
payload is built: in the transaction that records it the row becomes exact. From then on what it
holds beyond the request's own money is the rent that may be signed for, whatever a node says.
"""

from typing import Final

from waiaas.domain.enums import TransactionStatus, TransactionType
from waiaas.domain.ids import TransactionId
from waiaas.domain.meaning import read_request
from waiaas.domain.money import NATIVE
from waiaas.domain.records import AcceptedRequest, TransactionRecord
from waiaas.domain.rent import paid_accounts
from waiaas.domain.request import Request, outflows, parts_of
from waiaas.policy.verdict import Allow, Verdict
from waiaas.ports import LedgerTransaction

_MOVED_NOTHING: Final = {
    TransactionStatus.CANCELLED,
    TransactionStatus.FAILED,
    TransactionStatus.EXPIRED,
}


def money_of(request: Request, verdict: Verdict) -> dict[str, int]:
    """Return the base units of each asset that *verdict* sets aside for *request*."""
    money = outflows(request)
    rent = verdict.rent if isinstance(verdict, Allow) else None
    if rent is not None and rent.base_units:
        money[NATIVE] = money.get(NATIVE, 0) + rent.base_units
    return money


def rent_in(native: int, request: Request) -> int:
    """Return how many of the *native* base units that are set aside for *request* are for rent."""
    return native - outflows(request).get(NATIVE, 0)


def rent_held(tx: LedgerTransaction, tx_id: TransactionId, request: Request) -> int:
    """Return the base units that a transaction has set aside for rent."""
    return rent_in(tx.reservations.amount_of(tx_id, asset=NATIVE), request)


def rent_told(
    tx: LedgerTransaction, transaction: TransactionRecord, accepted: AcceptedRequest
) -> int | None:
    """Return the base units that *transaction* may pay for rent: exactly, once it is prepared.

    None: it pays to no account that may have to be made. A request that cannot be read is left to
    whoever reads it to build on it.
    """
    if transaction.type not in {TransactionType.TOKEN_TRANSFER, TransactionType.BATCH}:
        return None
    try:
        request = read_request(accepted.request)
    except ValueError:
        return None
    if not paid_accounts(parts_of(request)):
        return None
    moved_nothing = transaction.status in _MOVED_NOTHING
    return 0 if moved_nothing else rent_held(tx, transaction.id, request)
