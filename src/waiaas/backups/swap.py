"""Putting a restored tree in the place of the old one, so that a crash leaves one of the two.

The new tree is complete and on the disk in a folder of its own (`restore-…`) before anything else
happens. Then a journal is written, and from the moment it is on the disk what stands where tells
what is still to do, so it can be done again from any point. Before that moment nothing was touched,
and the new tree is thrown away.

    1. the old files go to `replaced-…`, where they stay: nothing is ever deleted
    2. the new ledger goes to its place, then the other new files
    3. the journal goes

While the new ledger is not in its place nothing new is. If the system refuses a step until then,
the old files go back and the journal goes; a crash on the way back leads forward again, for the
journal says so. What can be seen to be in the way is refused before anything begins.

Whoever opens the ledger or the keystore does it inside `claimed`, which ends a swap that was cut
off. Renames between two folders of one file system; each step is on the disk before the next
begins.
"""

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from waiaas.backups.disk import (
    remove_leftovers,
    require_folder,
    require_only_folders,
    sync_folder,
)
from waiaas.backups.errors import BackupError
from waiaas.backups.file import CONFIG_FILE
from waiaas.database.lock import DirectoryLock
from waiaas.directory import JOURNAL_NAME, KEYSTORE_NAME, LEDGER_FILE, sentence, write_private
from waiaas.inputs import read_own_file

_STAGED: Final = re.compile(r"restore-[0-9a-f-]{36}")

_COMPANIONS: Final = tuple(f"{LEDGER_FILE}-{end}" for end in ("wal", "shm", "journal"))
"""They belong to the old ledger. Beside the new one, SQLite would take them for its own."""

_MOVED: Final = (LEDGER_FILE, KEYSTORE_NAME, CONFIG_FILE)
"""The ledger first: while it is staged, nothing new is in its place."""

_JOURNAL_BYTES_MAX: Final = 4096

_GOES_ON: Final = "Put that right; the next start, or the next restore, goes on from there."


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


def require_movable(directory: Path) -> None:
    """Look at all that a restore moves out of its way; the caller holds the directory's lock.

    Raises:
        BackupError: something cannot be moved, or is not what a data directory has there.
        OSError: it cannot be looked at.
    """
    mount = _mount_of(directory)
    for name in (*_MOVED, *_COMPANIONS):
        path = directory / name
        if not os.path.lexists(path):
            continue
        mode = path.lstat().st_mode
        is_expected = stat.S_ISDIR(mode) if name == KEYSTORE_NAME else stat.S_ISREG(mode)
        if stat.S_ISLNK(mode):
            problem, remedy = "is a symbolic link", "Move the link away"
        elif _mount_of(path) != mount:
            problem, remedy = "is a mount point", "Unmount it, or restore into another directory"
        elif not is_expected:
            kind = "directory" if name == KEYSTORE_NAME else "ordinary file"
            problem, remedy = f"is no {kind}", "Move it away"
        else:
            continue
        raise BackupError(
            f"{path} {problem}, which a restore cannot replace.",
            remedy=f"{remedy}, then restore again; nothing was changed.",
        )


