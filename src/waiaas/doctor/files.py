"""The data directory: is it there, is it ours alone, and is everything in it what it seems?"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from waiaas.backups.errors import BackupError
from waiaas.backups.swap import require_endable
from waiaas.config.registry import CONFIG_NAME
from waiaas.database.ballast import BALLAST_BYTES, BALLAST_NAME
from waiaas.database.clean_stop import CLEAN_STOP_NAME
from waiaas.directory import (
    JOURNAL_NAME,
    SOCKET_NAME,
    DaemonError,
    is_initialised,
    may_have_lost_keystore,
    real_path,
    require_private,
    sentence,
)
from waiaas.doctor.finding import SEE_FILES, Finding, Subject, fine, mend, note, unknown
from waiaas.layout import Obstacle

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_TOLD_MAX: Final = 10
_NO_WAY: Final = "Mend the way to it, or give another: `waiaas --data-dir`, WAIAAS_DATA_DIR."


def check_directory(directory: Path) -> Finding:
    """Is there a data directory, and can nobody else look or reach into it?"""
    try:
        require_private(directory)
        if not is_initialised(directory):
            return _not_initialised(directory)
    except FileNotFoundError:
        return mend(Subject.DIRECTORY, f"there is no {directory}", "Run `waiaas init`.")
    except DaemonError as error:
        return mend(Subject.DIRECTORY, sentence(error), "Do as it says, as the user who owns it.")
    except OSError as error:  # The way there leads nowhere; to who may not look, too.
        return mend(Subject.DIRECTORY, sentence(error), _NO_WAY)
    return _of_private(directory)


def _of_private(directory: Path) -> Finding:
    """Return whether a directory that is closed to others takes files, and stays where it is."""
    if not directory.stat().st_mode & stat.S_IWUSR:
        return mend(
            Subject.DIRECTORY, f"nothing can be made in {directory}", f"chmod u+rwx {directory}"
        )
    for parent in real_path(directory).parents:
        mode = parent.stat().st_mode
        if mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
            return mend(
                Subject.DIRECTORY,
                f"{parent}, above {directory}, can be changed by other users",
                f"They could put another in its place: chmod go-w {parent}",
            )
    return fine(Subject.DIRECTORY, f"{directory} is yours alone")


def _not_initialised(directory: Path) -> Finding:
    if may_have_lost_keystore(directory):
        return mend(
            Subject.DIRECTORY,
            f"{directory} has a ledger, and no keystore",
            "Restore the newest backup; `waiaas init` is right only if there never was an agent,"
            " and refuses if there was.",
        )
    return mend(Subject.DIRECTORY, f"{directory} is not initialised", "Run `waiaas init`.")


def check_files(directory: Path, obstacles: Sequence[Obstacle]) -> Iterator[Finding]:
    """Is every file an ordinary one of ours that is closed to others, in a place of its kind?"""
    wrong = [mend(Subject.FILES, each.problem, each.remedy) for each in obstacles]
    told = {directory / each.place.name for each in obstacles if each.is_other_kind}
    count = 0
    try:
        for path, found in _all_in(directory):
            count += 1
            if path in told:
                continue
            remedy = _remedy(path, found, is_config=path == directory / CONFIG_NAME)
            if remedy is not None:
                wrong.append(mend(Subject.FILES, *remedy))
    except OSError as error:
        wrong.append(mend(Subject.FILES, sentence(error), "Let the owner of the directory look."))
    yield from wrong[:_TOLD_MAX]
    if len(wrong) > _TOLD_MAX:
        more = f"{len(wrong) - _TOLD_MAX} more are wrong"
        yield mend(Subject.FILES, more, "Mend these, and look again.")
    if not wrong:
        yield fine(Subject.FILES, f"{count} files and folders, yours alone, no links")


def _all_in(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # A daemon runs, and writes.
                continue
            yield Path(entry.path), found
            if stat.S_ISDIR(found.st_mode):
                yield from _all_in(Path(entry.path))


def _remedy(path: Path, found: os.stat_result, *, is_config: bool) -> tuple[str, str] | None:
    """Return what is wrong with one file and how to mend it, if anything is."""
    kind, is_folder = stat.S_IFMT(found.st_mode), stat.S_ISDIR(found.st_mode)
    if kind == stat.S_IFSOCK and path.name == SOCKET_NAME:  # Used, or left by a crash.
        kind = stat.S_IFREG
    if kind == stat.S_IFLNK:
        return f"{path} is a symbolic link", "Put the file itself there."
    if kind not in {stat.S_IFREG, stat.S_IFDIR}:
        return f"{path} is no ordinary file", "See what it is, and remove it."
    if found.st_uid not in ({os.geteuid(), 0} if is_config else {os.geteuid()}):
        return f"{path} belongs to user {found.st_uid}", f"chown {os.geteuid()} {path}"
    # Settings without a secret may be read by all; those with one are the settings' own business.
    if stat.S_IMODE(found.st_mode) & (_OTHERS_WRITE if is_config else _OTHERS):
        mode = "700" if is_folder else "600"
        return (
            f"{path} is open to other users",
            f"Find out who may have used it, then: chmod {mode} {path}",
        )
    if not found.st_mode & stat.S_IRUSR or not found.st_mode & stat.S_IWUSR:
        return f"you may not read and write {path}", f"chmod u+rw {path}"
    return None


def check_last_stop(directory: Path, *, is_running: bool, is_restored: bool) -> Finding:
    """Was the ledger closed in good order?"""
    if is_running:
        return fine(Subject.LAST_STOP, "a daemon is at work")
    if (directory / CLEAN_STOP_NAME).exists():
        return fine(Subject.LAST_STOP, "the ledger was closed in good order")
    if is_restored:
        return note(
            Subject.LAST_STOP,
            "the ledger was restored, and no daemon has closed it since; the next start checks it",
        )
    return note(
        Subject.LAST_STOP,
        "the ledger was not closed in good order; the next start checks it and loses nothing",
    )


def check_ballast(directory: Path) -> Finding:
    """Is the space there that is kept back for a full disk?"""
    size_bytes = 0
    with suppress(FileNotFoundError):
        found = (directory / BALLAST_NAME).lstat()
        if not stat.S_ISREG(found.st_mode):
            return unknown(Subject.BALLAST, SEE_FILES)
        size_bytes = found.st_size
    if size_bytes == BALLAST_BYTES:
        return fine(Subject.BALLAST, f"{BALLAST_BYTES // 1024} KiB are kept back")
    return mend(
        Subject.BALLAST,
        "the space that is kept back for a full disk was used, or is gone",
        "Make room on the disk; the daemon takes it back by itself, or at its next start.",
    )


def check_restore(directory: Path, obstacles: Sequence[Obstacle]) -> Finding:
    """Was a restore cut off, or is there what would keep one from being ended?"""
    try:
        is_cut_off = require_endable(directory)
    except BackupError as error:
        if any(each.place.name == JOURNAL_NAME for each in obstacles):
            return unknown(Subject.RESTORE, SEE_FILES)
        return mend(Subject.RESTORE, error.problem, error.remedy)
    if is_cut_off:
        return mend(
            Subject.RESTORE,
            "a restore was cut off while it moved files",
            "Run `waiaas start`: it ends what was begun.",
        )
    return fine(Subject.RESTORE, "none was cut off")
