"""How long groups of writes took, and how many units each held: counts that only grow."""

from bisect import bisect_left
from itertools import accumulate
from typing import Final

BOUNDS_US: Final = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 1_000_000)
"""Upper bounds of the classes of times, in microseconds; there is one more without."""

BOUNDS_UNITS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
"""Upper bounds of the classes of sizes; a group never has more units than the last."""


class WriteFigures:
    """The writer's thread adds, any other may read: a count that is one behind does no harm."""

    def __init__(self) -> None:
        self._times = [0] * (len(BOUNDS_US) + 1)
        self._sizes = [0] * (len(BOUNDS_UNITS) + 1)
        self.total_ns = 0
        self.units = 0

    def add(self, *, units: int, ns: int) -> None:
        """Count one group: its units, and the time from taking the first to the commit."""
        self._times[bisect_left(BOUNDS_US, -(-ns // 1000))] += 1
        self._sizes[bisect_left(BOUNDS_UNITS, units)] += 1
        self.total_ns += ns
        self.units += units

    def times(self) -> list[int]:
        """Return how many groups took at most each bound, and last how many there were."""
        return list(accumulate(self._times))

    def sizes(self) -> list[int]:
        """Return how many groups had at most as many units, and last how many there were."""
        return list(accumulate(self._sizes))
