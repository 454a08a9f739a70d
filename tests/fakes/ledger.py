"""A ledger in memory, for tests that need hundreds: the real tables, without file, lock or thread.

Everything that refuses a row is the database's (checks, foreign keys, triggers, unique indexes),
so it stays. What is left out is what `waiaas.database.writer` is for: durability and concurrency.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Self, TypeVar

from waiaas.database import DatabaseConnection, close_database, create_database, push_schema
from waiaas.database.errors import DatabaseError
from waiaas.database.statements import Parameters, Statement
from waiaas.database.tables import Tables
from waiaas.database.units import refuse_unrun
from waiaas.ports import LedgerTransaction

Value = TypeVar("Value")


class MemoryLedger:
    """`waiaas.ports.Ledger`, for one thread; a new one costs a copy of an empty database."""

    _empty: DatabaseConnection | None = None

    def __init__(self) -> None:
        self.connection: Final = create_database(":memory:")
        if MemoryLedger._empty is None:
            MemoryLedger._empty = create_database(":memory:")
            push_schema(MemoryLedger._empty)
        with self.connection.sqlite.backup("main", MemoryLedger._empty.sqlite, "main") as copy:
            copy.step()
        self._is_used = False

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        return self._run(unit, self.connection.db.transaction())

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        return self.write(unit)

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        return self._run(query, self._snapshot())

    def close(self) -> None:
        close_database(self.connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(
        self,
        function: Callable[[LedgerTransaction], Value],
        transaction: AbstractContextManager[None],
    ) -> Value:
        if self._is_used:
            raise DatabaseError("a unit of work must not use the ledger, only tx")
        is_open = True

        def run(statement: Statement, parameters: Parameters | None = None, /) -> list[Any]:
            if not is_open:
                raise DatabaseError("the unit has ended; its tx must not be kept")
            return self.connection.db.execute(statement, parameters)

        self._is_used = True
        try:
            with transaction:
                value = function(Tables(run))
                refuse_unrun(value)
                return value
        finally:
            is_open = False
            self._is_used = False

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self.connection.sqlite.pragma("query_only", "ON")
        self.connection.db.begin("DEFERRED")
        try:
            yield
        finally:
            self.connection.db.rollback()
            self.connection.sqlite.pragma("query_only", "OFF")
