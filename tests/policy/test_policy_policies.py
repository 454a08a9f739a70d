"""The ten kinds of policy: each is read, each has an example in the documentation that works."""

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waiaas.domain.enums import PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, ContractCall, TokenTransfer, Transfer
from waiaas.policy.document import RuleRefused
from waiaas.policy.policies import PARSERS, RULES_KEPT_MAX, parse_policy, parse_rules
from waiaas.policy.rule import Grant, Rule
from waiaas.policy.verdict import DEFAULT_DENY, Deny, Verdict

PAGE = (Path(__file__).parents[2] / "docs/policies.md").read_text()
EXAMPLES = dict(re.findall(r"^## ([A-Z_]+)\n.*?```json\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))

ALICE = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"

GRANTS = {
    PolicyType.SPENDING_LIMIT,
    PolicyType.CONTRACT_WHITELIST,
    PolicyType.APPROVED_SPENDERS,
}


def test_every_type_is_read() -> None:
    assert set(PARSERS) == set(PolicyType)


def test_every_type_has_its_section_and_example_in_the_documentation() -> None:
    assert set(EXAMPLES) == set(PolicyType)


@pytest.mark.parametrize("kind", PolicyType)
def test_the_documented_example_is_read_and_only_grants_are_grants(kind: PolicyType) -> None:
    rule = parse_rules(kind, EXAMPLES[kind], is_global=False)
    assert isinstance(rule, Grant) is (kind in GRANTS)


@pytest.mark.parametrize("kind", PolicyType)
def test_a_rule_is_kept_as_it_was_read_and_nobody_can_change_it(kind: PolicyType) -> None:
    """The same object serves every later decision."""
    rule = parse_rules(kind, EXAMPLES[kind], is_global=False)
    assert parse_rules(kind, EXAMPLES[kind], is_global=False) is rule
    hours = () if rule.schedule is None else (rule.schedule, *rule.schedule.windows)
    for part in (rule, *rule.assets, *hours):
        for field in fields(cast("Any", part)):
            with pytest.raises(FrozenInstanceError):
                setattr(part, field.name, None)


def test_what_is_kept_is_told_apart_by_all_that_it_means() -> None:
    """A global rule may not say `native`: that would be another coin for each agent."""
    rules = '{"asset": "native", "instant_max": "5"}'
    assert isinstance(parse_rules(PolicyType.SPENDING_LIMIT, rules, is_global=False), Grant)
    for _ in range(2):
        with pytest.raises(RuleRefused):
            parse_rules(PolicyType.SPENDING_LIMIT, rules, is_global=True)
        with pytest.raises(RuleRefused):
            parse_rules(PolicyType.WHITELIST, rules, is_global=False)
    assert parse_rules.cache_info().maxsize == RULES_KEPT_MAX


@pytest.mark.parametrize("kind", PolicyType)
def test_every_documented_member_is_known_and_every_known_member_documented(
    kind: PolicyType,
) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_rules(kind, '{"x": 1}', is_global=False)
    known = re.findall(r"\w+", refused.value.reason.split("known: ")[1])
    section = PAGE.split(f"## {kind}\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(documented) == sorted(known)


@pytest.mark.parametrize("kind", PolicyType)
def test_the_documented_example_alone_is_judged(
    kind: PolicyType, record: Callable[..., PolicyRecord], judge: Callable[..., Verdict]
) -> None:
    """What nothing grants is denied by default; what the example says is judged besides."""
    for asked in (
        Transfer(ALICE, 1),
        TokenTransfer(TOKEN, ALICE, 1),
        ContractCall(ALICE, b"", 1),
        Approve(TOKEN, ALICE, 1),
    ):
        verdict = judge(asked, [record(kind, EXAMPLES[kind])])
        rules = {each.rule for each in verdict.violations} if isinstance(verdict, Deny) else set()
        assert rules <= {kind, DEFAULT_DENY}
        assert kind in GRANTS or DEFAULT_DENY in rules


@pytest.mark.parametrize("kind", PolicyType)
@pytest.mark.parametrize("broken", ["", "[]", "null", '{"unknown": 1}', '{"a": 1, "a": 1}'])
def test_what_no_rule_says_is_refused_for_every_type(kind: PolicyType, broken: str) -> None:
    with pytest.raises(RuleRefused):
        parse_rules(kind, broken, is_global=False)


def test_a_type_nobody_knows_is_refused(record: Callable[..., PolicyRecord]) -> None:
    unknown: Any = "ALLOW_ALL"
    with pytest.raises(RuleRefused, match=r"^type: "):
        parse_policy(record(unknown, "{}"))


def test_a_rule_of_no_agent_is_a_rule_of_all(record: Callable[..., PolicyRecord]) -> None:
    rules = '{"asset": "native", "instant_max": "1"}'
    assert isinstance(parse_policy(record(PolicyType.SPENDING_LIMIT, rules)), Grant)
    with pytest.raises(RuleRefused, match=r"^rules\.asset: .*CAIP-19"):
        parse_policy(record(PolicyType.SPENDING_LIMIT, rules, None))


MEMBERS = {
    "asset", "instant_max", "addresses", "timezone", "windows", "max_requests", "window_seconds",
    "tokens", "contracts", "spenders", "amount_max", "tier",
}  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["native", "5", ALICE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(PolicyType), st.dictionaries(st.sampled_from(sorted(MEMBERS)), VALUES))
@example(PolicyType.WHITELIST, {"addresses": [ALICE]})
def test_any_rules_are_read_or_refused_and_nothing_else(
    kind: PolicyType, rules: dict[str, Any]
) -> None:
    try:
        rule = parse_rules(kind, json.dumps(rules), is_global=False)
    except RuleRefused:
        return
    assert isinstance(rule, Rule)
