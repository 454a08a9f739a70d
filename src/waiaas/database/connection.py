"""Opening, using and closing one connection.

`create_database` looks at an existing file before it touches it, sets the seven PRAGMAs in order
and reads each back, and hardens the connection. `close_database` leaves an empty WAL behind.
Nothing here knows the tables; nothing but SQLite ever opens the file (the POSIX locks of a process
die with any `close()` of the file, whoever opened it).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from types import TracebackType
from typing import Any, Final, NoReturn, Self
from weakref import WeakSet

import apsw
from sqlalchemy import Executable

from waiaas.database.errors import (
    CommitUnknown,
    DatabaseError,
    LedgerFull,
    NotADatabase,
    PragmaRefused,
    ReadOnlyDatabase,
    RolledBack,
)
from waiaas.database.identity import look_before_opening, require_files
from waiaas.database.refusals import translated
from waiaas.database.statements import Parameters, Statement, compiled

MEMORY: Final = ":memory:"
"""The path of a database that lives as long as its connection."""

SQLITE_VERSION_MIN: Final = (3, 51, 3)
"""SQLite 3.7.0 to 3.51.2 can corrupt a WAL database that two connections write or checkpoint."""

BUSY_TIMEOUT_MS: Final = 5000
"""How long to wait for another connection's lock."""

_BUSY_RETRY_S: Final = 0.01

PRAGMAS: Final = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "NORMAL", 1),
    ("foreign_keys", "ON", 1),
    ("busy_timeout", "5000", BUSY_TIMEOUT_MS),
    ("cache_size", "-64000", -64_000),
    ("mmap_size", "268435456", 268_435_456),
    ("temp_store", "MEMORY", 2),
)
"""The seven, in order: name, value as written, value as read back."""

