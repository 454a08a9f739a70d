"""Restoring: everything or nothing, nothing deleted, nothing under a daemon, then no payment."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.backups.create import guarded, make_offline
from waiaas.backups.errors import BackupError, DamagedBackup
from waiaas.backups.file import open_backup, open_with_key
from waiaas.backups.restore import restore_backup
from waiaas.backups.swap import claimed
from waiaas.database import open_ledger
from waiaas.database.contents import read_contents
from waiaas.directory import DaemonError, is_initialised
from waiaas.domain.clock import ClockReading
from waiaas.keystore.signer import open_keystore
from waiaas.pipeline.clock_guard import ClockGuard, stored_anchors
from waiaas.pipeline.own_keystore import KnownKeystore, known_keystore
from waiaas.pipeline.restored import restored_at
from waiaas.ports import Clock
from waiaas.system import read_boot_id

if TYPE_CHECKING:
    from tests.backup.conftest import Home, StillClock

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture(autouse=True)
def umask() -> Any:
    """`restore_backup` narrows it, for the process it expects to be."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def change(directory: Path) -> None:
    """Go on living after the backup: in the ledger, the keystore and the settings."""
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.key_values.put("later", "v", now_s=1))
    shutil.copy(
        directory / "keystore" / "keystore.json",
        directory / "keystore" / "0198c0de-0000-7000-8000-00000000000f.json",
    )
    with (directory / "config.toml").open("a") as stream:
        stream.write("# later\n")


def key_values(ledger_file: Path) -> dict[Any, Any]:
    rows = read_contents(ledger_file)["key_value_store"].rows
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("place", ["fresh", "there", "lived on"])
def test_the_directory_is_what_it_was_and_the_old_files_are_kept(
    home: "Home", directory: Path, clock: "StillClock", tree: Tree, place: str
) -> None:
    if place == "fresh":
        directory = directory.parent / "new" / "place"
    elif place == "lived on":
        change(directory)
    before = tree(directory)
    restored = restore_backup(home.opened, directory, clock=clock)

    after = tree(directory)
    original = tree(home.directory)
    for name in ("keystore/keystore.json", "config.toml"):
        assert after[name] == original[name]
    assert {name for name in after if name.startswith("keystore/")} == {
        "keystore/keystore.json",
        *(f"keystore/{agent_id}.json" for agent_id in home.agent_ids),
    }
    values = key_values(directory / "ledger.db")
    assert (values["daemon.id"], values.get("later")) == ("the-daemon", None)
    moved = {"ledger.db", "config.toml"} | {name for name in before if name.startswith("keystore/")}
    assert (directory / "ballast").stat().st_blocks * 512 >= 2**20, "it is there, and no hole"
    if place == "fresh":
        assert restored.replaced is None
        assert not list(directory.glob("replaced-*"))
    else:
        assert restored.replaced is not None
        assert tree(restored.replaced) == {name: before[name] for name in moved}
        assert {n: c for n, c in after.items() if n.startswith("backups/")} == {
            n: c for n, c in before.items() if n.startswith("backups/")
        }
    modes = {stat.S_IMODE(p.stat().st_mode) for p in directory.rglob("*") if p.is_file()}
    assert modes == {0o600}
    assert not [path for path in directory.iterdir() if path.name.startswith(("restore", "."))]


def test_the_keys_sign_again_and_the_ledger_is_marked_with_its_row(
    home: "Home", tmp_path: Path, clock: "StillClock", passwords: tuple[bytes, bytes]
) -> None:
    directory = tmp_path / "new"
    verified = restore_backup(home.opened, directory, clock=clock).verified
    assert verified.agents_without_key == ()
    keystore = open_keystore(directory / "keystore", passwords[0])
    for agent_id in home.agent_ids:
        assert keystore.sign(agent_id, b"m") == home.keystore.sign(agent_id, b"m")
    with open_ledger(directory) as ledger:
        assert ledger.read(restored_at) == clock.now_s()
        known = ledger.read(known_keystore)
    assert known == KnownKeystore.of(keystore.facts()), "the ledger's own came back with it"
    log = read_contents(directory / "ledger.db")["audit_log"]
    last = dict(zip(log.columns, log.rows[-1], strict=True))
    assert last["event_type"] == "BACKUP_RESTORED"
    assert home.opened.header.id in str(last["details"])


def test_nothing_is_restored_under_whoever_uses_the_directory(
    home: "Home", directory: Path, clock: "StillClock", tree: Tree
) -> None:
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.key_values.put("k", "v", now_s=1))
        before = tree(directory)
        with pytest.raises(BackupError, match="in use"):
            restore_backup(home.opened, directory, clock=clock)
        assert tree(directory) == before


def test_a_damaged_backup_changes_nothing(
    home: "Home", directory: Path, file: Path, clock: "StillClock", tree: Tree
) -> None:
    change(directory)
    before = tree(directory)
    content = file.read_bytes()
    for end in (*range(len(content) - 150_000, len(content), 30_000), len(content) - 1):
        file.write_bytes(content[:end])
        with pytest.raises(DamagedBackup):
            restore_backup(open_with_key(file, home.opened._file_key), directory, clock=clock)
        assert tree(directory) == before
        assert not list(directory.glob("restore-*"))


