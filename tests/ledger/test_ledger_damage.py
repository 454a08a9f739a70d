"""A damaged file: found before anything is written, read as far as it goes, never written to."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from waiaas.database import Ledger, create_database, open_ledger, push_schema
from waiaas.database.connection import open_reader
from waiaas.database.errors import LedgerDamaged, NotADatabase
from waiaas.database.notices import SILENT, Notice, Notices
from waiaas.ports import LedgerTransaction

PAGE_BYTES: Final = 4096
KEYS: Final = 400
"""With a value of 500 bytes each."""

KILLED: Final = """
import os, sys
from waiaas.database import open_ledger
ledger = open_ledger(sys.argv[1])
ledger.write(lambda tx: tx.key_values.put("last", "value", now_s=1))
os.kill(os.getpid(), 9)
"""


def put(key: str, value: str = "value") -> Callable[[LedgerTransaction], None]:
    return lambda tx: tx.key_values.put(key, value, now_s=1)


def get(ledger: Ledger, key: str) -> str | None:
    return ledger.read(lambda tx: tx.key_values.get(key))


def digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of the database's files; no connection of this process is open."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.glob("ledger.db*"))
        if not file.name.endswith("-shm") and file.stat().st_size
    }


def fill(ledger: Ledger) -> None:
    def unit(tx: LedgerTransaction) -> None:
        for n in range(KEYS):
            tx.key_values.put(f"key {n:04}", "x" * 500, now_s=1)

    ledger.write(unit)


def tear_a_page_of_values(directory: Path) -> None:
    """Zero a page in the second half of the file: rows, not the schema."""
    path = directory / "ledger.db"
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 4 // PAGE_BYTES * PAGE_BYTES
    content[middle : middle + PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)


@pytest.fixture
def damaged(directory: Path) -> Path:
    with open_ledger(directory) as ledger:
        fill(ledger)
    tear_a_page_of_values(directory)
    return directory


# ── found at the start ─────────────────────────────────────────────────────────────────────────


def test_a_damaged_file_opens_read_only_says_so_and_keeps_its_bytes(damaged: Path) -> None:
    before = digests(damaged)
    with open_ledger(damaged) as ledger:
        assert ledger.damage is not None
        with pytest.raises(LedgerDamaged, match="waiaas backup restore"):
            ledger.write(put("a"))
        with pytest.raises(LedgerDamaged) as refused:
            ledger.write(put("b"))
        assert refused.value.findings == ledger.damage.findings
        with pytest.raises(LedgerDamaged):
            asyncio.run(ledger.write_async(put("a")))
        assert str(ledger.damage) == ledger.condition().problem
        assert get(ledger, "key 0000") == "x" * 500
    assert digests(damaged) == before
    with open_ledger(damaged) as again:
        assert again.damage is not None
        assert not again.was_stopped_cleanly
        assert not again.close()


def test_control_without_the_check_it_is_opened_and_written_to(damaged: Path) -> None:
    before = digests(damaged)
    with create_database(damaged / "ledger.db") as connection:
        push_schema(connection)
        connection.sqlite.execute("INSERT INTO key_value_store VALUES ('zzz', 'value', 1)")
    assert digests(damaged) != before


def test_damage_beside_a_wal_that_a_killed_process_left_changes_neither(directory: Path) -> None:
    with open_ledger(directory) as ledger:
        fill(ledger)
    done = subprocess.run([sys.executable, "-c", KILLED, str(directory)], check=False)
    assert done.returncode == -signal.SIGKILL
    tear_a_page_of_values(directory)
    before = digests(directory)
    assert "ledger.db-wal" in before
    with open_ledger(directory) as ledger:
        assert ledger.damage is not None
        assert get(ledger, "last") == "value"
    assert digests(directory) == before


def test_a_file_whose_first_page_is_gone_is_refused_as_before(damaged: Path) -> None:
    path = damaged / "ledger.db"
    path.write_bytes(bytes(PAGE_BYTES) + path.read_bytes()[PAGE_BYTES:])
    before = digests(damaged)
    with pytest.raises(NotADatabase):
        open_ledger(damaged)
    assert digests(damaged) == before


# ── found later ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def silently_damaged(damaged: Path, told: list[Notice], monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Return a ledger opened on a damaged file without the check, as on a large one."""
    notices = Notices(SILENT.full, SILENT.resumed, lambda notice, _: told.append(notice))
    monkeypatch.setattr("waiaas.database.ledger.must_check_first", lambda **_: False)
    return open_ledger(damaged, notices=notices)


