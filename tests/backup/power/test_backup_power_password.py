"""Power cuts while keystore.json is replaced: the old one or the new one, and the new once told.

Each was opened with its password in the tests of the keystore; here the contents stand for them.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from waiaas.keystore.files import PrivateDirectory

if TYPE_CHECKING:
    from tests.backup.conftest import Home
    from tests.backup.power.conftest import Disk, Instruments

Write = Callable[[PrivateDirectory, bytes], None]
Omits = Callable[[Path], bool]

NAME: Final = "keystore.json"
NEW: Final = bytes(range(256)) * 8


def ours(directory: PrivateDirectory, content: bytes) -> None:
    directory.replace(NAME, content, verify=lambda _: None)


def in_place(directory: PrivateDirectory, content: bytes) -> None:
    (directory.path / NAME).write_bytes(content)


def keeps_all(_: Path) -> bool:
    return False


class Watched:
    """One replacement, and what a power cut at any moment may leave of it."""

    def __init__(self, instruments: "Instruments", home: "Home", memory: Path) -> None:
        self._instruments = instruments
        self._source = home.directory / "keystore"
        self._memory = memory

    def faults(self, place: str, write: Write, omits: Omits) -> list[str]:
        """Return what is wrong at some moments."""
        directory = self._memory / place / "keystore"
        shutil.copytree(self._source, directory)
        old = (directory / NAME).read_bytes()
        recorder = self._instruments.recorder(directory.parent, omits=omits)
        with recorder.watching():
            write(PrivateDirectory(directory), NEW)
        return [
            fault
            for number, (call, disk) in enumerate(recorder.moments)
            for fault in self._faults(
                disk, call, {NEW} if number == len(recorder.moments) - 1 else {old, NEW}
            )
        ]

    def _faults(self, disk: "Disk", call: str, allowed: set[bytes]) -> list[str]:
        survives, rng = self._instruments.survives, self._instruments.chance(call)
        ways = (survives.NOTHING, survives.ALL, *[survives.ANY] * 20)
        found = [(way, disk.cut(way, rng).get(f"keystore/{NAME}")) for way in ways]
        return [f"{call}, {way}" for way, content in found if content not in allowed]


@pytest.fixture
def watched(instruments: "Instruments", home: "Home", memory: Path) -> Watched:
    return Watched(instruments, home, memory)


def test_a_power_cut_leaves_one_whole_keystore_file_and_the_new_one_once_told(
    watched: Watched,
) -> None:
    assert not watched.faults("ours", ours, keeps_all)


@pytest.mark.parametrize(
    ("what", "write", "omits"),
    [
        ("in place", in_place, keeps_all),
        ("the file is not synced", ours, lambda path: path.name.endswith(".tmp")),
        ("the folder is not synced", ours, Path.is_dir),
    ],
)
def test_control_without_any_one_step_a_cut_loses_it(
    watched: Watched, what: str, write: Write, omits: Omits
) -> None:
    assert watched.faults(what, write, omits)
