"""Opening what is not ours, not whole or not to be written: a clear error, and no byte changed.

Run as a program this file is the child that leaves a WAL behind, or that opens as nobody.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from waiaas.database import close_database, create_database, push_schema
from waiaas.database.errors import (
    DatabaseError,
    ForeignDatabase,
    LedgerFull,
    NewerSchema,
    NotADatabase,
    ReadOnlyDatabase,
    SchemaMismatch,
)

Digests = Callable[[Path], dict[str, str]]

REMEDY: Final = {
    NotADatabase: "give another path, or restore a backup",
    ForeignDatabase: "give waiaas a path of its own",
    NewerSchema: "Start that one, or restore a backup",
    SchemaMismatch: "Restore a backup",
    ReadOnlyDatabase: "check the permissions of the file and its folder",
}
NOBODY: Final = 65_534


NOTHING: Final = hashlib.sha256(b"").hexdigest()


def _require_unchanged(before: dict[str, str], after: dict[str, str]) -> None:
    """Looking may leave an empty WAL where there was none: SQLite's readers make one."""
    assert {name: digest for name, digest in after.items() if name in before} == before
    assert {after[name] for name in after.keys() - before.keys()} <= {NOTHING}
    assert after.keys() - before.keys() <= {f"{name}-wal" for name in before}


def _open(path: Path) -> None:
    """Do what every start does."""
    connection = create_database(path)
    try:
        push_schema(connection)
    finally:
        close_database(connection)


