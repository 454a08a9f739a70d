"""Is the file damaged? Asked of SQLite on a read-only connection, which changes nothing.

The quick check reads every page and compares what the pages say of each other and every row with
its constraints. The full one also compares every index with its table, every reference with what
it refers to, every audit row with its link, and the totals of reservations with their rows. Another
changed value that is still a legal one is seen by neither.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from waiaas.database.audit_verify import verify_audit
from waiaas.database.connection import DatabaseConnection, open_reader
from waiaas.database.errors import CheckStopped, DatabaseError, NotADatabase, ReadOnlyDatabase
from waiaas.database.refusals import translated
from waiaas.database.totals import wrong_totals

FIRST_CHECK_BYTES_MAX: Final = 1_000_000_000
"""From this size on a file that was closed in good order is checked after the start."""

_FINDINGS_MAX: Final = 20
_STEPS_BETWEEN_LOOKS: Final = 1000
"""How often a running check looks whether it should stop, in steps of SQLite's."""


_UNREADABLE: Final = frozenset(
    {apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_SHORT_READ, apsw.SQLITE_IOERR_CORRUPTFS}
)
"""The medium does not give back what was written to it."""


class CheckKind(StrEnum):
    """How closely to look."""

    QUICK = "quick"
    FULL = "full"


class Part(StrEnum):
    """What a finding is about."""

    FILE = "file"
    """The file cannot be read as a database."""
    PAGES = "pages"
    """SQLite's own check of pages, rows and indexes."""
    REFERENCES = "references"
    """A row refers to one that is not there."""
    CHAIN = "audit chain"
    """An audit row is not what its link says."""
    TOTALS = "totals"
    """A sum that limits are judged by is not the sum of its rows."""


class Finding(NamedTuple):
    """One thing that is wrong."""

    part: Part
    text: str

    def __str__(self) -> str:
        return f"{self.part}: {self.text}"


Check = Callable[[DatabaseConnection], Iterator[Finding]]


def must_check_first(*, was_clean: bool, size_bytes: int) -> bool:
    """Tell whether a file is checked before it is written to, or after the start."""
    return not was_clean or size_bytes < FIRST_CHECK_BYTES_MAX


def check_integrity(
    path: str | Path,
    *,
    kind: CheckKind,
    vfs: str | None = None,
    is_stopped: Callable[[], bool] | None = None,
) -> list[Finding]:
    """Return what is wrong with the database at *path*; an empty list if nothing was found.

    Nothing found is not a proof: see the module. It reads one snapshot, beside a running ledger.

    Args:
        path: the database file, which exists.
        kind: how closely to look.
        vfs: the name of a registered SQLite VFS, or None for the system's.
        is_stopped: asked again and again; once it says True the check ends.

    Raises:
        CheckStopped: it was told to stop.
        DatabaseError: the file cannot be opened, for reasons that are not damage.
    """
    try:
        with open_reader(path, vfs=vfs) as connection:
            if is_stopped is not None:
                connection.sqlite.set_progress_handler(is_stopped, _STEPS_BETWEEN_LOOKS)
            connection.db.begin("DEFERRED")
            return findings_in(connection, kind=kind)
    except NotADatabase as error:
        return [Finding(Part.FILE, error.reason)]
    except ReadOnlyDatabase:
        return []  # An opening was cut off before anything of ours was written.


def findings_in(connection: DatabaseConnection, *, kind: CheckKind) -> list[Finding]:
    """Do the same with a connection that is in a read transaction."""
    for check in _CHECKS[kind]:
        if findings := _found_by(check, connection):
            return findings  # What builds on damage would only repeat it.
    return []


def _found_by(check: Check, connection: DatabaseConnection) -> list[Finding]:
    """Run one check; damage that stops it is a finding, too."""
    found: list[Finding] = []
    try:
        found.extend(check(connection))
    except UnicodeDecodeError:
        found.append(Finding(Part.FILE, "it holds text that is not UTF-8"))
    except apsw.InterruptError as error:
        raise CheckStopped from error
    except apsw.Error as error:
        met = translated(error, {}, connection.path)
        is_unreadable = getattr(error, "extendedresult", None) in _UNREADABLE
        if not is_unreadable and not isinstance(met, NotADatabase):
            raise met from error
        found.append(Finding(Part.FILE, str(error)))
    except DatabaseError as error:  # The chain's, translated already.
        if isinstance(error.__cause__, apsw.InterruptError):
            raise CheckStopped from error
        if not isinstance(error, NotADatabase):
            raise
        found.append(Finding(Part.FILE, error.reason))
    return found


def _quick(connection: DatabaseConnection) -> Iterator[Finding]:
    yield from _of_pages(connection.sqlite, f"PRAGMA quick_check({_FINDINGS_MAX})")


def _pages(connection: DatabaseConnection) -> Iterator[Finding]:
    yield from _of_pages(connection.sqlite, f"PRAGMA integrity_check({_FINDINGS_MAX})")


def _of_pages(sqlite: apsw.Connection, sql: str) -> Iterator[Finding]:
    for (text,) in sqlite.execute(sql):
        if text != "ok":
            # SQLite puts several faults of one tree into one text, under a headline.
            lines = [line for line in str(text).splitlines() if not line.startswith("***")]
            yield from (Finding(Part.PAGES, line) for line in lines)


def _references(connection: DatabaseConnection) -> Iterator[Finding]:
    for table, row, parent, _ in connection.sqlite.execute("PRAGMA foreign_key_check"):
        yield Finding(Part.REFERENCES, f"row {row} of {table} refers to nothing in {parent}")


def _chain(connection: DatabaseConnection) -> Iterator[Finding]:
    fault = verify_audit(connection).fault
    if fault is not None:
        yield Finding(Part.CHAIN, fault.explanation)


def _totals(connection: DatabaseConnection) -> Iterator[Finding]:
    try:
        yield from (Finding(Part.TOTALS, text) for text in wrong_totals(connection))
    except ValueError as error:  # SQLite does not look at CHECKs through a read-only connection.
        yield Finding(Part.TOTALS, f"an amount is not a number: {error}")


_CHECKS: Final[dict[CheckKind, tuple[Check, ...]]] = {
    CheckKind.QUICK: (_quick,),
    CheckKind.FULL: (_pages, _references, _chain, _totals),
}
"""What each kind consists of. Every check gets the connection inside one read transaction, so all
of them judge the same snapshot."""
