"""Waits: until when a queued transaction waits, found again in the order in which they end."""

from typing import Final

from sqlalchemy import bindparam, func, insert, select, update

from waiaas.database.run import Run
from waiaas.database.schema import waits
from waiaas.database.statements import define
from waiaas.domain.ids import TransactionId

_INSERT: Final = define(
    insert(waits).values(tx_id=bindparam("tx_id"), until_at=bindparam("until_at"))
)
_UNTIL: Final = define(
    select(waits.c.until_at).where(waits.c.tx_id == bindparam("of_tx"), waits.c.over_at.is_(None))
)
_DUE: Final = define(
    select(waits.c.tx_id)
    .where(waits.c.over_at.is_(None), waits.c.until_at <= bindparam("now_s"))
    .order_by(waits.c.until_at, waits.c.tx_id)
)
_COUNT_OPEN: Final = define(
    select(func.count().label("open")).select_from(waits).where(waits.c.over_at.is_(None))
)
_HASTEN: Final = define(
    update(waits)
    .where(waits.c.tx_id == bindparam("of_tx"), waits.c.over_at.is_(None))
    .values(until_at=bindparam("until_at"))
)
_END: Final = define(
    update(waits)
    .where(waits.c.tx_id == bindparam("of_tx"), waits.c.over_at.is_(None))
    .values(over_at=bindparam("over_at"))
)


class Waits:
    """`waiaas.ports.WaitTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def begin(self, tx_id: TransactionId, *, until_at: int) -> None:
        self._run(_INSERT, {"tx_id": tx_id, "until_at": until_at})

    def until(self, tx_id: TransactionId) -> int | None:
        rows = self._run(_UNTIL, {"of_tx": tx_id})
        return int(rows[0].until_at) if rows else None

    def due(self, *, now_s: int) -> list[TransactionId]:
        return [TransactionId(row.tx_id) for row in self._run(_DUE, {"now_s": now_s})]

    def count_open(self) -> int:
        return int(self._run(_COUNT_OPEN)[0].open)

    def hasten(self, tx_id: TransactionId, *, until_at: int) -> None:
        self._run(_HASTEN, {"of_tx": tx_id, "until_at": until_at})

    def end(self, tx_id: TransactionId, *, now_s: int) -> None:
        self._run(_END, {"of_tx": tx_id, "over_at": now_s})
