"""Rent of new token accounts leaves only within what the limits of the network's asset say."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.domain.addresses import solana_address
from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyTier, PolicyType
from waiaas.domain.money import NATIVE
from waiaas.domain.records import PolicyRecord, SessionUse
from waiaas.domain.request import Approve, Batch, Request, TokenTransfer, Transfer
from waiaas.policy.verdict import SESSION, Allow, Deny, Rent, Verdict

A, B, TOKEN, OTHER = (solana_address(bytes([n]) * 32) for n in range(1, 5))
NOW_S = 1_700_000_000
RENT = 2_039_280
SENDS = TokenTransfer(TOKEN, A, 5)
TWO = Batch((SENDS, TokenTransfer(TOKEN, B, 5)))
WITH_SOL = Batch((SENDS, Transfer(B, 10)))

Judge = Callable[..., Verdict]
Limit = Callable[..., PolicyRecord]
Rules = dict[str, Any]


def rent(verdict: Verdict) -> Rent:
    assert isinstance(verdict, Allow)
    assert verdict.rent is not None
    return verdict.rent


def test_without_a_limit_of_the_networks_own_asset_no_rent_leaves(
    judge: Judge, limit: Limit
) -> None:
    found = rent(judge(SENDS, [limit(TOKEN, instant_max=5)]))
    assert found == Rent(0, "there is no SPENDING_LIMIT of native")
    assert found.message == (
        "none is set aside: a recipient without an account for the token is refused, because"
        " there is no SPENDING_LIMIT of native"
    )


def test_with_one_the_most_that_it_may_come_to_is_set_aside(judge: Judge, limit: Limit) -> None:
    policies = [limit(TOKEN, instant_max=10), limit(instant_max=2 * RENT)]
    assert rent(judge(SENDS, policies)) == Rent(RENT)
    assert rent(judge(TWO, policies)) == Rent(2 * RENT)
    words = "up to 2039280 of native is set aside for new token accounts"
    assert rent(judge(SENDS, policies)).message == words


def test_a_limit_of_another_network_grants_none(judge: Judge, limit: Limit) -> None:
    elsewhere = limit("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1/slip44:501", instant_max=RENT)
    policies = [limit(TOKEN, instant_max=5), elsewhere]
    assert rent(judge(SENDS, policies)).base_units == 0
    devnet = Network(ChainType.SOLANA, NetworkType.DEVNET)
    assert rent(judge(SENDS, policies, network=devnet)).base_units == RENT


@pytest.mark.parametrize("request_", [Transfer(A, 5), Approve(TOKEN, A, 5)])
def test_what_pays_no_tokens_is_not_asked_for_rent(
    request_: Request, judge: Judge, limit: Limit, rule: Callable[..., PolicyRecord]
) -> None:
    spenders = rule(PolicyType.APPROVED_SPENDERS, spenders=[A])
    verdict = judge(request_, [limit(instant_max=5), spenders])
    assert isinstance(verdict, Allow)
    assert verdict.rent is None


def test_what_is_denied_has_no_rent(judge: Judge, limit: Limit) -> None:
    policies = [limit(TOKEN, instant_max=5, per_transaction_max=4), limit(instant_max=RENT)]
    assert isinstance(judge(SENDS, policies), Deny)


AMPLE = {"instant_max": 10 * RENT}


@pytest.mark.parametrize(
    ("request_", "bounds", "going_out", "waiting", "moved", "has_room"),
    [
        (SENDS, [{"instant_max": RENT}], 0, 0, 0, True),
        (SENDS, [{"instant_max": RENT - 1}], 0, 0, 0, False),
        (SENDS, [{"instant_max": RENT}], 1, 0, 0, False),
        (SENDS, [{"instant_max": RENT}], 0, 1, 1, True),
        (SENDS, [{"instant_max": RENT - 1, "notify_max": RENT}], 0, 0, 0, False),
        (SENDS, [AMPLE | {"per_transaction_max": RENT}], 0, 0, 0, True),
        (SENDS, [AMPLE | {"per_transaction_max": RENT - 1}], 0, 0, 0, False),
        (WITH_SOL, [AMPLE | {"per_transaction_max": RENT + 10}], 0, 0, 0, True),
        (WITH_SOL, [AMPLE | {"per_transaction_max": RENT + 9}], 0, 0, 0, False),
        (TWO, [AMPLE | {"per_transaction_max": 2 * RENT - 1}], 0, 0, 0, False),
        (SENDS, [AMPLE | {"hourly_max": RENT + 6}], 1, 2, 3, True),
        (SENDS, [AMPLE | {"hourly_max": RENT + 5}], 1, 2, 3, False),
        (SENDS, [AMPLE | {"monthly_max": RENT + 5}], 1, 2, 3, False),
        (SENDS, [AMPLE | {"daily_max": RENT - 1, "on_exceed": "approval"}], 0, 0, 0, False),
        (SENDS, [AMPLE, {"instant_max": RENT - 1}], 0, 0, 0, False),
        (SENDS, [AMPLE, AMPLE | {"weekly_max": RENT - 1}], 0, 0, 0, False),
    ],
)
def test_rent_needs_room_under_every_bound_of_every_limit_beside_all_else(  # noqa: PLR0917 -- rows
    request_: Request,
    bounds: list[Rules],
    going_out: int,
    waiting: int,
    moved: int,
    has_room: bool,  # noqa: FBT001 -- likewise
    *,
    judge: Judge,
    limit: Limit,
) -> None:
    usage = ListedUsage({NATIVE: Spending(going_out, waiting, (Spend(NOW_S - 60, moved),))})
    policies = [limit(TOKEN, instant_max=10), *(limit(**each) for each in bounds)]
    verdict = judge(request_, policies, usage, now_s=NOW_S)
    assert isinstance(verdict, Allow)
    assert verdict.tier is PolicyTier.INSTANT, "rent raises no tier"
    assert bool(rent(verdict).base_units) == has_room
    assert (rent(verdict).objection is None) == has_room


@pytest.mark.parametrize("tier", PolicyTier)
@pytest.mark.parametrize("needed", PolicyTier)
def test_rent_leaves_with_as_much_care_as_so_much_sol_needs_and_never_asks_for_more(
    tier: PolicyTier, needed: PolicyTier, judge: Judge, limit: Limit
) -> None:
    tiers = list(PolicyTier)

    def ladder(asset: str, least: PolicyTier, amount: int) -> PolicyRecord:
        """Return a limit under which *amount* needs at least this tier."""
        names = ("instant_max", "notify_max", "delay_max")
        at = tiers.index(least)
        bounds = {name: amount if place >= at else 1 for place, name in enumerate(names)}
        return limit(asset, **bounds)

    verdict = judge(SENDS, [ladder(TOKEN, tier, 5), ladder(NATIVE, needed, RENT)])
    assert isinstance(verdict, Allow)
    assert verdict.tier is tier
    assert bool(rent(verdict).base_units) == (tiers.index(needed) <= tiers.index(tier))


def test_what_an_approval_lets_past_a_bound_is_let_past_it_with_its_rent(
    judge: Judge, limit: Limit
) -> None:
    native = limit(instant_max=RENT, daily_max=0, on_exceed="approval")
    by_a_person = [limit(TOKEN, instant_max=1), native]
    assert rent(judge(SENDS, by_a_person)) == Rent(RENT)
    assert rent(judge(SENDS, [limit(TOKEN, instant_max=5), native])).base_units == 0


@pytest.mark.parametrize(
    ("constraints", "used", "objection"),
    [
        ({"maxAmountPerTx": str(RENT + 10)}, 0, None),
        ({"maxAmountPerTx": str(RENT + 9)}, 0, "maxAmountPerTx of native is 2039289"),
        ({"maxTotalAmount": str(RENT + 15)}, 5, None),
        ({"maxTotalAmount": str(RENT + 14)}, 5, "maxTotalAmount of native is 2039294"),
        ({"maxTransactions": 1}, 0, None),
    ],
)
def test_a_sessions_constraints_on_amounts_hold_for_rent_as_well(
    constraints: Rules, used: int, objection: str | None, judge: Judge, limit: Limit
) -> None:
    policies = [limit(TOKEN, instant_max=10), limit(**AMPLE)]
    document = json.dumps({"allowedTokens": [TOKEN], **constraints})
    usage = ListedUsage(used=SessionUse(0, used))
    found = rent(judge(WITH_SOL, policies, usage, constraints=document))
    if objection is None:
        assert found == Rent(RENT)
    else:
        words = f"with a rent of {RENT}, SESSION: {objection}"
        assert (found.objection or "").startswith(words)
        assert found.rule == SESSION


def test_lists_and_hours_and_numbers_of_requests_are_not_asked_again_for_rent(
    judge: Judge, limit: Limit, rule: Callable[..., PolicyRecord]
) -> None:
    lists = [
        rule(PolicyType.WHITELIST, addresses=[A]),
        rule(PolicyType.ALLOWED_TOKENS, tokens=[TOKEN]),
        rule(PolicyType.RATE_LIMIT, max_requests=1, window_seconds=60),
    ]
    policies = [limit(TOKEN, instant_max=5), limit(instant_max=RENT), *lists]
    assert rent(judge(SENDS, policies)) == Rent(RENT)


BOUNDS = ("instant_max", "daily_max", "per_transaction_max")
AMOUNTS = st.integers(0, 6).map(lambda halves: halves * RENT // 2)


@given(
    own=AMOUNTS,
    going_out=AMOUNTS,
    moved=AMOUNTS,
    bounds=st.lists(st.fixed_dictionaries(dict.fromkeys(BOUNDS, AMOUNTS)), min_size=1, max_size=3),
)
def test_what_is_let_through_with_its_rent_would_be_let_through_as_a_payment_of_both(
    own: int, going_out: int, moved: int, bounds: list[Rules], *, judge: Judge, limit: Limit
) -> None:
    usage = ListedUsage({NATIVE: Spending(going_out, 0, (Spend(NOW_S - 60, moved),))})
    policies = [limit(TOKEN, instant_max=5), *(limit(**each) for each in bounds)]
    request = Batch((SENDS, Transfer(B, own))) if own else SENDS
    verdict = judge(request, policies, usage, now_s=NOW_S)
    if not isinstance(verdict, Allow):
        return
    both = judge(Batch((SENDS, Transfer(B, own + RENT))), policies, usage, now_s=NOW_S)
    tiers = list(PolicyTier)
    is_let_through = isinstance(both, Allow) and tiers.index(both.tier) <= tiers.index(verdict.tier)
    assert bool(rent(verdict).base_units) == is_let_through
