"""Every connection has the seven PRAGMAs and the hardening, or there is no connection."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import apsw
import pytest

from waiaas.database import DatabaseConnection, close_database, create_database, push_schema
from waiaas.database.errors import DatabaseError, PragmaRefused
from waiaas.database.policy import Policies
from waiaas.domain.ids import AgentId

SEVEN: Final = [
    ("journal_mode", "wal", "memory"),
    ("synchronous", 1, 1),
    ("foreign_keys", 1, 1),
    ("busy_timeout", 5000, 5000),
    ("cache_size", -64000, -64000),
    ("mmap_size", 268435456, None),
    ("temp_store", 2, 2),
]
"""Each in its order, with what a connection reports on a file and in memory."""

HARDENING: Final = [("recursive_triggers", 1), ("trusted_schema", 0), ("cell_size_check", 1)]


@pytest.fixture(params=["on a file", "in memory"])
def opened(request: pytest.FixtureRequest, path: Path) -> Iterator[DatabaseConnection]:
    """Yield an empty database of either kind."""
    connection = create_database(":memory:" if request.param == "in memory" else path)
    yield connection
    close_database(connection)


def _reported(connection: DatabaseConnection, pragma: str) -> object:
    row = connection.sqlite.execute(f"PRAGMA {pragma}").fetchone()
    return None if row is None else row[0]


@pytest.mark.parametrize(("pragma", "on_file", "_in_memory"), SEVEN)
def test_a_connection_on_a_file_reports_each_of_the_seven(
    path: Path,
    pragma: str,
    on_file: object,
    _in_memory: object,
) -> None:
    with create_database(path) as connection:
        assert _reported(connection, pragma) == on_file


@pytest.mark.parametrize(("pragma", "_on_file", "in_memory"), SEVEN)
def test_a_connection_in_memory_reports_each_of_the_seven(
    pragma: str,
    _on_file: object,
    in_memory: object,
) -> None:
    with create_database(":memory:") as connection:
        assert _reported(connection, pragma) == in_memory


@pytest.mark.parametrize(("pragma", "value"), HARDENING)
def test_a_connection_reports_the_hardening(
    opened: DatabaseConnection, pragma: str, value: int
) -> None:
    assert _reported(opened, pragma) == value


def test_the_wal_stays_when_a_file_is_opened_again(path: Path) -> None:
    close_database(create_database(path))
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert reader.pragma("journal_mode") == "wal"
    reader.close()


def test_the_seven_are_set_in_order(path: Path) -> None:
    seen: list[str] = []
    with _vfs("recording", {}, seen) as vfs:
        close_database(create_database(path, vfs=vfs))
    names = [name for name, _, _ in SEVEN]
    assert [name for name in seen if name in names] == names


def _is_planned_again(connection: DatabaseConnection) -> bool:
    """Ask one question about two agents; tell whether SQLite planned it for the second, too."""
    policies, planned = Policies(connection.db.execute), []

    def note(*what: object) -> int:  # Asked for every object a statement uses, as it is planned.
        planned.append(what)
        return apsw.SQLITE_OK

    connection.sqlite.authorizer = note
    policies.applying_to(AgentId("one"))
    assert planned
    planned.clear()
    policies.applying_to(AgentId("another"))
    connection.sqlite.authorizer = None
    return bool(planned)


def test_a_question_is_planned_once_whatever_it_is_about(opened: DatabaseConnection) -> None:
    push_schema(opened)
    assert not _is_planned_again(opened)


def test_control_without_the_switch_each_value_has_it_planned_again(
    opened: DatabaseConnection,
) -> None:
    push_schema(opened)
    opened.sqlite.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 0)
    assert _is_planned_again(opened)


def test_a_double_quoted_string_is_never_a_value(opened: DatabaseConnection) -> None:
    push_schema(opened)
    for sql in ('SELECT "nosuch"', 'SELECT name FROM agents WHERE name = "nosuch"'):
        with pytest.raises(apsw.SQLError, match="no such column"):
            opened.sqlite.execute(sql)
    with pytest.raises(apsw.SQLError, match="no such column"):
        opened.sqlite.execute('CREATE INDEX i ON agents ("nosuch")')


def test_extensions_are_not_loaded(opened: DatabaseConnection) -> None:
    with pytest.raises(apsw.SQLError, match="not authorized"):
        opened.sqlite.execute("SELECT load_extension('nosuch')")
    with pytest.raises(apsw.ExtensionLoadingError, match="not authorized"):
        opened.sqlite.load_extension("nosuch")


def test_nothing_is_attached(opened: DatabaseConnection, path: Path) -> None:
    for name in (":memory:", str(path.with_name("other.db"))):
        with pytest.raises(apsw.SQLError, match="too many attached databases"):
            opened.sqlite.execute("ATTACH DATABASE ? AS other", (name,))
    assert not path.with_name("other.db").exists()


def test_the_stored_schema_cannot_be_edited(opened: DatabaseConnection) -> None:
    push_schema(opened)
    opened.sqlite.execute("PRAGMA writable_schema=ON").fetchall()
    with pytest.raises(apsw.SQLError, match="may not be modified"):
        opened.sqlite.execute("UPDATE sqlite_schema SET sql = 'x' WHERE name = 'agents'")


def test_the_journal_cannot_be_switched_off(database: DatabaseConnection) -> None:
    assert database.sqlite.pragma("journal_mode", "off") == "wal"
    assert _reported(database, "journal_mode") == "wal"


def test_a_value_longer_than_sixteen_megabytes_is_refused(opened: DatabaseConnection) -> None:
    with pytest.raises(apsw.TooBigError):
        opened.sqlite.execute("SELECT zeroblob(16 * 1024 * 1024 + 1)")


class _File(apsw.VFSFile):
    """A file whose VFS answers chosen PRAGMAs itself, as VFSes may: setting one has no effect."""

    def __init__(
        self, name: apsw.URIFilename | str | None, flags: list[int], said: dict[str, str | None]
    ) -> None:
        super().__init__("unix", name, flags)
        self._said = said
        self.seen: list[str] = []

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802 -- APSW's name
        if op == apsw.SQLITE_FCNTL_PRAGMA:
            pragma = apsw.VFSFcntlPragma(ptr)
            if pragma.value is not None:
                self.seen.append(pragma.name)
            if pragma.name in self._said:
                pragma.result = self._said[pragma.name]
                return True
        return super().xFileControl(op, ptr)


class _vfs(apsw.VFS):  # noqa: N801 -- used as a context manager
    def __init__(self, name: str, said: dict[str, str | None], seen: list[str]) -> None:
        super().__init__(name, "unix")
        self._name = name
        self._said = said
        self._seen = seen

    def xOpen(  # noqa: N802 -- APSW's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        file = _File(name, flags, self._said)
        file.seen = self._seen
        return file

    def __enter__(self) -> str:
        return self._name

    def __exit__(self, *error: object) -> None:
        self.unregister()


@pytest.mark.parametrize(
    ("pragma", "reported"),
    [
        ("journal_mode", None),
        ("journal_mode", "delete"),
        ("synchronous", None),
        ("synchronous", "0"),
        ("foreign_keys", None),
        ("busy_timeout", "0"),
        ("cache_size", None),
        ("mmap_size", "4096"),
        ("temp_store", None),
        ("recursive_triggers", None),
        ("trusted_schema", None),
        ("cell_size_check", None),
    ],
)
def test_a_pragma_that_does_not_take_makes_opening_fail(
    path: Path, pragma: str, reported: str | None
) -> None:
    close_database(create_database(path))
    before = path.read_bytes()
    with _vfs("stubborn", {pragma: reported}, []) as vfs, pytest.raises(PragmaRefused) as refused:
        create_database(path, vfs=vfs)
    assert refused.value.name == pragma
    assert pragma in str(refused.value)
    assert path.read_bytes() == before
    with create_database(path) as connection:
        push_schema(connection)


DYING: Final = """
import os, sys
from waiaas.database import create_database, push_schema
push_schema(create_database(sys.argv[1]))
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("pragma", ["cache_size", "cell_size_check"])
def test_a_failed_opening_leaves_a_left_over_wal_as_it_is(
    path: Path, digests: Callable[[Path], dict[str, str]], pragma: str
) -> None:
    subprocess.run([sys.executable, "-c", DYING, str(path)], check=True)
    before = digests(path)
    assert before.keys() == {path.name, f"{path.name}-wal"}
    with _vfs("stubborn", {pragma: None}, []) as vfs, pytest.raises(PragmaRefused):
        create_database(path, vfs=vfs)
    assert digests(path) == before


