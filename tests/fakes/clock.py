"""A clock that stands still until it is told how much time has passed.

The wall clock and the steady one are moved apart: the first may jump, the second never goes back.
"""

import asyncio
from heapq import heappop, heappush
from itertools import count
from typing import Final

from waiaas.domain.clock import ClockDoubt

NOW_S: Final = 1_700_000_000


class FakeClock:
    """`waiaas.ports.GuardedClock`, unguarded; who sleeps wakes when enough time was let pass."""

    def __init__(self, *, now_s: int = NOW_S) -> None:
        self._passed_s = 0.0
        self._wall_ahead_s = float(now_s)
        self._order = count()
        self._asleep: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_s(self) -> int:
        return int(self._wall_ahead_s + self._passed_s)

    def monotonic_s(self) -> float:
        return self._passed_s

    def doubt(self) -> ClockDoubt | None:
        """Believe whatever it says; `waiaas.pipeline.clock_guard` is what does not."""
        return None

    async def sleep(self, seconds: float) -> None:
        until_s = self._passed_s + max(seconds, 0)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._asleep, (until_s, next(self._order), woken))
        self._wake()
        await woken

    def pass_time(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        assert seconds >= 0
        self._passed_s += seconds
        self._wake()

    def jump(self, seconds: int) -> None:
        """Set the wall clock, forward or back; nobody has slept any longer for it."""
        self._wall_ahead_s += seconds

    def _wake(self) -> None:
        while self._asleep and self._asleep[0][0] <= self._passed_s:
            woken = heappop(self._asleep)[2]
            if not woken.done():  # or the sleeper was cancelled
                woken.set_result(None)
