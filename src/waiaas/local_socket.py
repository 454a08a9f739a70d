"""The two ends of a Unix socket whose file lies in a private folder (unix(7)).

Any user of the machine may wait at a port and be told what others send there. Who waits at such a
file was let into the folder. A folder whose path is too long for an address is reached through
/proc/self/fd, which Linux has.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ADDRESS_BYTES_MAX: Final = 103
"""What every system takes; Linux takes four more."""


@contextlib.contextmanager
def listen_at(path: Path) -> Iterator[socket.socket]:
    """Yield a socket that listens at *path*, for its owner alone, and remove the file at the end.

    Only for who holds the lock of the folder, and has a umask that keeps others out: a socket that
    is there was left by somebody who died, and goes. Anything else stays.

    Raises:
        OSError: there cannot be one here.
    """
    with _folder(path) as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _remove(path.name, folder)
        listener.bind(_address(path, folder))
        try:
            os.chmod(path.name, 0o600, dir_fd=folder)
            listener.listen()
            yield listener
        finally:
            _remove(path.name, folder)


def connect_to(path: Path, *, timeout_s: float) -> socket.socket:
    """Return a connection to whoever listens at *path*; it waits so long at most, each time.

    Raises:
        OSError: nobody does, or there is no such file.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        with _folder(path) as folder:
            connection.connect(_address(path, folder))
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    """Open the folder, so that it stays the same one whatever its path comes to mean."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path.parent, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _address(path: Path, folder: int) -> str:
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        return str(path)
    return f"/proc/self/fd/{folder}/{path.name}"


def _remove(name: str, folder: int) -> None:
    """Remove a socket, and nothing else."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