def _mount_of(path: Path) -> str:
    """Tell mounts apart, also those of one file system, whose device is the same."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii").split()
    except FileNotFoundError:  # No /proc: what the device alone tells.
        return str(os.fstat(descriptor).st_dev)
    else:
        return facts[facts.index("mnt_id:") + 1]
    finally:
        os.close(descriptor)


def swap(directory: Path, *, staged: str, replaced: str) -> None:
    """Put the tree in *staged* in place of the old files, which go to *replaced*.

    Args:
        directory: the data directory; the caller holds its lock and has called `require_movable`.
        staged: name of a folder in it, complete and durable.
        replaced: name of a folder in it that does not exist.

    Raises:
        BackupError: says whether nothing was changed or `finish_swap` goes on, and what to do.
    """
    journal = _Journal(version=1, staged=staged, replaced=replaced)
    with _undone_if_refused(directory, journal):
        (directory / replaced).mkdir(mode=0o700)
        sync_folder(directory)
        write_private(directory / JOURNAL_NAME, msgspec.json.encode(journal))
        sync_folder(directory)
        _go_forward(directory, journal)


class Progress(StrEnum):
    """How far a restore came that somebody interrupted."""

    UNCHANGED = "Nothing was changed."
    BEGUN = "It was moving files: the next start, or the next restore, goes on from there."
    DONE = "The backup was restored."


def progress(directory: Path, *, staged: str, replaced: str) -> Progress:
    """Tell how far a `swap` came: the new tree is gone, and the old one kept, only at its end."""
    if os.path.lexists(directory / JOURNAL_NAME):
        return Progress.BEGUN
    is_done = not os.path.lexists(directory / staged) and os.path.lexists(directory / replaced)
    return Progress.DONE if is_done else Progress.UNCHANGED


def finish_swap(directory: Path) -> None:
    """End a restore that was cut off: finish it, if it had begun to move files, else forget it.

    The caller holds the directory's lock.

    Raises:
        BackupError: the journal is not one, or the files are not where it left them, or the system
            refuses a step; it says whether the old files are back or the same is to be tried again.
        OSError: the directory cannot be read.
    """
    journal = _read_journal(directory)
    if journal is None:
        _forget(directory)
        return
    with _undone_if_refused(directory, journal):
        sync_folder(directory)  # Whoever wrote the journal may have died before it was durable.
        _go_forward(directory, journal)


def require_endable(directory: Path) -> bool:
    """Look at a restore that was cut off, without a change; tell whether there is one.

    Raises:
        BackupError: `finish_swap` would refuse it, whatever else it found.
        OSError: the directory cannot be read.
    """
    is_cut_off = _read_journal(directory) is not None
    require_only_folders(directory)
    for path in _staged_in(directory):
        require_folder(path)
    return is_cut_off


def _read_journal(directory: Path) -> _Journal | None:
    path = directory / JOURNAL_NAME
    try:
        content = read_own_file(path, bytes_max=_JOURNAL_BYTES_MAX)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BackupError(
            f"{path} is in the place of the journal of a restore, and is none: {error}.",
            remedy="See what it is, and move it away.",
        ) from error
    try:
        return msgspec.json.decode(content, type=_Journal)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(
            f"{path} is damaged.",
            remedy="A restore was cut off, and its journal was changed since. Move it away and"
            " restore the backup again.",
        ) from error


def _go_forward(directory: Path, journal: _Journal) -> None:
    staged, replaced = directory / journal.staged, directory / journal.replaced
    for name in _MOVED:
        if os.path.lexists(staged / name):
            # What stands in its place is the old one. Once the new one is there it is not staged.
            _move(directory / name, replaced / name)
            if name == LEDGER_FILE:
                for companion in _COMPANIONS:
                    _move(directory / companion, replaced / companion)
    sync_folder(replaced)
    sync_folder(directory)
    if os.path.lexists(staged):
        for name in _MOVED:
            _move(staged / name, directory / name)
            if name == LEDGER_FILE:  # The first that is there is there for good.
                sync_folder(staged)
                sync_folder(directory)
        sync_folder(staged)
        sync_folder(directory)
        shutil.rmtree(staged)
    _remove_journal(directory)


@contextlib.contextmanager
def _undone_if_refused(directory: Path, journal: _Journal) -> Iterator[None]:
    """Go back if the system refuses something and nothing new is in its place; say what is."""
    try:
        yield
    except OSError as error:
        obstacle = _told(error, directory)
        if not os.path.lexists(directory / journal.staged / LEDGER_FILE):
            raise BackupError(
                f"{obstacle}. The new ledger is in its place; the restore is not over.",
                remedy=_GOES_ON,
            ) from error
        try:
            _go_back(directory, journal)
        except OSError as second:
            raise BackupError(
                f"{obstacle}, and what was moved already could not go back:"
                f" {_told(second, directory)}.",
                remedy=_GOES_ON,
            ) from error
        raise BackupError(
            f"{obstacle}. So the backup was not restored; all is as it was before.",
            remedy="Put that right, then restore again.",
        ) from error


def _go_back(directory: Path, journal: _Journal) -> None:
    """Have the old files back where they were; the journal stands until that is on the disk."""
    staged, replaced = directory / journal.staged, directory / journal.replaced
    if os.path.lexists(replaced):
        for name in (*_MOVED, *_COMPANIONS):
            _move(replaced / name, directory / name)
        sync_folder(replaced)
        sync_folder(directory)
    _remove_journal(directory)
    with contextlib.suppress(OSError):  # An empty folder, and what `_forget` removes.
        replaced.rmdir()
    shutil.rmtree(staged, ignore_errors=True)


def _remove_journal(directory: Path) -> None:
    (directory / JOURNAL_NAME).unlink(missing_ok=True)
    sync_folder(directory)


def _move(source: Path, target: Path) -> None:
    """Give what is there, if anything is, its other name; nothing is written over."""
    if not os.path.lexists(source):
        return
    if os.path.lexists(target):
        raise BackupError(
            f"Both {source} and {target} exist.",
            remedy="A restore was cut off, and somebody made new files since. Move"
            f" {min(source, target, key=lambda path: len(path.parts))} away.",
        )
    source.rename(target)


def _told(error: OSError, directory: Path) -> str:
    if error.filename is None:
        return f"{directory}: {error.strerror}"
    if error.filename2 is None:
        return sentence(error)
    return f"{error.filename} cannot become {error.filename2}: {error.strerror}"


def _forget(directory: Path) -> None:
    """Remove trees that were never put in place; the old files were not touched."""
    found = _staged_in(directory)
    for path in found:
        require_folder(path)
    if found:
        sync_folder(directory)  # Whoever removed the journal may have died before it was durable.
    for path in found:
        shutil.rmtree(path)


def _staged_in(directory: Path) -> list[Path]:
    return [
        path
        for path in directory.iterdir()
        if _STAGED.fullmatch(path.name) and not path.is_symlink()
    ]
