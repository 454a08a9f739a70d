"""What the disk does: commits are synced before anybody is answered, and every failure is told.

The disk is an APSW VFS over the system's, whose writes and syncs can be counted, held up and made
to fail. DESIGN 4.3: durable by default; an exception at COMMIT means unknown, but for a full disk.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from waiaas.database import Ledger, create_database, open_ledger, push_schema
from waiaas.database.errors import Closed, CommitUnknown, DatabaseError, LedgerFull, RolledBack
from waiaas.database.ledger import _WaitingUnit
from waiaas.ports import LedgerTransaction

InOneGroup = Callable[..., list[Any]]

VFS_NAME = "faulty"

PATIENCE_S = 20
"""Real seconds after which a test that waits has failed."""


class Disk(apsw.VFS):
    """Counts what is done to each file, and fails or waits as told; files go by their endings."""

    def __init__(self) -> None:
        super().__init__(VFS_NAME, "")
        self.writes: Counter[str] = Counter()
        self.syncs: Counter[str] = Counter()
        self.write_errors: dict[str, Exception] = {}
        self.sync_errors: dict[str, Exception] = {}
        self.syncing = threading.Event()
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.copying = threading.Event()
        self.may_copy = threading.Event()
        self.may_copy.set()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return DiskFile(self, name, flags)

    def calls(self) -> int:
        return self.writes.total() + self.syncs.total()


class DiskFile(apsw.VFSFile):
    """One file on the disk."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk
        self._kind = "wal" if path.endswith("-wal") else "main"
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.writes[self._kind] += 1
        if self._kind == "main":
            self._disk.copying.set()
            self._disk.may_copy.wait()
        if self._kind in self._disk.write_errors:
            raise self._disk.write_errors[self._kind]
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.syncs[self._kind] += 1
        if self._kind == "wal":
            self._disk.syncing.set()
            self._disk.may_sync.wait()
        if self._kind in self._disk.sync_errors:
            raise self._disk.sync_errors[self._kind]
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.unregister()


@pytest.fixture
def ledger(directory: Path, disk: Disk) -> Iterator[Ledger]:
    with open_ledger(directory, vfs=VFS_NAME) as opened:
        disk.syncs.clear()
        disk.writes.clear()
        disk.syncing.clear()
        disk.copying.clear()
        yield opened
        disk.write_errors.clear()
        disk.sync_errors.clear()


def put(key: str, value: str = "value") -> Callable[[LedgerTransaction], str]:
    def unit(tx: LedgerTransaction) -> str:
        tx.key_values.put(key, value, now_s=1)
        return key

    return unit


def has(ledger: Ledger, key: str) -> bool:
    return ledger.read(lambda tx: tx.key_values.get(key)) is not None


def found_by_a_fresh_process(directory: Path, *keys: str) -> list[str]:
    """Return which of *keys* another process finds, after the daemon that wrote them is gone."""
    program = (
        "import sys; from waiaas.database import open_ledger\n"
        "with open_ledger(sys.argv[1]) as ledger:\n"
        "    for key in sys.argv[2:]:\n"
        "        if ledger.read(lambda tx: tx.key_values.get(key)): print(key)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory), *keys],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return done.stdout.split()


# ── durable ────────────────────────────────────────────────────────────────────────────────────


def test_a_commit_is_synced(ledger: Ledger, disk: Disk) -> None:
    ledger.write(put("a"))
    assert disk.syncs["wal"] == 1
    ledger.write(put("b"))
    assert disk.syncs["wal"] == 2


def test_control_a_commit_with_the_seven_pragmas_alone_is_not_synced(
    tmp_path: Path, disk: Disk
) -> None:
    with create_database(tmp_path / "normal.db", vfs=VFS_NAME) as connection:
        push_schema(connection)
        connection.sqlite.execute("INSERT INTO key_value_store VALUES ('a', 'a', 1)")
        disk.syncs.clear()
        connection.sqlite.execute("INSERT INTO key_value_store VALUES ('b', 'b', 1)")
        assert disk.syncs.total() == 0


@pytest.mark.parametrize("maker", ["the ledger", "init"])
def test_the_directory_s_own_name_is_synced_before_anything_is_in_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch, maker: str
) -> None:
    synced: list[tuple[bool, list[Path]]] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        is_parent = os.path.samestat(os.fstat(descriptor), directory.parent.stat())
        synced.append((is_parent, list(directory.iterdir())))

    monkeypatch.setattr(os, "fsync", note)
    if maker == "init":
        directory.mkdir(mode=0o700)
    with open_ledger(directory):
        assert synced == [(True, [])]
    with create_database(directory / "alone.db"):
        assert [is_parent for is_parent, _ in synced].count(
            True
        ) == 1  # Control: SQLite alone does not.


