"""An upgrade that is killed at any moment, and two processes that upgrade at once.

Run as a program this file is a process that has imported everything, has never opened a database,
and forks the processes that do: a fork must not inherit SQLite's connections or its locks. It reads
what it needs of the later release from a file, and then is a program of that release.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from waiaas.database import close_database, create_database, identity
from waiaas.database.definitions import fingerprint, stored_schema
from waiaas.database.migrations.rebuild import rebuild_table
from waiaas.database.migrations.step import Step
from waiaas.database.push import Release, current_release, push_release

Later = Callable[..., Release]

ROUNDS: Final = 10
KILLED: Final = 9
OLD: Final = 10
NEW: Final = 11
"""Exit statuses of a look at what a killed upgrade left."""


@pytest.fixture
def folder(tmp_path: Path, old: Path, later: Later) -> Path:
    """Return a folder with an old database and the description of a later release."""
    release = later(current_release(), ("agents", "status"), ("audit_log", "severity"))
    today = set(current_release().definitions)
    description = {
        "version": release.version,
        "before": release.steps[-1].before,
        "definitions": release.definitions,
        "rebuilt": [sql for sql in release.definitions if sql not in today],
    }
    (tmp_path / "release.json").write_text(json.dumps(description), encoding="utf-8")
    old.rename(tmp_path / "old.db")
    return tmp_path


def _child(what: str, folder: Path, *more: str, speaks: bool = False) -> Any:
    command = [sys.executable, __file__, what, str(folder), *more]
    finished = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
    assert finished.returncode == 0, finished.stderr
    assert bool(finished.stderr) is speaks, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.slow
@pytest.mark.proof
def test_an_upgrade_killed_before_any_of_its_statements_has_happened_or_has_not(
    folder: Path, proof: Any
) -> None:
    """The next start finishes it, with every row as it was."""
    every = 10 // proof.wanted(10)
    for turn in proof.until(proof.wanted(50), unit="moments", budget_s=20):
        told = _child("statements", folder, str(every), str((proof.seed + turn) % every))
        proof.count(told["moments"])
        proof.lose(len(told["bad"]))
        assert told["bad"] == []
        # After COMMIT only foreign keys are turned on again, and that is read back.
        assert told["left"].get(str(NEW), 0) <= 2
        assert told["left"][str(OLD)] > told["moments"] / 2


@pytest.mark.slow
@pytest.mark.proof
def test_an_upgrade_killed_at_any_write_to_the_disk_has_happened_or_has_not(
    folder: Path, proof: Any
) -> None:
    every = 10 // proof.wanted(10)
    left: Counter[int] = Counter()
    for turn in proof.until(proof.wanted(100), unit="moments", budget_s=20):
        told = _child("writes", folder, str(every), str((proof.seed + turn) % every))
        proof.count(told["moments"])
        proof.lose(len(told["bad"]))
        assert told["bad"] == []
        left.update({int(status): count for status, count in told["left"].items()})
    assert left.keys() == {OLD, NEW}, "both have been met"
    naive = _child("naive", folder, str(every), "0", speaks=True)
    assert naive["bad"], "without a transaction something between is left"
    proof.control(f"no transaction: {len(naive['bad'])} of {naive['moments']} between old and new")


@pytest.mark.slow
def test_two_processes_that_upgrade_at_once_both_succeed_and_one_copy_is_kept(
    folder: Path,
) -> None:
    told = _child("race", folder)
    assert told["statuses"] == [0] * 2 * ROUNDS
    assert told["left"] == [NEW] * ROUNDS
    assert told["copies"] == [["ledger.db.before-v2"]] * ROUNDS


# ── the program ────────────────────────────────────────────────────────────────────────────────


def _release(folder: Path) -> Release:
    described = json.loads((folder / "release.json").read_text(encoding="utf-8"))

    def apply(sqlite: apsw.Connection) -> None:
        for definition in described["rebuilt"]:
            rebuild_table(sqlite, definition)

    step = Step(described["version"], described["before"], apply)
    return Release(step.version, tuple(described["definitions"]), (step,))


def _forked(function: Callable[[], object]) -> int:
    """Run *function* in a child and return its status; an exception is status 1."""
    return _status(_start(function))


def _start(function: Callable[[], object]) -> int:
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


def _rows(sqlite: apsw.Connection) -> str:
    """Return a digest of every row."""
    digest = hashlib.sha256()
    for name in sorted(name for kind, name in stored_schema(sqlite) if kind == "table"):
        for row in sqlite.execute(f'SELECT * FROM "{name}" ORDER BY rowid'):  # noqa: S608 -- a name
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _look(path: Path, release: Release, rows: str) -> None:
    """Exit with what is there; whatever it is, the next start makes it new."""
    with create_database(path) as connection:
        sqlite = connection.sqlite
        assert list(sqlite.execute("PRAGMA integrity_check")) == [("ok",)]
        is_old = fingerprint(stored_schema(sqlite)) == release.steps[-1].before
        assert sqlite.pragma("user_version") == release.version - is_old
        assert _rows(sqlite) == rows
        push_release(connection, release)
        assert sqlite.pragma("user_version") == release.version
        assert _rows(sqlite) == rows
    os._exit(OLD if is_old else NEW)


class _Moments:
    """Counts moments, and ends the process at one of them without a word to anybody."""

    def __init__(self, fatal: int) -> None:
        self._left = fatal

    def pass_one(self) -> None:
        if self._left == 0:
            os._exit(KILLED)
        self._left -= 1


def _upgrade_until_statement(path: Path, release: Release, fatal: int) -> None:
    moments = _Moments(fatal)

    def trace(_cursor: object, _sql: str, _values: object) -> bool:
        moments.pass_one()
        return True

    connection = create_database(path)
    connection.sqlite.exec_trace = trace
    push_release(connection, release)
    os._exit(0)


def _upgrade_naively(path: Path, release: Release, fatal: int) -> None:
    """Do the same with each statement a transaction of its own, and die before one of them."""
    moments = _Moments(fatal)

    def trace(_cursor: object, _sql: str, _values: object) -> bool:
        moments.pass_one()
        return True

    sqlite = create_database(path).sqlite
    sqlite.execute("PRAGMA foreign_keys=OFF")
    sqlite.exec_trace = trace
    for step in release.steps:
        step.apply(sqlite)
        sqlite.execute(f"PRAGMA user_version={step.version}")
    os._exit(0)


class _DyingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], moments: _Moments) -> None:
        super().__init__("unix", name, flags)
        self._moments = moments

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- APSW's name
        self._moments.pass_one()
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 -- APSW's name
        self._moments.pass_one()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802 -- APSW's name
        self._moments.pass_one()
        super().xSync(flags)


class _Dying(apsw.VFS):
    """The system's files, until the fatal moment."""

    def __init__(self, fatal: int) -> None:
        super().__init__("dying", "unix", makedefault=True)
        self._moments = _Moments(fatal)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 -- APSW's name
        return _DyingFile(name, flags, self._moments)


