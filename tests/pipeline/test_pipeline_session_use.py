"""What a session with constraints may still do: counted with each payment, and given back."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.database import generate_id, sessions, transactions
from waiaas.database.schema import terms
from waiaas.domain.errors import ErrorCode
from waiaas.pipeline.admit import Admission, Caller
from waiaas.pipeline.asked import Tampered
from waiaas.pipeline.decide import Decider, cancel
from waiaas.pipeline.perform import Standing, read_standing

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Site

WAITING = {"instant_max": 0, "notify_max": 0, "delay_max": 10**12}


def call_off(office: "Office", admission: Admission) -> None:
    by = Decider(None, None, None)
    asyncio.run(cancel(admission.transaction.id, by=by, ledger=office.ledger, clock=office.clock))


def bound(office: "Office", caller: Caller, amount: int) -> Any:
    """Return the bound that stands against a payment, or None."""
    refusal = office.ask_now(caller, amount).refusal
    assert refusal is None or refusal.code is ErrorCode.CONSTRAINT_VIOLATED
    return None if refusal is None else refusal.details["bound"]


def test_a_session_spends_its_total_and_not_a_unit_more(office: "Office") -> None:
    caller = office.hire(constraints={"maxTotalAmount": "10"})
    assert [bound(office, caller, amount) for amount in (6, 5, 4, 1)] == [
        None,
        "maxTotalAmount",
        None,
        "maxTotalAmount",
    ]


def test_another_session_of_the_agent_has_a_total_of_its_own(office: "Office") -> None:
    caller = office.hire(constraints={"maxTotalAmount": "10"})
    assert bound(office, caller, 10) is None
    other = office.admit_session(caller.agent_id, constraints={"maxTotalAmount": "10"})
    assert bound(office, other, 10) is None
    free = office.admit_session(caller.agent_id)
    assert bound(office, free, 10) is None
    assert len(office.rows("session_totals")) == 2  # a session without constraints is not counted


def test_money_that_did_not_move_is_given_back_but_the_transaction_was_made(
    office: "Office",
) -> None:
    caller = office.hire(limits=WAITING, constraints={"maxTotalAmount": "10", "maxTransactions": 2})
    first = office.ask_now(caller, 10)
    assert bound(office, caller, 1) == "maxTotalAmount"
    call_off(office, first)
    assert bound(office, caller, 10) is None
    call_off(office, office.ask_now(office.hire(limits=WAITING), 1))  # a stranger's changes nothing
    assert bound(office, caller, 10) == "maxTotalAmount"
    (row,) = office.rows("session_totals")
    assert (row.transactions, row.total) == (2, "10")


@pytest.mark.parametrize("damage", ["", "[]"])
def test_what_was_not_counted_gives_nothing_back_of_what_others_use(
    damage: str, office: "Office"
) -> None:
    """Constraints that came later do not count what was there, nor does a decision that is lost."""
    caller = office.hire(limits=WAITING, constraints={"maxTotalAmount": "20"} if damage else None)
    waits = office.ask_now(caller, 10)
    if damage:
        office.execute(terms.update().values(document=damage))
    else:
        office.narrow(caller, '{"maxTotalAmount": "10"}')
    assert bound(office, caller, 4) is None
    (before,) = office.rows("session_totals")
    call_off(office, waits)
    assert office.rows("session_totals") == [before]
    assert bound(office, caller, 7) == "maxTotalAmount"


def test_what_was_denied_is_not_counted(office: "Office") -> None:
    caller = office.hire(constraints={"maxTransactions": 1, "maxAmountPerTx": "5"})
    assert [bound(office, caller, amount) for amount in (6, 5, 5)] == [
        "maxAmountPerTx",
        None,
        "maxTransactions",
    ]


def test_many_at_once_share_one_total(office: "Office") -> None:
    caller = office.hire(constraints={"maxTotalAmount": "10"})

    async def act() -> list[Admission]:
        return await asyncio.gather(*(office.ask(caller, 3) for _ in range(20)))

    admissions = asyncio.run(act())
    assert sum(each.refusal is None for each in admissions) == 3


def test_a_repeated_key_is_counted_once(office: "Office") -> None:
    caller = office.hire(constraints={"maxTransactions": 1})
    first, second = (office.ask_now(caller, 5, key="k") for _ in range(2))
    assert first.transaction.id == second.transaction.id
    assert second.refusal is None


def test_money_that_moved_stays_counted(site: "Site") -> None:
    caller = site.hire()
    constraints = {"maxTotalAmount": str(10**6)}
    limited = site.office.admit_session(caller.agent_id, constraints=constraints)

    async def act() -> None:
        async with site.shift() as shift:
            admission = await site.office.ask(limited, 10**6)
            await shift.finish(admission.transaction.id)

    asyncio.run(act())
    assert [row.status for row in site.office.rows("transactions")] == ["CONFIRMED"]
    assert bound(site.office, limited, 1) == "maxTotalAmount"


CHANGED = [
    ('{"maxAmountPerTx": "1000000", "maxTotalAmount": "1", "maxTransactions": 1}', True),
    ('{"maxAmountPerTx": "999999"}', False),
    ('{"allowedOperations": ["APPROVE"]}', False),
    ('{"allowedDestinations": ["11111111111111111111111111111112"]}', False),
    ("[]", False),
    ('{"x": 1}', False),
]
"""The totals count the payment itself by now; all else is asked again before it is signed."""


def standing(office: "Office", tx_id: Any) -> Standing:
    transaction = office.transaction(tx_id)
    return office.ledger.read(
        lambda tx: read_standing(tx, transaction.id, wall_s=office.clock.now_s())
    )


@pytest.mark.parametrize(("text", "goes_on"), CHANGED)
def test_constraints_are_asked_again_before_anything_is_signed(
    text: str, goes_on: Any, office: "Office"
) -> None:
    caller = office.hire(constraints={})
    tx_id = office.ask_now(caller, 10**6).transaction.id
    assert not standing(office, tx_id).is_forbidden
    office.narrow(caller, text)
    assert standing(office, tx_id).is_forbidden is not goes_on


@pytest.mark.parametrize("status", ["SUBMITTED", "CONFIRMED"])
def test_what_was_sent_is_not_asked_about_again(status: str, office: "Office") -> None:
    caller = office.hire(constraints={})
    tx_id = office.ask_now(caller, 10**6).transaction.id
    office.narrow(caller)
    office.execute(transactions.update().values(status=status))
    assert not standing(office, tx_id).is_forbidden


def test_a_request_that_cannot_be_read_is_left_to_whoever_builds_on_it(office: "Office") -> None:
    caller = office.hire(constraints={})
    tx_id = office.ask_now(caller, 10**6).transaction.id
    office.narrow(caller)
    office.execute(transactions.update().values(amount="7"))
    seen = standing(office, tx_id)
    assert not seen.is_forbidden
    with pytest.raises(Tampered):
        _ = seen.request


def test_control_without_a_second_look_the_payment_is_made(
    site: "Site", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waiaas.pipeline.perform.objection", lambda *_: None)
    caller = site.hire()
    limited = site.office.admit_session(caller.agent_id, constraints={})

    async def act() -> None:
        async with site.shift() as shift:
            admission = await site.office.ask(limited, 10**6)
            site.office.narrow(limited)
            await shift.finish(admission.transaction.id)

    asyncio.run(act())
    assert [row.status for row in site.office.rows("transactions")] == ["CONFIRMED"]


@pytest.mark.parametrize("text", ["", "[]", '{"maxTotalAmount": 5}', '{"x": "1"}'])
def test_stored_constraints_that_say_nothing_deny_everything(office: "Office", text: str) -> None:
    caller = office.hire(constraints={})
    change = sessions.update().where(sessions.c.id == caller.session_id)
    if text:  # The table itself takes nothing but JSON.
        office.execute(change.values(constraints=text))
        assert office.ask_now(caller, 1).refusal is not None
    assert office.ask_now(office.hire(), 1, key=generate_id()).refusal is None
