"""The ledger as everybody uses it: `write` durably, `read` a snapshot, `close` cleanly.

A write is a plain function of the open transaction. It runs on the writer's thread (see
`waiaas.database.writer`) and its value comes back after COMMIT with `synchronous=FULL`, so whatever
a caller was told survives a power cut. No `await` can fall inside a transaction. Reads run on the
calling thread, each on a read-only connection of that thread.
"""

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast
from weakref import WeakSet, finalize

from waiaas.database.ballast import Ballast
from waiaas.database.clean_stop import CleanStop
from waiaas.database.connection import DatabaseConnection, close_database, open_reader
from waiaas.database.errors import (
    Closed,
    DatabaseError,
    LedgerDamaged,
    LedgerFull,
    NotADatabase,
)
from waiaas.database.identity import look_before_opening, require_files
from waiaas.database.integrity import CheckKind, check_integrity, must_check_first
from waiaas.database.lock import DirectoryLock
from waiaas.database.notices import SILENT, Notices
from waiaas.database.statements import DEFINED, Parameters, Statement
from waiaas.database.tables import Tables
from waiaas.database.units import Unit, refuse_unrun
from waiaas.database.write_figures import WriteFigures
from waiaas.database.writer import Writer
from waiaas.ports import LedgerCondition, LedgerTransaction

Value = TypeVar("Value")

LEDGER_NAME: Final = "ledger.db"
"""The database file in the data directory."""

_DIRECTORY_MODE: Final = 0o700


class _WaitingUnit(Unit):
    """A unit whose caller blocks a thread. A bare lock is the cheapest thing to wait on."""

    __slots__ = ("done",)

    def __init__(self, function: Callable[[LedgerTransaction], object]) -> None:
        super().__init__(function)
        self.done: Final = threading.Lock()
        self.done.acquire()


class _AwaitingUnit(Unit):
    """A unit whose caller awaits on an event loop."""

    __slots__ = ("done", "loop")

    def __init__(
        self,
        function: Callable[[LedgerTransaction], object],
        loop: asyncio.AbstractEventLoop,
        *,
        from_reserve: tuple[Callable[[LedgerTransaction], object], ...] = (),
    ) -> None:
        super().__init__(function, from_reserve=from_reserve)
        self.loop: Final = loop
        self.done: Final[asyncio.Future[None]] = loop.create_future()


class _Snapshot:
    """What one query sees. Its *tx* is of no use before and after."""

    def __init__(self, connection: DatabaseConnection) -> None:
        self._connection = connection
        self.is_open = False

    def execute(self, statement: Statement, parameters: Parameters | None = None, /) -> list[Any]:
        if not self.is_open:
            raise DatabaseError("the query has ended; its tx must not be kept")
        return self._connection.db.execute(statement, parameters)


class _Reader:
    """One thread's read-only connection."""

    def __init__(self, path: str, *, vfs: str | None) -> None:
        self.connection: Final[DatabaseConnection] = open_reader(path, vfs=vfs)
        self.snapshot: Final = _Snapshot(self.connection)
        """Open while its own thread is inside a query."""
        self.tables: Final = Tables(self.snapshot.execute)
        self.in_use: Final = threading.Lock()
        """Held while a query runs, so that `close` on another thread waits for it."""
        # Closed with its thread; the garbage collector may be a long time coming.
        finalize(self, close_database, self.connection).atexit = False


