"""Whose file is it? Decided through a read-only connection, before anything may be written."""

import errno
import os
import stat
import threading
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from waiaas.database.errors import (
    DatabaseError,
    ForeignDatabase,
    LedgerFull,
    NewerSchema,
    NotADatabase,
    ReadOnlyDatabase,
)
from waiaas.database.refusals import translated
from waiaas.database.schema import APPLICATION_ID, SCHEMA_VERSION

_LOOK_TIMEOUT_MS: Final = 5000
_FILE_MODE: Final = 0o600

_JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
"""How SQLite's rollback journals begin; bytes 16 to 20 are the pages there were, big-endian."""

_COMPANIONS: Final = ("-wal", "-shm", "-journal")

_making_a_file = threading.Lock()
"""Held while a file is looked for or made: that `close()` must not meet another thread's locks."""


class Identity(NamedTuple):
    """What a SQLite file says of itself."""

    application_id: int
    user_version: int
    objects: int
    """Tables, indexes, views and triggers; a database without any is empty."""


def identify(sqlite: apsw.Connection) -> Identity:
    """Read a database's identity."""
    return Identity(
        application_id=_number(sqlite, "PRAGMA application_id"),
        user_version=_number(sqlite, "PRAGMA user_version"),
        objects=_number(sqlite, "SELECT count(*) FROM sqlite_schema"),
    )


def _number(sqlite: apsw.Connection, sql: str) -> int:
    [[number]] = sqlite.execute(sql)
    return int(number)


def require_ours_or_empty(identity: Identity, path: str, *, known: int) -> None:
    """Return if the database is empty, or ours and no newer than the schema version *known*.

    Raises:
        ForeignDatabase, NewerSchema: otherwise.
    """
    if identity.objects == 0 and identity.application_id != APPLICATION_ID:
        return
    if identity.application_id != APPLICATION_ID:
        raise ForeignDatabase(path, application_id=identity.application_id)
    if identity.user_version > known:
        raise NewerSchema(path, found=identity.user_version, known=known)


def require_files(path: str) -> None:
    """Return if the database at *path*, and what SQLite keeps beside it, are files or not there.

    To read the one end of a pipe SQLite would wait for who opens the other, and hold our locks.

    Raises:
        NotADatabase: one is something else.
    """
    real = os.path.realpath(path)
    for name in (real, *(real + end for end in _COMPANIONS)):
        try:
            mode = Path(name).stat().st_mode
        except OSError:  # It is not there; or SQLite says better what is the matter with it.
            continue
        if not stat.S_ISREG(mode):
            which = "it" if name == real else Path(name).name
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise NotADatabase(path, reason=f"{which} is {kind}")


def look_before_opening(path: str, vfs: str | None) -> None:
    """Return if *path* is a database that may be opened for writing; make an empty file if none.

    Raises:
        NotADatabase, ForeignDatabase, NewerSchema: the file was not changed.
        ReadOnlyDatabase, LedgerFull, DatabaseError: it cannot be made or read.
    """
    try:
        path.encode()  # SQLite's names are UTF-8.
        require_files(path)
        # Asked first: a WAL has content only once its file has, and that never goes back to none.
        wal_bytes = _size(os.path.realpath(path) + "-wal")
        with _making_a_file:
            found = _stat_or_make(path, vfs, wal_bytes=wal_bytes)
    except (OSError, ValueError) as error:
        raise DatabaseError(f"{path!r} cannot be looked at: {error}") from error
    if found is None:
        return
    if found.st_size == 1:
        raise NotADatabase(path, reason="it is one byte, which SQLite would take for none")
    if found.st_size:
        require_ours_or_empty(_look(path, vfs), path, known=SCHEMA_VERSION)
    elif wal_bytes:
        raise _without_its_file(path)


def _stat_or_make(path: str, vfs: str | None, *, wal_bytes: int) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except FileNotFoundError:
        if wal_bytes:
            raise _without_its_file(path) from None
        _make_file(path, vfs)
        return None


def _without_its_file(path: str) -> NotADatabase:
    """SQLite would throw such a WAL away, and with it all that was acknowledged."""
    return NotADatabase(path, reason="it is empty or missing, but its -wal holds data")


def _make_file(path: str, vfs: str | None) -> None:
    """Make an empty file that only its owner may read; SQLite gives its companions the same mode.

    With a VFS of the caller's, files are the VFS's business.
    """
    if vfs is not None:
        return
    try:
        target = os.path.realpath(path)  # O_EXCL takes a link that points nowhere for a file.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE))
    except FileExistsError:
        return  # Another process made it just now.
    except FileNotFoundError as error:
        raise DatabaseError(f"{path} cannot be made: its folder does not exist") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise LedgerFull from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ReadOnlyDatabase(path) from error
        raise DatabaseError(f"{path} cannot be made: {error.strerror}") from error


def _look(path: str, vfs: str | None) -> Identity:
    try:
        return _identify_file(path, apsw.SQLITE_OPEN_READONLY, vfs)
    except apsw.ReadOnlyError:
        # A transaction was cut off before the file was in WAL mode, and a reader cannot roll it
        # back. If it was the first one, what it wrote may be torn: a writer will find no pages.
        if _began_empty(f"{os.path.realpath(path)}-journal"):
            return Identity(application_id=0, user_version=0, objects=0)
        # Otherwise what the main file holds, read without regard to the journal, tells whose it is.
        uri = Path(path).absolute().as_uri() + "?immutable=1"
        try:
            return _identify_file(uri, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, vfs)
        except apsw.Error as error:
            raise translated(error, {}, path) from error
    except apsw.Error as error:
        raise translated(error, {}, path) from error


def _began_empty(journal: str) -> bool:
    """Tell whether rolling back *journal* leaves an empty file.

    It is read by us, because SQLite does not tell; it never locks a journal, so no lock is lost.
    """
    try:
        with Path(journal).open("rb") as file:
            header = file.read(20)
    except FileNotFoundError:
        return False
    return header.startswith(_JOURNAL_MAGIC) and header[16:] == bytes(4)


def _identify_file(name: str, flags: int, vfs: str | None) -> Identity:
    sqlite = apsw.Connection(name, flags=flags, vfs=vfs)
    try:
        # Nothing is to be written, so closing must not even try.
        sqlite.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        sqlite.set_busy_timeout(_LOOK_TIMEOUT_MS)
        # One snapshot: another process may be building the schema between two questions.
        sqlite.execute("BEGIN")
        identity = identify(sqlite)
        _require_whole(sqlite)
        return identity
    finally:
        sqlite.close(force=True)


def _require_whole(sqlite: apsw.Connection) -> None:
    """Return if no page is missing: SQLite would read what is past the end as zeros.

    After a crash the last pages may still be in the WAL alone; then all of them are looked at.
    """
    pages_bytes = _number(sqlite, "PRAGMA page_count") * _number(sqlite, "PRAGMA page_size")
    # In this order: once the WAL is empty, the file holds everything that was counted.
    has_wal = bool(_size(sqlite.filename_wal))
    if _size(sqlite.filename) >= pages_bytes:
        return
    [[problem]] = sqlite.execute("PRAGMA quick_check(1)")
    if not has_wal or problem != "ok":
        raise NotADatabase(sqlite.filename, reason="it was cut short")


def _size(name: str) -> int:
    try:
        return Path(name).stat().st_size
    except FileNotFoundError:
        return 0
