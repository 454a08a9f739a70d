"""Backups that nobody has to think of: one when the last is old enough, and no more than needed.

The ledger says which backups the schedule made, and in which order: each is listed in the
transaction of its audit row, before its file has its name. The files say which of them are still
there, as they were made. Only what both say counts, and only that is ever removed: no backup of an
operator's, none that was renamed or changed, none of another daemon, and none from a history that
a restore has replaced. Nor is one removed with a key that all newer ones lack: it may be the last
place where that key is.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog

from waiaas.backups.create import UNCHANGED, BackupMaker, Details, Occasion, explained
from waiaas.backups.disk import sync_folder
from waiaas.backups.errors import BackupError
from waiaas.backups.file import describe
from waiaas.config.registry import BackupSettings
from waiaas.database import DatabaseError, Ledger
from waiaas.directory import BACKUPS_NAME, sentence
from waiaas.domain.audit import SYSTEM
from waiaas.domain.backup import Backup, KeysSaved, ScheduleCondition
from waiaas.domain.enums import AgentStatus
from waiaas.domain.workers import WorkerName
from waiaas.pipeline.record import ledger_time
from waiaas.ports import Clock, LedgerTransaction
from waiaas.supervision import TurnFailed, Work, unexpected

START_PAUSE_S: Final = 3
"""Whoever waits for the start, and the payments that wait with him, go first."""
PAUSE_S: Final = 10 * 60
"""After an attempt until the next look; twice as long after each failure that follows one."""
LOOK_S_MAX: Final = 60 * 60
"""Between two looks: a file may be gone, a clock set, a machine suspended."""
SPARE_BYTES: Final = 64 * 1024 * 1024
"""What a scheduled backup leaves free beyond what it takes: payments need it more."""

_MARK: Final = "scheduled-"
_KEY: Final = "backup.schedule"
_S_PER_HOUR: Final = 60 * 60
_TOLD_MAX: Final = 10

log = structlog.get_logger()


class _Kept(msgspec.Struct, frozen=True):
    """What the ledger keeps of the schedule."""

    made: tuple[Backup, ...] = ()
    """In the order in which they were made, whatever the clock said."""
    saved: dict[str, KeysSaved] = {}
    """Whose keys are in them, by the backups' ids."""
    problem: str | None = None
    """Why the last attempt failed, or what it could not save."""

    def keys_in(self, backup: Backup) -> KeysSaved:
        """Return whose keys are in one; nothing is known of what older releases made."""
        return self.saved.get(backup.id, KeysSaved())


def seconds_to_next(*, made_at: Iterable[int], now_s: int, interval_s: int) -> int:
    """Return how long to wait for the next backup, at most two intervals.

    A backup from further ahead than an interval was dated by a clock that was wrong, and tells
    nothing: one backup too many does no harm.
    """
    credible = [second for second in made_at if second <= now_s + interval_s]
    return max(max(credible) + interval_s - now_s, 0) if credible else 0


def beyond(
    made: Sequence[tuple[Backup, KeysSaved]], *, saved: KeysSaved, keep: int
) -> list[Backup]:
    """Return the oldest of *made*, those that are more than *keep* with the new one.

    One with a key that all newer ones lack, which stay, is not among them.

    Args:
        made: what there is, in the order in which it was made.
        saved: whose keys are in the new one.
        keep: how many there are to be.
    """
    gone, wanted = [], set(saved.lacking)
    for count, (backup, keys) in enumerate(reversed(made), start=2):
        only_here = {agent_id for agent_id in wanted if keys.may_have(agent_id)}
        if count > keep and not only_here:
            gone.append(backup)
        else:
            wanted -= only_here
    return gone[::-1]


