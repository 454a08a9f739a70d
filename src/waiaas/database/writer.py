"""The writer: a thread that owns the one connection which writes.

Units of work that wait at the same time form a group: BEGIN IMMEDIATE, each unit in its own
SAVEPOINT, COMMIT, and only then the answers. What may happen to a unit:

- its function returns, COMMIT succeeds: it is answered with the value, durably;
- its function raises: its SAVEPOINT is rolled back, its neighbours are not, and after COMMIT it is
  answered with its own error;
- SQLite rolls back the whole transaction (disk full, I/O error, RAISE(ROLLBACK)): nothing further
  of the group runs, and every member is answered *not done*;
- COMMIT fails: every member is answered CommitUnknown and the writer stops for good, unless the
  disk was full and the group is provably absent.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

import apsw
from sqlalchemy import Executable

from waiaas.database.connection import (
    DatabaseConnection,
    close_database,
    create_database,
    open_reader,
    set_pragma,
)
from waiaas.database.errors import Closed, CommitUnknown, DatabaseError, LedgerFull, RolledBack
from waiaas.database.push import push_schema
from waiaas.database.refusals import translated
from waiaas.database.statements import Parameters, Statement
from waiaas.database.tables import Tables

GROUP_UNITS_MAX: Final = 128
"""Units in one commit at most, so that the first of a group does not wait for ever."""


class Unit:
    """A function waiting to run in a transaction, and what came of it."""

    __slots__ = ("error", "function", "value")

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function: Final = function
        self.value: Any = None
        self.error: BaseException | None = None


class Answer(Protocol):
    """Tells a group's callers that their units' outcomes are final."""

    def __call__(self, group: list[Unit], /) -> None: ...


class Writer:
    """Runs units on its own thread, in groups."""

    def __init__(
        self,
        path: str,
        *,
        vfs: str | None,
        answer: Answer,
        on_failure: Callable[[CommitUnknown], None],
    ) -> None:
        """Open the database durably, push the schema, and start.

        Raises:
            DatabaseError: what `create_database` and `push_schema` raise.
        """
        self._path = path
        self._vfs = vfs
        self._answer = answer
        self._on_failure = on_failure
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._stopped = False
        self._failure: CommitUnknown | None = None
        self._emptied_wal = False
        opened: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="waiaas-ledger-writer", daemon=True
        )
        self._thread.start()
        error = opened.get()
        if error is not None:
            self._thread.join()
            raise error

    def submit(self, unit: Unit) -> None:
        """Queue *unit*; it is answered exactly once.

        Raises:
            DatabaseError: called from inside a unit, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise DatabaseError("a unit of work cannot write through the ledger again; use its tx")
        self._queue.put(unit)
        if self._stopped:  # The thread may have looked for the last time before our put.
            self._refuse_waiting()

    def stop(self) -> bool:
        """Finish what waits, close the connection; True if the WAL was left empty."""
        if not self._stopped:
            self._queue.put(None)
        self._thread.join()
        return self._emptied_wal

    def _run(self, opened: "queue.SimpleQueue[BaseException | None]") -> None:
        try:
            connection = self._open()
        except BaseException as error:  # noqa: BLE001 -- handed to the opener, whatever it is
            self._stopped = True
            opened.put(error)
            return
        opened.put(None)
        try:
            while (first := self._queue.get()) is not None and self._failure is None:
                self._commit_group(first)
            if first is not None:
                self._queue.put(first)
        finally:
            self._stopped = True
            self._refuse_waiting()
            self._emptied_wal = close_database(connection)

    def _open(self) -> DatabaseConnection:
        connection = create_database(self._path, vfs=self._vfs)
        try:
            set_pragma(connection.sqlite, "synchronous", "FULL", 2)
            push_schema(connection)
        except BaseException:
            close_database(connection)
            raise
        self._connection = connection
        self._sqlite = connection.sqlite
        self._tables = Tables(self._execute)
        return connection

    def _execute(
        self, statement: Statement | Executable, parameters: Parameters | None = None, /
    ) -> list[Any]:
        """Run a unit's statement, but never in autocommit.

        A unit may have swallowed the error with which SQLite rolled everything back; its next
        statement would then commit by itself.
        """
        if not self._sqlite.in_transaction:
            raise RolledBack("SQLite ended the transaction")
        return self._connection.db.execute(statement, parameters)

    def _refuse_waiting(self) -> None:
        """Answer everything in the queue with why nothing is written any more."""
        while True:
            try:
                unit = self._queue.get_nowait()
            except queue.Empty:
                return
            if unit is not None:
                unit.error = self._failure or Closed()
                self._answer([unit])

    def _commit_group(self, first: Unit) -> None:
        group = [first]
        try:
            self._sqlite.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            self._answer_not_done(group, translated(error, {}, self._path))
            return
        unit: Unit | None = first
        while unit is not None:
            self._run_unit(unit)
            if not self._sqlite.in_transaction:
                self._answer_not_done(group, unit.error)
                return
            unit = self._next_of_group(group)
        self._commit(group)

    def _next_of_group(self, group: list[Unit]) -> Unit | None:
        """Take the next waiting unit into the group, if there is one and room for it."""
        if len(group) == GROUP_UNITS_MAX:
            return None
        try:
            unit = self._queue.get_nowait()
        except queue.Empty:
            return None
        if unit is None:  # The request to stop: finish this group first.
            self._queue.put(None)
            return None
        group.append(unit)
        return unit

    def _run_unit(self, unit: Unit) -> None:
        self._sqlite.execute("SAVEPOINT unit")
        try:
            unit.value = unit.function(self._tables)
        except BaseException as error:  # noqa: BLE001 -- the caller's, whatever it is
            unit.error = error
            if self._sqlite.in_transaction:
                self._sqlite.execute("ROLLBACK TO unit")
        if self._sqlite.in_transaction:
            self._sqlite.execute("RELEASE unit")

    def _commit(self, group: list[Unit]) -> None:
        try:
            self._sqlite.execute("COMMIT")
        except apsw.FullError as error:
            if self._is_absent_after_rollback():
                self._answer_not_done(group, LedgerFull())
            else:
                self._fail(group, error)
        except BaseException as error:  # noqa: BLE001 -- any failure here means: unknown
            self._fail(group, error)
        else:
            self._answer(group)

    def _is_absent_after_rollback(self) -> bool:
        """Undo a commit for which there was no space, and look whether it really is not there.

        Every act writes an audit row, so its highest number, seen by a connection that had no part
        in the commit, tells. (A full disk is the one failure of COMMIT that is not *unknown*.)
        """
        try:
            self._connection.db.rollback()
            newest = self._tables_of(self._connection).audit.newest_id()
            with open_reader(self._path, vfs=self._vfs) as reader:
                return self._tables_of(reader).audit.newest_id() == newest
        except (apsw.Error, DatabaseError):
            return False

    @staticmethod
    def _tables_of(connection: DatabaseConnection) -> Tables:
        return Tables(connection.db.execute)

    def _answer_not_done(self, group: list[Unit], cause: BaseException | None) -> None:
        """Answer every member that nothing of it is in the ledger."""
        self._connection.db.rollback()
        for unit in group:
            if isinstance(cause, LedgerFull):
                unit.error = LedgerFull()
            elif unit.error is None:
                reason = "SQLite ended the transaction" if cause is None else str(cause)
                unit.error = RolledBack(reason)
        self._answer(group)

    def _fail(self, group: list[Unit], error: BaseException) -> None:
        """Stop writing for good: nobody can say whether the group is in the ledger."""
        self._failure = CommitUnknown(str(error))
        for unit in group:
            unit.error = CommitUnknown(str(error))
        self._on_failure(self._failure)
        self._answer(group)