def test_a_place_that_is_not_for_us_alone_is_refused(
    home: "Home", directory: Path, tmp_path: Path, clock: "StillClock"
) -> None:
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(directory)
    file.touch()
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    for bad in (link, file, open_to_all):
        with pytest.raises(DaemonError):
            restore_backup(home.opened, bad, clock=clock)
    assert list(open_to_all.iterdir()) == []


def test_a_journal_that_nobody_wrote_moves_nothing(directory: Path, tree: Tree) -> None:
    before = tree(directory)
    for bad in (
        b"",
        b"{}",
        b'{"version":1,"staged":"../../etc","replaced":"replaced-x"}',
        b'{"version":1,"staged":"restore-0198c0de-0000-7000-8000-00000000000f","replaced":"/tmp"}',
    ):
        (directory / "restore.json").write_bytes(bad)
        with pytest.raises(BackupError, match="damaged"), claimed(directory):
            pass
    (directory / "restore.json").unlink()
    assert tree(directory) == before


def test_files_made_since_a_restore_was_cut_off_are_not_lost(directory: Path) -> None:
    """Nobody should have made them; who did has to look."""
    staged = directory / "restore-0198c0de-0000-7000-8000-00000000000f"
    replaced = directory / "replaced-x"
    staged.mkdir()
    replaced.mkdir()
    for folder in (staged, replaced):
        (folder / "ledger.db").write_bytes(b"")
    journal = f'{{"version":1,"staged":"{staged.name}","replaced":"replaced-x"}}'
    (directory / "restore.json").write_text(journal)
    with pytest.raises(BackupError, match="Both"), claimed(directory):
        pass
    assert (directory / "ledger.db").stat().st_size


# ── cut off anywhere ───────────────────────────────────────────────────────────────────────────

CRASH = """
import os, sys
from waiaas.database import open_ledger
ledger = open_ledger(sys.argv[1])
ledger.write(lambda tx: tx.key_values.put("later", "v", now_s=1))
os._exit(0)
"""


def state(directory: Path, tree: Tree) -> tuple[str, str, str]:
    """Return of which state each part is: the ledger, the keystore, the settings."""
    values = key_values(directory / "ledger.db")
    files = tree(directory)
    has_later_key = "keystore/0198c0de-0000-7000-8000-00000000000f.json" in files
    assert "keystore/keystore.json" in files
    return (
        "old" if values.get("later") == "v" else "new" if "restored_at" in values else "unmarked",
        "old" if has_later_key else "new",
        "old" if b"# later" in files["config.toml"] else "new",
    )


@pytest.fixture
def victims(
    memory: Path, home: "Home", killed: Callable[..., list[Path]]
) -> Callable[..., list[Path]]:
    """Return a function that kills restores over a state whose newest is in the WAL alone."""
    directory = shutil.copytree(home.directory, memory / "data")
    change(directory)
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.key_values.put("later", "", now_s=1))
    subprocess.run([sys.executable, "-c", CRASH, str(directory)], check=True)
    assert (directory / "ledger.db-wal").stat().st_size
    return lambda act, *, stride: killed(memory, act, stride=stride)


@pytest.mark.slow
@pytest.mark.proof
def test_cut_off_at_any_step_one_of_the_two_states_is_complete_after_recovery(
    victims: Callable[..., list[Path]], tree: Tree, proof: Any
) -> None:
    is_full = proof.wanted(10) == 10
    seen = []
    for _ in proof.until(proof.wanted(150), unit="cuts", budget_s=50):
        for victim in victims("restore", stride=1 if is_full else 6):
            assert is_initialised(victim), "nobody is told to begin anew"
            with claimed(victim) as lock, open_ledger(victim, lock=lock):
                pass
            parts = state(victim, tree)
            assert len(set(parts)) == 1, (victim.name, parts)
            seen.append(parts[0])
            assert not (victim / "restore.json").exists()
            assert not list(victim.glob("restore-*"))
            if parts[0] == "new":
                [replaced] = victim.glob("replaced-*-*")
                assert state(replaced, tree) == ("old",) * 3
            proof.count()
    assert {"old", "new"} == set(seen), "it was cut off on both sides of the turning point"
    proof.control(f"{seen.count('old')} old, {seen.count('new')} new")


@pytest.mark.slow
@pytest.mark.proof
def test_cut_off_on_the_way_back_one_of_the_two_states_is_complete_after_recovery(
    victims: Callable[..., list[Path]], tree: Tree, proof: Any
) -> None:
    is_full = proof.wanted(10) == 10
    seen = []
    for _ in proof.until(proof.wanted(100), unit="cuts", budget_s=50):
        for victim in victims("restore in vain", stride=1 if is_full else 9):
            with claimed(victim) as lock, open_ledger(victim, lock=lock):
                pass
            parts = state(victim, tree)
            assert len(set(parts)) == 1, (victim.name, parts)
            seen.append(parts[0])
            assert not (victim / "restore.json").exists()
            assert not list(victim.glob("restore-*"))
            proof.count()
    assert {"old", "new"} == set(seen)
    proof.control(f"{seen.count('old')} old, {seen.count('new')} new")


