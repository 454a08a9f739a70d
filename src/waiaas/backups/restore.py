"""Bringing a backup back: into a folder beside, checked and marked there, then put in place.

A running daemon holds the lock of its directory, so nothing is restored under it.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from waiaas.backups.create import explained
from waiaas.backups.disk import private_folder, sync_folder, work_folder
from waiaas.backups.errors import BackupError
from waiaas.backups.file import OpenedBackup
from waiaas.backups.swap import Progress, claimed, progress, require_movable, swap
from waiaas.backups.verify import Verified, extract_and_check
from waiaas.database import generate_id, open_ledger
from waiaas.database.ballast import Ballast
from waiaas.database.copies import read_copy
from waiaas.database.errors import DatabaseError
from waiaas.directory import KEYSTORE_NAME, LEDGER_FILE
from waiaas.domain.clock import ClockReading
from waiaas.pipeline.clock_guard import ClockGuard, stored_anchors
from waiaas.pipeline.restored import mark_restored
from waiaas.ports import Clock, LedgerTransaction
from waiaas.system import read_boot_id


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done."""

    verified: Verified
    replaced: Path | None
    """Where the files lie that were there before; None: there were none."""
    is_clock_in_doubt: bool
    """Whether somebody has to look at the machine's clock, too, before anything is paid."""


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
        is_done = False
        try:
            with claimed(directory):
                require_movable(directory)
                guard = ClockGuard(clock, boot_id=read_boot_id())
                verified = _stage(opened, staged, _anchors_in(directory), clock=guard)
                swap(directory, staged=staged.name, replaced=replaced.name)
                is_done = True
                kept = replaced if _has_files(replaced) else None
                Ballast(directory).take()  # A new directory has none before its first start.
        except KeyboardInterrupt:
            came_to = progress(directory, staged=staged.name, replaced=replaced.name)
            raise KeyboardInterrupt(Progress.DONE if is_done else came_to) from None
    return Restored(verified, kept, guard.doubt() is not None)


def _has_files(folder: Path) -> bool:
    """Tell whether anything was put in a folder of ours; without, it goes."""
    try:
        folder.rmdir()
    except OSError:
        return True
    return False


def _anchors_in(directory: Path) -> list[ClockReading]:
    """Return by what the ledger that is to be replaced knows the clock; none if it is not readable.

    Its newest may be in its WAL alone. It is read by other names: SQLite would make a file beside
    it, and what was there is kept as it was.
    """
    with work_folder(directory) as folder:
        try:
            for name in (LEDGER_FILE, f"{LEDGER_FILE}-wal"):
                if os.path.lexists(directory / name):
                    os.link(directory / name, folder / name, follow_symlinks=False)
            _, anchors = read_copy(folder / LEDGER_FILE, stored_anchors)
        except (OSError, DatabaseError, ValueError, TypeError):  # The last two: no anchor of ours.
            return []
    return anchors


def _stage(
    opened: OpenedBackup, staged: Path, anchors: list[ClockReading], *, clock: ClockGuard
) -> Verified:
    """Make the complete new tree, or none; its own name is not synced."""
    try:
        staged.mkdir(mode=0o700)
        return _fill(opened, staged, anchors, clock=clock)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise


def _fill(
    opened: OpenedBackup, staged: Path, anchors: list[ClockReading], *, clock: ClockGuard
) -> Verified:
    """Extract into the empty folder; check, mark, and have it all on the disk.

    With the mark goes by what the clock is known, so that no restore ends a doubt.
    """
    verified = extract_and_check(opened, staged)
    details: dict[str, str | int | None] = {
        "id": opened.header.id,
        "createdAt": opened.header.created_at,
    }
    with open_ledger(staged) as ledger:
        clock.start_restored(ledger, anchors, made_s=opened.header.created_at)
        wall_s = clock.now_s()

        def unit(tx: LedgerTransaction) -> None:
            mark_restored(tx, wall_s=wall_s, details=details)
            clock.keep(tx)

        ledger.write(unit)
        if not ledger.close():
            raise BackupError("The restored ledger is in use.", remedy="Try again.")
    for folder in (staged / KEYSTORE_NAME, staged):
        sync_folder(folder)
    assert not (staged / f"{LEDGER_FILE}-wal").exists(), "the last to close it removes it"
    return verified
