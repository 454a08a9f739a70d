"""Whether the wall clock may be believed: a steady clock says how far it should have come.

A wall clock can be set, and a limit of so much a day is only as good as the day. The steady clock
cannot: it counts the seconds since the machine was started, those of sleep too. One reading of both
that was believed, the *anchor*, says for the rest of that boot what the wall clock has to show. The
anchor stays where it is, so many small steps add up to no more than one. Where there are several
anchors, the clock has to bear out each of them.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

TOLERANCE_S: Final = 300
"""So far the wall clock may be from what is expected: what time servers correct after a sleep, and
a leap second. It is also by how much, in all, a clock can open a window too early."""


CHAIN_TOLERANCE_S: Final = 1800
"""So far the wall clock may be from a chain's time. That of Solana is the median of what validators
say, follows them by no more than a second a slot, and falls behind by minutes where blocks are
slower, as in 2022 (https://github.com/solana-labs/solana/pull/25666). Final blocks are 13 s old."""


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


def anchors_with_chain(
    anchors: tuple[ClockReading, ...], reading: ClockReading, chain_s: int
) -> tuple[ClockReading, ...]:
    """Return the anchors, and one more by a chain's time, if that contradicts the wall clock.

    It stands beside them and never in the place of one: what a node says begins a doubt, and the
    clock that would be right for it is in doubt for them. What one of them expects already adds
    none.

    Args:
        anchors: what the clock has to bear out so far.
        reading: the clocks when the chain answered.
        chain_s: when its newest final block was made.
    """
    witness = reading._replace(wall_s=chain_s)
    is_known = any(
        abs(expected_wall_s(each, steady_s=reading.steady_s) - chain_s) <= TOLERANCE_S
        for each in anchors
    )
    contradicts = abs(reading.wall_s - chain_s) > CHAIN_TOLERANCE_S
    return (*anchors, witness) if contradicts and not is_known else anchors


def believable_s(anchor: ClockReading, reading: ClockReading) -> int:
    """Return the time to write down: the wall clock, or the earlier of the two if in doubt.

    So nothing is ever dated ahead of what passed, and a wall clock that was wrong for a while
    leaves no row from the future behind, which ledger time could not go back from.
    """
    doubt = doubt_of(anchor, reading)
    return reading.wall_s if doubt is None else min(doubt)


def anchors_at_start(
    known: Iterable[ClockReading], reading: ClockReading, *, last_s: int
) -> tuple[ClockReading, ...]:
    """Return what the clock has to bear out from a start of the program on.

    Args:
        known: the anchors that the ledger holds. Those of the same boot go on being the anchors.
        reading: the clocks now.
        last_s: the last second of the ledger. After a new boot the clock is not expected before it;
            how long the machine was off nobody here can tell.
    """
    is_before = reading.wall_s < last_s - TOLERANCE_S
    new = reading._replace(wall_s=last_s) if is_before else reading
    return _of_this_boot(known, reading) or (new,)


def anchors_after_restore(
    known: Iterable[ClockReading], reading: ClockReading, *, last_s: int
) -> tuple[ClockReading, ...]:
    """Return what the clock has to bear out for a ledger that came out of a backup.

    A restore is no new boot: whether the clock was set in this one, its ledgers tell. Where none of
    them is left that does, nothing is known but when the backup was made, so the clock is in doubt
    as soon as that is longer ago than the tolerance.

    Args:
        known: the anchors of the backup's ledger and of the one it replaces, as far as there are.
        reading: the clocks now.
        last_s: the last second that the backup knows of.
    """
    return _of_this_boot(known, reading) or (reading._replace(wall_s=last_s),)


def _of_this_boot(known: Iterable[ClockReading], reading: ClockReading) -> tuple[ClockReading, ...]:
    return tuple(dict.fromkeys(each for each in known if each.boot_id == reading.boot_id))
