"""What is said, whole: every denial, every call for care, every refusal of a rule, word by word.

An explanation that names the wrong bound or leaves out an amount is as wrong as a wrong verdict.
"""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.money import NATIVE
from waiaas.domain.records import PolicyRecord, SessionUse
from waiaas.domain.request import Approve, Batch, ContractCall, Request, TokenTransfer, Transfer
from waiaas.policy.document import RuleRefused
from waiaas.policy.policies import parse_rules
from waiaas.policy.session_constraints import parse_constraints
from waiaas.policy.verdict import DEFAULT_DENY, SESSION, Allow, Deny, Verdict, Violation

ALICE: Final = "So11111111111111111111111111111111111111112"
BOB: Final = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
TOKEN: Final = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
MAINNET: Final = Network(ChainType.SOLANA, NetworkType.MAINNET)
NOW_S: Final = 1_700_000_000
HALF: Final = (2**64 - 1) // 2

PAY: Final = Transfer(ALICE, 5)
SEND: Final = TokenTransfer(TOKEN, ALICE, 5)
CALL: Final = ContractCall(BOB, b"\x01\x02")
PERMIT: Final = Approve(TOKEN, BOB, 5)
PERMIT_ALL: Final = Approve(TOKEN, BOB, 2**64 - 1)

OPEN: Final = (
    (PolicyType.SPENDING_LIMIT, {"asset": "native", "instant_max": "100"}),
    (PolicyType.SPENDING_LIMIT, {"asset": TOKEN, "instant_max": "100"}),
    (PolicyType.CONTRACT_WHITELIST, {"contracts": [BOB], "tier": "INSTANT"}),
    (PolicyType.APPROVED_SPENDERS, {"spenders": [BOB], "tier": "INSTANT"}),
)
"""Policies that let everything above through at once, but for an unlimited approval."""

UNLIMITED: Final = Violation(
    ErrorCode.POLICY_DENIED,
    PolicyType.APPROVED_SPENDERS,
    f"an approval of {2**64 - 1} is as good as unlimited and needs a person",
    asset=TOKEN,
    bound="unlimited",
    limit=HALF,
    observed=2**64 - 1,
    max_allowed=HALF,
    tier=PolicyTier.APPROVAL,
)

Judge = Callable[..., Verdict]


def denied(kind: PolicyType | str, message: str, bound: str | None, **more: Any) -> Violation:
    return Violation(ErrorCode.POLICY_DENIED, kind, message, bound=bound, **more)


def exceeded(name: str, most: int, observed: int, **more: Any) -> Violation:
    message = f"{name} of native is {most}, and this payment would bring it to {observed}"
    return Violation(
        ErrorCode.SPENDING_LIMIT_EXCEEDED,
        PolicyType.SPENDING_LIMIT,
        message,
        asset=NATIVE,
        bound=name,
        limit=most,
        observed=observed,
        **more,
    )


def care(kind: PolicyType, message: str, tier: PolicyTier, **more: Any) -> Violation:
    return denied(kind, message, "tier", tier=tier, **more)


