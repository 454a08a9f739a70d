"""`push_schema` builds the schema once, recognises it ever after, and stamps what it built."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from waiaas.database import DatabaseConnection, close_database, create_database, push_schema
from waiaas.database.errors import ForeignDatabase, NewerSchema, RolledBack

Digests = Callable[[Path], dict[str, str]]


def _schema(sqlite: apsw.Connection) -> list[tuple[object, ...]]:
    return list(sqlite.execute("SELECT * FROM sqlite_schema ORDER BY rowid"))


@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_second_push_writes_nothing(path: Path, where: str) -> None:
    with create_database(path if where == "file" else ":memory:") as connection:
        push_schema(connection)
        sqlite = connection.sqlite
        before = (_schema(sqlite), sqlite.total_changes(), sqlite.pragma("schema_version"))
        for _ in range(3):
            push_schema(connection)
        after = (_schema(sqlite), sqlite.total_changes(), sqlite.pragma("schema_version"))
        assert after == before
        assert not sqlite.in_transaction


def test_another_start_leaves_the_bytes_of_the_file_as_they_are(
    path: Path, digests: Digests
) -> None:
    with create_database(path) as connection:
        push_schema(connection)
    before = digests(path)
    assert before.keys() == {path.name}
    with create_database(path) as connection:
        push_schema(connection)
    assert digests(path) == before


def test_a_push_does_not_wait_for_a_writer_when_there_is_nothing_to_do(
    database: DatabaseConnection, path: Path
) -> None:
    with create_database(path) as other, database.db.transaction():
        other.sqlite.set_busy_timeout(0)
        push_schema(other)


def test_a_push_that_cannot_get_the_write_lock_says_so_and_may_be_tried_again(path: Path) -> None:
    with create_database(path) as one, create_database(path) as other:
        other.sqlite.set_busy_timeout(0)
        with one.db.transaction(), pytest.raises(RolledBack):
            push_schema(other)
        push_schema(other)
        push_schema(one)
        assert _schema(one.sqlite) == _schema(other.sqlite)


def test_a_push_stamps_the_file_with_our_number_and_the_version(path: Path) -> None:
    with create_database(path) as connection:
        assert connection.sqlite.pragma("application_id") == 0
        assert connection.sqlite.pragma("user_version") == 0
        push_schema(connection)
        assert connection.sqlite.pragma("application_id") == int.from_bytes(b"waAa", "big")
        assert connection.sqlite.pragma("user_version") == 1
    # The header of the file itself, at the offsets of the file format.
    header = path.read_bytes()[:100]
    assert header[68:72] == b"waAa"
    assert header[60:64] == b"\0\0\0\1"


def test_every_push_gives_the_same_schema(path: Path) -> None:
    with create_database(path) as on_file, create_database(":memory:") as in_memory:
        push_schema(on_file)
        push_schema(in_memory)
        assert _schema(on_file.sqlite) == _schema(in_memory.sqlite)


@pytest.mark.parametrize(
    ("statements", "error"),
    [
        (["CREATE TABLE t (x)"], ForeignDatabase),
        (["PRAGMA application_id=1", "CREATE TABLE t (x)"], ForeignDatabase),
        (["CREATE VIEW v AS SELECT 1"], ForeignDatabase),
        (["PRAGMA application_id=0x77614161", "PRAGMA user_version=2"], NewerSchema),
        (
            ["PRAGMA application_id=0x77614161", "PRAGMA user_version=2", "CREATE TABLE t (x)"],
            NewerSchema,
        ),
    ],
)
@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_push_onto_something_else_is_refused_and_writes_nothing(
    path: Path, where: str, statements: list[str], error: type[Exception]
) -> None:
    with create_database(path if where == "file" else ":memory:") as connection:
        for statement in statements:
            connection.sqlite.execute(statement).fetchall()
        before = (_schema(connection.sqlite), connection.sqlite.total_changes())
        with pytest.raises(error):
            push_schema(connection)
        assert (_schema(connection.sqlite), connection.sqlite.total_changes()) == before
        assert not connection.sqlite.in_transaction


def test_a_failed_push_leaves_an_empty_database(path: Path) -> None:
    """Another connection takes a name in the schema between the look and the build."""
    connection = create_database(path)
    connection.sqlite.limit(apsw.SQLITE_LIMIT_SQL_LENGTH, 900)  # Shorter than one of our tables.
    with pytest.raises(Exception, match=r"too (big|long)"):
        push_schema(connection)
    assert _schema(connection.sqlite) == []
    assert connection.sqlite.pragma("application_id") == 0
    close_database(connection)
    with create_database(path) as again:
        push_schema(again)


def test_statistics_that_somebody_had_sqlite_gather_are_no_change_of_the_schema(
    database: DatabaseConnection,
) -> None:
    database.sqlite.execute("ANALYZE")
    assert ("sqlite_stat1",) in set(database.sqlite.execute("SELECT name FROM sqlite_schema"))
    push_schema(database)
