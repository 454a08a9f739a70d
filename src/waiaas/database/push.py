"""Bringing a database to the current schema, and refusing one that is not what it says."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final, NamedTuple

import apsw
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from waiaas.database.connection import MEMORY, DatabaseConnection, create_database, set_pragma
from waiaas.database.definitions import Schema, differences, stored_schema
from waiaas.database.errors import SchemaMismatch, UpgradeFailed
from waiaas.database.identity import identify, require_ours_or_empty
from waiaas.database.migrations import STEPS
from waiaas.database.migrations.step import Step
from waiaas.database.refusals import translated
from waiaas.database.schema import APPLICATION_ID, SCHEMA_VERSION, metadata
from waiaas.database.triggers import TRIGGERS
from waiaas.database.upgrade import upgrade

_DIALECT: Final = sqlite_dialect.dialect()


class Release(NamedTuple):
    """What one release of this program knows of the schema."""

    version: int
    definitions: tuple[str, ...]
    """Every statement that builds the schema of that version, in order."""
    steps: tuple[Step, ...]
    """The way to it from every version released before."""


def push_schema(connection: DatabaseConnection) -> None:
    """Bring an empty or older database to the current schema, in one transaction.

    A current one is left alone. An older one is copied beside itself before anything is changed, as
    `<name>.before-v<version>`. Safe at every start and from several processes at once: the first
    one builds, the others wait for as long as the busy time-out and find it done.

    Raises:
        ForeignDatabase: there are tables, and `application_id` is not ours.
        NewerSchema: `user_version` is past what this program knows.
        SchemaMismatch: the stored schema is not that of its version.
        UpgradeFailed: an older database does not survive the upgrade; it is as it was.
        RolledBack, LedgerFull, CommitUnknown: as their names say.
    """
    push_release(connection, current_release())


def push_release(connection: DatabaseConnection, release: Release) -> None:
    """Do what `push_schema` does, for any release: tests come from the past and the future."""
    try:
        if not _was_current(connection, release):
            with _without_foreign_keys(connection.sqlite), connection.db.transaction():
                _bring_up(connection, release)
    except apsw.Error as error:
        raise translated(error, {}, connection.path) from error


@cache
def current_release() -> Release:
    """Return what this program knows."""
    return Release(SCHEMA_VERSION, tuple(schema_sql()), STEPS)


def schema_sql() -> list[str]:
    """Return every statement that builds the schema, in order."""
    tables = [str(CreateTable(table).compile(dialect=_DIALECT)) for table in metadata.sorted_tables]
    indexes = [
        str(CreateIndex(index).compile(dialect=_DIALECT))
        for table in metadata.sorted_tables
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    return [*tables, *indexes, *TRIGGERS]


@contextmanager
def _without_foreign_keys(sqlite: apsw.Connection) -> Iterator[None]:
    """Turn foreign keys off around a transaction; inside one the PRAGMA does nothing."""
    set_pragma(sqlite, "foreign_keys", "OFF", 0)
    try:
        yield
    finally:
        set_pragma(sqlite, "foreign_keys", "ON", 1)


def _was_current(connection: DatabaseConnection, release: Release) -> bool:
    """Look without the write lock: at most starts there is nothing to do."""
    connection.db.begin("DEFERRED")
    try:
        return _version(connection, release) == release.version
    finally:
        connection.db.rollback()


def _bring_up(connection: DatabaseConnection, release: Release) -> None:
    """Do what is still to be done, now that nobody else can."""
    found = _version(connection, release)
    if found == release.version:
        return
    if found is None:
        _build(connection.sqlite, release)
    else:
        upgrade(connection, release.steps, found=found)
        left = differences(stored_schema(connection.sqlite), _schema(release))
        if left:
            raise UpgradeFailed(connection.path, release.version, reason="; ".join(left))


def _build(sqlite: apsw.Connection, release: Release) -> None:
    for statement in release.definitions:
        sqlite.execute(statement)
    sqlite.execute(f"PRAGMA application_id={APPLICATION_ID}")
    sqlite.execute(f"PRAGMA user_version={release.version}")


def _version(connection: DatabaseConnection, release: Release) -> int | None:
    """Return the schema version of a database of ours, None if it is empty; refuse all else."""
    identity = identify(connection.sqlite)
    require_ours_or_empty(identity, connection.path, known=release.version)
    if identity.application_id != APPLICATION_ID:
        return None
    if identity.user_version == release.version:
        found = differences(stored_schema(connection.sqlite), _schema(release))
        if found:
            raise SchemaMismatch(connection.path, differences=found)
    return identity.user_version


@cache
def _schema(release: Release) -> Schema:
    """Return the schema as SQLite stores it when it is built anew."""
    with create_database(MEMORY) as connection:
        _build(connection.sqlite, release)
        return stored_schema(connection.sqlite)
