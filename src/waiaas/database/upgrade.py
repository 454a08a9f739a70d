"""Bringing an older database of ours up to date: a copy first, then the steps it lacks.

All steps run in the caller's one transaction, so the file has the old schema or today's and never
anything between. The caller holds the write lock and has turned foreign keys off: with them on,
a step that drops a table would delete whatever refers to it, and no check would show it.
"""

import filecmp
from itertools import count
from pathlib import Path
from typing import Final

import apsw

from waiaas.database.connection import MEMORY, DatabaseConnection
from waiaas.database.definitions import fingerprint, stored_schema
from waiaas.database.errors import DatabaseError, SchemaMismatch, UpgradeFailed
from waiaas.database.migrations.step import Step
from waiaas.database.snapshot import copy_database, sync

_UNFINISHED: Final = ".unfinished"


def upgrade(connection: DatabaseConnection, steps: tuple[Step, ...], *, found: int) -> None:
    """Copy the database at version *found* beside itself, then run those of *steps* it lacks.

    Raises:
        SchemaMismatch: the schema is not that of version *found*; no step was run.
        UpgradeFailed: a step lost rows, or left or met some that do not fit.
        DatabaseError, LedgerFull: the copy cannot be made; no step was run.
    """
    pending = [step for step in steps if step.version > found]
    if not pending or pending[0].version != found + 1:
        raise SchemaMismatch(connection.path, differences=[f"version {found} was never released"])
    _require_start(connection, pending[0])
    if connection.path != MEMORY:
        _keep_copy(Path(connection.path), version=pending[-1].version)
    for step in pending:
        _require_start(connection, step)
        _run(connection, step)


def _require_start(connection: DatabaseConnection, step: Step) -> None:
    """Return if the schema is the one that *step* was written for."""
    if fingerprint(stored_schema(connection.sqlite)) != step.before:
        raise SchemaMismatch(
            connection.path, differences=[f"it is not that of version {step.version - 1}"]
        )


def _keep_copy(path: Path, *, version: int) -> None:
    """Copy the database to `<name>.before-v<version>`, or leave an equal copy that is there.

    An upgrade that fails at every start must not fill the disk with copies of the same ledger; two
    ledgers that differ are both kept. There is one of us at a time: the caller has the write lock.
    """
    name = f"{path.name}.before-v{version}"
    unfinished = path.with_name(name + _UNFINISHED)
    try:
        unfinished.unlink(missing_ok=True)  # A start was killed while it copied.
        copy_database(path, unfinished)
        for number in count(1):
            copy = path.with_name(name if number == 1 else f"{name}.{number}")
            if not copy.exists():
                unfinished.rename(copy)
                break
            if filecmp.cmp(unfinished, copy, shallow=False):
                unfinished.unlink()
                break
        sync(path.parent)
    except OSError as error:
        raise DatabaseError(
            f"{path} was not upgraded, because no copy could be kept: {error}"
        ) from error


def _run(connection: DatabaseConnection, step: Step) -> None:
    """Run one step, check what it left, and stamp its version."""
    sqlite = connection.sqlite
    rows_before = _row_counts(sqlite)
    try:
        step.apply(sqlite)
    except apsw.ConstraintError as error:
        raise UpgradeFailed(connection.path, step.version, reason=str(error)) from error
    rows_after = _row_counts(sqlite)
    problems = [
        f"{table} had {rows} rows and would have {rows_after.get(table, 0)}"
        for table, rows in rows_before.items()
        if rows_after.get(table) != rows
    ]
    problems += [
        f"row {rowid} of {table} would refer to nothing in {parent}"
        for table, rowid, parent, _ in sqlite.execute("PRAGMA foreign_key_check")
    ]
    if problems:
        raise UpgradeFailed(connection.path, step.version, reason="; ".join(problems))
    sqlite.execute(f"PRAGMA user_version={step.version}")


def _row_counts(sqlite: apsw.Connection) -> dict[str, int]:
    tables = [name for kind, name in stored_schema(sqlite) if kind == "table"]
    return {
        table: int(rows)
        for table in tables
        for (rows,) in sqlite.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608 -- a table's name
    }