def test_units_that_wait_together_share_one_sync(
    ledger: Ledger, disk: Disk, in_one_group: InOneGroup
) -> None:
    in_one_group(ledger, *[put(f"{n}") for n in range(16)])
    assert disk.syncs["wal"] == 1


def test_sixteen_callers_cause_fewer_commits_than_units(ledger: Ledger, disk: Disk) -> None:
    start = threading.Barrier(16)

    def call(caller: int) -> None:
        start.wait()
        for n in range(20):
            ledger.write(put(f"{caller}-{n}"))

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 20 <= disk.syncs["wal"] < 320
    assert all(has(ledger, f"{caller}-{n}") for caller in range(16) for n in range(20))


def test_a_waiting_caller_is_answered_only_after_the_sync(ledger: Ledger, disk: Disk) -> None:
    answered = threading.Event()

    def call() -> None:
        ledger.write(put("a"))
        answered.set()

    disk.may_sync.clear()
    caller = threading.Thread(target=call)
    caller.start()
    assert disk.syncing.wait(PATIENCE_S), "a durable commit syncs"

    assert not answered.is_set()
    assert not has(ledger, "a")
    disk.may_sync.set()
    caller.join()
    assert answered.is_set()
    assert has(ledger, "a")


def test_an_awaiting_caller_is_answered_only_after_the_sync(ledger: Ledger, disk: Disk) -> None:
    async def call() -> None:
        disk.may_sync.clear()
        async with asyncio.TaskGroup() as tasks:
            caller = tasks.create_task(ledger.write_async(put("a")))
            assert await asyncio.to_thread(disk.syncing.wait, PATIENCE_S)
            assert not caller.done()
            disk.may_sync.set()
        assert caller.result() == "a"

    asyncio.run(call())


def test_a_unit_that_slips_in_behind_the_request_to_stop_is_refused_not_lost(
    ledger: Ledger, disk: Disk
) -> None:
    first, late = _WaitingUnit(put("a")), _WaitingUnit(put("b"))
    disk.may_sync.clear()
    ledger._writer.submit(first)
    assert disk.syncing.wait(PATIENCE_S), "a durable commit syncs"
    ledger._writer._queue.put(None)
    ledger._writer.submit(late)
    disk.may_sync.set()
    late.done.acquire()

    assert first.outcome() == "a"
    with pytest.raises(Closed):
        late.outcome()
    with pytest.raises(Closed):
        ledger.write(put("c"))


# ── no space ───────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_at_commit_is_told_to_every_member_and_nothing_is_there(
    ledger: Ledger, disk: Disk, directory: Path, in_one_group: InOneGroup
) -> None:
    ledger.write(put("before"))
    disk.write_errors["wal"] = apsw.FullError("no space")
    outcomes = in_one_group(ledger, put("a"), put("b"), put("c"))

    assert [type(outcome) for outcome in outcomes] == [LedgerFull] * 3
    assert len(set(map(id, outcomes))) == 3
    assert has(ledger, "before")
    assert not has(ledger, "a")
    with pytest.raises(LedgerFull):
        ledger.write(put("d"))

    disk.write_errors.clear()
    assert ledger.write(put("after")) == "after"
    assert ledger.close()
    kept = found_by_a_fresh_process(directory, "before", "a", "b", "c", "d", "after")
    assert kept == ["before", "after"]