SAID: Final[dict[str, tuple[Request, PolicyType, dict[str, Any], ListedUsage, list[Violation]]]] = {
    "a tier's bound": (
        PAY,
        PolicyType.SPENDING_LIMIT,
        {
            "asset": "native",
            "instant_max": "2",
            "notify_max": "4",
            "delay_max": "9",
            "delay_seconds": 70,
            "approval_timeout": 90,
        },
        ListedUsage({NATIVE: Spending(going_out=1, waiting=7)}),
        [
            exceeded("instant_max", 2, 6, max_allowed=1, tier=PolicyTier.NOTIFY),
            exceeded("notify_max", 4, 6, max_allowed=3, tier=PolicyTier.DELAY, delay_s=70),
        ],
    ),
    "a tier's bound that only others bring it above": (
        PAY,
        PolicyType.SPENDING_LIMIT,
        {"asset": "native", "instant_max": "5", "approval_timeout": 90},
        ListedUsage({NATIVE: Spending(going_out=5)}),
        [
            exceeded(
                "instant_max", 5, 10, retry_at=NOW_S + 1, tier=PolicyTier.APPROVAL, approval_s=90
            )
        ],
    ),
    "one payment's bound": (
        PAY,
        PolicyType.SPENDING_LIMIT,
        {"asset": "native", "instant_max": "9", "per_transaction_max": "4"},
        ListedUsage({NATIVE: Spending(going_out=1, waiting=2)}),
        [exceeded("per_transaction_max", 4, 5, max_allowed=4)],
    ),
    "a window's bound, and when there is room again": (
        PAY,
        PolicyType.SPENDING_LIMIT,
        {"asset": "native", "instant_max": "90", "hourly_max": "9", "on_exceed": "deny"},
        ListedUsage({NATIVE: Spending(1, 2, (Spend(NOW_S - 60, 2), Spend(NOW_S - 50, 3)))}),
        [exceeded("hourly_max", 9, 13, max_allowed=1, retry_at=NOW_S - 50 + 3600)],
    ),
    "a window's bound that waits for a person": (
        PAY,
        PolicyType.SPENDING_LIMIT,
        {
            "asset": "native",
            "instant_max": "90",
            "daily_max": "4",
            "on_exceed": "approval",
            "approval_timeout": 8,
        },
        ListedUsage({}),
        [exceeded("daily_max", 4, 5, max_allowed=4, tier=PolicyTier.APPROVAL, approval_s=8)],
    ),
    "a window that has room once everything in it has left": (
        PAY,
        PolicyType.SPENDING_LIMIT,
        {"asset": "native", "instant_max": "90", "hourly_max": "5"},
        ListedUsage({NATIVE: Spending(spends=(Spend(NOW_S - 60, 2), Spend(NOW_S - 50, 3)))}),
        [exceeded("hourly_max", 5, 10, retry_at=NOW_S - 50 + 3600)],
    ),
    "recipients": (
        PAY,
        PolicyType.WHITELIST,
        {"addresses": [BOB]},
        ListedUsage({}),
        [denied(PolicyType.WHITELIST, f"{ALICE} is not on the list of recipients", "addresses")],
    ),
    "hours": (
        PAY,
        PolicyType.TIME_RESTRICTION,
        {
            "timezone": "Europe/Berlin",
            "windows": [{"days": ["wed"], "start": "06:00", "end": "07:00"}],
        },
        ListedUsage({}),
        [
            denied(
                PolicyType.TIME_RESTRICTION,
                "this is outside of the hours allowed (Europe/Berlin)",
                "windows",
                retry_at=1_700_024_400,
            )
        ],
    ),
    "a rate": (
        PAY,
        PolicyType.RATE_LIMIT,
        {"max_requests": 2, "window_seconds": 100},
        ListedUsage({}, admissions=(NOW_S - 99, NOW_S - 50, NOW_S)),
        [
            Violation(
                ErrorCode.RATE_LIMIT_EXCEEDED,
                PolicyType.RATE_LIMIT,
                "2 requests in 100 seconds is the most",
                bound="max_requests",
                limit=2,
                observed=4,
                retry_at=NOW_S + 50,
            )
        ],
    ),
    "tokens": (
        SEND,
        PolicyType.ALLOWED_TOKENS,
        {"tokens": [BOB]},
        ListedUsage({}),
        [denied(PolicyType.ALLOWED_TOKENS, f"{TOKEN} is not on the list of tokens", "tokens")],
    ),
    "contracts": (
        CALL,
        PolicyType.CONTRACT_WHITELIST,
        {"contracts": [BOB], "approval_timeout": 7},
        ListedUsage({}),
        [
            care(
                PolicyType.CONTRACT_WHITELIST,
                f"a call of {BOB} needs APPROVAL",
                PolicyTier.APPROVAL,
                approval_s=7,
            )
        ],
    ),
    "methods": (
        CALL,
        PolicyType.METHOD_WHITELIST,
        {"contracts": [{"address": BOB, "methods": ["0x0103"]}]},
        ListedUsage({}),
        [
            denied(
                PolicyType.METHOD_WHITELIST, f"this method of {BOB} is not on the list", "methods"
            )
        ],
    ),
    "spenders": (
        PERMIT,
        PolicyType.APPROVED_SPENDERS,
        {"spenders": [BOB], "tier": "DELAY", "delay_seconds": 77},
        ListedUsage({}),
        [
            care(
                PolicyType.APPROVED_SPENDERS,
                f"an approval for {BOB} needs DELAY",
                PolicyTier.DELAY,
                delay_s=77,
            )
        ],
    ),
    "spenders of everything": (
        PERMIT_ALL,
        PolicyType.APPROVED_SPENDERS,
        {"spenders": [BOB], "approval_timeout": 7},
        ListedUsage({}),
        [
            UNLIMITED,
            care(
                PolicyType.APPROVED_SPENDERS,
                f"an approval for {BOB} needs APPROVAL",
                PolicyTier.APPROVAL,
                approval_s=7,
            ),
            Violation(
                UNLIMITED.code,
                UNLIMITED.rule,
                UNLIMITED.message,
                asset=TOKEN,
                bound="unlimited",
                limit=HALF,
                observed=2**64 - 1,
                max_allowed=HALF,
                tier=PolicyTier.APPROVAL,
                approval_s=7,
            ),
        ],
    ),
    "an approval's amount": (
        PERMIT,
        PolicyType.APPROVE_AMOUNT_LIMIT,
        {"amount_max": "4"},
        ListedUsage({}),
        [
            denied(
                PolicyType.APPROVE_AMOUNT_LIMIT,
                "an approval of 5 is above 4 (amount_max)",
                "amount_max",
                asset=TOKEN,
                limit=4,
                observed=5,
                max_allowed=4,
            )
        ],
    ),
    "an unlimited approval": (
        PERMIT_ALL,
        PolicyType.APPROVE_AMOUNT_LIMIT,
        {"block_unlimited": True},
        ListedUsage({}),
        [
            UNLIMITED,
            denied(
                PolicyType.APPROVE_AMOUNT_LIMIT,
                f"an approval of {2**64 - 1} is above {HALF} (block_unlimited)",
                "block_unlimited",
                asset=TOKEN,
                limit=HALF,
                observed=2**64 - 1,
                max_allowed=HALF,
            ),
        ],
    ),
    "the care of every approval": (
        PERMIT,
        PolicyType.APPROVE_TIER_OVERRIDE,
        {"tier": "NOTIFY"},
        ListedUsage({}),
        [
            care(
                PolicyType.APPROVE_TIER_OVERRIDE,
                "every approval needs at least NOTIFY",
                PolicyTier.NOTIFY,
            )
        ],
    ),
}
"""What is asked, the one rule beside `OPEN`, what was used, and all that stands against it."""


