"""A table with another definition and the same rows: how a list of allowed values is widened.

SQLite cannot change a CHECK. So a table of the new definition is made beside the old one, takes
over its rows and then its name.
"""

import re
from typing import Final

import apsw

_HEAD: Final = re.compile(r"\s*CREATE TABLE (?P<name>\w+)(?=\s*\()")

_PREFIX: Final = "rebuilt_"


def rebuild_table(sqlite: apsw.Connection, definition: str) -> None:
    """Give the table that *definition* names this definition, and keep all that belongs to it.

    Kept are its rows, its indexes and triggers, the next number of an AUTOINCREMENT, and what other
    tables' foreign keys and triggers say of it. A step that also changes an index or trigger does
    so afterwards.

    Args:
        sqlite: in a transaction that began with foreign keys off. With them on, dropping the old
            table first deletes its rows, and with them all that refers to them.
        definition: `CREATE TABLE name (…)`, with every column that the table has now.
    """
    head = _HEAD.match(definition)
    if head is None:
        raise ValueError(f"not the definition of a table: {definition[:60]}")
    table = head["name"]
    rebuilt = _PREFIX + table
    companions = [
        str(sql)
        for (sql,) in sqlite.execute(
            "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type <> 'table' AND sql NOTNULL",
            (table,),
        )
    ]
    columns = ", ".join(
        f'"{name}"' for (name,) in sqlite.execute("SELECT name FROM pragma_table_info(?)", (table,))
    )
    sqlite.execute(f"CREATE TABLE {rebuilt}{definition[head.end() :]}")
    sqlite.execute(f"INSERT INTO {rebuilt} ({columns}) SELECT {columns} FROM {table}")  # noqa: S608 -- names
    if "AUTOINCREMENT" in definition:
        _keep_numbering(sqlite, table, rebuilt)
    sqlite.execute(f"DROP TABLE {table}")
    _rename(sqlite, rebuilt, table)
    for sql in companions:
        sqlite.execute(sql)


def _keep_numbering(sqlite: apsw.Connection, table: str, rebuilt: str) -> None:
    """Hand over the highest number ever given, which may be past the highest there is."""
    sqlite.execute("DELETE FROM sqlite_sequence WHERE name = ?", (rebuilt,))
    sqlite.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT ?, seq FROM sqlite_sequence WHERE name = ?",
        (rebuilt, table),
    )


def _rename(sqlite: apsw.Connection, old: str, new: str) -> None:
    """Rename a table and nothing else.

    By default SQLite would first resolve every trigger of the schema, and fail on those that speak
    of the table that is not there at this moment.
    """
    sqlite.execute("PRAGMA legacy_alter_table=ON")
    try:
        sqlite.execute(f"ALTER TABLE {old} RENAME TO {new}")
    finally:
        sqlite.execute("PRAGMA legacy_alter_table=OFF")
