"""Bringing a backup back: into a folder beside, checked and marked there, then put in place.

A running daemon holds the lock of its directory, so nothing is restored under it.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from waiaas.backups.create import explained, guarded
from waiaas.backups.disk import private_folder, sync_folder
from waiaas.backups.errors import BackupError
from waiaas.backups.file import LEDGER_FILE, OpenedBackup
from waiaas.backups.swap import claimed, progress, require_movable, swap
from waiaas.backups.verify import Verified, extract_and_check
from waiaas.database import generate_id, open_ledger
from waiaas.directory import KEYSTORE_NAME
from waiaas.pipeline.restored import mark_restored
from waiaas.ports import Clock


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done."""

    verified: Verified
    replaced: Path
    """Where the files lie that were there before, if there were any."""


def restore_backup(opened: OpenedBackup, directory: Path, *, clock: Clock) -> Restored:
    """Make *directory* what it was when the backup was made; its ledger then pays nothing.

    Args:
        opened: the backup.
        directory: a data directory, or one to be made; its parent is made too.
        clock: of this machine.

    Raises:
        BackupError: nothing was changed, or it says that the next start goes on.
        KeyboardInterrupt: says how far it came.
    """
    os.umask(0o077)
    with explained():
        private_folder(directory)
        staged = directory / f"restore-{generate_id()}"
        when = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(clock.now_s()))
        replaced = directory / f"replaced-{when}-{generate_id()[-8:]}"
        try:
            with claimed(directory):
                require_movable(directory)
                verified = _stage(opened, staged, clock=clock)
                swap(directory, staged=staged.name, replaced=replaced.name)
        except KeyboardInterrupt:
            came_to = progress(directory, staged=staged.name, replaced=replaced.name)
            raise KeyboardInterrupt(came_to) from None
    return Restored(verified, replaced)


def _stage(opened: OpenedBackup, staged: Path, *, clock: Clock) -> Verified:
    """Make the complete new tree, or none; its own name is not synced."""
    try:
        staged.mkdir(mode=0o700)
        return _fill(opened, staged, clock=clock)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise


def _fill(opened: OpenedBackup, staged: Path, *, clock: Clock) -> Verified:
    """Extract into the empty folder; check, mark, and have it all on the disk."""
    verified = extract_and_check(opened, staged)
    details: dict[str, str | int | None] = {
        "id": opened.header.id,
        "createdAt": opened.header.created_at,
    }
    with open_ledger(staged) as ledger:
        wall_s = guarded(clock, ledger).now_s()
        ledger.write(lambda tx: mark_restored(tx, wall_s=wall_s, details=details))
        if not ledger.close():
            raise BackupError("The restored ledger is in use.", remedy="Try again.")
    for folder in (staged / KEYSTORE_NAME, staged):
        sync_folder(folder)
    assert not (staged / f"{LEDGER_FILE}-wal").exists(), "the last to close it removes it"
    return verified
