"""Hours of the week: by the wall clock of the zone, also when it is set forward or back."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waiaas.policy.schedule import HORIZON_S, Schedule, Window, earliest_open

MON, TUE, WED, THU, FRI, SAT, SUN = range(7)
EVERY_DAY = frozenset(range(7))
BERLIN = ZoneInfo("Europe/Berlin")
UTC = ZoneInfo("UTC")
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


def at(text: str, zone: ZoneInfo = UTC, fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return int(moment.timestamp())


def hours(start: str, end: str, *days: int) -> Window:
    start_minute, end_minute = (int(text[:2]) * 60 + int(text[3:]) for text in (start, end))
    return Window(frozenset(days) or EVERY_DAY, start_minute, end_minute)


def schedule(*windows: Window, zone: ZoneInfo = UTC) -> Schedule:
    return Schedule(zone, windows)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-23 08:59:59", False),
        ("2026-11-23 09:00:00", True),
        ("2026-11-23 17:59:59", True),
        ("2026-11-23 18:00:00", False),  # half-open
        ("2026-11-22 12:00:00", False),  # a Sunday
    ],
)
def test_the_start_is_inside_and_the_end_is_not(moment: str, is_open: bool) -> None:  # noqa: FBT001
    assert schedule(hours("09:00", "18:00", MON)).is_open(at(moment)) is is_open


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-20 21:59:59", False),
        ("2026-11-20 22:00:00", True),  # a Friday
        ("2026-11-21 00:00:00", True),
        ("2026-11-21 05:59:59", True),  # belongs to the Friday it started on
        ("2026-11-21 06:00:00", False),
        ("2026-11-21 22:00:00", False),
        ("2026-11-20 05:59:59", False),  # Thursday's night is not allowed
        ("2026-11-23 00:00:00", True),  # a Sunday's night, on Monday
        ("2026-11-22 23:00:00", True),
    ],
)
def test_a_window_past_midnight_belongs_to_the_day_it_starts_on(
    moment: str,
    is_open: bool,  # noqa: FBT001
) -> None:
    assert schedule(hours("22:00", "06:00", FRI, SUN)).is_open(at(moment)) is is_open


def test_a_whole_day_has_no_gap() -> None:
    day = schedule(hours("00:00", "24:00", MON))
    monday_s = at("2026-11-23 00:00:00")
    assert not day.is_open(monday_s - 1)
    assert day.is_open(monday_s)
    assert day.is_open(monday_s + DAY_S - 1)
    assert not day.is_open(monday_s + DAY_S)


def test_a_window_keeps_its_hours_when_summer_time_begins() -> None:
    night = schedule(hours("02:30", "04:00", SUN), zone=BERLIN)
    skipped_s = at("2026-03-29 01:00:00")  # 02:00 becomes 03:00
    assert not night.is_open(skipped_s - 1)
    assert night.is_open(skipped_s)  # it is 03:00, which is inside; half past two never was
    for early_s in (1, 2, 5, DAY_S - 1, DAY_S, DAY_S + 1, DAY_S + 4097):
        assert night.opens_at(skipped_s - early_s) == skipped_s
    assert not night.is_open(at("2026-03-29 04:00:00", BERLIN))


def test_an_hour_that_the_clock_repeats_is_open_twice() -> None:
    night = schedule(hours("02:00", "02:30", SUN), zone=BERLIN)
    first_s, second_s = (at("2026-10-25 02:00:00", BERLIN, fold) for fold in (0, 1))
    assert second_s == first_s + HOUR_S
    for start_s in (first_s, second_s):
        assert not night.is_open(start_s - 1)
        assert night.is_open(start_s)
        assert not night.is_open(start_s + 30 * MINUTE_S)
    assert night.opens_at(first_s - 1) == first_s
    assert night.opens_at(first_s + 30 * MINUTE_S) == second_s
    within = schedule(hours("02:10", "02:30", SUN), zone=BERLIN)
    assert within.opens_at(first_s + 30 * MINUTE_S) == second_s + 10 * MINUTE_S


def test_a_window_in_the_hour_that_is_skipped_opens_a_week_later() -> None:
    gap = schedule(hours("02:10", "02:50", SUN), zone=BERLIN)
    assert gap.opens_at(at("2026-03-29 00:00:00", BERLIN)) == at("2026-04-05 02:10:00", BERLIN)


@pytest.mark.parametrize(
    ("zone", "now", "opening"),
    [
        # The day is the zone's: it is Wednesday in UTC while it is still Tuesday there.
        ("America/Los_Angeles", "2026-06-16 19:00:00", "2026-06-16 20:10:00"),
        ("Pacific/Auckland", "2026-06-16 08:00:00", "2026-06-16 20:10:00"),
    ],
)
def test_a_window_later_today_is_not_put_off_for_a_week(zone: str, now: str, opening: str) -> None:
    there = ZoneInfo(zone)
    evening = schedule(hours("20:10", "20:50", TUE), zone=there)
    assert evening.opens_at(at(now, there)) == at(opening, there)


def test_a_window_two_weeks_ahead_is_found_where_the_one_between_is_skipped() -> None:
    gap = schedule(hours("02:10", "02:50", SUN), zone=BERLIN)
    now_s = at("2026-03-22 03:00:00", BERLIN)
    assert gap.opens_at(now_s) == at("2026-04-05 02:10:00", BERLIN)


def test_a_jump_of_the_clock_opens_a_window_also_where_it_jumps_from_utc() -> None:
    london = schedule(hours("01:30", "02:30", SUN), zone=ZoneInfo("Europe/London"))
    jump_s = at("2026-03-29 01:00:00")
    assert london.opens_at(jump_s - HOUR_S) == jump_s


def test_a_day_that_a_zone_left_out_opens_a_week_later() -> None:
    """Samoa had no Friday, 30 December 2011."""
    apia = ZoneInfo("Pacific/Apia")
    fridays = schedule(hours("09:00", "10:00", FRI), zone=apia)
    assert fridays.opens_at(at("2011-12-29 12:00:00", apia)) == at("2012-01-06 09:00:00", apia)


def test_several_schedules_are_open_together() -> None:
    morning = schedule(hours("08:00", "12:00", MON, WED))
    noon = schedule(hours("11:00", "13:00", TUE, WED))
    monday_s = at("2026-11-23 00:00:00")
    assert earliest_open([], since_s=5) == 5
    assert earliest_open([morning], since_s=monday_s) == monday_s + 8 * HOUR_S
    assert earliest_open([morning, noon], since_s=monday_s) == at("2026-11-25 11:00:00")
    assert earliest_open([morning, noon], since_s=at("2026-11-25 11:30:00")) == at(
        "2026-11-25 11:30:00"
    )


def test_schedules_that_never_meet_have_no_next_opening() -> None:
    apart = [schedule(hours("08:00", "12:00")), schedule(hours("12:00", "13:00"))]
    assert earliest_open(apart, since_s=at("2026-11-23 00:00:00")) is None
    assert earliest_open([schedule()], since_s=0) is None
    assert earliest_open([schedule(), schedule(hours("08:00", "09:00"))], since_s=0) is None


MINUTES = st.sampled_from([0, 1, 90, 120, 121, 150, 180, 181, 720, 1439])
WINDOWS = st.builds(
    Window, st.frozensets(st.integers(0, 6), min_size=1, max_size=3), MINUTES, MINUTES
).filter(lambda window: window.start_minute != window.end_minute)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
# Around the changes of 2026, and anywhere.
MOMENTS = st.sampled_from(
    [at("2026-03-29 01:00:00"), at("2026-10-25 01:00:00"), at("2026-11-01 06:00:00")]
).flatmap(lambda second: st.integers(second - DAY_S, second + DAY_S)) | st.integers(0, 2**31)


def slowly(plan: Schedule, now_s: int) -> int | None:
    """Look at every minute's first second, counted on a clock that shows whole minutes."""
    if plan.is_open(now_s):
        return now_s
    first = now_s - now_s % 60 + 60
    return next((s for s in range(first, now_s + HORIZON_S, 60) if plan.is_open(s)), None)


