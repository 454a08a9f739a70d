"""A wall clock is believed as far as a steady one bears it out; a naive rule is crept past."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.clock import (
    CHAIN_TOLERANCE_S,
    TOLERANCE_S,
    ClockDoubt,
    ClockReading,
    anchors_after_restore,
    anchors_at_start,
    anchors_with_chain,
    believable_s,
    doubt_of,
    expected_wall_s,
)

NOW_S: Final = 1_700_000_000
HOUR_S: Final = 3600
ANCHOR: Final = ClockReading("boot", 1000.5, NOW_S)
WITNESS: Final = ANCHOR._replace(wall_s=NOW_S - 25 * HOUR_S)
OTHER_BOOT: Final = ClockReading("another", 5.0, NOW_S - HOUR_S)


def later(seconds: float, *, jump_s: int = 0) -> ClockReading:
    """Return a reading of the same boot, by a wall clock that has been set besides."""
    return ClockReading("boot", ANCHOR.steady_s + seconds, NOW_S + int(seconds) + jump_s)


@pytest.mark.parametrize("passed_s", [0, 0.9, 60, 8 * HOUR_S, 400 * 24 * HOUR_S])
@pytest.mark.parametrize("jump_s", [0, 1, -1, TOLERANCE_S, -TOLERANCE_S])
def test_a_clock_that_went_along_is_believed_however_long_the_machine_ran_or_slept(
    passed_s: float, jump_s: int
) -> None:
    reading = later(passed_s, jump_s=jump_s)
    assert doubt_of(ANCHOR, reading) is None
    assert believable_s(ANCHOR, reading) == reading.wall_s


@pytest.mark.parametrize("passed_s", [0, 60, 8 * HOUR_S])
@pytest.mark.parametrize(
    "jump_s", [25 * HOUR_S, -25 * HOUR_S, TOLERANCE_S + 1, -TOLERANCE_S - 1, HOUR_S, -HOUR_S]
)
def test_a_clock_that_was_set_is_in_doubt_and_says_how_far_it_is_off(
    passed_s: int, jump_s: int
) -> None:
    reading = later(passed_s, jump_s=jump_s)
    expected_s = NOW_S + passed_s
    doubt = doubt_of(ANCHOR, reading)
    assert doubt == ClockDoubt(expected_s, expected_s + jump_s)
    assert doubt is not None
    assert doubt.difference_s == jump_s
    assert believable_s(ANCHOR, reading) == min(expected_s, expected_s + jump_s)


STEPS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(-TOLERANCE_S, TOLERANCE_S)), max_size=30
)


@given(STEPS)
def test_no_steps_each_within_the_tolerance_are_ahead_by_more_than_it_in_all(
    steps: list[tuple[int, int]],
) -> None:
    passed_s = jumped_s = 0
    for seconds, jump_s in steps:
        passed_s, jumped_s = passed_s + seconds, jumped_s + jump_s
        believed_s = believable_s(ANCHOR, later(passed_s, jump_s=jumped_s))
        assert believed_s <= NOW_S + passed_s + TOLERANCE_S
        assert believed_s <= NOW_S + passed_s + max(jumped_s, 0)


def test_the_control_an_anchor_that_follows_is_crept_past() -> None:
    anchor = ANCHOR
    for _ in range(300):  # 25 hours, in steps of the tolerance
        reading = anchor._replace(wall_s=anchor.wall_s + TOLERANCE_S)
        assert doubt_of(anchor, reading) is None
        anchor = reading
    assert anchor.wall_s == NOW_S + 25 * HOUR_S
    assert doubt_of(ANCHOR, anchor) is not None


def test_what_is_expected_is_whole_seconds_and_never_ahead() -> None:
    assert expected_wall_s(ANCHOR, steady_s=ANCHOR.steady_s + 1.9) == NOW_S + 1
    assert expected_wall_s(ANCHOR, steady_s=ANCHOR.steady_s - 0.1) == NOW_S - 1


@pytest.mark.parametrize("jump_s", [0, 25 * HOUR_S, -25 * HOUR_S])
def test_a_start_in_the_same_boot_keeps_the_anchor_wherever_the_wall_clock_is(jump_s: int) -> None:
    reading = later(60, jump_s=jump_s)
    known = [OTHER_BOOT, ANCHOR, WITNESS]
    assert anchors_at_start(known, reading, last_s=NOW_S) == (ANCHOR, WITNESS)


@pytest.mark.parametrize("stored", [[], [ANCHOR._replace(boot_id="another", steady_s=10**7)]])
@pytest.mark.parametrize("behind_s", [-25 * HOUR_S, 0, TOLERANCE_S, TOLERANCE_S + 1, 25 * HOUR_S])
def test_after_a_new_boot_only_a_clock_from_before_the_last_row_is_in_doubt(
    stored: list[ClockReading], behind_s: int
) -> None:
    reading = later(60)
    last_s = reading.wall_s + behind_s
    [anchor] = anchors_at_start(stored, reading, last_s=last_s)
    doubt = doubt_of(anchor, reading)
    is_before = behind_s > TOLERANCE_S
    assert doubt == (ClockDoubt(last_s, reading.wall_s) if is_before else None)


@pytest.mark.parametrize("jump_s", [0, 25 * HOUR_S, -25 * HOUR_S])
@pytest.mark.parametrize(
    "known",
    [[ANCHOR], [OTHER_BOOT, ANCHOR], [ANCHOR, OTHER_BOOT], [ANCHOR, ANCHOR], [ANCHOR, WITNESS]],
)
def test_a_restore_keeps_the_anchors_of_this_boot_whichever_of_its_ledgers_has_them(
    known: list[ClockReading], jump_s: int
) -> None:
    reading = later(60, jump_s=jump_s)
    anchors = anchors_after_restore(known, reading, last_s=NOW_S - 9 * HOUR_S)
    assert anchors == ((ANCHOR, WITNESS) if WITNESS in known else (ANCHOR,))


@pytest.mark.parametrize("known", [[], [OTHER_BOOT]])
@pytest.mark.parametrize("passed_s", [-25 * HOUR_S, 0, TOLERANCE_S, TOLERANCE_S + 1, 25 * HOUR_S])
def test_without_an_anchor_of_this_boot_a_restore_knows_only_when_the_backup_was_made(
    known: list[ClockReading], passed_s: int
) -> None:
    reading = later(60)
    last_s = reading.wall_s - passed_s
    [anchor] = anchors_after_restore(known, reading, last_s=last_s)
    doubt = doubt_of(anchor, reading)
    is_near = abs(passed_s) <= TOLERANCE_S
    assert doubt == (None if is_near else ClockDoubt(last_s, reading.wall_s))


@pytest.mark.parametrize("off_s", [0, CHAIN_TOLERANCE_S, -CHAIN_TOLERANCE_S])
def test_a_chain_within_its_tolerance_says_nothing(off_s: int) -> None:
    assert anchors_with_chain((ANCHOR,), ANCHOR, NOW_S + off_s) == (ANCHOR,)


@pytest.mark.parametrize(
    "off_s", [CHAIN_TOLERANCE_S + 1, -CHAIN_TOLERANCE_S - 1, 25 * HOUR_S, -25 * HOUR_S, -NOW_S]
)
@given(jump_s=st.integers(-30 * HOUR_S, 30 * HOUR_S), passed_s=st.integers(0, 400 * 24 * HOUR_S))
def test_no_clock_bears_out_both_an_anchor_and_a_chain_that_contradicted_it(
    off_s: int, jump_s: int, passed_s: int
) -> None:
    before, witness = anchors_with_chain((ANCHOR,), ANCHOR, NOW_S + off_s)
    assert before == ANCHOR
    reading = later(passed_s, jump_s=jump_s)
    assert doubt_of(ANCHOR, reading) or doubt_of(witness, reading)


def test_what_an_anchor_expects_already_adds_none() -> None:
    known = (ANCHOR, WITNESS)
    reading = later(60)
    for off_s in (0, TOLERANCE_S, -TOLERANCE_S):
        assert anchors_with_chain(known, reading, WITNESS.wall_s + 60 + off_s) == known
    assert len(anchors_with_chain(known, reading, WITNESS.wall_s + 61 + TOLERANCE_S)) == 3