class BackupSchedule:
    """Makes the backups of one daemon, and removes its old ones."""

    def __init__(
        self,
        maker: BackupMaker,
        *,
        directory: Path,
        ledger: Ledger,
        clock: Clock,
        settings: BackupSettings,
    ) -> None:
        self._maker = maker
        self._directory = directory
        self._folder = directory / BACKUPS_NAME
        self._ledger = ledger
        self._clock = clock
        self._interval_s = settings.interval_hours * _S_PER_HOUR
        self._keep = settings.keep
        self._unrecorded_problem: str | None = None

    def condition(self) -> ScheduleCondition:
        """Say when the last one was made, and what keeps the next from being made."""
        kept = self._ledger.read(_kept)
        last = next((backup for backup in reversed(kept.made) if self._is_as_made(backup)), None)
        if not self._interval_s:
            problem = None
        elif self._ledger.damage is not None:
            problem = "No backup is made of a damaged ledger."
        else:
            problem = self._unrecorded_problem or kept.problem
        return ScheduleCondition(None if last is None else last.created_at, problem)

    def work(self) -> Work:
        return Work(
            WorkerName.BACKUP,
            self.turn,
            first_pause_s=START_PAUSE_S,
            retry_s_min=PAUSE_S,
            retry_s_max=LOOK_S_MAX,
        )

    async def turn(self) -> float | None:
        """Make the backup that is due, if one is."""
        if not self._interval_s:
            return None
        kept = self._ledger.read(_kept)
        there = await asyncio.to_thread(self._as_made, kept.made)
        wait_s = seconds_to_next(
            made_at=[backup.created_at for backup in there],
            now_s=self._clock.now_s(),
            interval_s=self._interval_s,
        )
        if wait_s:
            return min(wait_s, LOOK_S_MAX)
        await self._attempt(kept)
        return PAUSE_S

    async def _attempt(self, kept: _Kept) -> None:
        """Make one, or record why there is none; payments go on either way.

        Raises:
            TurnFailed: there is none.
        """
        try:
            await self._make_beside(kept)
        except BackupError as error:
            await self._record(str(error))
            raise TurnFailed(str(error)) from error
        except Exception as error:
            await self._record(unexpected(error))
            raise
        self._unrecorded_problem = None  # The ledger's went in the backup's transaction.

    async def _make_beside(self, kept: _Kept) -> None:
        """Make one on a thread of its own; a cancelled caller stops it and waits for its end."""
        stop = threading.Event()
        making = asyncio.get_running_loop().run_in_executor(
            None, partial(self._make, kept, stop=stop)
        )
        try:
            await asyncio.wait([making])  # Which does not cancel it, whoever cancels us.
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([making])
            making.exception()  # Heard, and of no interest any more.
            raise
        making.result()

    def _make(self, kept: _Kept, *, stop: threading.Event) -> None:
        self._require_room()
        listed = [backup for backup in kept.made if os.path.lexists(self._folder / backup.name)]
        there = [(backup, kept.keys_in(backup)) for backup in self._as_made(kept.made)]
        replaced: list[Backup] = []

        def details(saved: KeysSaved) -> Details:
            replaced.extend(beyond(there, saved=saved, keep=self._keep))
            # Written down before anything is removed.
            return {"replaces": ", ".join(old.name for old in replaced)} if replaced else {}

        def record(tx: LedgerTransaction, backup: Backup, saved: KeysSaved, now_s: int) -> None:
            # Those to be removed stay on the list until they are seen to be gone.
            keys = {old.id: kept.keys_in(old) for old in listed} | {backup.id: saved}
            _put(tx, _Kept((*listed, backup), keys, missing_keys(tx, saved)), now_s=now_s)

        occasion = Occasion(
            actor=SYSTEM, mark=_MARK, details=details, record=record, is_stopped=stop.is_set
        )
        backup = self._maker.make_if_free(occasion)
        log.info("scheduled backup made", name=backup.name, size_bytes=backup.size_bytes)
        problem = self._ledger.read(_kept).problem
        if problem is not None:
            log.error("keys are lost", reason=problem)
        self._remove(replaced)

    def _require_room(self) -> None:
        problem = self._ledger.condition().problem
        if problem is not None:
            raise BackupError(
                f"The ledger takes no writes: {problem.rstrip('.')}.", remedy=UNCHANGED
            )
        with explained():
            ledger = Path(self._ledger.path)
            files = [ledger, ledger.with_name(f"{ledger.name}-wal")]
            bytes_needed = 2 * sum(file.stat().st_size for file in files if file.exists())
            bytes_free = shutil.disk_usage(self._directory).free
        if bytes_free < bytes_needed + SPARE_BYTES:
            raise BackupError(
                f"A scheduled backup takes {bytes_needed} bytes and leaves {SPARE_BYTES} free; on"
                f" the disk of {self._directory} {bytes_free} are free.",
                remedy="Free some, or keep fewer (backup.keep in config.toml).",
            )

    def _remove(self, replaced: Sequence[Backup]) -> None:
        """Remove old ones; the new one is on the disk. Those that stay are tried again with it."""
        for backup in self._as_made(replaced):
            try:
                (self._folder / backup.name).unlink()
                sync_folder(self._folder)
            except OSError as error:
                log.warning("old backup stays", name=backup.name, reason=sentence(error))
            else:
                log.info("old backup removed", name=backup.name)

    def _as_made(self, backups: Iterable[Backup]) -> list[Backup]:
        return [backup for backup in backups if self._is_as_made(backup)]

    def _is_as_made(self, backup: Backup) -> bool:
        """Tell whether the file is there, and as long and with the header that it was made with."""
        try:
            return describe(self._folder / backup.name) == backup
        except BackupError:
            return False

    async def _record(self, problem: str) -> None:
        wall_s = self._clock.now_s()

        def unit(tx: LedgerTransaction) -> None:
            kept = msgspec.structs.replace(_kept(tx), problem=problem)
            _put(tx, kept, now_s=ledger_time(tx, wall_s=wall_s))

        try:
            await self._ledger.write_async(unit)
        except DatabaseError as error:
            self._unrecorded_problem = problem
            log.warning("the failed backup could not be recorded", reason=str(error))
        else:
            self._unrecorded_problem = None


def missing_keys(tx: LedgerTransaction, saved: KeysSaved) -> str | None:
    """Say which agents that still pay have no key in the keystore any more, if any."""
    found = [tx.agents.get(agent_id) for agent_id in saved.lacking]
    lost = [agent.id for agent in found if agent and agent.status is not AgentStatus.TERMINATED]
    if not lost:
        return None
    more = f", and {len(lost) - _TOLD_MAX} more" if len(lost) > _TOLD_MAX else ""
    return (
        f"The newest backup lacks the keys of {', '.join(lost[:_TOLD_MAX])}{more}: their files are"
        " missing in the keystore, or damaged. Older backups that have them are kept: restore the"
        " newest of these."
    )


def _kept(tx: LedgerTransaction) -> _Kept:
    stored = tx.key_values.get(_KEY)
    return _Kept() if stored is None else msgspec.json.decode(stored, type=_Kept)


def _put(tx: LedgerTransaction, kept: _Kept, *, now_s: int) -> None:
    tx.key_values.put(_KEY, msgspec.json.encode(kept).decode(), now_s=now_s)
