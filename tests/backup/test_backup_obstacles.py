"""What stands in a restore's way: seen before it begins, or else undone, or gone on from."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from typer.testing import CliRunner

from waiaas.backups.errors import BackupError
from waiaas.backups.restore import restore_backup
from waiaas.backups.swap import _go_forward, _Journal, claimed, swap
from waiaas.cli.app import app
from waiaas.directory import write_private

if TYPE_CHECKING:
    from tests.backup.conftest import Home, StillClock

Tree = Callable[[Path], dict[str, bytes]]
Refuses = Callable[[int, tuple[str, ...]], bool]
"""Given the number of a call and what it is about: whether the system refuses it."""

STAGED: Final = "restore-0198c0de-0000-7000-8000-00000000000f"
REPLACED: Final = "replaced-x"
OLD: Final = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "keystore/k.json", "config.toml")
NEW: Final = ("ledger.db", "keystore/k.json", "config.toml")
RENAMES: Final = len(OLD) + len(NEW)
SYNCS: Final = 14
"""More than a restore's moves have."""

MOUNTED: Final = """
import pathlib, sys
from waiaas.backups.swap import require_movable
try:
    require_movable(pathlib.Path(sys.argv[1]))
except Exception as error:
    print(error)
"""


def at_home(tmp_path: Path) -> Path:
    """Make an old state, and the new one that is to take its place."""
    directory = tmp_path / f"home-{len(list(tmp_path.iterdir()))}"
    for folder, names in ((directory, OLD), (directory / STAGED, NEW)):
        (folder / "keystore").mkdir(parents=True, mode=0o700)
        for name in names:
            (folder / name).write_text("new" if names is NEW else "old")
    return directory


def state(directory: Path, tree: Tree) -> str:
    """Return which state is whole, with nothing besides."""
    found = tree(directory)
    found.pop(".restore.json.new", None)  # The next restore writes over it.
    is_clean = not list(directory.glob("restore*"))
    if is_clean and found == dict.fromkeys(OLD, b"old"):
        return "old"
    kept = {f"{REPLACED}/{name}": b"old" for name in OLD}
    return "new" if is_clean and found == dict.fromkeys(NEW, b"new") | kept else "neither"


@contextmanager
def refused(name: str, refuses: Refuses, number: int = errno.EBUSY) -> Iterator[list[int]]:
    """Have calls of `os` refused; yield the list of those that were."""
    call = getattr(os, name)
    calls, hit = [0], []

    def asked(*arguments: Any) -> Any:
        calls[0] += 1
        about = tuple(map(str, arguments))
        if refuses(calls[0], about):
            hit.append(calls[0])
            names = (about[0], None, about[1]) if name == "rename" else ()
            raise OSError(number, os.strerror(number), *names)
        return call(*arguments)

    setattr(os, name, asked)
    try:
        yield hit
    finally:
        setattr(os, name, call)


def the_same(step: int) -> Refuses:
    """Refuse the call of that number, and whoever asks for the same again."""
    about: list[tuple[str, ...]] = []

    def refuses(number: int, asked: tuple[str, ...]) -> bool:
        if number == step:
            about.append(asked)
        return asked in about

    return refuses


HOW_LONG: Final[dict[str, Callable[[int], Refuses]]] = {
    "once": lambda step: lambda number, _: number == step,
    "for ever": the_same,
    "all from then on": lambda step: lambda number, _: number >= step,
}


