"""Before an upgrade touches a ledger, a whole copy of it stands beside it. How copies are made."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from waiaas.database import create_database, push_schema
from waiaas.database.errors import DatabaseError, LedgerFull, NotADatabase, UpgradeFailed
from waiaas.database.push import Release, current_release, push_release
from waiaas.database.snapshot import copy_database

Contents = Callable[[apsw.Connection], dict[str, list[tuple[Any, ...]]]]
Later = Callable[..., Release]
Put = Callable[..., dict[str, Any]]


@pytest.fixture
def release(later: Later) -> Release:
    """Return the release after today's."""
    return later(current_release(), ("agents", "status"))


@pytest.fixture
def failing(release: Release) -> Release:
    """Return one whose step does not do what it should."""
    useless = release.steps[-1]._replace(apply=lambda sqlite: sqlite.execute("SELECT 1"))
    return release._replace(steps=(*release.steps[:-1], useless))


def _copies(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob(f"{path.name}.*"))


def _read(path: Path, contents: Contents) -> dict[str, list[tuple[Any, ...]]]:
    with create_database(path) as connection:
        push_schema(connection)
        return contents(connection.sqlite)


# ── the copy before an upgrade ─────────────────────────────────────────────────────────────────


def test_the_copy_is_the_ledger_as_it_was_and_todays_program_opens_it(
    old: Path, release: Release, contents: Contents, put: Put
) -> None:
    with create_database(old) as connection:
        put(connection, "sessions")  # In the WAL alone.
        before = contents(connection.sqlite)
        push_release(connection, release)
        put(connection, "sessions")
    assert _copies(old) == ["ledger.db.before-v2"]
    copy = old.with_name("ledger.db.before-v2")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert _read(copy, contents) == before


def test_nothing_is_copied_when_there_is_nothing_to_upgrade(path: Path, release: Release) -> None:
    for _ in range(2):
        with create_database(path) as connection:
            push_schema(connection)
    with create_database(path.with_name("new.db")) as connection:
        push_release(connection, release)
        push_release(connection, release)
    assert sorted(file.name for file in path.parent.iterdir()) == ["ledger.db", "new.db"]


def test_a_database_in_memory_is_upgraded_without_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: Release
) -> None:
    monkeypatch.chdir(tmp_path)
    with create_database(":memory:") as connection:
        push_schema(connection)
        push_release(connection, release)
    assert list(tmp_path.iterdir()) == []


def test_an_upgrade_that_fails_at_every_start_does_not_fill_the_disk_with_copies(
    old: Path, failing: Release, release: Release
) -> None:
    for _ in range(3):
        with create_database(old) as connection, pytest.raises(UpgradeFailed):
            push_release(connection, failing)
    assert _copies(old) == ["ledger.db.before-v2"]
    with create_database(old) as connection:
        push_release(connection, release)
    assert _copies(old) == ["ledger.db.before-v2"]


def test_copies_of_ledgers_that_differ_are_all_kept(
    old: Path, failing: Release, contents: Contents, put: Put
) -> None:
    seen = []
    for _ in range(3):
        with create_database(old) as connection:
            put(connection, "agents")
            seen.append(contents(connection.sqlite))
            with pytest.raises(UpgradeFailed):
                push_release(connection, failing)
    names = ["ledger.db.before-v2", "ledger.db.before-v2.2", "ledger.db.before-v2.3"]
    assert _copies(old) == names
    assert [_read(old.with_name(name), contents) for name in names] == seen


def test_a_copy_that_was_cut_off_is_made_again(
    old: Path, release: Release, contents: Contents
) -> None:
    old.with_name("ledger.db.before-v2.unfinished").write_bytes(b"half a page")
    before = _read(Path(shutil.copyfile(old, old.with_name("same.db"))), contents)
    with create_database(old) as connection:
        push_release(connection, release)
    assert _copies(old) == ["ledger.db.before-v2"]
    assert _read(old.with_name("ledger.db.before-v2"), contents) == before


