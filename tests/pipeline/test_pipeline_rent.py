"""What is set aside for rent stands in the row of the network's asset, beside all else of it."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from tests.fakes.chain import RENT
from tests.fakes.decisions import TOKEN, A, B, Desk, replayed

from waiaas.database.totals import wrong_totals
from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.money import NATIVE
from waiaas.domain.request import Approve, Batch, Request, TokenTransfer, Transfer
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.backtest import NewRules
from waiaas.pipeline.decisions import read_rent
from waiaas.pipeline.rent import money_of, rent_held, rent_in
from waiaas.policy.verdict import Allow, Deny, Rent, Violation

LIMIT: Final = PolicyType.SPENDING_LIMIT
TOKENS: Final = (LIMIT, {"asset": TOKEN, "instant_max": "1000"})
SENDS: Final = TokenTransfer(TOKEN, A, 5)
MIXED: Final = Batch((SENDS, TokenTransfer(TOKEN, B, 6), Transfer(B, 7)))


def native(**bounds: int) -> tuple[PolicyType, dict[str, Any]]:
    limit = {"instant_max": 10 * RENT, **bounds}
    return LIMIT, {"asset": NATIVE, **{name: str(bound) for name, bound in limit.items()}}


@pytest.mark.parametrize(
    ("request_", "rent", "money"),
    [
        (SENDS, None, {TOKEN: 5}),
        (SENDS, Rent(0, "no"), {TOKEN: 5}),
        (SENDS, Rent(RENT), {TOKEN: 5, NATIVE: RENT}),
        (MIXED, Rent(0, "no"), {TOKEN: 11, NATIVE: 7}),
        (MIXED, Rent(2 * RENT), {TOKEN: 11, NATIVE: 7 + 2 * RENT}),
        (Approve(TOKEN, B, 5), None, {}),
    ],
)
def test_rent_is_set_aside_with_the_networks_own_asset(
    request_: Request, rent: Rent | None, money: dict[str, int]
) -> None:
    assert money_of(request_, Allow(PolicyTier.INSTANT, rent=rent)) == money
    held = money.get(NATIVE, 0)
    assert rent_in(held, request_) == (0 if rent is None else rent.base_units)


def test_what_is_denied_sets_no_rent_aside() -> None:
    denied = Deny((Violation(ErrorCode.POLICY_DENIED, "RULE", "no"),))
    assert money_of(SENDS, denied) == {TOKEN: 5}


def test_an_admitted_payment_holds_its_rent_and_what_comes_later_finds_that_much_less_room() -> (
    None
):
    with Desk({"allowedTokens": [TOKEN], "maxTotalAmount": str(10 * RENT)}) as desk:
        desk.set(TOKENS, native(daily_max=2 * RENT))
        asked = [desk.ask(SENDS).transaction for _ in range(3)]
        held = desk.ledger.read(lambda tx: [rent_held(tx, each.id, SENDS) for each in asked])
        assert held == [RENT, RENT, 0]
        assert desk.ask(Transfer(A, 1)).refusal is not None, "the rent has filled the window"
        used = desk.ledger.read(lambda tx: tx.sessions.used(desk.caller.session_id))
        assert used == (3, 2 * RENT), "the session counts it as well"
        assert not list(wrong_totals(desk.ledger.connection))


def spent(desk: Desk) -> None:
    desk.settle(desk.ask(Transfer(A, RENT)).transaction.id, ReservationState.SPENT)


def in_flight(desk: Desk) -> None:
    desk.ask(Transfer(A, RENT))


@pytest.mark.parametrize("before", [lambda _: None, spent, in_flight])
@pytest.mark.parametrize("rules", [[], [native()], [native(hourly_max=2 * RENT)]])
@pytest.mark.parametrize("request_", [SENDS, MIXED, Transfer(A, 5)])
def test_a_verdict_keeps_what_it_says_of_rent_and_is_the_same_judged_again(
    request_: Request, rules: list[Any], before: Callable[[Desk], object]
) -> None:
    with Desk() as desk:
        desk.set(TOKENS, native(), *rules)
        before(desk)
        desk.clock.jump(60)
        explained = desk.explained(request_).verdict
        desk.ask(request_)
        decision, text = desk.decisions()[-1]
        assert replayed(desk, decision, text) == decision.verdict
        report = desk.try_rules(None)
        assert (report.different, report.unknown) == ([], {})
        assert read_rent(decision.verdict) == explained.rent


def test_a_back_test_knows_what_other_rules_would_have_said_of_rent() -> None:
    with Desk() as desk:
        desk.set(TOKENS)
        spent_for_nothing = desk.ask(SENDS)
        assert spent_for_nothing.refusal is None
        report = desk.try_rules(NewRules((), None))
        assert (report.unknown, report.different) == ({}, [])
        [(decision, _)] = desk.decisions()
        assert json.loads(decision.verdict)[4][:2] == ["0", "there is no SPENDING_LIMIT of native"]
