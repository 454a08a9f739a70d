"""Evaluation as a whole, over every kind of rule and request: what no rule may ever break."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.ids import AgentId, PolicyId
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, Batch, ContractCall, Part, TokenTransfer, Transfer
from waiaas.policy.rule import outflow
from waiaas.policy.spending_limit import WINDOWS_S
from waiaas.policy.verdict import Allow, Deny, Verdict

Judge = Callable[..., Verdict]

NOW_S = 1_700_000_000  # a Tuesday, 22:13:20 UTC
HUGE = 2**256 - 1
CARE = list(PolicyTier)
ALICE = "So11111111111111111111111111111111111111112"
BOB = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
ADDRESSES = (ALICE, BOB)
SPENT = ("native", TOKEN)
AGENT = AgentId("0198c0de-0000-7000-8000-0000000000a1")

# ── rules ──────────────────────────────────────────────────────────────────────────────────────

DIGITS = (st.integers(0, 60) | st.integers(0, HUGE)).map(str)
SECONDS = st.integers(60, 100_000)
LISTS = st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=2, unique=True)
MINUTES = st.sampled_from(["00:00", "06:30", "22:13", "22:14", "23:00"])
DAYS = st.lists(st.sampled_from(["mon", "tue", "wed", "sun"]), min_size=1, max_size=3, unique=True)


def rising(rules: dict[str, Any]) -> dict[str, Any]:
    """Put the bounds into the order in which a rule may have them, and leave nothing half said."""
    for group in (("instant_max", "notify_max", "delay_max"), tuple(WINDOWS_S)):
        names = [name for name in group if name in rules]
        rules |= dict(zip(names, sorted((rules[name] for name in names), key=int), strict=True))
    if "delay_max" in rules:
        rules["delay_seconds"] = 300
    return rules


def careful_rules(members: dict[str, Any]) -> dict[str, Any]:
    if members.get("tier") == "DELAY":
        members["delay_seconds"] = 120
    return members


LIMITS = st.fixed_dictionaries(
    {"asset": st.sampled_from(SPENT), "instant_max": DIGITS},
    optional={
        **dict.fromkeys(("notify_max", "delay_max", "per_transaction_max", *WINDOWS_S), DIGITS),
        "approval_timeout": SECONDS,
        "on_exceed": st.sampled_from(["deny", "approval"]),
    },
).map(rising)
TIERS = st.sampled_from([tier.value for tier in PolicyTier])
RULES: dict[PolicyType, st.SearchStrategy[dict[str, Any]]] = {
    PolicyType.SPENDING_LIMIT: LIMITS,
    PolicyType.WHITELIST: st.fixed_dictionaries({"addresses": LISTS}),
    PolicyType.TIME_RESTRICTION: st.fixed_dictionaries(
        {
            "timezone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
            "windows": st.lists(
                st.fixed_dictionaries({"days": DAYS, "start": MINUTES, "end": MINUTES}).filter(
                    lambda window: window["start"] != window["end"]
                ),
                min_size=1,
                max_size=2,
            ),
        }
    ),
    PolicyType.RATE_LIMIT: st.fixed_dictionaries(
        {"max_requests": st.integers(1, 4), "window_seconds": st.integers(1, 100)}
    ),
    PolicyType.ALLOWED_TOKENS: st.fixed_dictionaries(
        {"tokens": st.sampled_from([[TOKEN], [ALICE], [TOKEN, ALICE]])}
    ),
    PolicyType.METHOD_WHITELIST: st.fixed_dictionaries(
        {
            "contracts": st.lists(
                st.fixed_dictionaries(
                    {"address": st.sampled_from(ADDRESSES), "methods": st.just(["0x01"])}
                ),
                min_size=1,
                max_size=2,
                unique_by=lambda entry: entry["address"],
            )
        }
    ),
    PolicyType.CONTRACT_WHITELIST: st.fixed_dictionaries(
        {"contracts": LISTS}, optional={"tier": TIERS}
    ).map(careful_rules),
    PolicyType.APPROVED_SPENDERS: st.fixed_dictionaries(
        {"spenders": LISTS}, optional={"tier": TIERS}
    ).map(careful_rules),
    PolicyType.APPROVE_AMOUNT_LIMIT: st.fixed_dictionaries(
        {"amount_max": DIGITS}, optional={"token": st.just(TOKEN), "block_unlimited": st.booleans()}
    ),
    PolicyType.APPROVE_TIER_OVERRIDE: st.fixed_dictionaries(
        {"tier": TIERS.filter(lambda tier: tier != "INSTANT")}
    ).map(careful_rules),
}


def record(kind: PolicyType, rules: dict[str, Any], number: int, priority: int) -> PolicyRecord:
    policy_id = PolicyId(f"0198c0de-0000-7000-8000-{number:012x}")
    return PolicyRecord(policy_id, AGENT, kind, json.dumps(rules), priority, 1, 0, 0)


def records() -> st.SearchStrategy[PolicyRecord]:
    kinds = st.sampled_from([*PolicyType])
    numbers, priorities = st.integers(0, 2**48 - 1), st.integers(-1, 1)
    return kinds.flatmap(
        lambda kind: st.builds(record, st.just(kind), RULES[kind], numbers, priorities)
    )


def generous() -> list[PolicyRecord]:
    """Return rules that grant everything there is here, so that others can only restrict."""
    granted: list[tuple[PolicyType, dict[str, Any]]] = [
        *(
            (PolicyType.SPENDING_LIMIT, {"asset": asset, "instant_max": str(HUGE)})
            for asset in SPENT
        ),
        (PolicyType.CONTRACT_WHITELIST, {"contracts": [*ADDRESSES], "tier": "INSTANT"}),
        (PolicyType.APPROVED_SPENDERS, {"spenders": [*ADDRESSES], "tier": "INSTANT"}),
    ]
    return [
        PolicyRecord(
            PolicyId(f"0198c0de-0000-7000-9000-{number:012x}"), AGENT, kind, json.dumps(rules),
            0, 1, 0, 0,
        )
        for number, (kind, rules) in enumerate(granted)
    ]  # fmt: skip


POLICIES = st.lists(records(), max_size=3)

# ── requests and usage ─────────────────────────────────────────────────────────────────────────

AMOUNTS = st.integers(1, 70) | st.integers(1, HUGE)
WHO = st.sampled_from(ADDRESSES)
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(Transfer, WHO, AMOUNTS),
    st.builds(TokenTransfer, st.just(TOKEN), WHO, AMOUNTS),
    st.builds(
        ContractCall, WHO, st.sampled_from([b"", b"\x01\x02", b"\x02"]), AMOUNTS | st.just(0)
    ),
    st.builds(Approve, st.just(TOKEN), WHO, AMOUNTS | st.sampled_from([0, 2**63, 2**64 - 1])),
)
BATCHES = st.lists(PARTS, min_size=2, max_size=4).map(lambda parts: Batch(tuple(parts)))
REQUESTS = PARTS | BATCHES

AGES = st.integers(0, 40) | st.sampled_from([*WINDOWS_S.values()]).flatmap(
    lambda window_s: st.integers(window_s - 3, window_s + 3)
)
SPENDS = st.lists(
    st.builds(lambda age, amount: Spend(NOW_S - age, amount), AGES, AMOUNTS), max_size=4
).map(lambda spends: tuple(sorted(spends)))
ADMITTED = st.lists(st.integers(NOW_S - 110, NOW_S), max_size=6).map(
    lambda seconds: tuple(sorted(seconds, reverse=True))
)
MONEY = st.just(0) | AMOUNTS


def usages(in_flight: st.SearchStrategy[int] = MONEY) -> st.SearchStrategy[ListedUsage]:
    spending = st.builds(Spending, in_flight, in_flight, SPENDS)
    return st.builds(ListedUsage, st.fixed_dictionaries(dict.fromkeys(SPENT, spending)), ADMITTED)


# ── what holds for all of them ─────────────────────────────────────────────────────────────────


def care(verdict: Verdict) -> tuple[int, int]:
    """Return how careful a verdict is: a denial most, then the tier, then its time."""
    if isinstance(verdict, Deny):
        return len(CARE), 0
    return CARE.index(verdict.tier), (verdict.delay_s or 0) - (verdict.approval_s or 0)


@given(POLICIES, records(), REQUESTS, usages())
def test_where_all_is_granted_one_more_rule_never_permits_more(
    judge: Judge, policies: list[PolicyRecord], added: PolicyRecord, asked: Any, usage: ListedUsage
) -> None:
    before = judge(asked, [*generous(), *policies], usage)
    after = judge(asked, [added, *generous(), *policies], usage)
    assert care(after) >= care(before)


@given(
    POLICIES,
    st.sampled_from([*PolicyType]),
    st.sampled_from(["", "{}", '{"asset": "native"}', "[1]", '{"tier": "LOW"}']),
    REQUESTS,
)
def test_one_rule_that_cannot_be_read_denies_everything(
    judge: Judge, policies: list[PolicyRecord], kind: PolicyType, rules: str, asked: Any
) -> None:
    broken = generous()[0]._replace(type=kind, rules=rules)
    verdict = judge(asked, [*generous(), *policies, broken])
    assert isinstance(verdict, Deny)
    assert (verdict.max_allowed, verdict.retry_at) == (None, None)


@given(st.data(), POLICIES, REQUESTS, usages())
def test_the_order_of_rules_changes_nothing_and_the_same_facts_give_the_same_verdict(
    judge: Judge, data: st.DataObject, policies: list[PolicyRecord], asked: Any, usage: ListedUsage
) -> None:
    policies = [*generous(), *policies]
    assert judge(asked, data.draw(st.permutations(policies)), usage) == judge(
        asked, policies, usage
    )


def asked_for(part: Part, base_units: int) -> Part:
    return replace(part, base_units=base_units)


@given(POLICIES, PARTS, usages())
def test_the_amount_that_is_said_to_pass_passes_and_one_unit_more_does_not(
    judge: Judge, policies: list[PolicyRecord], part: Part, usage: ListedUsage
) -> None:
    policies = [*generous(), *policies]
    verdict = judge(part, policies, usage)
    if isinstance(verdict, Allow):
        return
    most = verdict.max_allowed
    assert isinstance(judge(asked_for(part, (most or 0) + 1), policies, usage), Deny)
    assert most is None or isinstance(judge(asked_for(part, most), policies, usage), Allow)


LIMITED = st.lists(
    st.builds(
        record,
        st.just(PolicyType.SPENDING_LIMIT),
        LIMITS,
        st.integers(0, 2**48 - 1),
        st.just(0),
    ),
    min_size=1,
    max_size=3,
)


def asked_for_together(batch: Batch, asset: str, base_units: int) -> Batch | None:
    """Return *batch* with so much of an asset among its parts; None: each needs one at least."""
    moving = [n for n, part in enumerate(batch.parts) if outflow(part, asset)]
    first = base_units - len(moving) + 1
    if first < 1:
        return None
    amounts = dict.fromkeys(moving, 1) | {moving[0]: first}
    return Batch(
        tuple(
            asked_for(part, amounts[n]) if n in amounts else part
            for n, part in enumerate(batch.parts)
        )
    )


@given(LIMITED, BATCHES, usages())
def test_the_amount_that_is_said_to_pass_in_a_batch_is_of_one_asset_and_passes(
    judge: Judge, policies: list[PolicyRecord], batch: Batch, usage: ListedUsage
) -> None:
    policies = [*generous(), *policies]
    verdict = judge(batch, policies, usage)
    if isinstance(verdict, Allow) or verdict.max_allowed is None:
        return
    [asset] = {each.asset for each in verdict.violations}
    for more, expected in ((0, Allow), (1, Deny)):
        smaller = asked_for_together(batch, str(asset), verdict.max_allowed + more)
        assert smaller is None or isinstance(judge(smaller, policies, usage), expected)


def test_of_two_assets_no_one_amount_is_said_to_pass(judge: Judge) -> None:
    """Control: the smaller of the two, 3, is one of a token and no amount of both."""
    batch = Batch((*[Transfer(ALICE, 9)] * 2, *[TokenTransfer(TOKEN, ALICE, 2)] * 2))
    bounds = {"native": "12", TOKEN: "3"}
    policies = [
        record(
            PolicyType.SPENDING_LIMIT, {"asset": asset, "instant_max": "9", "daily_max": most}, 7, 0
        )
        for asset, most in bounds.items()
    ]
    verdict = judge(batch, policies)
    assert isinstance(verdict, Deny)
    found = {each.asset: str(each.max_allowed) for each in verdict.violations}
    assert found == bounds
    assert all(f"daily_max of {each.asset} is" in each.message for each in verdict.violations)
    assert verdict.max_allowed is None
    only_one = judge(batch, [*generous(), policies[0]])
    assert isinstance(only_one, Deny)
    assert (only_one.max_allowed, only_one.violations[0].asset) == (12, "native")


@given(POLICIES, PARTS, usages())
def test_below_every_bound_that_asks_for_more_care_less_is_enough(
    judge: Judge, policies: list[PolicyRecord], part: Part, usage: ListedUsage
) -> None:
    policies = [*generous(), *policies]
    for escalation in judge(part, policies, usage).escalations:
        most, tier = escalation.max_allowed, escalation.tier
        assert tier is not None
        above = judge(asked_for(part, (most or 0) + 1), policies, usage)
        assert isinstance(above, Deny) or care(above)[0] >= CARE.index(tier)


@given(POLICIES, REQUESTS, usages(st.just(0)))
def test_from_the_second_that_is_said_it_passes_and_one_second_before_it_does_not(
    judge: Judge, policies: list[PolicyRecord], asked: Any, usage: ListedUsage
) -> None:
    policies = [*generous(), *policies]
    verdict = judge(asked, policies, usage)
    if isinstance(verdict, Allow):
        return
    retry_at = verdict.retry_at
    if retry_at is None:
        later = (judge(asked, policies, usage, now_s=NOW_S + s) for s in (1, 10**6, 10**9))
        assert all(isinstance(each, Deny) for each in later)
        return
    assert isinstance(judge(asked, policies, usage, now_s=retry_at), Allow)
    assert isinstance(judge(asked, policies, usage, now_s=retry_at - 1), Deny)


@given(POLICIES, BATCHES, usages())
def test_a_batch_is_never_treated_with_less_care_than_any_of_its_parts(
    judge: Judge, policies: list[PolicyRecord], batch: Batch, usage: ListedUsage
) -> None:
    policies = [*generous(), *policies]
    together = judge(batch, policies, usage)
    for index, part in enumerate(batch.parts):
        alone = judge(part, policies, usage)
        assert care(together)[0] >= care(alone)[0]
        if isinstance(alone, Deny):
            assert isinstance(together, Deny)
            listed = {each.rule for each in together.violations if each.part in (index, None)}
            assert {each.rule for each in alone.violations} <= listed


@given(POLICIES, REQUESTS, usages())
def test_every_verdict_says_why(
    judge: Judge, policies: list[PolicyRecord], asked: Any, usage: ListedUsage
) -> None:
    verdict = judge(asked, policies, usage)
    said = verdict.escalations
    if isinstance(verdict, Deny):
        assert verdict.violations
        said += verdict.violations
    else:
        assert (verdict.delay_s is not None) == (verdict.tier is PolicyTier.DELAY)
        assert (verdict.approval_s is not None) == (verdict.tier is PolicyTier.APPROVAL)
        assert bool(said) == (verdict.tier is not PolicyTier.INSTANT)
    assert all(each.message and each.rule for each in said)
