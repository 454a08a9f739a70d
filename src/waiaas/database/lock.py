"""One owner per data directory: a lock that the operating system ends with its process.

The lock is on the directory itself, not on a file in it: there is nothing in there whose removal
would let a second owner in. It lasts as long as its descriptor, so a killed owner leaves nothing
behind and a stopped one (SIGSTOP) keeps it. It binds the processes of one machine.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from waiaas.database.errors import AlreadyOpen


class Place:
    """Tells whether a path still leads to the file to which it led at first.

    The lock is on a directory, wherever it is moved to. Somebody else may then make a directory of
    the same name, with a ledger and a lock of its own.
    """

    def __init__(self, path: str) -> None:
        """Remember which file is at *path*.

        Raises:
            OSError: there is none.
        """
        self._path: Final = Path(path).absolute()
        self._found: Final = self._path.stat()

    def is_kept(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), self._found)
        except OSError:
            return False


class DirectoryLock:
    """Holds the lock until `release`, on a descriptor that stays open for as long."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            AlreadyOpen: somebody else, in this process or another, holds it.
            OSError: there is no such directory, or it may not be read.
        """
        self._descriptor: int | None = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._pid: Final = os.getpid()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(directory.stat(), os.fstat(self._descriptor)):
                raise AlreadyOpen(directory)  # noqa: TRY301 -- released below, like any failure
        except BaseException as error:
            self.release()
            if isinstance(error, BlockingIOError):
                raise AlreadyOpen(directory) from error
            raise

    def release(self) -> None:
        """Give the lock up; harmless if it is not held."""
        if self._descriptor is not None:
            # A forked child may keep the descriptor, and with it the lock. It must not end ours.
            if os.getpid() == self._pid:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None
