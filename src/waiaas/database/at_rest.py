"""Reading a ledger that nobody writes to, where SQLite could not or should not put anything.

SQLite reads a database with a WAL through an index of it, which it makes beside the file if there
is none. In a place that takes no writes (a mounted copy, evidence kept) that fails, though
there is nothing in the WAL. Such a file is read as one that does not change, which needs no index.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from waiaas.database.connection import DatabaseConnection, open_reader
from waiaas.database.errors import DatabaseError


def wal_bytes(path: Path) -> int:
    """Return how much the WAL of the database at *path* has; 0 without one."""
    with suppress(FileNotFoundError):
        return _beside(path, "wal").stat().st_size
    return 0


def is_sealed(path: Path) -> bool:
    """Tell whether SQLite can put nothing beside *path*, and needs not: nobody has it open.

    Raises:
        DatabaseError: it would have to, because the WAL holds what is not in the file.
    """
    if os.access(path.parent, os.W_OK) or _beside(path, "shm").exists():
        return False
    if wal_bytes(path):
        raise DatabaseError(
            f"{path} was not closed in good order, and what is missing in it cannot be read where"
            f" nothing may be written: copy the directory, with {_beside(path, 'wal').name}, to"
            " where it may, and look there"
        )
    return True


@contextmanager
def open_resting(path: Path, *, is_at_rest: bool) -> Iterator[DatabaseConnection]:
    """`open_reader`; of a file *is_at_rest* only if it still was at the end.

    Raises:
        DatabaseError: somebody began to use it meanwhile.
    """
    with open_reader(path, is_at_rest=is_at_rest) as connection:
        yield connection
    if is_at_rest and wal_bytes(path):
        raise DatabaseError("somebody began to use the ledger meanwhile: look again")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}-{suffix}")
