"""Evaluation: every bound to the unit and to the second, and what is not granted is denied."""

from collections.abc import Callable
from functools import partial

import pytest
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.money import NATIVE
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, ContractCall, Part, TokenTransfer, Transfer
from waiaas.policy import evaluate as evaluation
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.spending_limit import WINDOWS_S
from waiaas.policy.verdict import DEFAULT_DENY, Allow, Deny, Verdict

Limit = Callable[..., PolicyRecord]
Pay = Callable[[int], Transfer]
Record = Callable[[PolicyType, str], PolicyRecord]

NOW_S = 1_700_000_000
MAINNET = Network(ChainType.SOLANA, NetworkType.MAINNET)

evaluate = partial(evaluation.evaluate, network=MAINNET, waits=WaitDefaults())


def of_native(*, in_flight: int, spends: tuple[Spend, ...]) -> ListedUsage:
    return ListedUsage({NATIVE: Spending(going_out=in_flight, spends=spends)})


UNUSED = ListedUsage({})
HUGE = 2**256 - 1
ADDRESS = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


def bounds_exceeded(verdict: Verdict) -> list[str | None]:
    return [each.bound for each in verdict.violations] if isinstance(verdict, Deny) else []


# ── grants ─────────────────────────────────────────────────────────────────────────────────────


def test_without_a_policy_everything_is_denied_for_ever(pay: Pay) -> None:
    verdict = evaluate(pay(1), policies=[], usage=UNUSED, now_s=NOW_S)
    assert isinstance(verdict, Deny)
    (violation,) = verdict.violations
    assert (violation.code, violation.rule) == (ErrorCode.POLICY_DENIED, DEFAULT_DENY)
    assert (violation.max_allowed, violation.retry_at) == (None, None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Transfer(ADDRESS, 1), "a TRANSFER: there is no SPENDING_LIMIT of native"),
        (
            TokenTransfer(TOKEN, ADDRESS, 1),
            f"a TOKEN_TRANSFER: there is no SPENDING_LIMIT of {TOKEN}",
        ),
        (ContractCall(ADDRESS, b""), f"a CONTRACT_CALL: no CONTRACT_WHITELIST lists {ADDRESS}"),
        (Approve(TOKEN, ADDRESS, 1), f"a APPROVE: no APPROVED_SPENDERS lists {ADDRESS}"),
    ],
)
def test_a_denial_says_which_grant_is_missing(asked: Part, said: str) -> None:
    verdict = evaluate(asked, policies=[], usage=UNUSED, now_s=NOW_S)
    assert isinstance(verdict, Deny)
    [violation] = verdict.violations
    assert violation.message == f"no policy grants this agent {said}"


UNREADABLE = [
    (PolicyType.SPENDING_LIMIT, "not JSON"),
    (PolicyType.SPENDING_LIMIT, "{}"),
    (PolicyType.SPENDING_LIMIT, '{"asset": "USDC", "instant_max": "5"}'),
    (PolicyType.SPENDING_LIMIT, '{"asset": "native", "instant_max": "5", "notify_max": "4"}'),
    (PolicyType.SPENDING_LIMIT, '{"asset": "native", "instant_max": 5}'),
    (PolicyType.SPENDING_LIMIT, '{"asset": "native", "instant_max": "5", "instant_max": "9"}'),
    *((kind, "{}") for kind in PolicyType if kind is not PolicyType.SPENDING_LIMIT),
]


@pytest.mark.parametrize(("kind", "rules"), UNREADABLE)
@pytest.mark.parametrize("grant_stands", ["nowhere", "before", "behind"])
def test_a_policy_that_cannot_be_evaluated_denies_even_beside_a_good_grant(
    kind: PolicyType, rules: str, grant_stands: str, *, record: Record, limit: Limit, pay: Pay
) -> None:
    broken, grant = record(kind, rules), limit(instant_max=HUGE)
    policies = {
        "nowhere": [broken],
        "before": [grant, broken],
        "behind": [broken, grant],
    }[grant_stands]
    verdict = evaluate(pay(1), policies=policies, usage=UNUSED, now_s=NOW_S)
    assert isinstance(verdict, Deny)
    first = verdict.violations[0]
    assert (first.code, first.rule) == (ErrorCode.POLICY_DENIED, kind)
    assert broken.id in first.message
    assert (verdict.max_allowed, verdict.retry_at) == (None, None)
    granted = grant_stands != "nowhere"
    assert (DEFAULT_DENY in [each.rule for each in verdict.violations]) is not granted


def test_a_grant_lets_a_payment_out_at_once(limit: Limit, pay: Pay) -> None:
    verdict = evaluate(pay(5), policies=[limit(instant_max=5)], usage=UNUSED, now_s=NOW_S)
    assert verdict == Allow(PolicyTier.INSTANT)


