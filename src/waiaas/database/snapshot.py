"""A copy of a database in use: whole, from one moment, durable, and looked at once.

SQLite makes it, through connections of its own. Copying the files would read them while they
change, and closing them would end the locks of everybody else in this process.
"""

import os
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from waiaas.database.connection import BUSY_TIMEOUT_MS, open_reader
from waiaas.database.errors import DatabaseError, NotADatabase
from waiaas.database.refusals import translated

_FILE_MODE: Final = 0o600


def copy_database(source: Path, target: Path) -> None:
    """Copy what is committed in *source* to the new file *target*, readable by its owner alone.

    Nobody is kept from writing meanwhile, and nothing of what they write is in the copy: it is made
    in one step. When this returns, the copy was read from the disk, checked and synced.

    Raises:
        DatabaseError: *target* exists or cannot be made, or *source* cannot be read.
        LedgerFull: there is no space for it.
        NotADatabase: the copy does not pass `quick_check`, so neither would *source*.
    """
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE))
        try:
            _copy_pages(source, target)
            _check(source, target)
            sync(target.parent)  # SQLite has synced the content.
        except BaseException:
            target.unlink()
            raise
    except apsw.Error as error:
        raise translated(error, {}, str(target)) from error
    except OSError as error:
        raise DatabaseError(f"{target} cannot be made: {error.strerror}") from error


def _copy_pages(source: Path, target: Path) -> None:
    with open_reader(source) as reader, closing(apsw.Connection(str(target))) as copy:
        copy.set_busy_timeout(BUSY_TIMEOUT_MS)
        with copy.backup("main", reader.sqlite, "main") as backup:
            backup.step(-1)


def _check(source: Path, target: Path) -> None:
    """Read the copy; immutable, or SQLite would make the companions of a WAL beside it."""
    name = f"{target.absolute().as_uri()}?immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with closing(apsw.Connection(name, flags=flags)) as copy:
        [[problem]] = copy.execute("PRAGMA quick_check(1)")
    if problem != "ok":
        raise NotADatabase(source, reason=f"its copy is damaged: {problem}")


def sync(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
