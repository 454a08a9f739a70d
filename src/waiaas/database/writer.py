"""The writer: a thread that owns the one connection which writes.

Units of work that wait at the same time form a group: BEGIN IMMEDIATE, each unit in its own
SAVEPOINT, COMMIT, and only then the answers. What may happen to a unit:

- its function returns, COMMIT succeeds: it is answered with the value, durably;
- its function raises: its SAVEPOINT is rolled back, its neighbours are not, and after COMMIT it is
  answered with its own error;
- SQLite rolls back the whole transaction (disk full, I/O error, RAISE(ROLLBACK)): nothing further
  of the group runs, and every member is answered *not done*;
- COMMIT fails because the disk is full: SQLite writes the mark that makes a group valid last, so
  nothing of the group is there, and every member is answered *not done*;
- COMMIT fails otherwise: every member is answered CommitUnknown and nothing is written any more;
- the file is not at its path any more: every member is answered DirectoryLost before COMMIT, and
  nothing is written any more.

The WAL is copied into the main file by the writer, after the answers: callers do not wait for it,
and its failure cannot be taken for a failure of COMMIT.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import apsw
from sqlalchemy import Executable

from waiaas.database.connection import (
    close_database,
    create_database,
    set_pragma,
)
from waiaas.database.errors import (
    Closed,
    CommitUnknown,
    DatabaseError,
    DirectoryLost,
    LedgerFull,
    RolledBack,
)
from waiaas.database.lock import Place
from waiaas.database.push import push_schema
from waiaas.database.refusals import translated
from waiaas.database.statements import Parameters, Statement
from waiaas.database.tables import Tables

GROUP_UNITS_MAX: Final = 128
"""Units in one commit at most, so that the first of a group does not wait for ever."""

WAL_PAGES_MAX: Final = 1000
"""Pages in the WAL from which on it is copied into the main file after a commit."""


class Unit:
    """A function waiting to run in a transaction, and what came of it."""

    __slots__ = ("error", "function", "value")

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function: Final = function
        self.value: Any = None
        self.error: BaseException | None = None

    def outcome(self) -> Any:  # noqa: ANN401 -- what the function returned
        """Return the function's value once the unit is answered, or raise its error."""
        if self.error is not None:
            raise self.error
        return self.value


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
        on_failure: Callable[[DatabaseError], None],
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
        self._closing = False
        self._stopped = False
        self._wal_pages = 0
        self._failure: Callable[[], DatabaseError] | None = None
        """Makes the error that answers everything from now on; none while all is well."""
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
            Closed: the writer is closing.
        """
        self.refuse_inside_unit()
        if self._closing:
            raise Closed
        self._queue.put(unit)
        if self._stopped:  # The thread may have looked for the last time before our put.
            self._refuse_waiting()

    def stop(self) -> bool:
        """Finish what waits, close the connection; True if the WAL was left empty.

        Raises:
            DatabaseError: called from inside a unit, which would wait for itself.
        """
        self.refuse_inside_unit()
        self._closing = True
        self._queue.put(None)
        self._thread.join()
        return self._emptied_wal

    def refuse_inside_unit(self) -> None:
        """Return if the calling thread is not the writer's, which must not wait for itself.

        Raises:
            DatabaseError: it is.
        """
        if threading.current_thread() is self._thread:
            raise DatabaseError("a unit of work must not use the ledger to write or close, only tx")

    def _run(self, opened: "queue.SimpleQueue[BaseException | None]") -> None:
        try:
            self._open()
        except BaseException as error:  # noqa: BLE001 -- handed to the opener, whatever it is
            opened.put(error)
            return
        opened.put(None)
        try:
            while (unit := self._queue.get()) is not None:
                if self._failure is None:
                    self._commit_group([unit])
                else:
                    self._refuse(unit)
        finally:
            self._stopped = True
            self._refuse_waiting()
            self._emptied_wal = self._close()

    def _open(self) -> None:
        connection = create_database(self._path, vfs=self._vfs)
        try:
            set_pragma(connection.sqlite, "synchronous", "FULL", 2)
            push_schema(connection)
        except BaseException:
            close_database(connection)
            raise
        # With a VFS of the caller's, files are the VFS's business.
        self._place = None if self._vfs else Place(self._path)
        connection.sqlite.set_wal_hook(self._note_commit)
        self._connection = connection
        self._sqlite = connection.sqlite
        self._run_statement = connection.db.execute
        self._control = apsw.Cursor(connection.sqlite).execute
        self._tables = Tables(self._execute)

    def _close(self) -> bool:
        """Close the connection; after a failure without another write to the file."""
        if self._failure is None:
            return close_database(self._connection)
        self._connection.closed = True
        self._sqlite.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._sqlite.close(force=True)
        return False

    def _execute(
        self, statement: Statement | Executable, parameters: Parameters | None = None, /
    ) -> list[Any]:
        """Run a unit's statement, but never in autocommit.

        A unit may have swallowed the error with which SQLite rolled everything back; its next
        statement would then commit by itself.
        """
        if not self._sqlite.in_transaction:
            raise RolledBack("SQLite ended the transaction")
        return self._run_statement(statement, parameters)

    def _refuse_waiting(self) -> None:
        """Answer everything in the queue with why nothing is written any more."""
        while True:
            try:
                unit = self._queue.get_nowait()
            except queue.Empty:
                return
            if unit is not None:
                self._refuse(unit)

    def _refuse(self, unit: Unit) -> None:
        unit.error = Closed() if self._failure is None else self._failure()
        self._answer([unit])

    def _commit_group(self, group: list[Unit]) -> None:
        """Run the first unit of *group* and all that wait, commit, answer."""
        try:
            self._run_group(group)
        except BaseException as error:  # noqa: BLE001 -- answered to the group, whatever it is
            self._answer_not_done(group, error)
            return
        if self._place is not None and not self._place.is_kept():
            self._connection.db.rollback()
            self._fail(group, partial(DirectoryLost, self._path))
            return
        self._wal_pages = 0
        try:
            self._control("COMMIT")
        except BaseException as error:  # noqa: BLE001 -- any failure here means: unknown
            if isinstance(error, apsw.FullError) and not self._wal_pages:
                self._answer_not_done(group, error)
            else:
                self._fail(group, partial(CommitUnknown, str(error)))
            return
        self._answer(group)
        if self._wal_pages >= WAL_PAGES_MAX:
            self._empty_wal()

    def _run_group(self, group: list[Unit]) -> None:
        self._control("BEGIN IMMEDIATE")
        unit: Unit | None = group[0]
        while unit is not None:
            self._run_unit(unit)
            unit = self._next_of_group(group)

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
        """Run one unit; return if the transaction goes on, with or without what it wrote.

        Raises:
            Exception: the transaction is gone, and why.
        """
        self._control("SAVEPOINT unit")
        try:
            unit.value = unit.function(self._tables)
        except BaseException as error:  # noqa: BLE001 -- the caller's, whatever it is
            unit.error = error
            if self._sqlite.in_transaction:
                self._control("ROLLBACK TO unit")
        if not self._sqlite.in_transaction:
            raise unit.error or RolledBack("SQLite ended the transaction")
        self._control("RELEASE unit")

    def _answer_not_done(self, group: list[Unit], cause: BaseException) -> None:
        """Answer every member that nothing of it is in the ledger."""
        if isinstance(cause, apsw.Error):
            cause = translated(cause, {}, self._path)
        for unit in group:
            if isinstance(cause, LedgerFull):
                unit.error = LedgerFull()
            elif unit.error is None:
                unit.error = RolledBack(getattr(cause, "reason", str(cause)))
        try:
            self._connection.db.rollback()
        finally:
            self._answer(group)

    def _fail(self, group: list[Unit], failure: Callable[[], DatabaseError]) -> None:
        """Stop writing for good, and answer the group and all that comes with *failure*."""
        self._failure = failure
        for unit in group:
            unit.error = failure()
        try:
            self._on_failure(failure())
        finally:
            self._answer(group)

    def _note_commit(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        """Learn from SQLite that a commit took place, and how long the WAL is now."""
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _empty_wal(self) -> None:
        """Copy what no reader needs any more into the main file.

        If that fails (no space, say) everything still is in the WAL; the next commit tries again.
        """
        with suppress(apsw.Error):
            self._sqlite.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