@pytest.mark.parametrize("name", SAID)
def test_what_a_rule_says_is_all_of_it(
    name: str, judge: Judge, rule: Callable[..., PolicyRecord]
) -> None:
    request, kind, members, usage, said = SAID[name]
    verdict = judge(
        request, [*(rule(k, **m) for k, m in OPEN), rule(kind, **members)], usage, now_s=NOW_S
    )
    found = verdict.violations if isinstance(verdict, Deny) else ()
    assert sorted([*found, *verdict.escalations], key=repr) == sorted(said, key=repr)


def test_what_is_said_comes_in_the_order_of_priority(
    judge: Judge, rule: Callable[..., PolicyRecord]
) -> None:
    tokens = rule(PolicyType.ALLOWED_TOKENS, tokens=[BOB])
    amount = rule(PolicyType.APPROVE_AMOUNT_LIMIT, amount_max="1")
    grants = [rule(kind, **members) for kind, members in OPEN]
    for first, second in ((tokens, amount), (amount, tokens)):
        policies = [second, *grants, first._replace(priority=7)]
        verdict = judge(PERMIT, policies)
        assert isinstance(verdict, Deny)
        assert [each.rule for each in verdict.violations] == [first.type, second.type]


@pytest.mark.parametrize(
    ("bounds", "tier"),
    [
        ({"instant_max": "9"}, PolicyTier.INSTANT),
        ({"instant_max": "1", "notify_max": "9"}, PolicyTier.NOTIFY),
        ({"instant_max": "1", "delay_max": "9"}, PolicyTier.DELAY),
        ({"instant_max": "1"}, PolicyTier.APPROVAL),
    ],
)
def test_what_is_allowed_says_within_which_hours_with_whatever_care(
    bounds: dict[str, str], tier: PolicyTier, judge: Judge, rule: Callable[..., PolicyRecord]
) -> None:
    always = {
        "timezone": "UTC",
        "windows": [
            {
                "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
                "start": "00:00",
                "end": "24:00",
            }
        ],
    }
    hours = rule(PolicyType.TIME_RESTRICTION, **always)
    verdict = judge(PAY, [rule(PolicyType.SPENDING_LIMIT, asset="native", **bounds), hours])
    assert isinstance(verdict, Allow)
    assert verdict.tier is tier
    schedule = parse_rules(hours.type, hours.rules, is_global=False).schedule
    assert verdict.schedules == (schedule,)


