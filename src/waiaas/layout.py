"""What may be in which place of a data directory: one list for a start and for `waiaas doctor`.

What is in the place of a file of the daemon's own is named and left alone: it may be somebody's.
All of it is looked at before anything is opened, since SQLite waits at a FIFO for ever, and takes a
folder in the place of its log for a commit that failed.
"""

import os
import stat
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from waiaas.database.ballast import BALLAST_NAME
from waiaas.database.clean_stop import CLEAN_STOP_NAME
from waiaas.directory import (
    ADDRESS_NAME,
    BACKUPS_NAME,
    COOKIE_NAME,
    JOURNAL_NAME,
    LEDGER_FILE,
    LOCALNET_NAME,
    SOCKET_NAME,
    DaemonError,
)

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OWN: Final = stat.S_IRUSR | stat.S_IWUSR


class Kind(StrEnum):
    """What belongs in a place."""

    FILE = "a file"
    FOLDER = "a folder"
    SOCKET = "a socket"


_MODES: Final = {Kind.FILE: stat.S_IFREG, Kind.FOLDER: stat.S_IFDIR, Kind.SOCKET: stat.S_IFSOCK}
_FOUND: Final = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link"}


class Place(NamedTuple):
    """A place in the data directory. That nothing is there is in order, as far as this goes."""

    name: str
    kind: Kind = Kind.FILE
    is_needed: bool = True
    """Whether nobody can start with anything else there."""
    remedy: str = "See what it is, and move it away."
    is_of_ledger: bool = False
    """Whether SQLite opens it, under this one name, and writes to it."""


_LEDGER: Final = (
    Place(LEDGER_FILE, is_of_ledger=True, remedy="Move it away, and restore the newest backup."),
    *(Place(f"{LEDGER_FILE}-{end}", is_of_ledger=True) for end in ("wal", "shm", "journal")),
)

_DRAFTED: Final = (ADDRESS_NAME, COOKIE_NAME)
"""What is written beside its place, and then moved there (`write_locked`)."""

PLACES: Final = {
    each.name: each
    for each in (
        *_LEDGER,
        Place(CLEAN_STOP_NAME),
        Place(JOURNAL_NAME),
        *(Place(name) for name in _DRAFTED),
        *(Place(f".{name}.new") for name in _DRAFTED),
        Place(SOCKET_NAME, Kind.SOCKET),
        Place(BALLAST_NAME, is_needed=False),
        Place(BACKUPS_NAME, Kind.FOLDER, is_needed=False),
        Place(LOCALNET_NAME, Kind.FOLDER, is_needed=False),
    )
}


_ITSELF: Final = Place(".", Kind.FOLDER)


class Obstacle(NamedTuple):
    """What is wrong in one place, and what a person does about it."""

    place: Place
    problem: str
    remedy: str
    is_other_kind: bool = False
    """Whether something else is there, which is not to be opened."""


Asked = Callable[[Path, int], bool]
"""Says whether this process may do something to a file, as `os.access` does."""


def obstacles(directory: Path, *, may: Asked = os.access) -> Iterator[Obstacle]:
    """Yield what is in the way of a daemon in *directory*, or of one of its workers.

    Args:
        directory: the data directory.
        may: the system's word.

    Raises:
        OSError: it cannot be looked at.
    """
    for place in (_ITSELF, *PLACES.values()):
        path = directory / place.name
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        kind = stat.S_IFMT(found.st_mode)
        if kind != _MODES[place.kind]:
            what = _FOUND.get(kind, "no ordinary file")
            problem = f"{path} is {what} in the place of {place.kind} of the daemon's own"
            yield Obstacle(place, problem, place.remedy, is_other_kind=True)
        elif place.is_of_ledger and found.st_nlink > 1:
            yield Obstacle(
                place,
                f"{path} has a second name (a hard link), under which another could write to it",
                f"While no daemon runs, give it a file of its own: cp -p {path} {path}.own &&"
                f" mv {path}.own {path}",
            )
        elif (place.is_of_ledger or place == _ITSELF) and _is_immutable(path, found, may):
            yield Obstacle(
                place,
                f"{path} takes no writes, though its mode allows them",
                f"`lsattr -d {path}` shows whether it is immutable: sudo chattr -i {path}",
            )


def _is_immutable(path: Path, found: os.stat_result, may: Asked) -> bool:
    """Tell whether it takes no writes, and neither its mode nor how it is mounted says so."""
    if found.st_mode & _OWN != _OWN or found.st_uid != os.geteuid() or may(path, os.W_OK):
        return False
    return not os.statvfs(path).f_flag & os.ST_RDONLY


def require_in_order(directory: Path) -> None:
    """Return if nothing is in the way of a daemon in *directory*, whose lock the caller holds.

    Raises:
        DaemonError: says what is, and what to do about it.
        OSError: it cannot be looked at.
    """
    for each in obstacles(directory):
        if each.place.is_needed:
            remedy = each.remedy[0].lower() + each.remedy[1:].rstrip(".")
            raise DaemonError(f"{each.problem}: {remedy}")


def open_to_others(directory: Path) -> list[Path]:
    """Return which files of the ledger other users could open, were they let into the directory."""
    found = []
    for place in _LEDGER:
        path = directory / place.name
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        if stat.S_IMODE(mode) & _OTHERS:
            found.append(path)
    return found
