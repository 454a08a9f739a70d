"""What is in the place of a file of the daemon's own: start and doctor name it, and how to mend it.

Each row makes one such state, sees both name it and neither touch it, does what they say, and sees
both content.
"""

import contextlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.canaries import MARKER

from waiaas import daemon
from waiaas.backups.create import _folder_of_backups
from waiaas.config.reading import load_config
from waiaas.daemon import initialise
from waiaas.database.errors import DatabaseError
from waiaas.directory import DaemonError
from waiaas.doctor.answers import Answer
from waiaas.doctor.examination import examine
from waiaas.doctor.finding import Finding, State, Subject
from waiaas.layout import PLACES, Kind, obstacles, open_to_others, require_in_order
from waiaas.stages import Start
from waiaas.system import SystemClock

NOW_S = 1_900_000_000
NEEDED = [each.name for each in PLACES.values() if each.is_needed]
WORKERS = [each.name for each in PLACES.values() if not each.is_needed]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "data"
    assert initialise(directory, f"{MARKER} correct horse".encode())
    (directory / "config.toml").write_text("[daemon]\nport = 0\n", encoding="utf-8")
    return directory


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def to_mend(directory: Path) -> list[Finding]:
    findings = examine(
        directory, answer=Answer(None, None, None), version="1", now_s=NOW_S, with_nodes=False
    )
    return [
        each
        for each in findings
        if each.state is State.MEND and each.subject not in (Subject.FILE_SYSTEM, Subject.SPACE)
    ]


def start(directory: Path) -> None:
    """Open all that a start opens before it has an event loop; locked, so without a derivation."""
    timing = Start(SystemClock(), end=lambda _: None)
    with contextlib.ExitStack() as stack:
        daemon._open(directory, load_config(directory), None, start=timing, stack=stack)


def lasting(path: Path) -> tuple[int, int, int]:
    """Return what a look at it does not change, as it does when it was last looked at."""
    found = path.lstat()
    return found.st_mode, found.st_ino, found.st_mtime_ns


def emptied(path: Path) -> Path:
    path.unlink(missing_ok=True)
    if path.is_dir():
        path.rmdir()
    return path


def a_folder(path: Path) -> None:
    emptied(path).mkdir(mode=0o700)


def a_file(path: Path) -> None:
    emptied(path).touch(mode=0o600)


def a_fifo(path: Path) -> None:
    """SQLite, and whoever reads a journal, would wait for somebody to write."""
    os.mkfifo(emptied(path), 0o600)


def a_link(path: Path) -> None:
    emptied(path).symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *((name, a_folder) for name in NEEDED),
        *((name, a_fifo) for name in NEEDED if name.startswith(("ledger", "restore"))),
        ("daemon.json", a_link),
        ("daemon.sock", a_file),
    ],
)
def test_what_is_in_the_place_of_a_file_of_its_own_is_named_and_left_alone(
    place: Path, name: str, make: Callable[[Path], None]
) -> None:
    path = place / name
    aside = place.parent / "aside"
    original = path.rename(place.parent / "original") if path.exists() else None
    make(path)
    before = lasting(path)
    with pytest.raises((DaemonError, DatabaseError), match=f"{name} is .* move it away"):
        start(place)
    [found] = to_mend(place)
    assert found.subject is Subject.FILES
    assert found.found.startswith(f"{path} is ")
    assert "ove it away" in str(found.remedy)
    assert lasting(path) == before
    path.rename(aside)
    if name == "ledger.db":  # Of which it says to restore the newest backup.
        assert original is not None
        original.rename(path)
    start(place)
    assert to_mend(place) == []


@pytest.mark.parametrize("name", NEEDED)
def test_control_its_own_files_are_in_nobodys_way_whoever_left_them(place: Path, name: str) -> None:
    if PLACES[name].kind is Kind.SOCKET:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(place / name))
    elif not (place / name).exists():
        (place / name).touch(mode=0o600)
    require_in_order(place)


