"""APPROVE_TIER_OVERRIDE: raises the tier of approvals, and never lowers it."""

from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, Transfer
from waiaas.policy.approve_tier_override import parse
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.verdict import Allow, Verdict

SPENDER = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
CARE = list(PolicyTier)


def members(tier: str) -> dict[str, Any]:
    return {"tier": tier} | ({"delay_seconds": 90} if tier == "DELAY" else {})


@pytest.mark.parametrize("granted", PolicyTier)
@pytest.mark.parametrize("raised", [tier for tier in PolicyTier if tier != "INSTANT"])
def test_the_more_careful_of_the_two_holds(
    granted: PolicyTier,
    raised: PolicyTier,
    *,
    rule: Callable[..., PolicyRecord],
    limit: Callable[..., PolicyRecord],
    judge: Callable[..., Verdict],
) -> None:
    policies = [
        rule(PolicyType.APPROVED_SPENDERS, spenders=[SPENDER], **members(granted)),
        rule(PolicyType.APPROVE_TIER_OVERRIDE, **members(raised)),
        limit(instant_max=1),
    ]
    verdict = judge(Approve(TOKEN, SPENDER, 5), policies)
    assert isinstance(verdict, Allow)
    assert verdict.tier is max(granted, raised, key=CARE.index)
    assert judge(Transfer(SPENDER, 1), policies) == Allow(PolicyTier.INSTANT)


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({}, "rules.tier"),
        ({"tier": "INSTANT"}, "rules.tier"),
        ({"tier": "NONE"}, "rules.tier"),
        ({"tier": "NOTIFY", "approval_timeout": 60}, "rules.approval_timeout"),
        ({"default_tier": "APPROVAL"}, "rules.default_tier"),
    ],
)
def test_a_tier_that_restricts_nothing_is_refused(rules: dict[str, Any], field: str) -> None:
    document = read_document("{}", is_global=False)
    document.members.update(rules)
    with pytest.raises(RuleRefused) as refused:
        parse(document)
    assert refused.value.field == field
