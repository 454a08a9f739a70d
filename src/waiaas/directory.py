"""The data directory: private to its owner, and where clients on this machine find the daemon."""

import contextlib
import errno
import fcntl
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from waiaas.inputs import read_own_file

KEYSTORE_NAME: Final = "keystore"
LEDGER_FILE: Final = "ledger.db"
COOKIE_NAME: Final = "operator.cookie"
JOURNAL_NAME: Final = "restore.json"
"""There while a restore moves files: what is missing then is on its way."""

ADDRESS_NAME: Final = "daemon.json"
"""Where clients on this machine find the running daemon.

The daemon holds a lock on it for as long as it lives, so what a crash left behind is never taken
for a daemon, whoever has its port or its process id by now: no secret is sent there.
"""

SOCKET_NAME: Final = "daemon.sock"
"""At which the daemon listens besides its port; only who may enter the directory can reach it."""

LOCALNET_NAME: Final = "localnet"
"""The folder of a local network that a daemon brought along."""

BACKUPS_NAME: Final = "backups"
"""The folder of backups."""

SHARED_FOLDERS: Final = frozenset(
    {"9p", "fakeowner", "fuse.grpcfuse", "fuse.osxfs", "fuse.vmhgfs-fuse", "vboxsf", "virtiofs"}
)
"""By which a container or a virtual machine reaches into the machine around it.

Whoever is out there has locks of his own, and memory that is not shared with anybody in here.
"""

