"""Profiles: what each lets an agent do and what it does not, judged as the daemon would."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import pytest
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.money import NATIVE
from waiaas.domain.profile import ProfileName
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, Batch, ContractCall, Request, TokenTransfer, Transfer
from waiaas.policy.policies import parse_rules
from waiaas.policy.rate_limit import RateLimit
from waiaas.policy.spending_limit import SpendingLimit
from waiaas.policy.verdict import Allow, Deny, Verdict
from waiaas.profiles import read_profiles

Ask = Callable[..., Verdict]
Pay = Callable[[int], Transfer]

PROFILES: Final = read_profiles()
ADDRESS: Final = "So11111111111111111111111111111111111111112"
TOKEN: Final = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
NOW_S: Final = 1_700_000_000
DAY_S: Final = 24 * 3600

by_profile = pytest.mark.parametrize("name", ProfileName)


def rules_of(name: ProfileName) -> dict[PolicyType, Any]:
    return {
        kind: parse_rules(kind, rules, is_global=False, is_new=True)
        for kind, rules in PROFILES[name].rules()
    }


def limit_of(name: ProfileName) -> SpendingLimit:
    rule = rules_of(name)[PolicyType.SPENDING_LIMIT]
    assert isinstance(rule, SpendingLimit)
    return rule


@pytest.fixture
def ask(record: Callable[..., PolicyRecord], judge: Callable[..., Verdict]) -> Ask:
    """Return a function that asks as an agent that has a profile's rules and no others."""

    def asked(name: ProfileName, request: Request, usage: ListedUsage = ListedUsage()) -> Verdict:  # noqa: B008 -- it is immutable
        return judge(
            request, [record(*rule) for rule in PROFILES[name].rules()], usage, now_s=NOW_S
        )

    return asked


def tier_of(verdict: Verdict) -> PolicyTier | None:
    return verdict.tier if isinstance(verdict, Allow) else None


@by_profile
def test_a_payment_needs_more_care_the_larger_it_is(name: ProfileName, ask: Ask, pay: Pay) -> None:
    tiers = [*PolicyTier]
    bounds = list(limit_of(name).tier_max.values())
    assert len(bounds) == 3
    for bound, (enough, more) in zip(bounds, pairwise(tiers), strict=True):
        assert tier_of(ask(name, pay(bound))) is enough
        assert tier_of(ask(name, pay(bound + 1))) is more


@by_profile
def test_a_wait_and_a_deadline_are_the_profiles_own(name: ProfileName, ask: Ask, pay: Pay) -> None:
    limit = limit_of(name)
    delayed = ask(name, pay(limit.tier_max["delay_max"]))
    held = ask(name, pay(limit.tier_max["delay_max"] + 1))
    assert isinstance(delayed, Allow)
    assert isinstance(held, Allow)
    assert (delayed.wait_s, held.wait_s) == (limit.delay_s, limit.approval_s)


@by_profile
def test_the_largest_payment_is_a_days_money_and_one_unit_more_is_denied(
    name: ProfileName, ask: Ask, pay: Pay
) -> None:
    day = limit_of(name).window_max["daily_max"]
    assert tier_of(ask(name, pay(day))) is PolicyTier.APPROVAL
    assert isinstance(ask(name, pay(day + 1)), Deny)


@by_profile
@pytest.mark.parametrize(("bound", "window_s"), [("daily_max", DAY_S), ("monthly_max", 30 * DAY_S)])
def test_what_moved_counts_for_a_day_and_for_a_month(
    name: ProfileName, bound: str, window_s: int, ask: Ask, pay: Pay
) -> None:
    most = limit_of(name).window_max[bound]
    for moved_at, is_denied in ((NOW_S - window_s + 1, True), (NOW_S - window_s, False)):
        moved = ListedUsage({NATIVE: Spending(spends=(Spend(moved_at, most),))})
        assert isinstance(ask(name, pay(1), moved), Deny) is is_denied


@by_profile
@pytest.mark.parametrize(
    "request_",
    [
        TokenTransfer(TOKEN, ADDRESS, 1),
        ContractCall(ADDRESS, b""),
        Approve(TOKEN, ADDRESS, 1),
        Batch((Transfer(ADDRESS, 1), TokenTransfer(TOKEN, ADDRESS, 1))),
    ],
    ids=["a token", "a call", "an approval", "a batch with a token"],
)
def test_nothing_is_granted_but_payments_in_the_networks_own_asset(
    name: ProfileName, request_: Request, ask: Ask
) -> None:
    assert isinstance(ask(name, request_), Deny)


@by_profile
def test_no_more_requests_pass_in_an_hour_than_it_says(
    name: ProfileName, ask: Ask, pay: Pay
) -> None:
    rate = rules_of(name).get(PolicyType.RATE_LIMIT)
    if rate is None:  # The most trusting one does not count them.
        assert name is [*ProfileName][-1]
        assert tier_of(ask(name, pay(1), ListedUsage(admissions=(NOW_S,) * 1000)))
        return
    assert isinstance(rate, RateLimit)
    for before in (rate.max_requests - 1, rate.max_requests):
        usage = ListedUsage(admissions=(NOW_S,) * before)
        assert isinstance(ask(name, pay(1), usage), Deny) is (before == rate.max_requests)


def test_each_profile_trusts_more_than_the_one_before_it(ask: Ask, pay: Pay) -> None:
    for less, more in pairwise(ProfileName):
        careful, bold = limit_of(less), limit_of(more)
        for bounds, larger in (
            (careful.tier_max, bold.tier_max),
            (careful.window_max, bold.window_max),
        ):
            assert bounds.keys() == larger.keys()
            assert all(bounds[name] < larger[name] for name in bounds)
        tiers = [tier_of(ask(name, pay(careful.tier_max["delay_max"]))) for name in (less, more)]
        assert tiers[0] is PolicyTier.DELAY
        assert tiers[1] in {PolicyTier.INSTANT, PolicyTier.NOTIFY}
