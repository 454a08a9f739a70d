"""A backup whose maker is killed, at any step: no plain copy, no half backup, and the next goes.

Its maker is forked and ends before its n-th call that opens a file, changes a name or syncs, or
in the middle of what SQLite writes; for every n, without a daemon and beside a busy ledger.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from waiaas.backups.create import BackupMaker, list_backups
from waiaas.backups.errors import BackupError
from waiaas.backups.file import open_with_key
from waiaas.backups.swap import claimed
from waiaas.database import generate_id, open_ledger
from waiaas.database.contents import read_contents

if TYPE_CHECKING:
    from tests.backup.conftest import Home, StillClock

STRIDE: Final = 6
"""`make test` kills at one step in so many."""

CONTROL_FIRST: Final = 20
"""The naive one is killed from here on, at every step; before, it has done nothing yet."""


class Heir:
    """Comes after the killed one, and looks at what it left."""

    def __init__(self, home: "Home", clock: "StillClock") -> None:
        self._home = home
        self._clock = clock
        self._others = {home.by_password.name, home.by_keystore.name}

    def faults(self, directory: Path) -> list[str]:
        """Return what is wrong with a directory, at once and after a start and a backup."""
        faults = self._faults_of_backups(directory)
        listed = len(list_backups(directory)[0])
        with claimed(directory):
            pass
        faults += [f"in plain: {name}" for name in strange_files(directory)]
        made = self._make_one(directory)
        faults += self._faults_of_backups(directory, made)
        if len(list_backups(directory)[0]) != listed + 1:
            faults.append("the next one was not made, or another was lost")
        faults += [f"left over: {path.name}" for path in (directory / "backups").glob(".*")]
        return faults

    def _faults_of_backups(self, directory: Path, *known: str) -> list[str]:
        """Every backup that has its name must be whole, and written down."""
        listed, faults = list_backups(directory)
        for name in {backup.name for backup in listed} - self._others - set(known):
            faults += self._faults_of(directory, name)
        faults += [f"lost: {name}" for name in self._others - {backup.name for backup in listed}]
        return faults

    def _faults_of(self, directory: Path, name: str) -> list[str]:
        """Open a backup with the key that it has; its maker wrote down all that it used."""
        faults = []
        for key in directory.with_suffix(".keys").read_text("ascii").split():
            try:
                opened = open_with_key(directory / "backups" / name, bytearray.fromhex(key))
                opened.extract(None)
            except BackupError as error:
                faults.append(str(error))
            else:
                return []
        return faults

    def _make_one(self, directory: Path) -> str:
        with claimed(directory) as lock, open_ledger(directory, lock=lock) as ledger:
            maker = BackupMaker(
                directory,
                ledger=ledger,
                keystore=self._home.keystore,
                clock=self._clock,
                generate_id=generate_id,
                version="1.2.3",
            )
            return maker.make(None).name


def strange_files(directory: Path) -> list[str]:
    """Return where a ledger, or a part of one, may lie in plain beside the ledger itself."""
    usual = ("ledger.db", "backups/", "keystore/", "config.toml", "ballast", "clean-stop")
    names = (str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
    return [name for name in names if not name.startswith(usual)]


def unrecorded(directory: Path) -> list[str]:
    """Return the backups without their row in the audit log; nobody has the ledger open."""
    table = read_contents(directory / "ledger.db")["audit_log"]
    column = table.columns.index("details")
    told = "".join(str(row[column]) for row in table.rows)
    listed, _ = list_backups(directory)
    return [f"not written down: {backup.name}" for backup in listed if backup.id not in told]


@pytest.fixture
def heir(home: "Home", clock: "StillClock") -> Heir:
    return Heir(home, clock)


@pytest.fixture
def base(home: "Home", memory: Path) -> Path:
    """Return the folder in which `data` is copied for each victim."""
    shutil.copytree(home.directory, memory / "data")
    return memory


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("how", ["create", "create beside requests", "create on schedule"])
def test_killed_at_any_step_it_leaves_no_plain_copy_and_no_half_backup(
    base: Path, heir: Heir, killed: Callable[..., list[Path]], how: str, proof: Any
) -> None:
    is_full = proof.wanted(STRIDE) == STRIDE
    steps = {"stride": 1, "writes": 1} if is_full else {"stride": STRIDE, "writes": 16}
    for turn in proof.until(proof.wanted(80), unit="kills", budget_s=50):
        assert not turn, "there were enough steps"
        for victim in killed(base, how, **steps):
            faults = [*unrecorded(victim), *heir.faults(victim)]
            assert not faults, (victim.name, faults)
            proof.count()


@pytest.mark.slow
def test_control_a_backup_written_into_its_place_is_half_there_and_its_copy_stays(
    base: Path, heir: Heir, killed: Callable[..., list[Path]]
) -> None:
    faults: list[str] = []
    for victim in killed(base, "create naively", first=CONTROL_FIRST):
        faults += [*unrecorded(victim), *heir.faults(victim)]
    for kind in ("in plain", "not written down", "not a backup"):
        assert any(kind in fault for fault in faults), (kind, faults)