@pytest.mark.slow
def test_control_a_restore_without_a_journal_leaves_a_mixture(
    victims: Callable[..., list[Path]], tree: Tree
) -> None:
    mixed = 0
    for victim in victims("restore naively", stride=2):
        if not (victim / "keystore" / "keystore.json").exists():
            mixed += 1
            continue
        mixed += len({part.replace("unmarked", "new") for part in state(victim, tree)}) > 1
    assert mixed


class SetForward:
    """A clock of this boot that somebody has set, 25 hours forward, since it was believed."""

    def __init__(self, clock: "StillClock", *, seconds: int = 25 * 3600) -> None:
        self.clock = clock
        self.ahead_s = seconds

    def now_s(self) -> int:
        return self.clock.now_s() + self.ahead_s

    def monotonic_s(self) -> float:
        return self.clock.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody waits {seconds} s here")


def believe(directory: Path, clock: "StillClock", *, boot_id: str | None = None) -> None:
    """Let the ledger know the clock as it is now, as a start of the daemon does."""
    with open_ledger(directory) as ledger:
        guard = ClockGuard(clock, boot_id=boot_id or read_boot_id())
        guard.start(ledger)
        ledger.write(guard.keep)


def believed_s(directory: Path, clock: Clock) -> int:
    """Return what the next start of the daemon takes for the time."""
    with open_ledger(directory) as ledger:
        return guarded(clock, ledger).now_s()


@pytest.mark.parametrize("place", ["there", "another boot", "missing", "damaged", "no anchor"])
def test_a_restore_ends_no_doubt_about_the_clock(
    home: "Home", directory: Path, clock: "StillClock", tree: Tree, place: str
) -> None:
    """The backup was made before this boot, or by who never started a daemon."""
    believe(directory, clock, boot_id="another" if place == "another boot" else None)
    if place == "missing":
        (directory / "ledger.db").unlink()
    elif place == "damaged":
        (directory / "ledger.db").write_bytes(b"SQLite format 3" + bytes(5000))
    elif place == "no anchor":
        shutil.copy(home.directory / "ledger.db", directory / "ledger.db")
    before = tree(directory)
    ahead = SetForward(clock)
    restored = restore_backup(home.opened, directory, clock=ahead)
    assert restored.is_clock_in_doubt
    assert believed_s(directory, ahead) == clock.now_s()
    assert restored.replaced is not None
    kept = tree(restored.replaced)
    assert kept == {name: before[name] for name in kept}, "it was read, and nothing was changed"
    assert not list(directory.glob(".backup-work-*"))


def test_what_the_replaced_ledger_knows_is_read_from_its_wal_too(
    home: "Home", directory: Path, clock: "StillClock"
) -> None:
    with open_ledger(directory) as ledger:
        guard = ClockGuard(clock, boot_id=read_boot_id())
        guard.start(ledger)
        ledger.write(guard.keep)
        crashed = shutil.copytree(directory, directory.parent / "crashed")
    assert (crashed / "ledger.db-wal").stat().st_size
    later = SetForward(clock, seconds=-3600)  # Before the backup was made.
    assert restore_backup(home.opened, crashed, clock=later).is_clock_in_doubt
    with open_ledger(crashed) as ledger:
        known = ledger.read(stored_anchors)
    assert known == [ClockReading(read_boot_id(), clock.monotonic_s(), clock.now_s())]


def test_the_control_a_restore_that_knows_the_backup_alone_believes_a_clock_that_was_set(
    home: "Home", directory: Path, clock: "StillClock", tmp_path: Path
) -> None:
    believe(directory, clock)
    ahead = SetForward(clock)
    (tmp_path / "naive").mkdir(mode=0o700)
    home.opened.extract(tmp_path / "naive")
    assert believed_s(tmp_path / "naive", ahead) == ahead.now_s()


@pytest.mark.parametrize("is_believed", [False, True], ids=["in doubt", "control"])
def test_neither_an_offline_backup_nor_a_restore_is_dated_by_a_clock_that_was_set(
    directory: Path, clock: "StillClock", passwords: tuple[bytes, bytes], *, is_believed: bool
) -> None:
    if not is_believed:
        with open_ledger(directory) as ledger:
            guard = ClockGuard(clock, boot_id=read_boot_id())
            guard.start(ledger)
            ledger.write(guard.keep)
    ahead = SetForward(clock)
    made = make_offline(
        directory,
        password=passwords[1],
        master_password=lambda: passwords[0],
        clock=ahead,
        version="1.2.3",
    )
    opened = open_backup(directory / "backups" / made.name, passwords[1])
    restore_backup(opened, directory, clock=ahead)
    with open_ledger(directory) as ledger:
        last_s = ledger.read(lambda tx: tx.audit.latest_timestamp())
    assert last_s == (ahead if is_believed else clock).now_s()
