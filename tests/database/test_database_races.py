"""Two processes that start at once, and a process killed at every step of its first start.

Run as a program this file is a process that has imported everything, has never opened a database,
and forks the processes that do: a fork must not inherit SQLite's connections or its locks.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from waiaas.database import close_database, create_database, push_schema
from waiaas.database.push import current_release
from waiaas.database.schema import APPLICATION_ID, SCHEMA_VERSION

ROUNDS: Final = 100
KILLED: Final = 9
STRIDE: Final = 4
"""`make test` kills at one step in so many."""
STEPS_MIN: Final = 100


def _forked(function: Callable[[], None]) -> int:
    """Run *function* in a child and return the child's process id; an exception is status 1."""
    child = os.fork()
    if child:
        return child
    try:
        function()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 -- told to whoever reads our output
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)


def _status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _start(path: Path) -> None:
    """Do what every start does, then check that all of the schema is there and sound."""
    connection = create_database(path)
    push_schema(connection)
    sqlite = connection.sqlite
    [(objects,)] = sqlite.execute("SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL")
    assert objects == len(current_release().definitions) + 1, "and sqlite_sequence"
    assert list(sqlite.execute("PRAGMA integrity_check")) == [("ok",)]
    assert sqlite.pragma("application_id") == APPLICATION_ID
    assert sqlite.pragma("user_version") == SCHEMA_VERSION
    assert sqlite.pragma("journal_mode") == "wal"
    close_database(connection)


# ── two at once ────────────────────────────────────────────────────────────────────────────────


def _race(folder: Path) -> list[int]:
    """Start two processes at the same moment, many times; return all statuses."""
    statuses = []
    for number in range(ROUNDS):
        path = folder / f"{number}.db"
        gate, opener = os.pipe()

        def enter(path: Path = path, gate: int = gate, opener: int = opener) -> None:
            os.close(opener)
            os.read(gate, 1)  # Returns in both children when the parent closes the pipe.
            _start(path)

        children = [_forked(enter), _forked(enter)]
        os.close(gate)
        os.close(opener)
        statuses += [_status(child) for child in children]
        statuses.append(_status(_forked(lambda path=path: _start(path))))  # type: ignore[misc]  # -- a default
    return statuses


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_processes_starting_at_once_both_succeed_a_hundred_times(tmp_path: Path) -> None:
    assert _child("race", tmp_path) == [0] * 3 * ROUNDS


# ── killed half way ────────────────────────────────────────────────────────────────────────────


class _Countdown:
    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        """Die, without a word to anybody, when the count is over."""
        self.left -= 1
        if self.left < 0:
            os._exit(KILLED)


class _DyingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], countdown: _Countdown) -> None:
        super().__init__("unix", name, flags)
        self._countdown = countdown

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- APSW's name
        self._countdown.step()
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 -- APSW's name
        self._countdown.step()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802 -- APSW's name
        self._countdown.step()
        super().xSync(flags)

    def xLock(self, level: int) -> None:  # noqa: N802 -- APSW's name
        self._countdown.step()
        super().xLock(level)

    def xUnlock(self, level: int) -> None:  # noqa: N802 -- APSW's name
        self._countdown.step()
        super().xUnlock(level)


class _Dying(apsw.VFS):
    """The system's files, until the count is over."""

    def __init__(self, steps: int) -> None:
        super().__init__("dying", "unix", makedefault=True)
        self._countdown = _Countdown(steps)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 -- APSW's name
        self._countdown.step()
        return _DyingFile(name, flags, self._countdown)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: FBT001, N802 -- APSW's
        self._countdown.step()
        super().xDelete(name, syncdir)


def _start_dying(path: Path, steps: int) -> None:
    vfs = _Dying(steps)
    connection = create_database(path)
    push_schema(connection)
    close_database(connection)
    vfs.unregister()


def _is_hot(path: Path) -> bool:
    """Tell whether a journal waits to be rolled back, which a reader cannot do."""
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except apsw.ReadOnlyError:
        return True
    return False


def _kill_at_steps(folder: Path, stride: int) -> dict[str, Any]:
    """Kill a first start at every *stride*-th step until one survives; start again after each."""
    told: dict[str, Any] = {"kills": 0, "refused": [], "hot": 0, "in wal": 0, "empty": 0}
    steps = 0
    while True:
        path = folder / f"{steps}.db"
        status = _status(_forked(lambda path=path, steps=steps: _start_dying(path, steps)))  # type: ignore[misc]  # -- defaults
        if status == 0:
            break
        assert status == KILLED, status
        told["kills"] += 1
        if path.exists():
            journal = Path(f"{path}-journal")
            wal = Path(f"{path}-wal")
            told["hot"] += journal.exists() and _status(_forked(_exit_if_hot(path))) == KILLED
            told["in wal"] += wal.exists() and wal.stat().st_size > 0
            told["empty"] += path.stat().st_size == 0
        for _ in range(2):
            if _status(_forked(lambda path=path: _start(path))) != 0:  # type: ignore[misc]  # -- a default
                told["refused"].append(steps)
        for file in folder.iterdir():
            file.unlink()
        steps += stride
    told["steps"] = steps
    return told


def _exit_if_hot(path: Path) -> Callable[[], None]:
    def check() -> None:
        if _is_hot(path):
            os._exit(KILLED)

    return check


@pytest.mark.slow
@pytest.mark.proof
def test_a_first_start_killed_at_any_step_is_made_good_by_the_next(
    tmp_path: Path, proof: Any
) -> None:
    told: dict[str, Any] = {}
    stride = 1 if proof.wanted(STRIDE) == STRIDE else STRIDE
    for turn in proof.until(STEPS_MIN // stride, unit="kills", budget_s=50):
        assert not turn, "there were enough steps"
        told = _child("kill", tmp_path, f"{stride}")
        proof.count(told["kills"])
    assert told["refused"] == []
    # Each kind of half-finished file has been among them.
    assert told["hot"] > 0
    assert told["in wal"] > 0
    assert told["empty"] > 0


def _child(*arguments: str | Path) -> Any:
    command = [sys.executable, __file__, *map(str, arguments)]
    finished = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return json.loads(finished.stdout)


if __name__ == "__main__":
    current_release()  # The text of the schema is made once; no database is opened for it.
    match sys.argv[1:]:
        case ["race", name]:
            print(json.dumps(_race(Path(name))))  # noqa: T201 -- read by the test
        case ["kill", name, stride]:
            print(json.dumps(_kill_at_steps(Path(name), int(stride))))  # noqa: T201 -- read by the test
        case other:
            sys.exit(f"unknown: {other}")