def _remove_companions(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _is_sound(sqlite: apsw.Connection) -> bool:
    try:
        return list(sqlite.execute("PRAGMA integrity_check")) == [("ok",)]
    except apsw.CorruptError:
        return False


def _refused(path: Path, kind: type[DatabaseError], digests: Digests) -> DatabaseError:
    """Check that opening fails as *kind*, with path and remedy, and changes nothing."""
    before = digests(path)
    with pytest.raises(DatabaseError) as refused:
        _open(path)
    assert type(refused.value) is kind
    assert str(path) in str(refused.value)
    assert REMEDY[kind] in str(refused.value)
    _require_unchanged(before, digests(path))
    return refused.value


# ── not a database ─────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_not_a_database(path: Path, digests: Digests) -> None:
    path.mkdir()
    _refused(path, NotADatabase, digests)
    assert list(path.iterdir()) == []


def test_a_pipe_is_refused_at_once_and_not_waited_for(path: Path, digests: Digests) -> None:
    os.mkfifo(path)
    _refused(path, NotADatabase, digests)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_socket_is_not_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # The whole name of a socket has 107 bytes at most.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(NotADatabase, match="not a regular file"):
            create_database("socket")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/full"])
def test_a_device_is_not_a_database(device: str) -> None:
    with pytest.raises(NotADatabase, match=device):
        create_database(device)


@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary,\n" * 1000,
        b"\0" * 4096,
        b"\0",
        b"SQLite format 3",
        b"SQLite format 2\0" + b"\0" * 4080,
        b"SQLite format 3\0",
        b"SQLite format 3\0" + b"\xff" * 4080,
        b"{}",
        b"\xff" * 512,
    ],
)
def test_a_file_of_something_else_is_not_a_database(
    path: Path, digests: Digests, content: bytes
) -> None:
    path.write_bytes(content)
    _refused(path, NotADatabase, digests)


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.touch(mode=0o640)
    path.chmod(0o640)
    _open(path)
    assert path.read_bytes().startswith(b"SQLite format 3\0")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640, "the operator's choice is left alone"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a pushed database."""
    path = tmp_path_factory.mktemp("whole") / "ledger.db"
    _open(path)
    return path.read_bytes()


def test_a_tiny_file_is_not_a_database(path: Path, digests: Digests, whole: bytes) -> None:
    for size in range(1, 201):
        path.write_bytes(whole[:size])
        _refused(path, NotADatabase, digests)
        path.write_bytes(b"x" * size)
        _refused(path, NotADatabase, digests)


def test_a_truncated_database_is_refused_wherever_it_was_cut(
    path: Path, digests: Digests, whole: bytes
) -> None:
    pages = range(0, len(whole), 4096)
    sizes = {size for page in pages for size in (page, page + 1, page + 100, page + 4095)} - {0}
    for size in sorted(sizes):
        _remove_companions(path)
        path.write_bytes(whole[:size])
        _refused(path, NotADatabase, digests)
    assert len(sizes) > 100


def test_a_flipped_header_is_refused_or_harmless(
    path: Path, digests: Digests, whole: bytes
) -> None:
    harmless: set[int] = set()
    unnoticed: set[int] = set()
    for place in range(100):
        _remove_companions(path)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        before = digests(path)
        try:
            with create_database(path) as connection:
                push_schema(connection)
                (harmless if _is_sound(connection.sqlite) else unnoticed).add(place)
        except DatabaseError as error:
            assert str(path) in str(error)  # noqa: PT017 -- acceptance is right, too
            _require_unchanged(before, digests(path))
    # Its magic, page size and page count, and what says that it is ours and of which version.
    assert harmless.isdisjoint({*range(18), *range(28, 32), *range(60, 64), *range(68, 72)})
    # The free pages and the vacuum mode: nothing but an integrity check reads them in time.
    assert unnoticed <= {*range(32, 40), *range(52, 56), *range(64, 68)}


@pytest.mark.parametrize("page", [2, 5, 20, 40])
def test_noise_in_a_page_is_refused_or_found_by_an_integrity_check(
    path: Path, whole: bytes, page: int
) -> None:
    start = 4096 * (page - 1)
    path.write_bytes(whole[:start] + b"\xa5" * 4096 + whole[start + 4096 :])
    try:
        with create_database(path) as connection:
            push_schema(connection)
            assert not _is_sound(connection.sqlite)
    except DatabaseError as error:
        assert str(path) in str(error)  # noqa: PT017 -- either is right


# ── somebody else's ────────────────────────────────────────────────────────────────────────────


def _foreign(path: Path, *statements: str) -> None:
    sqlite = apsw.Connection(str(path))
    for statement in statements:
        sqlite.execute(statement).fetchall()
    sqlite.close()


@pytest.mark.parametrize(
    "statements",
    [
        ("PRAGMA application_id=0x12345678", "CREATE TABLE t (x)"),
        ("CREATE TABLE t (x)",),
        ("CREATE TABLE agents (id TEXT PRIMARY KEY)",),
        ("CREATE VIEW v AS SELECT 1",),
        ("PRAGMA application_id=-1", "CREATE TABLE t (x)"),
        ("PRAGMA user_version=1", "CREATE TABLE t (x)"),
        ("PRAGMA user_version=99", "CREATE TABLE t (x)"),
        ("PRAGMA journal_mode=WAL", "CREATE TABLE t (x)"),
        ("PRAGMA page_size=512", "CREATE TABLE t (x)"),
        ("PRAGMA encoding='UTF-16'", "CREATE TABLE t (x)"),
        ("PRAGMA auto_vacuum=FULL", "PRAGMA application_id=5", "CREATE TABLE t (x)"),
    ],
)
def test_a_database_of_another_application_is_refused(
    path: Path, digests: Digests, statements: tuple[str, ...]
) -> None:
    _foreign(path, *statements)
    _refused(path, ForeignDatabase, digests)


def test_a_foreign_database_is_refused_before_it_is_opened_for_writing(path: Path) -> None:
    _foreign(path, "CREATE TABLE t (x)")
    with pytest.raises(ForeignDatabase):
        create_database(path)
    path.unlink()
    with create_database(path) as connection:
        connection.sqlite.execute("CREATE TABLE t (x)")
        with pytest.raises(ForeignDatabase):
            push_schema(connection)
        tables = connection.sqlite.execute("SELECT name FROM sqlite_schema")
        assert list(tables) == [("t",)]


@pytest.mark.parametrize(
    "statements",
    [
        ("PRAGMA application_id=0x12345678",),
        ("CREATE TABLE t (x)", "DROP TABLE t"),
        ("PRAGMA journal_mode=WAL",),
        ("VACUUM",),
    ],
)
def test_a_database_without_any_tables_is_empty_and_becomes_ours(
    path: Path, statements: tuple[str, ...]
) -> None:
    _foreign(path, *statements)
    _open(path)


@pytest.mark.parametrize("version", [2, 3, 2**31 - 1])
def test_a_newer_schema_is_refused(path: Path, digests: Digests, version: int) -> None:
    _open(path)
    _foreign(path, f"PRAGMA user_version={version}")
    error = _refused(path, NewerSchema, digests)
    assert isinstance(error, NewerSchema)
    assert (error.found, error.known) == (version, 1)


# ── ours, but changed ──────────────────────────────────────────────────────────────────────────

CHANGES: Final = [
    ("ALTER TABLE agents ADD COLUMN nickname TEXT", "table agents is different"),
    ("ALTER TABLE agents RENAME COLUMN name TO label", "table agents is different"),
    ("ALTER TABLE sessions DROP COLUMN last_renewed_at", "table sessions is different"),
    ("DROP INDEX idx_agents_status", "index idx_agents_status is missing"),
    ("DROP TABLE key_value_store", "table key_value_store is missing"),
    ("CREATE TABLE extra (x)", "table extra was added"),
    ("CREATE INDEX extra ON agents (name)", "index extra was added"),
    ("CREATE VIEW extra AS SELECT 1", "view extra was added"),
    (
        (
            "CREATE TRIGGER extra AFTER INSERT ON transactions BEGIN"
            " UPDATE transactions SET to_address = 'mallory'; END"
        ),
        "trigger extra was added",
    ),
    ("DROP TRIGGER audit_log_refuses_delete", "trigger audit_log_refuses_delete is missing"),
    ("PRAGMA user_version=0", "version 0"),
    ("PRAGMA user_version=-1", "version -1"),
]


@pytest.mark.parametrize(("change", "difference"), CHANGES)
def test_a_schema_that_is_not_what_its_version_says_is_refused(
    path: Path, digests: Digests, change: str, difference: str
) -> None:
    _open(path)
    _foreign(path, change)
    error = _refused(path, SchemaMismatch, digests)
    assert isinstance(error, SchemaMismatch)
    assert any(difference in found for found in error.differences)
    assert difference in str(error)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'ACTIVE'", "'INACTIVE'"),
        ("ON DELETE RESTRICT", "ON DELETE CASCADE"),
        ("DEFAULT 'PENDING'", "DEFAULT 'CONFIRMED'"),
        ("\n STRICT", ""),
        ("UNIQUE INDEX", "INDEX"),
        ("no DELETE", "NO DELETE"),
        ("AUTOINCREMENT", ""),
    ],
)
def test_a_schema_edited_past_sqlite_is_refused(
    path: Path, digests: Digests, old: str, new: str
) -> None:
    _open(path)
    sqlite = apsw.Connection(str(path))
    sqlite.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    sqlite.execute("PRAGMA writable_schema=ON").fetchall()
    sqlite.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, ?1, ?2) WHERE instr(sql, ?1)", (old, new)
    )
    assert sqlite.changes() > 0
    sqlite.close()
    _refused(path, SchemaMismatch, digests)


# ── a WAL left behind ──────────────────────────────────────────────────────────────────────────


def _leave_a_wal(kind: str, path: Path) -> None:
    """Write a database and die before the WAL is emptied."""
    if kind.startswith("ours") or kind == "newer":
        sqlite = create_database(path)
        push_schema(sqlite)
        raw = sqlite.sqlite
        if kind == "ours in both files":
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        raw.execute("INSERT INTO key_value_store VALUES ('left', 'over', 1)")
        if kind == "newer":
            raw.execute("PRAGMA user_version=2")
    else:
        raw = apsw.Connection(str(path))
        raw.execute("PRAGMA journal_mode=WAL").fetchall()
        raw.execute("CREATE TABLE t (x)")
        if kind == "foreign with its number":
            raw.execute("PRAGMA application_id=0x12345678")
        if kind == "foreign in both files":
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        raw.execute("INSERT INTO t VALUES (1)")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def left_over(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """Return a function that copies a killed writer's main file and WAL (never the index)."""
    made: dict[str, Path] = {}

    def copy(kind: str, path: Path) -> Path:
        if kind not in made:
            origin = tmp_path_factory.mktemp("killed") / "ledger.db"
            killed = subprocess.run(
                [sys.executable, __file__, "leave-a-wal", kind, str(origin)], check=False
            )
            assert killed.returncode == -signal.SIGKILL
            made[kind] = origin
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{made[kind]}{suffix}", f"{path}{suffix}")
        assert Path(f"{path}-wal").stat().st_size > 0
        return path

    return copy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("foreign", ForeignDatabase),
        ("foreign with its number", ForeignDatabase),
        ("foreign in both files", ForeignDatabase),
        ("newer", NewerSchema),
    ],
)
def test_what_is_refused_keeps_its_left_over_wal_byte_for_byte(
    path: Path,
    digests: Digests,
    left_over: Callable[[str, Path], Path],
    kind: str,
    error: type[DatabaseError],
) -> None:
    left_over(kind, path)
    assert digests(path).keys() == {"ledger.db", "ledger.db-wal"}
    _refused(path, error, digests)
    _refused(path, error, digests)


