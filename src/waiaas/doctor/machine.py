"""The machine: what it lets the daemon do, and what it does to the daemon's files and memory.

Everything is read first (`read_machine`), then judged: the checks are functions of what was read.
"""

import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from waiaas.database.ledger import LEDGER_NAME
from waiaas.directory import (
    BACKUPS_NAME,
    KEYSTORE_NAME,
    MOUNTS,
    NETWORK_FILE_SYSTEMS,
    file_system_of,
    read_mounts,
    real_path,
)
from waiaas.doctor.finding import Finding, Subject, fine, mend, note, unknown
from waiaas.holder import LOCKS, Holder, lock_holder
from waiaas.keystore.errors import KeystoreError
from waiaas.keystore.guarded import Guarded

SPACE_BYTES_MIN: Final = 256 * 1024 * 1024
"""The ledger's log may take 64 MB, a backup as much as the ledger; below this it gets tight."""

LOCKED_BYTES_MIN: Final = 1024 * 1024
"""A key takes some pages; the old default of Linux, 64 KiB, is not enough for a few agents."""

VOLATILE_FILE_SYSTEMS: Final = frozenset({"ramfs", "tmpfs"})

_WRITTEN: Final = (LEDGER_NAME, KEYSTORE_NAME, BACKUPS_NAME)
"""What may have a mount of its own, in a container say."""

_UMASK: Final = 0o077
_KEY_BYTES: Final = 32
_PROC: Final = Path("/proc")
_HOST: Final = "127.0.0.1"
_CONNECT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What was read. None: it could not be, or there is no daemon whose it would be."""

    is_root: bool
    free_bytes: int | None
    file_system: str | None
    lacks_mounts: bool
    """Whether this is Linux, which says what is mounted where, and was kept from it."""
    read_only: tuple[Path, ...]
    """What of the directory lies on a file system that takes no writes."""
    lock_holder: int | None
    """The process that holds the directory's lock; 0 if none does."""
    locked_bytes_max: int | None
    """The daemon's limit, or without one that of this process; -1: no limit."""
    core_bytes_max: int | None
    umask: int | None
    guarded_problem: str | None
    """Why there is no guarded memory for secrets; None if there is."""


def read_machine(directory: Path, *, pid: int | None) -> Machine:
    """Read what is to be judged.

    Args:
        directory: the data directory; it may be missing.
        pid: the daemon's, if one runs.
    """
    limits, status = ("", "") if pid is None else (_read(pid, "limits"), _read(pid, "status"))
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    free_bytes = holder = None
    with suppress(OSError):
        found = os.statvfs(directory)
        free_bytes = found.f_bavail * found.f_frsize
    with suppress(OSError):
        holder = lock_holder(directory, LOCKS.read_text("ascii"))
    mounts = read_mounts()
    return Machine(
        is_root=os.geteuid() == 0,
        free_bytes=free_bytes,
        file_system=file_system_of(real_path(directory), mounts),
        lacks_mounts=sys.platform == "linux" and not mounts,
        read_only=read_only_in(directory),
        lock_holder=holder,
        locked_bytes_max=locked if pid is None else limit_in(limits, "Max locked memory"),
        core_bytes_max=limit_in(limits, "Max core file size"),
        umask=umask_in(status),
        guarded_problem=_guarded_problem(),
    )


def _read(process: int | str, name: str) -> str:
    with suppress(OSError):
        return (_PROC / str(process) / name).read_text("utf-8", "replace")
    return ""


def _guarded_problem() -> str | None:
    try:
        Guarded.random(_KEY_BYTES).free()
    except KeystoreError as error:
        return str(error)
    return None


def read_only_in(
    directory: Path, *, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
) -> tuple[Path, ...]:
    """Return what a daemon writes to in *directory* and cannot, because of how it is mounted."""
    found = []
    for path in (directory, *(directory / name for name in _WRITTEN)):
        with suppress(OSError):  # What is not there is made by the daemon.
            if statvfs(path).f_flag & os.ST_RDONLY:
                found.append(path)
    return tuple(found)


def limit_in(limits: str, name: str) -> int | None:
    """Return a limit that holds, by what /proc/PID/limits says; -1: there is no limit."""
    for line in limits.splitlines():
        if line.startswith(name):
            soft = line.removeprefix(name).split()[0]
            return -1 if soft == "unlimited" else int(soft)
    return None


def umask_in(status: str) -> int | None:
    """Return a umask, by what /proc/PID/status says."""
    for line in status.splitlines():
        if line.startswith("Umask:"):
            return int(line.removeprefix("Umask:"), 8)
    return None


# ── judged ─────────────────────────────────────────────────────────────────────────────────────


_MORE_LOCKED: Final = (
    "Keys could be swapped to a disk: `ulimit -l 8192` before the start,"
    " or LimitMEMLOCK=8M in the service."
)


def check_user(machine: Machine) -> Finding:
    """Does it run as somebody who may do no more than it needs?"""
    if machine.is_root:
        return note(Subject.USER, "this is root; a user of its own could do less harm")
    return fine(Subject.USER, "an ordinary user")


