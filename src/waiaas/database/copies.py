"""A copy of the ledger away from its place: is it whole, and what does it say?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import apsw

from waiaas.database.audit_verify import read_head
from waiaas.database.chain import Anchor
from waiaas.database.connection import DatabaseConnection, open_reader
from waiaas.database.errors import NotADatabase
from waiaas.database.identity import identify, require_ours_or_empty
from waiaas.database.integrity import CheckKind, check_integrity
from waiaas.database.refusals import translated
from waiaas.database.schema import APPLICATION_ID, SCHEMA_VERSION
from waiaas.database.tables import Tables
from waiaas.ports import LedgerTransaction

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CopyFacts:
    """What a copy says of itself."""

    schema_version: int
    audit_head: Anchor | None
    """None if its audit log is empty."""


def check_copy(path: Path) -> None:
    """Return if every page, index, reference and audit row of the copy at *path* is sound.

    Raises:
        NotADatabase: it is damaged, and how.
        ForeignDatabase, NewerSchema: it is not for this program.
    """
    with open_reader(path) as connection:
        _require_ours(connection)
    findings = check_integrity(path, kind=CheckKind.FULL)
    if findings:
        raise NotADatabase(path, reason=f"it is damaged ({findings[0]})")


def read_copy(path: Path, query: Callable[[LedgerTransaction], Value]) -> tuple[CopyFacts, Value]:
    """Return what the copy says of itself, and the value of *query*, from one snapshot.

    Raises:
        NotADatabase, ForeignDatabase, NewerSchema: it is not a ledger for this program.
    """
    with open_reader(path) as connection:
        version = _require_ours(connection)
        connection.db.begin("DEFERRED")
        return CopyFacts(version, read_head(connection)), query(Tables(connection.db.execute))


def _require_ours(connection: DatabaseConnection) -> int:
    """Return the copy's schema version, if it is a ledger's."""
    try:
        identity = identify(connection.sqlite)
    except apsw.Error as error:
        raise translated(error, {}, connection.path) from error
    require_ours_or_empty(identity, connection.path, known=SCHEMA_VERSION)
    if identity.application_id != APPLICATION_ID:
        raise NotADatabase(connection.path, reason="it is empty")
    return identity.user_version
