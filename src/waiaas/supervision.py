"""Workers: what the daemon does again and again besides answering, each under supervision.

A worker is one function, a turn: it does what is due and says in how many seconds the next turn is.
A turn that fails is counted, told, and tried again after a pause that doubles; it ends neither the
other workers nor the daemon. Only where the ledger is damaged nobody works any more.

There are no leases to take: the lock of the data directory is the one lease. Whoever holds it is
the only process that works on this ledger, and in it each worker is one task.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

import structlog

from waiaas.domain.workers import WorkerCondition, WorkerName, WorkerState
from waiaas.ports import Clock

PAUSE_S_MIN: Final = 1
"""Between two turns at the least, whatever a turn says: none may keep the loop busy."""

JITTER: Final = 0.1
"""The greatest part by which a pause is longer, so that what began together falls apart."""

log = structlog.get_logger()


class TurnFailed(Exception):  # noqa: N818 -- says what happened
    """A turn could not do its work, for a reason that a sentence tells; no defect of ours."""


def unexpected(error: Exception) -> str:
    """Return what is told of a defect where no traceback belongs."""
    return f"An unexpected error, {type(error).__name__}: the daemon's log has it."


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker does."""

    name: WorkerName
    turn: Callable[[], Awaitable[float | None]]
    """Does what is due; returns the seconds until the next turn, or None if there is none."""
    first_pause_s: float = 0
    """Before the first turn."""
    retry_s_min: float = 1
    retry_s_max: float = 60
    """After a turn that failed; doubled after each that follows."""


class Supervisor:
    """Runs works side by side, and says how it stands with them."""

    def __init__(
        self,
        works: Collection[Work],
        *,
        clock: Clock,
        is_damaged: Callable[[], bool],
        random_share: Callable[[], float],
    ) -> None:
        """Take *works* over, to be run by `run`.

        Args:
            works: each under a name of its own.
            clock: to wait on, and to date with.
            is_damaged: tells whether the ledger is, so that nobody may work.
            random_share: returns a number from 0 to 1, anew at each call.
        """
        self._works = works
        self._clock = clock
        self._is_damaged = is_damaged
        self._random_share = random_share
        self._conditions = {
            work.name: WorkerCondition(work.name, WorkerState.WAITING, None, None, 0, None, None)
            for work in works
        }
        assert len(self._conditions) == len(works), "each has a name of its own"

    def conditions(self) -> list[WorkerCondition]:
        """Say how it stands with each."""
        return list(self._conditions.values())

    async def run(self) -> None:
        """Run each until it has ended, or all are cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in self._works:
                group.create_task(self._keep(work))

    async def _keep(self, work: Work) -> None:
        retry_s = work.retry_s_min
        if work.first_pause_s and not self._is_damaged():
            await self._wait(work, work.first_pause_s, WorkerState.WAITING)
        while not self._is_damaged():
            self._note(work, state=WorkerState.RUNNING, begun_at=self._clock.now_s(), next_at=None)
            try:
                pause_s = await work.turn()
            except Exception as error:  # noqa: BLE001 -- one worker's trouble must not end others
                if not self._tell(work, error, again_in_s=retry_s):
                    break
                await self._wait(work, retry_s, WorkerState.FAILING)
                retry_s = min(2 * retry_s, work.retry_s_max)
            else:
                retry_s = work.retry_s_min
                if pause_s is None:
                    break
                await self._wait(work, max(pause_s, PAUSE_S_MIN), WorkerState.WAITING)
        self._note(work, state=WorkerState.ENDED, next_at=None)

    def _tell(self, work: Work, error: Exception, *, again_in_s: float) -> bool:
        """Count and log a failure; return whether the turn is tried again."""
        problem = str(error) if isinstance(error, TurnFailed) else unexpected(error)
        failures = self._conditions[work.name].failures + 1
        now_s = self._clock.now_s()
        self._note(work, failures=failures, failed_at=now_s, problem=problem)
        if self._is_damaged():
            log.critical("a worker has stopped: the ledger is damaged", worker=work.name)
            return False
        log.error(
            "a worker failed",
            worker=work.name,
            failures=failures,
            again_in_s=again_in_s,
            **({"reason": problem} if isinstance(error, TurnFailed) else {"exc_info": error}),
        )
        return True

    async def _wait(self, work: Work, pause_s: float, state: WorkerState) -> None:
        pause_s *= 1 + JITTER * self._random_share()
        self._note(work, state=state, next_at=self._clock.now_s() + round(pause_s))
        await self._clock.sleep(pause_s)

    def _note(self, work: Work, **changes: object) -> None:
        # mypy cannot see that these are fields; a name that is none is refused by `replace`.
        self._conditions[work.name] = replace(self._conditions[work.name], **changes)  # type: ignore[arg-type]  # -- as said above
