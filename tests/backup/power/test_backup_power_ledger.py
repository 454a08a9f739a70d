"""What a ledger has beside it: its copy before an upgrade, and the mark of a clean stop."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from waiaas.database import create_database, push_schema
from waiaas.database.clean_stop import CLEAN_STOP_NAME, CleanStop
from waiaas.database.snapshot import copy_database
from waiaas.database.upgrade import _keep_copy

if TYPE_CHECKING:
    from tests.backup.power.conftest import Instruments, Tree

Work = Callable[[Path], object]
After = Callable[..., list["Tree"]]

COPY: Final = "ledger.db.before-v2"


@pytest.fixture
def after(instruments: "Instruments", memory: Path) -> After:
    """Return what does some work and cuts the power in many ways when it has ended."""

    def cut(work: Work, *, omits: Callable[[Path], bool] = lambda _: False) -> list["Tree"]:
        recorder = instruments.recorder(memory, omits=omits)
        with recorder.watching():
            work(memory)
        _, disk = recorder.moments[-1]
        return [
            disk.cut(instruments.survives.ANY, instruments.chance(f"{seed}")) for seed in range(50)
        ]

    return cut


@pytest.fixture
def ledger(memory: Path) -> Path:
    path = memory / "ledger.db"
    with create_database(path) as connection:
        push_schema(connection)
    return path


def test_the_copy_before_an_upgrade_has_its_name_for_good(ledger: Path, after: After) -> None:
    def keep(_: Path) -> None:
        _keep_copy(ledger, version=2)

    naive = after(keep, omits=lambda path: (ledger.parent / COPY).exists() and path.is_dir())
    assert any(COPY not in tree for tree in naive), "the control: without the last sync"
    (ledger.parent / COPY).unlink()
    trees = after(keep)
    content = (ledger.parent / COPY).read_bytes()
    assert all(tree.get(COPY) == content for tree in trees)


def test_a_copy_is_on_the_disk_when_it_is_reported(ledger: Path, after: After) -> None:
    trees = after(lambda folder: copy_database(ledger, folder / "copy.db"))
    content = ledger.with_name("copy.db").read_bytes()
    assert all(tree.get("copy.db") == content for tree in trees)


def test_a_mark_that_was_removed_does_not_come_back(memory: Path, after: After) -> None:
    def clear(folder: Path) -> None:
        assert CleanStop(folder).clear()

    CleanStop(memory).make()
    naive = after(clear, omits=Path.is_dir)
    assert any(CLEAN_STOP_NAME in tree for tree in naive), "the control: without the sync"
    CleanStop(memory).make()
    assert not any(CLEAN_STOP_NAME in tree for tree in after(clear))
