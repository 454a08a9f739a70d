"""Transactions: a row per request of an agent, whatever became of it, and per part of a batch.

A part's row is read as part of its batch and changes with it, so everything else looks past it.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, func, insert, or_, select, update

from waiaas.database.run import Run
from waiaas.database.schema import agents, transactions
from waiaas.database.statements import Parameters, Statement, define
from waiaas.domain.enums import ChainType, PolicyTier, TransactionStatus, TransactionType
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import TransactionRecord

_COLUMNS: Final = (
    transactions.c.id,
    transactions.c.agent_id,
    transactions.c.session_id,
    transactions.c.chain,
    transactions.c.type,
    transactions.c.amount,
    transactions.c.to_address,
    transactions.c.token_mint,
    transactions.c.contract_address,
    transactions.c.method_signature,
    transactions.c.spender_address,
    transactions.c.approved_amount,
    transactions.c.parent_id,
    transactions.c.batch_index,
    transactions.c.status,
    transactions.c.tier,
    transactions.c.tx_hash,
    transactions.c.created_at,
    transactions.c.executed_at,
    transactions.c.error,
    transactions.c.queued_at,
)

_INSERT: Final = define(
    insert(transactions).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_GET: Final = define(
    select(*_COLUMNS).where(
        transactions.c.id == bindparam("id"), transactions.c.parent_id.is_(None)
    )
)
_PARTS: Final = define(
    select(*_COLUMNS)
    .where(transactions.c.parent_id == bindparam("parent_id"))
    .order_by(transactions.c.batch_index)
)
_IDS_WITH_STATUS: Final = define(
    select(transactions.c.id, transactions.c.agent_id)
    # By agent, for that is what there is an index of. `parent_id IS NULL` says the same as the last
    # condition, but has an index as well, which nearly all rows are in.
    .where(
        transactions.c.agent_id.in_(select(agents.c.id)),
        transactions.c.status == bindparam("status"),
        transactions.c.batch_index.is_(None),
    )
    .order_by(transactions.c.id)
)
_COUNT_WITH_STATUS: Final = define(
    select(func.count().label("count")).where(
        transactions.c.agent_id.in_(select(agents.c.id)),
        transactions.c.status == bindparam("status"),
        transactions.c.batch_index.is_(None),
    )
)
_OF_AGENT: Final = define(
    select(*_COLUMNS)
    .where(
        transactions.c.agent_id == bindparam("agent_id"),
        transactions.c.status == bindparam("status"),
        transactions.c.parent_id.is_(None),
    )
    .order_by(transactions.c.id)
)
_AFTER_EVERY_ID: Final = "~"
"""Text that is later than any id: their characters are digits, small letters and hyphens."""


def _newest(*, of_agent: bool) -> Statement:
    """Define the look for the newest, of an agent or of all."""
    # Why by `batch_index`, see above.
    found = select(*_COLUMNS).where(
        transactions.c.id < bindparam("before"), transactions.c.batch_index.is_(None)
    )
    if of_agent:
        found = found.where(transactions.c.agent_id == bindparam("agent_id"))
    return define(
        found.order_by(transactions.c.id.desc())
        .limit(bindparam("most", type_=BigInteger))
        .offset(bindparam("skipped", type_=BigInteger))
    )


_NEWEST_OF_ALL: Final = _newest(of_agent=False)
_NEWEST_OF_AGENT: Final = _newest(of_agent=True)
_PLACES: Final = ("status_1", "status_2", "status_3", "status_4")
"""Of the states that are counted together: as many as there are before the end."""


def _one_after(*, with_parts: bool) -> Statement:
    """Define the look for one of an agent's in these states, after a number of them."""
    found = select(transactions.c.status).where(
        transactions.c.agent_id == bindparam("agent_id"),
        or_(*(transactions.c.status == bindparam(name) for name in _PLACES)),
    )
    if not with_parts:
        found = found.where(transactions.c.parent_id.is_(None))
    return define(
        found.limit(bindparam("most", type_=BigInteger)).offset(
            bindparam("skipped", type_=BigInteger)
        )
    )


# An index alone answers the one; for the other each row has to be looked at.
_ONE_AFTER_WITH_PARTS: Final = _one_after(with_parts=True)
_ONE_AFTER: Final = _one_after(with_parts=False)
_FIRST_CONFIRMED: Final = define(
    select(func.min(transactions.c.executed_at).label("first_s")).where(
        transactions.c.agent_id == bindparam("agent_id"),
        transactions.c.status == bindparam("status"),
    )
)
_SET_STATUS: Final = define(
    update(transactions)
    .where(
        transactions.c.id == bindparam("tx_id"), transactions.c.status == bindparam("old_status")
    )
    .values(status=bindparam("status"))
    .returning(transactions.c.id)
)
_SET_STATUS_OF_PARTS: Final = define(
    update(transactions)
    .where(
        transactions.c.parent_id == bindparam("of_tx"),
        transactions.c.status == bindparam("old_status"),
    )
    .values(status=bindparam("status"))
    .returning(transactions.c.id)
)
_SET_HASH: Final = define(
    update(transactions)
    .where(transactions.c.id == bindparam("tx_id"))
    .values(tx_hash=bindparam("tx_hash"))
)
_SET_ERROR: Final = define(
    update(transactions)
    .where(transactions.c.id == bindparam("tx_id"))
    .values(error=bindparam("error"))
)
_SET_EXECUTED_AT: Final = define(
    update(transactions)
    .where(transactions.c.id == bindparam("tx_id"))
    .values(executed_at=bindparam("executed_at"))
)

