"""ALLOWED_TOKENS: other tokens are neither sent nor approved."""

from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Approve, ContractCall, TokenTransfer, Transfer
from waiaas.policy.allowed_tokens import parse
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.verdict import Deny, Verdict

ALICE = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
MAINNET = Network(ChainType.SOLANA, NetworkType.MAINNET)
DEVNET = Network(ChainType.SOLANA, NetworkType.DEVNET)
TOKEN_ID = f"{CHAIN_IDS[MAINNET]}/token:{TOKEN}"


@pytest.mark.parametrize("listed", [TOKEN, TOKEN_ID])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (TokenTransfer(TOKEN, ALICE, 1), False),
        (TokenTransfer(ALICE, ALICE, 1), True),
        (Approve(TOKEN, ALICE, 1), False),
        (Approve(ALICE, ALICE, 1), True),
        (Transfer(ALICE, 1), False),
        (ContractCall(ALICE, b""), False),
    ],
)
def test_tokens_that_are_not_listed_are_denied(
    asked: Any,
    expected: bool,  # noqa: FBT001
    listed: str,
    *,
    rule: Callable[..., PolicyRecord],
    judge: Callable[..., Verdict],
) -> None:
    verdict = judge(asked, [rule(PolicyType.ALLOWED_TOKENS, tokens=[listed])])
    assert isinstance(verdict, Deny)
    assert (PolicyType.ALLOWED_TOKENS in {each.rule for each in verdict.violations}) is expected


def test_a_token_of_another_network_is_another_token(
    rule: Callable[..., PolicyRecord], judge: Callable[..., Verdict]
) -> None:
    policies = [rule(PolicyType.ALLOWED_TOKENS, tokens=[TOKEN_ID])]
    verdict = judge(TokenTransfer(TOKEN, ALICE, 1), policies, network=DEVNET)
    assert isinstance(verdict, Deny)
    assert PolicyType.ALLOWED_TOKENS in {each.rule for each in verdict.violations}


@pytest.mark.parametrize("tokens", [[], ["native"], [TOKEN, TOKEN_ID], ["USDC"], TOKEN])
def test_a_list_that_says_nothing_clear_is_refused(tokens: Any) -> None:
    document = read_document("{}", is_global=False)
    document.members["tokens"] = tokens
    with pytest.raises(RuleRefused, match=r"^rules\.tokens"):
        parse(document)


def test_the_assets_it_names_are_its_tokens() -> None:
    document = read_document("{}", is_global=False)
    document.members["tokens"] = [TOKEN, ALICE]
    assert [asset.name for asset in parse(document).assets] == [TOKEN, ALICE]
