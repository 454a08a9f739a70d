"""Files and folders of backups: private, durable, and never in anybody's way."""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from waiaas.backups.errors import BackupError
from waiaas.directory import require_private

_WORK_FOLDER: Final = re.compile(r"\.backup-work-[0-9a-f]{16}")


@contextlib.contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for plain copies, for its owner alone, and remove it with all that is in it.

    What a crash leaves behind is removed by `remove_leftovers`. A lock on the folder, which the
    kernel gives up with the process, tells a leftover from a folder in use.
    """
    folder = parent / f".backup-work-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_leftovers(parent: Path) -> None:
    """Remove the work folders in *parent* that nobody uses any more."""
    for folder in _work_folders(parent):
        require_folder(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)


def require_only_folders(parent: Path) -> None:
    """Return if `remove_leftovers` would refuse nothing; nothing is removed.

    Raises:
        BackupError: something has the name of a work folder and is none.
        OSError: the folder cannot be read.
    """
    for folder in _work_folders(parent):
        with contextlib.suppress(FileNotFoundError):  # Whoever uses it is done.
            require_folder(folder)


def _work_folders(parent: Path) -> list[Path]:
    return [
        path
        for path in parent.iterdir()
        if _WORK_FOLDER.fullmatch(path.name) and not path.is_symlink()
    ]


def require_folder(path: Path) -> None:
    """Refuse what has the name of a folder of ours and is none; it is not ours to delete.

    Raises:
        BackupError: it is a file or a link.
    """
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise BackupError(
            f"{path} is no folder, and only folders of backups have such a name.",
            remedy="Move it away and try again; nothing was changed.",
        )


def private_folder(path: Path) -> Path:
    """Return the folder, made if need be with those above it; their names are durable.

    Raises:
        DaemonError: it is there and open to others, or no folder.
        OSError: it cannot be made.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    for folder in made or [path]:  # Whoever made it may have died before this.
        with contextlib.suppress(PermissionError):  # Who may not list it made nothing in it.
            sync_folder(folder.parent)
    require_private(path)
    return path


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Make a file that only its owner may read; when the block ends it is on the disk.

    The name is durable once its folder was synced, too.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)  # The system does not name it.
        raise
    finally:
        os.close(descriptor)
