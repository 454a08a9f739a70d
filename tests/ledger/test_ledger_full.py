"""A full disk: recorded on the ballast, refused cheaply, read all the while, and over by itself.

The disk is mounted, a small tmpfs in a namespace of a child process; and where nobody may mount,
and everywhere else too, it is modelled in this one. What is seen is compared with the same rows.
Run as a program, this file is the child; it prints what it saw as JSON.
"""

import asyncio
import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from sqlalchemy import select

from waiaas.database import Ledger, audit_log, open_ledger
from waiaas.database.ballast import BALLAST_BYTES, Ballast
from waiaas.database.connection import open_reader
from waiaas.database.errors import DatabaseError, LedgerFull
from waiaas.database.notices import SILENT, Notice, Notices
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.ports import LedgerTransaction

Write = Callable[[LedgerTransaction], None]

DISK_BYTES: Final = 16 * 1024 * 1024
BLOCK_BYTES: Final = 4096
DEATH: Final = 9
LARGE: Final = 5_000_000
"""Bytes in more pages than the WAL may have before it is copied into the main file."""


def put(key: str, value: str = "value") -> Write:
    return lambda tx: tx.key_values.put(key, value, now_s=1)


def has(ledger: Ledger, key: str) -> bool:
    return ledger.read(lambda tx: tx.key_values.get(key)) is not None


def append(action: AuditAction) -> Write:
    return lambda tx: tx.audit.append(AuditEvent(action, SYSTEM), now_s=1)


def recorded(ledger: Ledger) -> list[str]:
    with open_reader(ledger.path) as connection:
        return [row.event_type for row in connection.db.execute(select(audit_log))]


