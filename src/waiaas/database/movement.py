"""Money that left with transactions that the ledger does not know, found on the chain."""

from typing import Final

from sqlalchemy import bindparam, insert, select

from waiaas.database.reservation import add_spent
from waiaas.database.run import Run
from waiaas.database.schema import foreign_movements
from waiaas.database.statements import define
from waiaas.domain.ids import AgentId
from waiaas.domain.records import ForeignMovement

_COLUMNS: Final = tuple(foreign_movements.c[name] for name in ForeignMovement._fields)

_INSERT: Final = define(
    insert(foreign_movements).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_HAS: Final = define(
    select(foreign_movements.c.tx_hash).where(
        foreign_movements.c.agent_id == bindparam("agent_id"),
        foreign_movements.c.tx_hash == bindparam("tx_hash"),
    )
)
_SINCE: Final = define(
    select(*_COLUMNS)
    .where(foreign_movements.c.counted_at >= bindparam("since_s"))
    .order_by(foreign_movements.c.agent_id, foreign_movements.c.tx_hash, foreign_movements.c.asset)
)


class Movements:
    """`waiaas.ports.MovementTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, movement: ForeignMovement) -> None:
        self._run(_INSERT, movement._asdict())
        agent_id, asset, amount = movement.agent_id, movement.asset, int(movement.amount)
        add_spent(self._run, agent_id, asset, amount, now_s=movement.counted_at)

    def has(self, agent_id: AgentId, *, tx_hash: str) -> bool:
        return bool(self._run(_HAS, {"agent_id": agent_id, "tx_hash": tx_hash}))

    def counted_since(self, since_s: int) -> list[ForeignMovement]:
        return [
            ForeignMovement(
                AgentId(row.agent_id),
                row.tx_hash,
                row.asset,
                row.amount,
                row.landed_at,
                row.counted_at,
            )
            for row in self._run(_SINCE, {"since_s": since_s})
        ]