def read_everything(tx: LedgerTransaction) -> None:
    for n in range(KEYS):
        tx.key_values.get(f"key {n:04}")


def test_damage_that_a_query_meets_ends_all_writing(
    silently_damaged: Ledger, told: list[Notice], damaged: Path
) -> None:
    with silently_damaged as ledger:
        assert not ledger.was_checked
        ledger.write(put("before"))
        with pytest.raises(NotADatabase):
            ledger.read(read_everything)
        with pytest.raises(LedgerDamaged):
            ledger.write(put("after"))
        assert told == [Notice.DAMAGED]
        assert get(ledger, "before") == "value"
        assert not ledger.close()
    assert not (damaged / "clean-stop").exists()


def test_damage_that_a_unit_meets_undoes_its_group_even_if_it_is_swallowed(
    silently_damaged: Ledger, told: list[Notice], in_one_group: Callable[..., list[object]]
) -> None:
    def swallow(tx: LedgerTransaction) -> None:
        tx.key_values.put("mine", "value", now_s=1)
        with pytest.raises(NotADatabase):
            read_everything(tx)

    with silently_damaged as ledger:
        outcomes = in_one_group(ledger, put("a"), swallow, put("b"))
        assert {type(outcome) for outcome in outcomes} == {LedgerDamaged}
        assert [get(ledger, key) for key in ("a", "mine", "b")] == [None] * 3
        assert told == [Notice.DAMAGED]


def test_what_a_check_found_ends_all_writing_once(directory: Path, told: list[Notice]) -> None:
    notices = Notices(SILENT.full, SILENT.resumed, lambda notice, _: told.append(notice))
    with open_ledger(directory, notices=notices) as ledger:
        ledger.write(put("a"))
        ledger.stop_writing(["one", "two", "three", "four"])
        ledger.stop_writing(["five"])
        with pytest.raises(LedgerDamaged, match="one; two; three; and 1 more"):
            ledger.write(put("b"))
        assert get(ledger, "a") == "value"
        assert told == [Notice.DAMAGED]


# ── how the last one stopped ───────────────────────────────────────────────────────────────────


def test_a_clean_stop_is_known_and_only_until_the_next_opening(directory: Path) -> None:
    with open_ledger(directory) as ledger:
        assert not ledger.was_stopped_cleanly
        assert not (directory / "clean-stop").exists()
    assert (directory / "clean-stop").exists()
    with open_ledger(directory) as ledger:
        assert ledger.was_stopped_cleanly
        assert not (directory / "clean-stop").exists()
        ledger.write(put("a"))


def test_a_killed_process_leaves_no_mark(directory: Path) -> None:
    with open_ledger(directory) as ledger:
        fill(ledger)
    subprocess.run([sys.executable, "-c", KILLED, str(directory)], check=False)
    assert not (directory / "clean-stop").exists()
    with open_ledger(directory) as ledger:
        assert (ledger.was_stopped_cleanly, ledger.was_checked) == (False, True)
        assert get(ledger, "last") == "value"


def test_a_stop_that_could_not_empty_the_wal_is_not_a_clean_one(directory: Path) -> None:
    ledger = open_ledger(directory)
    ledger.write(put("a"))
    ledger._writer._sqlite.set_busy_timeout(0)
    with open_reader(ledger.path) as stranger:
        stranger.db.begin("DEFERRED")
        half_read = stranger.sqlite.execute("PRAGMA table_info(agents)")
        next(half_read)
        assert not ledger.close()
    assert not (directory / "clean-stop").exists()
