"""Reservations: money set aside against limits until the chain has decided, and the sums of them.

The rows are the truth. Beside them stand two kinds of totals, changed in the same transaction, so
that no decision has to add rows: what is in flight by tier, and, for every second that moved
money, all that ever moved up to it. The full integrity check adds the rows and compares.

Amounts are read as text and added in Python: SQL integers end at 2^63-1.
"""

from typing import Final, NamedTuple

from sqlalchemy import BigInteger, ScalarSelect, bindparam, func, insert, select, update

from waiaas.database.run import Run, define_upsert
from waiaas.database.schema import held_totals, reservations, spent_totals, transactions
from waiaas.database.statements import Parameters, define
from waiaas.domain.enums import PolicyTier
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import Held, Sums
from waiaas.domain.transaction import ReservationState


def _tier(tx_id: str) -> ScalarSelect[str | None]:
    """Select the tier of the transaction whose id is the parameter *tx_id*."""
    tier = select(transactions.c.tier).where(transactions.c.id == bindparam(tx_id))
    return tier.scalar_subquery()


_TOTAL: Final = (
    select(held_totals.c.total)
    .where(
        held_totals.c.agent_id == bindparam("agent_id"),
        held_totals.c.asset == bindparam("asset"),
        held_totals.c.tier == _tier("tx_id"),
    )
    .scalar_subquery()
)
_INSERT: Final = define(
    insert(reservations)
    .values(
        tx_id=bindparam("tx_id"),
        agent_id=bindparam("agent_id"),
        asset=bindparam("asset"),
        amount=bindparam("amount"),
        state=bindparam("state"),
        created_at=bindparam("created_at"),
    )
    # The total so far comes along: one statement less for every row.
    .returning(_tier("tx_id").label("tier"), _TOTAL.label("total"))
)
_AMOUNT_OF: Final = define(
    select(reservations.c.amount).where(
        reservations.c.tx_id == bindparam("of_tx"), reservations.c.asset == bindparam("asset")
    )
)
_SETTLE: Final = define(
    update(reservations)
    .where(
        reservations.c.tx_id == bindparam("of_tx"), reservations.c.state == bindparam("old_state")
    )
    .values(state=bindparam("state"), settled_at=bindparam("settled_at"))
    .returning(
        reservations.c.agent_id,
        reservations.c.asset,
        reservations.c.amount,
        _tier("of_tx").label("tier"),
    )
)
_LOWER: Final = define(
    update(reservations)
    .where(
        reservations.c.tx_id == bindparam("of_tx"),
        reservations.c.asset == bindparam("of_asset"),
        reservations.c.state == bindparam("old_state"),
    )
    .values(amount=bindparam("amount"))
    .returning(reservations.c.agent_id, _tier("of_tx").label("tier"))
)
_HELD: Final = define(
    select(held_totals.c.tier, held_totals.c.total).where(
        held_totals.c.agent_id == bindparam("agent_id"), held_totals.c.asset == bindparam("asset")
    )
)
_NEWEST_S: Final = (
    select(func.max(spent_totals.c.settled_at))
    .where(
        spent_totals.c.agent_id == bindparam("agent_id"),
        spent_totals.c.asset == bindparam("asset"),
    )
    .scalar_subquery()
)
_SUMS: Final = define(
    select(
        held_totals.c.tier,
        held_totals.c.total,
        _NEWEST_S.label("moved_at"),
        select(spent_totals.c.total)
        .where(
            spent_totals.c.agent_id == bindparam("agent_id"),
            spent_totals.c.asset == bindparam("asset"),
            spent_totals.c.settled_at == _NEWEST_S,
        )
        .scalar_subquery()
        .label("moved"),
    ).where(
        held_totals.c.agent_id == bindparam("agent_id"), held_totals.c.asset == bindparam("asset")
    )
)
_SIGNED: Final = define(
    select(reservations.c.amount)
    .join(transactions, transactions.c.id == reservations.c.tx_id)
    .where(
        reservations.c.agent_id == bindparam("agent_id"),
        reservations.c.asset == bindparam("asset"),
        reservations.c.state == bindparam("state"),
        # Written down together with the signed bytes.
        transactions.c.tx_hash.is_not(None),
    )
)
_SET_HELD: Final = define_upsert(held_totals, key=("agent_id", "asset", "tier"), columns=("total",))
_SPENT: Final = define(
    select(spent_totals.c.settled_at, spent_totals.c.total)
    .where(
        spent_totals.c.agent_id == bindparam("agent_id"),
        spent_totals.c.asset == bindparam("asset"),
        spent_totals.c.settled_at <= bindparam("until_s"),
    )
    .order_by(spent_totals.c.settled_at.desc())
    .limit(bindparam("most", type_=BigInteger))
    .offset(bindparam("skipped", type_=BigInteger))
)
_SET_SPENT: Final = define_upsert(
    spent_totals, key=("agent_id", "asset", "settled_at"), columns=("total",)
)

_END_OF_TIME_S: Final = 2**62
_TIERS: Final = {tier.value: tier for tier in PolicyTier}