@pytest.mark.parametrize("how_long", HOW_LONG)
@pytest.mark.parametrize("number", [errno.EBUSY, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("call", [("rename", RENAMES), ("fsync", SYNCS)], ids=str)
def test_a_step_that_is_refused_is_undone_or_gone_on_from(
    tmp_path: Path, tree: Tree, how_long: str, number: int, call: tuple[str, int]
) -> None:
    (name, steps), ends = call, []
    for step in range(1, steps + 1):
        directory = at_home(tmp_path)
        with refused(name, HOW_LONG[how_long](step), number) as hit:
            try:
                swap(directory, staged=STAGED, replaced=REPLACED)
            except BackupError as error:
                told = str(error)
            else:
                told = ""
        assert bool(told) == bool(hit)
        assert not told or (os.strerror(number) in told and str(directory) in told)
        found = state(directory, tree)
        if "as it was before" in told:
            assert found == "old", step
        elif told:
            assert "goes on from there" in told
        else:
            assert found == "new"
        with claimed(directory):
            pass
        ends.append(state(directory, tree))
        assert ends[-1] in {"old", "new"}, step
    assert set(ends) == {"old", "new"} or how_long != "once"


def test_a_keystore_that_can_never_be_moved_costs_nothing_but_the_restore(
    tmp_path: Path, tree: Tree
) -> None:
    directory, naive = at_home(tmp_path), at_home(tmp_path)

    def refuses(_: int, asked: tuple[str, ...]) -> bool:
        return asked[0] in {str(home / "keystore") for home in (directory, naive)}

    with refused("rename", refuses):
        with pytest.raises(BackupError, match=r"keystore cannot become .* as it was before"):
            swap(directory, staged=STAGED, replaced=REPLACED)
        with claimed(directory):
            assert state(directory, tree) == "old"
        # The control: forward only, as it was once.
        (naive / REPLACED).mkdir()
        journal = _Journal(version=1, staged=STAGED, replaced=REPLACED)
        with pytest.raises(OSError, match="busy"):
            _go_forward(naive, journal)
        assert state(naive, tree) == "neither"
        assert not (naive / "ledger.db").exists()


def test_a_start_that_is_refused_gives_the_old_state_back(tmp_path: Path, tree: Tree) -> None:
    """The restore was killed when its first file was out of the way."""
    directory = at_home(tmp_path)
    (directory / REPLACED).mkdir()
    (directory / "ledger.db").rename(directory / REPLACED / "ledger.db")
    journal = f'{{"version":1,"staged":"{STAGED}","replaced":"{REPLACED}"}}'
    write_private(directory / "restore.json", journal.encode())
    keystore = str(directory / "keystore")
    with (
        refused("rename", lambda _, asked: asked[0] == keystore),
        pytest.raises(BackupError, match="as it was before"),
        claimed(directory),
    ):
        pass
    assert state(directory, tree) == "old"


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "keystore", "config.toml"])
@pytest.mark.parametrize("what", ["dangling", "link", "other"])
def test_what_is_no_file_of_ours_is_refused_before_anything_changes(
    home: "Home", tmp_path: Path, clock: "StillClock", name: str, what: str
) -> None:
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    path = directory / name
    if what == "other":
        path.touch() if name == "keystore" else path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere" if what == "dangling" else home.directory / name)
    with pytest.raises(BackupError, match=f"{path} is .*nothing was changed"):
        restore_backup(home.opened, directory, clock=clock)
    assert list(directory.iterdir()) == [path]
    assert path.is_symlink() == (what != "other")


def test_a_mount_point_of_the_same_file_system_is_refused(
    tmp_path: Path, unshare: list[str] | None
) -> None:
    if unshare is None:
        pytest.skip("nobody may mount here. NOT COVERED: a keystore that is a mount point")
    (tmp_path / "data" / "keystore").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    look = ["{}", "-c", MOUNTED, str(tmp_path / "data")]
    look[0] = sys.executable
    mounted = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    places = [str(tmp_path / "other"), str(tmp_path / "data" / "keystore")]
    line = [*unshare, "sh", "-c", mounted, "sh", *places, *look]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "keystore is a mount point" in done.stdout
    assert subprocess.run(look, capture_output=True, check=True).stdout == b"", "the control"


@pytest.mark.parametrize("name", [".backup-work-0123456789abcdef", STAGED])
def test_a_file_with_the_name_of_a_folder_of_ours_is_named_with_what_to_do(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"somebody's")
    with (
        pytest.raises(BackupError, match=f"{name} is no folder.* Move it away"),
        claimed(tmp_path),
    ):
        pass
    assert (tmp_path / name).read_bytes() == b"somebody's"


@pytest.mark.parametrize("verb", ["create", "verify", "restore"])
def test_who_interrupts_is_told_how_far_it_came(
    home: "Home", directory: Path, tmp_path: Path, passwords: tuple[bytes, bytes], verb: str
) -> None:
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_bytes(passwords[1])
    option = "--backup-password-file" if verb == "create" else "--password-file"
    file = [] if verb == "create" else [str(home.by_password)]
    sure = ["--yes"] if verb == "restore" else []
    line = ["--data-dir", str(directory), "backup", verb, *file, *sure, option, str(password)]
    unchanged = "backup list" if verb == "create" else "Nothing was changed"
    words = {"mkdir": unchanged}
    if verb == "restore":
        words["rename"] = "the next start, or the next restore, goes on"
    for call, word in words.items():
        with interrupted(call):
            result = CliRunner().invoke(app, line)
        assert result.exit_code == 130
        assert word in result.stderr
    with claimed(directory):
        assert (directory / "ledger.db").exists()


@contextmanager
def interrupted(name: str) -> Iterator[None]:
    """Interrupt this process where it calls something of `os`."""
    call = getattr(os, name)

    def asked(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    setattr(os, name, asked)
    try:
        yield
    finally:
        setattr(os, name, call)
