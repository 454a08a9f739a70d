"""The seven tables as they stand, for people to look at."""

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from waiaas.database.connection import open_reader
from waiaas.database.schema import SEVEN_TABLES


class TableRows(NamedTuple):
    """One table: its columns, and its rows by primary key."""

    columns: tuple[str, ...]
    rows: list[tuple[str | int | None, ...]]


def read_contents(path: Path) -> dict[str, TableRows]:
    """Read all rows of the seven tables, read-only, whether or not a ledger has the file open."""
    contents = {}
    with open_reader(path) as connection:
        connection.db.begin("DEFERRED")
        for table in SEVEN_TABLES:
            rows = connection.db.execute(select(table).order_by(*table.primary_key))
            columns = tuple(column.name for column in table.columns)
            contents[table.name] = TableRows(columns, [tuple(row) for row in rows])
    return contents