@given(ZONES, st.lists(WINDOWS, min_size=1, max_size=3), MOMENTS)
@example("Europe/Berlin", [Window(frozenset({SUN}), 150, 180)], at("2026-03-28 12:00:00"))
def test_the_next_opening_is_what_looking_at_every_minute_gives(
    zone: str, windows: list[Window], now_s: int
) -> None:
    plan = Schedule(ZoneInfo(zone), tuple(windows))
    opening = plan.opens_at(now_s)
    assert opening is not None
    assert plan.is_open(opening)
    assert opening == now_s or not plan.is_open(opening - 1)
    assert slowly(plan, now_s) == opening


def test_control_adding_days_of_24_hours_misses_the_change_of_the_clock() -> None:
    plan = schedule(hours("09:00", "10:00", SAT, SUN), zone=BERLIN)
    saturday_s = at("2026-10-24 09:00:00", BERLIN)
    naive = saturday_s + DAY_S
    assert not plan.is_open(naive)
    assert plan.opens_at(saturday_s + HOUR_S) == saturday_s + DAY_S + HOUR_S


def test_the_horizon_is_more_than_two_weeks() -> None:
    assert timedelta(seconds=HORIZON_S) == timedelta(days=15)


class Opening(Schedule):
    """A schedule that opens once, for ever."""

    def opens_at(self, now_s: int) -> int:
        return max(now_s, self.windows[0].start_minute)


@pytest.mark.parametrize(
    ("opens_after_s", "is_foreseen"),
    [(HORIZON_S - 1, True), (HORIZON_S, True), (HORIZON_S + 1, False)],
)
def test_the_last_second_of_the_horizon_is_still_looked_at(
    opens_after_s: int, *, is_foreseen: bool
) -> None:
    since_s = 1_700_000_000
    opening_s = since_s + opens_after_s
    late = Opening(UTC, (Window(EVERY_DAY, opening_s, 0),))
    found = earliest_open([schedule(hours("00:00", "24:00")), late], since_s=since_s)
    assert found == (opening_s if is_foreseen else None)
