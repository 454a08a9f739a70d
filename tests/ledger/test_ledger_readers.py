"""Readers: they cannot write, see one snapshot, and leave nothing open. DESIGN 4.3, readers."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from waiaas.database import Ledger, close_database, create_database, open_ledger, push_schema
from waiaas.database.errors import Closed, DatabaseError
from waiaas.ports import LedgerTransaction

PAGE_BYTES = 4096
WAL_PAGES_EXPECTED = 1000


def put(key: str, value: str = "value") -> Callable[[LedgerTransaction], None]:
    return lambda tx: tx.key_values.put(key, value, now_s=1)


def get(ledger: Ledger, key: str) -> str | None:
    return ledger.read(lambda tx: tx.key_values.get(key))


def in_a_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def open_descriptors(ledger: Ledger) -> int:
    """Return how many descriptors of this process are of the ledger's files."""
    count = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- a Path per descriptor says no more
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith(ledger.path)  # noqa: PTH115
        except FileNotFoundError:
            continue
    return count


@pytest.fixture
def reader(ledger: Ledger) -> apsw.Connection:
    """Return the driver's connection of this thread's reader."""
    get(ledger, "a")
    found = ledger._reader()
    assert found is not None
    return found.connection.sqlite


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO key_value_store VALUES ('a', 'a', 1)",
        "CREATE TABLE t (x)",
        "DROP TABLE agents",
        "PRAGMA user_version=9",
        "BEGIN IMMEDIATE",
    ],
)
def test_a_reader_s_connection_cannot_write(reader: apsw.Connection, sql: str) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute(sql)


def test_a_reader_s_connection_cannot_write_even_when_it_is_told_that_it_may(
    reader: apsw.Connection,
) -> None:
    reader.execute("PRAGMA query_only=OFF")
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO key_value_store VALUES ('a', 'a', 1)")


def test_a_reader_has_a_small_cache_and_no_memory_map(reader: apsw.Connection) -> None:
    assert reader.execute("PRAGMA cache_size").fetchall() == [(-2000,)]
    assert reader.execute("PRAGMA mmap_size").fetchall() in ([], [(0,)])


def test_a_query_sees_one_snapshot_while_the_writer_commits(ledger: Ledger) -> None:
    ledger.write(put("a", "old"))

    def query(tx: LedgerTransaction) -> list[str | None]:
        before = tx.key_values.get("a")
        in_a_thread(lambda: ledger.write(put("a", "new")))
        return [before, tx.key_values.get("a")]

    assert ledger.read(query) == ["old", "old"]
    assert get(ledger, "a") == "new"


def test_a_reader_does_not_see_what_is_not_committed(ledger: Ledger) -> None:
    running, go_on = threading.Event(), threading.Event()

    def unit(tx: LedgerTransaction) -> None:
        tx.key_values.put("a", "value", now_s=1)
        running.set()
        go_on.wait()

    writer = threading.Thread(target=ledger.write, args=(unit,))
    writer.start()
    running.wait()
    assert get(ledger, "a") is None
    go_on.set()
    writer.join()
    assert get(ledger, "a") == "value"