def test_a_policy_that_cannot_be_read_is_named_with_the_reason(
    judge: Judge, record: Callable[..., PolicyRecord]
) -> None:
    broken = record(PolicyType.WHITELIST, "{")
    verdict = judge(PAY, [broken])
    assert isinstance(verdict, Deny)
    said = f"policy {broken.id} cannot be evaluated (rules: not JSON), so nothing is allowed"
    assert verdict.violations[0] == denied(PolicyType.WHITELIST, said, None)


BOUND: Final = {"maxAmountPerTx": "4", "maxTotalAmount": "7"}
USED: Final = SessionUse(transactions=3, base_units=6)


def of_session(message: str, bound: str | None, **more: Any) -> Violation:
    return Violation(ErrorCode.CONSTRAINT_VIOLATED, SESSION, message, bound=bound, **more)


OF_SESSION: Final[dict[str, tuple[Request, dict[str, Any], list[Violation]]]] = {
    "amounts": (
        PAY,
        BOUND,
        [
            of_session(
                "maxAmountPerTx of native is 4, and this payment would bring it to 5",
                "maxAmountPerTx",
                asset=NATIVE,
                limit=4,
                observed=5,
                max_allowed=4,
            ),
            of_session(
                "maxTotalAmount of native is 7, and this payment would bring it to 11",
                "maxTotalAmount",
                asset=NATIVE,
                limit=7,
                observed=11,
                max_allowed=1,
            ),
        ],
    ),
    "an amount that is used up": (
        Transfer(ALICE, 1),
        {"maxTotalAmount": "6"},
        [
            of_session(
                "maxTotalAmount of native is 6, and this payment would bring it to 7",
                "maxTotalAmount",
                asset=NATIVE,
                limit=6,
                observed=7,
            )
        ],
    ),
    "a number": (
        PAY,
        {"maxTransactions": 3},
        [
            of_session(
                "this session may make 3 transactions, and has made them",
                "maxTransactions",
                limit=3,
                observed=4,
            )
        ],
    ),
    "operations": (
        PAY,
        {"allowedOperations": ["APPROVE"]},
        [of_session("TRANSFER is not an operation of this session", "allowedOperations")],
    ),
    "tokens": (
        SEND,
        {"allowedTokens": [BOB]},
        [of_session(f"{TOKEN} is not a token of this session", "allowedTokens")],
    ),
    "destinations": (
        PAY,
        {"allowedDestinations": [BOB]},
        [of_session(f"{ALICE} is not on this session's list", "allowedDestinations")],
    ),
    "contracts": (
        CALL,
        {"allowedContracts": [ALICE]},
        [of_session(f"{BOB} is not on this session's list", "allowedContracts")],
    ),
    "spenders": (
        PERMIT,
        {"allowedSpenders": [ALICE]},
        [of_session(f"{BOB} is not on this session's list", "allowedSpenders")],
    ),
    "constraints that cannot be read": (
        PAY,
        {"x": 1},
        [
            of_session(
                "the session's constraints cannot be evaluated (constraints.x: is not a member of"
                " this rule (known: allowedContracts, allowedDestinations, allowedOperations,"
                " allowedSpenders, allowedTokens, maxAmountPerTx, maxTotalAmount,"
                " maxTransactions)), so nothing is allowed",
                None,
            )
        ],
    ),
}


@pytest.mark.parametrize("name", OF_SESSION)
def test_what_a_session_says_is_all_of_it(
    name: str, judge: Judge, rule: Callable[..., PolicyRecord]
) -> None:
    request, members, said = OF_SESSION[name]
    policies = [rule(kind, **rules) for kind, rules in OPEN]
    verdict = judge(request, policies, ListedUsage(used=USED), constraints=json.dumps(members))
    assert isinstance(verdict, Deny)
    assert list(verdict.violations) == said


