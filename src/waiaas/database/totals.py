"""Are the totals what adding up reservations and foreign movements gives? The full check asks.

The rows are read in the order of an index, so nothing is kept but one line of each side.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import bindparam, select

from waiaas.database.connection import DatabaseConnection
from waiaas.database.schema import (
    foreign_movements,
    held_totals,
    reservations,
    spent_totals,
    transactions,
)
from waiaas.database.statements import Parameters, Statement, define
from waiaas.domain.transaction import ReservationState

_HELD_ROWS: Final = define(
    select(
        reservations.c.agent_id, reservations.c.asset, transactions.c.tier, reservations.c.amount
    )
    .join_from(reservations, transactions, transactions.c.id == reservations.c.tx_id)
    .where(reservations.c.state == bindparam("state"))
    .order_by(reservations.c.agent_id, reservations.c.asset, transactions.c.tier)
)
_HELD_TOTALS: Final = define(
    select(held_totals.c.agent_id, held_totals.c.asset, held_totals.c.tier, held_totals.c.total)
    .where(held_totals.c.total != bindparam("nothing"))
    .order_by(held_totals.c.agent_id, held_totals.c.asset, held_totals.c.tier)
)
_SPENT_ROWS: Final = define(
    select(
        reservations.c.agent_id,
        reservations.c.asset,
        reservations.c.settled_at,
        reservations.c.amount,
    )
    .where(reservations.c.state == bindparam("state"))
    .order_by(reservations.c.agent_id, reservations.c.asset, reservations.c.settled_at)
)
_FOREIGN_ROWS: Final = define(
    select(
        foreign_movements.c.agent_id,
        foreign_movements.c.asset,
        foreign_movements.c.counted_at,
        foreign_movements.c.amount,
    ).order_by(
        foreign_movements.c.agent_id, foreign_movements.c.asset, foreign_movements.c.counted_at
    )
)
_SPENT_TOTALS: Final = define(
    select(
        spent_totals.c.agent_id,
        spent_totals.c.asset,
        spent_totals.c.settled_at,
        spent_totals.c.total,
    ).order_by(spent_totals.c.agent_id, spent_totals.c.asset, spent_totals.c.settled_at)
)

Line = tuple[Any, ...]
"""Agent, asset, what the total is of (a tier, or a second), and the sum."""


def wrong_totals(connection: DatabaseConnection) -> Iterator[str]:
    """Yield a sentence about each kind of total of which one is not the sum of its rows.

    Raises:
        ValueError: an amount is not a number.
    """
    held = _sums(_lines(connection, _HELD_ROWS, {"state": ReservationState.HELD}))
    # What moves nothing holds nothing, and no total of nothing is looked at either.
    held = (line for line in held if line[-1])
    yield from _differing(held, _lines(connection, _HELD_TOTALS, {"nothing": "0"}))
    moved = merge(
        _lines(connection, _SPENT_ROWS, {"state": ReservationState.SPENT}),
        _lines(connection, _FOREIGN_ROWS, {}),
        key=itemgetter(0, 1, 2),
    )
    spent = _sums(moved)
    yield from _differing(_running(spent), _lines(connection, _SPENT_TOTALS, {}))


def _lines(
    connection: DatabaseConnection, statement: Statement, parameters: Parameters
) -> Iterator[Line]:
    text = statement.compiled
    for *of, amount in connection.sqlite.execute(text.sql, text.values(parameters)):
        yield (*of, int(amount))


def _sums(lines: Iterable[Line]) -> Iterator[Line]:
    """Add the lines that differ in their amounts only."""
    for of, same in groupby(lines, key=itemgetter(0, 1, 2)):
        yield (*of, sum(line[3] for line in same))


def _running(lines: Iterable[Line]) -> Iterator[Line]:
    """Add to each line all before it of the same agent and asset."""
    for _, series in groupby(lines, key=itemgetter(0, 1)):
        total = 0
        for agent_id, asset, second, amount in series:
            total += amount
            yield agent_id, asset, second, total


def _differing(expected: Iterable[Line], stored: Iterable[Line]) -> Iterator[str]:
    """Yield the first difference: what builds on it would only repeat it."""
    for ours, theirs in zip_longest(expected, stored):
        if ours != theirs:
            yield f"the reservations add up to {_words(ours)}, the totals say {_words(theirs)}"
            return


def _words(line: Line | None) -> str:
    if line is None:
        return "no more"
    agent_id, asset, of, total = line
    return f"{total} of {asset} for agent {agent_id} ({of})"
