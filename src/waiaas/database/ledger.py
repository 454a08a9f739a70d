"""The ledger as everybody uses it: `write` durably, `read` a snapshot, `close` cleanly.

A write is a plain function of the open transaction. It runs on the writer's thread (see
`waiaas.database.writer`) and its value comes back after COMMIT with `synchronous=FULL`, so whatever
a caller was told survives a power cut. No `await` can fall inside a transaction. Reads run on the
calling thread, each on a read-only connection of that thread.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar, cast
from weakref import WeakSet

from waiaas.database.connection import DatabaseConnection, close_database, open_reader
from waiaas.database.errors import Closed, CommitUnknown
from waiaas.database.lock import DirectoryLock
from waiaas.database.statements import DEFINED
from waiaas.database.tables import Tables
from waiaas.database.writer import Unit, Writer
from waiaas.ports import LedgerTransaction

Value = TypeVar("Value")

LEDGER_NAME: Final = "ledger.db"
"""The database file in the data directory."""

_DIRECTORY_MODE: Final = 0o700


class _WaitingUnit(Unit):
    """A unit whose caller blocks a thread. A bare lock is the cheapest thing to wait on."""

    __slots__ = ("done",)

    def __init__(self, function: Callable[[LedgerTransaction], object]) -> None:
        super().__init__(function)
        self.done = threading.Lock()
        self.done.acquire()


class _AwaitingUnit(Unit):
    """A unit whose caller awaits on an event loop."""

    __slots__ = ("future", "loop")

    def __init__(
        self, function: Callable[[LedgerTransaction], object], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(function)
        self.loop = loop
        self.future: asyncio.Future[object] = loop.create_future()


class _Reader:
    """One thread's read-only connection."""

    def __init__(self, path: str, *, vfs: str | None) -> None:
        self.connection: Final[DatabaseConnection] = open_reader(path, vfs=vfs)
        self.tables: Final = Tables(self.connection.db.execute)
        self.in_use: Final = threading.Lock()
        """Held while a query runs, so that `close` on another thread waits for it."""


class Ledger:
    """`waiaas.ports.Ledger`, made by `open_ledger`; leaving its `with` block closes it."""

    def __init__(self, directory: Path, *, vfs: str | None) -> None:
        self.path: Final = str(directory / LEDGER_NAME)
        self._vfs = vfs
        self._failure_callbacks: list[Callable[[CommitUnknown], None]] = []
        self._readers: WeakSet[_Reader] = WeakSet()
        self._readers_change = threading.Lock()
        self._of_thread = threading.local()
        self._closed = False
        self._lock = DirectoryLock(directory)
        try:
            self._writer = Writer(
                self.path, vfs=vfs, answer=_answer, on_failure=self._report_failure
            )
        except BaseException:
            self._lock.release()
            raise

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        """Run `unit(tx)` in a transaction; return its value once that is durable.

        Whatever *unit* raises undoes it and is raised here.

        Raises:
            RolledBack, LedgerFull: nothing of it was written.
            CommitUnknown: it may have been written; restart and look.
            Closed: the ledger is closed.
        """
        waiting = _WaitingUnit(unit)
        self._writer.submit(waiting)
        waiting.done.acquire()
        if waiting.error is not None:
            raise waiting.error
        return cast("Value", waiting.value)

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        """`write`, awaited. Cancelling the caller does not stop a unit that waits or runs."""
        awaiting = _AwaitingUnit(unit, asyncio.get_running_loop())
        self._writer.submit(awaiting)
        return cast("Value", await awaiting.future)

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        """Run `query(tx)` on one snapshot of what is committed; return its value.

        Raises:
            ReadOnlyDatabase: *query* tried to write.
            Closed: the ledger is closed.
        """
        reader = getattr(self._of_thread, "reader", None) or self._open_reader()
        with reader.in_use:
            if reader.connection.closed:
                raise Closed
            database = reader.connection.db
            database.begin("DEFERRED")
            try:
                return query(reader.tables)
            finally:
                database.rollback()

    def add_failure_callback(self, callback: Callable[[CommitUnknown], None]) -> None:
        """Have *callback* called, on the writer's thread, when a commit's outcome is unknown.

        The process must then stop signing and exit; see `CommitUnknown`.
        """
        self._failure_callbacks.append(callback)

    def close(self) -> bool:
        """Close the readers, finish and close the writer, give the directory up.

        Returns:
            True if the WAL was left empty. Closing again is harmless.
        """
        if self._closed:
            return True
        self._closed = True
        with self._readers_change:
            for reader in list(self._readers):
                with reader.in_use:
                    close_database(reader.connection)
        try:
            return self._writer.stop()
        finally:
            self._lock.release()

    def _open_reader(self) -> _Reader:
        with self._readers_change:
            if self._closed:
                raise Closed
            reader = _Reader(self.path, vfs=self._vfs)
            self._readers.add(reader)
            self._of_thread.reader = reader
            return reader

    def _report_failure(self, failure: CommitUnknown) -> None:
        for callback in self._failure_callbacks:
            callback(failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_ledger(directory: str | Path, *, vfs: str | None = None) -> Ledger:
    """Open the ledger in *directory*, making both if need be: the durable way in.

    Takes the directory's lock, opens the writer with `synchronous=FULL`, pushes the schema.

    Args:
        directory: the data directory; its parent must exist. A new one gets mode 0700.
        vfs: the name of a registered SQLite VFS, or None for the system's.

    Raises:
        AlreadyOpen: another ledger owns the directory.
        DatabaseError: whatever `create_database` and `push_schema` raise.
    """
    folder = Path(directory)
    folder.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
    for statement in DEFINED:
        _ = statement.compiled
    return Ledger(folder, vfs=vfs)


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
        if not loop.is_closed():  # Its callers are gone; the units are committed all the same.
            loop.call_soon_threadsafe(_resolve, units)


def _resolve(units: list[_AwaitingUnit]) -> None:
    for unit in units:
        if unit.future.done():  # The caller was cancelled.
            continue
        if unit.error is None:
            unit.future.set_result(unit.value)
        else:
            unit.future.set_exception(unit.error)
