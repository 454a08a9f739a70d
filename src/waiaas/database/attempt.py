"""Signing attempts: exact bytes, recorded before they are signed and again before they are sent."""

from typing import Any, Final

from sqlalchemy import bindparam, func, insert, select, update

from waiaas.database.run import Run
from waiaas.database.schema import attempts
from waiaas.database.statements import define
from waiaas.domain.ids import AgentId, AttemptId, TransactionId
from waiaas.domain.records import AttemptRecord
from waiaas.domain.transaction import AttemptState

_COLUMNS: Final = (
    attempts.c.id,
    attempts.c.tx_id,
    attempts.c.agent_id,
    attempts.c.state,
    attempts.c.message,
    attempts.c.message_sha256,
    attempts.c.unit_price,
    attempts.c.last_valid_block_height,
    attempts.c.signed,
    attempts.c.tx_hash,
    attempts.c.created_at,
)

_INSERT: Final = define(
    insert(attempts).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_LATEST: Final = define(
    select(*_COLUMNS).where(attempts.c.tx_id == bindparam("tx_id")).order_by(attempts.c.id.desc())
)
_STATE: Final = define(
    select(attempts.c.state)
    .where(attempts.c.tx_id == bindparam("tx_id"))
    .order_by(attempts.c.id.desc())
)
_BY_HASH: Final = define(select(*_COLUMNS).where(attempts.c.tx_hash == bindparam("tx_hash")))
_LATEST_UNIT_PRICE: Final = define(
    select(attempts.c.unit_price).where(
        attempts.c.id
        == select(func.max(attempts.c.id))
        .where(attempts.c.agent_id == bindparam("agent_id"))
        .scalar_subquery()
    )
)
_SET_STATE: Final = define(
    update(attempts)
    .where(attempts.c.tx_id == bindparam("of_tx"), attempts.c.state == bindparam("old_state"))
    .values(state=bindparam("state"))
    .returning(attempts.c.id)
)
_RECORD_SIGNATURE: Final = define(
    update(attempts)
    .where(attempts.c.tx_id == bindparam("of_tx"), attempts.c.state == bindparam("old_state"))
    .values(state=bindparam("state"), signed=bindparam("signed"), tx_hash=bindparam("tx_hash"))
    .returning(attempts.c.id)
)


class Attempts:
    """`waiaas.ports.AttemptTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, attempt: AttemptRecord) -> None:
        self._run(_INSERT, attempt._asdict())

    def of_transaction(self, tx_id: TransactionId) -> AttemptRecord | None:
        rows = self._run(_LATEST, {"tx_id": tx_id})
        return _record(rows[0]) if rows else None

    def state_of(self, tx_id: TransactionId) -> AttemptState | None:
        rows = self._run(_STATE, {"tx_id": tx_id})
        return AttemptState(rows[0].state) if rows else None

    def by_hash(self, tx_hash: str) -> AttemptRecord | None:
        rows = self._run(_BY_HASH, {"tx_hash": tx_hash})
        return _record(rows[0]) if rows else None

    def latest_unit_price(self, agent_id: AgentId) -> int:
        rows = self._run(_LATEST_UNIT_PRICE, {"agent_id": agent_id})
        return int(rows[0].unit_price) if rows else 0

    def compare_and_set_state(
        self, tx_id: TransactionId, *, old: AttemptState, new: AttemptState
    ) -> bool:
        return bool(self._run(_SET_STATE, {"of_tx": tx_id, "old_state": old, "state": new}))

    def record_signature(self, tx_id: TransactionId, *, signed: str, tx_hash: str) -> bool:
        parameters = {
            "of_tx": tx_id,
            "old_state": AttemptState.RECORDED,
            "state": AttemptState.SIGNED,
            "signed": signed,
            "tx_hash": tx_hash,
        }
        return bool(self._run(_RECORD_SIGNATURE, parameters))


def _record(row: Any) -> AttemptRecord:  # noqa: ANN401 -- rows are made from column names
    return AttemptRecord(
        id=AttemptId(row.id),
        tx_id=TransactionId(row.tx_id),
        agent_id=AgentId(row.agent_id),
        state=AttemptState(row.state),
        message=row.message,
        message_sha256=row.message_sha256,
        unit_price=row.unit_price,
        last_valid_block_height=row.last_valid_block_height,
        signed=row.signed,
        tx_hash=row.tx_hash,
        created_at=row.created_at,
    )
