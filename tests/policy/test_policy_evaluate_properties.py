"""Evaluation against an oracle that does it the slow and obvious way, in plain integers."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.records import PolicyRecord, Spend
from waiaas.domain.request import Transfer
from waiaas.policy.evaluate import evaluate
from waiaas.policy.policies import WINDOWS_S
from waiaas.policy.usage import Usage
from waiaas.policy.verdict import Allow, Deny, Verdict

Limit = Callable[..., PolicyRecord]
Pay = Callable[[int], Transfer]
Record = Callable[[PolicyType, str], PolicyRecord]

NOW_S = 1_700_000_000
HUGE = 2**256 - 1

AMOUNTS = st.integers(1, 40) | st.integers(1, HUGE)
BOUNDS = st.integers(0, 60) | st.integers(0, HUGE)
AGES = st.one_of(
    st.integers(0, 40),
    *(st.integers(window_s - 3, window_s + 3) for window_s in WINDOWS_S.values()),
)
"""Seconds ago, most of them near the edge of a window."""

SPENDS = st.lists(
    st.builds(lambda age, amount: Spend(NOW_S - age, amount), AGES, AMOUNTS), max_size=8
)
USAGES = st.builds(
    lambda in_flight, spends: Usage(in_flight=in_flight, spends=tuple(sorted(spends))),
    st.just(0) | AMOUNTS,
    SPENDS,
)
LIMITS = st.fixed_dictionaries(
    {"instant_max": BOUNDS},
    optional={"per_transaction_max": BOUNDS, **dict.fromkeys(WINDOWS_S, BOUNDS)},
)
CARE = list(PolicyTier)


def used(usage: Usage, *, window_s: int, now_s: int) -> int:
    """Add up a window, second by second counted back from *now_s*."""
    total = usage.in_flight
    for spend in usage.spends:
        age_s = now_s - spend.settled_at
        if age_s < window_s:
            total += spend.base_units
    return total


def exceeded(limit: dict[str, int], amount: int, usage: Usage, *, now_s: int) -> list[str]:
    """Return which bounds deny, by adding everything up."""
    names = []
    if "per_transaction_max" in limit and amount > limit["per_transaction_max"]:
        names.append("per_transaction_max")
    for name, window_s in WINDOWS_S.items():
        if name in limit and used(usage, window_s=window_s, now_s=now_s) + amount > limit[name]:
            names.append(name)
    return names


def careful(verdict: Verdict) -> int:
    """Return how careful a verdict is: a denial more than any tier."""
    return len(CARE) if isinstance(verdict, Deny) else CARE.index(verdict.tier)


@given(limits=st.lists(LIMITS, min_size=1, max_size=3), amount=AMOUNTS, usage=USAGES)
def test_the_verdict_is_what_adding_everything_up_gives(
    limits: list[dict[str, int]], amount: int, usage: Usage, limit: Limit, pay: Pay
) -> None:
    verdict = evaluate(
        pay(amount), policies=[limit(**bounds) for bounds in limits], usage=usage, now_s=NOW_S
    )
    expected = [
        name for bounds in limits for name in sorted(exceeded(bounds, amount, usage, now_s=NOW_S))
    ]
    if expected:
        assert isinstance(verdict, Deny)
        assert sorted(str(each.bound) for each in verdict.violations) == sorted(expected)
        return
    assert isinstance(verdict, Allow)
    instant = all(usage.in_flight + amount <= bounds["instant_max"] for bounds in limits)
    assert verdict.tier is (PolicyTier.INSTANT if instant else PolicyTier.APPROVAL)


@given(
    bounds=st.lists(LIMITS, min_size=1, max_size=3),
    added=LIMITS | st.sampled_from([kind for kind in PolicyType if kind != "SPENDING_LIMIT"]),
    amount=AMOUNTS,
    usage=USAGES,
    at=st.integers(0, 3),
)
def test_one_more_policy_never_permits_more_nor_asks_for_less_care(
    bounds: list[dict[str, int]],
    added: dict[str, int] | PolicyType,
    amount: int,
    *,
    usage: Usage,
    at: int,
    limit: Limit,
    record: Record,
    pay: Pay,
) -> None:
    policies = [limit(**each) for each in bounds]
    one_more = limit(**added) if isinstance(added, dict) else record(added, "{}")
    more = [*policies[:at], one_more, *policies[at:]]
    before = evaluate(pay(amount), policies=policies, usage=usage, now_s=NOW_S)
    after = evaluate(pay(amount), policies=more, usage=usage, now_s=NOW_S)
    assert careful(after) >= careful(before)


@given(limits=st.lists(LIMITS, min_size=1, max_size=3), amount=AMOUNTS, usage=USAGES)
def test_the_order_of_policies_changes_no_verdict(
    limits: list[dict[str, int]], amount: int, usage: Usage, limit: Limit, pay: Pay
) -> None:
    policies = [limit(**bounds) for bounds in limits]
    one = evaluate(pay(amount), policies=policies, usage=usage, now_s=NOW_S)
    other = evaluate(pay(amount), policies=policies[::-1], usage=usage, now_s=NOW_S)
    assert careful(one) == careful(other)
    if isinstance(one, Deny) and isinstance(other, Deny):
        assert (one.max_allowed, one.retry_at) == (other.max_allowed, other.retry_at)


@given(bounds=LIMITS, amount=AMOUNTS, usage=USAGES)
def test_the_largest_amount_that_passes_is_exact_for_each_bound(
    bounds: dict[str, int], amount: int, usage: Usage, limit: Limit, pay: Pay
) -> None:
    verdict = evaluate(pay(amount), policies=[limit(**bounds)], usage=usage, now_s=NOW_S)
    said = verdict.violations if isinstance(verdict, Deny) else verdict.escalations
    for violation in said:
        assert violation.bound is not None
        alone = limit(**{"instant_max": HUGE, violation.bound: bounds[violation.bound]})
        allowed = PolicyTier.INSTANT if violation.bound == "instant_max" else PolicyTier.APPROVAL

        def passes(
            base_units: int, alone: PolicyRecord = alone, allowed: PolicyTier = allowed
        ) -> bool:
            judged = evaluate(pay(base_units), policies=[alone], usage=usage, now_s=NOW_S)
            return careful(judged) <= CARE.index(allowed)

        most = violation.max_allowed
        assert not passes((most or 0) + 1)
        assert most is None or passes(most)


@given(limits=st.lists(LIMITS, min_size=1, max_size=3), amount=AMOUNTS, usage=USAGES)
def test_the_largest_amount_that_passes_is_exact_for_all_bounds_together(
    limits: list[dict[str, int]], amount: int, usage: Usage, limit: Limit, pay: Pay
) -> None:
    policies = [limit(**bounds) for bounds in limits]

    def denied(base_units: int) -> Verdict:
        return evaluate(pay(base_units), policies=policies, usage=usage, now_s=NOW_S)

    verdict = denied(amount)
    if isinstance(verdict, Deny):
        most = verdict.max_allowed
        assert isinstance(denied((most or 0) + 1), Deny)
        assert most is None or isinstance(denied(most), Allow)


@given(limits=st.lists(LIMITS, min_size=1, max_size=3), amount=AMOUNTS, usage=USAGES)
def test_the_largest_amount_that_goes_out_at_once_is_exact(
    limits: list[dict[str, int]], amount: int, usage: Usage, limit: Limit, pay: Pay
) -> None:
    policies = [limit(**bounds) for bounds in limits]

    def at_once(base_units: int) -> bool:
        verdict = evaluate(pay(base_units), policies=policies, usage=usage, now_s=NOW_S)
        return verdict == Allow(PolicyTier.INSTANT)

    verdict = evaluate(pay(amount), policies=policies, usage=usage, now_s=NOW_S)
    denials = verdict.violations if isinstance(verdict, Deny) else ()
    obstacles = Deny((*denials, *verdict.escalations))
    if obstacles.violations:
        assert not at_once((obstacles.max_allowed or 0) + 1)
        assert obstacles.max_allowed is None or at_once(obstacles.max_allowed)


SHORT_USAGES = st.builds(
    lambda in_flight, spends: Usage(in_flight=in_flight, spends=tuple(sorted(spends))),
    st.integers(0, 10),
    st.lists(
        st.builds(
            lambda age, amount: Spend(NOW_S - age, amount),
            st.integers(0, 30) | st.integers(3570, 3605),
            st.integers(1, 10),
        ),
        max_size=6,
    ),
)
"""Small enough that every second of the hour can be tried."""


@given(hourly_max=st.integers(0, 30), amount=st.integers(1, 30), usage=SHORT_USAGES)
def test_the_second_from_which_a_payment_passes_is_the_earliest(
    hourly_max: int, amount: int, usage: Usage, limit: Limit, pay: Pay
) -> None:
    """Money in flight is taken to move now, which is what the forecast promises to assume."""
    policies = [limit(instant_max=HUGE, hourly_max=hourly_max)]
    verdict = evaluate(pay(amount), policies=policies, usage=usage, now_s=NOW_S)
    if isinstance(verdict, Allow):
        return
    moved = [*usage.spends, Spend(NOW_S, usage.in_flight)]
    totals = (
        (second, sum(spend.base_units for spend in moved if second - spend.settled_at < 3600))
        for second in range(NOW_S, NOW_S + 3601)
    )
    earliest = next((second for second, total in totals if total + amount <= hourly_max), None)
    assert verdict.retry_at == earliest


@given(limits=st.lists(LIMITS, min_size=1, max_size=3), amount=AMOUNTS, usage=USAGES)
def test_the_second_from_which_all_bounds_let_a_payment_pass_is_exact(
    limits: list[dict[str, int]], amount: int, usage: Usage, limit: Limit, pay: Pay
) -> None:
    policies = [limit(**bounds) for bounds in limits]
    moved = Usage(
        in_flight=0,
        spends=(*usage.spends, *([Spend(NOW_S, usage.in_flight)] if usage.in_flight else [])),
    )

    def judge(now_s: int) -> Verdict:
        return evaluate(pay(amount), policies=policies, usage=moved, now_s=now_s)

    verdict = judge(NOW_S)
    if isinstance(verdict, Allow):
        return
    if verdict.retry_at is None:
        assert isinstance(judge(NOW_S + 10**9), Deny)
    else:
        assert isinstance(judge(verdict.retry_at), Allow)
        assert isinstance(judge(verdict.retry_at - 1), Deny)