@pytest.mark.parametrize("vfs", ["unix-none", "unix-dotfile"])
def test_a_file_system_without_shared_memory_cannot_take_the_wal_and_is_refused(
    path: Path, vfs: str
) -> None:
    with pytest.raises(PragmaRefused, match="journal_mode='delete'"):
        create_database(path, vfs=vfs)


def test_an_old_sqlite_is_refused_before_the_file_is_touched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(DatabaseError, match=r"3\.51\.3"):
        create_database(path)
    assert not path.exists()


def test_the_wait_for_a_busy_file_goes_through_the_driver(path: Path) -> None:
    with create_database(path) as connection:
        push_schema(connection)
        held = threading.Event()
        release = threading.Event()

        def hold() -> None:
            other = apsw.Connection(str(path))
            other.execute("BEGIN IMMEDIATE")
            held.set()
            release.wait(10)
            other.execute("COMMIT")
            other.close()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(10)
        threading.Timer(0.2, release.set).start()
        with connection.db.transaction():
            assert release.is_set()
        holder.join()


@pytest.mark.slow
def test_eight_threads_racing_to_make_a_file_all_get_the_wal(tmp_path: Path) -> None:
    for round_number in range(25):
        path = tmp_path / f"{round_number}.db"
        start = threading.Barrier(8)

        def race(path: Path = path, start: threading.Barrier = start) -> object:
            start.wait()
            with create_database(path) as connection:
                push_schema(connection)
                return _reported(connection, "journal_mode")

        with ThreadPoolExecutor(8) as pool:
            racers = [pool.submit(race) for _ in range(8)]
        assert [racer.result() for racer in racers] == ["wal"] * 8
        with create_database(path) as connection:
            assert list(connection.sqlite.execute("PRAGMA integrity_check")) == [("ok",)]