def test_a_query_that_raises_ends_its_snapshot(ledger: Ledger) -> None:
    def fail(tx: LedgerTransaction) -> None:
        tx.key_values.get("a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.read(fail)
    ledger.write(put("a"))
    assert get(ledger, "a") == "value"


def test_a_query_inside_a_query_is_refused_not_deadlocked(ledger: Ledger) -> None:
    with pytest.raises(DatabaseError, match="query must not"):
        ledger.read(lambda _tx: get(ledger, "a"))
    assert get(ledger, "a") is None


def test_closing_inside_a_query_is_refused_not_deadlocked(ledger: Ledger) -> None:
    with pytest.raises(DatabaseError, match="query must not"):
        ledger.read(lambda _tx: ledger.close())
    ledger.write(put("a"))
    assert get(ledger, "a") == "value"


def test_every_read_of_many_threads_sees_whole_commits(ledger: Ledger) -> None:
    def move(n: int) -> Callable[[LedgerTransaction], None]:
        def unit(tx: LedgerTransaction) -> None:
            tx.key_values.put("left", str(n), now_s=n)
            tx.key_values.put("right", str(-n), now_s=n)

        return unit

    ledger.write(move(0))
    start = threading.Barrier(9)
    sums: list[int] = []

    def look() -> None:
        start.wait()
        for _ in range(100):
            both = ledger.read(lambda tx: [tx.key_values.get("left"), tx.key_values.get("right")])
            sums.append(sum(int(value or "1") for value in both))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    for n in range(1, 101):
        ledger.write(move(n))
    for thread in threads:
        thread.join()
    assert sums == [0] * 800


# ── closing ────────────────────────────────────────────────────────────────────────────────────


def test_close_waits_for_a_query_in_progress(ledger: Ledger) -> None:
    ledger.write(put("a"))
    running, go_on = threading.Event(), threading.Event()
    found: list[str | None] = []

    def query(tx: LedgerTransaction) -> str | None:
        tx.key_values.get("a")
        running.set()
        go_on.wait()
        return tx.key_values.get("a")

    reading = threading.Thread(target=lambda: found.append(ledger.read(query)))
    reading.start()
    running.wait()
    closing = threading.Thread(target=ledger.close)
    closing.start()
    closing.join(timeout=0.05)
    assert closing.is_alive()
    go_on.set()
    reading.join()
    closing.join()
    assert found == ["value"]


def test_reading_after_close_is_refused_on_a_thread_that_read_before_and_on_a_new_one(
    ledger: Ledger,
) -> None:
    get(ledger, "a")
    ledger.close()
    met: list[type[Exception]] = []

    def look() -> None:
        try:
            get(ledger, "a")
        except Closed as error:
            met.append(type(error))

    look()
    in_a_thread(look)
    assert met == [Closed, Closed]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_the_reader_of_a_dead_thread_is_closed_without_waiting_for_the_collector(
    ledger: Ledger,
) -> None:
    in_a_thread(lambda: get(ledger, "a"))
    before = open_descriptors(ledger)
    for _ in range(50):
        in_a_thread(lambda: get(ledger, "a"))
    assert open_descriptors(ledger) <= before
    assert not list(ledger._readers)


# ── a WAL that would grow ──────────────────────────────────────────────────────────────────────

WRITES = 60


def large(n: int) -> str:
    """Return about a hundred pages that differ from the ones before: SQLite writes only changes."""
    return chr(ord("A") + n) * 400_000


def wal_bytes(path: str) -> int:
    return os.stat(f"{path}-wal").st_size  # noqa: PTH116 -- must not open the file, and does not


def test_the_wal_does_not_grow_while_threads_read(ledger: Ledger) -> None:
    for n in range(WRITES):
        ledger.write(put("large", large(n)))
        assert get(ledger, "large")
    assert wal_bytes(ledger.path) < 2 * WAL_PAGES_EXPECTED * PAGE_BYTES


def test_control_a_half_read_cursor_makes_the_wal_grow(ledger: Ledger) -> None:
    ledger.write(put("a"))
    ledger.write(put("b"))
    half_read = apsw.Connection(ledger.path, flags=apsw.SQLITE_OPEN_READONLY)
    cursor = half_read.execute("SELECT key FROM key_value_store")
    cursor.fetchone()
    for n in range(WRITES):
        ledger.write(put("large", large(n)))
    assert wal_bytes(ledger.path) > 5 * WAL_PAGES_EXPECTED * PAGE_BYTES
    cursor.close(force=True)
    half_read.close()


def test_a_cursor_that_a_caller_left_half_read_does_not_survive_close_database(
    tmp_path: Path,
) -> None:
    path = tmp_path / "half-read.db"
    connection = create_database(path)
    push_schema(connection)
    for key in "ab":
        connection.sqlite.execute("INSERT INTO key_value_store VALUES (?, '', 1)", (key,))
    cursor = connection.sqlite.execute("SELECT key FROM key_value_store")
    cursor.fetchone()
    assert close_database(connection)


def test_close_says_so_when_somebody_else_keeps_the_wal_busy(directory: Path) -> None:
    ledger = open_ledger(directory)
    ledger.write(put("a"))
    ledger.write(put("b"))
    ledger._writer._sqlite.set_busy_timeout(0)
    with apsw.Connection(ledger.path, flags=apsw.SQLITE_OPEN_READONLY) as other:
        cursor = other.execute("SELECT key FROM key_value_store")
        cursor.fetchone()
        ledger.write(put("c"))
        assert not ledger.close()
        cursor.close(force=True)
    other.close()
    with open_ledger(directory) as reopened:
        assert get(reopened, "c") == "value"