class Told:
    """Notices that record what the daemon would, and keep what is told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.asked = Notices(
            full=append(AuditAction.LEDGER_FULL),
            resumed=append(AuditAction.LEDGER_RESUMED),
            report=lambda notice, _: self.notices.append(notice),
        )


# ── the child, on its small disk ───────────────────────────────────────────────────────────────


def fill(small: Path, *, leave_bytes: int = 0) -> Path:
    """Take all the space there is, but for *leave_bytes*; return what took it."""
    filler = small / f"filler-{leave_bytes}"
    found = os.statvfs(small)
    free_bytes = found.f_bavail * found.f_frsize
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(free_bytes - leave_bytes, 1))
    return filler


def occupied_bytes(path: Path) -> int:
    """Return what the disk gives for a file; its size may be more than that."""
    return path.stat().st_blocks * 512


def attempt(act: Callable[[], object]) -> str:
    """Return the name of the error, or "done"."""
    try:
        act()
    except DatabaseError as error:
        return type(error).__name__
    return "done"


def run_out(small: Path, *, has_ballast: bool) -> dict[str, object]:
    """Write until nothing goes any more, look, and make space."""
    seen: dict[str, object] = {}
    told = Told()
    with open_ledger(small / "data", notices=told.asked) as ledger:
        ledger.write(put("first"))
        if not has_ballast:
            (small / "data" / "ballast").unlink()
        filler = fill(small)
        wal = Path(ledger.path + "-wal")
        before = wal.stat().st_size
        seen["first refusal"] = attempt(lambda: ledger.write(put("a")))
        seen["bytes of the record"] = wal.stat().st_size - before
        seen["recorded"] = recorded(ledger)
        seen["ballast is let go"] = not (small / "data" / "ballast").exists()
        ran: list[int] = []
        seen["more refusals"] = {
            attempt(lambda: ledger.write(lambda _: ran.append(1))) for _ in range(50)
        }.pop()
        seen["ran"] = len(ran)
        seen["reads"] = [has(ledger, "first"), has(ledger, "a")]
        seen["problem"] = ledger.condition().problem
        filler.unlink()
        seen["with space"] = attempt(lambda: ledger.write(put("after")))
        seen["then recorded"] = recorded(ledger)
        seen["ballast is back"] = (small / "data" / "ballast").exists()
        seen["problem then"] = ledger.condition().problem
    with open_ledger(small / "data") as ledger:
        seen["kept"] = [key for key in ("first", "a", "after") if has(ledger, key)]
    return seen | {"told": told.notices}


def write_from_reserve(small: Path, *, has_ballast: bool) -> dict[str, object]:
    """Write what must be written while there is space, when there is none, and when there is."""
    seen: dict[str, object] = {}
    told = Told()

    def must(key: str, *, size_bytes: int = 100, smaller_bytes: int = 100) -> str:
        def unit(name: str, size_bytes: int) -> Callable[[LedgerTransaction], str]:
            def function(tx: LedgerTransaction) -> str:
                tx.key_values.put(key if name == "unit" else name, "x" * size_bytes, now_s=1)
                return name

            return function

        whole, smaller = unit("unit", size_bytes), unit("smaller", smaller_bytes)
        try:
            return asyncio.run(ledger.write_from_reserve(whole, smaller=smaller))
        except DatabaseError as error:
            return type(error).__name__

    with open_ledger(small / "data", notices=told.asked) as ledger:
        seen["while there is space"] = must("0")
        if not has_ballast:
            (small / "data" / "ballast").unlink()
        filler = fill(small)
        seen["first"] = must("1")
        seen["others"] = attempt(lambda: ledger.write(put("a")))
        seen["more"] = must("2")
        seen["too large"] = must("3", size_bytes=2 * BALLAST_BYTES)
        seen["both too large"] = must(
            "4", size_bytes=2 * BALLAST_BYTES, smaller_bytes=2 * BALLAST_BYTES
        )
        seen["kept"] = [
            key for key in ("0", "1", "2", "3", "4", "a", "smaller") if has(ledger, key)
        ]
        filler.unlink()
        seen["with space"] = attempt(lambda: ledger.write(put("after")))
        seen["recorded"] = recorded(ledger)
    return seen


def fail_to_copy(small: Path) -> dict[str, object]:
    """Leave room for the WAL but not for its copy in the main file."""
    seen: dict[str, object] = {}
    with open_ledger(small / "data") as ledger:
        ledger.write(put("first"))
        main = Path(ledger.path)
        before = occupied_bytes(main)
        filler = fill(small, leave_bytes=LARGE + LARGE // 10)
        seen["large"] = attempt(lambda: ledger.write(put("large", "x" * LARGE)))
        seen["reads"] = [has(ledger, "first"), has(ledger, "large")]
        seen["copied"] = occupied_bytes(main) > before + LARGE
        filler.unlink()
        seen["with space"] = attempt(lambda: ledger.write(put("after")))
        ledger.write(put("last"))
        seen["then copied"] = occupied_bytes(main) > before + LARGE
    with open_ledger(small / "data") as ledger:
        seen["kept"] = [key for key in ("first", "large", "after") if has(ledger, key)]
    return seen


def start_again(small: Path, *, has_ballast: bool) -> dict[str, object]:
    """Die, lose the last space to somebody else, and open."""
    data = small / "data"
    died = subprocess.run([sys.executable, __file__, "die", str(small)], check=False)
    assert died.returncode == DEATH
    (data / "ledger.db-shm").unlink()  # As after a reboot of some systems, or a restore.
    if not has_ballast:
        (data / "ballast").unlink()
    filler = fill(small)
    try:
        ledger = open_ledger(data)
    except LedgerFull:
        return {"opened": False}
    with ledger:
        seen = {
            "opened": True,
            "reads": has(ledger, "first"),
            "write": attempt(lambda: ledger.write(put("a"))),
        }
        filler.unlink()
        return seen | {"with space": attempt(lambda: ledger.write(put("b")))}


def die(small: Path) -> None:
    ledger = open_ledger(small / "data")
    ledger.write(put("first"))
    os._exit(DEATH)


SCENARIOS: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    "run-out": lambda small: run_out(small, has_ballast=True),
    "run-out-bare": lambda small: run_out(small, has_ballast=False),
    "fail-to-copy": fail_to_copy,
    "reserve": lambda small: write_from_reserve(small, has_ballast=True),
    "reserve-bare": lambda small: write_from_reserve(small, has_ballast=False),
    "start-again": lambda small: start_again(small, has_ballast=True),
    "start-again-bare": lambda small: start_again(small, has_ballast=False),
}


def main(folder: Path) -> None:
    seen = {}
    for scenario, run in SCENARIOS.items():
        small = folder / scenario
        small.mkdir()
        size = f"size={DISK_BYTES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(small)], check=True)  # noqa: S607
        seen[scenario] = run(small)
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    if sys.argv[1] == "die":
        die(Path(sys.argv[2]))
    main(Path(sys.argv[1]))


# ── two small disks ────────────────────────────────────────────────────────────────────────────


class SmallDisk(apsw.VFS):
    """The system's disk, of which only `DISK_BYTES` are there for the files in one folder.

    SQLite finds that out when a file grows, we do from the operating system's two functions that
    the ballast asks. The index of the WAL is not counted: SQLite maps it past its VFS.
    """

    def __init__(self, folder: Path) -> None:
        self.system = apsw.vfs_names()[0]
        super().__init__("small", self.system, makedefault=True)
        self._folder = folder
        self._allocate = os.posix_fallocate

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return SmallDiskFile(self, name, flags)

    def free_bytes(self) -> int:
        used = 0
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):  # Removed by another thread since.
                used += occupied_bytes(path) if path.is_file() else 0
        return max(DISK_BYTES - used, 0)

    def statvfs(self, _: Path) -> os.statvfs_result:
        blocks = self.free_bytes() // BLOCK_BYTES
        return os.statvfs_result((BLOCK_BYTES, BLOCK_BYTES, 0, blocks, blocks, 0, 0, 0, 0, 255))

    def posix_fallocate(self, descriptor: int, offset: int, length: int) -> None:
        if offset + length - os.fstat(descriptor).st_blocks * 512 > self.free_bytes():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._allocate(descriptor, offset, length)


class SmallDiskFile(apsw.VFSFile):
    def __init__(
        self, disk: SmallDisk, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__(disk.system, name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if offset + len(data) - super().xFileSize() > self._disk.free_bytes():
            raise apsw.FullError("no space")
        super().xWrite(data, offset)


@pytest.fixture(scope="session")
def mounted(
    tmp_path_factory: pytest.TempPathFactory, unshare: list[str] | None
) -> dict[str, dict[str, Any]]:
    """Return what a child saw in each scenario; it has mounts of its own, as root or as anybody."""
    if unshare is None:
        pytest.skip(
            "nobody may mount a small disk here. NOT COVERED in this run: what a real file system "
            "says when it is full, and a start on a full disk, where the index of the WAL finds no "
            "space. Covered by the modelled disk: all else."
        )
    child = [*unshare, sys.executable, __file__, str(tmp_path_factory.mktemp("small"))]
    done = subprocess.run(child, check=False, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    seen: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return seen


See = Callable[[str], dict[str, Any]]


@pytest.fixture
def on_a_mounted_disk(mounted: dict[str, dict[str, Any]]) -> See:
    """Return a function that tells what was seen in one of the scenarios above."""
    return lambda scenario: dict(mounted[scenario])


@pytest.fixture
def on_a_modelled_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[See]:
    disk = SmallDisk(tmp_path)
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    monkeypatch.setattr(os, "posix_fallocate", disk.posix_fallocate)
    yield lambda scenario: SCENARIOS[scenario](tmp_path)
    disk.unregister()


@pytest.fixture(params=["mounted", "modelled"])
def on_a_small_disk(request: pytest.FixtureRequest) -> See:
    see: See = request.getfixturevalue(f"on_a_{request.param}_disk")
    return see


def test_a_full_disk_is_recorded_refused_read_and_over_when_there_is_space(
    on_a_small_disk: See,
) -> None:
    seen = on_a_small_disk("run-out")
    record_bytes = seen.pop("bytes of the record")
    print(f"the record took {record_bytes} bytes of WAL")  # noqa: T201 -- a figure
    assert 0 < record_bytes < BALLAST_BYTES // 10
    assert "the disk is full" in seen.pop("problem")
    assert seen == {
        "first refusal": "LedgerFull",
        "recorded": ["LEDGER_FULL"],
        "ballast is let go": True,
        "more refusals": "LedgerFull",
        "ran": 0,
        "reads": [True, False],
        "with space": "done",
        "then recorded": ["LEDGER_FULL", "LEDGER_RESUMED"],
        "ballast is back": True,
        "problem then": None,
        "kept": ["first", "after"],
        "told": ["FULL", "RESUMED"],
    }


def test_control_without_a_ballast_a_full_disk_cannot_be_recorded(on_a_small_disk: See) -> None:
    seen = on_a_small_disk("run-out-bare")
    assert (seen["first refusal"], seen["recorded"]) == ("LedgerFull", [])
    assert seen["reads"] == [True, False]
    assert seen["told"] == ["FULL_UNRECORDED", "RESUMED"]
    assert seen["kept"] == ["first", "after"]


def test_no_space_to_copy_the_wal_loses_nothing_and_is_made_up_for(on_a_small_disk: See) -> None:
    assert on_a_small_disk("fail-to-copy") == {
        "large": "done",
        "reads": [True, True],
        "copied": False,
        "with space": "done",
        "then copied": True,
        "kept": ["first", "large", "after"],
    }


def test_a_ledger_that_was_killed_opens_on_a_full_disk_in_the_room_of_its_ballast(
    on_a_small_disk: See,
) -> None:
    assert on_a_small_disk("start-again") == {
        "opened": True,
        "reads": True,
        "write": "LedgerFull",
        "with space": "done",
    }


def test_control_without_a_ballast_it_cannot_even_be_read(on_a_mounted_disk: See) -> None:
    assert on_a_mounted_disk("start-again-bare") == {"opened": False}


def test_what_must_be_written_is_written_on_a_full_disk_in_the_room_of_the_ballast(
    on_a_small_disk: See,
) -> None:
    assert on_a_small_disk("reserve") == {
        "while there is space": "unit",
        "first": "unit",
        "others": "LedgerFull",
        "more": "unit",
        "too large": "smaller",
        "both too large": "LedgerFull",
        "kept": ["0", "1", "2", "smaller"],
        "with space": "done",
        "recorded": ["LEDGER_FULL", "LEDGER_RESUMED"],
    }


def test_control_without_a_ballast_not_even_what_must_be_written_is(on_a_small_disk: See) -> None:
    seen = on_a_small_disk("reserve-bare")
    assert (seen["while there is space"], seen["first"], seen["more"]) == (
        "unit",
        "LedgerFull",
        "LedgerFull",
    )
    assert seen["kept"] == ["0"]


# ── on a disk that only says it is full ────────────────────────────────────────────────────────


class FullDisk(apsw.VFS):
    """The system's disk, which has no space for the WAL while `is_full`."""

    def __init__(self) -> None:
        super().__init__("full", "")
        self.is_full = False
        self.room_writes = 0
        """Writes that still succeed on the full disk."""

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return FullDiskFile(self, name, flags)


