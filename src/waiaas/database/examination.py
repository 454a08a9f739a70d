"""A ledger as it lies there, for whoever wants to know how it is. Nothing beside it is changed.

A ledger at rest has nothing in its WAL: it is read as a file that nobody changes, so that SQLite
makes no companions of a WAL beside it. One that is in use, or was not closed in good order, has
them, and SQLite may rebuild the index of the WAL, as every reader does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import apsw

from waiaas.database.at_rest import is_sealed, open_resting, wal_bytes
from waiaas.database.audit_verify import verify_audit
from waiaas.database.chain import Verification
from waiaas.database.connection import require_sound_sqlite
from waiaas.database.errors import DatabaseError, NotADatabase
from waiaas.database.identity import identify, require_ours_or_empty
from waiaas.database.integrity import CheckKind, findings_in
from waiaas.database.refusals import translated
from waiaas.database.schema import APPLICATION_ID, SCHEMA_VERSION
from waiaas.database.tables import Tables
from waiaas.ports import LedgerTransaction

EXAMINED_BYTES_MAX: Final = 1_000_000_000
"""A larger ledger is not read as a whole while somebody waits."""

_UNWANTED_OPTIONS: Final = ("THREADSAFE=0", "OMIT_WAL", "OMIT_FOREIGN_KEY", "OMIT_TRIGGER")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Examined(Generic[Value]):
    """What was found in one snapshot of a ledger."""

    size_bytes: int
    wal_bytes: int
    schema_version: int
    damage: tuple[str, ...] | None
    """What the quick check found; None: it is too large to be looked at."""
    chain: Verification | None
    """None for the same reason, or because of damage."""
    value: Value | None
    """What the query returned; None where there is damage."""


def examine(
    path: Path, query: Callable[[LedgerTransaction], Value], *, is_in_use: bool
) -> Examined[Value]:
    """Look at the ledger at *path*, beside a daemon or without one.

    Args:
        path: the file.
        query: asked in the same snapshot.
        is_in_use: whether somebody may write to it.

    Raises:
        DatabaseError: it is no ledger for this program, or cannot be read.
        OSError: it is not there.
    """
    size_bytes, log_bytes = path.stat().st_size, wal_bytes(path)
    is_at_rest = is_sealed(path) or (not is_in_use and not log_bytes)
    with open_resting(path, is_at_rest=is_at_rest) as connection:
        connection.db.begin("DEFERRED")
        try:
            identity = identify(connection.sqlite)
            require_ours_or_empty(identity, connection.path, known=SCHEMA_VERSION)
            if identity.application_id != APPLICATION_ID:
                raise NotADatabase(path, reason="it is empty")
            is_small = size_bytes <= EXAMINED_BYTES_MAX
            found = findings_in(connection, kind=CheckKind.QUICK) if is_small else []
            chain = verify_audit(connection) if is_small and not found else None
            value = None if found else query(Tables(connection.db.execute))
        except (apsw.Error, UnicodeDecodeError) as error:
            raise translated(error, {}, connection.path) from error
    return Examined(
        size_bytes,
        log_bytes,
        identity.user_version,
        tuple(map(str, found)) if is_small else None,
        chain,
        value,
    )


def describe_sqlite() -> str:
    """Return which SQLite is in use.

    Raises:
        DatabaseError: it can corrupt a ledger, or lacks what a ledger needs.
    """
    require_sound_sqlite()
    lacking = [each for each in _UNWANTED_OPTIONS if each in apsw.compile_options]
    if lacking:
        raise DatabaseError(f"this SQLite was made with {', '.join(lacking)}: install another apsw")
    return f"{apsw.sqlite_lib_version()}, {len(apsw.compile_options)} options as they should be"