def _upgrade_until_write(path: Path, release: Release, fatal: int) -> None:
    vfs = _Dying(fatal)
    connection = create_database(path)
    push_release(connection, release)
    close_database(connection)
    vfs.unregister()


def _kill_at(
    folder: Path,
    upgrade: Callable[[Path, Release, int], None],
    *,
    first: int,
    every: int,
) -> dict[str, Any]:
    """Kill an upgrade at one moment after the other until one survives; look after each."""
    release = _release(folder)
    rows = _rows_of(folder / "old.db", folder)
    told: dict[str, Any] = {"bad": [], "left": {}, "moments": 0}
    fatal = first
    while True:
        place = folder / str(fatal)
        place.mkdir()
        path = Path(shutil.copyfile(folder / "old.db", place / "ledger.db"))
        status = _forked(lambda path=path, fatal=fatal: upgrade(path, release, fatal))  # type: ignore[misc]  # -- defaults
        if status == 0:
            return told
        found = _forked(lambda path=path: _look(path, release, rows))  # type: ignore[misc]  # -- a default
        if status != KILLED or found not in (OLD, NEW):
            told["bad"].append([fatal, status, found])
        told["left"][found] = told["left"].get(found, 0) + 1
        told["moments"] += 1
        shutil.rmtree(place)
        fatal += every


def _rows_of(path: Path, folder: Path) -> str:
    """Return the digest of a database's rows, read by a child."""
    answer = folder / "rows"

    def read() -> None:
        sqlite = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        answer.write_text(_rows(sqlite), encoding="ascii")
        sqlite.close()

    assert _forked(read) == 0
    return answer.read_text(encoding="ascii")


def _race(folder: Path) -> dict[str, Any]:
    """Let two processes upgrade the same database at the same moment, many times."""
    release = _release(folder)
    rows = _rows_of(folder / "old.db", folder)
    told: dict[str, Any] = {"statuses": [], "left": [], "copies": []}
    for number in range(ROUNDS):
        place = folder / str(number)
        place.mkdir()
        path = Path(shutil.copyfile(folder / "old.db", place / "ledger.db"))
        gate, opener = os.pipe()

        def enter(path: Path = path, gate: int = gate, opener: int = opener) -> None:
            os.close(opener)
            os.read(gate, 1)  # Returns in both children when the parent closes the pipe.
            with create_database(path) as connection:
                push_release(connection, release)

        children = [_start(enter), _start(enter)]
        os.close(gate)
        os.close(opener)
        told["statuses"] += [_status(child) for child in children]
        told["left"].append(_forked(lambda path=path: _look(path, release, rows)))  # type: ignore[misc]  # -- a default
        told["copies"].append(sorted(file.name for file in place.glob("ledger.db.*")))
    return told


def _main(arguments: list[str]) -> dict[str, Any]:
    what, name, *more = arguments
    folder = Path(name)
    vars(identity)["SCHEMA_VERSION"] = _release(folder).version  # This is a later release.
    if what == "race":
        return _race(folder)
    upgrade = {
        "statements": _upgrade_until_statement,
        "writes": _upgrade_until_write,
        "naive": _upgrade_naively,
    }[what]
    every, first = map(int, more)
    return _kill_at(folder, upgrade, first=first, every=every)


if __name__ == "__main__":
    print(json.dumps(_main(sys.argv[1:])))  # noqa: T201 -- read by the test
