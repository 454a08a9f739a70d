"""Verify an audit log of waiaas with nothing but Python's standard library.

    python verify_audit.py FILE [--anchor ANCHORS]

FILE is an export (`waiaas audit export`), or a ledger's SQLite file: a backup, or `ledger.db` of a
daemon that does not run. Written from docs/audit-chain.md, without the program's code. Exit code 0:
whole; 6: tampered with; 1: it could not be read.

Never import this into a process that has the ledger open: closing a file ends SQLite's locks on it.
"""

import argparse
import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

CHAIN_COLUMNS: Final = ("sequence", "audit_id", "previous_hash", "hash")
LOG_COLUMNS: Final = (
    "id",
    "timestamp",
    "event_type",
    "actor",
    "agent_id",
    "session_id",
    "tx_id",
    "details",
    "severity",
    "ip_address",
)
SQLITE_BEGINNING: Final = b"SQLite format 3\0"
EXIT_WHOLE: Final = 0
EXIT_UNREADABLE: Final = 1
EXIT_TAMPERED: Final = 6

SHORT_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
}

Values = tuple[Any, ...]
Pair = tuple[Values | None, Values | None]
"""The n-th link and the n-th row, as far as there are any."""


class Unreadable(Exception):  # noqa: N818 -- says what the file is
    """The file is not what it should be; that is no finding about the log."""


class Result(NamedTuple):
    """How many rows were verified, the hash of the last, and what is wrong with the next."""

    rows: int
    head: str
    fault: str | None


# ── the check ──────────────────────────────────────────────────────────────────────────────────


def escape(text: str) -> str:
    """Write a string as RFC 8785 does."""
    parts = ['"']
    for character in text:
        if character in SHORT_ESCAPES:
            parts.append(SHORT_ESCAPES[character])
        elif character < " ":
            parts.append(f"\\u{ord(character):04x}")
        else:
            parts.append(character)
    parts.append('"')
    return "".join(parts)


def element(value: object) -> str:
    """Write one column's value as JSON.

    Raises:
        ValueError: it is of a type that no column has.
    """
    if value is None:
        return "null"
    if type(value) is int:
        return str(value)
    if type(value) is str:
        return escape(value)
    raise ValueError(f"a value of type {type(value).__name__}")


def row_bytes(row: Values) -> bytes:
    """Write a row as one JSON array.

    Raises:
        ValueError: it holds a value that cannot be stored.
    """
    text = "[" + ",".join(element(value) for value in row) + "]"
    return text.encode()


def chain_hash(previous: str, row: bytes) -> str:
    """Hash a row after the link with the hash *previous*."""
    digest = hashlib.sha256()
    digest.update(b"waiaas-audit-v1\n")
    digest.update(previous.encode("ascii") + b"\n")
    digest.update(str(len(row)).encode("ascii") + b"\n")
    digest.update(row)
    return digest.hexdigest()


def pair_fault(number: int, previous: str, link: Values | None, row: Values | None) -> str | None:
    """Say what is wrong with the pair at *number*, if anything."""
    if link is None:
        return "nothing stands here" if row is None else f"audit row {row[0]} has no link"
    if link[0] != number:
        return f"link {number} is missing"
    if link[2] != previous:
        return f"link {number} does not continue from the one before it"
    if row is None or link[1] != row[0]:
        return f"link {number} and the audit row at its place do not belong together"
    try:
        computed = chain_hash(previous, row_bytes(row))
    except ValueError as error:
        return f"audit row {row[0]} holds what cannot be hashed: {error}"
    return None if link[3] == computed else f"audit row {row[0]} or its link was changed"


def verify(pairs: Iterator[Pair], anchors: list[dict[str, Any]], daemon_id: str | None) -> Result:
    """Check every pair, then every anchor."""
    previous = "0" * 64
    rows = 0
    hashes = {}
    wanted = {anchor["sequence"] for anchor in anchors}
    for link, row in pairs:
        fault = pair_fault(rows + 1, previous, link, row)
        if fault is not None or link is None:
            return Result(rows, previous, fault)
        rows += 1
        previous = link[3]
        if rows in wanted:
            hashes[rows] = previous
    for anchor in anchors:
        sequence, owner = anchor["sequence"], anchor.get("daemon_id")
        if owner is not None and daemon_id is not None and owner != daemon_id:
            return Result(rows, previous, f"the anchor of sequence {sequence} is another daemon's")
        if sequence not in hashes:
            return Result(rows, previous, f"the chain ends before the anchor at {sequence}")
        if hashes[sequence] != anchor["hash"]:
            return Result(rows, previous, f"the chain was made anew before the anchor {sequence}")
    return Result(rows, previous, None)