NETWORK_FILE_SYSTEMS: Final = SHARED_FOLDERS | frozenset(
    {"afs", "beegfs", "ceph", "cifs", "coda", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone"}
    | {"fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs"}
    | {"smb3", "smbfs"}
)
"""Where the locks and the shared memory that the ledger relies on are not a promise."""

NEW_BYTES_MIN: Final = 4 * 1024 * 1024
"""Ledger, keystore and the ballast are 1.4 MB; the first start writes as much again."""

MOUNTS: Final = Path("/proc/self/mountinfo")

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
"""How the kernel writes a space, a tab, a newline and a backslash in a path."""

_ADDRESS_BYTES_MAX: Final = 4096
_COOKIE_BYTES_MAX: Final = 4096


class DaemonError(Exception):
    """Something the operator has to put right; the message says what and how."""


class NotThePassword(DaemonError):  # noqa: N818 -- what is the case, and may be a slip
    """This password does not open what was to be opened."""


class NotThatFile(DaemonError):  # noqa: N818 -- as above
    """A file that was named cannot be read, or is something else."""


class Address(msgspec.Struct, frozen=True):
    """Where the running daemon is."""

    url: str
    pid: int
    socket: str | None = None
    """The name of its Unix socket in the data directory, if it has one."""


# ── the running daemon, as its clients see it ──────────────────────────────────────────────────


def may_have_localnet(directory: Path) -> bool:
    """Return whether a local network may live: its file goes when it is ended, not when it dies."""
    return (directory / LOCALNET_NAME / "localnet.json").exists()


def find_daemon(directory: Path) -> Address | None:
    """Return where the daemon that runs on *directory* is, or None if none does.

    Raises:
        DaemonError: the file that would say so is not to be trusted, or cannot be read.
    """
    with _address_file(directory) as descriptor:
        if descriptor is None or _is_free(descriptor):
            return None
        require_private(directory)
        try:
            return msgspec.json.decode(os.read(descriptor, _ADDRESS_BYTES_MAX), type=Address)
        except (OSError, msgspec.DecodeError) as error:
            path = directory / ADDRESS_NAME
            raise DaemonError(f"{path} cannot be read: {sentence(error)}") from error


@contextlib.contextmanager
def watch_daemon(directory: Path) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether the daemon that ran at first has ended since.

    It asks for a lock which the kernel gives up with the process, not for a process id, which
    could be another's by now, or belong to a process that ended and was not waited for.
    """
    with _address_file(directory) as descriptor:
        yield lambda: descriptor is None or _is_free(descriptor)


def read_cookie(directory: Path) -> str | None:
    """Return the operator's cookie of the running daemon; None if there is none, or it is empty.

    Raises:
        DaemonError: it is not for this user to read.
    """
    path = directory / COOKIE_NAME
    try:
        return read_own_file(path, bytes_max=_COOKIE_BYTES_MAX).decode("ascii") or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DaemonError(f"{path} cannot be read: {sentence(error)}") from error


@contextlib.contextmanager
def _address_file(directory: Path) -> Iterator[int | None]:
    """Open what a daemon wrote about itself, running or not."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(directory / ADDRESS_NAME, flags)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except OSError as error:
        path = directory / ADDRESS_NAME
        if error.errno == errno.ELOOP and path.is_symlink():  # Or links above it go in a circle.
            raise DaemonError(
                f"{path} is a link, and a daemon's own file is none:"
                " see who made it, and move it away"
            ) from error
        raise DaemonError(sentence(error)) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """Tell whether nobody holds the lock of a file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


# ── files ──────────────────────────────────────────────────────────────────────────────────────


def require_assertions() -> None:
    """Return if this Python checks assertions, on which all the rest relies.

    Raises:
        DaemonError: it was told not to.
    """
    if not __debug__:
        raise DaemonError(
            "waiaas relies on its assertions: start Python without -O, and without PYTHONOPTIMIZE"
        )


def require_initialised(directory: Path) -> None:
    """Return if `initialise` has made *directory*.

    Raises:
        DaemonError: it has not, or others could read or replace what is in there.
    """
    if not is_initialised(directory):
        remedy = "run `waiaas init` first"
        if may_have_lost_keystore(directory):
            remedy = "restore the newest backup; `waiaas init` only if there never was an agent"
        raise DaemonError(f"{directory} is not initialised: {remedy}")
    require_private(directory)


def is_initialised(directory: Path) -> bool:
    """Tell whether *directory* has been made by `initialise`, or is being restored."""
    try:
        keystore = directory / KEYSTORE_NAME / "keystore.json"
        return keystore.exists() or (directory / JOURNAL_NAME).exists()
    except OSError as error:
        raise DaemonError(sentence(error)) from error


def may_have_lost_keystore(directory: Path) -> bool:
    """Tell whether a directory that is not initialised has a ledger, which may have agents."""
    return (directory / LEDGER_FILE).exists()


def require_private(directory: Path) -> None:
    """Refuse a data directory that others could read or replace.

    Raises:
        DaemonError: says which command mends it.
    """
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise DaemonError(f"{directory} is not a directory (or a link to one): give another")
    if found.st_uid != os.geteuid():
        raise DaemonError(f"{directory} belongs to another user: give one of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise DaemonError(f"{directory} is open to other users: run `chmod 700 {directory}`")


def require_local(
    directory: Path, *, mounts: Path = MOUNTS, is_linux: bool = sys.platform == "linux"
) -> bool:
    """Return unless *directory* is on a file system known to be shared with other machines.

    Returns:
        Whether the system says on which one it is. In a chroot it need not, nor off Linux.

    Raises:
        DaemonError: it is shared; two daemons could then hold it, and the ledger could come apart.
            Or Linux, which always says, was kept from it.
    """
    told = read_mounts(mounts)
    kind = file_system_of(real_path(directory), told)
    if kind in SHARED_FOLDERS:
        raise DaemonError(
            f"{directory} is in a folder that the machine around this one shares ({kind}), which"
            " does not promise the locks and the shared memory that the ledger relies on: move it"
            " to a disk of this machine. In a container that is a volume, not a bind mount; under"
            " WSL a directory of Linux, not of Windows; in a virtual machine its own disk"
        )
    if kind in NETWORK_FILE_SYSTEMS:
        raise DaemonError(
            f"{directory} is on a network file system ({kind}), which does not promise the locks"
            " and the shared memory that the ledger relies on: move it to a disk of this machine,"
            " or give another directory"
        )
    if is_linux and not told:
        raise DaemonError(
            f"{mounts} cannot be read, so nothing tells whether {directory} is on a network file"
            " system, where the ledger could come apart: mount /proc"
        )
    return kind is not None


def require_space(directory: Path) -> None:
    """Return if there is room for a new data directory, and for a first start in it.

    Raises:
        DaemonError: there is not; it would be made, and could then write nothing down.
    """
    place = next(each for each in (directory, *directory.parents) if each.exists())
    room = free_bytes(place)
    if room is not None and room < NEW_BYTES_MIN:
        raise DaemonError(
            f"{place} has room for {room // 1024} KiB, and a new data directory needs"
            f" {NEW_BYTES_MIN // 1024}: make room, or give another directory"
        )


def free_bytes(place: Path) -> int | None:
    """Return what is free on a file system; None of one that counts no blocks."""
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize if found.f_blocks else None


def real_path(path: Path) -> Path:
    """Return *path* without links; as far as it goes, where they go in a circle.

    `Path.resolve` ends in a RuntimeError there before Python 3.13.
    """
    return Path(os.path.realpath(path))


def read_mounts(mounts: Path = MOUNTS) -> str:
    """Return what the kernel says is mounted where; nothing if it does not say."""
    with contextlib.suppress(OSError):
        return os.fsdecode(mounts.read_bytes())
    return ""


def file_system_of(path: Path, mounts: str) -> str | None:
    """Return the type of the file system of *path*, by what /proc/self/mountinfo says (proc(5))."""
    best: tuple[int, str | None] = (-1, None)
    for line in mounts.split("\n"):  # No other line end is escaped by the kernel.
        fields = line.split(" ")
        with contextlib.suppress(ValueError, IndexError):
            point = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]))
            kind = fields[fields.index("-") + 1]
            if path.is_relative_to(point) and len(point.parts) >= best[0]:
                best = (len(point.parts), kind)
    return best[1]


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user may read, whole or not at all."""
    os.close(write_locked(path, content))


def write_locked(path: Path, content: bytes) -> int:
    """`write_private` with a lock on the file that lasts as long as the descriptor returned."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sentence(error: Exception) -> str:
    """Return what an error means to a person; the system's own messages lack grammar."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)
