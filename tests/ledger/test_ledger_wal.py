"""The WAL stays bounded: no read outlives its query; where one does the operator is told."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import apsw
import pytest

from waiaas.database import Ledger, open_ledger
from waiaas.database.connection import BUSY_TIMEOUT_MS, open_reader
from waiaas.database.notices import SILENT, Notice, Notices
from waiaas.database.writer import (
    WAL_BYTES_KEPT,
    WAL_PAGES_ALARM,
    WAL_PAGES_MAX,
    WAL_WAIT_MS,
)
from waiaas.ports import LedgerTransaction

FRAME_BYTES: Final = 4096 + 24
VALUE_BYTES: Final = 1_000_000
"""A quarter of `WAL_PAGES_MAX` in one unit."""

TWO_ROWS: Final = "SELECT key FROM key_value_store UNION ALL SELECT 'another'"


def put(key: str, value: str = "x") -> Callable[[LedgerTransaction], None]:
    return lambda tx: tx.key_values.put(key, value * VALUE_BYTES, now_s=1)


def wal_bytes(ledger: Ledger) -> int:
    return Path(ledger.path + "-wal").stat().st_size


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def watched(directory: Path, told: list[Notice]) -> Iterator[Ledger]:
    notices = Notices(SILENT.full, SILENT.resumed, lambda notice, _: told.append(notice))
    with open_ledger(directory, notices=notices) as ledger:
        yield ledger


def write_megabytes(ledger: Ledger, count: int) -> None:
    """Overwrite the same rows: the main file stays as it is, the WAL would not."""
    for n in range(count):
        ledger.write(put(f"{n % 2}", f"{n % 10}"))  # SQLite does not write what is there already.


def test_writing_alone_keeps_the_wal_near_its_bound(watched: Ledger, told: list[Notice]) -> None:
    write_megabytes(watched, 40)
    assert wal_bytes(watched) < 2 * WAL_PAGES_MAX * FRAME_BYTES
    assert not told


def test_queries_of_other_threads_do_not_let_it_grow(watched: Ledger, told: list[Notice]) -> None:
    """Also those that follow each other without a gap, and those that fail half way."""
    is_over = threading.Event()

    def fail(tx: LedgerTransaction) -> None:
        tx.key_values.get("0")
        raise ZeroDivisionError

    def read() -> None:
        while not is_over.is_set():
            watched.read(lambda tx: tx.key_values.get("0"))
            with pytest.raises(ZeroDivisionError):
                watched.read(fail)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    write_megabytes(watched, 100)
    is_over.set()
    for reader in readers:
        reader.join()
    assert not told
    write_megabytes(watched, 5)
    assert wal_bytes(watched) <= WAL_BYTES_KEPT


def test_control_a_half_read_cursor_lets_it_grow_the_operator_is_told_and_it_shrinks_again(
    watched: Ledger, told: list[Notice]
) -> None:
    watched.write(put("0"))
    with open_reader(watched.path) as stranger:
        half_read = stranger.sqlite.execute(TWO_ROWS)
        next(half_read)
        write_megabytes(watched, 70)
        assert wal_bytes(watched) > WAL_PAGES_ALARM * FRAME_BYTES
        assert watched.condition().wal_pages > WAL_PAGES_ALARM
        assert told == [Notice.WAL_LARGE]

    write_megabytes(watched, 3)  # Copied, begun anew, cut.
    assert wal_bytes(watched) <= WAL_BYTES_KEPT
    assert told == [Notice.WAL_LARGE, Notice.WAL_BOUNDED]
    assert watched.condition().wal_pages < WAL_PAGES_MAX


def test_control_without_a_limit_a_file_that_has_grown_stays_so(watched: Ledger) -> None:
    watched._writer._sqlite.execute("PRAGMA journal_size_limit=-1")
    watched.write(put("0"))
    with open_reader(watched.path) as stranger:
        half_read = stranger.sqlite.execute(TWO_ROWS)
        next(half_read)
        write_megabytes(watched, 30)
    write_megabytes(watched, 3)
    assert wal_bytes(watched) > WAL_BYTES_KEPT


def test_the_writer_does_not_wait_for_a_reader_while_the_wal_is_small(watched: Ledger) -> None:
    watched.write(put("0"))
    waits: list[int] = []

    def count(number: int) -> bool:
        waits.append(number)
        return False

    watched._writer._sqlite.set_busy_handler(count)
    with open_reader(watched.path) as stranger:
        half_read = stranger.sqlite.execute(TWO_ROWS)
        next(half_read)
        write_megabytes(watched, 10)
        assert not waits


def test_the_writer_waits_briefly_and_rarely_for_a_reader_that_stays(watched: Ledger) -> None:
    """It would wait five seconds a commit, if checkpoints of ours used the busy time-out."""
    asked: list[tuple[int, int]] = []
    sqlite = watched._writer._sqlite
    timeouts: list[int] = []
    watched.write(put("0"))

    class Watching:
        """The writer's connection, with an eye on how long it is told to wait."""

        def __getattr__(self, name: str) -> object:
            return getattr(sqlite, name)

        def set_busy_timeout(self, milliseconds: int) -> None:
            timeouts.append(milliseconds)
            sqlite.set_busy_timeout(milliseconds)

        def wal_checkpoint(self, *, mode: int) -> tuple[int, int]:
            asked.append((mode, timeouts[-1] if timeouts else BUSY_TIMEOUT_MS))
            return sqlite.wal_checkpoint(mode=mode)

    watched._writer._sqlite = Watching()  # type: ignore[assignment]  # -- the same, watched
    with open_reader(watched.path) as stranger:
        half_read = stranger.sqlite.execute(TWO_ROWS)
        next(half_read)
        write_megabytes(watched, 40)
    watched._writer._sqlite = sqlite

    waiting = [timeout for mode, timeout in asked if mode != apsw.SQLITE_CHECKPOINT_PASSIVE]
    assert 3 <= len(waiting) <= 10 < len(asked)
    assert set(waiting) == {WAL_WAIT_MS}
    assert sqlite.execute("PRAGMA busy_timeout").fetchall() == [(BUSY_TIMEOUT_MS,)]