_CHAINS: Final = {chain.value: chain for chain in ChainType}
_TYPES: Final = {kind.value: kind for kind in TransactionType}
_STATUSES: Final = {status.value: status for status in TransactionStatus}
_TIERS: Final = {tier.value: tier for tier in PolicyTier}


class Transactions:
    """`waiaas.ports.TransactionTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, transaction: TransactionRecord) -> None:
        self._run(_INSERT, transaction._asdict())

    def get(self, tx_id: TransactionId) -> TransactionRecord | None:
        rows = self._run(_GET, {"id": tx_id})
        return _record(rows[0]) if rows else None

    def ids_with_status(self, status: TransactionStatus) -> list[tuple[TransactionId, AgentId]]:
        rows = self._run(_IDS_WITH_STATUS, {"status": status})
        return [(TransactionId(row.id), AgentId(row.agent_id)) for row in rows]

    def count_with_status(self, status: TransactionStatus) -> int:
        [row] = self._run(_COUNT_WITH_STATUS, {"status": status})
        return int(row.count)

    def of_agent(self, agent_id: AgentId, *, status: TransactionStatus) -> list[TransactionRecord]:
        rows = self._run(_OF_AGENT, {"agent_id": agent_id, "status": status})
        return [_record(row) for row in rows]

    def newest(
        self, *, agent_id: AgentId | None, before: str | None, most: int
    ) -> list[TransactionRecord]:
        parameters: Parameters = {"before": before or _AFTER_EVERY_ID, "most": most, "skipped": 0}
        rows = (
            self._run(_NEWEST_OF_ALL, parameters)
            if agent_id is None
            else self._run(_NEWEST_OF_AGENT, {**parameters, "agent_id": agent_id})
        )
        return [_record(row) for row in rows]

    def are_fewer(
        self, agent_id: AgentId, *, statuses: Sequence[TransactionStatus], most: int
    ) -> bool:
        first, *more = statuses
        places = (first, *more, first, first, first)  # As many as there are, one of them repeated.
        parameters: Parameters = {
            "agent_id": agent_id,
            "status_1": places[0],
            "status_2": places[1],
            "status_3": places[2],
            "status_4": places[3],
            "most": 1,
            "skipped": most - 1,
        }
        return not self._run(_ONE_AFTER_WITH_PARTS, parameters) or not self._run(
            _ONE_AFTER, parameters
        )

    def has_confirmed(self, agent_id: AgentId, *, before_s: int) -> bool:
        [row] = self._run(
            _FIRST_CONFIRMED, {"agent_id": agent_id, "status": TransactionStatus.CONFIRMED}
        )
        return row.first_s is not None and row.first_s < before_s

    def compare_and_set_status(
        self, tx_id: TransactionId, *, old: TransactionStatus, new: TransactionStatus
    ) -> bool:
        return bool(self._run(_SET_STATUS, {"tx_id": tx_id, "old_status": old, "status": new}))

    def parts(self, tx_id: TransactionId) -> list[TransactionRecord]:
        return [_record(row) for row in self._run(_PARTS, {"parent_id": tx_id})]

    def set_status_of_parts(
        self, tx_id: TransactionId, *, old: TransactionStatus, new: TransactionStatus
    ) -> int:
        parameters: Parameters = {"of_tx": tx_id, "old_status": old, "status": new}
        return len(self._run(_SET_STATUS_OF_PARTS, parameters))

    def set_hash(self, tx_id: TransactionId, *, tx_hash: str) -> None:
        self._run(_SET_HASH, {"tx_id": tx_id, "tx_hash": tx_hash})

    def set_error(self, tx_id: TransactionId, *, error: str) -> None:
        self._run(_SET_ERROR, {"tx_id": tx_id, "error": error})

    def set_executed_at(self, tx_id: TransactionId, *, executed_at: int) -> None:
        self._run(_SET_EXECUTED_AT, {"tx_id": tx_id, "executed_at": executed_at})


def _record(row: Any) -> TransactionRecord:  # noqa: ANN401 -- rows are made from column names
    return TransactionRecord(
        id=row.id,
        agent_id=row.agent_id,
        session_id=row.session_id,
        chain=_CHAINS[row.chain],
        type=_TYPES[row.type],
        amount=row.amount,
        to_address=row.to_address,
        token_mint=row.token_mint,
        contract_address=row.contract_address,
        method_signature=row.method_signature,
        spender_address=row.spender_address,
        approved_amount=row.approved_amount,
        parent_id=row.parent_id,
        batch_index=row.batch_index,
        status=_STATUSES[row.status],
        tier=None if row.tier is None else _TIERS[row.tier],
        tx_hash=row.tx_hash,
        created_at=row.created_at,
        executed_at=row.executed_at,
        error=row.error,
        queued_at=row.queued_at,
    )
