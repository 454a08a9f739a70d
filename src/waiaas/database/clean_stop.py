"""The mark of a clean stop: a file that is there only while nothing writes to the ledger.

It is removed, durably, before a ledger is opened for writing, and made after it was closed in good
order. A process that is killed leaves none, so the next start knows.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

CLEAN_STOP_NAME: Final = "clean-stop"
"""The file in the data directory. It is empty."""

_MODE: Final = 0o600
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
"""Should a pipe be in its place by then, nobody is waited for who would read it."""


class CleanStop:
    """The mark in one data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory: Final = directory
        self._path: Final = directory / CLEAN_STOP_NAME

    def clear(self) -> bool:
        """Remove the mark; return whether it was there.

        Raises:
            OSError: it could not be removed.
        """
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        self._sync_directory()
        return True

    def make(self) -> None:
        """Make the mark. Where that fails the next start checks the file, and no harm is done."""
        with suppress(OSError):
            os.close(os.open(self._path, _FLAGS, _MODE))
            self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
