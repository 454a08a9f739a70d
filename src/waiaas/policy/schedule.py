"""Hours of the week in a time zone: is it open now, and when is it next.

Times are read off the wall clock of the zone, so a window keeps its hours when summer time begins
or ends: an hour that the clock skips does not happen, and one it repeats is open twice.
Zones are data (IANA's, by `zoneinfo`); the second to judge is always given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAY_MINUTES: Final = 24 * 60

_DAY_S: Final = 24 * 3600
_STEP_S: Final = 6 * 3600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

HORIZON_S: Final = 15 * _DAY_S
"""How far ahead the next opening is looked for.

Two weeks and a day: a weekly window may fall into the hour that its zone skips, or on the day.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of certain days, its end excluded; one that ends before it starts passes midnight."""

    days: frozenset[int]
    """Days it starts on: 0 is Monday."""
    start_minute: int
    end_minute: int
    """Minutes since midnight; 1440 is the end of the day."""

    def holds(self, moment: datetime) -> bool:
        """Tell whether the wall clock's *moment* is inside."""
        minute, day = moment.hour * 60 + moment.minute, moment.weekday()
        if self.start_minute < self.end_minute:
            return day in self.days and self.start_minute <= minute < self.end_minute
        yesterday = (day - 1) % 7
        return (day in self.days and minute >= self.start_minute) or (
            yesterday in self.days and minute < self.end_minute
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows of the week in a time zone; open while any of them holds."""

    zone: ZoneInfo
    windows: tuple[Window, ...]

    def is_open(self, now_s: int) -> bool:
        """Tell whether *now_s* is inside a window."""
        moment = _local(now_s, self.zone)
        return any(window.holds(moment) for window in self.windows)

    def opens_at(self, now_s: int) -> int | None:
        """Return the first second from *now_s* on that is inside a window; None: not foreseeable.

        A closed schedule can open only where a window starts on the wall clock, or where the wall
        clock jumps.
        """
        if self.is_open(now_s):
            return now_s
        candidates = sorted({*self._starts(now_s), *_jumps(now_s, self.zone)})
        return next((s for s in candidates if s > now_s and self.is_open(s)), None)

    def _starts(self, now_s: int) -> Iterator[int]:
        first = _local(now_s, self.zone).date()
        for day in (first + timedelta(days=n) for n in range(HORIZON_S // _DAY_S + 1)):
            for window in self.windows:
                if day.weekday() in window.days:
                    yield from _seconds(day, window.start_minute, self.zone)


def earliest_open(schedules: Sequence[Schedule], *, since_s: int) -> int | None:
    """Return the first second from *since_s* on at which every schedule is open; None: none is."""
    now_s = since_s
    while now_s <= since_s + HORIZON_S:
        latest = now_s
        for schedule in schedules:
            opening = schedule.opens_at(now_s)
            if opening is None:
                return None
            latest = max(latest, opening)
        if latest == now_s:
            return now_s
        now_s = latest
    return None


def _local(now_s: int, zone: ZoneInfo) -> datetime:
    return (_EPOCH + timedelta(seconds=now_s)).astimezone(zone)


def _seconds(day: date, minute: int, zone: ZoneInfo) -> Iterator[int]:
    """Yield the seconds at which the wall clock may show that minute: two where it is set back."""
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    for fold in (0, 1):
        yield (wall.replace(fold=fold) - _EPOCH) // timedelta(seconds=1)


def _jumps(now_s: int, zone: ZoneInfo) -> Iterator[int]:
    """Yield the first second after each change of the zone's offset; no zone has two in a step."""
    for step_s in range(now_s, now_s + HORIZON_S, _STEP_S):
        before_s, after_s = step_s, step_s + _STEP_S
        old = _local(before_s, zone).utcoffset()
        if _local(after_s, zone).utcoffset() == old:
            continue
        while after_s - before_s > 1:
            middle_s = (before_s + after_s) // 2
            if _local(middle_s, zone).utcoffset() == old:
                before_s = middle_s
            else:
                after_s = middle_s
        yield after_s
