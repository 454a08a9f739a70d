"""Clocks: the real one and the one of the tests keep the same promises."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from waiaas.ports import Clock
from waiaas.system import SystemClock

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office


@pytest.fixture(params=["real", "test"])
def clock(request: pytest.FixtureRequest, office: "Office") -> Clock:
    return SystemClock() if request.param == "real" else office.clock


def test_the_time_is_a_plausible_number_of_whole_seconds(clock: Clock) -> None:
    assert isinstance(clock.now_s(), int)
    assert 1_600_000_000 < clock.now_s() < 10_000_000_000


def test_monotonic_time_never_goes_back(clock: Clock) -> None:
    seen = [clock.monotonic_s() for _ in range(1000)]
    assert seen == sorted(seen)


@pytest.mark.parametrize("seconds", [0, 0.001, 0.02])
def test_waiting_takes_at_least_as_long_as_was_asked(clock: Clock, seconds: float) -> None:
    async def waited() -> float:
        begin = clock.monotonic_s()
        await clock.sleep(seconds)
        return clock.monotonic_s() - begin

    assert asyncio.run(waited()) >= seconds * 0.9  # timers round


def test_others_run_while_one_waits(clock: Clock) -> None:
    async def note(said: Callable[[str], None]) -> None:
        said("other")

    async def scenario() -> list[str]:
        said: list[str] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(note(said.append))
            await clock.sleep(0.001)
            said.append("waited")
        return said

    assert asyncio.run(scenario()) == ["other", "waited"]


def test_waiting_can_be_given_up(clock: Clock) -> None:
    async def scenario() -> bool:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(clock.sleep(0.5))
            await clock.sleep(0)
            task.cancel()
        return task.cancelled()

    assert asyncio.run(scenario())
