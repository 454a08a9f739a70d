"""CONTRACT_WHITELIST: grants calls of its contracts, and says with how much care."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.programs import COVERED_PROGRAMS
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, Batch, ContractCall, Transfer
from waiaas.policy.contract_whitelist import parse
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.verdict import DEFAULT_DENY, Allow, Deny, Verdict

Judge = Callable[..., Verdict]
MakeRule = Callable[..., PolicyRecord]

PROGRAM = "So11111111111111111111111111111111111111112"
OTHER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
CALL = ContractCall(PROGRAM, b"\x01")
KIND = PolicyType.CONTRACT_WHITELIST


def test_a_call_needs_a_person_unless_the_rule_says_otherwise(rule: MakeRule, judge: Judge) -> None:
    verdict = judge(CALL, [rule(KIND, contracts=[PROGRAM])])
    assert isinstance(verdict, Allow)
    assert (verdict.tier, verdict.approval_s) == (PolicyTier.APPROVAL, 3600)
    assert [(each.rule, each.bound) for each in verdict.escalations] == [(KIND, "tier")]


@pytest.mark.parametrize(
    ("members", "times"),
    [
        ({"tier": "INSTANT"}, ("INSTANT", None, None)),
        ({"tier": "NOTIFY"}, ("NOTIFY", None, None)),
        ({"tier": "DELAY", "delay_seconds": 90}, ("DELAY", 90, None)),
        ({"tier": "APPROVAL", "approval_timeout": 90}, ("APPROVAL", None, 90)),
    ],
)
def test_the_rule_says_with_how_much_care(
    members: dict[str, Any], times: tuple[Any, ...], rule: MakeRule, judge: Judge
) -> None:
    verdict = judge(CALL, [rule(KIND, contracts=[PROGRAM], **members)])
    assert isinstance(verdict, Allow)
    assert (verdict.tier, verdict.delay_s, verdict.approval_s) == times


@pytest.mark.parametrize(
    "asked",
    [
        ContractCall(OTHER, b"\x01"),
        Transfer(PROGRAM, 1),
        Approve(OTHER, PROGRAM, 1),
        Batch((CALL, ContractCall(OTHER, b""))),
    ],
)
def test_nothing_else_is_granted(asked: Any, rule: MakeRule, judge: Judge) -> None:
    verdict = judge(asked, [rule(KIND, contracts=[PROGRAM], tier="INSTANT")])
    assert isinstance(verdict, Deny)
    assert {each.rule for each in verdict.violations} == {DEFAULT_DENY}


def test_two_lists_grant_together_and_the_more_careful_one_holds(
    rule: MakeRule, judge: Judge
) -> None:
    lists = [
        rule(KIND, contracts=[PROGRAM, OTHER], tier="INSTANT"),
        rule(KIND, contracts=[PROGRAM], tier="NOTIFY"),
    ]
    tiers = [judge(ContractCall(to, b""), lists) for to in (PROGRAM, OTHER)]
    assert [each.tier for each in tiers if isinstance(each, Allow)] == ["NOTIFY", "INSTANT"]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "rules.contracts"),
        ({"contracts": []}, "rules.contracts"),
        ({"contracts": ["x"]}, "rules.contracts[0]"),
        ({"contracts": [PROGRAM], "tier": "NONE"}, "rules.tier"),
        ({"contracts": [PROGRAM], "label": "x"}, "rules.label"),
    ],
)
def test_a_list_that_says_nothing_clear_is_refused(members: dict[str, Any], field: str) -> None:
    document = read_document("{}", is_global=False)
    document.members.update(members)
    with pytest.raises(RuleRefused) as refused:
        parse(document)
    assert refused.value.field == field


@pytest.mark.parametrize("program", COVERED_PROGRAMS)
def test_a_program_that_no_request_can_call_is_refused_when_it_is_set_and_read_where_it_stands(
    program: str,
) -> None:
    rules = json.dumps({"contracts": [PROGRAM, program]})
    assert program in parse(read_document(rules, is_global=False)).contracts
    with pytest.raises(RuleRefused, match=f"names {program}, which no request can call: ") as told:
        parse(read_document(rules, is_global=False, is_new=True))
    assert told.value.field == "rules.contracts"
    parse(read_document(json.dumps({"contracts": [PROGRAM]}), is_global=False, is_new=True))