@pytest.mark.parametrize(
    ("request_", "rent", "bound"),
    [
        (Transfer(ALICE, 5), 0, "maxAmountPerTx"),
        (Transfer(ALICE, 4), 0, None),
        (Transfer(ALICE, 3), 1, None),
        (Transfer(ALICE, 4), 1, "maxAmountPerTx"),
        (Batch((Transfer(ALICE, 3), Transfer(ALICE, 2))), 0, "maxAmountPerTx"),
        (Batch((Transfer(ALICE, 3), Transfer(ALICE, 1))), 0, None),
        (SEND, 0, "allowedTokens"),
        (PERMIT, 0, "allowedTokens"),
        (ContractCall(BOB, b"", 5), 0, "maxAmountPerTx"),
    ],
)
def test_what_was_admitted_is_judged_again_without_the_totals_it_is_among(
    request_: Request, rent: int, bound: str | None
) -> None:
    rule = parse_constraints(json.dumps(BOUND | {"maxTransactions": 1}))
    parts = request_.parts if isinstance(request_, Batch) else (request_,)
    amount = rent + sum(part.base_units for part in parts)
    said = {
        None: [],
        "maxAmountPerTx": [
            of_session(
                f"maxAmountPerTx of native is 4, and this payment is {amount}", "maxAmountPerTx"
            )
        ],
        "allowedTokens": [
            of_session(f"{TOKEN} is not a token of this session", "allowedTokens"),
        ],
    }
    assert list(rule.judge_again(parts, rent=rent)) == said[bound]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (PAY, ["TRANSFER: there is no SPENDING_LIMIT of native"]),
        (SEND, [f"TOKEN_TRANSFER: there is no SPENDING_LIMIT of {TOKEN}"]),
        (PERMIT, [f"APPROVE: no APPROVED_SPENDERS lists {BOB}"]),
        (
            ContractCall(BOB, b"", 5),
            [
                f"CONTRACT_CALL: no CONTRACT_WHITELIST lists {BOB}",
                "CONTRACT_CALL: there is no SPENDING_LIMIT of native",
            ],
        ),
    ],
)
def test_what_is_not_granted_says_which_rule_would(
    request_: Request, said: list[str], judge: Judge
) -> None:
    verdict = judge(request_, [])
    assert isinstance(verdict, Deny)
    wanted = [f"no policy grants this agent a {words}" for words in said]
    assert list(verdict.violations) == [denied(DEFAULT_DENY, words, None) for words in wanted]


CARE: Final[dict[str, list[tuple[dict[str, Any], str]]]] = {
    "tier": [
        ({"tier": "SOON"}, "must be one of INSTANT, NOTIFY, DELAY, APPROVAL"),
        ({"tier": 1}, "must be one of INSTANT, NOTIFY, DELAY, APPROVAL"),
    ],
    "delay_seconds": [
        ({"delay_seconds": 5}, "is never used with the tier APPROVAL"),
        ({"tier": "NOTIFY", "delay_seconds": 5}, "is never used with the tier NOTIFY"),
        ({"tier": "DELAY", "delay_seconds": 0}, "must be a whole number from 1 to 604800"),
        ({"tier": "DELAY", "delay_seconds": 604_801}, "must be a whole number from 1 to 604800"),
    ],
    "approval_timeout": [
        ({"tier": "DELAY", "approval_timeout": 5}, "is never used with the tier DELAY"),
        ({"approval_timeout": 0}, "must be a whole number from 1 to 604800"),
        ({"approval_timeout": 604_801}, "must be a whole number from 1 to 604800"),
    ],
}
"""By field, what of a tier and its times is refused, and why."""

BASE: Final[dict[PolicyType, dict[str, Any]]] = {
    PolicyType.SPENDING_LIMIT: {"asset": "native", "instant_max": "5"},
    PolicyType.WHITELIST: {"addresses": [ALICE]},
    PolicyType.TIME_RESTRICTION: {
        "timezone": "UTC",
        "windows": [{"days": ["mon"], "start": "09:00", "end": "17:00"}],
    },
    PolicyType.RATE_LIMIT: {"max_requests": 1, "window_seconds": 1},
    PolicyType.ALLOWED_TOKENS: {"tokens": [TOKEN]},
    PolicyType.CONTRACT_WHITELIST: {"contracts": [BOB]},
    PolicyType.METHOD_WHITELIST: {"contracts": [{"address": BOB, "methods": ["0x01"]}]},
    PolicyType.APPROVED_SPENDERS: {"spenders": [BOB]},
    PolicyType.APPROVE_AMOUNT_LIMIT: {"amount_max": "5"},
    PolicyType.APPROVE_TIER_OVERRIDE: {"tier": "APPROVAL"},
}
"""The least that each type is written with."""

