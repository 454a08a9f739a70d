"""A session's constraints: each bound to the unit, each list, and how they meet the policies."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.policy.listed import ListedUsage

from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.records import UNUSED_SESSION, PolicyRecord, SessionUse
from waiaas.domain.request import Approve, Batch, ContractCall, Part, TokenTransfer, Transfer
from waiaas.policy.document import RuleRefused
from waiaas.policy.rule import Case
from waiaas.policy.session_constraints import (
    SessionConstraints,
    parse_constraints,
    write_constraints,
)
from waiaas.policy.verdict import SESSION, Allow, Deny, Verdict

ALICE = "So11111111111111111111111111111111111111112"
BOB = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"

PAY = Transfer(ALICE, 5)
SEND = TokenTransfer(TOKEN, ALICE, 5)
CALL = ContractCall(ALICE, b"")
PERMIT = Approve(TOKEN, ALICE, 5)
EVERYTHING = (PAY, SEND, CALL, PERMIT)

Judge = Callable[..., Verdict]


def bounds(
    parts: tuple[Part, ...], used: SessionUse | None = None, **members: Any
) -> list[str | None]:
    """Return the bounds that stand against *parts*, in order."""
    rule = parse_constraints(json.dumps(members))
    case = Case(
        network=Network(ChainType.SOLANA, NetworkType.MAINNET),
        parts=parts,
        usage=ListedUsage(used=used or UNUSED_SESSION),
        now_s=0,
    )
    found = [each for part in parts for each in rule.judge_part(part, case)]
    found += rule.judge_whole(case)
    assert all((each.code, each.rule) == (ErrorCode.CONSTRAINT_VIOLATED, SESSION) for each in found)
    assert all(each.tier is None and each.retry_at is None for each in found)
    return [each.bound for each in found]


def test_without_any_it_allows_whatever_the_policies_allow() -> None:
    assert parse_constraints("{}") == SessionConstraints()
    for part in EVERYTHING:
        assert bounds((part,)) == []


@pytest.mark.parametrize(
    ("members", "refused"),
    [
        ({"allowedOperations": ["TRANSFER"]}, (SEND, CALL, PERMIT)),
        ({"allowedOperations": ["TOKEN_TRANSFER", "TRANSFER"]}, (CALL, PERMIT)),
        ({"allowedOperations": ["CONTRACT_CALL"]}, (PAY, SEND, PERMIT)),
        ({"allowedOperations": ["APPROVE"]}, (PAY, SEND, CALL)),
        ({"allowedDestinations": [ALICE]}, ()),
        ({"allowedDestinations": [BOB]}, EVERYTHING),
        ({"allowedDestinations": [BOB], "allowedContracts": [ALICE]}, (PAY, SEND, PERMIT)),
        ({"allowedDestinations": [BOB], "allowedSpenders": [ALICE]}, (PAY, SEND, CALL)),
        ({"allowedContracts": [BOB]}, (CALL,)),
        ({"allowedSpenders": [BOB]}, (PERMIT,)),
        ({"allowedTokens": [BOB]}, (SEND, PERMIT)),
        ({"allowedTokens": [TOKEN, BOB]}, ()),
        ({"maxAmountPerTx": "5"}, (SEND, PERMIT)),
        ({"maxTotalAmount": "5"}, (SEND, PERMIT)),
        ({"maxTotalAmount": "5", "allowedTokens": [TOKEN]}, ()),
        ({"maxTransactions": 1}, ()),
    ],
)
def test_what_is_not_on_a_list_is_refused_by_the_name_of_the_list(
    members: dict[str, Any], refused: tuple[Part, ...]
) -> None:
    assert tuple(part for part in EVERYTHING if bounds((part,), **members)) == refused
    for part in refused:
        assert bounds((part,), **members)[0] in {*members, "allowedTokens", *_OWN}


_OWN = ("allowedContracts", "allowedSpenders", "allowedDestinations")


@pytest.mark.parametrize(
    ("amount", "used", "expected"),
    [
        (10, 0, []),
        (11, 0, ["maxAmountPerTx"]),
        (10, 20, []),
        (10, 21, ["maxTotalAmount"]),
        (11, 20, ["maxAmountPerTx", "maxTotalAmount"]),
        (1, 30, ["maxTotalAmount"]),
    ],
)
def test_amounts_are_bounded_to_the_unit(amount: int, used: int, expected: list[str]) -> None:
    members = {"maxAmountPerTx": "10", "maxTotalAmount": "30"}
    usage = SessionUse(0, used)
    assert bounds((Transfer(ALICE, amount),), usage, **members) == expected
    call = ContractCall(ALICE, b"", amount)  # Money that goes along counts alike.
    assert bounds((call,), usage, **members) == expected


def test_the_parts_of_a_batch_are_counted_together() -> None:
    parts = (Transfer(ALICE, 6), Transfer(BOB, 5))
    assert bounds(parts, maxAmountPerTx="11") == []
    assert bounds(parts, maxAmountPerTx="10") == ["maxAmountPerTx"]
    assert bounds(parts, allowedDestinations=[ALICE]) == ["allowedDestinations"]


@pytest.mark.parametrize(("made", "passes"), [(0, True), (1, True), (2, False), (3, False)])
def test_transactions_are_counted(made: int, *, passes: bool) -> None:
    usage = SessionUse(made, 0)
    for part in EVERYTHING:
        assert (bounds((part,), usage, maxTransactions=2) == []) is passes


def test_what_moves_nothing_is_within_every_amount() -> None:
    usage = SessionUse(0, 99)
    assert bounds((CALL,), usage, maxAmountPerTx="0", maxTotalAmount="0") == []


def evaluated(
    judge: Judge, limit: Callable[..., PolicyRecord], amount: int, constraints: str, used: int = 0
) -> Verdict:
    usage = ListedUsage(used=SessionUse(0, used))
    policies = [limit(instant_max=10)]
    return judge(Transfer(ALICE, amount), policies, usage, constraints=constraints)


def test_they_restrict_beside_the_policies_and_grant_nothing(
    judge: Judge, limit: Callable[..., PolicyRecord]
) -> None:
    text = json.dumps({"maxTotalAmount": "8"})
    assert isinstance(evaluated(judge, limit, 8, text), Allow)
    verdict = evaluated(judge, limit, 8, text, used=1)
    assert isinstance(verdict, Deny)
    assert (verdict.max_allowed, verdict.retry_at) == (7, None)
    assert isinstance(evaluated(judge, limit, 7, text, used=1), Allow)
    assert isinstance(judge(PAY, [], constraints="{}"), Deny)


def test_constraints_that_cannot_be_read_deny_everything(
    judge: Judge, limit: Callable[..., PolicyRecord]
) -> None:
    verdict = evaluated(judge, limit, 1, '{"maxTotalAmount": 5}')
    assert isinstance(verdict, Deny)
    (violation,) = verdict.violations
    assert (violation.code, violation.rule) == (ErrorCode.CONSTRAINT_VIOLATED, SESSION)
    assert verdict.max_allowed is None


def test_a_batch_is_refused_for_a_part_and_says_which(
    judge: Judge, limit: Callable[..., PolicyRecord]
) -> None:
    batch = Batch((Transfer(ALICE, 1), Transfer(BOB, 1)))
    text = json.dumps({"allowedDestinations": [ALICE]})
    verdict = judge(batch, [limit(instant_max=10)], constraints=text)
    assert isinstance(verdict, Deny)
    assert [(each.part, each.bound) for each in verdict.violations] == [(1, "allowedDestinations")]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "constraints"),
        ("[]", "constraints"),
        ('{"x": 1}', "constraints.x"),
        ('{"maxAmountPerTx": "1", "maxAmountPerTx": "2"}', "constraints.maxAmountPerTx"),
        ('{"maxAmountPerTx": 1}', "constraints.maxAmountPerTx"),
        ('{"maxAmountPerTx": "-1"}', "constraints.maxAmountPerTx"),
        ('{"maxTotalAmount": "01"}', "constraints.maxTotalAmount"),
        ('{"maxTransactions": 0}', "constraints.maxTransactions"),
        ('{"maxTransactions": "1"}', "constraints.maxTransactions"),
        ('{"maxTransactions": true}', "constraints.maxTransactions"),
        ('{"allowedOperations": []}', "constraints.allowedOperations"),
        ('{"allowedOperations": ["BATCH"]}', "constraints.allowedOperations[0]"),
        ('{"allowedOperations": ["TRANSFER", "X"]}', "constraints.allowedOperations[1]"),
        ('{"allowedDestinations": ["x"]}', "constraints.allowedDestinations[0]"),
        ('{"allowedTokens": "x"}', "constraints.allowedTokens"),
        ('{"allowedContracts": null}', "constraints.allowedContracts"),
        ('{"allowedSpenders": [1]}', "constraints.allowedSpenders[0]"),
    ],
)
def test_what_nobody_could_keep_is_refused_by_the_name_of_the_member(text: str, field: str) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_constraints(text)
    assert refused.value.field == field


def test_constraints_that_name_no_network_are_stored_as_they_are_given() -> None:
    for text in ("{}", '{"allowedTokens":  ["' + TOKEN + '"]}'):
        assert write_constraints(text) == (text, frozenset())


def test_a_token_is_of_the_network_that_it_was_named_with() -> None:
    mainnet, devnet = (
        Network(ChainType.SOLANA, each) for each in (NetworkType.MAINNET, NetworkType.DEVNET)
    )
    tokens = [f"{CHAIN_IDS[mainnet]}/token:{TOKEN}", ALICE]
    written = write_constraints(json.dumps({"maxTransactions": 1, "allowedTokens": tokens}))
    stored = {"allowedTokens": [TOKEN, ALICE], "maxTransactions": 1}
    assert written.text == json.dumps(stored), "in the order in which everything is stored"
    assert parse_constraints(written.text).tokens == frozenset((TOKEN, ALICE))
    written.require_on(mainnet)
    with pytest.raises(RuleRefused, match="allowedTokens: names a token of another network"):
        written.require_on(devnet)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[]", "constraints"),
        ('{"allowedTokens": ["no token"]}', "constraints.allowedTokens[0]"),
        ('{"allowedTokens": []}', "constraints.allowedTokens"),
        ('{"maxTransactions": 0}', "constraints.maxTransactions"),
    ],
)
def test_what_is_not_written_is_refused_by_the_name_of_the_member(text: str, field: str) -> None:
    with pytest.raises(RuleRefused) as refused:
        write_constraints(text)
    assert refused.value.field == field
