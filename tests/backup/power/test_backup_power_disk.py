"""The model of a disk itself: it must be able to lose, and must see whatever is changed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waiaas.backups.disk import new_file, sync_folder
from waiaas.database import create_database, push_schema

if TYPE_CHECKING:
    from tests.backup.power.conftest import Disk, Instruments, Tree

Work = Callable[[Path], object]
Watch = Callable[[Work], "Disk"]


@pytest.fixture
def watch(instruments: "Instruments", memory: Path) -> Watch:
    """Return a function that watches some work and returns what the disk is in at its end."""
    (memory / "one").mkdir()
    (memory / "two").mkdir()
    (memory / "one" / "old").write_bytes(b"old")

    def watched(work: Work) -> "Disk":
        recorder = instruments.recorder(memory, omits=lambda _: False)
        with recorder.watching():
            work(memory)
        call, disk = recorder.moments[-1]
        assert call == "the end"
        return disk

    return watched


@pytest.fixture
def trees(instruments: "Instruments") -> Callable[["Disk"], Iterator["Tree"]]:
    """Return a function that cuts the power in many ways."""

    def cut(disk: "Disk") -> Iterator["Tree"]:
        for seed in range(100):
            tree = disk.cut(instruments.survives.ANY, instruments.chance(f"{seed}"))
            assert tree.keys() >= {"one/", "two/"}
            yield {name: tree[name] for name in tree if not name.endswith("/")}

    return cut


Trees = Callable[["Disk"], Iterator["Tree"]]


def test_a_name_and_a_content_are_lost_unless_each_is_synced(watch: Watch, trees: Trees) -> None:
    def write(root: Path) -> None:
        (root / "one" / "content").write_bytes(b"new")
        with new_file(root / "one" / "both") as file:
            file.write(b"new")
        sync_folder(root / "one")
        with new_file(root / "one" / "name") as file:
            file.write(b"new")

    seen = list(trees(watch(write)))
    assert {tree["one/both"] for tree in seen} == {b"new"}
    contents = {tree["one/content"] for tree in seen}
    assert contents > {b"", b"new"}, "and some of it, or a file that has only grown"
    assert {tree.get("one/name") for tree in seen} == {None, b"new"}


def test_a_renaming_is_durable_when_both_folders_are_and_is_never_there_in_halves(
    watch: Watch, trees: Trees
) -> None:
    before, after = {"one/old": b"old"}, {"two/new": b"old"}

    def rename(root: Path) -> None:
        (root / "one" / "old").rename(root / "two" / "new")
        sync_folder(root / "two")

    disk = watch(rename)
    seen = list(trees(disk))
    assert before in seen
    assert after in seen
    assert all(tree in (before, after) for tree in seen)
    for number in list(disk.folders):
        disk.sync(number)
    assert list(trees(disk)) == [after] * 100


def test_changes_survive_in_any_order(watch: Watch, trees: Trees) -> None:
    def make(root: Path) -> None:
        for name in ("a", "b", "c"):
            os.close(os.open(root / "two" / name, os.O_CREAT))

    assert len({frozenset(tree) for tree in trees(watch(make))}) == 8, "every subset"


def test_what_comes_by_no_call_of_this_process_is_seen_and_not_taken_for_synced(
    watch: Watch, trees: Trees
) -> None:
    program = "import os, sys; os.fsync(os.open(sys.argv[1], os.O_CREAT | os.O_RDWR))"

    def run(root: Path) -> None:
        subprocess.run([sys.executable, "-c", program, str(root / "two" / "x")], check=True)

    assert {"two/x" in tree for tree in trees(watch(run))} == {True, False}


def test_what_sqlite_synced_is_kept(watch: Watch, trees: Trees) -> None:
    def make(root: Path) -> None:
        with create_database(root / "two" / "ledger.db") as connection:
            push_schema(connection)
        sync_folder(root / "two")

    disk = watch(make)
    assert all(
        tree == {"one/old": b"old", "two/ledger.db": tree["two/ledger.db"]} for tree in trees(disk)
    )
    assert len({tree["two/ledger.db"] for tree in trees(disk)}) == 1
