"""Bringing a database to the current schema, and refusing one that is not what it says."""

from functools import cache
from typing import Final

import apsw
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from waiaas.database.connection import MEMORY, DatabaseConnection, create_database
from waiaas.database.errors import SchemaMismatch
from waiaas.database.identity import identify, require_ours_or_empty
from waiaas.database.refusals import translated
from waiaas.database.schema import APPLICATION_ID, SCHEMA_VERSION, TRIGGERS, metadata

_DIALECT: Final = sqlite_dialect.dialect()

Schema = dict[tuple[str, str], str]
"""Definition of each object by type and name, in normal form."""


def push_schema(connection: DatabaseConnection) -> None:
    """Bring an empty database to the current schema, in one transaction; leave a current one alone.

    Safe at every start and from several processes at once: the first one builds, the others wait
    and find it done.

    Raises:
        ForeignDatabase: there are tables, and `application_id` is not ours.
        NewerSchema: `user_version` is past what this program knows.
        SchemaMismatch: the version is right, the stored schema is not.
        RolledBack, LedgerFull, CommitUnknown: as their names say.
    """
    try:
        if not _was_current(connection):
            with connection.db.transaction():
                if not _is_current(connection):
                    _build(connection.sqlite)
    except apsw.Error as error:
        raise translated(error, {}, connection.path) from error


def schema_sql() -> list[str]:
    """Return every statement that builds the schema, in order."""
    tables = [str(CreateTable(table).compile(dialect=_DIALECT)) for table in metadata.sorted_tables]
    indexes = [
        str(CreateIndex(index).compile(dialect=_DIALECT))
        for table in metadata.sorted_tables
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    return [*tables, *indexes, *TRIGGERS]


def _build(sqlite: apsw.Connection) -> None:
    for statement in schema_sql():
        sqlite.execute(statement)
    sqlite.execute(f"PRAGMA application_id={APPLICATION_ID}")
    sqlite.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _was_current(connection: DatabaseConnection) -> bool:
    """Look without the write lock: at most starts there is nothing to do."""
    connection.db.begin("DEFERRED")
    try:
        return _is_current(connection)
    finally:
        connection.db.rollback()


def _is_current(connection: DatabaseConnection) -> bool:
    """Tell a finished database of ours from an empty one; refuse everything else."""
    identity = identify(connection.sqlite)
    require_ours_or_empty(identity, connection.path)
    if identity.application_id != APPLICATION_ID:
        return False
    differences = _differences(stored_schema(connection.sqlite), _expected_schema())
    if identity.user_version != SCHEMA_VERSION:
        differences = [f"version {identity.user_version} was never released", *differences]
    if differences:
        raise SchemaMismatch(connection.path, differences=differences)
    return True


def stored_schema(sqlite: apsw.Connection) -> Schema:
    """Read the definitions of all tables, indexes and triggers, in normal form.

    SQLite's own tables, such as the statistics of an `ANALYZE`, are nobody's change.
    """
    rows = sqlite.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {
        (kind, name): _normal_form(sql)
        for kind, name, sql in rows
        if not name.startswith("sqlite_")
    }


def _normal_form(sql: str) -> str:
    """Make white space irrelevant, so that only a change of meaning is a change."""
    words = " ".join(sql.split())
    for mark in "(),":
        words = words.replace(f" {mark}", mark).replace(f"{mark} ", mark)
    return words


@cache
def _expected_schema() -> Schema:
    with create_database(MEMORY) as connection:
        _build(connection.sqlite)
        return stored_schema(connection.sqlite)


def _differences(stored: Schema, expected: Schema) -> list[str]:
    missing = [f"{kind} {name} is missing" for kind, name in expected.keys() - stored.keys()]
    added = [f"{kind} {name} was added" for kind, name in stored.keys() - expected.keys()]
    changed = [
        f"{kind} {name} is different"
        for kind, name in expected.keys() & stored.keys()
        if expected[kind, name] != stored[kind, name]
    ]
    return sorted(missing + added + changed)
