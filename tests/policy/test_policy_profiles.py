"""Profiles: every rule parses for any network, and each trusts no less than the one before."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from waiaas.domain.enums import PolicyType
from waiaas.domain.profile import ProfileName
from waiaas.policy.policies import parse_rules
from waiaas.policy.profiles import PROFILES
from waiaas.policy.spending_limit import SpendingLimit


def limit_of(name: ProfileName) -> SpendingLimit:
    rules = dict(PROFILES[name].rules())
    rule = parse_rules(PolicyType.SPENDING_LIMIT, rules[PolicyType.SPENDING_LIMIT], is_global=False)
    assert isinstance(rule, SpendingLimit)
    return rule


@pytest.mark.parametrize("name", ProfileName)
def test_every_rule_of_a_profile_is_one_that_an_operator_could_set(name: ProfileName) -> None:
    profile = PROFILES[name]
    assert profile.purpose.endswith(".")
    for kind, rules in profile.rules():
        parse_rules(kind, rules, is_global=False)
    kinds = [kind for kind, _ in profile.rules()]
    assert kinds.count(PolicyType.SPENDING_LIMIT) == 1


def test_each_profile_trusts_more_than_the_one_before_it() -> None:
    for less, more in pairwise(ProfileName):
        careful, bold = limit_of(less), limit_of(more)
        assert all(careful.tier_max[name] < bound for name, bound in bold.tier_max.items())
        assert all(careful.window_max[name] < bound for name, bound in bold.window_max.items())


@pytest.mark.parametrize("name", ProfileName)
def test_every_profile_bounds_the_day_and_the_month(name: ProfileName) -> None:
    assert {"daily_max", "monthly_max"} <= set(limit_of(name).window_max)


def test_a_document_is_stored_as_canonical_json() -> None:
    for name in ProfileName:
        for _, rules in PROFILES[name].rules():
            assert rules == json.dumps(json.loads(rules), sort_keys=True)


def test_the_page_tells_every_bound_of_every_profile() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
    for name, profile in PROFILES.items():
        assert f"- `{name}`: {profile.purpose}" in page
    members = {
        (kind, member)
        for profile in PROFILES.values()
        for kind, document in profile.documents
        for member in document
    }
    documents = [dict(PROFILES[name].documents) for name in ProfileName]
    for kind, member in members:
        shown = [str(each.get(kind, {}).get(member, "none")) for each in documents]
        assert f"| `{kind}` | `{member}` | {' | '.join(shown)} |" in page
