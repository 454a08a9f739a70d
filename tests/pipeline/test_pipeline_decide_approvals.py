"""What needs a person: approved, rejected or expired; whichever comes first is all that happens."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.decide import Decider, approve, cancel, reject

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pipeline.conftest import Office, Site

NOW_S = 1_700_000_000
AMOUNT = 10**6
TIMEOUT_S = 60
LIMITS = {"instant_max": 0, "approval_timeout": TIMEOUT_S}
HELD, SPENT, RELEASED = ReservationState.HELD, ReservationState.SPENT, ReservationState.RELEASED
OPERATOR = Decider(None, None, "127.0.0.1")
DECISIONS = {"approve": approve, "reject": reject, "cancel": cancel}


def decide(office: "Office", decision: str, transaction: Any) -> Any:
    function: Callable[..., Any] = DECISIONS[decision]
    return asyncio.run(
        function(transaction.id, by=OPERATOR, ledger=office.ledger, clock=office.clock)
    )


def refused(office: "Office", decision: str, transaction: Any) -> ErrorCode:
    """Decide in vain; look that only the refusal was written down, and return its code."""
    before, stood = office.counts(), office.transaction(transaction.id)
    with pytest.raises(Refusal) as refusal:
        decide(office, decision, transaction)
    assert office.transaction(transaction.id) == stood
    assert office.counts() == {**before, "audit_log": before["audit_log"] + 1}
    assert office.audit_of(transaction.id)[-1] == "TX_DECISION_REFUSED"
    return refusal.value.code


def ask(office: "Office", caller: Any) -> Any:
    return office.ask_now(caller, AMOUNT, to=office.new_address()).transaction


def run(site: "Site", *transactions: Any) -> list[str]:
    async def scenario() -> list[str]:
        async with site.shift() as shift:
            await shift.finish(*(each.id for each in transactions))
            return shift.tap.calls

    return asyncio.run(scenario())


def test_what_is_approved_is_made_once(site: "Site") -> None:
    transaction = ask(site.office, site.hire(limits=LIMITS))
    approved = decide(site.office, "approve", transaction)
    assert approved.status is TransactionStatus.QUEUED
    run(site, transaction)
    assert site.office.transaction(transaction.id).status is TransactionStatus.CONFIRMED
    assert site.office.reservation(transaction.id) == (SPENT, str(AMOUNT))
    assert site.balance(transaction.to_address) == AMOUNT
    assert site.office.audit_of(transaction.id)[:4] == [
        "TX_REQUESTED",
        "TX_QUEUED",
        "TX_APPROVED",
        "TX_PAYLOAD_RECORDED",
    ]


def test_what_was_approved_does_not_expire_while_nothing_runs(site: "Site") -> None:
    transaction = ask(site.office, site.hire(limits=LIMITS))
    decide(site.office, "approve", transaction)
    site.office.clock.wall_s += 10 * TIMEOUT_S
    site.office.reopen()
    run(site, transaction)
    assert site.office.transaction(transaction.id).status is TransactionStatus.CONFIRMED


def test_what_is_rejected_is_cancelled_and_its_money_free(office: "Office") -> None:
    transaction = ask(office, office.hire(limits=LIMITS))
    ended = decide(office, "reject", transaction)
    assert ended.status is TransactionStatus.CANCELLED
    assert ended.error == "TX_CANCELLED: rejected by operator"
    assert office.reservation(transaction.id) == (RELEASED, str(AMOUNT))
    assert [row.rejected_at for row in office.rows("pending_approvals")] == [NOW_S]
    assert office.audit_of(transaction.id)[2:] == ["TX_REJECTED", "TX_CANCELLED"]


def test_what_nobody_decides_on_expires_and_frees_its_money(site: "Site") -> None:
    transaction = ask(site.office, site.hire(limits=LIMITS))
    calls = run(site, transaction)
    ended = site.office.transaction(transaction.id)
    assert ended.status is TransactionStatus.EXPIRED
    assert str(ended.error).startswith("APPROVAL_TIMEOUT: ")
    assert site.office.reservation(transaction.id) == (RELEASED, str(AMOUNT))
    assert set(calls) == {"read", "sleep", "write"}  # no node is asked
    (wait,) = site.office.rows("waits")
    assert wait.over_at >= NOW_S + TIMEOUT_S


def test_it_expires_also_if_its_network_is_not_configured_any_more(site: "Site") -> None:
    transaction = ask(site.office, site.hire(limits=LIMITS))
    site.office.clock.wall_s += TIMEOUT_S

    async def scenario() -> None:
        async with site.shift() as shift:
            shift.world.chains.clear()  # type: ignore[attr-defined]  # -- a dict here
            await shift.finish(transaction.id)

    asyncio.run(scenario())
    assert site.office.transaction(transaction.id).status is TransactionStatus.EXPIRED


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.parametrize(("late_s", "expired"), [(-1, False), (0, True), (10**6, True)])
def test_a_decision_counts_until_the_second_of_the_deadline(
    late_s: int, decision: str, *, expired: bool, office: "Office"
) -> None:
    """Also before the worker has noticed that the time is over."""
    transaction = ask(office, office.hire(limits=LIMITS))
    office.clock.wall_s += TIMEOUT_S + late_s
    if expired:
        assert refused(office, decision, transaction) is ErrorCode.APPROVAL_TIMEOUT
    else:
        decide(office, decision, transaction)


def test_a_clock_that_is_set_back_does_not_bring_an_expired_approval_to_life(
    site: "Site",
) -> None:
    transaction = ask(site.office, site.hire(limits=LIMITS))
    site.office.clock.wall_s += TIMEOUT_S
    run(site, transaction)
    site.office.clock.wall_s = NOW_S
    code = refused(site.office, "approve", transaction)
    assert code is ErrorCode.TX_ALREADY_PROCESSED


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("approve", second) for second in ("approve", "reject")),
        *(("reject", second) for second in DECISIONS),
        *(("cancel", second) for second in DECISIONS),
    ],
)
def test_the_first_decision_wins(first: str, second: str, office: "Office") -> None:
    transaction = ask(office, office.hire(limits=LIMITS))
    decide(office, first, transaction)
    assert refused(office, second, transaction) is ErrorCode.TX_ALREADY_PROCESSED


def test_what_was_approved_may_still_be_called_off_before_it_is_signed(site: "Site") -> None:
    transaction = ask(site.office, site.hire(limits=LIMITS))
    decide(site.office, "approve", transaction)
    assert decide(site.office, "cancel", transaction).status is TransactionStatus.CANCELLED
    assert site.office.reservation(transaction.id) == (RELEASED, str(AMOUNT))


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_what_waits_for_nobody_is_not_to_be_decided(decision: str, office: "Office") -> None:
    for limits in (None, {"instant_max": 0, "delay_max": AMOUNT}):
        transaction = ask(office, office.hire(limits=limits))
        assert refused(office, decision, transaction) is ErrorCode.APPROVAL_NOT_FOUND


def test_an_approval_of_an_agent_that_was_suspended_pays_nothing(site: "Site") -> None:
    caller = site.hire(limits=LIMITS)
    transaction = ask(site.office, caller)
    decide(site.office, "approve", transaction)
    site.office.suspend(caller)
    assert "sign" not in run(site, transaction)
    assert site.office.transaction(transaction.id).status is TransactionStatus.CANCELLED


def test_of_many_who_decide_at_once_exactly_one_wins(office: "Office") -> None:
    transaction = ask(office, office.hire(limits=LIMITS))

    async def act() -> list[object]:
        acts = [
            function(transaction.id, by=OPERATOR, ledger=office.ledger, clock=office.clock)
            for function in [approve, reject] * 10
        ]
        return list(await asyncio.gather(*acts, return_exceptions=True))

    outcomes = asyncio.run(act())
    assert sum(isinstance(outcome, Refusal) for outcome in outcomes) == 19
    (row,) = office.rows("pending_approvals")
    assert (row.approved_at is None) is not (row.rejected_at is None)
