"""Rent of recipients' new token accounts, among the money that is set aside.

The most that it may come to is set aside with the verdict, as money of the chain's own asset and in
the same row as what else of it the request moves. Which accounts are missing is known when the
payload is built: in the transaction that records it the row becomes exact. From then on what it
holds beyond the request's own money is the rent that may be signed for, whatever a node says.
"""

from waiaas.domain.ids import TransactionId
from waiaas.domain.money import NATIVE
from waiaas.domain.request import Request, outflows
from waiaas.policy.verdict import Allow, Verdict
from waiaas.ports import LedgerTransaction


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