@pytest.mark.slow
def test_a_left_over_wal_of_ours_is_recovered(
    path: Path, left_over: Callable[[str, Path], Path]
) -> None:
    left_over("ours", path)
    with create_database(path) as connection:
        push_schema(connection)
        rows = list(connection.sqlite.execute("SELECT key, value FROM key_value_store"))
        assert rows == [("left", "over")]
        assert _is_sound(connection.sqlite)
    assert sorted(file.name for file in path.parent.iterdir()) == ["ledger.db"]


@pytest.mark.slow
def test_a_left_over_wal_cut_anywhere_gives_what_was_committed_before_the_cut(
    path: Path, left_over: Callable[[str, Path], Path]
) -> None:
    left_over("ours", path)
    main, wal = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    seen = set()
    for size in [0, 1, 31, 32, 33, 56, *range(4000, len(wal), 8101), len(wal) - 1, len(wal)]:
        path.write_bytes(main)
        Path(f"{path}-wal").write_bytes(wal[:size])
        Path(f"{path}-shm").unlink(missing_ok=True)
        with create_database(path) as connection:
            push_schema(connection)
            [(rows,)] = connection.sqlite.execute("SELECT count(*) FROM key_value_store")
            assert _is_sound(connection.sqlite)
        assert rows == (size == len(wal))
        seen.add(rows)
    assert seen == {0, 1}


