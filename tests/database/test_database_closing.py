"""Closing ends whatever is open, empties the WAL, and is final."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from sqlalchemy import insert, select, text

from waiaas.database import (
    DatabaseConnection,
    close_database,
    create_database,
    key_value_store,
    push_schema,
)
from waiaas.database.errors import Closed, DatabaseError, LedgerFull, RolledBack
from waiaas.database.statements import compiled

ROW: Final[dict[str, Any]] = {"key": "k", "value": "v", "updated_at": 1}


def _wal(path: Path) -> int:
    """Return the size of the WAL; none at all counts as empty."""
    wal = Path(f"{path}-wal")
    return wal.stat().st_size if wal.exists() else 0


@pytest.fixture
def written(path: Path) -> DatabaseConnection:
    """Return an open database whose WAL is not empty."""
    connection = create_database(path)
    push_schema(connection)
    for number in range(500):
        connection.db.execute(insert(key_value_store), ROW | {"key": str(number)})
    assert _wal(path) > 0
    return connection


def _keys(path: Path) -> list[str]:
    with create_database(path) as connection:
        return [row.key for row in connection.db.execute(select(key_value_store.c.key))]


def test_closing_empties_the_wal_and_says_so(written: DatabaseConnection, path: Path) -> None:
    assert close_database(written) is True
    assert _wal(path) == 0
    assert len(_keys(path)) == 500


def test_the_wal_is_emptied_although_another_connection_stays_open(
    written: DatabaseConnection, path: Path
) -> None:
    with create_database(path):
        assert close_database(written) is True
        assert Path(f"{path}-wal").stat().st_size == 0


def test_cursors_left_half_read_are_ended(written: DatabaseConnection, path: Path) -> None:
    sqlite = written.sqlite
    cursors = [sqlite.cursor(), sqlite.execute("SELECT * FROM key_value_store"), sqlite.cursor()]
    cursors[0].execute("SELECT 1 UNION SELECT 2")
    cursors[2].execute("SELECT key FROM key_value_store ORDER BY key DESC")
    for cursor in cursors:
        next(cursor)
    loop = iter(sqlite.execute("SELECT key FROM key_value_store"))
    next(loop)
    assert close_database(written) is True
    assert _wal(path) == 0
    for cursor in [*cursors, loop]:
        with pytest.raises((apsw.CursorClosedError, apsw.ConnectionClosedError)):
            next(cursor)


def test_a_half_written_statement_is_ended(written: DatabaseConnection, path: Path) -> None:
    cursor = written.sqlite.execute("UPDATE key_value_store SET value = 'x' RETURNING key")
    next(cursor)
    assert close_database(written) is True
    assert _wal(path) == 0


@pytest.mark.parametrize("kind", ["IMMEDIATE", "DEFERRED", "EXCLUSIVE"])
def test_an_open_transaction_is_rolled_back(
    written: DatabaseConnection, path: Path, kind: str
) -> None:
    written.db.begin(kind)
    written.db.execute(insert(key_value_store), ROW | {"key": "uncommitted"})
    written.sqlite.execute("SAVEPOINT deeper")
    written.db.execute(insert(key_value_store), ROW | {"key": "deeper"})
    next(written.sqlite.execute("SELECT * FROM key_value_store"))
    assert close_database(written) is True
    assert _wal(path) == 0
    assert not {"uncommitted", "deeper"} & set(_keys(path))


def test_an_open_blob_does_not_keep_the_database_open(
    written: DatabaseConnection, path: Path
) -> None:
    blob = written.sqlite.blob_open("main", "key_value_store", "value", 1, False)  # noqa: FBT003 -- APSW's
    close_database(written)
    with pytest.raises(ValueError, match="closed"):
        blob.read(1)
    with create_database(path) as alone:
        assert alone.sqlite.pragma("locking_mode", "exclusive") == "exclusive"
        alone.sqlite.execute("BEGIN EXCLUSIVE").fetchall()


def test_a_reader_that_keeps_the_wal_busy_makes_the_answer_false(
    written: DatabaseConnection, path: Path
) -> None:
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM key_value_store").fetchall()
    written.db.execute(insert(key_value_store), ROW)
    written.sqlite.set_busy_timeout(1)

    assert close_database(written) is False

    assert written.closed
    with pytest.raises(Closed):
        written.db.execute(select(key_value_store))
    assert reader.execute("SELECT count(*) FROM key_value_store").fetchall() == [(500,)]
    reader.close()
    assert len(_keys(path)) == 501
    assert _wal(path) == 0


def test_a_writer_that_keeps_the_wal_busy_makes_the_answer_false(
    written: DatabaseConnection, path: Path
) -> None:
    with create_database(path) as other, other.db.transaction():
        other.db.execute(insert(key_value_store), ROW)
        written.sqlite.set_busy_timeout(1)
        assert close_database(written) is False
    assert len(_keys(path)) == 501


def test_closing_twice_is_harmless(written: DatabaseConnection) -> None:
    assert close_database(written) is True
    assert close_database(written) is True
    with written:
        pass


def test_closing_twice_after_a_busy_wal_is_harmless(
    written: DatabaseConnection, path: Path
) -> None:
    with create_database(path) as other, other.db.transaction():
        written.sqlite.set_busy_timeout(1)
        assert close_database(written) is False
        close_database(written)


def _transaction(connection: DatabaseConnection) -> None:
    with connection.db.transaction():
        pytest.fail("a transaction began after close")


@pytest.mark.parametrize(
    "use",
    [
        lambda connection: connection.db.execute(select(key_value_store)),
        lambda connection: connection.db.execute(insert(key_value_store), ROW),
        _transaction,
        lambda connection: connection.db.begin("DEFERRED"),
        push_schema,
    ],
    ids=["select", "insert", "transaction", "begin", "push"],
)
@pytest.mark.parametrize("where", ["file", "memory"])
def test_every_use_after_close_says_that_it_is_closed(
    path: Path, where: str, use: Callable[[DatabaseConnection], Any]
) -> None:
    connection = create_database(path if where == "file" else ":memory:")
    push_schema(connection)
    connection.db.execute(insert(key_value_store), ROW)
    close_database(connection)
    for _ in range(2):
        with pytest.raises(Closed, match="closed"):
            use(connection)


@pytest.mark.parametrize(
    "use",
    [
        lambda sqlite: sqlite.execute("SELECT 1"),
        lambda sqlite: sqlite.cursor(),
        lambda sqlite: sqlite.pragma("user_version"),
        lambda sqlite: sqlite.in_transaction,
        lambda sqlite: sqlite.wal_checkpoint(),
        lambda sqlite: sqlite.changes(),
    ],
    ids=["execute", "cursor", "pragma", "in_transaction", "wal_checkpoint", "changes"],
)
def test_every_use_of_the_driver_after_close_raises(
    database: DatabaseConnection, use: Callable[[apsw.Connection], Any]
) -> None:
    close_database(database)
    with pytest.raises(apsw.ConnectionClosedError):
        use(database.sqlite)


def test_leaving_the_with_block_closes_and_empties_the_wal(path: Path) -> None:
    with create_database(path) as connection:
        push_schema(connection)
        assert _wal(path) > 0
        with create_database(path):
            pass
    assert connection.closed
    assert _wal(path) == 0


def test_an_exception_in_the_with_block_closes_too_and_goes_on(path: Path) -> None:
    class _Boom(BaseException):
        pass

    def fail() -> None:
        with create_database(path) as connection:
            opened.append(connection)
            push_schema(connection)
            connection.db.begin("IMMEDIATE")
            connection.db.execute(insert(key_value_store), ROW)
            raise _Boom

    opened: list[DatabaseConnection] = []
    with pytest.raises(_Boom):
        fail()
    assert opened[0].closed
    assert _wal(path) == 0
    assert _keys(path) == []


def test_closing_inside_the_with_block_is_harmless(path: Path) -> None:
    with create_database(path) as connection:
        close_database(connection)


def test_a_database_in_memory_is_closed_and_gone() -> None:
    connection = create_database(":memory:")
    push_schema(connection)
    assert close_database(connection) is True
    with create_database(":memory:") as another:
        assert list(another.sqlite.execute("SELECT * FROM sqlite_schema")) == []


@pytest.mark.parametrize(
    "use",
    [
        lambda connection: connection.db.execute(select(key_value_store)),
        lambda connection: connection.db.begin("IMMEDIATE"),
        _transaction,
    ],
    ids=["execute", "begin", "transaction"],
)
def test_a_connection_belongs_to_the_thread_that_opened_it(
    database: DatabaseConnection, use: Callable[[DatabaseConnection], Any]
) -> None:
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            use(database)
        except BaseException as error:  # noqa: BLE001 -- looked at below
            raised.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    [error] = raised
    assert isinstance(error, DatabaseError)
    assert "one thread" in str(error)
    assert not database.sqlite.in_transaction
    assert database.db.execute(select(key_value_store)) == []


def test_a_statement_that_fails_among_its_rows_keeps_no_snapshot(
    written: DatabaseConnection, path: Path
) -> None:
    """Text that is not UTF-8 can only be written past the library; reading it must not hurt."""
    written.sqlite.execute("UPDATE key_value_store SET value = CAST(x'FF' AS TEXT) WHERE key = '7'")
    with pytest.raises(DatabaseError, match=str(path)):
        written.db.execute(select(key_value_store))
    with create_database(path) as other:
        other.sqlite.set_busy_timeout(1)
        other.db.execute(insert(key_value_store), ROW)
        assert close_database(other) is True
    query = select(key_value_store.c.key).where(key_value_store.c.key == "k")
    assert [tuple(row) for row in written.db.execute(query)] == [("k",)]
    assert close_database(written) is True


LEFT_OPEN = """
import sys
from waiaas.database import create_database, push_schema
connection = create_database(sys.argv[1])
push_schema(connection)
cursor = connection.sqlite.execute("SELECT * FROM sqlite_schema")
next(cursor)
"""


def test_a_process_that_forgets_to_close_loses_nothing(path: Path) -> None:
    subprocess.run([sys.executable, "-c", LEFT_OPEN, str(path)], check=True)
    with create_database(path) as connection:
        push_schema(connection)


# ── a transaction that SQLite ended ────────────────────────────────────────────────────────────


def _fill(connection: DatabaseConnection) -> None:
    connection.sqlite.execute("PRAGMA max_page_count=70; PRAGMA cache_size=10")
    with pytest.raises(LedgerFull):
        connection.db.execute(insert(key_value_store), ROW | {"value": "x" * 3_000_000})


def _roll_back(connection: DatabaseConnection) -> None:
    connection.sqlite.execute(
        "CREATE TEMP TRIGGER undo BEFORE INSERT ON key_value_store WHEN NEW.key = 'bad' "
        "BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
    )
    with pytest.raises(DatabaseError):
        connection.db.execute(insert(key_value_store), ROW | {"key": "bad"})


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("end", [_fill, _roll_back])
def test_nothing_in_a_block_is_committed_by_itself_once_sqlite_ended_its_transaction(
    path: Path,
    end: Callable[[DatabaseConnection], None],
    last: bool,  # noqa: FBT001 -- a row of the table above
) -> None:
    def work(connection: DatabaseConnection) -> None:
        with connection.db.transaction():
            connection.db.execute(insert(key_value_store), ROW | {"key": "first"})
            end(connection)
            if not last:
                connection.db.execute(insert(key_value_store), ROW | {"key": "after"})

    with create_database(path) as connection:
        push_schema(connection)
        with pytest.raises(RolledBack):
            work(connection)
        connection.db.execute(insert(key_value_store), ROW | {"key": "later"})
    assert _keys(path) == ["later"]


def test_control_a_block_that_does_not_look_commits_the_rest_by_itself(path: Path) -> None:
    with create_database(path) as connection:
        push_schema(connection)
        connection.db.begin("IMMEDIATE")
        connection.db.execute(insert(key_value_store), ROW | {"key": "first"})
        _roll_back(connection)
        connection.db.execute(insert(key_value_store), ROW | {"key": "after"})
    assert _keys(path) == ["after"]


def test_closing_inside_a_transaction_keeps_the_caller_s_own_error(path: Path) -> None:
    def work(connection: DatabaseConnection) -> None:
        with connection.db.transaction():
            connection.db.execute(insert(key_value_store), ROW)
            close_database(connection)
            raise ZeroDivisionError

    connection = create_database(path)
    push_schema(connection)
    with pytest.raises(ZeroDivisionError):
        work(connection)
    assert _keys(path) == []


# ── interrupted, and from another thread ───────────────────────────────────────────────────────


def test_a_statement_interrupted_among_its_rows_keeps_no_snapshot(
    written: DatabaseConnection,
) -> None:
    query = select(key_value_store.c.key)
    rows = written.db.execute(query)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    compiled(query, {})._make_row = interrupt
    with pytest.raises(KeyboardInterrupt):
        written.db.execute(query)
    assert len(rows) == 500
    assert close_database(written) is True


def test_closing_under_a_running_statement_of_another_thread_is_refused_and_can_be_repeated(
    written: DatabaseConnection,
) -> None:
    running, may_end = threading.Event(), threading.Event()
    refused: list[BaseException] = []

    def wait(*_: object) -> int:
        running.set()
        may_end.wait()
        return 0

    def close() -> None:
        running.wait()
        try:
            close_database(written)
        except DatabaseError as error:
            refused.append(error)
        finally:
            may_end.set()

    written.sqlite.create_scalar_function("wait", wait, 0)
    closer = threading.Thread(target=close)
    closer.start()
    written.db.execute(text("SELECT wait()"))
    closer.join()
    assert "in use by another thread" in str(refused[0])
    assert not written.closed
    assert close_database(written) is True
    with pytest.raises(Closed):
        written.db.execute(select(key_value_store))