_HARDENING: Final = (
    # Without it REPLACE deletes rows past the audit log's triggers.
    ("recursive_triggers", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
)

_SWITCHES: Final = (
    (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
    # "name" must never be read as a string because no such column exists.
    (apsw.SQLITE_DBCONFIG_DQS_DML, 0),
    (apsw.SQLITE_DBCONFIG_DQS_DDL, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
    # A plan for good, and one for every value: without it, whatever compares an indexed column with
    # a parameter is planned anew at each execution, because statistics could have something to say.
    (apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1),
)

_LIMITS: Final = (
    (apsw.SQLITE_LIMIT_LENGTH, 16 * 1024 * 1024),
    (apsw.SQLITE_LIMIT_SQL_LENGTH, 256 * 1024),
    (apsw.SQLITE_LIMIT_VARIABLE_NUMBER, 1000),
    (apsw.SQLITE_LIMIT_EXPR_DEPTH, 200),
    (apsw.SQLITE_LIMIT_ATTACHED, 0),
    (apsw.SQLITE_LIMIT_TRIGGER_DEPTH, 10),
)
"""Bytes of a value, bytes of a statement, parameters, nesting, attached files, trigger depth."""


class Database:
    """Runs statements on one connection, always to the end: no cursor stays open."""

    def __init__(self, sqlite: apsw.Connection, path: str) -> None:
        self._sqlite = sqlite
        self._path = path
        self._cursor = sqlite.cursor()
        self._thread = get_ident()
        self._never_autocommits = False
        """Whether nothing may be committed by itself, as in a `transaction` block."""
        self._on_damage: Callable[[NotADatabase], None] = _not_told

    def execute(
        self, statement: Statement | Executable, parameters: Parameters | None = None
    ) -> list[Any]:
        """Run a SQLAlchemy Core statement and return its rows, with attributes by column name.

        Raises:
            ValueRefused: a value does not fit its column; nothing was written.
            ConstraintViolated: a unique index, foreign key or trigger refused the row.
            ReadOnlyDatabase, LedgerFull, Closed, DatabaseError: as their names say.
        """
        if get_ident() != self._thread:
            self._refuse_thread()
        given = {} if parameters is None else parameters
        text = statement.compiled if type(statement) is Statement else compiled(statement, given)
        values = text.values(given)
        if self._never_autocommits and not self._sqlite.in_transaction:
            raise RolledBack("SQLite ended the transaction")
        try:
            return text.rows(self._cursor.execute(text.sql, values))
        except BaseException as error:
            # An interrupt too: half read, the statement would keep its snapshot.
            self._replace_cursor()
            if isinstance(error, apsw.Error | UnicodeError | OverflowError):
                refusal = translated(error, values, self._path, text=text)
                if isinstance(refusal, NotADatabase):
                    self._on_damage(refusal)
                raise refusal from error
            raise

    def refuse_autocommit(self, *, on_damage: Callable[[NotADatabase], None]) -> None:
        """From now on run statements in an open transaction only, and tell of damage they meet.

        A unit of work may swallow the error with which SQLite rolled everything back, or which
        told of damage; its next statement would then commit by itself, or build on the damage.
        """
        self._never_autocommits = True
        self._on_damage = on_damage

    def _replace_cursor(self) -> None:
        with suppress(apsw.Error):
            self._cursor.close(force=True)
            self._cursor = apsw.Cursor(self._sqlite)

    def _refuse_thread(self) -> NoReturn:
        raise DatabaseError("one connection belongs to one thread; open another one")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in BEGIN IMMEDIATE … COMMIT; an exception in it rolls everything back.

        Raises:
            RolledBack: another connection kept the write lock past the busy time-out; or SQLite
                ended the transaction inside the block, and nothing of it was written.
            LedgerFull: there was no space to commit; nothing was written.
            CommitUnknown: COMMIT failed otherwise; whether it took place must be looked up.
        """
        self.begin("IMMEDIATE")
        never_autocommits, self._never_autocommits = self._never_autocommits, True
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        finally:
            self._never_autocommits = never_autocommits
        if not self._sqlite.in_transaction:
            raise RolledBack("SQLite ended the transaction")
        try:
            self._sqlite.execute("COMMIT")
        except apsw.FullError as error:
            self.rollback()
            raise LedgerFull from error
        except apsw.Error as error:
            self.rollback()
            raise CommitUnknown(str(error)) from error

    def begin(self, kind: str) -> None:
        """Begin a transaction: IMMEDIATE takes the write lock now, DEFERRED reads one snapshot."""
        if get_ident() != self._thread:
            self._refuse_thread()
        try:
            self._sqlite.execute(f"BEGIN {kind}")
        except apsw.BusyError as error:
            raise RolledBack("another connection is writing") from error
        except apsw.Error as error:
            raise translated(error, {}, self._path) from error

    def rollback(self) -> None:
        """End a transaction without a trace, if there still is one."""
        with suppress(apsw.ConnectionClosedError):  # Closing has rolled it back.
            if self._sqlite.in_transaction:
                self._sqlite.execute("ROLLBACK")


def _not_told(_damage: NotADatabase) -> None:
    """Who runs statements by himself sees the error."""


class DatabaseConnection:
    """One open database: `.sqlite` is the driver's connection, `.db` runs Core statements.

    Leaving its `with` block closes it through `close_database`. It belongs to one thread.
    """

    def __init__(self, sqlite: apsw.Connection, path: str) -> None:
        self._open_cursors: WeakSet[apsw.Cursor] = WeakSet()
        self.path: Final = path
        self.sqlite: Final = sqlite
        self.db: Final = Database(sqlite, path)
        # From here on cursors are the caller's; close_database must be able to end them.
        sqlite.cursor_factory = self._cursor
        self.closed = False

    def _cursor(self, sqlite: apsw.Connection) -> apsw.Cursor:
        cursor = apsw.Cursor(sqlite)
        self._open_cursors.add(cursor)
        return cursor

    def close_cursors(self) -> None:
        """End every cursor that a caller left half read: one would keep the WAL from emptying."""
        for cursor in list(self._open_cursors):
            cursor.close(force=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        close_database(self)


def create_database(path: str | Path, *, vfs: str | None = None) -> DatabaseConnection:
    """Open the database at *path*, making an empty one if there is none.

    Args:
        path: a file, or ":memory:". Its folder must exist. A new file gets mode 0600.
        vfs: the name of a registered SQLite VFS, or None for the system's.

    Raises:
        NotADatabase: it is a folder, not SQLite, or damaged; its bytes are unchanged.
        ForeignDatabase: it is another application's; its bytes are unchanged.
        NewerSchema: a newer release wrote it; its bytes are unchanged.
        ReadOnlyDatabase, LedgerFull: it cannot be written, or there is no space for it.
        PragmaRefused: SQLite did not take one of the settings.
    """
    name = os.fsdecode(path)
    require_sound_sqlite()
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    if name != MEMORY:
        look_before_opening(name, vfs)
    sqlite = None
    try:
        sqlite = apsw.Connection(name, flags=flags, vfs=vfs)
        # Until everything took, closing must not write the file: no checkpoint.
        sqlite.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if sqlite.readonly("main"):
            raise ReadOnlyDatabase(name)  # noqa: TRY301 -- closed below, like any failure
        sqlite.set_busy_timeout(BUSY_TIMEOUT_MS)
        for pragma, text, value in PRAGMAS:
            set_pragma(sqlite, pragma, text, value, in_memory=name == MEMORY)
        harden(sqlite)
        sqlite.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except BaseException as error:
        if sqlite is not None:
            sqlite.close(force=True)
        if isinstance(error, apsw.Error):
            raise translated(error, {}, name) from error
        raise
    return DatabaseConnection(sqlite, name)


def open_reader(
    path: str | Path, *, vfs: str | None = None, is_at_rest: bool = False
) -> DatabaseConnection:
    """Open an existing database for reading only, with a small cache and no memory map.

    Twice read-only: the file is opened so, and the connection refuses to write. It is not
    configured like `create_database`'s connections, which own their file.

    Args:
        path: the file.
        vfs: the name of a registered SQLite VFS, or None for the system's.
        is_at_rest: there is no WAL, and nobody writes: SQLite makes no companions beside it. If
            somebody begins to write all the same, what is read means nothing.
    """
    name = os.fspath(path)
    require_files(name)
    flags, uri = apsw.SQLITE_OPEN_READONLY, name
    if is_at_rest:
        flags, uri = flags | apsw.SQLITE_OPEN_URI, f"{Path(name).absolute().as_uri()}?immutable=1"
    sqlite = None
    try:
        sqlite = apsw.Connection(uri, flags=flags, vfs=vfs)
        sqlite.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        sqlite.set_busy_timeout(BUSY_TIMEOUT_MS)
        set_pragma(sqlite, "query_only", "ON", 1)
        set_pragma(sqlite, "cache_size", "-2000", -2000)
        harden(sqlite)
    except BaseException as error:
        if sqlite is not None:
            sqlite.close(force=True)
        if isinstance(error, apsw.Error):
            raise translated(error, {}, name) from error
        raise
    return DatabaseConnection(sqlite, name)


def close_database(connection: DatabaseConnection) -> bool:
    """Close a connection, leaving an empty WAL behind.

    Open cursors are closed and an open transaction is rolled back. Afterwards every use raises;
    closing again is harmless.

    Returns:
        True if the WAL was emptied (or there is none, or the connection was closed before); False
        if another connection kept it busy or the disk is full, in which case the database is closed
        all the same.

    Raises:
        DatabaseError: another thread is in the middle of a statement on it; it is still open.
    """
    if connection.closed:
        return True
    sqlite = connection.sqlite
    try:
        connection.close_cursors()
        connection.db.rollback()
        return _empty_wal(sqlite)
    except apsw.ThreadingViolationError as error:
        raise DatabaseError("the connection is in use by another thread; close it there") from error
    finally:
        # A file that could not be removed or read any more is the next opening's business.
        with suppress(apsw.ThreadingViolationError, apsw.IOError):
            sqlite.close(force=True)
            connection.closed = True


def _empty_wal(sqlite: apsw.Connection) -> bool:
    if sqlite.readonly("main"):
        return True
    try:
        frames_left, _ = sqlite.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error:  # Busy, or no space: the WAL stays, nothing committed is lost.
        sqlite.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # Once was enough.
        return False
    return frames_left <= 0


def require_sound_sqlite() -> None:
    """Return if the SQLite in use is free of the WAL-reset bug.

    Raises:
        DatabaseError: it is older than 3.51.3.
    """
    found = apsw.sqlite_lib_version()  # The library in use, not the one compiled against.
    if tuple(map(int, found.split("."))) < SQLITE_VERSION_MIN:
        raise DatabaseError(
            f"SQLite {found} can corrupt a ledger; install an apsw that brings 3.51.3 or newer"
        )


def set_pragma(
    sqlite: apsw.Connection, name: str, text: str, value: str | int, *, in_memory: bool = False
) -> None:
    """Set a PRAGMA and read it back.

    Raises:
        PragmaRefused: SQLite reports something else afterwards. A database in memory has journal
            mode `memory` and no memory map; a VFS without memory mapping reports 0 or nothing.
    """
    _execute_when_free(sqlite, f"PRAGMA {name}={text}")
    row = sqlite.execute(f"PRAGMA {name}").fetchone()
    found = None if row is None else row[0]
    accepted: tuple[str | int | None, ...] = (value,)
    if name == "mmap_size":
        accepted = (value, 0, None)
    elif name == "journal_mode" and in_memory:
        accepted = (value, "memory")
    if found not in accepted:
        raise PragmaRefused(name, wanted=text, found=found)


def _execute_when_free(sqlite: apsw.Connection, sql: str) -> None:
    """Run *sql*, trying again while the database is busy.

    SQLite does not use the busy time-out while it switches a file to WAL: of 300 racing openers
    225 failed at once. So the wait is ours.
    """
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            sqlite.execute(sql).fetchall()
        except (apsw.BusyError, apsw.LockedError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_BUSY_RETRY_S)  # noqa: TID251 -- waits for SQLite, not for our clock
        else:
            return


def harden(sqlite: apsw.Connection) -> None:
    """Close the doors that a ledger never uses: untrusted schemas, extensions, ATTACH."""
    for pragma, text, value in _HARDENING:
        set_pragma(sqlite, pragma, text, value)
    for switch, value in _SWITCHES:
        if sqlite.config(switch, value) != value:
            raise PragmaRefused(f"dbconfig {switch}", wanted=value, found=1 - value)
    for limit, bound in _LIMITS:
        sqlite.limit(limit, bound)