@pytest.mark.slow
def test_a_wal_without_its_file_is_never_thrown_away(
    path: Path, digests: Digests, left_over: Callable[[str, Path], Path]
) -> None:
    left_over("ours in both files", path)
    main = path.read_bytes()
    for size in (None, 0, 1, 100, 4096, len(main) // 2, len(main) - 3 * 4096):
        Path(f"{path}-shm").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        if size is not None:
            path.write_bytes(main[:size])
        _refused(path, NotADatabase, digests)


def test_sqlite_by_itself_throws_a_wal_without_its_file_away(
    path: Path, left_over: Callable[[str, Path], Path]
) -> None:
    """The control: what a naive opening of the same files does."""
    left_over("ours in both files", path)
    path.write_bytes(b"")
    naive = apsw.Connection(str(path))
    naive.execute("PRAGMA journal_mode=WAL").fetchall()
    assert list(naive.execute("SELECT * FROM sqlite_schema")) == []
    naive.close()
    assert not Path(f"{path}-wal").exists()


# ── a transaction to roll back ─────────────────────────────────────────────────────────────────


def _leave_a_journal(path: Path, *, pages: int) -> None:
    """Leave what a transaction cut off leaves: the journal of a file that had so many pages."""
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 0, 1, pages, 512, 4096)
    Path(f"{path}-journal").write_bytes(header.ljust(512, b"\0"))


