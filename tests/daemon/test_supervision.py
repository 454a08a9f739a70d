"""Supervision: a worker that fails is counted, told and tried again, and ends nobody else."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from tests.fakes.clock import FakeClock

from waiaas.domain.workers import WorkerName, WorkerState
from waiaas.logs import log_to_stderr
from waiaas.supervision import JITTER, PAUSE_S_MIN, Supervisor, TurnFailed, Work

NOW_S = 1_700_000_000

Turn = Callable[[], Awaitable[float | None]]


class Pauses:
    """A clock that notes each pause, and stops whoever waits after *enough* of them."""

    def __init__(self, *, enough: int) -> None:
        self.wall_s = NOW_S
        self.seconds: list[float] = []
        self._enough = enough

    def now_s(self) -> int:
        return self.wall_s

    def monotonic_s(self) -> float:
        return float(self.wall_s)

    async def sleep(self, seconds: float) -> None:
        if len(self.seconds) == self._enough:
            raise asyncio.CancelledError
        self.seconds.append(seconds)
        self.wall_s += int(seconds)


def turns(*outcomes: float | Exception | None) -> Turn:
    """Return a turn with these outcomes, one after the other."""
    coming = iter(outcomes)

    async def turn() -> float | None:
        outcome = next(coming)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return turn


def supervise(
    *works: Work, clock: Pauses, is_damaged: Callable[[], bool] = lambda: False, share: float = 0.0
) -> Supervisor:
    supervisor = Supervisor(works, clock=clock, is_damaged=is_damaged, random_share=lambda: share)
    with suppress(asyncio.CancelledError):
        asyncio.run(supervisor.run())
    return supervisor


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    log_to_stderr()
    return lambda: [json.loads(line) for line in capfd.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("outcomes", "share", "pauses"),
    [
        ((5, 7, None), 0, [5, 7]),
        ((0, 0.001, None), 0, [PAUSE_S_MIN, PAUSE_S_MIN]),
        ((10, None), 0.5, [10 * (1 + JITTER / 2)]),
        ((None,), 1, []),
        ((TurnFailed("a"),) * 5 + (None,), 0, [2, 4, 8, 9, 9]),
        ((TurnFailed("a"), TurnFailed("a"), 5, TurnFailed("a"), None), 0, [2, 4, 5, 2]),
        ((TurnFailed("a"), None), 1, [2 * (1 + JITTER)]),
    ],
)
def test_a_pause_has_a_floor_and_jitter_and_doubles_after_failures_up_to_a_bound(
    outcomes: Sequence[float | Exception | None], share: float, pauses: list[float]
) -> None:
    clock = Pauses(enough=9)
    work = Work(WorkerName.CLOCK, turns(*outcomes), retry_s_min=2, retry_s_max=9)
    [condition] = supervise(work, clock=clock, share=share).conditions()
    assert clock.seconds == pytest.approx(pauses)
    assert condition.state is WorkerState.ENDED
    assert condition.failures == sum(isinstance(each, Exception) for each in outcomes)


def test_a_failure_is_shown_and_told_and_what_nobody_expected_with_its_traceback(
    logged: Callable[[], list[dict[str, Any]]],
) -> None:
    clock = Pauses(enough=1)
    work = Work(
        WorkerName.BACKUP,
        turns(TurnFailed("there is no room"), ZeroDivisionError("x")),
        first_pause_s=0,
        retry_s_min=30,
    )
    [condition] = supervise(work, clock=clock).conditions()
    expected, defect = logged()
    assert (expected["worker"], expected["reason"]) == ("backup", "there is no room")
    assert (expected["failures"], expected["again_in_s"]) == (1, 30)
    assert "exception" not in expected
    assert "ZeroDivisionError: x" in defect["exception"]
    assert condition.state is WorkerState.FAILING
    assert (condition.failures, condition.failed_at) == (2, NOW_S + 30)
    assert condition.problem is not None
    assert "ZeroDivisionError" in condition.problem
    assert condition.next_at == NOW_S + 30 + 60


def test_one_that_waits_says_since_when_and_until_when() -> None:
    clock = Pauses(enough=1)
    [condition] = supervise(Work(WorkerName.CLOCK, turns(5, 7)), clock=clock).conditions()
    assert condition.state is WorkerState.WAITING
    assert (condition.begun_at, condition.next_at) == (NOW_S + 5, NOW_S + 12)
    assert (condition.failures, condition.failed_at, condition.problem) == (0, None, None)


def test_one_that_fails_ends_no_other() -> None:
    conditions = supervise(
        Work(WorkerName.BACKUP, turns(ValueError(), ValueError(), None)),
        Work(WorkerName.CLOCK, turns(1, 1, 1, None)),
        clock=Pauses(enough=9),
    ).conditions()
    assert [each.state for each in conditions] == [WorkerState.ENDED] * 2
    assert [each.failures for each in conditions] == [2, 0]


def test_the_control_in_a_bare_group_one_failure_ends_them_all() -> None:
    bad, good = turns(ValueError()), turns(1, 1, 1)
    done: list[float | None] = []

    async def keep(turn: Turn) -> None:
        while True:
            done.append(await turn())
            await FakeClock().sleep(1)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(keep(bad))
            group.create_task(keep(good))

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert len(done) == 1


def test_nobody_works_on_a_damaged_ledger_and_one_that_meets_damage_ends(
    logged: Callable[[], list[dict[str, Any]]],
) -> None:
    clock = Pauses(enough=9)
    damaged: list[None] = []

    async def meet_damage() -> float:
        damaged.append(None)
        raise ValueError

    works = [
        Work(WorkerName.BACKUP, meet_damage),
        Work(WorkerName.CLOCK, turns(1), first_pause_s=3),
    ]
    conditions = supervise(*works, clock=clock, is_damaged=lambda: bool(damaged)).conditions()
    assert [each.state for each in conditions] == [WorkerState.ENDED] * 2
    assert len(damaged) == 1
    [line] = logged()
    assert (line["level"], line["worker"]) == ("critical", "backup")
