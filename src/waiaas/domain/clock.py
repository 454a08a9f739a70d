"""Whether the wall clock may be believed: a steady clock says how far it should have come.

A wall clock can be set, and a limit of so much a day is only as good as the day. The steady clock
cannot: it counts the seconds since the machine was started, those of sleep too. One reading of both
that was believed, the *anchor*, says for the rest of that boot what the wall clock has to show. The
anchor stays where it is, so many small steps add up to no more than one.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

TOLERANCE_S: Final = 300
"""So far the wall clock may be from what is expected: what time servers correct after a sleep, and
a leap second. It is also by how much, in all, a clock can open a window too early."""


class ClockReading(NamedTuple):
    """Both clocks, read together."""

    boot_id: str
    """Which start of the machine it was; the steady clocks of two have nothing in common."""
    steady_s: float
    """Since that start."""
    wall_s: int
    """Unix epoch seconds."""


class ClockDoubt(NamedTuple):
    """The wall clock shows what it cannot have come to by itself."""

    expected_s: int
    actual_s: int

    @property
    def difference_s(self) -> int:
        """How far it is ahead; negative, if it is behind."""
        return self.actual_s - self.expected_s


def expected_wall_s(anchor: ClockReading, *, steady_s: float) -> int:
    """Return what the wall clock of the anchor's boot has to show now."""
    return anchor.wall_s + math.floor(steady_s - anchor.steady_s)


def doubt_of(anchor: ClockReading, reading: ClockReading) -> ClockDoubt | None:
    """Return what is wrong with a reading of the anchor's boot, or None."""
    doubt = ClockDoubt(expected_wall_s(anchor, steady_s=reading.steady_s), reading.wall_s)
    return doubt if abs(doubt.difference_s) > TOLERANCE_S else None


def believable_s(anchor: ClockReading, reading: ClockReading) -> int:
    """Return the time to write down: the wall clock, or the earlier of the two if in doubt.

    So nothing is ever dated ahead of what passed, and a wall clock that was wrong for a while
    leaves no row from the future behind, which ledger time could not go back from.
    """
    doubt = doubt_of(anchor, reading)
    return reading.wall_s if doubt is None else min(doubt)


def anchor_at_start(
    stored: ClockReading | None, reading: ClockReading, *, last_s: int
) -> ClockReading:
    """Return the anchor of a start of the program.

    Args:
        stored: the last one, if there was one. Of the same boot it goes on being the anchor.
        reading: the clocks now.
        last_s: the last second of the ledger. After a new boot the clock is not expected before it;
            how long the machine was off nobody here can tell.
    """
    if stored is not None and stored.boot_id == reading.boot_id:
        return stored
    if reading.wall_s < last_s - TOLERANCE_S:
        return reading._replace(wall_s=last_s)
    return reading


def anchor_after_restore(
    known: Iterable[ClockReading], reading: ClockReading, *, last_s: int
) -> ClockReading:
    """Return the anchor of a ledger that came out of a backup.

    A restore is no new boot: whether the clock was set in this one, its ledgers tell. Of two that
    differ the one is believed that expects less. Where none of them is left, nothing is known but
    that the backup was made, so the clock is in doubt as soon as that is longer ago than the
    tolerance.

    Args:
        known: the anchors of the backup's ledger and of the one it replaces, as far as there are.
        reading: the clocks now.
        last_s: the last second that the backup knows of.
    """
    of_this_boot = [anchor for anchor in known if anchor.boot_id == reading.boot_id]
    return min(
        of_this_boot or [reading._replace(wall_s=last_s)],
        key=lambda anchor: expected_wall_s(anchor, steady_s=reading.steady_s),
    )