TORN: Final = bytes(512) + b"x" * 2048
"""A first page of which the first sector did not reach the disk, nor the last ones."""


@pytest.mark.parametrize("content", [TORN, b"SQLite format 3\0".ljust(2560, b"\0"), TORN * 4])
def test_a_first_opening_cut_off_inside_its_first_page_is_done_again(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    _leave_a_journal(path, pages=0)
    _open(path)
    assert not Path(f"{path}-journal").exists()


def test_control_without_regard_to_the_journal_such_a_file_is_no_database(path: Path) -> None:
    path.write_bytes(TORN)
    _leave_a_journal(path, pages=0)
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    naive = apsw.Connection(f"{path.as_uri()}?immutable=1", flags=flags)
    with pytest.raises(apsw.NotADBError):
        naive.execute("PRAGMA application_id").fetchall()
    naive.close()


def test_a_file_without_its_journal_stays_what_it_is(path: Path, digests: Digests) -> None:
    path.write_bytes(TORN)
    _refused(path, NotADatabase, digests)


@pytest.mark.parametrize("pages", [1, 2, 65536])
def test_a_torn_file_that_held_something_is_refused_unchanged(
    path: Path, digests: Digests, pages: int
) -> None:
    path.write_bytes(TORN)
    _leave_a_journal(path, pages=pages)
    _refused(path, NotADatabase, digests)


def test_another_application_s_unfinished_transaction_is_left_to_it(
    path: Path, digests: Digests
) -> None:
    _foreign(path, "CREATE TABLE t (x)")
    _leave_a_journal(path, pages=2)
    _refused(path, ForeignDatabase, digests)


# ── files and folders ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o177])
def test_new_files_belong_to_their_owner_alone_whatever_the_umask(path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        with create_database(path) as connection:
            push_schema(connection)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(["ledger.db", "ledger.db-wal", "ledger.db-shm"], 0o600)


def test_a_link_that_points_nowhere_yet_gives_a_file_of_the_same_mode(path: Path) -> None:
    target = path.with_name("elsewhere.db")
    path.symlink_to(target)
    old = os.umask(0)
    try:
        with create_database(path) as connection:
            push_schema(connection)
            modes = {
                file.name: stat.S_IMODE(file.lstat().st_mode)
                for file in path.parent.iterdir()
                if not file.is_symlink()
            }
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(["elsewhere.db", "elsewhere.db-wal", "elsewhere.db-shm"], 0o600)


@pytest.mark.parametrize(
    "name",
    [
        "nosuch/ledger.db",
        "file/ledger.db",
        "x" * 300,
        "loop",
        "nul\0.db",
        "not-utf-8-\udcff.db",
    ],
)
def test_a_path_where_nothing_can_be_made_is_refused_and_nothing_is_made(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatabaseError) as refused:
        create_database(tmp_path / name)
    shown = str(refused.value)
    assert str(tmp_path / name) in shown or repr(str(tmp_path / name)) in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_path_is_not_a_temporary_database() -> None:
    with pytest.raises(DatabaseError):
        create_database("")


def test_a_path_is_a_name_and_never_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "file:x.db?mode=memory",
        "a?immutable=1",
        "a%20b",
        "50%.db",
        "\u00fc#\U0001f600.db",
    ):
        with create_database(name) as connection:
            push_schema(connection)
        assert (tmp_path / name).is_file()
        _open(tmp_path / name)


# ── read-only, as an unprivileged user ─────────────────────────────────────────────────────────


@pytest.fixture
def public() -> Iterator[Path]:
    """Yield a folder that an unprivileged process can reach (pytest's own are private)."""
    folder = Path(tempfile.mkdtemp(prefix="waiaas-public-"))
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


def _open_as_nobody(path: Path) -> None:
    """Drop every privilege, open, and tell what happened."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        _open(path)
        told = ["opened", ""]
    except BaseException as error:  # noqa: BLE001 -- told
        told = [type(error).__name__, str(error)]
    print(json.dumps(told), flush=True)  # noqa: T201 -- read by the test


def _open_each_as_nobody() -> None:
    """Open every path that comes in a line, each in a process of its own."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _open_as_nobody(Path(line.removesuffix("\n")))
                status = 0
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1]:
            sys.exit("it could tell nothing")


