"""Power cuts while a backup is made: none is half there under its name; a reported one stays."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.backups.create import BackupMaker
from waiaas.backups.errors import BackupError
from waiaas.backups.file import open_with_key
from waiaas.backups.swap import claimed
from waiaas.database import generate_id, open_ledger

if TYPE_CHECKING:
    from tests.backup.conftest import Home, StillClock
    from tests.backup.power.conftest import Disk, Instruments

Omits = Callable[[Path], bool]


class Making:
    """The making of a first backup, watched, and what may be left of it."""

    def __init__(self, home: "Home", clock: "StillClock", instruments: "Instruments") -> None:
        self._home = home
        self._clock = clock
        self._instruments = instruments
        self._key = bytearray()
        self._known: dict[bytes, bool] = {}
        self.name = ""
        self.reported = 0
        """At which of the moments it had been reported as made."""
        self.moments: list[tuple[str, Disk]] = []

    def protect_file_key(self, file_key: bytearray, *, facts: bytes) -> Any:
        """Be the keystore; keep the key, to open the backup without a derivation."""
        self._key[:] = file_key
        return self._home.keystore.protect_file_key(file_key, facts=facts)

    def make(self, directory: Path, *, omits: Omits) -> None:
        recorder = self._instruments.recorder(directory.parent, omits=omits)
        keystore: Any = self
        with (
            recorder.watching(),
            claimed(directory) as lock,
            open_ledger(directory, lock=lock) as ledger,
        ):
            maker = BackupMaker(
                directory,
                ledger=ledger,
                keystore=keystore,
                clock=self._clock,
                generate_id=generate_id,
                version="1.2.3",
            )
            self.name = f"data/backups/{maker.make(None).name}"
            self.reported = len(recorder.moments)
        self.moments = recorder.moments

    def faults(self, folder: Path, seed: str) -> list[str]:
        """Cut the power at every moment; return what is wrong then, "" where nothing is."""
        survives, rng = self._instruments.survives, self._instruments.chance(seed)
        faults = []
        for number, (call, disk) in enumerate(self.moments):
            for way in (survives.NOTHING, survives.ALL, *[survives.ANY] * 4):
                content = disk.cut(way, rng).get(self.name)
                is_lost = content is None and number >= self.reported
                is_half = content is not None and not self._is_whole(content, folder)
                faults.append(f"{call}, {way}: lost" * is_lost + f"{call}, {way}: half" * is_half)
        return faults

    def _is_whole(self, content: bytes, folder: Path) -> bool:
        if content not in self._known:
            file = folder / "a.waiaas-backup"
            file.write_bytes(content)
            try:
                open_with_key(file, self._key).extract(None)
            except BackupError:
                self._known[content] = False
            else:
                self._known[content] = True
        return self._known[content]


@pytest.fixture
def made(
    home: "Home", clock: "StillClock", instruments: "Instruments", memory: Path
) -> Callable[[str, Omits], Making]:
    """Return a function that watches the making of a backup in a place of its own."""

    def make(place: str, omits: Omits) -> Making:
        directory = memory / place / "data"
        shutil.copytree(home.directory, directory, ignore=shutil.ignore_patterns("backups"))
        making = Making(home, clock, instruments)
        making.make(directory, omits=omits)
        return making

    return make


@pytest.mark.slow
@pytest.mark.proof
def test_a_power_cut_leaves_no_half_backup_and_keeps_a_reported_one(
    made: Callable[[str, Omits], Making], tmp_path: Path, proof: Any
) -> None:
    making = made("ours", lambda _: False)
    for turn in proof.until(proof.wanted(2000), unit="images", budget_s=10):
        faults = making.faults(tmp_path, f"{proof.seed}:{turn}")
        proof.count(len(faults))
        proof.lose(sum(map(bool, faults)))
        assert not any(faults), [fault for fault in faults if fault]

    left_out: dict[str, Omits] = {
        "of folders": Path.is_dir,
        "of the backup": lambda path: path.name.endswith(".new"),
    }
    for what, omits in left_out.items():
        faults = made(what, omits).faults(tmp_path, f"{proof.seed}")
        proof.control(f"without syncs {what} {sum(map(bool, faults))} of {len(faults)} lost")
        assert any(faults), what