# ── bounds ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bound", [0, 1, 5, 2**53 + 1, 2**63 - 1, 2**63, 2**64, HUGE - 1])
@pytest.mark.parametrize("name", ["per_transaction_max", *WINDOWS_S])
def test_every_bound_is_inclusive(name: str, bound: int, limit: Limit, pay: Pay) -> None:
    policies = [limit(instant_max=HUGE, **{name: bound})]
    if bound:
        verdict = evaluate(pay(bound), policies=policies, usage=UNUSED, now_s=NOW_S)
        assert verdict == Allow(PolicyTier.INSTANT)
    above = evaluate(pay(bound + 1), policies=policies, usage=UNUSED, now_s=NOW_S)
    assert isinstance(above, Deny)
    (violation,) = above.violations
    assert violation.code is ErrorCode.SPENDING_LIMIT_EXCEEDED
    assert violation.bound == name
    assert (violation.limit, violation.observed) == (bound, bound + 1)
    assert violation.max_allowed == (bound or None)
    assert violation.retry_at is None


@pytest.mark.parametrize("bound", [0, 1, 5, 2**63, HUGE - 1])
def test_the_instant_bound_is_inclusive_and_asks_for_a_person_above(
    bound: int, limit: Limit, pay: Pay
) -> None:
    policies = [limit(instant_max=bound)]
    if bound:
        verdict = evaluate(pay(bound), policies=policies, usage=UNUSED, now_s=NOW_S)
        assert verdict == Allow(PolicyTier.INSTANT)
    above = evaluate(pay(bound + 1), policies=policies, usage=UNUSED, now_s=NOW_S)
    assert isinstance(above, Allow)
    assert above.tier is PolicyTier.APPROVAL
    (escalation,) = above.escalations
    assert (escalation.bound, escalation.limit) == ("instant_max", bound)
    assert escalation.observed == bound + 1
    assert escalation.max_allowed == (bound or None)


@pytest.mark.parametrize(
    ("in_flight", "amount", "most", "retry_at"),
    [
        (3, 8, 7, NOW_S + 1),  # would go out alone: waiting helps
        (3, 10, 7, NOW_S + 1),
        (10, 10, None, NOW_S + 1),
        (3, 11, 7, None),  # would not: waiting never helps
        (0, 11, 10, None),
    ],
)
def test_what_only_money_in_flight_holds_back_may_be_asked_for_again_later(
    in_flight: int,
    amount: int,
    most: int | None,
    retry_at: int | None,
    *,
    limit: Limit,
    pay: Pay,
) -> None:
    usage = of_native(in_flight=in_flight, spends=())
    verdict = evaluate(pay(amount), policies=[limit(instant_max=10)], usage=usage, now_s=NOW_S)
    assert isinstance(verdict, Allow)
    (escalation,) = verdict.escalations
    assert (escalation.max_allowed, escalation.retry_at) == (most, retry_at)


def test_a_denial_names_the_bounds_that_would_need_a_person_too(limit: Limit, pay: Pay) -> None:
    policies = [limit(instant_max=3, daily_max=10), limit(instant_max=20, daily_max=12)]
    verdict = evaluate(pay(11), policies=policies, usage=UNUSED, now_s=NOW_S)
    assert isinstance(verdict, Deny)
    assert [(each.bound, each.limit) for each in verdict.violations] == [("daily_max", 10)]
    assert [(each.bound, each.limit) for each in verdict.escalations] == [("instant_max", 3)]
    assert verdict.max_allowed == 10  # what no rule denies; whether at once is another question


@pytest.mark.parametrize(
    ("in_flight", "amount", "tier"),
    [
        (0, 10, PolicyTier.INSTANT),
        (3, 7, PolicyTier.INSTANT),
        (3, 8, PolicyTier.APPROVAL),
        (10, 1, PolicyTier.APPROVAL),
        (HUGE, HUGE, PolicyTier.APPROVAL),
    ],
)
def test_the_tier_is_judged_on_the_amount_and_what_is_in_flight(
    in_flight: int, amount: int, tier: PolicyTier, limit: Limit, pay: Pay
) -> None:
    spent_lately = (Spend(NOW_S, 10**6),)  # settled: counts in windows, not here
    verdict = evaluate(
        pay(amount),
        policies=[limit(instant_max=10)],
        usage=of_native(in_flight=in_flight, spends=spent_lately),
        now_s=NOW_S,
    )
    assert isinstance(verdict, Allow)
    assert verdict.tier is tier


def test_a_single_payment_is_not_judged_by_what_is_in_flight(limit: Limit, pay: Pay) -> None:
    policies = [limit(instant_max=HUGE, per_transaction_max=5)]
    usage = of_native(in_flight=100, spends=(Spend(NOW_S, 100),))
    verdict = evaluate(pay(5), policies=policies, usage=usage, now_s=NOW_S)
    assert isinstance(verdict, Allow)