def check_file_system(machine: Machine) -> Finding:
    """Does the file system keep what is written, and keep its locks?"""
    kind = machine.file_system
    if machine.lacks_mounts:
        return mend(
            Subject.FILE_SYSTEM,
            f"{MOUNTS} cannot be read, so a network file system would not be told",
            "Mount /proc: without it no daemon starts.",
        )
    if kind is None:
        return unknown(
            Subject.FILE_SYSTEM,
            "the system does not say which it is; make sure that it is a disk of this machine",
        )
    if kind in NETWORK_FILE_SYSTEMS:
        return mend(
            Subject.FILE_SYSTEM,
            f"the data directory is on a network file system ({kind})",
            "Stop the daemon and move the directory to a disk of this machine.",
        )
    if machine.read_only:
        return mend(
            Subject.FILE_SYSTEM,
            f"{machine.read_only[0]} is mounted read-only",
            "Mount it to be written: a daemon that cannot write there does not start.",
        )
    if kind in VOLATILE_FILE_SYSTEMS:
        return mend(
            Subject.FILE_SYSTEM,
            f"the data directory is in memory ({kind}) and ends with the machine",
            "Stop the daemon and move the directory to a disk, unless it is for play only.",
        )
    return fine(Subject.FILE_SYSTEM, kind)


def check_space(machine: Machine) -> Finding:
    """Is there room to go on writing?"""
    if machine.free_bytes is None:
        return unknown(Subject.SPACE, "there is no data directory")
    free = f"{machine.free_bytes // 1_000_000} MB are free"
    if machine.free_bytes < SPACE_BYTES_MIN:
        return mend(Subject.SPACE, free, "Make room: on a full disk nothing is paid.")
    return fine(Subject.SPACE, free)


def check_lock(machine: Machine, *, pid: int | None) -> Finding:
    """Who has the data directory?"""
    holder = machine.lock_holder
    if holder is None:
        return unknown(Subject.LOCK, "the system does not say who holds it")
    if holder == 0:
        if pid is not None:
            return unknown(Subject.LOCK, f"process {pid} should hold it; the system does not say")
        return fine(Subject.LOCK, "nobody holds it")
    if holder == pid:
        return fine(Subject.LOCK, f"the daemon, process {pid}, holds it")
    return note(
        Subject.LOCK,
        f"process {holder} holds it: a daemon that starts or stops, or a command without one."
        f" {Holder(holder, answers=False).remedy()}",
    )


def check_memory(machine: Machine, *, swappable: int) -> Finding:
    """Is there memory for the keys that is guarded, and never swapped to a disk?

    Args:
        machine: as it was read.
        swappable: how many secrets in the daemon's memory could be swapped, by its own word.
    """
    limit = machine.locked_bytes_max
    if machine.guarded_problem is not None:
        return mend(
            Subject.MEMORY,
            machine.guarded_problem,
            "Install the locked requirements: `make setup`.",
        )
    if swappable:
        return mend(
            Subject.MEMORY, f"{swappable} secrets of the daemon are not locked", _MORE_LOCKED
        )
    if limit is None:
        return unknown(Subject.MEMORY, "the system does not say")
    if 0 <= limit < LOCKED_BYTES_MIN:
        return mend(
            Subject.MEMORY,
            f"at most {limit // 1024} KiB may be locked",
            _MORE_LOCKED,
        )
    told = "without a limit" if limit < 0 else f"up to {limit // 1024} KiB"
    return fine(Subject.MEMORY, told)


def check_core_dumps(machine: Machine) -> Finding:
    """Would a crash of the daemon write its memory, with keys in it, to a disk?"""
    limit = machine.core_bytes_max
    if limit is None:
        return unknown(Subject.CORE_DUMPS, "only a running daemon can be asked")
    if limit:
        return mend(
            Subject.CORE_DUMPS,
            "a crash would write the daemon's memory to a file",
            "Restart it with `ulimit -c 0`, or LimitCORE=0 in the service.",
        )
    return fine(Subject.CORE_DUMPS, "none are written")


def check_umask(machine: Machine) -> Finding:
    """Are the files that the daemon makes closed to others?"""
    if machine.umask is None:
        return unknown(Subject.UMASK, "only a running daemon can be asked")
    if machine.umask & _UMASK != _UMASK:
        return mend(
            Subject.UMASK,
            f"the daemon's is {machine.umask:03o}, and it sets 077 itself",
            "Something changed it: restart the daemon.",
        )
    return fine(Subject.UMASK, f"{machine.umask:03o}")


def check_port(port: int | None, *, is_running: bool) -> Iterator[Finding]:
    """Is the daemon's port free, if no daemon runs?"""
    if is_running:
        yield fine(Subject.PORT, "the daemon has it")
    elif port is None:
        yield unknown(Subject.PORT, "the settings could not be read")
    elif port and _is_taken(port):
        yield mend(
            Subject.PORT,
            f"port {port} of {_HOST} is taken by another program",
            "End that one, or set another: daemon.port, or `waiaas start --port`.",
        )
    else:
        yield fine(Subject.PORT, f"{port} is free" if port else "any free one")


def _is_taken(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(_CONNECT_S)
        return probe.connect_ex((_HOST, port)) == 0
