"""APPROVE_AMOUNT_LIMIT: an approval has an amount, and not any."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, TokenTransfer
from waiaas.policy.approve_amount_limit import parse
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.verdict import Deny, Verdict

Judge = Callable[..., Verdict]
MakeRule = Callable[..., PolicyRecord]

SPENDER = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
OTHER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
KIND = PolicyType.APPROVE_AMOUNT_LIMIT
MAINNET = Network(ChainType.SOLANA, NetworkType.MAINNET)
DEVNET = Network(ChainType.SOLANA, NetworkType.DEVNET)
TOKEN_ID = f"{CHAIN_IDS[MAINNET]}/token:{TOKEN}"


def denials(verdict: Verdict) -> list[tuple[Any, ...]]:
    found = verdict.violations if isinstance(verdict, Deny) else ()
    return [(each.bound, each.observed, each.max_allowed) for each in found if each.rule == KIND]


@pytest.mark.parametrize("bound", [0, 5, 2**63, 2**256 - 2])
def test_the_bound_is_inclusive(bound: int, rule: MakeRule, judge: Judge) -> None:
    policies = [rule(KIND, amount_max=str(bound), block_unlimited=False)]
    assert denials(judge(Approve(TOKEN, SPENDER, bound), policies)) == []
    above = judge(Approve(TOKEN, SPENDER, bound + 1), policies)
    assert denials(above) == [("amount_max", bound + 1, bound or None)]


@pytest.mark.parametrize(
    ("chain", "half"), [(ChainType.SOLANA, 2**63 - 1), (ChainType.ETHEREUM, 2**255 - 1)]
)
def test_an_unlimited_approval_is_denied(
    chain: ChainType, half: int, rule: MakeRule, judge: Judge
) -> None:
    network = Network(chain, NetworkType.MAINNET)
    policies = [rule(KIND, block_unlimited=True)]
    assert denials(judge(Approve(TOKEN, SPENDER, half), policies, network=network)) == []
    for amount in (half + 1, 2 * half + 1):
        found = denials(judge(Approve(TOKEN, SPENDER, amount), policies, network=network))
        assert found == [("block_unlimited", amount, half)]
    both = denials(judge(Approve(TOKEN, SPENDER, 2**64 - 1), [rule(KIND, amount_max="5")]))
    assert [bound for bound, _, _ in both] == ["amount_max", "block_unlimited"]


@pytest.mark.parametrize("token", [TOKEN, TOKEN_ID])
def test_a_limit_of_one_token_says_nothing_about_others(
    token: str, rule: MakeRule, judge: Judge
) -> None:
    policies = [rule(KIND, token=token, amount_max="5")]
    assert denials(judge(Approve(TOKEN, SPENDER, 6), policies))
    assert denials(judge(Approve(OTHER, SPENDER, 6), policies)) == []
    assert bool(denials(judge(Approve(TOKEN, SPENDER, 6), policies, network=DEVNET))) is (
        token == TOKEN
    )
    assert denials(judge(TokenTransfer(TOKEN, SPENDER, 6), policies)) == []
    assert denials(judge(Approve(OTHER, SPENDER, 6), [rule(KIND, amount_max="5")]))


def test_a_limit_is_known_by_its_token() -> None:
    document = read_document('{"amount_max": "5"}', is_global=False)
    assert (parse(document).subject, parse(document).assets) == ("", ())
    document.members["token"] = TOKEN
    assert parse(document).subject == TOKEN
    assert [asset.name for asset in parse(document).assets] == [TOKEN]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "rules.amount_max"),
        ({"token": TOKEN}, "rules.amount_max"),
        ({"amount_max": 5}, "rules.amount_max"),
        ({"block_unlimited": False}, "rules.block_unlimited"),
        ({"block_unlimited": "yes"}, "rules.block_unlimited"),
        ({"amount_max": "5", "token": "native"}, "rules.token"),
        ({"amount_max": "5", "tokens": [TOKEN]}, "rules.tokens"),
    ],
)
def test_a_limit_that_limits_nothing_is_refused(members: dict[str, Any], field: str) -> None:
    document = read_document("{}", is_global=False)
    document.members.update(members)
    with pytest.raises(RuleRefused) as refused:
        parse(document)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("most", "block_unlimited", "why"),
    [
        (2**63 - 2, True, None),
        (2**63 - 1, True, "above 9223372036854775807, block_unlimited denies already"),
        (2**64, True, "above 9223372036854775807, block_unlimited denies already"),
        (2**63 - 1, False, None),
        (2**64 - 2, False, None),
        (2**64 - 1, False, "18446744073709551615 is all that can be approved"),
        (2**256 - 1, False, "18446744073709551615 is all that can be approved"),
    ],
)
def test_a_bound_that_nothing_could_exceed_is_refused_when_it_is_set_and_read_where_it_stands(
    most: int,
    block_unlimited: bool,  # noqa: FBT001
    why: str | None,
    rule: MakeRule,
    judge: Judge,
) -> None:
    rules = json.dumps({"amount_max": str(most), "block_unlimited": block_unlimited})
    assert parse(read_document(rules, is_global=False)).amount_max == most
    largest = Approve(TOKEN, SPENDER, 2**64 - 1)
    found = judge(largest, [rule(KIND, **json.loads(rules))])
    denies = [bound for bound, _, _ in denials(found) if bound == "amount_max"]
    if why is None:
        parse(read_document(rules, is_global=False, is_new=True))
        assert denies
        return
    with pytest.raises(RuleRefused, match=why) as refused:
        parse(read_document(rules, is_global=False, is_new=True))
    assert refused.value.field == "rules.amount_max"
    assert not denies or block_unlimited
