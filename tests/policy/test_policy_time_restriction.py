"""TIME_RESTRICTION: nothing outside of its hours, and it says when they begin."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Batch, ContractCall, Transfer
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.policies import parse_rules
from waiaas.policy.time_restriction import parse
from waiaas.policy.verdict import Allow, Deny, Verdict

Judge = Callable[..., Verdict]
Limit = Callable[..., PolicyRecord]
MakeRule = Callable[..., PolicyRecord]

ALICE = "So11111111111111111111111111111111111111112"
ASKED = Transfer(ALICE, 1)
NOW_S = 1_700_000_000  # Tuesday, 14 November 2023, 22:13:20 UTC
MIDNIGHT_S = 1_700_006_400
HOUR_S = 3600
KIND = PolicyType.TIME_RESTRICTION


def window(start: str, end: str, *days: str) -> dict[str, Any]:
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    return {"days": list(days) or week, "start": start, "end": end}


@pytest.mark.parametrize("asked", [ASKED, ContractCall(ALICE, b""), Batch((ASKED, ASKED))])
def test_outside_of_its_hours_nothing_passes(asked: Any, rule: MakeRule, judge: Judge) -> None:
    closed = rule(KIND, timezone="UTC", windows=[window("23:00", "24:00")])
    verdict = judge(asked, [closed])
    assert isinstance(verdict, Deny)
    (why,) = (each for each in verdict.violations if each.rule == KIND)
    assert (why.bound, why.retry_at, why.part) == ("windows", NOW_S - 800 + HOUR_S, None)


@pytest.mark.parametrize(
    ("windows", "passes"),
    [
        ([window("22:00", "22:14")], True),
        ([window("22:00", "22:13")], False),
        ([window("22:13", "22:14", "tue")], True),
        ([window("22:13", "22:14", "wed")], False),
        ([window("22:14", "22:13")], False),  # past midnight, but for this minute
        ([window("01:00", "02:00"), window("20:00", "04:00", "tue")], True),
    ],
)
def test_inside_of_its_hours_it_says_nothing(
    windows: Any,
    passes: bool,  # noqa: FBT001
    rule: MakeRule,
    *,
    limit: Limit,
    judge: Judge,
) -> None:
    policies = [limit(instant_max=1), rule(KIND, timezone="UTC", windows=windows)]
    assert isinstance(judge(ASKED, policies), Allow) is passes


def test_the_hours_are_those_of_the_zone(rule: MakeRule, limit: Limit, judge: Judge) -> None:
    windows = [window("23:00", "24:00", "tue")]  # in Berlin it is an hour later
    for zone, passes in (("Europe/Berlin", True), ("UTC", False)):
        policies = [limit(instant_max=1), rule(KIND, timezone=zone, windows=windows)]
        assert isinstance(judge(ASKED, policies), Allow) is passes


def test_when_there_is_room_again_it_must_be_open_too(
    rule: MakeRule, limit: Limit, judge: Judge
) -> None:
    """Now it is open and the hour is full; when there is room, it is closed until morning."""
    policies = [
        limit(instant_max=9, hourly_max=9),
        rule(KIND, timezone="UTC", windows=[window("08:00", "23:00")]),
    ]
    usage = ListedUsage({"native": Spending(spends=(Spend(NOW_S, 9),))})
    verdict = judge(ASKED, policies, usage)
    assert isinstance(verdict, Deny)
    assert [each.retry_at for each in verdict.violations] == [NOW_S + HOUR_S]  # 23:13
    assert verdict.retry_at == MIDNIGHT_S + 8 * HOUR_S
    assert isinstance(judge(ASKED, policies, usage, now_s=verdict.retry_at), Allow)


def test_of_two_the_hours_in_both_are_left(rule: MakeRule, limit: Limit, judge: Judge) -> None:
    hours = [window("22:00", "06:00")], [window("05:00", "07:00")]
    policies = [limit(instant_max=1), *(rule(KIND, timezone="UTC", windows=w) for w in hours)]
    verdict = judge(ASKED, policies)
    assert isinstance(verdict, Deny)
    assert verdict.retry_at == MIDNIGHT_S + 5 * HOUR_S
    allowed = judge(ASKED, policies, now_s=verdict.retry_at)
    assert isinstance(allowed, Allow)
    assert (allowed.tier, len(allowed.schedules)) == (PolicyTier.INSTANT, 2)


@pytest.mark.parametrize(
    "zone",
    ["", "utc", "Berlin", "Europe", "Europe/", "Europe/Nowhere", "../UTC", "/etc/localtime",
     "right/UTC", "posix/Europe/Berlin", "localtime", "Europe/../UTC", "Europe/Berlin\0",
     "Europe/Berl\u0131n", "+01:00", 1, None],
    ids=ascii,
)  # fmt: skip
def test_a_zone_that_is_no_place_is_refused(zone: Any) -> None:
    document = read_document("{}", is_global=False)
    document.members.update(timezone=zone, windows=[window("00:00", "24:00")])
    with pytest.raises(RuleRefused, match=r"^rules\.timezone: "):
        parse(document)


@pytest.mark.parametrize(
    ("windows", "field"),
    [
        ([], "rules.windows"),
        ([window("00:00", "24:00")] * 22, "rules.windows"),
        (["mon"], "rules.windows[0]"),
        ([{**window("00:00", "24:00"), "x": 1}], "rules.windows[0].x"),
        ([{**window("00:00", "24:00"), "days": []}], "rules.windows[0].days"),
        ([window("00:00", "24:00", "mon", "mon")], "rules.windows[0].days[1]"),
        ([window("00:00", "24:00", "Mon")], "rules.windows[0].days[0]"),
        ([window("09:00", "09:00")], "rules.windows[0].end"),
        ([window("00:00", "00:00")], "rules.windows[0].end"),
        ([window("24:00", "09:00")], "rules.windows[0].start"),
        ([window("9:00", "10:00")], "rules.windows[0].start"),
        ([window("09:00", "25:00")], "rules.windows[0].end"),
        ([window("09:00", "10:60")], "rules.windows[0].end"),
        ([window("09:00", "10:00:00")], "rules.windows[0].end"),
        ([{"days": ["mon"], "start": 9, "end": "10:00"}], "rules.windows[0].start"),
        ([{"days": ["mon"], "start": "09:00"}], "rules.windows[0].end"),
    ],
    ids=str,
)
def test_hours_that_say_nothing_clear_are_refused(windows: Any, field: str) -> None:
    document = read_document("{}", is_global=False)
    document.members.update(timezone="UTC", windows=windows)
    with pytest.raises(RuleRefused) as refused:
        parse(document)
    assert refused.value.field == field


def test_all_of_a_week_is_read() -> None:
    document = read_document("{}", is_global=False)
    document.members.update(timezone="UTC", windows=[window("23:59", "24:00")] * 21)
    assert len(parse(document).hours.windows) == 21


def test_the_end_of_the_day_is_its_last_minutes_end() -> None:
    rules = '{"timezone": "UTC", "windows": [{"days": ["tue"], "start": "23:59", "end": "24:00"}]}'
    schedule = parse_rules(PolicyType.TIME_RESTRICTION, rules, is_global=False).schedule
    assert schedule is not None
    assert [window.end_minute for window in schedule.windows] == [1440]
    midnight_s = 1_700_006_400  # between a Tuesday and a Wednesday
    assert [schedule.is_open(midnight_s + s) for s in (-61, -60, -1, 0)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_hours_that_are_set_twice_are_refused_when_they_are_set_and_read_where_they_stand() -> None:
    evenings = [window("20:00", "24:00", *days) for days in (("mon", "tue"), ("tue", "mon"))]
    rules = json.dumps({"timezone": "UTC", "windows": [window("09:00", "10:00"), *evenings]})
    assert len(parse(read_document(rules, is_global=False)).hours.windows) == 3
    with pytest.raises(RuleRefused, match="is listed twice") as refused:
        parse(read_document(rules, is_global=False, is_new=True))
    assert refused.value.field == "rules.windows[2]"