NOT_A_TIME: Final = "must be a time of day such as 09:30"
NOT_A_ZONE: Final = "must be UTC or a place in IANA's database of time zones, such as Europe/Berlin"
NOT_AN_AMOUNT: Final = "must be base units as digits in a string"
NOT_AN_ADDRESS: Final = "is not a Solana address: the base58 text of 32 bytes"


def window(**members: Any) -> dict[str, Any]:
    return {"windows": [{"days": ["mon"], "start": "09:00", "end": "17:00"} | members]}


REFUSED: Final[list[tuple[PolicyType, dict[str, Any], str, str]]] = [
    (PolicyType.SPENDING_LIMIT, {"asset": 5}, "asset", "must be a text"),
    (
        PolicyType.SPENDING_LIMIT,
        {"asset": "gold"},
        "asset",
        "must be 'native', the address of a token, or a CAIP-19 id",
    ),
    (PolicyType.SPENDING_LIMIT, {"instant_max": 5}, "instant_max", NOT_AN_AMOUNT),
    (
        PolicyType.SPENDING_LIMIT,
        {"instant_max": "05"},
        "instant_max",
        "an amount has no leading zeros",
    ),
    (
        PolicyType.SPENDING_LIMIT,
        {"asset": "solana:x/y"},
        "asset",
        "an asset is chain/namespace:reference, as in CAIP-19",
    ),
    (PolicyType.SPENDING_LIMIT, {"daily_max": 5}, "daily_max", NOT_AN_AMOUNT),
    (PolicyType.SPENDING_LIMIT, {"per_transaction_max": 5}, "per_transaction_max", NOT_AN_AMOUNT),
    (
        PolicyType.SPENDING_LIMIT,
        {"notify_max": "4"},
        "notify_max",
        "is less than instant_max: a more careful tier reaches at least as far",
    ),
    (
        PolicyType.SPENDING_LIMIT,
        {"hourly_max": "4", "daily_max": "3"},
        "daily_max",
        "is less than hourly_max: the shorter window could never be filled",
    ),
    (
        PolicyType.SPENDING_LIMIT,
        {"delay_seconds": 5},
        "delay_max",
        "is missing, and delay_seconds means nothing without it",
    ),
    (
        PolicyType.SPENDING_LIMIT,
        {"delay_max": "9", "delay_seconds": 0},
        "delay_seconds",
        "must be a whole number from 1 to 604800",
    ),
    (
        PolicyType.SPENDING_LIMIT,
        {"approval_timeout": 604_801},
        "approval_timeout",
        "must be a whole number from 1 to 604800",
    ),
    (
        PolicyType.SPENDING_LIMIT,
        {"on_exceed": "ask"},
        "on_exceed",
        "must be one of deny, approval",
    ),
    (PolicyType.WHITELIST, {"addresses": ["bob"]}, "addresses[0]", NOT_AN_ADDRESS),
    (PolicyType.WHITELIST, {"addresses": []}, "addresses", "must be a list of 1 to 100 entries"),
    (PolicyType.WHITELIST, {"addresses": [BOB, 1]}, "addresses[1]", "must be a text"),
    (PolicyType.WHITELIST, {"addresses": [BOB, BOB]}, "addresses[1]", "is listed twice"),
    (PolicyType.TIME_RESTRICTION, {"timezone": 1}, "timezone", "must be a text"),
    (PolicyType.TIME_RESTRICTION, {"timezone": "Mars"}, "timezone", NOT_A_ZONE),
    (PolicyType.TIME_RESTRICTION, {"timezone": "Europe/Atlantis"}, "timezone", NOT_A_ZONE),
    (
        PolicyType.TIME_RESTRICTION,
        {"windows": [{}] * 22},
        "windows",
        "must be a list of 1 to 21 entries",
    ),
    (PolicyType.TIME_RESTRICTION, {"windows": [1]}, "windows[0]", "must be an object"),
    (
        PolicyType.TIME_RESTRICTION,
        window(at=1),
        "windows[0].at",
        "is not a member of this rule (known: days, end, start)",
    ),
    (
        PolicyType.TIME_RESTRICTION,
        window(days=["mon", "someday"]),
        "windows[0].days[1]",
        "must be one of mon, tue, wed, thu, fri, sat, sun",
    ),
    (PolicyType.TIME_RESTRICTION, window(start=9), "windows[0].start", "must be a text"),
    (PolicyType.TIME_RESTRICTION, window(start="24:00"), "windows[0].start", NOT_A_TIME),
    (PolicyType.TIME_RESTRICTION, window(end="9:00"), "windows[0].end", NOT_A_TIME),
    (
        PolicyType.TIME_RESTRICTION,
        window(end="09:00"),
        "windows[0].end",
        "is the start; a whole day is 00:00 to 24:00",
    ),
    (
        PolicyType.RATE_LIMIT,
        {"max_requests": 1001},
        "max_requests",
        "must be a whole number from 1 to 1000",
    ),
    (
        PolicyType.RATE_LIMIT,
        {"max_requests": 0},
        "max_requests",
        "must be a whole number from 1 to 1000",
    ),
    (
        PolicyType.RATE_LIMIT,
        {"window_seconds": 0},
        "window_seconds",
        "must be a whole number from 1 to 2592000",
    ),
    (
        PolicyType.RATE_LIMIT,
        {"window_seconds": 2_592_001},
        "window_seconds",
        "must be a whole number from 1 to 2592000",
    ),
    (
        PolicyType.ALLOWED_TOKENS,
        {"tokens": ["native"]},
        "tokens[0]",
        "is not a token but the asset of the network itself",
    ),
    (PolicyType.ALLOWED_TOKENS, {"tokens": [TOKEN, TOKEN]}, "tokens[1]", "is listed twice"),
    (
        PolicyType.ALLOWED_TOKENS,
        {"tokens": [TOKEN, f"{CHAIN_IDS[MAINNET]}/token:{TOKEN}"]},
        "tokens[1]",
        "is listed twice",
    ),
    (PolicyType.CONTRACT_WHITELIST, {"contracts": ["x"]}, "contracts[0]", NOT_AN_ADDRESS),
    (
        PolicyType.METHOD_WHITELIST,
        {"contracts": [{"address": "x", "methods": ["0x01"]}]},
        "contracts[0].address",
        NOT_AN_ADDRESS,
    ),
    (
        PolicyType.METHOD_WHITELIST,
        {"contracts": [{"address": BOB, "methods": ["0x01", "0xA1"]}]},
        "contracts[0].methods[1]",
        "must be 0x and 1 to 8 bytes in lower-case hexadecimal digits",
    ),
    (
        PolicyType.METHOD_WHITELIST,
        {"contracts": [{"address": BOB, "methods": ["0x01"]}] * 2},
        "contracts[1].address",
        "is listed twice",
    ),
    (
        PolicyType.METHOD_WHITELIST,
        {"contracts": [{"address": BOB, "methods": ["0x01"], "x": 1}]},
        "contracts[0].x",
        "is not a member of this rule (known: address, methods)",
    ),
    (PolicyType.APPROVED_SPENDERS, {"spenders": ["x"]}, "spenders[0]", NOT_AN_ADDRESS),
    (PolicyType.APPROVE_AMOUNT_LIMIT, {"amount_max": 5}, "amount_max", NOT_AN_AMOUNT),
    (
        PolicyType.APPROVE_AMOUNT_LIMIT,
        {"block_unlimited": 1},
        "block_unlimited",
        "must be true or false",
    ),
    (
        PolicyType.APPROVE_AMOUNT_LIMIT,
        {"token": "native"},
        "token",
        "is not a token but the asset of the network itself",
    ),
    (
        PolicyType.APPROVE_TIER_OVERRIDE,
        {"tier": "INSTANT"},
        "tier",
        "INSTANT restricts nothing: this rule only raises the tier",
    ),
    *(
        (kind, members, field, reason)
        for kind in (PolicyType.CONTRACT_WHITELIST, PolicyType.APPROVED_SPENDERS)
        for field, rows in CARE.items()
        for members, reason in rows
    ),
    *(
        (PolicyType.APPROVE_TIER_OVERRIDE, {"tier": "APPROVAL"} | members, field, reason)
        for field, rows in CARE.items()
        for members, reason in rows
    ),
]
"""Type, what is changed of its `BASE`, the field that is refused, and the reason."""


