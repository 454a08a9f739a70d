"""APPROVED_SPENDERS: grants approvals, and a person looks at every unlimited one."""

from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyTier, PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, ContractCall, Transfer
from waiaas.policy.approved_spenders import parse
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.verdict import DEFAULT_DENY, Allow, Deny, Verdict

Judge = Callable[..., Verdict]
MakeRule = Callable[..., PolicyRecord]

SPENDER = "So11111111111111111111111111111111111111112"
OTHER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
KIND = PolicyType.APPROVED_SPENDERS
MAINNETS = {chain: Network(chain, NetworkType.MAINNET) for chain in ChainType}


def tier(verdict: Verdict) -> PolicyTier:
    assert isinstance(verdict, Allow)
    return verdict.tier


def test_an_approval_needs_a_person_unless_the_rule_says_otherwise(
    rule: MakeRule, judge: Judge
) -> None:
    asked = Approve(TOKEN, SPENDER, 5)
    assert tier(judge(asked, [rule(KIND, spenders=[SPENDER])])) == "APPROVAL"
    for name in ("INSTANT", "NOTIFY"):
        assert tier(judge(asked, [rule(KIND, spenders=[SPENDER], tier=name)])) == name


@pytest.mark.parametrize(
    ("chain", "half"), [(ChainType.SOLANA, 2**63 - 1), (ChainType.ETHEREUM, 2**255 - 1)]
)
def test_an_unlimited_approval_always_needs_a_person(
    chain: ChainType, half: int, rule: MakeRule, judge: Judge
) -> None:
    policies = [rule(KIND, spenders=[SPENDER], tier="INSTANT")]

    def ask(base_units: int) -> Verdict:
        return judge(Approve(TOKEN, SPENDER, base_units), policies, network=MAINNETS[chain])

    assert ask(half) == Allow(PolicyTier.INSTANT)
    for amount in (half + 1, 2 * half, 2 * half + 1):
        verdict = ask(amount)
        assert tier(verdict) is PolicyTier.APPROVAL
        (why,) = verdict.escalations
        assert (why.bound, why.observed, why.max_allowed) == ("unlimited", amount, half)


@pytest.mark.parametrize(
    "asked", [Approve(TOKEN, OTHER, 1), Transfer(SPENDER, 1), ContractCall(SPENDER, b"")]
)
def test_nothing_else_is_granted(asked: Any, rule: MakeRule, judge: Judge) -> None:
    verdict = judge(asked, [rule(KIND, spenders=[SPENDER])])
    assert isinstance(verdict, Deny)
    assert [each.rule for each in verdict.violations] == [DEFAULT_DENY]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "rules.spenders"),
        ({"spenders": []}, "rules.spenders"),
        ({"spenders": [SPENDER, SPENDER]}, "rules.spenders[1]"),
        ({"spenders": [SPENDER], "maxAmount": "1"}, "rules.maxAmount"),
    ],
)
def test_a_list_that_says_nothing_clear_is_refused(members: dict[str, Any], field: str) -> None:
    document = read_document("{}", is_global=False)
    document.members.update(members)
    with pytest.raises(RuleRefused) as refused:
        parse(document)
    assert refused.value.field == field
