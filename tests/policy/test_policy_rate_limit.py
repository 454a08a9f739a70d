"""RATE_LIMIT: so many requests in a rolling window, to the second."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.listed import ListedUsage

from waiaas.domain.enums import PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Batch, Transfer
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.rate_limit import parse
from waiaas.policy.verdict import Allow, Deny, Verdict

Judge = Callable[..., Verdict]
Limit = Callable[..., PolicyRecord]
MakeRule = Callable[..., PolicyRecord]

ALICE = "So11111111111111111111111111111111111111112"
NOW_S = 1_700_000_000
ASKED = Transfer(ALICE, 1)


def test_the_last_that_fits_passes_and_the_next_does_not(
    rule: MakeRule, limit: Limit, judge: Judge
) -> None:
    policies = [
        limit(instant_max=9),
        rule(PolicyType.RATE_LIMIT, max_requests=2, window_seconds=60),
    ]
    assert isinstance(judge(ASKED, policies, ListedUsage({}, (NOW_S,))), Allow)
    verdict = judge(ASKED, policies, ListedUsage({}, (NOW_S, NOW_S - 59)))
    assert isinstance(verdict, Deny)
    (why,) = verdict.violations
    assert (why.limit, why.observed, why.max_allowed) == (2, 3, None)
    assert verdict.retry_at == NOW_S + 1
    half_open = ListedUsage({}, (NOW_S, NOW_S - 60))
    assert isinstance(judge(ASKED, policies, half_open), Allow)
    batch = Batch((ASKED, ASKED, ASKED))
    assert isinstance(judge(batch, policies, ListedUsage({}, (NOW_S,))), Allow)  # it is one request


@given(
    ages=st.lists(st.integers(0, 12), max_size=8).map(sorted),
    most=st.integers(1, 4),
    window_s=st.integers(1, 12),
)
def test_it_passes_again_at_the_second_that_counting_every_second_gives(
    ages: list[int], most: int, window_s: int, *, rule: MakeRule, limit: Limit, judge: Judge
) -> None:
    policies = [
        limit(instant_max=9),
        rule(PolicyType.RATE_LIMIT, max_requests=most, window_seconds=window_s),
    ]
    usage = ListedUsage({}, tuple(NOW_S - age for age in ages))
    passes = [
        second
        for second in range(NOW_S, NOW_S + window_s + 1)
        if sum(second - at < window_s for at in usage.admissions) < most
    ]
    verdict = judge(ASKED, policies, usage)
    assert (verdict.retry_at if isinstance(verdict, Deny) else NOW_S) == passes[0]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "rules.max_requests"),
        ({"max_requests": 0, "window_seconds": 1}, "rules.max_requests"),
        ({"max_requests": 1001, "window_seconds": 1}, "rules.max_requests"),
        ({"max_requests": True, "window_seconds": 1}, "rules.max_requests"),
        ({"max_requests": 1.0, "window_seconds": 1}, "rules.max_requests"),
        ({"max_requests": "1", "window_seconds": 1}, "rules.max_requests"),
        ({"max_requests": 1}, "rules.window_seconds"),
        ({"max_requests": 1, "window_seconds": 0}, "rules.window_seconds"),
        ({"max_requests": 1, "window_seconds": 2_592_001}, "rules.window_seconds"),
        ({"max_tx_per_hour": 1}, "rules.max_tx_per_hour"),
    ],
)
def test_a_limit_that_nobody_could_keep_is_refused(members: dict[str, Any], field: str) -> None:
    document = read_document("{}", is_global=False)
    document.members.update(members)
    with pytest.raises(RuleRefused) as refused:
        parse(document)
    assert refused.value.field == field


def test_the_largest_limits_are_read() -> None:
    document = read_document("{}", is_global=False)
    document.members.update(max_requests=1000, window_seconds=2_592_000)
    assert (parse(document).max_requests, parse(document).window_s) == (1000, 2_592_000)
