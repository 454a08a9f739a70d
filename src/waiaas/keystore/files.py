"""Files that only their owner can read, written whole or not at all.

Nothing here knows what a file contains. The directory is opened first and every name is resolved
inside it, so exchanging the directory during an operation changes nothing. Trusted, and not
checked: the directories above it, the file system, root, and access lists beyond the mode bits.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from waiaas.keystore.errors import (
    DamagedKeystore,
    FileAlreadyExists,
    FileUnavailable,
    ReplacementUncertain,
    UnsafeFile,
)

FILE_BYTES_MAX: Final = 64 * 1024
"""No file of ours comes near it; a larger one is refused before it is read into memory."""

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
"""Permission bits of everyone but the owner; a private file has none of them."""

_TEMPORARY_NAME: Final = re.compile(r"\.[0-9a-z-]+\.json\.[0-9a-f]{16}\.tmp")


class PrivateDirectory:
    """One directory, and the files directly in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the directory if it does not exist; it may, but must then be private already."""
        with _explaining(self.path, operation="create"):
            with suppress(FileExistsError):
                self.path.mkdir(mode=DIRECTORY_MODE)
                _sync_directory(self.path.parent)
            with self._opened():
                pass

    def names(self) -> list[str]:
        """Return the names in the directory; none if it does not exist."""
        with _explaining(self.path, operation="list"):
            try:
                with self._opened() as directory:
                    return _names_in(directory)
            except FileNotFoundError:
                return []

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if there is no such file or directory.

        Raises:
            UnsafeFile: it is a link or no ordinary file, or others own it or may open it.
            DamagedKeystore: it is larger than any file of ours.
            FileUnavailable: the operating system did not let us.
        """
        path = self.path / name
        # O_NONBLOCK: opening somebody's FIFO must fail the check below, not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with _explaining(path, operation="read"):
            try:
                with self._opened() as directory:
                    descriptor = os.open(name, flags, dir_fd=directory)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise _is_no_file(path) from None
                raise
            with _closing(descriptor):
                _check_private(os.fstat(descriptor), path=path, is_directory=False)
                with os.fdopen(descriptor, "rb", closefd=False) as file:
                    content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise DamagedKeystore(path, problem=f"it has more than {FILE_BYTES_MAX} bytes")
        return content

    def write_new(self, name: str, content: bytes) -> None:
        """Write a file that does not exist yet; afterwards it is on the disk under its name.

        The content is complete and on the disk before it gets its name, and getting the name is
        one step that fails if the name is taken (link, because rename would replace). A crash at
        any point leaves no file or the whole file, and perhaps a temporary one, which
        `remove_leftovers` removes.

        Raises:
            FileAlreadyExists: there is something by that name; it is unchanged.
            FileUnavailable: the operating system refused. The file may exist if the very last
                step, making its name durable, was the one that failed.
        """
        path = self.path / name
        temporary = _temporary_name(name)
        with _explaining(path, operation="write"), self._opened() as directory:
            try:
                _write_durably(temporary, content, directory=directory)
                os.link(
                    temporary,
                    name,
                    src_dir_fd=directory,
                    dst_dir_fd=directory,
                    follow_symlinks=False,
                )
            except FileExistsError:
                raise FileAlreadyExists(path) from None
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)
            os.fsync(directory)

    def replace(self, name: str, content: bytes, *, verify: Callable[[bytes], None]) -> None:
        """Put a new file in the place of an old one; the old one stands until that is safe.

        The new content is on the disk, was read back, and passed *verify*, before it takes the
        name, which is one step. A crash at any point leaves the whole old file or the whole new
        one, and perhaps a temporary one, which `remove_leftovers` removes.

        Args:
            name: of the file; the caller sees to it that nobody else writes it meanwhile.
            content: the new one.
            verify: is given what was read back, and raises if that is of no use.

        Raises:
            DamagedKeystore: something else was read back; the old file is unchanged.
            FileUnavailable: the operating system refused; the old file is unchanged.
            ReplacementUncertain: the new file is in place, and may be gone after a power cut.
        """
        path = self.path / name
        temporary = _temporary_name(name)
        with _explaining(path, operation="replace"), self._opened() as directory:
            try:
                _write_durably(temporary, content, directory=directory)
                verify(self._read_back(temporary, content))
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)
                raise
            try:
                os.fsync(directory)
            except OSError as error:
                raise ReplacementUncertain(
                    path, reason=error.strerror or "unknown reason"
                ) from error

    def remove_leftovers(self) -> None:
        """Remove the temporary files of writes that a crash cut short."""
        with _explaining(self.path, operation="clean"), self._opened() as directory:
            for name in _names_in(directory):
                if _TEMPORARY_NAME.fullmatch(name):
                    with suppress(IsADirectoryError):  # Of such a name we make files alone.
                        os.unlink(name, dir_fd=directory)

    def _read_back(self, name: str, content: bytes) -> bytes:
        found = self.read(name)
        if found != content:
            raise DamagedKeystore(
                self.path / name, problem="it does not read back as it was written"
            )
        return found

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the directory itself, once it is known to be ours alone."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise UnsafeFile(
                    self.path,
                    problem="is a symbolic link, or no directory",
                    remedy="Name the keystore's directory itself.",
                ) from None
            raise
        with _closing(descriptor):
            _check_private(os.fstat(descriptor), path=self.path, is_directory=True)
            yield descriptor


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _names_in(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def _temporary_name(name: str) -> str:
    temporary = f".{name}.{secrets.token_hex(8)}.tmp"
    assert _TEMPORARY_NAME.fullmatch(temporary)
    return temporary


def _write_durably(name: str, content: bytes, *, directory: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, FILE_MODE, dir_fd=directory)
    with os.fdopen(descriptor, "wb") as file:
        # The umask can only have taken bits away; an owner who cannot read is no use either.
        os.fchmod(descriptor, FILE_MODE)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    with _closing(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as descriptor:
        os.fsync(descriptor)


def _check_private(status: os.stat_result, *, path: Path, is_directory: bool) -> None:
    """Return if what was opened is of the right kind, ours, and closed to everyone else."""
    if not (stat.S_ISDIR if is_directory else stat.S_ISREG)(status.st_mode):
        raise _is_no_file(path)
    if status.st_uid != os.geteuid():
        raise UnsafeFile(
            path,
            problem="belongs to another user",
            remedy="Run as the user who owns it; if it was tampered with, restore a backup.",
        )
    if stat.S_IMODE(status.st_mode) & _OTHERS:
        mode = DIRECTORY_MODE if is_directory else FILE_MODE
        raise UnsafeFile(
            path,
            problem="is open to other users",
            remedy=f"Find out who may have read it, then close it: chmod {mode:o} {path}",
        )


def _is_no_file(path: Path) -> UnsafeFile:
    return UnsafeFile(
        path,
        problem="is a symbolic link, or no ordinary file",
        remedy="Put the file itself there.",
    )


@contextmanager
def _explaining(path: Path, *, operation: str) -> Iterator[None]:
    """Turn what the operating system says into an error with a remedy."""
    try:
        yield
    except OSError as error:
        raise FileUnavailable(
            path, operation=operation, reason=error.strerror or "unknown reason"
        ) from error
