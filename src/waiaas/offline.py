"""What commands read in a data directory by themselves, beside a daemon or without one."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from waiaas.database import DatabaseConnection
from waiaas.database.audit_verify import audit_snapshot, export_lines, read_head, verify_audit
from waiaas.database.chain import Verification, anchor_line, parse_anchors
from waiaas.database.errors import DatabaseError
from waiaas.database.ledger import LEDGER_NAME
from waiaas.directory import DaemonError, require_initialised, sentence

_ANCHOR_BYTES_MAX: Final = 64 * 1024 * 1024
"""Some 300,000 anchors."""


def verify_audit_log(directory: Path, *, anchor_file: Path | None) -> Verification:
    """Verify the audit chain, and that it passes through every anchor in a file.

    Like the two below it works beside a daemon and without one, and writes nothing.

    Raises:
        DaemonError: the ledger or the anchors cannot be read; that is no finding about the chain.
    """
    try:
        anchors = [] if anchor_file is None else parse_anchors(_read_bounded(anchor_file))
    except (OSError, ValueError) as error:
        raise DaemonError(f"{anchor_file} cannot be used: {sentence(error)}") from error
    with _audit_snapshot(directory) as connection:
        return verify_audit(connection, anchors)


def export_audit_log(directory: Path) -> Iterator[bytes]:
    """Yield the audit log with its chain as lines of JSON; raise DaemonError if unreadable."""
    with _audit_snapshot(directory) as connection:
        yield from export_lines(connection)


def read_audit_head(directory: Path) -> str | None:
    """Return the newest link as a line for an anchor file, if any; DaemonError if unreadable."""
    with _audit_snapshot(directory) as connection:
        head = read_head(connection)
    return None if head is None else anchor_line(head)


def _read_bounded(file: Path) -> bytes:
    """Read an ordinary file: a device or a pipe may have no end."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _ANCHOR_BYTES_MAX:
            raise ValueError(f"it is no ordinary file of at most {_ANCHOR_BYTES_MAX} bytes")
        return stream.read()


@contextmanager
def _audit_snapshot(directory: Path) -> Iterator[DatabaseConnection]:
    require_initialised(directory)
    try:
        with audit_snapshot(directory / LEDGER_NAME) as connection:
            yield connection
    except DatabaseError as error:
        raise DaemonError(str(error)) from error
