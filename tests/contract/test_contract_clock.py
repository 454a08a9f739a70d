"""What the pipeline relies on of a clock, asked of the fake and of the system's alike."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.fakes.clock import FakeClock

from waiaas.ports import Clock
from waiaas.system import SystemClock

Let = Callable[[], Awaitable[None]]


async def _let_real_time_pass() -> None:
    """Nothing to do: it passes by itself."""


def system() -> tuple[Clock, Let]:
    return SystemClock(), _let_real_time_pass


def fake() -> tuple[Clock, Let]:
    clock = FakeClock()

    async def let_pass() -> None:
        clock.pass_time(0.004)

    return clock, let_pass


@pytest.fixture(params=[fake, system])
def made(request: pytest.FixtureRequest) -> tuple[Clock, Let]:
    clock: tuple[Clock, Let] = request.param()
    return clock


def test_the_wall_clock_is_whole_seconds_of_this_epoch(made: tuple[Clock, Let]) -> None:
    clock, _ = made
    assert isinstance(clock.now_s(), int)
    assert clock.now_s() >= 1_700_000_000


def test_steady_time_never_goes_back(made: tuple[Clock, Let]) -> None:
    clock, _ = made
    seen = [clock.monotonic_s() for _ in range(100)]
    assert seen == sorted(seen)


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_who_sleeps_wakes_when_so_much_time_has_passed(
    seconds: float, made: tuple[Clock, Let]
) -> None:
    clock, let_pass = made

    async def sleep() -> float:
        begun_s = clock.monotonic_s()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(clock.sleep(seconds))
            while not task.done():
                await turn()
                await let_pass()
        return clock.monotonic_s() - begun_s

    assert asyncio.run(sleep()) >= seconds - 0.001  # a system's timers have a grain


def test_who_slept_and_was_cancelled_wakes_nobody(made: tuple[Clock, Let]) -> None:
    clock, let_pass = made

    async def sleep() -> None:
        async with asyncio.TaskGroup() as group:
            cancelled, other = (group.create_task(clock.sleep(0.01)) for _ in range(2))
            await turn()
            cancelled.cancel()
            while not other.done():
                await turn()
                await let_pass()
        assert cancelled.cancelled()

    asyncio.run(sleep())


async def turn() -> None:
    loop = asyncio.get_running_loop()
    turned = loop.create_future()
    loop.call_soon(turned.set_result, None)
    await turned


def test_the_fake_s_wall_clock_jumps_both_ways_and_its_steady_one_does_not() -> None:
    clock = FakeClock(now_s=1000)
    clock.jump(-300)
    assert (clock.now_s(), clock.monotonic_s()) == (700, 0)
    clock.jump(600)
    clock.pass_time(1.5)
    assert (clock.now_s(), clock.monotonic_s()) == (1301, 1.5)