class Ledger:
    """`waiaas.ports.Ledger`, made by `open_ledger`; leaving its `with` block closes it."""

    def __init__(
        self, directory: Path, *, vfs: str | None, lock: DirectoryLock | None, notices: Notices
    ) -> None:
        self.path: Final = str(directory / LEDGER_NAME)
        self.was_stopped_cleanly = False
        """Whether the last ledger here was closed in good order."""
        self.was_checked = False
        """Whether the file was checked before it was opened; else that is still to be done."""
        self._clean_stop: Final = CleanStop(directory)
        self._vfs = vfs
        self._failure_callbacks: list[Callable[[DatabaseError], None]] = []
        self._readers: WeakSet[_Reader] = WeakSet()
        self._readers_change = threading.Lock()
        self._of_thread = threading.local()
        self._closing = threading.Lock()
        self._closed = False
        self._is_given_up = False
        self._emptied_wal = False
        self._lock = lock or DirectoryLock(directory)
        try:
            # Before anything is written: from here on only a clean stop is a clean stop.
            self.was_stopped_cleanly = self._clean_stop.clear()
            self._writer = self._open_writer(notices, Ballast(directory))
        except BaseException:
            self._lock.release()
            raise

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        """Run `unit(tx)` in a transaction; return its value once that is durable.

        Whatever *unit* raises undoes it and is raised here.

        Raises:
            RolledBack, LedgerFull, LedgerDamaged: nothing of it was written.
            CommitUnknown: it may have been written; restart and look.
            DirectoryLost: nothing of it was written, nor will be; the process must stop.
            Closed: the ledger is closed.
            DatabaseError: called from inside a unit, which would wait for itself.
        """
        waiting = _WaitingUnit(unit)
        self._writer.submit(waiting)
        waiting.done.acquire()
        return cast("Value", waiting.outcome())

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        """`write`, awaited. Cancelling the caller does not stop a unit that waits or runs."""
        awaiting = _AwaitingUnit(unit, asyncio.get_running_loop())
        self._writer.submit(awaiting)
        await awaiting.done
        return cast("Value", awaiting.outcome())

    async def write_from_reserve(
        self,
        unit: Callable[[LedgerTransaction], Value],
        *,
        smaller: Callable[[LedgerTransaction], Value],
    ) -> Value:
        """`write_async`; on a full disk *unit*, or else *smaller*, in the room of the ballast.

        Raises:
            LedgerFull: even that was too little; nothing of either was written.
            DatabaseError: as `write`.
        """
        loop = asyncio.get_running_loop()
        awaiting = _AwaitingUnit(unit, loop, from_reserve=(unit, smaller))
        self._writer.submit(awaiting)
        await awaiting.done
        return cast("Value", awaiting.outcome())

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        """Run `query(tx)` on one snapshot of what is committed; return its value.

        Raises:
            ReadOnlyDatabase: *query* tried to write.
            NotADatabase: what it asked for is damaged; nothing is written any more.
            Closed: the ledger is closed.
            DatabaseError: called from inside a query, which has its own snapshot to look at, or in
                a forked process, which must not use this one's connections.
        """
        self._writer.refuse_other_process()
        try:
            reader = self._reader() or self._open_reader()
            _refuse_inside_query(reader)
            with reader.in_use:
                database = reader.connection.db
                database.begin("DEFERRED")
                reader.snapshot.is_open = True
                try:
                    value = query(reader.tables)
                    refuse_unrun(value)
                    return value
                finally:
                    reader.snapshot.is_open = False
                    database.rollback()
        except NotADatabase as error:
            self.stop_writing([error.reason])
            raise

    @property
    def damage(self) -> LedgerDamaged | None:
        """What was found wrong with the file, if anything was; then nothing is written."""
        return self._writer.damage

    def condition(self) -> LedgerCondition:
        """Say whether writes are accepted, and if not why not."""
        problem = self._writer.damage or (LedgerFull() if self._writer.is_full else None)
        return LedgerCondition(
            problem=None if problem is None else str(problem), wal_pages=self._writer.wal_pages
        )

    @property
    def write_figures(self) -> WriteFigures:
        """How long writes took, and how many were committed together."""
        return self._writer.figures

    def stop_writing(self, findings: Sequence[str]) -> None:
        """Write nothing any more, not even at the close, because the file was found damaged."""
        self._writer.stop_for(LedgerDamaged(findings))

    def add_failure_callback(self, callback: Callable[[DatabaseError], None]) -> None:
        """Have *callback* called, on the writer's thread, when nothing can be written any more.

        The process must then stop signing and exit; see `CommitUnknown` and `DirectoryLost`.
        """
        self._failure_callbacks.append(callback)

    def close(self) -> bool:
        """Close the readers, finish and close the writer, give the directory up.

        Queries in progress end first, and units that wait are done. Closing again is harmless, and
        after an interrupt it waits again.

        Returns:
            True if the WAL was left empty.

        Raises:
            DatabaseError: called from inside a unit or a query, which would wait for itself.
        """
        self._writer.refuse_elsewhere()
        _refuse_inside_query(self._reader())
        with self._closing:
            if not self._is_given_up:
                try:
                    self._close_readers()
                finally:
                    # If this is interrupted the writer still writes: then the lock is kept.
                    self._close_writer()
                    self._lock.release()
                    self._is_given_up = True
        return self._emptied_wal

    def _close_readers(self) -> None:
        with self._readers_change:
            self._closed = True
            readers = list(self._readers)
        for reader in readers:
            with reader.in_use:
                close_database(reader.connection)

    def _close_writer(self) -> None:
        self._emptied_wal = self._writer.stop()
        if self._emptied_wal:
            self._clean_stop.make()

    def _open_writer(self, notices: Notices, ballast: Ballast) -> Writer:
        """Check and open; on a full disk in the room that the ballast gives."""
        try:
            writer = self._checked_writer(notices, ballast, is_full=False)
        except LedgerFull:
            ballast.let_go()
            return self._checked_writer(notices, ballast, is_full=True)
        ballast.take()
        return writer

    def _checked_writer(self, notices: Notices, ballast: Ballast, *, is_full: bool) -> Writer:
        return Writer(
            self.path,
            vfs=self._vfs,
            answer=_answer,
            on_failure=self._report_failure,
            notices=notices,
            ballast=ballast,
            damage=self._look_for_damage(),
            is_full=is_full,
        )

    def _look_for_damage(self) -> LedgerDamaged | None:
        """Check the file before it is opened for writing, unless that can wait."""
        look_before_opening(self.path, self._vfs)
        file = Path(self.path)
        size_bytes = file.stat().st_size if file.exists() else 0  # A VFS makes it later.
        self.was_checked = must_check_first(
            was_clean=self.was_stopped_cleanly, size_bytes=size_bytes
        )
        if not self.was_checked or not size_bytes:
            return None
        findings = check_integrity(self.path, kind=CheckKind.QUICK, vfs=self._vfs)
        return LedgerDamaged([str(finding) for finding in findings]) if findings else None

    def _reader(self) -> _Reader | None:
        """Return the reader of the calling thread, if it has one."""
        return getattr(self._of_thread, "reader", None)

    def _open_reader(self) -> _Reader:
        with self._readers_change:
            if self._closed:
                raise Closed
            reader = _Reader(self.path, vfs=self._vfs)
            self._readers.add(reader)
            self._of_thread.reader = reader
            return reader

    def _report_failure(self, failure: DatabaseError) -> None:
        with ExitStack() as calls:  # One that raises does not keep the others from being called.
            for callback in self._failure_callbacks:
                calls.callback(callback, failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_ledger(
    directory: str | Path,
    *,
    vfs: str | None = None,
    lock: DirectoryLock | None = None,
    notices: Notices = SILENT,
    must_exist: bool = False,
) -> Ledger:
    """Open the ledger in *directory*, making both if need be: the durable way in.

    Takes the directory's lock, checks the file, opens the writer with `synchronous=FULL`, pushes
    the schema. A damaged file is opened for reading alone and its bytes stay as they are: see
    `Ledger.damage`.

    Args:
        directory: the data directory; its parent must exist. A new one gets mode 0700.
        vfs: the name of a registered SQLite VFS, or None for the system's.
        lock: the directory's, if the caller took it already; the ledger gives it up.
        notices: what is recorded and told about a full disk, damage and a large WAL.
        must_exist: whether a missing or empty file is refused: where there are keys there was a
            ledger, and a new one in its place would know of nothing that was paid.

    Raises:
        AlreadyOpen: another ledger owns the directory.
        NotADatabase: it must exist, and does not.
        DatabaseError: whatever `create_database` and `push_schema` raise.
    """
    for statement in DEFINED:
        _ = statement.compiled
    try:
        folder = Path(os.fsdecode(directory)).absolute()  # The process may change its own later.
        folder.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        _keep_name(folder)
        _refuse_link(folder / LEDGER_NAME)
        require_files(os.fspath(folder / LEDGER_NAME))
        if must_exist:
            _refuse_missing(folder / LEDGER_NAME)
        return Ledger(folder, vfs=vfs, lock=lock, notices=notices)
    except (OSError, UnicodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatabaseError(
            f"{directory!s} cannot be used as the data directory: {reason}"
        ) from error


def _refuse_link(file: Path) -> None:
    """Return if *file* has one name: under a second one, another lock would guard it."""
    if file.is_symlink() or (file.exists() and file.is_file() and file.stat().st_nlink > 1):
        raise DatabaseError(f"{file} is a link or has one; the ledger's file has a single name")


def _refuse_missing(file: Path) -> None:
    if not file.exists() or not file.stat().st_size:
        what = "empty" if file.exists() else "missing"
        raise NotADatabase(file, reason=f"it is {what}, though this directory has had a ledger")


def _keep_name(folder: Path) -> None:
    """Make the directory's own name durable: SQLite syncs names in it, never the one it has."""
    with suppress(PermissionError):  # Who may not list the parent did not make it either.
        parent = os.open(folder.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _refuse_inside_query(reader: _Reader | None) -> None:
    if reader is not None and reader.snapshot.is_open:
        raise DatabaseError("a query must not use the ledger to read or close, only its tx")


def _answer(group: list[Unit]) -> None:
    """Tell each caller; those on an event loop with one wake-up per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_AwaitingUnit]] = defaultdict(list)
    for unit in group:
        if isinstance(unit, _AwaitingUnit):
            by_loop[unit.loop].append(unit)
        else:
            assert isinstance(unit, _WaitingUnit)
            unit.done.release()
    for loop, units in by_loop.items():
        # A loop may have been closed: then its callers are gone, and the units are final anyway.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_wake, units)


def _wake(units: list[_AwaitingUnit]) -> None:
    for unit in units:
        if not unit.done.done():  # Or its caller was cancelled.
            unit.done.set_result(None)