# ── where the pairs come from ──────────────────────────────────────────────────────────────────


def decode(stored: bytes) -> str | bytes:
    """Read text as SQLite has it. What is not UTF-8 stays bytes, which no column may hold."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a member twice: a reader could see the other one."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def pairs_of_database(database: sqlite3.Connection) -> Iterator[Pair]:
    """Read both tables of a ledger side by side."""
    database.text_factory = decode
    links = database.cursor().execute("SELECT * FROM audit_chain ORDER BY sequence")
    rows = database.cursor().execute("SELECT * FROM audit_log ORDER BY id")
    for cursor, columns in ((links, CHAIN_COLUMNS), (rows, LOG_COLUMNS)):
        if tuple(column[0] for column in cursor.description) != columns:
            raise Unreadable("its tables are not those of an audit log of version 1")
    while True:
        link, row = links.fetchone(), rows.fetchone()
        if link is None and row is None:
            return
        yield link, row


def daemon_of_database(database: sqlite3.Connection) -> str | None:
    """Return the id of the daemon whose ledger it is."""
    found = database.execute("SELECT value FROM key_value_store WHERE key = 'daemon.id'").fetchone()
    return None if found is None else str(found[0])


def pairs_of_export(lines: Iterator[bytes]) -> Iterator[Pair]:
    """Read an export."""
    for number, line in enumerate(lines, start=1):
        try:
            members = json.loads(line, object_pairs_hook=members_once)
            link = tuple(members.pop(name) for name in CHAIN_COLUMNS)
            row = tuple(members.pop(name) for name in LOG_COLUMNS)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Unreadable(f"line {number} is not one of an export: {error!r}") from error
        if members:
            raise Unreadable(f"line {number} has members that an export has not: {[*members]}")
        yield (
            None if set(link) == {None} else link,
            None if set(row) == {None} else row,
        )


def read_anchors(path: Path) -> list[dict[str, Any]]:
    """Read an anchor file."""
    anchors = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            anchor = json.loads(line, object_pairs_hook=members_once)
            is_anchor = type(anchor["sequence"]) is int and type(anchor["hash"]) is str
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Unreadable(f"{path}, line {number} is not an anchor: {error!r}") from error
        if not is_anchor:
            raise Unreadable(f"{path}, line {number} is not an anchor")
        anchors.append(anchor)
    if not anchors:
        raise Unreadable(f"{path} holds no anchor")
    return anchors


def verify_file(path: Path, anchors: list[dict[str, Any]]) -> Result:
    """Verify an export or a ledger."""
    with path.open("rb") as file:
        if file.read(len(SQLITE_BEGINNING)) != SQLITE_BEGINNING:
            file.seek(0)
            return verify(pairs_of_export(iter(file)), anchors, None)
    database = sqlite3.connect(_read_only(path.resolve()), uri=True, isolation_level=None)
    try:
        database.execute("BEGIN")
        return verify(pairs_of_database(database), anchors, daemon_of_database(database))
    except sqlite3.Error as error:
        raise Unreadable(f"{error}; try it with an export (`waiaas audit export`)") from error
    finally:
        database.close()


def _read_only(path: Path) -> str:
    """Return how SQLite is told to read: it makes files of its own beside a ledger, if it can.

    Where it cannot, and nothing waits in the WAL to be read as well, it needs none.
    """
    uri = f"{path.as_uri()}?mode=ro"
    wal, index = (path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm"))
    waits = index.exists() or (wal.exists() and wal.stat().st_size > 0)
    return uri if waits or os.access(path.parent, os.W_OK) else f"{uri}&immutable=1"


def main() -> int:
    """Verify what the command line says."""
    parser = argparse.ArgumentParser(description="Verify an audit log of waiaas.")
    parser.add_argument("file", type=Path, help="an export, or a ledger's file")
    parser.add_argument("--anchor", type=Path, help="file with anchors, one JSON object a line")
    options = parser.parse_args()
    try:
        anchors = [] if options.anchor is None else read_anchors(options.anchor)
        result = verify_file(options.file, anchors)
    except (OSError, Unreadable) as error:
        print(f"{options.file} cannot be verified: {error}", file=sys.stderr)
        return EXIT_UNREADABLE
    print(f"{result.rows} rows verified, the last with hash {result.head}")
    if result.fault is not None:
        print(f"tampered with: {result.fault}", file=sys.stderr)
        return EXIT_TAMPERED
    if anchors:
        print(f"{len(anchors)} anchors agree")
    return EXIT_WHOLE


if __name__ == "__main__":
    sys.exit(main())
