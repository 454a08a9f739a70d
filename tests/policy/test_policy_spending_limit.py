"""SPENDING_LIMIT: tiers by what goes out by itself, and bounds that deny or ask for a person."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyTier, PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Batch, ContractCall, TokenTransfer, Transfer
from waiaas.policy.document import RuleRefused
from waiaas.policy.policies import parse_rules
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.spending_limit import TIER_BOUNDS, WINDOW_S_MAX, WINDOWS_S
from waiaas.policy.verdict import DEFAULT_DENY, Allow, Deny, Verdict

Judge = Callable[..., Verdict]
Limit = Callable[..., PolicyRecord]
Pay = Callable[[int], Transfer]
Use = Callable[..., ListedUsage]

NOW_S = 1_700_000_000
ALICE = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
MAINNET = Network(ChainType.SOLANA, NetworkType.MAINNET)
LOCALNET = Network(ChainType.SOLANA, NetworkType.LOCALNET)
HUGE = 2**256 - 1
LADDER = {"instant_max": 10, "notify_max": 20, "delay_max": 30, "delay_seconds": 600}


def parse(**members: Any) -> Any:
    rules = {"asset": "native", "instant_max": "10", **members}
    return parse_rules(PolicyType.SPENDING_LIMIT, json.dumps(rules), is_global=False)


# ── tiers ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("amount", "tier"),
    [
        (10, PolicyTier.INSTANT),
        (11, PolicyTier.NOTIFY),
        (20, PolicyTier.NOTIFY),
        (21, PolicyTier.DELAY),
        (30, PolicyTier.DELAY),
        (31, PolicyTier.APPROVAL),
        (HUGE, PolicyTier.APPROVAL),
    ],
)
def test_each_tier_reaches_up_to_its_bound(
    amount: int, tier: PolicyTier, limit: Limit, judge: Judge, pay: Pay
) -> None:
    verdict = judge(pay(amount), [limit(**LADDER)])
    assert isinstance(verdict, Allow)
    assert verdict.tier is tier
    assert verdict.delay_s == (600 if tier is PolicyTier.DELAY else None)
    assert verdict.approval_s == (3600 if tier is PolicyTier.APPROVAL else None)
    exceeded = [name for name in TIER_BOUNDS if amount > LADDER[name]]
    assert [each.bound for each in verdict.escalations] == exceeded
    assert [each.max_allowed for each in verdict.escalations] == [LADDER[n] for n in exceeded]


@pytest.mark.parametrize(
    ("bounds", "tiers"),
    [
        ({}, "INSTANT APPROVAL APPROVAL APPROVAL"),
        ({"notify_max": 20}, "INSTANT NOTIFY APPROVAL APPROVAL"),
        ({"delay_max": 30, "delay_seconds": 60}, "INSTANT DELAY DELAY APPROVAL"),
        (
            {"notify_max": 10, "delay_max": 20, "delay_seconds": 60},
            "INSTANT DELAY APPROVAL APPROVAL",
        ),
    ],
)
def test_a_tier_without_a_bound_is_skipped(
    bounds: dict[str, int], tiers: str, limit: Limit, judge: Judge, pay: Pay
) -> None:
    policies = [limit(instant_max=10, **bounds)]
    found = [judge(pay(amount), policies) for amount in (10, 20, 30, 31)]
    assert " ".join(each.tier for each in found if isinstance(each, Allow)) == tiers


def test_what_waits_counts_in_windows_and_not_towards_the_tier(
    limit: Limit, judge: Judge, pay: Pay, use: Use
) -> None:
    policies = [limit(**LADDER, daily_max=100)]
    assert judge(pay(10), policies, use(0, waiting=90)) == Allow(PolicyTier.INSTANT)
    assert isinstance(judge(pay(11), policies, use(0, waiting=90)), Deny)
    going_out = judge(pay(10), policies, use(1, waiting=80))
    assert isinstance(going_out, Allow)
    assert going_out.tier is PolicyTier.NOTIFY


@pytest.mark.parametrize(
    ("network", "asked_s", "waited_s"),
    [(MAINNET, 1, 60), (MAINNET, 61, 61), (LOCALNET, 1, 1), (LOCALNET, 59, 59)],
)
def test_a_wait_is_at_least_a_minute_except_on_a_local_network(
    network: Network, asked_s: int, waited_s: int, *, limit: Limit, judge: Judge, pay: Pay
) -> None:
    policies = [limit(**{**LADDER, "delay_seconds": asked_s})]
    verdict = judge(pay(30), policies, network=network)
    assert isinstance(verdict, Allow)
    assert verdict.delay_s == waited_s


def test_the_longest_wait_and_the_shortest_deadline_hold(
    limit: Limit, judge: Judge, pay: Pay
) -> None:
    slow, fast = ({**LADDER, "delay_seconds": s, "approval_timeout": s} for s in (7000, 5000))
    policies = [limit(**slow), limit(**fast)]
    waits, asks = judge(pay(30), policies), judge(pay(31), policies)
    assert isinstance(waits, Allow)
    assert isinstance(asks, Allow)
    assert (waits.delay_s, waits.approval_s) == (7000, None)
    assert (asks.delay_s, asks.approval_s) == (None, 5000)
    silent = judge(pay(31), [*policies, limit(**LADDER)])
    assert isinstance(silent, Allow)
    assert silent.approval_s == 3600  # a rule that asks for a person and says nothing: an hour


@pytest.mark.parametrize(
    ("network", "default_s", "waited_s"),
    [(MAINNET, 59, 60), (MAINNET, 61, 61), (LOCALNET, 1, 1), (MAINNET, 604_800, 604_800)],
)
def test_where_a_rule_does_not_say_how_long_the_settings_do(
    network: Network, default_s: int, waited_s: int, *, limit: Limit, judge: Judge, pay: Pay
) -> None:
    waits = WaitDefaults(default_s, default_s)
    silent = limit(instant_max=10, notify_max=20, delay_max=30)
    delayed = judge(pay(30), [silent], network=network, waits=waits)
    assert isinstance(delayed, Allow)
    assert (delayed.delay_s, delayed.approval_s) == (waited_s, None)
    asked = judge(pay(31), [silent], network=network, waits=waits)
    assert isinstance(asked, Allow)
    assert (asked.delay_s, asked.approval_s) == (None, default_s)
    # Another rule that says so is heard: the longer wait, the shorter deadline.
    both = [silent, limit(**LADDER, approval_timeout=120)]
    delayed = judge(pay(30), both, network=network, waits=waits)
    assert isinstance(delayed, Allow)
    assert delayed.delay_s == max(600, default_s)
    asked = judge(pay(31), both, network=network, waits=waits)
    assert isinstance(asked, Allow)
    assert asked.approval_s == min(120, default_s)


# ── bounds ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["per_transaction_max", *WINDOWS_S])
def test_a_bound_may_ask_for_a_person_in_place_of_denying(
    name: str, limit: Limit, judge: Judge, pay: Pay
) -> None:
    bounds = {"instant_max": HUGE, name: 10, "approval_timeout": 900}
    assert judge(pay(10), [limit(**bounds, on_exceed="approval")]) == Allow(PolicyTier.INSTANT)
    asks = judge(pay(11), [limit(**bounds, on_exceed="approval")])
    assert isinstance(asks, Allow)
    assert (asks.tier, asks.approval_s) == (PolicyTier.APPROVAL, 900)
    assert [(each.bound, each.max_allowed) for each in asks.escalations] == [(name, 10)]
    assert isinstance(judge(pay(11), [limit(**bounds, on_exceed="deny")]), Deny)
    both = [limit(**bounds, on_exceed="approval"), limit(**bounds)]
    assert isinstance(judge(pay(11), both), Deny)


# ── assets ─────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_is_about_its_asset_on_its_network(limit: Limit, judge: Judge, pay: Pay) -> None:
    coin = f"{CHAIN_IDS[MAINNET]}/slip44:501"
    token = f"{CHAIN_IDS[MAINNET]}/token:{TOKEN}"
    send = TokenTransfer(TOKEN, ALICE, 5)
    for asset in ("native", coin):
        assert judge(pay(5), [limit(asset, instant_max=5)]) == Allow(PolicyTier.INSTANT)
        assert isinstance(judge(send, [limit(asset, instant_max=5)]), Deny)
    for asset in (TOKEN, token):
        assert isinstance(judge(send, [limit(asset, instant_max=5)]), Allow)
        assert isinstance(judge(pay(5), [limit(asset, instant_max=5)]), Deny)
    elsewhere = judge(pay(5), [limit(coin, instant_max=5)], network=LOCALNET)
    assert isinstance(elsewhere, Deny)
    assert [each.rule for each in elsewhere.violations] == [DEFAULT_DENY]
    strict = [limit("native", instant_max=5), limit(coin, instant_max=0, per_transaction_max=0)]
    assert judge(pay(5), strict, network=LOCALNET) == Allow(PolicyTier.INSTANT)
    assert isinstance(judge(pay(5), strict), Deny)


def test_money_that_goes_along_with_a_call_is_spent(
    limit: Limit, judge: Judge, rule: Callable[..., PolicyRecord]
) -> None:
    call = rule(PolicyType.CONTRACT_WHITELIST, contracts=[ALICE], tier="INSTANT")
    policies = [call, limit(instant_max=5, daily_max=6)]
    assert judge(ContractCall(ALICE, b"", 5), policies) == Allow(PolicyTier.INSTANT)
    assert isinstance(judge(ContractCall(ALICE, b"", 7), policies), Deny)
    assert judge(ContractCall(ALICE, b""), [call]) == Allow(PolicyTier.INSTANT)
    ungranted = judge(ContractCall(ALICE, b"", 1), [call])
    assert isinstance(ungranted, Deny)
    assert [each.rule for each in ungranted.violations] == [DEFAULT_DENY]


def test_of_a_batch_each_part_is_judged_and_then_the_sum(
    limit: Limit, judge: Judge, pay: Pay
) -> None:
    policies = [limit(**LADDER, per_transaction_max=25, daily_max=40)]
    assert judge(Batch((pay(5), pay(5))), policies) == Allow(PolicyTier.INSTANT)
    ten_small_ones = judge(Batch((pay(2),) * 10), policies)
    assert isinstance(ten_small_ones, Allow)
    assert ten_small_ones.tier is PolicyTier.NOTIFY
    denied = judge(Batch((pay(26), pay(1), pay(30))), policies)
    assert isinstance(denied, Deny)
    assert [(each.part, each.bound, each.observed) for each in denied.violations] == [
        (0, "per_transaction_max", 26),
        (2, "per_transaction_max", 30),
        (None, "per_transaction_max", 57),
        (None, "daily_max", 57),
    ]
    assert denied.max_allowed is None
    of_two = judge(Batch((pay(26), pay(1))), policies)
    assert isinstance(of_two, Deny)
    assert [each.part for each in of_two.violations] == [0, None]
    only_the_sum = judge(Batch((pay(20), pay(21))), policies)
    assert isinstance(only_the_sum, Deny)
    assert [each.part for each in only_the_sum.violations] == [None, None]
    assert only_the_sum.max_allowed == 25


def test_of_a_batch_the_sums_are_of_one_asset_each(limit: Limit, judge: Judge, pay: Pay) -> None:
    policies = [limit(instant_max=9, daily_max=9), limit(TOKEN, instant_max=9, daily_max=9)]
    batch = Batch((pay(9), TokenTransfer(TOKEN, ALICE, 9)))
    assert isinstance(judge(batch, policies), Allow)
    nine_spent = ListedUsage({TOKEN: Spending(spends=(Spend(NOW_S, 9),))})
    assert isinstance(judge(batch, policies, nine_spent), Deny)


# ── an oracle ──────────────────────────────────────────────────────────────────────────────────

AMOUNTS = st.integers(1, 40) | st.integers(1, HUGE)
LIMITS = st.tuples(st.lists(AMOUNTS, min_size=3, max_size=3).map(sorted), st.booleans(), AMOUNTS)


@given(rules=LIMITS, amount=AMOUNTS, going_out=st.integers(0, 30), waiting=st.integers(0, 30))
def test_the_tier_is_the_first_whose_bound_holds_all_that_goes_out(
    rules: Any,
    amount: int,
    going_out: int,
    waiting: int,
    *,
    limit: Limit,
    judge: Judge,
    pay: Pay,
    use: Use,
) -> None:
    (instant, notify, delay), asks, daily = rules
    policy = limit(
        instant_max=instant,
        notify_max=notify,
        delay_max=delay,
        delay_seconds=60,
        daily_max=daily,
        on_exceed="approval" if asks else "deny",
    )
    verdict = judge(pay(amount), [policy], use(going_out, waiting=waiting))
    over = going_out + waiting + amount > daily
    if over and not asks:
        assert isinstance(verdict, Deny)
        return
    assert isinstance(verdict, Allow)
    steps = zip((instant, notify, delay), PolicyTier, strict=False)
    expected = next(
        (tier for most, tier in steps if going_out + amount <= most), PolicyTier.APPROVAL
    )
    assert verdict.tier is (PolicyTier.APPROVAL if over else expected)


SPENDS = st.lists(
    st.builds(
        lambda age, amount: Spend(NOW_S - age, amount),
        st.integers(0, 30) | st.integers(3570, 3605),
        st.integers(1, 10),
    ),
    max_size=6,
).map(lambda spends: tuple(sorted(spends)))
"""Small enough that every second of the hour can be tried."""


@given(
    hourly=st.integers(0, 30), amount=st.integers(1, 30), moving=st.integers(0, 10), spends=SPENDS
)
@example(hourly=10, amount=2, moving=0, spends=(Spend(NOW_S - 9, 8), Spend(NOW_S - 5, 8)))
def test_the_second_from_which_a_window_has_room_is_the_earliest(
    hourly: int,
    amount: int,
    moving: int,
    spends: tuple[Spend, ...],
    *,
    limit: Limit,
    judge: Judge,
    pay: Pay,
    use: Use,
) -> None:
    """Money in flight is taken to move now, which is what the forecast promises to assume."""
    verdict = judge(
        pay(amount), [limit(instant_max=HUGE, hourly_max=hourly)], use(moving, spends=spends)
    )
    if isinstance(verdict, Allow):
        return
    moved = [*spends, Spend(NOW_S, moving)]
    totals = (
        (second, sum(spend.base_units for spend in moved if second - spend.settled_at < 3600))
        for second in range(NOW_S, NOW_S + 3601)
    )
    earliest = next((second for second, total in totals if total + amount <= hourly), None)
    assert verdict.retry_at == earliest


# ── rules ──────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_says_what_was_written() -> None:
    rule = parse()
    assert (dict(rule.tier_max), dict(rule.window_max)) == ({"instant_max": 10}, {})
    assert (rule.per_transaction_max, rule.delay_s, rule.approval_s) == (None, None, None)
    assert rule.on_exceed == "deny"
    assert rule.subject == "native"
    assert [asset.name for asset in rule.assets] == ["native"]
    with pytest.raises(TypeError):
        rule.window_max["daily_max"] = 9


def test_the_windows_are_an_hour_a_day_a_week_and_thirty_days() -> None:
    assert list(WINDOWS_S.values()) == [3600, 86_400, 604_800, 2_592_000]
    assert WINDOW_S_MAX == 2_592_000


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"asset": "gold"}, "rules.asset"),
        ({"asset": None}, "rules.asset"),
        ({"instant_max": None}, "rules.instant_max"),
        ({"instant_max": 10}, "rules.instant_max"),
        ({"daily_maximum": "5"}, "rules.daily_maximum"),
        ({"Daily_Max": "5"}, "rules.Daily_Max"),
        ({"daily_max": None}, "rules.daily_max"),
        # A more careful tier reaches at least as far.
        ({"notify_max": "9"}, "rules.notify_max"),
        ({"delay_max": "9", "delay_seconds": 60}, "rules.delay_max"),
        ({"notify_max": "20", "delay_max": "19", "delay_seconds": 60}, "rules.delay_max"),
        # Neither means anything without the other.
        ({"delay_seconds": 60}, "rules.delay_max"),
        # A longer window holds at least as much.
        ({"hourly_max": "9", "daily_max": "8"}, "rules.daily_max"),
        ({"hourly_max": "9", "monthly_max": "8"}, "rules.monthly_max"),
        ({"delay_max": "20", "delay_seconds": 0}, "rules.delay_seconds"),
        ({"delay_max": "20", "delay_seconds": 604_801}, "rules.delay_seconds"),
        ({"delay_max": "20", "delay_seconds": "60"}, "rules.delay_seconds"),
        ({"delay_max": "20", "delay_seconds": True}, "rules.delay_seconds"),
        ({"approval_timeout": 0}, "rules.approval_timeout"),
        ({"approval_timeout": 604_801}, "rules.approval_timeout"),
        ({"on_exceed": "allow"}, "rules.on_exceed"),
        ({"on_exceed": None}, "rules.on_exceed"),
    ],
)
def test_a_rule_that_nobody_could_keep_is_refused_by_name(
    members: dict[str, Any], field: str
) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse(**members)
    assert refused.value.field == field
    assert refused.value.reason


@pytest.mark.parametrize(
    "members",
    [
        {"notify_max": "10", "delay_max": "10", "delay_seconds": 604_800},
        {"hourly_max": "9", "daily_max": "9", "monthly_max": "9"},
        # Tiers say how careful, bounds how much: the tighter one holds.
        {"per_transaction_max": "5", "daily_max": "3"},
        {"approval_timeout": 60},
        {"approval_timeout": 604_800},
    ],
)
def test_what_only_looks_contradictory_is_a_rule(members: dict[str, Any]) -> None:
    assert parse(**members)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (
            {"on_exceed": "approval"},
            (
                "on_exceed: means nothing without a bound to exceed: per_transaction_max,"
                " hourly_max, daily_max, weekly_max, monthly_max"
            ),
        ),
        ({"on_exceed": "deny", "delay_max": "20"}, "on_exceed: means nothing"),
        (
            {"per_transaction_max": "8", "hourly_max": "7", "daily_max": "9"},
            "per_transaction_max: is more than hourly_max: whatever is above it is",
        ),
        (
            {"hourly_max": "7", "daily_max": "8", "weekly_max": "8"},
            "daily_max: is the same as weekly_max: whatever is above it is",
        ),
        (
            {"per_transaction_max": "8", "hourly_max": "8", "daily_max": "9"},
            None,
        ),
        ({"on_exceed": "approval", "per_transaction_max": "1"}, None),
        ({"on_exceed": "approval", "monthly_max": "1"}, None),
    ],
)
def test_what_could_never_matter_is_refused_when_it_is_set_and_read_where_it_stands(
    members: dict[str, Any], said: str | None
) -> None:
    """Refusing what is stored would deny everything that it lets through."""
    rules = json.dumps({"asset": "native", "instant_max": "10", **members})
    read = parse(**members)
    if said is None:
        set_now = parse_rules(PolicyType.SPENDING_LIMIT, rules, is_global=False, is_new=True)
        assert set_now == read
    else:
        with pytest.raises(RuleRefused) as refused:
            parse_rules(PolicyType.SPENDING_LIMIT, rules, is_global=False, is_new=True)
        assert str(refused.value).startswith(f"rules.{said}")
