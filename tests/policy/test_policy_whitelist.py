"""WHITELIST: transfers go to nobody else."""

from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.enums import PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, Batch, ContractCall, TokenTransfer, Transfer
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.verdict import Deny, Verdict
from waiaas.policy.whitelist import parse

Judge = Callable[..., Verdict]
MakeRule = Callable[..., PolicyRecord]

ALICE = "So11111111111111111111111111111111111111112"
BOB = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


def denied(verdict: Verdict) -> bool:
    rules = {each.rule for each in verdict.violations} if isinstance(verdict, Deny) else set()
    return PolicyType.WHITELIST in rules


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Transfer(ALICE, 1), False),
        (Transfer(BOB, 1), True),
        (TokenTransfer(TOKEN, ALICE, 1), False),
        (TokenTransfer(TOKEN, BOB, 1), True),
        (ContractCall(BOB, b"", 1), False),  # not a recipient: what it may do, others say
        (Approve(TOKEN, BOB, 1), False),
        (Batch((Transfer(ALICE, 1), TokenTransfer(TOKEN, BOB, 1))), True),
    ],
)
def test_recipients_that_are_not_listed_are_denied(
    asked: Any,
    expected: bool,  # noqa: FBT001
    rule: MakeRule,
    judge: Judge,
) -> None:
    assert denied(judge(asked, [rule(PolicyType.WHITELIST, addresses=[ALICE])])) is expected


def test_of_two_lists_the_recipients_in_both_are_left(rule: MakeRule, judge: Judge) -> None:
    lists = [rule(PolicyType.WHITELIST, addresses=each) for each in ([ALICE, BOB], [BOB, TOKEN])]
    assert [denied(judge(Transfer(to, 1), lists)) for to in (ALICE, BOB, TOKEN)] == [
        True,
        False,
        True,
    ]


def test_a_denial_says_who_and_that_no_amount_and_no_time_helps(
    rule: MakeRule, judge: Judge
) -> None:
    verdict = judge(Transfer(BOB, 1), [rule(PolicyType.WHITELIST, addresses=[ALICE])])
    assert isinstance(verdict, Deny)
    (why,) = (each for each in verdict.violations if each.rule == PolicyType.WHITELIST)
    assert BOB in why.message
    assert (why.bound, why.max_allowed, why.retry_at) == ("addresses", None, None)


@pytest.mark.parametrize("addresses", [[], [ALICE] * 2, ["bob"], [f"{ALICE} "], ALICE, None])
def test_a_list_that_says_nothing_clear_is_refused(addresses: Any) -> None:
    document = read_document("{}", is_global=False)
    document.members["addresses"] = addresses
    with pytest.raises(RuleRefused, match=r"^rules\.addresses"):
        parse(document)
