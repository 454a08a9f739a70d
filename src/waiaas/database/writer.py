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
  nothing is written any more;
- a statement meets damage: the group is undone, and nothing is written any more.

After a full disk units are refused unrun until the ballast can be taken back; see `_run_out`. Those
that must be written all the same go on in what the ballast has given up; see `_write_from_reserve`.

The WAL is copied into the main file by the writer, after the answers: callers do not wait for it,
and its failure cannot be taken for a failure of COMMIT.
"""

import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import apsw

from waiaas.database.audit import Tail
from waiaas.database.ballast import Ballast
from waiaas.database.connection import (
    BUSY_TIMEOUT_MS,
    DatabaseConnection,
    close_database,
    create_database,
    set_pragma,
)
from waiaas.database.errors import (
    Closed,
    CommitUnknown,
    DatabaseError,
    DirectoryLost,
    LedgerDamaged,
    LedgerFull,
    RolledBack,
)
from waiaas.database.lock import Place
from waiaas.database.notices import Notice, Notices
from waiaas.database.push import push_schema
from waiaas.database.refusals import translated
from waiaas.database.remembered import Remembered
from waiaas.database.tables import Tables
from waiaas.database.units import Answer, Outcome, Unit, refuse_unrun
from waiaas.database.write_figures import WriteFigures

GROUP_UNITS_MAX: Final = 128
"""Units in one commit at most, so that the first of a group does not wait for ever."""

WAL_PAGES_MAX: Final = 1000
"""Pages in the WAL from which on it is copied into the main file after a commit."""

WAL_THOUSANDS_WAIT: Final = 4
"""Thousands of pages in the WAL from which on readers are waited for to copy it whole."""

WAL_WAIT_MS: Final = 20
"""How long at most, once in a thousand pages."""

WAL_PAGES_ALARM: Final = 16 * WAL_PAGES_MAX
"""Pages in the WAL (some 64 MB) from which on the operator is told."""

WAL_BYTES_KEPT: Final = 16 * 1024 * 1024
"""A WAL that has grown beyond is cut to this once all of it is copied and nobody reads it."""


class Writer:
    """Runs units on its own thread, in groups."""

    def __init__(
        self,
        path: str,
        *,
        vfs: str | None,
        answer: Answer,
        on_failure: Callable[[DatabaseError], None],
        notices: Notices,
        ballast: Ballast,
        damage: LedgerDamaged | None,
        is_full: bool,
    ) -> None:
        """Open the database durably, push the schema, and start; with *damage* only refuse.

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
        self._notices = notices
        self._ballast = ballast
        self._failure: CommitUnknown | DirectoryLost | LedgerDamaged | None = damage
        self._connection: DatabaseConnection | None = None
        self._place: Place | None = None
        self._has_committed = False
        self.figures: Final = WriteFigures()
        self.wal_pages = 0
        """How long the WAL was after the last commit."""
        self._wal_is_large = False
        self._waited_at_thousands = 0
        self.is_full = is_full
        """Whether writes are refused until there is space."""
        self._emptied_wal = False
        self._pid = os.getpid()
        self._ended = threading.Event()
        """Set when the connection is closed. A join that was interrupted would not say."""
        opened: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="waiaas-ledger-writer", daemon=True
        )
        self._thread.start()
        try:
            error = opened.get()
        except BaseException:  # Interrupted; the thread must not outlive the directory's lock.
            self._queue.put(None)
            self._ended.wait()
            raise
        if error is not None:
            self._thread.join()
            raise error

    def submit(self, unit: Unit) -> None:
        """Queue *unit*; it is answered exactly once.

        Raises:
            DatabaseError: called from inside a unit, which would wait for itself, or in a process
                that was forked, which has no such thread.
            Closed: the writer is closing.
        """
        self.refuse_elsewhere()
        if self._closing:
            raise Closed
        self._queue.put(unit)
        if self._stopped:  # The thread may have looked for the last time before our put.
            self._refuse_waiting()

    def stop(self) -> bool:
        """Finish what waits, close the connection; True if the WAL was left empty.

        May be called again after an interrupt, and then waits again.

        Raises:
            DatabaseError: called from inside a unit, which would wait for itself.
        """
        self.refuse_elsewhere()
        self._closing = True
        self._queue.put(None)
        self._ended.wait()
        self._thread.join()
        return self._emptied_wal

    @property
    def damage(self) -> LedgerDamaged | None:
        """What was found wrong with the file, if anything was."""
        return self._failure if isinstance(self._failure, LedgerDamaged) else None

    def stop_for(self, damage: LedgerDamaged) -> None:
        """Write nothing from the next group on. Any thread may say so; the first one is told."""
        if self._failure is None:
            self._failure = damage
            self._notices.report(Notice.DAMAGED, str(damage))

    def refuse_other_process(self) -> None:
        """Return if this is the process that opened the ledger; raise DatabaseError if not."""
        if os.getpid() != self._pid:
            raise DatabaseError("a ledger stays with the process that opened it; open another one")

    def refuse_elsewhere(self) -> None:
        """Return if the caller may use the ledger.

        Raises:
            DatabaseError: it is the writer's thread, which must not wait for itself; or another
                process, forked from the ledger's.
        """
        self.refuse_other_process()
        if threading.current_thread() is self._thread:
            raise DatabaseError("a unit of work must not use the ledger to write or close, only tx")

    def _run(self, opened: "queue.SimpleQueue[BaseException | None]") -> None:
        try:
            self._run_until_stopped(opened)
        finally:
            self._ended.set()

    def _run_until_stopped(self, opened: "queue.SimpleQueue[BaseException | None]") -> None:
        try:
            if self._failure is None:
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
            limit = WAL_BYTES_KEPT
            set_pragma(connection.sqlite, "journal_size_limit", f"{limit}", limit)
            push_schema(connection)
        except BaseException:
            close_database(connection)
            raise
        # With a VFS of the caller's, files are the VFS's business.
        self._place = None if self._vfs else Place(self._path)
        connection.sqlite.set_wal_hook(self._note_commit)
        self._connection = connection
        self._sqlite = connection.sqlite
        self._control = apsw.Cursor(connection.sqlite).execute
        connection.db.refuse_autocommit(
            on_damage=lambda damage: self.stop_for(LedgerDamaged([damage.reason]))
        )
        self._remembered = Remembered(connection.db.execute, self._others_commits)
        self._tail = Tail()
        self._tables = Tables(self._remembered, self._tail)

    def _close(self) -> bool:
        """Close the connection; after a failure without another write to the file."""
        if self._connection is None:
            return False
        if self._failure is None:
            return close_database(self._connection)
        self._connection.closed = True
        self._sqlite.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._sqlite.close(force=True)
        return False

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
        unit.error = Closed() if self._failure is None else _again(self._failure)
        self._answer([unit])

    def _commit_group(self, group: list[Unit]) -> None:
        """Run the first unit of *group* and all that wait, commit, answer."""
        begun_ns = time.perf_counter_ns()
        try:
            if self.is_full:
                group[0].error = LedgerFull()  # Until proved otherwise, whatever goes wrong.
                if not self._resume():
                    self._write_from_reserve(group[0])
                    return
                group[0].error = None
            if self._settle(group) is Outcome.FULL:
                self._run_out()
                for unit in group:
                    self._write_from_reserve(unit)
        finally:
            taken_ns = time.perf_counter_ns() - begun_ns
            self.figures.add(units=len(group), ns=taken_ns)
            self._answer(group)
        if self.wal_pages >= WAL_PAGES_MAX and self._failure is None:
            self._copy_wal()
        if (self.wal_pages >= WAL_PAGES_ALARM) is not self._wal_is_large:
            self._tell_of_wal()

    def _settle(self, group: list[Unit], *, alone: bool = False) -> Outcome:
        """Run and commit *group*, which may grow unless *alone*; then every member is settled."""
        try:
            self._run_group(group, alone=alone)
        except BaseException as error:  # noqa: BLE001 -- the group's, whatever it is
            return self._undo(group, error)
        if self._place is not None and not self._place.is_kept():
            self._roll_back()
            return self._fail(group, DirectoryLost(self._path))
        self._has_committed = False
        try:
            self._control("COMMIT")
        except BaseException as error:  # noqa: BLE001 -- any failure here means: unknown
            if isinstance(error, apsw.FullError) and not self._has_committed:
                return self._undo(group, error)
            return self._fail(group, CommitUnknown(str(error)))
        return Outcome.DONE

    def _run_group(self, group: list[Unit], *, alone: bool) -> None:
        self._control("BEGIN IMMEDIATE")
        if self._remembered.begin():
            self._tail.forget()
        unit: Unit | None = group[0]
        while unit is not None:
            self._run_unit(unit)
            unit = None if alone else self._next_of_group(group)
        if self.damage is not None:  # Whatever was met on the way is not to be built upon.
            raise self.damage

    def _others_commits(self) -> int:
        """Return a number that is another one when another connection has committed."""
        [(version,)] = self._control("PRAGMA data_version")
        return int(version)

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
            refuse_unrun(unit.value)
        except BaseException as error:  # noqa: BLE001 -- the caller's, whatever it is
            unit.error = error
            self._tail.forget()
            if self._sqlite.in_transaction:
                self._control("ROLLBACK TO unit")
        if not self._sqlite.in_transaction:
            raise unit.error or RolledBack("SQLite ended the transaction")
        self._control("RELEASE unit")

    def _undo(self, group: list[Unit], cause: BaseException) -> Outcome:
        """Settle for every member that nothing of it is in the ledger."""
        if isinstance(cause, apsw.Error):
            cause = translated(cause, {}, self._path)
        is_full = isinstance(cause, LedgerFull)
        for unit in group:
            if is_full:
                unit.error = LedgerFull()
            elif self.damage is not None:
                unit.error = LedgerDamaged(self.damage.findings)
            elif unit.error is None:
                unit.error = RolledBack(getattr(cause, "reason", str(cause)))
        self._roll_back()
        return Outcome.FULL if is_full else Outcome.UNDONE

    def _roll_back(self) -> None:
        assert self._connection is not None, "a group runs on an open database"
        self._tail.forget()
        self._connection.db.rollback()

    def _fail(self, group: list[Unit], failure: CommitUnknown | DirectoryLost) -> Outcome:
        """Stop writing for good, for a group that is not known to be done."""
        self._failure = failure
        for unit in group:
            unit.error = _again(failure)
        self._on_failure(failure)
        return Outcome.UNKNOWN

    def _run_out(self) -> None:
        """Refuse writes from now on, and record why in the room that the ballast gives."""
        self.is_full = True
        self._ballast.let_go()
        is_recorded = self._settle([Unit(self._notices.full)], alone=True) is Outcome.DONE
        notice = Notice.FULL if is_recorded else Notice.FULL_UNRECORDED
        self._notices.report(notice, str(LedgerFull()))

    def _write_from_reserve(self, unit: Unit) -> None:
        """Do what *unit* has for a full disk; the ballast was let go. One that has nothing waits.

        Each is a transaction of its own, so that the ones before it cannot take its room.
        """
        for function in unit.from_reserve:
            if self._failure is not None:
                return
            trial = Unit(function)
            outcome = self._settle([trial], alone=True)
            unit.value, unit.error = trial.value, trial.error
            if outcome is not Outcome.FULL:
                return

    def _resume(self) -> bool:
        """Accept writes again if the ballast can be taken back and that be recorded."""
        if not self._ballast.take_back():
            return False
        if self._settle([Unit(self._notices.resumed)], alone=True) is not Outcome.DONE:
            self._ballast.let_go()
            return False
        self.is_full = False
        self._notices.report(Notice.RESUMED, "there is space again: the ledger is written to")
        return True

    def _tell_of_wal(self) -> None:
        """Tell once that the WAL has outgrown its bound, and once that it no longer does."""
        self._wal_is_large = not self._wal_is_large
        self._notices.report(
            Notice.WAL_LARGE if self._wal_is_large else Notice.WAL_BOUNDED,
            f"the WAL has {self.wal_pages} pages of 4 KiB, the bound is {WAL_PAGES_ALARM}; it "
            f"grows while somebody reads an old snapshot, or the main file has no room to grow",
        )

    def _note_commit(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        """Learn from SQLite that a commit took place, and how long the WAL is now."""
        self._has_committed = True
        self.wal_pages = pages
        return apsw.SQLITE_OK

    def _copy_wal(self) -> None:
        """Copy what no reader needs any more into the main file.

        Readers that follow each other closely could keep it from being copied whole for ever. So
        once in a thousand pages the writer waits for those who read now, but not long. If copying
        fails (no space, say) everything still is in the WAL; the next commit tries again.
        """
        thousands = self.wal_pages // WAL_PAGES_MAX
        waits = thousands >= WAL_THOUSANDS_WAIT and thousands != self._waited_at_thousands
        self._waited_at_thousands = thousands
        try:
            if waits:
                self._sqlite.set_busy_timeout(WAL_WAIT_MS)
            mode = apsw.SQLITE_CHECKPOINT_RESTART if waits else apsw.SQLITE_CHECKPOINT_PASSIVE
            with suppress(apsw.Error):
                self._sqlite.wal_checkpoint(mode=mode)
        finally:
            self._sqlite.set_busy_timeout(BUSY_TIMEOUT_MS)


def _again(failure: CommitUnknown | DirectoryLost | LedgerDamaged) -> DatabaseError:
    """Return the same error for one more caller: each raises one of its own."""
    match failure:
        case CommitUnknown(reason=reason):
            return CommitUnknown(reason)
        case DirectoryLost(path=path):
            return DirectoryLost(path)
        case LedgerDamaged(findings=findings):
            return LedgerDamaged(findings)
