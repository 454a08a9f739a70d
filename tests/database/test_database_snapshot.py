"""The copy of a database in use: one step ends, many do not, and what comes out is whole."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from waiaas.database import (
    DatabaseConnection,
    DatabaseError,
    NotADatabase,
    create_database,
    generate_id,
    key_value_store,
    open_ledger,
)
from waiaas.database.connection import open_reader
from waiaas.database.snapshot import copy_database

STEPS_MAX = 300
"""A naive copy gets so many steps; the database has fewer pages than that."""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[DatabaseConnection]:
    """A ledger of some pages that somebody goes on writing to."""
    with open_ledger(tmp_path) as ledger:
        ledger.write(lambda tx: tx.key_values.put("much", "x" * 400_000, now_s=1))
    with create_database(tmp_path / "ledger.db") as connection:
        yield connection


def put(connection: DatabaseConnection, key: str) -> None:
    with connection.db.transaction():
        connection.db.execute(key_value_store.insert(), {"key": key, "value": "v", "updated_at": 1})


def keys(path: Path) -> set[str]:
    with open_reader(path) as connection:
        return {row.key for row in connection.db.execute(key_value_store.select())}


def test_what_is_committed_is_in_the_copy_and_what_is_not_is_not(
    source: DatabaseConnection, tmp_path: Path
) -> None:
    put(source, "committed")
    source.db.begin("IMMEDIATE")
    source.db.execute(key_value_store.insert(), {"key": "open", "value": "v", "updated_at": 1})
    copy_database(tmp_path / "ledger.db", tmp_path / "copy.db")
    source.db.rollback()
    assert keys(tmp_path / "copy.db") == {"much", "committed"}


def test_the_copy_is_private_alone_and_says_whose_it_is(
    source: DatabaseConnection, tmp_path: Path
) -> None:
    put(source, "a")
    umask = os.umask(0)
    try:
        copy_database(tmp_path / "ledger.db", tmp_path / "copy.db")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    with open_reader(tmp_path / "copy.db") as copy:
        [[found]] = copy.sqlite.execute("PRAGMA application_id")
        [[expected]] = source.sqlite.execute("PRAGMA application_id")
        assert found == expected


def test_one_step_ends_beside_a_writer_and_control_many_steps_never_do(
    source: DatabaseConnection, tmp_path: Path
) -> None:
    target = apsw.Connection(str(tmp_path / "naive.db"))
    with open_reader(tmp_path / "ledger.db") as origin:
        [[pages]] = origin.sqlite.execute("PRAGMA page_count")
        assert pages < STEPS_MAX
        with target.backup("main", origin.sqlite, "main") as naive:
            left = []
            for _ in range(STEPS_MAX):
                naive.step(10)
                left.append(naive.remaining)
                put(source, generate_id())
            assert not naive.done
            assert min(left) >= pages - 10, "every step began anew"
    target.close()

    copy_database(tmp_path / "ledger.db", tmp_path / "copy.db")
    assert len(keys(tmp_path / "copy.db")) == STEPS_MAX + 1


def test_it_ends_while_a_ledger_acknowledges_as_fast_as_it_can(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        acknowledged: list[str] = []
        enough, stop = threading.Event(), threading.Event()

        def write_on() -> None:
            while not stop.is_set():
                key = generate_id()
                ledger.write(lambda tx: tx.key_values.put(key, "v", now_s=1))  # noqa: B023 -- runs now
                acknowledged.append(key)
                if len(acknowledged) >= 20:
                    enough.set()

        writer = threading.Thread(target=write_on)
        writer.start()
        enough.wait(20)
        before = set(acknowledged)
        copy_database(Path(ledger.path), tmp_path / "copy.db")
        stop.set()
        writer.join()
        assert before <= keys(tmp_path / "copy.db") <= set(acknowledged) | {acknowledged[-1]}
    # The copy took nobody's locks away: everything acknowledged is still there.
    assert set(acknowledged) <= keys(tmp_path / "ledger.db")


def test_nothing_is_overwritten_and_nothing_is_left_after_a_failure(
    source: DatabaseConnection, tmp_path: Path
) -> None:
    put(source, "a")
    taken = tmp_path / "taken.db"
    taken.write_bytes(b"mine")
    with pytest.raises(DatabaseError, match="exists"):
        copy_database(tmp_path / "ledger.db", taken)
    assert taken.read_bytes() == b"mine"
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(DatabaseError):
        copy_database(tmp_path / "ledger.db", link)
    for bad in (tmp_path / "missing.db", tmp_path):
        with pytest.raises(DatabaseError):
            copy_database(bad, tmp_path / "copy.db")
        assert not (tmp_path / "copy.db").exists()


def test_a_damaged_source_is_noticed_when_it_is_copied(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir(mode=0o700)
    with open_ledger(tmp_path / "whole") as ledger:
        ledger.write(lambda tx: tx.key_values.put("much", "x" * 100_000, now_s=1))
    content = bytearray((tmp_path / "whole" / "ledger.db").read_bytes())
    content[4096 * 2 : 4096 * 3] = bytes(4096)
    bad = tmp_path / "bad.db"
    bad.write_bytes(content)
    with pytest.raises(NotADatabase):
        copy_database(bad, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))
