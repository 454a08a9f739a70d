"""Making one: beside requests, one at a time, written down, with no plain copy left anywhere."""

import asyncio
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.backups.create import BackupMaker, make_offline
from waiaas.backups.disk import remove_leftovers, work_folder
from waiaas.backups.errors import BackupError
from waiaas.backups.file import open_with_key
from waiaas.database import Closed, Ledger, LedgerFull, generate_id, open_ledger
from waiaas.database.contents import read_contents
from waiaas.directory import DaemonError
from waiaas.domain.backup import BackupMode
from waiaas.domain.errors import Refusal
from waiaas.keystore.signer import create_keystore

if TYPE_CHECKING:
    from tests.backup.conftest import Home, StillClock

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def ledger(directory: Path) -> Iterator[Ledger]:
    with open_ledger(directory) as opened:
        yield opened


@pytest.fixture
def make_maker(
    directory: Path, ledger: Ledger, home: "Home", clock: "StillClock"
) -> Callable[..., BackupMaker]:
    """Return a function that makes a maker, with one of its parts exchanged."""

    def made(**parts: Any) -> BackupMaker:
        usual = {"ledger": ledger, "keystore": home.keystore, "clock": clock}
        return BackupMaker(
            directory, generate_id=generate_id, version="1.2.3", **{**usual, **parts}
        )

    return made


@pytest.fixture
def maker(make_maker: Callable[..., BackupMaker]) -> BackupMaker:
    return make_maker()


def plain_files(directory: Path) -> list[str]:
    """Return where a ledger lies in plain, beside the ledger itself."""
    return [
        str(path)
        for path in directory.rglob("*")
        if path.is_file()
        and path.read_bytes().startswith(b"SQLite format 3")
        and path.parent != directory
    ]


def audit(directory: Path) -> list[tuple[Any, ...]]:
    table = read_contents(directory / "ledger.db")["audit_log"]
    event, details = table.columns.index("event_type"), table.columns.index("details")
    return [(row[event], row[details]) for row in table.rows]


def test_a_backup_is_private_named_by_its_time_and_written_down(
    maker: BackupMaker, directory: Path
) -> None:
    before = len(audit(directory))
    made = maker.make(None)
    path = directory / "backups" / made.name
    assert made.name == f"2023-11-14T22-13-20Z-{made.id[-8:]}.waiaas-backup"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (made.size_bytes, made.mode) == (path.stat().st_size, BackupMode.KEYSTORE)
    [(event, details)] = audit(directory)[before:]
    assert event == "BACKUP_CREATED"
    assert f'"id":"{made.id}"' in details
    assert not plain_files(directory)
    assert len(list((directory / "backups").iterdir())) == 3, "nothing but backups"


def test_what_was_acknowledged_before_is_in_it_and_its_own_row_is_not(
    make_maker: Callable[..., BackupMaker],
    ledger: Ledger,
    directory: Path,
    tmp_path: Path,
    home: "Home",
) -> None:
    ledger.write(lambda tx: tx.key_values.put("k", "acknowledged", now_s=1))
    keys: list[bytearray] = []
    protect = home.keystore.protect_file_key

    class Telling:
        """The keystore; but the key of the backup is kept, to open it without a derivation."""

        def protect_file_key(self, file_key: bytearray, *, facts: bytes) -> Any:
            keys.append(bytearray(file_key))
            return protect(file_key, facts=facts)

    rows = audit(directory)
    made = make_maker(keystore=Telling()).make(None)
    (tmp_path / "out").mkdir(mode=0o700)
    open_with_key(directory / "backups" / made.name, keys[0]).extract(tmp_path / "out")
    assert audit(tmp_path / "out") == rows
    stored = read_contents(tmp_path / "out" / "ledger.db")["key_value_store"].rows
    assert ("k", "acknowledged", 1) in stored


def test_a_second_one_meanwhile_is_refused_and_the_first_is_made(
    make_maker: Callable[..., BackupMaker],
) -> None:
    entered, leave = threading.Event(), threading.Event()

    class HeldClock:
        """Holds whoever asks for the time."""

        def now_s(self) -> int:
            entered.set()
            assert leave.wait(20)
            return 1_700_000_000

    maker = make_maker(clock=HeldClock())

    async def scenario() -> None:
        first = asyncio.ensure_future(maker.make_beside_requests(None))
        await asyncio.to_thread(entered.wait, 20)
        with pytest.raises(Refusal) as refused:
            await maker.make_beside_requests(None)
        assert refused.value.code == "BACKUP_UNDER_WAY"
        leave.set()
        assert (await first).mode is BackupMode.KEYSTORE
        await maker.make_beside_requests(None)

    asyncio.run(scenario())