def test_a_ledger_closed_with_a_full_disk_keeps_everything(
    ledger: Ledger, disk: Disk, directory: Path
) -> None:
    ledger.write(put("a"))
    disk.write_errors["main"] = apsw.FullError("no space")
    assert not ledger.close()
    assert found_by_a_fresh_process(directory, "a") == ["a"]


def test_a_full_disk_in_the_middle_of_a_unit_undoes_the_group_even_if_the_unit_swallows_it(
    ledger: Ledger, disk: Disk, directory: Path, in_one_group: InOneGroup
) -> None:
    # So few pages in memory that a large unit is written to the WAL before it commits.
    ledger._writer._sqlite.execute("PRAGMA cache_size=10")
    met: list[type[Exception]] = []

    def swallow(tx: LedgerTransaction) -> str:
        for n in range(40):
            try:
                tx.key_values.put(f"large {n}", "x" * 20_000, now_s=1)
            except DatabaseError as error:
                met.append(type(error))
                disk.write_errors.clear()  # Space is back: the rest could commit by itself.
        return "done"

    disk.write_errors["wal"] = apsw.FullError("no space")
    outcomes = in_one_group(ledger, put("before"), swallow, put("after"))

    assert met[0] is LedgerFull
    assert set(met[1:]) == {RolledBack}
    assert [type(outcome) for outcome in outcomes[:2]] == [RolledBack, RolledBack]
    assert outcomes[2] == "after"
    ledger.close()
    assert found_by_a_fresh_process(directory, "before", "after") == ["after"]
    with open_ledger(directory) as reopened:
        assert not [n for n in range(40) if has(reopened, f"large {n}")]


def test_a_full_disk_in_the_middle_of_a_unit_is_told_to_the_whole_group(
    ledger: Ledger, disk: Disk, in_one_group: InOneGroup
) -> None:
    ledger._writer._sqlite.execute("PRAGMA cache_size=10")
    disk.write_errors["wal"] = apsw.FullError("no space")
    outcomes = in_one_group(ledger, put("before"), put("large", "x" * 1_000_000))
    assert [type(outcome) for outcome in outcomes] == [LedgerFull, LedgerFull]
    assert not has(ledger, "before")


# ── an unknown outcome ─────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["sync", "write"])
def broken(request: pytest.FixtureRequest, ledger: Ledger, disk: Disk) -> Ledger:
    """Return a ledger whose next COMMIT fails, in one of two ways."""
    ledger.write(put("before"))
    errors = disk.sync_errors if request.param == "sync" else disk.write_errors
    errors["wal"] = apsw.IOError("the cable came off")
    return ledger


def test_any_other_failure_of_commit_is_unknown_for_every_member(
    broken: Ledger, directory: Path, in_one_group: InOneGroup
) -> None:
    outcomes = in_one_group(broken, put("a"), put("b"))

    assert [type(outcome) for outcome in outcomes] == [CommitUnknown, CommitUnknown]
    assert outcomes[0] is not outcomes[1]
    assert "the cable came off" in outcomes[0].reason
    broken.close()
    found = found_by_a_fresh_process(directory, "before", "a", "b", "c")
    assert found in (["before"], ["before", "a", "b"])  # All of the group or nothing of it.


def test_a_unit_that_was_refused_in_an_unknown_group_is_told_unknown_too(
    broken: Ledger, in_one_group: InOneGroup
) -> None:
    def refuse(_tx: LedgerTransaction) -> None:
        raise ZeroDivisionError

    outcomes = in_one_group(broken, put("a"), refuse)
    assert [type(outcome) for outcome in outcomes] == [CommitUnknown, CommitUnknown]


def test_after_an_unknown_commit_nothing_is_written_any_more_and_reading_goes_on(
    broken: Ledger, disk: Disk
) -> None:
    with pytest.raises(CommitUnknown):
        broken.write(put("a"))
    disk.sync_errors.clear()
    disk.write_errors.clear()
    calls = disk.calls()

    ran: list[str] = []
    for _ in range(3):
        with pytest.raises(CommitUnknown):
            broken.write(lambda _tx: ran.append("ran"))
    with pytest.raises(CommitUnknown):
        asyncio.run(broken.write_async(put("c")))
    assert has(broken, "before")
    assert not broken.close()

    assert not ran
    assert disk.calls() == calls