@pytest.mark.parametrize(("kind", "members", "field", "reason"), REFUSED)
def test_what_a_rule_is_refused_for_is_named(
    kind: PolicyType, members: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_rules(kind, json.dumps(BASE[kind] | members), is_global=False)
    assert (refused.value.field, refused.value.reason) == (f"rules.{field}", reason)


def test_an_asset_of_every_agent_needs_its_network() -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_rules(
            PolicyType.ALLOWED_TOKENS, json.dumps(BASE[PolicyType.ALLOWED_TOKENS]), is_global=True
        )
    assert str(refused.value) == "rules.tokens[0]: must be a CAIP-19 id in a rule for every agent"


@pytest.mark.parametrize(
    ("kind", "missing", "field", "reason"),
    [
        (PolicyType.SPENDING_LIMIT, "asset", "asset", "must be a text"),
        (PolicyType.SPENDING_LIMIT, "instant_max", "instant_max", NOT_AN_AMOUNT),
        (PolicyType.TIME_RESTRICTION, "timezone", "timezone", "must be a text"),
        (
            PolicyType.APPROVE_AMOUNT_LIMIT,
            "amount_max",
            "amount_max",
            "is missing, and so is block_unlimited",
        ),
        (PolicyType.APPROVE_TIER_OVERRIDE, "tier", "tier", "is missing"),
    ],
)
def test_what_a_rule_lacks_is_named(
    kind: PolicyType, missing: str, field: str, reason: str
) -> None:
    members = {name: value for name, value in BASE[kind].items() if name != missing}
    with pytest.raises(RuleRefused) as refused:
        parse_rules(kind, json.dumps(members), is_global=False)
    assert (refused.value.field, refused.value.reason) == (f"rules.{field}", reason)


def test_a_limit_that_limits_nothing_is_refused() -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_rules(PolicyType.APPROVE_AMOUNT_LIMIT, '{"block_unlimited": false}', is_global=False)
    said = "rules.block_unlimited: is false, so without amount_max nothing is limited"
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (
            PolicyType.SPENDING_LIMIT,
            (
                "approval_timeout, asset, daily_max, delay_max, delay_seconds, hourly_max, "
                "instant_max, monthly_max, notify_max, on_exceed, per_transaction_max, weekly_max"
            ),
        ),
        (PolicyType.WHITELIST, "addresses"),
        (PolicyType.TIME_RESTRICTION, "timezone, windows"),
        (PolicyType.RATE_LIMIT, "max_requests, window_seconds"),
        (PolicyType.ALLOWED_TOKENS, "tokens"),
        (PolicyType.CONTRACT_WHITELIST, "approval_timeout, contracts, delay_seconds, tier"),
        (PolicyType.METHOD_WHITELIST, "contracts"),
        (PolicyType.APPROVED_SPENDERS, "approval_timeout, delay_seconds, spenders, tier"),
        (PolicyType.APPROVE_AMOUNT_LIMIT, "amount_max, block_unlimited, token"),
        (PolicyType.APPROVE_TIER_OVERRIDE, "approval_timeout, delay_seconds, tier"),
    ],
)
def test_a_member_that_is_not_known_is_named_beside_those_that_are(
    kind: PolicyType, known: str
) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_rules(kind, json.dumps(BASE[kind] | {"f\u00fcr": 1}), is_global=False)
    assert refused.value.field == r"rules.f\xfcr"
    assert refused.value.reason == f"is not a member of this rule (known: {known})"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "rules: not JSON"),
        ("[" * 100_000, "rules: not JSON"),
        ("[1]", "rules: not an object"),
        ('{"a": 1, "a": 1}', "rules.a: given twice"),
    ],
)
def test_what_is_no_rule_at_all_says_so(text: str, said: str) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_rules(PolicyType.RATE_LIMIT, text, is_global=False)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"maxTransactions": 0}, "maxTransactions: must be a whole number from 1 to 1000000000"),
        (
            {"allowedOperations": ["TRANSFER", "BATCH"]},
            "allowedOperations[1]: must be one of TRANSFER, TOKEN_TRANSFER, CONTRACT_CALL, APPROVE",
        ),
        ({"maxAmountPerTx": 1}, f"maxAmountPerTx: {NOT_AN_AMOUNT}"),
        ({"maxTotalAmount": 1}, f"maxTotalAmount: {NOT_AN_AMOUNT}"),
        ({"allowedTokens": ["x"]}, f"allowedTokens[0]: {NOT_AN_ADDRESS}"),
    ],
)
def test_what_a_session_is_refused_for_is_named(members: dict[str, Any], said: str) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_constraints(json.dumps(members))
    assert str(refused.value) == f"constraints.{said}"