@pytest.fixture(scope="module")
def opened_as_nobody() -> Iterator[Callable[[Path], tuple[str, str]]]:
    """Yield what opens a path without privileges, and returns what happened and its message."""
    command = [sys.executable, __file__, "open-as-nobody"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as program:
        paths, told = program.stdin, program.stdout
        assert paths is not None
        assert told is not None

        def tell(path: Path) -> tuple[str, str]:
            print(path, file=paths, flush=True)
            kind, message = json.loads(told.readline())
            return kind, message

        yield tell


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "file_mode", "wal_mode", "folder_mode", "error"),
    [
        ("whole", 0o666, None, 0o777, "opened"),
        ("ours", 0o666, 0o666, 0o777, "opened"),
        ("whole", 0o444, None, 0o777, "ReadOnlyDatabase"),
        ("whole", 0o444, None, 0o555, "ReadOnlyDatabase"),
        ("ours", 0o444, 0o444, 0o777, "ReadOnlyDatabase"),
        ("ours", 0o444, 0o666, 0o777, "ReadOnlyDatabase"),
        ("ours", 0o666, 0o444, 0o777, "opened"),
        ("whole", 0o666, None, 0o555, "ReadOnlyDatabase"),
        ("ours", 0o666, 0o666, 0o555, "DatabaseError"),
        ("whole", 0o000, None, 0o777, "DatabaseError"),
        ("empty", 0o444, None, 0o777, "ReadOnlyDatabase"),
        ("nothing", None, None, 0o555, "ReadOnlyDatabase"),
        ("nothing", None, None, 0o000, "DatabaseError"),
    ],
)
def test_what_may_not_be_written_is_refused_to_an_unprivileged_user(  # noqa: PLR0917 -- a row
    public: Path,
    digests: Digests,
    whole: bytes,
    left_over: Callable[[str, Path], Path],
    opened_as_nobody: Callable[[Path], tuple[str, str]],
    content: str,
    file_mode: int | None,
    wal_mode: int | None,
    folder_mode: int,
    error: str,
) -> None:
    path = public / "ledger.db"
    match content:
        case "whole":
            path.write_bytes(whole)
        case "empty":
            path.touch()
        case "ours":
            left_over("ours", path)
        case _:
            pass
    before = digests(path)
    for file, mode in ((path, file_mode), (Path(f"{path}-wal"), wal_mode)):
        if mode is not None:
            file.chmod(mode)
    public.chmod(folder_mode)
    kind, message = opened_as_nobody(path)
    public.chmod(0o777)

    assert kind == error, message
    if kind != "opened":
        assert str(path) in message
        if kind == "ReadOnlyDatabase":
            assert REMEDY[ReadOnlyDatabase] in message
        for file in public.iterdir():
            file.chmod(0o600)
        _require_unchanged(before, digests(path))


# ── a full disk ────────────────────────────────────────────────────────────────────────────────

DISK_KIB: Final = 1024


def _fill_disks(folder: Path, whole: Path) -> None:
    """Open on a small disk with so many KiB free, in a mount namespace of our own; tell all."""
    told = []
    for content in ("nothing", "whole", "left over"):
        for free_kib in (0, 4, 8, 16, 32, 40, 64, 128, 240, 320, 480):
            size = f"size={DISK_KIB}k"
            command = ["mount", "-t", "tmpfs", "-o", size, "none", str(folder)]
            subprocess.run(command, check=True)
            path = folder / "ledger.db"
            if content != "nothing":
                shutil.copyfile(whole, path)
            if content == "left over":
                shutil.copyfile(f"{whole}-left", path)
                shutil.copyfile(f"{whole}-left-wal", f"{path}-wal")
            space = os.statvfs(folder)
            filler = space.f_bavail * space.f_bsize - free_kib * 1024
            (folder / "filler").write_bytes(b"x" * filler)
            before = _read(path)
            outcome = _outcome(path)
            after = _read(path)
            (folder / "filler").unlink()
            told.append([content, free_kib, outcome, before == after, _outcome(path)])
            command = ["umount", str(folder)]
            subprocess.run(command, check=True)
    print(json.dumps(told))  # noqa: T201 -- read by the test


