"""The ballast: space kept back, so that a full disk can still be written down.

When a write fails for lack of space the writer lets the ballast go and has room for what must be
recorded all the same. It is no database file, so plain calls of the operating system may touch it.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

BALLAST_NAME: Final = "ballast"
"""The file in the data directory."""

BALLAST_BYTES: Final = 1024 * 1024
"""250 pages of WAL. The record of a full disk took 7, an audit row with its indexes, and the index
of the WAL may grow by 32 KiB: some 64 KiB in all. The rest is for what must work on a full disk."""

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MODE: Final = 0o600
_BLOCK_BYTES: Final = 512
"""The unit in which the operating system counts what a file occupies."""


class Ballast:
    """One file of `BALLAST_BYTES` that really occupies them."""

    def __init__(self, directory: Path) -> None:
        self._path: Final = directory / BALLAST_NAME

    def take(self) -> None:
        """Occupy the space if it is there. Without it everything works but the last record."""
        if not self._is_whole():
            self._allocate(BALLAST_BYTES)

    def take_back(self) -> bool:
        """Occupy the space again if there is twice as much; return False if there is not.

        With only as much as was let go, the next write would find the disk full again.
        """
        wanted_bytes = 2 * BALLAST_BYTES
        try:
            found = os.statvfs(self._path.parent)  # Cheaper than to try, while the disk is full.
        except OSError:
            return False
        return found.f_bavail * found.f_frsize >= wanted_bytes and self._allocate(wanted_bytes)

    def let_go(self) -> None:
        """Give the space to whoever writes next."""
        with suppress(OSError):  # It was not there, or cannot be had.
            self._path.unlink()

    def _is_whole(self) -> bool:
        try:
            found = self._path.lstat()
        except OSError:
            return False
        return found.st_size == BALLAST_BYTES <= found.st_blocks * _BLOCK_BYTES

    def _allocate(self, wanted_bytes: int) -> bool:
        """Occupy *wanted_bytes* and keep the ballast's share; False if the space is not there.

        Any other failure (a file system that cannot do it) is not a full disk: True, no ballast.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _MODE)
            try:
                os.posix_fallocate(descriptor, 0, wanted_bytes)
                os.ftruncate(descriptor, BALLAST_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.let_go()
            return error.errno not in _NO_SPACE
        return True