class FullDiskFile(apsw.VFSFile):
    def __init__(
        self, disk: FullDisk, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk
        self._is_wal = path.endswith("-wal")
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._is_wal and self._disk.is_full:
            if not self._disk.room_writes:
                raise apsw.FullError("no space")
            self._disk.room_writes -= 1
        super().xWrite(data, offset)


@pytest.fixture
def disk() -> Iterator[FullDisk]:
    made = FullDisk()
    yield made
    made.unregister()


def test_a_full_disk_at_any_write_of_a_unit_leaves_nothing_of_it(
    directory: Path, disk: FullDisk
) -> None:
    told = Told()

    def unit(tx: LedgerTransaction) -> None:
        for n in range(5):
            tx.key_values.put(f"{n}", "x" * 3000, now_s=1)

    room = 0
    outcomes = set()
    with open_ledger(directory, vfs="full", notices=told.asked) as ledger:
        while "done" not in outcomes:
            disk.is_full, disk.room_writes = True, room
            outcomes.add(attempt(lambda: ledger.write(unit)))
            found = [has(ledger, f"{n}") for n in range(5)]
            assert set(found) == {"done" in outcomes}
            disk.is_full = False
            ledger.write(put("after"))
            room += 1
    assert outcomes == {"LedgerFull", "done"}
    assert room > 5
    assert told.notices.count(Notice.RESUMED) == room - 1


def test_a_resumption_that_cannot_be_recorded_is_none(directory: Path, disk: FullDisk) -> None:
    told = Told()
    with open_ledger(directory, vfs="full", notices=told.asked) as ledger:
        disk.is_full = True  # The real disk behind it has space, so the ballast can be had.
        for _ in range(3):
            assert attempt(lambda: ledger.write(put("a"))) == "LedgerFull"
        assert told.notices == [Notice.FULL_UNRECORDED]
        assert not (directory / "ballast").exists()
        disk.is_full = False
        ledger.write(put("a"))
        assert recorded(ledger) == ["LEDGER_RESUMED"]
        assert (directory / "ballast").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_report_that_raises_never_makes_a_refusal_look_like_a_success(
    directory: Path, disk: FullDisk
) -> None:
    def stumble(notice: Notice, _: str) -> None:
        if notice is Notice.RESUMED:
            raise ZeroDivisionError

    notices = Notices(SILENT.full, SILENT.resumed, stumble)
    with open_ledger(directory, vfs="full", notices=notices) as ledger:
        disk.is_full = True
        assert attempt(lambda: ledger.write(put("a"))) == "LedgerFull"
        disk.is_full = False
        assert attempt(lambda: ledger.write(put("a"))) == "LedgerFull"
        assert not has(ledger, "a")


# ── the ballast ────────────────────────────────────────────────────────────────────────────────


def test_the_ballast_occupies_what_it_says_and_is_its_owners_alone(directory: Path) -> None:
    with open_ledger(directory):
        found = (directory / "ballast").stat()
    assert found.st_size == BALLAST_BYTES <= found.st_blocks * 512
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_a_ballast_that_is_sparse_or_cut_is_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "ballast"
    for size in (BALLAST_BYTES, 10):
        path.unlink(missing_ok=True)
        path.touch()
        os.truncate(path, size)
        Ballast(tmp_path).take()
        assert path.stat().st_blocks * 512 >= path.stat().st_size == BALLAST_BYTES


def test_where_no_ballast_can_be_made_the_ledger_works_without(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "ballast").mkdir()
    with open_ledger(directory) as ledger:
        ledger.write(put("a"))
        assert has(ledger, "a")
