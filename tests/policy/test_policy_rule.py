"""Rules: what each kind of request needs, and what care is asked for."""

import json
from typing import Any

import pytest

from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.request import Approve, ContractCall, Part, TokenTransfer, Transfer
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.rule import (
    Call,
    Care,
    Need,
    Permit,
    Rule,
    Spend,
    ask_for,
    needs,
    outflow,
    read_care,
)

ALICE = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"

PARTS: list[tuple[Part, tuple[Need, ...], dict[str, int]]] = [
    (Transfer(ALICE, 5), (Spend("native"),), {"native": 5}),
    (TokenTransfer(TOKEN, ALICE, 5), (Spend(TOKEN),), {TOKEN: 5}),
    (ContractCall(ALICE, b""), (Call(ALICE),), {}),
    (ContractCall(ALICE, b"", 5), (Call(ALICE), Spend("native")), {"native": 5}),
    (Approve(TOKEN, ALICE, 5), (Permit(ALICE),), {}),
]


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_everything_that_leaves_or_is_let_in_must_be_granted(number: int) -> None:
    part, needed, leaves = PARTS[number]
    assert needs(part) == needed
    for asset in ("native", TOKEN, ALICE):
        assert outflow(part, asset) == leaves.get(asset, 0)


def test_needs_of_different_kinds_are_never_taken_for_each_other() -> None:
    assert len({type(need) for need in (Spend(ALICE), Call(ALICE), Permit(ALICE))}) == 3


def test_a_rule_says_nothing_unless_its_kind_does() -> None:
    silent = Rule()
    assert (silent.assets, silent.subject, silent.schedule) == ((), "", None)


def care(**members: Any) -> Care:
    document = read_document(json.dumps(members), is_global=False)
    return read_care(document, default=PolicyTier.APPROVAL)


def test_care_is_read_with_the_time_of_its_tier() -> None:
    assert care() == Care(PolicyTier.APPROVAL, None, None)
    assert care(approval_timeout=60) == Care(PolicyTier.APPROVAL, None, 60)
    assert care(tier="NOTIFY") == Care(PolicyTier.NOTIFY, None, None)
    assert care(tier="DELAY", delay_seconds=1) == Care(PolicyTier.DELAY, 1, None)
    assert care(tier="DELAY") == Care(PolicyTier.DELAY, None, None)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"tier": "LOW"}, "rules.tier"),
        ({"tier": "instant"}, "rules.tier"),
        ({"tier": None}, "rules.tier"),
        ({"tier": "DELAY", "delay_seconds": 0}, "rules.delay_seconds"),
        ({"tier": "DELAY", "delay_seconds": 604_801}, "rules.delay_seconds"),
        ({"tier": "DELAY", "delay_seconds": 5, "approval_timeout": 60}, "rules.approval_timeout"),
        ({"tier": "NOTIFY", "delay_seconds": 5}, "rules.delay_seconds"),
        ({"delay_seconds": 5}, "rules.delay_seconds"),
        ({"approval_timeout": 0}, "rules.approval_timeout"),
    ],
)
def test_a_time_that_is_missing_wrong_or_never_used_is_refused(
    members: dict[str, Any], field: str
) -> None:
    with pytest.raises(RuleRefused) as refused:
        care(**members)
    assert refused.value.field == field


def test_at_once_needs_no_asking() -> None:
    kind = PolicyType.CONTRACT_WHITELIST
    assert list(ask_for(Care(PolicyTier.INSTANT, None, None), kind, "why")) == []
    (asked,) = ask_for(Care(PolicyTier.DELAY, 5, None), kind, "why")
    assert (asked.tier, asked.delay_s, asked.rule, asked.message) == ("DELAY", 5, kind, "why")
