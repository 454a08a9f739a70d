"""Write the database of the current schema version that later releases are tested on upgrading.

`tests/database/fixtures/ledger-v<N>.db` gets rows in every table: every value of every vocabulary,
every flag, and each optional column once empty and once not. What a column may hold is asked of its
own CHECK, so a new table or column is filled without a change here, or stops this tool with the
reason. The audit log is written through the library. The same schema gives the same bytes.

After a release its file is never made again; until then: `python tools/make_ledger_fixture.py`,
in the project's environment, with another folder as its argument if need be.
"""

import re
import sys
from pathlib import Path
from typing import Final, cast

import apsw
from sqlalchemy import CheckConstraint, Column, Table, func, insert, select

from waiaas.database import DatabaseConnection, close_database, create_database, push_schema
from waiaas.database.definitions import fingerprint, stored_schema
from waiaas.database.schema import SCHEMA_VERSION, metadata
from waiaas.database.tables import Tables
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.events import EVENTS

FOLDER: Final = Path(__file__).resolve().parents[1] / "tests/database/fixtures"

START_S: Final = 1_700_000_000
"""The first second in the ledger's time."""

Value = str | int | None

_LIST: Final = re.compile(r"^(?P<nullable>\w+ IS NULL OR )?\w+ IN \((?P<values>[^()]*)\)$")


def main() -> None:
    """Write the file and its line in the folder's README."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    path = folder / f"ledger-v{SCHEMA_VERSION}.db"
    path.unlink(missing_ok=True)
    with create_database(path) as connection:
        push_schema(connection)
        with connection.db.transaction():
            _fill(connection)
        line = f"| `{path.name}` | `{fingerprint(stored_schema(connection.sqlite))}` |"
        emptied = close_database(connection)
    if not emptied:
        sys.exit(f"{path} is still in use: its write-ahead log could not be emptied.")
    readme = folder / "README.md"
    others = [
        other
        for other in readme.read_text(encoding="utf-8").splitlines()
        if not other.startswith(f"| `{path.name}` |")
    ]
    readme.write_text("\n".join([*others, line, ""]), encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes")


def _fill(connection: DatabaseConnection) -> None:
    audit = Tables(connection.db.execute).audit
    for number, action in enumerate(AuditAction):
        details = {name: kind.example for name, kind in EVENTS[action].forms[0].items()}
        audit.append(AuditEvent(action, OPERATOR, details=details), now_s=START_S + number)
    tables = metadata.sorted_tables
    rows = 1 + max(len(_vocabulary(table, column) or ()) for table in tables for column in table.c)
    for place, table in enumerate(tables):
        [[found]] = connection.db.execute(select(func.count()).select_from(table))
        if not found:  # Else it belongs to the audit log.
            for number in range(rows):
                row = {c.name: _value(connection, c, place, number) for c in table.columns}
                connection.db.execute(insert(table), row)


def _value(
    connection: DatabaseConnection, column: "Column[object]", place: int, number: int
) -> Value:
    """Return what the row *number* of the table in *place* holds in *column*.

    Row n refers to row n of other tables, so what is unique there is unique here; and to the row
    before it of its own. Row 0 has nothing in any column that may be empty.
    """
    table = column.table
    assert isinstance(table, Table)
    if column.nullable and number == 0:
        return None
    for key in column.foreign_keys:
        parent = key.column.table
        row = number - 1 if parent is table else number
        found = select(key.column).order_by(*parent.primary_key).offset(row).limit(1)
        [[value]] = connection.db.execute(found)
        return cast("Value", value)
    allowed = _vocabulary(table, column)
    if allowed is not None:
        return allowed[number % len(allowed)]
    candidates: list[Value] = [
        START_S + number,
        f'{column.name} {number}: "größer", isn\'t it?',
        f'{{"row":{number}}}',
        f"00000000-0000-7000-8{place:03x}-{number:012x}",
        str(10**30 + number),
        f"{place * 1000 + number:064x}",
    ]
    kind = int if column.type.python_type is int else str
    for candidate in candidates:
        if isinstance(candidate, kind) and _accepts(table, column, candidate):
            return candidate
    sys.exit(f"{table.name}.{column.name} accepts none of {candidates}: teach {__file__} another.")


def _condition(table: Table, column: "Column[object]") -> str | None:
    """Return what the column's CHECK says, as text."""
    name = f"ck_{table.name}_{column.name}"
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint) and constraint.name == name:
            return str(constraint.sqltext)
    return None


def _vocabulary(table: Table, column: "Column[object]") -> list[Value] | None:
    """Return the values a column's CHECK lists, with None if it may be empty."""
    found = _LIST.match(_condition(table, column) or "")
    if found is None:
        return None
    [values] = apsw.Connection(":memory:").execute(f"SELECT {found['values']}")
    return [*values, None] if found["nullable"] else list(values)


def _accepts(table: Table, column: "Column[object]", candidate: Value) -> bool:
    condition = _condition(table, column)
    if condition is None:
        return True
    sqlite = apsw.Connection(":memory:")
    sql = f'SELECT {condition} FROM (SELECT ? AS "{column.name}")'  # noqa: S608 -- our own schema
    [(accepted,)] = sqlite.execute(sql, (candidate,))
    return bool(accepted)


if __name__ == "__main__":
    main()
