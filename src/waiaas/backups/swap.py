"""Putting a restored tree in the place of the old one, so that a crash leaves one of the two.

The new tree is complete and on the disk in a folder of its own (`restore-…`) before anything else
happens. Then a journal is written, and from the moment it is on the disk the way leads forward
only: what stands where tells what is still to do, so it can be done again from any point. Before
that moment nothing was touched, and the new tree is thrown away.

    1. the old files go to `replaced-…`, where they stay: nothing is ever deleted
    2. the new files go to their places
    3. the journal goes

Whoever opens the ledger or the keystore does it inside `claimed`, which ends a swap that was cut
off. Renames between two folders of one file system; each step is on the disk before the next
begins.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from waiaas.backups.disk import remove_leftovers, sync_folder
from waiaas.backups.errors import BackupError
from waiaas.backups.file import CONFIG_FILE, LEDGER_FILE
from waiaas.database.lock import DirectoryLock
from waiaas.directory import JOURNAL_NAME, KEYSTORE_NAME, write_private

_STAGED: Final = re.compile(r"restore-[0-9a-f-]{36}")

_COMPANIONS: Final = tuple(f"{LEDGER_FILE}-{end}" for end in ("wal", "shm", "journal"))
"""They belong to the old ledger. Beside the new one, SQLite would take them for its own."""

_MOVED: Final = (LEDGER_FILE, KEYSTORE_NAME, CONFIG_FILE)


class _Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is being put in place of what: names of folders in the data directory."""

    version: Literal[1]
    staged: Annotated[str, msgspec.Meta(pattern=r"^restore-[0-9a-f-]{36}$")]
    replaced: Annotated[str, msgspec.Meta(pattern=r"^replaced-[0-9A-Za-z-]{1,80}$")]


@contextlib.contextmanager
def claimed(directory: Path) -> Iterator[DirectoryLock]:
    """Hold the lock of a data directory in which no restore is half done and no leftover lies.

    Raises:
        AlreadyOpen: a daemon, or another command, uses it.
        BackupError, OSError: a restore that was cut off could not be ended.
    """
    lock = DirectoryLock(directory)
    try:
        finish_swap(directory)
        remove_leftovers(directory)
        yield lock
    finally:
        lock.release()


def swap(directory: Path, *, staged: str, replaced: str) -> None:
    """Put the tree in *staged* in place of the old files, which go to *replaced*.

    Args:
        directory: the data directory; the caller holds its lock.
        staged: name of a folder in it, complete and durable.
        replaced: name of a folder in it that does not exist.

    Raises:
        OSError: `finish_swap` goes on, or throws *staged* away if nothing was begun.
    """
    (directory / replaced).mkdir(mode=0o700)
    sync_folder(directory)
    journal = _Journal(version=1, staged=staged, replaced=replaced)
    write_private(directory / JOURNAL_NAME, msgspec.json.encode(journal))
    sync_folder(directory)
    _go_forward(directory, journal)


def finish_swap(directory: Path) -> None:
    """End a restore that was cut off: finish it, if it had begun to move files, else forget it.

    The caller holds the directory's lock.

    Raises:
        BackupError: the journal is not one, or the files are not where it left them.
        OSError: the same is to be tried again.
    """
    try:
        content = (directory / JOURNAL_NAME).read_bytes()
    except FileNotFoundError:
        _forget(directory)
        return
    try:
        journal = msgspec.json.decode(content, type=_Journal)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(
            f"{directory / JOURNAL_NAME} is damaged.",
            remedy="A restore was cut off, and its journal was changed since. Move it away and"
            " restore the backup again.",
        ) from error
    sync_folder(directory)  # Whoever wrote the journal may have died before it was durable.
    _go_forward(directory, journal)


def _go_forward(directory: Path, journal: _Journal) -> None:
    staged, replaced = directory / journal.staged, directory / journal.replaced
    for name in _MOVED:
        if (staged / name).exists():
            # What stands in its place is the old one. Once the new one is there it is not staged.
            _move_out(directory, replaced, name)
            if name == LEDGER_FILE:
                for companion in _COMPANIONS:
                    _move_out(directory, replaced, companion)
    sync_folder(replaced)
    sync_folder(directory)
    for name in _MOVED:
        if (staged / name).exists():
            (staged / name).rename(directory / name)
    sync_folder(directory)
    if staged.exists():
        sync_folder(staged)
        shutil.rmtree(staged)
    (directory / JOURNAL_NAME).unlink()
    sync_folder(directory)


def _move_out(directory: Path, replaced: Path, name: str) -> None:
    if not (directory / name).exists():
        return
    if (replaced / name).exists():
        raise BackupError(
            f"Both {directory / name} and {replaced / name} exist.",
            remedy="A restore was cut off, and somebody made new files since. Move the first away.",
        )
    (directory / name).rename(replaced / name)


def _forget(directory: Path) -> None:
    """Remove trees that were never put in place; the old files were not touched."""
    for path in directory.iterdir():
        if _STAGED.fullmatch(path.name) and not path.is_symlink():
            shutil.rmtree(path)