def test_callbacks_are_told_of_an_unknown_commit_once_and_before_the_callers(
    broken: Ledger,
) -> None:
    told: list[DatabaseError] = []
    asked, may_answer = threading.Event(), threading.Event()

    def wait(failure: DatabaseError) -> None:
        told.append(failure)
        asked.set()
        may_answer.wait()

    def call() -> None:
        with pytest.raises(CommitUnknown):
            broken.write(put("a"))

    broken.add_failure_callback(told.append)
    broken.add_failure_callback(wait)
    caller = threading.Thread(target=call)
    caller.start()
    asked.wait()
    assert caller.is_alive()
    may_answer.set()
    caller.join()
    with pytest.raises(CommitUnknown):
        broken.write(put("b"))

    assert len(told) == 2
    assert all(isinstance(failure, CommitUnknown) for failure in told)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_raises_keeps_neither_the_callers_nor_the_other_callbacks_waiting(
    broken: Ledger,
) -> None:
    told: list[DatabaseError] = []

    def raise_an_error(_failure: DatabaseError) -> None:
        raise ZeroDivisionError

    broken.add_failure_callback(told.append)
    broken.add_failure_callback(raise_an_error)
    broken.add_failure_callback(told.append)
    with pytest.raises(CommitUnknown):
        broken.write(put("a"))
    with pytest.raises(CommitUnknown):
        broken.write(put("b"))
    assert len(told) == 2
    assert has(broken, "before")
    assert not broken.close()


# ── copying the WAL into the main file ─────────────────────────────────────────────────────────

LARGE = "x" * 5_000_000
"""More pages than the WAL may have before it is copied into the main file."""


def test_callers_do_not_wait_for_the_wal_to_be_copied(ledger: Ledger, disk: Disk) -> None:
    disk.may_copy.clear()
    ledger.write(put("large", LARGE))
    disk.copying.wait()
    assert has(ledger, "large")
    disk.may_copy.set()
    ledger.write(put("next"))  # By now the writer is past the copying.
    assert disk.writes["main"] > 1000


def test_a_failure_to_copy_the_wal_is_not_a_failure_to_commit(
    ledger: Ledger, disk: Disk, directory: Path
) -> None:
    disk.write_errors["main"] = apsw.IOError("a bad sector in the main file")
    assert ledger.write(put("large", LARGE)) == "large"
    assert ledger.write(put("next")) == "next"
    assert has(ledger, "next")

    disk.write_errors.clear()
    disk.writes.clear()
    ledger.write(put("later"))
    ledger.write(put("last"))
    assert disk.writes["main"] > 1000
    ledger.close()
    assert found_by_a_fresh_process(directory, "large", "next", "last") == ["large", "next", "last"]


def test_a_full_disk_while_the_wal_is_copied_is_not_a_full_disk_at_commit(
    ledger: Ledger, disk: Disk, directory: Path
) -> None:
    disk.write_errors["main"] = apsw.FullError("no space in the main file")
    assert ledger.write(put("large", LARGE)) == "large"
    ledger.close()
    assert found_by_a_fresh_process(directory, "large") == ["large"]


def test_control_sqlite_s_own_copying_reports_a_commit_that_took_place_as_failed(
    tmp_path: Path, disk: Disk
) -> None:
    with create_database(tmp_path / "own.db", vfs=VFS_NAME) as connection:
        push_schema(connection)
        disk.write_errors["main"] = apsw.FullError("no space in the main file")
        with pytest.raises(apsw.FullError):
            connection.sqlite.execute("INSERT INTO key_value_store VALUES ('a', ?, 1)", (LARGE,))
        (count,) = connection.sqlite.execute("SELECT count(*) FROM key_value_store").fetchall()
        assert count == (1,)
        disk.write_errors.clear()
