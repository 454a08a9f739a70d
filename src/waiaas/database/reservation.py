"""Reservations: money set aside against limits until the chain has decided.

Amounts are read as text and added in Python: SQL integers end at 2^63-1.
"""

from typing import Final

from sqlalchemy import bindparam, insert, select, update

from waiaas.database.run import Run
from waiaas.database.schema import reservations, transactions
from waiaas.database.statements import Parameters, define
from waiaas.domain.enums import PolicyTier
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import Held, Spend
from waiaas.domain.transaction import ReservationState

_INSERT: Final = define(
    insert(reservations).values(
        tx_id=bindparam("tx_id"),
        agent_id=bindparam("agent_id"),
        asset=bindparam("asset"),
        amount=bindparam("amount"),
        state=bindparam("state"),
        created_at=bindparam("created_at"),
    )
)
_SETTLE: Final = define(
    update(reservations)
    .where(
        reservations.c.tx_id == bindparam("of_tx"), reservations.c.state == bindparam("old_state")
    )
    .values(state=bindparam("state"), settled_at=bindparam("settled_at"))
    .returning(reservations.c.tx_id)
)
_HELD: Final = define(
    select(transactions.c.tier, reservations.c.amount)
    .join_from(reservations, transactions, transactions.c.id == reservations.c.tx_id)
    .where(
        reservations.c.agent_id == bindparam("agent_id"),
        reservations.c.asset == bindparam("asset"),
        reservations.c.state == bindparam("state"),
    )
)
_SPENT_SINCE: Final = define(
    select(reservations.c.settled_at, reservations.c.amount)
    .where(
        reservations.c.agent_id == bindparam("agent_id"),
        reservations.c.asset == bindparam("asset"),
        reservations.c.state == bindparam("state"),
        reservations.c.settled_at > bindparam("since_s"),
    )
    .order_by(reservations.c.settled_at)
)


class Reservations:
    """`waiaas.ports.ReservationTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def hold(
        self, tx_id: TransactionId, *, agent_id: AgentId, asset: str, amount: str, now_s: int
    ) -> None:
        self._run(
            _INSERT,
            {
                "tx_id": tx_id,
                "agent_id": agent_id,
                "asset": asset,
                "amount": amount,
                "state": ReservationState.HELD,
                "created_at": now_s,
            },
        )

    def settle(self, tx_id: TransactionId, *, state: ReservationState, now_s: int) -> bool:
        parameters: Parameters = {
            "of_tx": tx_id,
            "old_state": ReservationState.HELD,
            "state": state,
            "settled_at": now_s,
        }
        return bool(self._run(_SETTLE, parameters))

    def held(self, agent_id: AgentId, *, asset: str) -> list[Held]:
        parameters: Parameters = {
            "agent_id": agent_id,
            "asset": asset,
            "state": ReservationState.HELD,
        }
        rows = self._run(_HELD, parameters)
        return [Held(PolicyTier(row.tier), int(row.amount)) for row in rows]

    def spent_since(self, agent_id: AgentId, *, asset: str, since_s: int) -> list[Spend]:
        parameters: Parameters = {
            "agent_id": agent_id,
            "asset": asset,
            "state": ReservationState.SPENT,
            "since_s": since_s,
        }
        rows = self._run(_SPENT_SINCE, parameters)
        return [Spend(row.settled_at, int(row.amount)) for row in rows]