def _read(path: Path) -> list[bytes]:
    files = (path, Path(f"{path}-wal"))
    return [file.read_bytes() if file.exists() else b"" for file in files]


def _outcome(path: Path) -> list[Any]:
    """Open, push, close; tell how far it went."""
    try:
        connection = create_database(path)
    except BaseException as error:  # noqa: BLE001 -- told
        return ["create", type(error).__name__, str(error)]
    try:
        push_schema(connection)
        outcome = ["opened"]
    except BaseException as error:  # noqa: BLE001 -- told
        outcome = ["push", type(error).__name__, str(error)]
    try:
        return [*outcome, close_database(connection)]
    except BaseException as error:  # noqa: BLE001 -- told
        return ["close", type(error).__name__, str(error)]


@pytest.mark.slow
def test_a_full_disk_is_said_to_be_full_and_costs_nothing(
    tmp_path: Path,
    whole: bytes,
    left_over: Callable[[str, Path], Path],
    unshare: list[str] | None,
) -> None:
    if unshare is None:
        pytest.skip("nobody may mount here. NOT COVERED: openings on a disk that is really full")
    folder = tmp_path / "disk"
    folder.mkdir()
    (tmp_path / "whole").write_bytes(whole)
    left_over("ours", tmp_path / "whole-left")
    command = [*unshare, sys.executable, __file__, "fill-disks", str(folder)]
    finished = subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    rows = json.loads(finished.stdout)
    assert len(rows) == 33
    stages = set()
    for content, free_kib, outcome, unchanged, afterwards in rows:
        stage, *rest = outcome
        stages.add((content, stage))
        assert stage in ("create", "push", "opened"), outcome
        if stage == "opened":
            assert rest in ([True], [False])
        else:
            assert rest[0] == "LedgerFull", (content, free_kib, outcome)
            assert "free some space" in rest[1]
        if stage == "create" and content != "nothing":
            assert unchanged, (content, free_kib)
        assert afterwards == ["opened", True], (content, free_kib)
    assert {("nothing", "create"), ("nothing", "push"), ("whole", "create")} <= stages
    assert {("left over", "create"), ("left over", "opened")} <= stages


class _FullFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], disk: "_FullDisk") -> None:
        super().__init__("unix", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- APSW's name
        self._disk.spend()
        super().xWrite(data, offset)


class _FullDisk(apsw.VFS):
    """A disk on which so many writes fit."""

    def __init__(self, fitting: int) -> None:
        super().__init__("full", "unix")
        self.left = fitting

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 -- APSW's name
        return _FullFile(name, flags, self)

    def spend(self) -> None:
        if self.left == 0:
            raise apsw.FullError
        self.left -= 1


def test_a_disk_that_is_full_from_any_write_on_is_said_to_be_full(tmp_path: Path) -> None:
    fitting = 0
    while True:
        path = tmp_path / f"{fitting}.db"
        disk = _FullDisk(fitting)
        try:
            connection = create_database(path, vfs="full")
            try:
                push_schema(connection)
                break
            finally:
                close_database(connection)
        except LedgerFull:
            pass
        finally:
            disk.unregister()
        _open(path)
        fitting += 1
    assert fitting > 100


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["leave-a-wal", kind, name]:
            _leave_a_wal(kind, Path(name))
        case ["open-as-nobody"]:
            _open_each_as_nobody()
        case ["fill-disks", name, whole_name]:
            _fill_disks(Path(name), Path(whole_name))
        case other:
            sys.exit(f"unknown: {other}")
