"""One owner per data directory: a lock that the operating system ends with its process."""

import fcntl
import os
from pathlib import Path
from typing import Final

from waiaas.database.errors import AlreadyOpen

LOCK_NAME: Final = "lock"
"""The file in the data directory. Its content, a process id, is for people; the lock decides."""

_LOCK_MODE: Final = 0o600


class DirectoryLock:
    """Holds the lock until `release`, on a descriptor that stays open for as long."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            AlreadyOpen: somebody else, in this process or another, holds it.
        """
        path = directory / LOCK_NAME
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor: int | None = os.open(path, flags, _LOCK_MODE)
        try:
            if not _lock(path, self._descriptor):
                raise AlreadyOpen(directory)  # noqa: TRY301 -- released below, like any failure
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()}\n".encode("ascii"))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock up; harmless if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(path: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Somebody may have removed the file since: then we hold a lock that nobody else will meet.
    return _is_file(path, descriptor)


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        named = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
