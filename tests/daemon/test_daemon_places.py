"""Anything in the place of a file of ours: nobody waits for it for ever, or reads it to no end."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from msgspec.structs import replace
from tests.canaries import MARKER

from waiaas.backups.create import list_backups, make_offline
from waiaas.backups.file import OpenedBackup, open_backup
from waiaas.backups.restore import restore_backup
from waiaas.backups.verify import verify_backup
from waiaas.config.reading import load_config
from waiaas.daemon import _SAID, _open, initialise
from waiaas.database.errors import AlreadyOpen
from waiaas.directory import DaemonError, find_daemon, read_cookie, watch_daemon
from waiaas.doctor.answers import Answer
from waiaas.doctor.examination import examine
from waiaas.offline import read_tables, stop_localnet, verify_audit_log
from waiaas.place import ConfigError
from waiaas.stages import Start
from waiaas.system import SystemClock

CLOCK: Final = SystemClock()
MASTER: Final = f"{MARKER} correct horse".encode()

LEDGER: Final = ("ledger.db", "ledger.db-wal", "ledger.db-journal")
BESIDES: Final = ("config.toml", "restore.json", "keystore", "keystore/keystore.json")
WRITTEN: Final = ("ballast", "clean-stop", "daemon.json", ".daemon.json.new", "daemon.sock")
LOCALNET: Final = tuple(f"localnet/localnet.{end}" for end in ("json", "lock", "starting"))

PLAIN: Final = "import pathlib, sys; pathlib.Path(sys.argv[1]).read_bytes()"

SAID: Final = (*_SAID, DaemonError, ConfigError, AlreadyOpen)
"""What ends a command with a sentence."""


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory: no machine dies here."""
    shared = Path("/dev/shm")  # noqa: S108 -- what is made in it has a private name
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def made(memory: Path) -> Path:
    umask = os.umask(0o077)
    assert initialise(memory / "made", MASTER)
    os.umask(umask)
    return memory / "made"


@pytest.fixture(scope="module")
def opened(made: Path, memory: Path) -> OpenedBackup:
    backup = make_offline(
        made, password=MASTER, master_password=lambda: MASTER, clock=CLOCK, version="1"
    )
    path = memory / backup.name
    (made / "backups" / backup.name).rename(path)
    return open_backup(path, MASTER)


def fail(told: str) -> None:
    raise AssertionError(told)


def start(directory: Path, _: OpenedBackup) -> None:
    """What a start does before it asks chains."""
    config = load_config(directory)
    config = replace(config, daemon=replace(config.daemon, port=0))
    with contextlib.ExitStack() as stack:
        _open(directory, config, None, start=Start(CLOCK, end=fail), stack=stack)


def doctor(directory: Path, _: OpenedBackup) -> None:
    nobody = Answer(None, None, None)
    list(examine(directory, answer=nobody, version="1", now_s=1, with_nodes=False))


def ask(directory: Path, _: OpenedBackup) -> None:
    """What `status` and every other client does to find the daemon."""
    find_daemon(directory)
    read_cookie(directory)
    with watch_daemon(directory) as has_ended:
        has_ended()


def stop(directory: Path, _: OpenedBackup) -> None:
    stop_localnet(directory)


def create(directory: Path, _: OpenedBackup) -> None:
    make_offline(
        directory, password=MASTER, master_password=lambda: MASTER, clock=CLOCK, version="1"
    )


def restore(directory: Path, opened: OpenedBackup) -> None:
    restore_backup(opened, directory, clock=CLOCK)


def verify(directory: Path, opened: OpenedBackup) -> None:
    verify_backup(opened, directory=directory)
    list_backups(directory)


def look(directory: Path, _: OpenedBackup) -> None:
    """What reads the ledger beside a daemon."""
    for read in (
        lambda: verify_audit_log(directory, anchor_file=None),
        lambda: read_tables(directory),
    ):
        with contextlib.suppress(*SAID):
            read()


Act = Callable[[Path, OpenedBackup], None]

ROWS: Final[list[tuple[Act, tuple[str, ...]]]] = [
    (start, (*BESIDES, *LEDGER, *WRITTEN)),
    (doctor, (*BESIDES, *LEDGER)),
    (ask, ("daemon.json", "operator.cookie")),
    (stop, LOCALNET),
    (create, ("config.toml", "restore.json", "backups")),
    (restore, ("restore.json", "ledger.db", "ledger.db-wal", "backups")),
    (verify, ("backups", "backups/x.waiaas-backup")),
    (look, LEDGER),
]


def put(path: Path, kind: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir(mode=0o700)
    else:
        path.symlink_to("/dev/zero")


def attempt(act: Act, made: Path, opened: OpenedBackup, *, name: str = "", kind: str = "") -> None:
    """Do it in a copy in which something else is in the place of a file."""
    umask = os.umask(0o077)
    directory = shutil.copytree(made, made.with_name("data"))
    try:
        if name:
            put(directory / name, kind)
        act(directory, opened)
    finally:
        shutil.rmtree(directory)
        os.umask(umask)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to a device without an end"])
@pytest.mark.parametrize(("act", "names"), ROWS, ids=[act.__name__ for act, _ in ROWS])
def test_whatever_is_in_the_place_of_a_file_ends_in_a_sentence_at_most(
    act: Act, names: tuple[str, ...], kind: str, made: Path, opened: OpenedBackup
) -> None:
    """Who waits for a pipe waits for ever, and is ended by the limit of every test."""
    for name in names:
        with contextlib.suppress(*SAID):
            attempt(act, made, opened, name=name, kind=kind)


@pytest.mark.parametrize("act", [act for act, _ in ROWS])
def test_where_everything_is_in_its_place_each_of_them_comes_to_its_end(
    act: Act, made: Path, opened: OpenedBackup
) -> None:
    attempt(act, made, opened)


def test_control_a_plain_read_waits_for_a_pipe(tmp_path: Path) -> None:
    """In a process of its own, which is ended once it is seen to wait."""
    os.mkfifo(tmp_path / "restore.json")
    waiting = subprocess.Popen([sys.executable, "-c", PLAIN, str(tmp_path / "restore.json")])
    try:
        with (tmp_path / "restore.json").open("wb"):  # Returns once somebody waits for a writer.
            assert waiting.poll() is None
    finally:
        waiting.kill()
        waiting.wait()