class _FullDisk(apsw.VFS):
    """The system's files, but no room in those whose name has *part* in it."""

    def __init__(self, part: str) -> None:
        super().__init__("full", "unix", makedefault=True)
        self._part = part

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 -- APSW's name
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        kind = _FullFile if text and self._part in text else apsw.VFSFile
        return kind("unix", name, flags)


class _FullFile(apsw.VFSFile):
    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- APSW's name
        raise apsw.FullError(f"no room for {len(data)} bytes at {offset}")


@pytest.fixture
def no_room_for_copies() -> Iterator[None]:
    """Let SQLite write everything but a copy before an upgrade."""
    vfs = _FullDisk("before-v")
    yield
    vfs.unregister()


@pytest.mark.usefixtures("no_room_for_copies")
def test_without_room_for_the_copy_nothing_is_upgraded_and_nothing_is_left_behind(
    old: Path, release: Release, contents: Contents
) -> None:
    with create_database(old) as connection:
        before = contents(connection.sqlite)
        with pytest.raises(LedgerFull, match="disk is full"):
            push_release(connection, release)
        assert contents(connection.sqlite) == before
        assert connection.sqlite.pragma("user_version") == 1
        assert connection.sqlite.pragma("foreign_keys") == 1
        push_schema(connection)
    assert _copies(old) == []


def test_a_copy_that_cannot_be_kept_stops_the_upgrade(old: Path, release: Release) -> None:
    old.with_name("ledger.db.before-v2.unfinished").mkdir()
    with create_database(old) as connection:
        with pytest.raises(DatabaseError, match="no copy could be kept"):
            push_release(connection, release)
        push_schema(connection)


# ── copies at large ────────────────────────────────────────────────────────────────────────────


def test_a_copy_has_what_is_committed_and_nothing_of_what_is_not(
    old: Path, contents: Contents, put: Put
) -> None:
    copy = old.with_name("copy.db")
    with create_database(old) as connection:
        put(connection, "agents")
        before = contents(connection.sqlite)
        with connection.db.transaction():
            put(connection, "agents")
            copy_database(old, copy)
    assert sorted(file.name for file in old.parent.iterdir()) == ["copy.db", "ledger.db"]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert _read(copy, contents) == before


def test_control_a_copy_of_the_file_alone_lacks_what_was_committed(
    old: Path, contents: Contents, put: Put
) -> None:
    copy = old.with_name("copy.db")
    with create_database(old) as connection:
        put(connection, "agents")
        before = contents(connection.sqlite)
        # In another process: reading the file here would end the locks of this connection.
        subprocess.run(["/bin/cp", old, copy], check=True)
    assert len(_read(copy, contents)["agents"]) == len(before["agents"]) - 1


def test_a_file_that_is_there_is_never_overwritten(old: Path) -> None:
    copy = old.with_name("copy.db")
    copy.write_bytes(b"mine")
    with pytest.raises(DatabaseError, match="exists"):
        copy_database(old, copy)
    assert copy.read_bytes() == b"mine"


@pytest.mark.parametrize("source", ["missing.db", "text.db"])
def test_what_is_no_database_is_not_copied(tmp_path: Path, source: str) -> None:
    (tmp_path / "text.db").write_bytes(b"no database\n" * 1000)
    with pytest.raises(DatabaseError):
        copy_database(tmp_path / source, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_damaged_ledger_is_not_copied_in_silence(old: Path) -> None:
    content = bytearray(old.read_bytes())
    content[9 * 4096 : 9 * 4096 + 8] = b"\xff" * 8  # The head of a page in the middle.
    old.write_bytes(content)
    with pytest.raises(NotADatabase, match="its copy is damaged"):
        copy_database(old, old.with_name("copy.db"))
    assert not old.with_name("copy.db").exists()
