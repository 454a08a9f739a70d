"""Reading the audit log with its chain: to verify it, to export it, to anchor its head.

Always on a read-only connection and one snapshot, so that a running daemon may go on writing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
from sqlalchemy import (
    Executable,
    LargeBinary,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
)

from waiaas.database.at_rest import is_sealed, open_resting
from waiaas.database.chain import Anchor, Verification, verify_chain
from waiaas.database.connection import DatabaseConnection
from waiaas.database.errors import DatabaseError, NotADatabase
from waiaas.database.identity import identify, require_ours_or_empty
from waiaas.database.key_value import DAEMON_ID, KeyValues
from waiaas.database.refusals import translated
from waiaas.database.schema import APPLICATION_ID, SCHEMA_VERSION, audit_chain, audit_log
from waiaas.database.statements import compiled, define
from waiaas.domain.enums import AuditAction

_LINKS: Final = select(audit_chain).order_by(audit_chain.c.sequence)
_ROWS: Final = select(audit_log).order_by(audit_log.c.id)

_holds_no_blob: Final = and_(
    *(
        func.coalesce(column, literal("", Text)) < literal(b"", LargeBinary)
        for column in audit_log.columns
        if isinstance(column.type, Text)
    )
)
"""SQLite sorts text before blobs; in a file that was tampered with, a text column may hold one."""

_CANONICAL_ROWS: Final = (
    select(audit_log.c.id, cast(func.json_array(*audit_log.columns), LargeBinary))
    # json_array would read some blobs as JSON of its own kind, and write what they say.
    .where(_holds_no_blob)
    .order_by(audit_log.c.id)
)
"""The rows in canonical form as SQLite writes it: a tenth faster than fetching ten columns.

That it is byte for byte what `chain.canonical` gives is held by the tests, character by character.
"""

_HEAD: Final = define(
    select(audit_chain.c.sequence, audit_chain.c.hash, audit_log.c.timestamp)
    .join(audit_log, audit_log.c.id == audit_chain.c.audit_id)
    .where(audit_chain.c.sequence == select(func.max(audit_chain.c.sequence)).scalar_subquery())
)

_OWNERS_ACTS: Final = {
    f"event_{number}": action
    for number, action in enumerate(
        (
            AuditAction.TX_APPROVED,
            AuditAction.TX_REJECTED,
            AuditAction.OWNER_VERIFIED,
            AuditAction.OWNER_REMOVED,
        )
    )
}
_OF_OWNERS: Final = define(
    select(audit_log.c.id, audit_log.c.timestamp, audit_log.c.details)
    .where(or_(*(audit_log.c.event_type == bindparam(name) for name in _OWNERS_ACTS)))
    .order_by(audit_log.c.id)
)

_LINE_MEMBERS: Final = tuple(column.name for column in (*audit_chain.columns, *audit_log.columns))
_CHUNK_ROWS: Final = 256
_NO_LINK: Final = (None,) * len(audit_chain.columns)
_NO_ROW: Final = (None,) * len(audit_log.columns)


def verify_audit(connection: DatabaseConnection, anchors: Sequence[Anchor] = ()) -> Verification:
    """Verify the whole chain as the current transaction sees it.

    Raises:
        DatabaseError: the file cannot be read.
    """
    daemon_id = KeyValues(connection.db.execute).get(DAEMON_ID)
    with _errors_translated(connection):
        return verify_chain(
            _stream(connection, _LINKS),
            _stream(connection, _CANONICAL_ROWS),
            anchors=anchors,
            daemon_id=daemon_id,
        )


def export_lines(connection: DatabaseConnection) -> Iterator[bytes]:
    """Yield the n-th link beside the n-th audit row, for every n, as a line of JSON each.

    Nothing is judged: where one of the two is missing its members are null.

    Raises:
        DatabaseError: the file cannot be read.
    """
    with _errors_translated(connection):
        links, rows = _stream(connection, _LINKS), _stream(connection, _ROWS)
        for link, row in zip_longest(links, rows):
            values = (link or _NO_LINK) + (row or _NO_ROW)
            if any(isinstance(value, bytes) for value in values):
                raise DatabaseError(
                    f"{connection.path} holds a blob in the audit log, which no waiaas wrote; "
                    "restore a backup"
                )
            yield msgspec.json.encode(dict(zip(_LINE_MEMBERS, values, strict=True))) + b"\n"


def read_head(connection: DatabaseConnection) -> Anchor | None:
    """Return the newest link as an anchor, or None if there is none yet."""
    heads = connection.db.execute(_HEAD)
    if not heads:
        return None
    [head] = heads
    return Anchor(
        daemon_id=KeyValues(connection.db.execute).get(DAEMON_ID),
        sequence=head.sequence,
        hash=head.hash,
        timestamp=head.timestamp,
    )


def read_owners_acts(connection: DatabaseConnection) -> list[tuple[int, int, str]]:
    """Return id, timestamp and details of the rows in which an owner may have signed a head."""
    with _errors_translated(connection):
        rows = connection.db.execute(_OF_OWNERS, _OWNERS_ACTS)
    return [(row.id, row.timestamp, str(row.details)) for row in rows]


@contextmanager
def audit_snapshot(path: Path) -> Iterator[DatabaseConnection]:
    """Open a ledger's file for reading one snapshot, whether or not a daemon has it open.

    It may lie where nothing can be written.

    Raises:
        DatabaseError: it is no ledger of ours, or cannot be read.
    """
    with open_resting(path, is_at_rest=is_sealed(path)) as connection:
        connection.db.begin("DEFERRED")
        with _errors_translated(connection):
            identity = identify(connection.sqlite)
        require_ours_or_empty(identity, connection.path, known=SCHEMA_VERSION)
        if identity.application_id != APPLICATION_ID:
            raise NotADatabase(path, reason="it is empty")
        yield connection


def _stream(connection: DatabaseConnection, statement: Executable) -> Iterator[Any]:
    """Run a statement for plain tuples, a chunk at a time: the log may not fit into memory.

    Taking turns with another query row by row costs a tenth more.
    """
    text = compiled(statement, {})
    cursor = connection.sqlite.execute(text.sql, text.values({}))
    return chain.from_iterable(iter(lambda: list(islice(cursor, _CHUNK_ROWS)), []))


@contextmanager
def _errors_translated(connection: DatabaseConnection) -> Iterator[None]:
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as error:
        raise translated(error, {}, connection.path) from error
