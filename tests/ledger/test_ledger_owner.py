"""One owner per data directory: two processes or ledgers never write the same one. DESIGN 4.3."""

import fcntl
import gc
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from waiaas.database import create_database, open_ledger, push_schema
from waiaas.database.errors import (
    AlreadyOpen,
    Closed,
    DatabaseError,
    DirectoryLost,
    ForeignDatabase,
    NotADatabase,
    SchemaMismatch,
)
from waiaas.database.lock import DirectoryLock

OWNER = """
import sys
from waiaas.database import open_ledger
with open_ledger(sys.argv[1]) as ledger:
    ledger.write(lambda tx: tx.key_values.put("owner", "was here", now_s=1))
    print("open", flush=True)
    sys.stdin.readline()
"""

CHALLENGER = """
import sys
from waiaas.database import open_ledger
from waiaas.database.errors import AlreadyOpen
try:
    open_ledger(sys.argv[1])
except AlreadyOpen as error:
    print(error)
"""


@contextmanager
def owner(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that owns *directory* during the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def descriptors() -> set[str]:
    """Return what this process has open, by kind; sockets and pipes of the test runner included."""
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- numbers, not paths


def test_two_ledgers_in_one_process_cannot_own_one_directory(directory: Path) -> None:
    with open_ledger(directory) as first:
        first.write(lambda tx: tx.key_values.put("a", "a", now_s=1))
        with pytest.raises(AlreadyOpen) as refused:
            open_ledger(directory)
        assert str(directory) in str(refused.value)
        assert first.read(lambda tx: tx.key_values.get("a")) == "a"
    with open_ledger(directory) as second:
        assert second.read(lambda tx: tx.key_values.get("a")) == "a"


def test_two_processes_cannot_own_one_directory(directory: Path) -> None:
    with owner(directory) as process:
        with pytest.raises(AlreadyOpen):
            open_ledger(directory)
        process.communicate("\n", timeout=30)
        assert process.returncode == 0
        with open_ledger(directory) as ledger:
            assert ledger.read(lambda tx: tx.key_values.get("owner")) == "was here"


def test_control_sqlite_alone_lets_a_second_process_write(directory: Path) -> None:
    """What refuses it is our lock, and nothing else."""
    with owner(directory), create_database(directory / "ledger.db") as second:
        second.sqlite.execute("UPDATE key_value_store SET value = 'me, too' WHERE key = 'owner'")
        assert second.sqlite.changes() == 1


def test_another_process_cannot_own_this_one_s_directory(directory: Path) -> None:
    with open_ledger(directory):
        challenger = subprocess.run(
            [sys.executable, "-c", CHALLENGER, str(directory)],
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
    assert "is in use by another waiaas" in challenger.stdout


def test_a_killed_owner_leaves_no_lock_and_loses_nothing_acknowledged(directory: Path) -> None:
    with owner(directory) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with open_ledger(directory) as ledger:
            assert ledger.read(lambda tx: tx.key_values.get("owner")) == "was here"


def test_a_stopped_owner_keeps_the_directory(directory: Path) -> None:
    with owner(directory) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(AlreadyOpen):
            open_ledger(directory)
        process.send_signal(signal.SIGCONT)


def test_a_process_started_by_the_owner_does_not_inherit_the_lock(directory: Path) -> None:
    with open_ledger(directory):
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
        )
    with open_ledger(directory):
        child.communicate(b"\n")


def test_nothing_in_the_directory_can_be_removed_to_let_a_second_owner_in(directory: Path) -> None:
    with owner(directory):
        for path in directory.iterdir():
            path.unlink()
        with pytest.raises(AlreadyOpen):
            open_ledger(directory)
        assert not list(directory.iterdir())


def test_a_directory_is_the_same_by_every_name(directory: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    with open_ledger(directory):
        link.symlink_to(directory)
        with pytest.raises(AlreadyOpen):
            open_ledger(link)
        moved = directory.rename(tmp_path / "moved")
        with pytest.raises(AlreadyOpen):
            open_ledger(moved)
        moved.rename(directory)


def test_a_directory_replaced_while_it_is_locked_is_not_taken_for_the_one_that_was_locked(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir()
    flock = fcntl.flock

    def replace_then_lock(descriptor: int, operation: int) -> None:
        directory.rename(directory.with_name("old"))
        directory.mkdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", replace_then_lock)
    with pytest.raises(AlreadyOpen):
        DirectoryLock(directory)
    monkeypatch.undo()
    DirectoryLock(directory).release()


def _move(directory: Path) -> None:
    directory.rename(directory.with_name("moved"))


def _replace(directory: Path) -> None:
    _move(directory)
    with open_ledger(directory):
        pass


def _remove(directory: Path) -> None:
    shutil.rmtree(directory)


def _remove_the_file(directory: Path) -> None:
    (directory / "ledger.db").unlink()


@pytest.mark.parametrize("lose", [_move, _replace, _remove, _remove_the_file])
def test_nothing_is_acknowledged_once_the_path_leads_elsewhere(
    directory: Path, lose: Callable[[Path], None]
) -> None:
    told: list[DatabaseError] = []
    with open_ledger(directory) as ledger:
        ledger.add_failure_callback(told.append)
        ledger.write(lambda tx: tx.key_values.put("a", "kept", now_s=1))
        assert ledger.read(lambda tx: tx.key_values.get("a")) == "kept"
        lose(directory)
        for _ in range(2):
            with pytest.raises(DirectoryLost, match="was moved, removed or replaced"):
                ledger.write(lambda tx: tx.key_values.put("a", "lost", now_s=1))
        assert [type(failure) for failure in told] == [DirectoryLost]
        assert not ledger._writer._sqlite.in_transaction, "nothing waits to be committed"
        assert ledger.read(lambda tx: tx.key_values.get("a")) == "kept"
    assert not directory.exists() or lose is not _move


def test_what_was_written_before_the_directory_was_moved_is_there_when_it_is_put_back(
    directory: Path,
) -> None:
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.key_values.put("a", "kept", now_s=1))
        moved = directory.rename(directory.with_name("moved"))
        with pytest.raises(DirectoryLost):
            ledger.write(lambda tx: tx.key_values.put("a", "lost", now_s=1))
    with pytest.raises(Closed):
        ledger.write(lambda tx: tx.key_values.put("a", "late", now_s=1))
    moved.rename(directory)
    with open_ledger(directory) as ledger:
        assert ledger.read(lambda tx: tx.key_values.get("a")) == "kept"


def test_control_a_writer_that_does_not_look_acknowledges_what_nobody_will_find(
    directory: Path,
) -> None:
    with open_ledger(directory) as ledger:
        ledger._writer._place = None
        shutil.rmtree(directory)
        ledger.write(lambda tx: tx.key_values.put("a", "acknowledged", now_s=1))
    with open_ledger(directory) as ledger:
        assert ledger.read(lambda tx: tx.key_values.get("a")) is None


def test_a_lock_may_be_released_twice(directory: Path) -> None:
    directory.mkdir()
    lock = DirectoryLock(directory)
    lock.release()
    lock.release()
    DirectoryLock(directory).release()


def test_a_new_directory_belongs_to_its_user_alone(directory: Path) -> None:
    with open_ledger(directory):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes == {
        "ledger.db": 0o600,
        "ledger.db-wal": 0o600,
        "ledger.db-shm": 0o600,
        "ballast": 0o600,
    }


# ── opening fails ──────────────────────────────────────────────────────────────────────────────


def _text(path: Path) -> None:
    path.write_text("not a database, but long enough to be looked at as if it were one\n" * 20)


def _foreign(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA application_id=7; CREATE TABLE t (x)")
    connection.close()


def _changed(path: Path) -> None:
    with create_database(path) as connection:
        push_schema(connection)
        connection.sqlite.execute("DROP INDEX idx_agents_status")


def _directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (_text, NotADatabase),
        (_foreign, ForeignDatabase),
        (_directory, NotADatabase),
        (_changed, SchemaMismatch),
    ],
)
def test_a_failed_opening_gives_the_directory_up_and_leaves_nothing_behind(
    directory: Path, make: Callable[[Path], None], error: type[DatabaseError]
) -> None:
    directory.mkdir()
    path = directory / "ledger.db"
    make(path)
    gc.collect()
    threads, open_before = threading.active_count(), descriptors()

    for _ in range(3):
        with pytest.raises(error):
            open_ledger(directory)

    assert threading.active_count() == threads
    assert descriptors() == open_before
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    with open_ledger(directory):
        pass


def test_a_refused_second_opening_leaves_nothing_behind(directory: Path) -> None:
    with open_ledger(directory):
        threads, open_before = threading.active_count(), descriptors()
        for _ in range(3):
            with pytest.raises(AlreadyOpen):
                open_ledger(directory)
        assert threading.active_count() == threads
        assert descriptors() == open_before


def test_opening_and_closing_leaves_nothing_behind(directory: Path) -> None:
    threads, open_before = threading.active_count(), descriptors()
    for _ in range(10):
        with open_ledger(directory) as ledger:
            ledger.write(lambda tx: tx.key_values.put("a", "value", now_s=1))
            assert ledger.read(lambda tx: tx.key_values.get("a")) == "value"
    assert threading.active_count() == threads
    assert descriptors() == open_before


@pytest.mark.parametrize("where", ["file", "missing/data", "dangling"])
def test_a_directory_that_cannot_be_is_refused_with_its_name(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DatabaseError, match="cannot be used as the data directory") as refused:
        open_ledger(tmp_path / where)
    assert where in str(refused.value)


def test_an_unprivileged_user_is_told_of_a_directory_that_may_not_be_read(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else, and come back")
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    try:
        os.seteuid(65534)
        with pytest.raises(DatabaseError, match="Permission denied"):
            open_ledger(directory)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["a\0b", "l\ud800"])
def test_a_name_that_no_directory_can_have_is_refused_in_words(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatabaseError, match="cannot be used as the data directory"):
        open_ledger(tmp_path / name)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_ledger_with_a_second_name_is_refused(
    directory: Path, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    with open_ledger(directory):
        pass
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    link(directory / "ledger.db", other / "ledger.db")
    with pytest.raises(DatabaseError, match="a single name"):
        open_ledger(other)


def test_a_ledger_is_read_where_it_was_opened_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with open_ledger("data") as made:
            made.write(lambda tx, name=name: tx.key_values.put("where", name, now_s=1))  # type: ignore[misc]  # -- a default
    monkeypatch.chdir(tmp_path / "here")
    with open_ledger("data") as ledger:
        monkeypatch.chdir(tmp_path / "there")
        assert ledger.read(lambda tx: tx.key_values.get("where")) == "here"


@pytest.mark.parametrize("state", ["empty", "missing"])
def test_where_a_ledger_must_exist_no_new_one_takes_its_place(directory: Path, state: str) -> None:
    open_ledger(directory).close()
    open_ledger(directory, must_exist=True).close()
    file = directory / "ledger.db"
    file.unlink()
    if state == "empty":
        file.touch()
    with pytest.raises(NotADatabase, match=f"it is {state}, though"):
        open_ledger(directory, must_exist=True)
    assert file.exists() is (state == "empty")
    open_ledger(directory).close()  # Nobody's lock is left.