def test_after_a_failure_nothing_is_left_and_the_next_one_is_made(
    make_maker: Callable[..., BackupMaker], ledger: Ledger, directory: Path, tree: Tree
) -> None:
    backups = directory / "backups"
    before = tree(backups)
    backups.chmod(0o755)
    with pytest.raises(DaemonError, match="chmod 700"):
        make_maker().make(None)
    backups.chmod(0o700)

    class FullLedger:
        """The ledger on a disk that has become full."""

        path = ledger.path

        def write(self, _: object) -> None:
            raise LedgerFull

    with pytest.raises(BackupError, match="disk is full"):
        make_maker(ledger=FullLedger()).make(None)
    assert tree(backups) == before
    assert not plain_files(directory)
    assert make_maker().make(None).id


def test_a_refusal_says_why_and_a_ledger_that_closed_is_not_a_failed_backup(
    maker: BackupMaker, ledger: Ledger, directory: Path
) -> None:
    keystore = directory / "keystore" / "keystore.json"
    keystore.rename(keystore.with_suffix(".away"))
    with pytest.raises(Refusal) as refused:
        asyncio.run(maker.make_beside_requests(None))
    assert refused.value.code == "BACKUP_FAILED"
    assert "no keystore" in refused.value.message
    keystore.with_suffix(".away").rename(keystore)
    ledger.close()
    with pytest.raises(Closed):
        asyncio.run(maker.make_beside_requests(None))


def test_a_password_that_is_too_short_protects_nothing(maker: BackupMaker, directory: Path) -> None:
    with pytest.raises(BackupError, match="12 to 1024"):
        maker.make(b"short")
    assert len(list((directory / "backups").iterdir())) == 2


def test_a_keystore_that_was_exchanged_meanwhile_is_not_saved_as_ours(
    maker: BackupMaker, directory: Path, tmp_path: Path
) -> None:
    create_keystore(tmp_path / "keystore", b"attacker-password")
    (tmp_path / "keystore" / "keystore.json").replace(directory / "keystore" / "keystore.json")
    with pytest.raises(BackupError, match="changed since"):
        maker.make(None)


def test_leftovers_of_a_crash_are_removed_and_what_is_in_use_is_not(
    maker: BackupMaker, directory: Path
) -> None:
    leftover = directory / ".backup-work-0123456789abcdef"
    leftover.mkdir(mode=0o700)
    (leftover / "ledger.db").write_bytes(b"SQLite format 3")
    draft = directory / "backups" / ".x.waiaas-backup.new"
    draft.write_bytes(b"half")
    innocent = directory / ".backup-work-mine"
    innocent.mkdir()
    with work_folder(directory) as used:
        (used / "ledger.db").write_bytes(b"SQLite format 3")
        maker.make(None)
        assert (used / "ledger.db").exists()
    assert not leftover.exists()
    assert not draft.exists()
    assert not used.exists()
    assert innocent.exists()


def test_control_a_leftover_is_known_by_its_lock_alone(directory: Path) -> None:
    leftover = directory / ".backup-work-0123456789abcdef"
    leftover.mkdir(mode=0o700)
    descriptor = os.open(leftover, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    remove_leftovers(directory)
    assert leftover.exists()
    os.close(descriptor)
    remove_leftovers(directory)
    assert not leftover.exists()


def test_offline_the_lock_is_asked_and_the_master_password_only_if_needed(
    directory: Path, clock: "StillClock", passwords: tuple[bytes, bytes]
) -> None:
    def never() -> bytes:
        raise AssertionError("nobody needs the master password")

    def make(**how: Any) -> Any:
        return make_offline(directory, clock=clock, version="1.2.3", **how)

    with open_ledger(directory), pytest.raises(BackupError, match="in use"):
        make(password=passwords[1], master_password=never)
    made = make(password=passwords[1], master_password=never)
    assert made.mode is BackupMode.PASSWORD
    made = make(password=None, master_password=lambda: passwords[0])
    assert made.mode is BackupMode.KEYSTORE
    with pytest.raises(BackupError, match="does not open"):
        make(password=None, master_password=lambda: passwords[1])
    with pytest.raises(DaemonError, match="waiaas init"):
        make_offline(
            directory / "x",
            password=passwords[1],
            master_password=never,
            clock=clock,
            version="1",
        )