class Reservations:
    """`waiaas.ports.ReservationTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def hold(
        self, tx_id: TransactionId, *, agent_id: AgentId, asset: str, amount: str, now_s: int
    ) -> None:
        parameters: Parameters = {
            "tx_id": tx_id,
            "agent_id": agent_id,
            "asset": asset,
            "amount": amount,
            "state": ReservationState.HELD,
            "created_at": now_s,
        }
        [row] = self._run(_INSERT, parameters)
        self._set_held(agent_id, asset, row.tier, int(row.total or 0) + int(amount))

    def settle(self, tx_id: TransactionId, *, state: ReservationState, now_s: int) -> bool:
        parameters: Parameters = {
            "of_tx": tx_id,
            "old_state": ReservationState.HELD,
            "state": state,
            "settled_at": now_s,
        }
        rows = self._run(_SETTLE, parameters)
        for row in rows:
            totals = dict(self.held(row.agent_id, asset=row.asset))
            self._set_held(
                row.agent_id, row.asset, row.tier, totals[_TIERS[row.tier]] - int(row.amount)
            )
            if state is ReservationState.SPENT:
                add_spent(self._run, row.agent_id, row.asset, int(row.amount), now_s=now_s)
        return bool(rows)

    def lower(self, tx_id: TransactionId, *, asset: str, amount: str) -> None:
        freed = self.amount_of(tx_id, asset=asset) - int(amount)
        assert freed > 0, "it is set aside, and more than is needed"
        parameters: Parameters = {
            "of_tx": tx_id,
            "of_asset": asset,
            "old_state": ReservationState.HELD,
            "amount": amount,
        }
        [row] = self._run(_LOWER, parameters)
        totals = dict(self.held(row.agent_id, asset=asset))
        self._set_held(row.agent_id, asset, row.tier, totals[_TIERS[row.tier]] - freed)

    def amount_of(self, tx_id: TransactionId, *, asset: str) -> int:
        rows = self._run(_AMOUNT_OF, {"of_tx": tx_id, "asset": asset})
        return int(rows[0].amount) if rows else 0

    def held(self, agent_id: AgentId, *, asset: str) -> list[Held]:
        rows = self._run(_HELD, {"agent_id": agent_id, "asset": asset})
        return [Held(_TIERS[row.tier], int(row.total)) for row in rows]

    def sums(self, agent_id: AgentId, *, asset: str) -> Sums:
        rows = self._run(_SUMS, {"agent_id": agent_id, "asset": asset})
        held = [Held(_TIERS[row.tier], int(row.total)) for row in rows]
        if rows and rows[0].moved_at is not None:
            return Sums(held, int(rows[0].moved), rows[0].moved_at)
        # Nothing of ours moved before it was held; what the ledger did not know of may have.
        spent = None if rows else _spent(self._run, agent_id, asset, _END_OF_TIME_S)
        return Sums(held, 0, -1) if spent is None else Sums(held, spent.total, spent.settled_at)

    def signed(self, agent_id: AgentId, *, asset: str) -> int:
        given = {"agent_id": agent_id, "asset": asset, "state": ReservationState.HELD}
        return sum(int(row.amount) for row in self._run(_SIGNED, given))

    def spent_until(self, agent_id: AgentId, *, asset: str, until_s: int) -> int:
        spent = _spent(self._run, agent_id, asset, until_s)
        return 0 if spent is None else spent.total

    def spent_reaches(
        self, agent_id: AgentId, *, asset: str, base_units: int, after_s: int
    ) -> int | None:
        """Halve the time in which it must have been: 22 steps for a month, however many rows."""
        newest = _spent(self._run, agent_id, asset, _END_OF_TIME_S)
        if newest is None or newest.total < base_units:
            return None
        too_early, reached = after_s, newest.settled_at
        while reached - too_early > 1:
            middle = (too_early + reached) // 2
            spent = _spent(self._run, agent_id, asset, middle)
            if spent is not None and spent.total >= base_units:
                reached = spent.settled_at
            else:
                too_early = middle
        return reached

    def _set_held(self, agent_id: AgentId, asset: str, tier: str, total: int) -> None:
        parameters: Parameters = {
            "agent_id": agent_id,
            "asset": asset,
            "tier": tier,
            "total": str(total),
        }
        self._run(_SET_HELD, parameters)


class _Spent(NamedTuple):
    """All that had moved by a second."""

    settled_at: int
    """The last one until then in which something did."""
    total: int
    """In base units, from the beginning."""


def _spent(run: Run, agent_id: AgentId, asset: str, until_s: int) -> _Spent | None:
    parameters: Parameters = {
        "agent_id": agent_id,
        "asset": asset,
        "until_s": until_s,
        "most": 1,
        "skipped": 0,
    }
    rows = run(_SPENT, parameters)
    return _Spent(int(rows[0].settled_at), int(rows[0].total)) if rows else None


def add_spent(run: Run, agent_id: AgentId, asset: str, base_units: int, *, now_s: int) -> None:
    """Count base units as moved in a second that is not before the last such one."""
    newest = _spent(run, agent_id, asset, _END_OF_TIME_S)
    before = 0
    if newest is not None:
        assert newest.settled_at <= now_s, "ledger time never goes back"
        before = newest.total
    run(
        _SET_SPENT,
        {
            "agent_id": agent_id,
            "asset": asset,
            "settled_at": now_s,
            "total": str(before + base_units),
        },
    )
