"""Who has a data directory that is in use, also where no file says so any more.

A daemon is found by its daemon.json, which somebody may remove under it. The lock on the directory
cannot be removed: the kernel says which process has it, and who listens at the daemon's socket.
Both are looked at without being taken, so that no start is refused because somebody looked.
"""

import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import Final, NamedTuple

from waiaas.directory import ADDRESS_NAME, SOCKET_NAME, Address, DaemonError, find_daemon
from waiaas.local_socket import connect_to

LOCKS: Final = Path("/proc/locks")

_ANSWER_S_MAX: Final = 2.0
"""So long an answer is waited for; a daemon that starts, or stops, takes calls and gives none."""

_QUESTION: Final = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""What is answered is of no matter: a refusal is an answer."""

_CREDENTIALS: Final = struct.Struct("3i")
"""Process, user and group, as SO_PEERCRED gives them (unix(7))."""


class Holder(NamedTuple):
    """A process that has a data directory, and which no daemon.json tells of."""

    pid: int | None
    """None: the system does not say."""
    answers: bool
    """Whether it answers at the daemon's socket. If not, it may start, stop, or be a command."""

    def problem(self, directory: Path) -> str:
        """Say what is the case."""
        if self.answers:
            return (
                f"a daemon runs ({self._name()}), but {directory / ADDRESS_NAME}, by which it is"
                " found, was removed or replaced"
            )
        return (
            f"{self._name()} has {directory}: a daemon that starts or stops, or a command that"
            " works without one"
        )

    def remedy(self) -> str:
        """Say what a person can do about it."""
        if self.answers:
            return f"It goes on paying all the same. End it with {self._end()}, and start it again."
        return (
            "Try again in a moment. If it stays so, a daemon's files were removed: end it with"
            f" {self._end()}, and start it again."
        )

    def _name(self) -> str:
        return "a process" if self.pid is None else f"process {self.pid}"

    def _end(self) -> str:
        number = "N (`ps` shows which it is)" if self.pid is None else str(self.pid)
        return f"`kill {number}`, which loses nothing"


def look_for_daemon(directory: Path) -> Address | Holder | None:
    """Return where the daemon is; or else who has the directory; None if nobody is seen.

    Raises:
        DaemonError: as `find_daemon`.
    """
    address = find_daemon(directory)
    if address is not None:
        return address
    holder = find_holder(directory)
    # It may have become ready while it was asked: it answers once it can be found.
    return None if holder is None else find_daemon(directory) or holder


def find_holder(directory: Path) -> Holder | None:
    """Return who has a directory for which `find_daemon` found none; None if nobody is seen."""
    with contextlib.suppress(OSError):
        return _at_socket(directory)
    with contextlib.suppress(OSError):
        pid = lock_holder(directory, LOCKS.read_text("ascii"))
        return Holder(pid, answers=False) if pid else None
    return None


def in_use(directory: Path) -> str | None:
    """Return the sentence that refuses a second daemon by naming the first, if it can be found."""
    try:
        found = look_for_daemon(directory)
    except DaemonError:  # What says where it is cannot be believed.
        found = find_holder(directory)
    if isinstance(found, Address):
        return (
            f"{directory} is in use by another waiaas: process {found.pid}, at {found.url}."
            " Stop it with `waiaas stop`, or give another directory."
        )
    return None if found is None else f"{found.problem(directory)}. {found.remedy()}"


def lock_holder(directory: Path, locks: str) -> int:
    """Return which process holds the lock on a directory, by what /proc/locks says; 0: none."""
    found = directory.stat()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in locks.splitlines():
        match line.split():
            case [_, "FLOCK", _, "WRITE", pid, where, *_] if where == place:
                return int(pid)
    return 0


def _at_socket(directory: Path) -> Holder:
    """Return who listens at the daemon's socket.

    Raises:
        OSError: nobody does.
    """
    with connect_to(directory / SOCKET_NAME, timeout_s=_ANSWER_S_MAX) as connection:
        answers = False
        with contextlib.suppress(OSError):
            connection.sendall(_QUESTION)
            answers = bool(connection.recv(1))
        return Holder(_listener_of(connection), answers)


def _listener_of(connection: socket.socket) -> int | None:
    """Return the process at the other end, where the system says it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, _, _ = _CREDENTIALS.unpack(told)
    return int(pid) or None
