"""What the writer remembers: answers to questions about rows that rarely change.

Each payment asks who pays, by which rules, and whether it may at all. The answers are those of the
ledger as it was committed last, and they are given again only as long as that is certain:

- a statement that writes one of these tables ends it for the rest of the transaction, whatever
  becomes of that: what is not committed is never remembered, so no rollback has to be noticed;
- at each BEGIN SQLite is asked whether another connection has committed since, which it tells by a
  number. The lock that BEGIN took keeps others away from then on.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Table

from waiaas.database.run import Run
from waiaas.database.schema import (
    agents,
    key_value_store,
    kill_switch,
    policies,
    sessions,
    terms,
)
from waiaas.database.statements import Parameters, Statement

RARELY_WRITTEN: Final[frozenset[Table]] = frozenset(
    {agents, key_value_store, kill_switch, policies, sessions, terms}
)
"""Tables of which answers are remembered. None is written by a trigger, or by a foreign key of
another table than these."""

ANSWERS_KEPT_MAX: Final = 4096
"""How many answers are kept; one more, and all are forgotten."""


class Remembered:
    """A `Run` that runs a remembered statement once for each set of values, while that is sound."""

    def __init__(self, run: Run, version: Callable[[], int]) -> None:
        """Run statements by *run*; *version* is another number after each commit of others."""
        self._run = run
        self._version_now = version
        self._version: int | None = None
        self._kept: dict[tuple[object, ...], list[Any]] = {}
        self._is_uncommitted = True
        """Whether the tables may hold what is not committed; so it is outside of a transaction."""

    def begin(self) -> bool:
        """Start anew with a transaction that has just begun, and holds the write lock.

        Return whether another connection has committed, or may have, since the one before.
        """
        version, before = self._version_now(), self._version
        if version != before:
            self._kept.clear()
            self._version = version
        self._is_uncommitted = False
        return version != before

    def __call__(self, statement: Statement, parameters: Parameters | None = None, /) -> list[Any]:
        if statement.is_remembered and not self._is_uncommitted:
            key = (statement, *parameters.items()) if parameters else (statement,)
            rows = self._kept.get(key)
            if rows is None:
                rows = self._run(statement, parameters)
                if len(self._kept) == ANSWERS_KEPT_MAX:
                    self._kept.clear()
                self._kept[key] = rows
            return rows.copy()
        if statement.written in RARELY_WRITTEN:
            self._is_uncommitted = True
            self._kept.clear()
        return self._run(statement, parameters)