# ── windows ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "window_s"), WINDOWS_S.items())
def test_money_leaves_a_window_in_the_second_in_which_it_is_as_old_as_the_window(
    name: str, window_s: int, limit: Limit, pay: Pay
) -> None:
    policies = [limit(instant_max=HUGE, **{name: 10})]
    usage = of_native(in_flight=0, spends=(Spend(NOW_S, 10),))
    last = evaluate(pay(1), policies=policies, usage=usage, now_s=NOW_S + window_s - 1)
    assert isinstance(last, Deny)
    assert last.retry_at == NOW_S + window_s
    assert last.max_allowed is None
    after = evaluate(pay(10), policies=policies, usage=usage, now_s=NOW_S + window_s)
    assert after == Allow(PolicyTier.INSTANT)


@pytest.mark.parametrize("name", WINDOWS_S)
def test_money_in_flight_counts_in_every_window(name: str, limit: Limit, pay: Pay) -> None:
    policies = [limit(instant_max=HUGE, **{name: 10})]
    usage = of_native(in_flight=4, spends=(Spend(NOW_S, 5),))
    assert isinstance(evaluate(pay(1), policies=policies, usage=usage, now_s=NOW_S), Allow)
    verdict = evaluate(pay(2), policies=policies, usage=usage, now_s=NOW_S)
    assert isinstance(verdict, Deny)
    (violation,) = verdict.violations
    assert (violation.observed, violation.max_allowed) == (11, 1)
    assert violation.retry_at == NOW_S + WINDOWS_S[name]


def test_a_window_that_is_already_over_its_bound_allows_nothing(limit: Limit, pay: Pay) -> None:
    usage = of_native(in_flight=0, spends=(Spend(NOW_S - 10, 8), Spend(NOW_S - 5, 8)))
    policies = [limit(instant_max=HUGE, hourly_max=10)]
    verdict = evaluate(pay(3), policies=policies, usage=usage, now_s=NOW_S)
    assert isinstance(verdict, Deny)
    assert verdict.max_allowed is None
    assert verdict.retry_at == NOW_S - 5 + 3600  # not when the first leaves: 8 + 3 is too much


# ── several at once ────────────────────────────────────────────────────────────────────────────


def test_all_violations_are_listed(limit: Limit, record: Record, pay: Pay) -> None:
    names = ("per_transaction_max", *WINDOWS_S)
    policies = [
        limit(instant_max=0, **dict.fromkeys(names, 1)),
        record(PolicyType.WHITELIST, "{}"),
        limit(instant_max=0, **dict.fromkeys(names, 2)),
    ]
    verdict = evaluate(pay(3), policies=policies, usage=UNUSED, now_s=NOW_S)
    assert isinstance(verdict, Deny)
    assert verdict.violations[0].rule == PolicyType.WHITELIST
    assert bounds_exceeded(verdict) == [None, *names, *names]


def test_the_amount_that_passes_passes_every_bound(limit: Limit, pay: Pay) -> None:
    policies = [
        limit(instant_max=HUGE, per_transaction_max=100, daily_max=50),
        limit(instant_max=HUGE, hourly_max=40),
    ]
    usage = of_native(in_flight=0, spends=(Spend(NOW_S - 5000, 45),))
    verdict = evaluate(pay(200), policies=policies, usage=usage, now_s=NOW_S)
    assert isinstance(verdict, Deny)
    assert {each.bound: each.max_allowed for each in verdict.violations} == {
        "per_transaction_max": 100,
        "daily_max": 5,
        "hourly_max": 40,
    }
    assert verdict.max_allowed == 5
    assert isinstance(evaluate(pay(5), policies=policies, usage=usage, now_s=NOW_S), Allow)
    assert isinstance(evaluate(pay(6), policies=policies, usage=usage, now_s=NOW_S), Deny)


@pytest.mark.parametrize("order", [1, -1])
def test_a_second_limit_on_the_same_asset_only_restricts(
    order: int, limit: Limit, pay: Pay
) -> None:
    policies = [limit(instant_max=100, daily_max=100), limit(instant_max=5, daily_max=10)][::order]
    at = {
        amount: evaluate(pay(amount), policies=policies, usage=UNUSED, now_s=NOW_S)
        for amount in (5, 6, 10, 11)
    }
    assert at[5] == Allow(PolicyTier.INSTANT)
    assert isinstance(at[6], Allow)
    assert at[6].tier is PolicyTier.APPROVAL
    assert isinstance(at[10], Allow)
    assert bounds_exceeded(at[11]) == ["daily_max"]


def test_every_denial_names_what_it_saw_in_words(limit: Limit, pay: Pay) -> None:
    verdict = evaluate(
        pay(12), policies=[limit(instant_max=1, daily_max=11)], usage=UNUSED, now_s=NOW_S
    )
    assert isinstance(verdict, Deny)
    assert (
        verdict.violations[0].message
        == "daily_max of native is 11, and this payment would bring it to 12"
    )