@pytest.mark.parametrize("name", WORKERS)
def test_what_only_a_worker_needs_keeps_nobody_from_starting_and_is_named_by_doctor(
    place: Path, name: str
) -> None:
    path = place / name
    (a_file if PLACES[name].kind is Kind.FOLDER else a_folder)(path)
    start(place)
    [found] = to_mend(place)
    assert (found.subject, str(path) in found.found) == (Subject.FILES, True)
    assert found.remedy == "See what it is, and move it away."
    path.rename(place.parent / "aside")
    start(place)
    assert to_mend(place) == []


def test_whoever_makes_a_backup_is_told_the_same_of_its_folder(place: Path) -> None:
    a_file(place / "backups")
    with pytest.raises(DaemonError, match=r"backups is in the place of .* move it away"):
        _folder_of_backups(place)
    (place / "backups").rename(place.parent / "aside")
    assert _folder_of_backups(place).is_dir()
    assert to_mend(place) == []


@pytest.mark.parametrize("name", [name for name in PLACES if name.startswith("ledger.db")])
def test_a_ledger_with_a_second_name_is_given_a_file_of_its_own(place: Path, name: str) -> None:
    """As `cp -al` and `rsync --link-dest` leave it: both directories would write to one file."""
    path = place / name
    path.touch(mode=0o600)
    os.link(path, place.parent / "other")
    with pytest.raises(DaemonError, match=f"{name} has a second name .* cp -p"):
        start(place)
    [found] = to_mend(place)
    assert "second name" in found.found
    command = str(found.remedy).partition(": ")[2]
    assert command == f"cp -p {path} {path}.own && mv {path}.own {path}"
    shutil.copy2(path, f"{path}.own")
    Path(f"{path}.own").replace(path)
    start(place)
    assert to_mend(place) == []


@pytest.mark.parametrize("name", [".", "ledger.db"])
def test_what_is_immutable_is_told_with_the_command_that_ends_it(place: Path, name: str) -> None:
    """As the system says it, also to root; the tests may not make a file so."""
    immutable = place / name

    def may(path: Path, _mode: int) -> bool:
        return path != immutable

    [found] = obstacles(place, may=may)
    assert found.place.is_needed
    assert "takes no writes" in found.problem
    assert f"chattr -i {immutable}" in found.remedy
    assert list(obstacles(place)) == []
    immutable.chmod(immutable.stat().st_mode & 0o500)
    assert list(obstacles(place, may=may)) == [], "the check of modes tells of that"
    immutable.chmod(0o700)


@pytest.mark.parametrize(
    "name", [".backup-work-0123456789abcdef", "restore-01890000-0000-7000-8000-000000000000"]
)
def test_a_file_with_the_name_of_a_folder_of_backups_is_told_by_both(
    place: Path, name: str
) -> None:
    a_file(place / name)
    with pytest.raises(DaemonError, match="is no folder"):
        start(place)
    [found] = to_mend(place)
    assert (found.subject, "is no folder" in found.found) == (Subject.RESTORE, True)
    assert "Move it away" in str(found.remedy)
    (place / name).rename(place.parent / "aside")
    start(place)
    assert to_mend(place) == []


def test_a_ledger_that_others_could_open_starts_with_a_word_in_the_log(place: Path) -> None:
    """Nobody else gets into the folder; whoever copies it elsewhere takes the mode along."""
    (place / "ledger.db").chmod(0o644)
    with capture_logs() as logs:
        start(place)
    [told] = [each for each in logs if each["log_level"] == "warning"]
    assert told["event"] == "a file is open to other users"
    [found] = to_mend(place)
    command = f"chmod 600 {place / 'ledger.db'}"
    assert told["remedy"] == command
    assert str(found.remedy).endswith(command)
    (place / "ledger.db").chmod(0o600)
    assert open_to_others(place) == []
    assert to_mend(place) == []
