"""Reading recorded decisions in their order, and what moved before and between them.

On the snapshot of a read-only connection, a chunk at a time: a daemon may go on writing beside it.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, bindparam, func, select

from waiaas.database.connection import DatabaseConnection
from waiaas.database.decision import decision_record
from waiaas.database.schema import decisions, requests, spent_totals
from waiaas.database.statements import define
from waiaas.domain.records import DecisionRecord

_CHUNK_ROWS: Final = 1000

_DECIDED: Final = define(
    select(
        decisions.c.number,
        requests.c.request,
        decisions.c.tx_id,
        decisions.c.agent_id,
        decisions.c.decided_at,
        decisions.c.terms_sha256,
        decisions.c.usage,
        decisions.c.tier,
        decisions.c.verdict,
    )
    .join(requests, requests.c.tx_id == decisions.c.tx_id)
    .where(
        decisions.c.number > bindparam("after"),
        decisions.c.decided_at >= bindparam("since_s"),
    )
    .order_by(decisions.c.number)
    # SQLAlchemy writes an offset of its own, as a constant, where there is none.
    .limit(bindparam("most", type_=BigInteger))
    .offset(bindparam("skipped", type_=BigInteger))
)
_ADMITTED: Final = define(
    select(requests.c.agent_id, requests.c.admitted_at)
    .where(
        requests.c.admitted_at >= bindparam("since_s"),
        requests.c.admitted_at < bindparam("until_s"),
    )
    .order_by(requests.c.admitted_at)
)
_TOTALS: Final = define(
    select(
        spent_totals.c.agent_id,
        spent_totals.c.asset,
        spent_totals.c.settled_at,
        spent_totals.c.total,
    )
    .where(spent_totals.c.settled_at >= bindparam("since_s"))
    .order_by(spent_totals.c.agent_id, spent_totals.c.asset, spent_totals.c.settled_at)
)
_LATEST: Final = (
    select(
        spent_totals.c.agent_id,
        spent_totals.c.asset,
        func.max(spent_totals.c.settled_at).label("settled_at"),
    )
    .where(spent_totals.c.settled_at < bindparam("since_s"))
    .group_by(spent_totals.c.agent_id, spent_totals.c.asset)
    .subquery()
)
_BEFORE: Final = define(
    select(spent_totals.c.agent_id, spent_totals.c.asset, spent_totals.c.total).join(
        _LATEST,
        (spent_totals.c.agent_id == _LATEST.c.agent_id)
        & (spent_totals.c.asset == _LATEST.c.asset)
        & (spent_totals.c.settled_at == _LATEST.c.settled_at),
    )
)


class Totals(NamedTuple):
    """The running totals of an asset of an agent."""

    before: int
    """All that had moved before the first second."""
    by_second: list[tuple[int, int]]


def read_decisions(
    connection: DatabaseConnection, *, since_s: int
) -> Iterator[tuple[DecisionRecord, str]]:
    """Yield each decision made at or after *since_s* with its request's text, oldest first.

    Raises:
        DatabaseError: the file cannot be read.
    """
    after = 0
    while True:
        given = {"after": after, "since_s": since_s, "most": _CHUNK_ROWS, "skipped": 0}
        rows = connection.db.execute(_DECIDED, given)
        for _, request, *values in rows:
            yield decision_record(*values), request
        if len(rows) < _CHUNK_ROWS:
            return
        after = rows[-1].number


def read_admissions(
    connection: DatabaseConnection, *, since_s: int, until_s: int
) -> dict[str, list[int]]:
    """Return by agent when requests were admitted from *since_s* to before *until_s*, in order."""
    admitted: dict[str, list[int]] = {}
    for row in connection.db.execute(_ADMITTED, {"since_s": since_s, "until_s": until_s}):
        admitted.setdefault(row.agent_id, []).append(row.admitted_at)
    return admitted


def read_totals(connection: DatabaseConnection, *, since_s: int) -> dict[tuple[str, str], Totals]:
    """Return by agent and asset what had moved before *since_s*, and each total from then on."""
    given = {"since_s": since_s}
    totals = {
        (row.agent_id, row.asset): Totals(int(row.total), [])
        for row in connection.db.execute(_BEFORE, given)
    }
    for row in connection.db.execute(_TOTALS, given):
        found = totals.setdefault((row.agent_id, row.asset), Totals(0, []))
        found.by_second.append((row.settled_at, int(row.total)))
    return totals
