"""What an agent is kept from: paying twice for the same, and having too much under way."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.database import transactions
from waiaas.database.errors import ConstraintViolated
from waiaas.domain.enums import AuditAction, TransactionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.request import Batch, Transfer
from waiaas.domain.transaction import MOVED_NOTHING
from waiaas.pipeline.admit import AdmissionRules
from waiaas.pipeline.decide import Decider, cancel

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

    from waiaas.pipeline.admit import Admission, Caller

RECIPIENT = "So11111111111111111111111111111111111111112"
PAYMENT = Transfer(RECIPIENT, 1000)
OPERATOR = Decider(None, None, None)


def ask(office: "Office", caller: "Caller", **how: Any) -> "Admission":
    how = {"allow_duplicate": False, **how}
    return asyncio.run(office.ask_for(caller, how.pop("request", PAYMENT), **how))


def refused(office: "Office", caller: "Caller", **how: Any) -> Refusal:
    """Return how it is refused: with an audit row, and nothing besides."""
    before = office.counts()
    with pytest.raises(Refusal) as refusal:
        ask(office, caller, **how)
    after = office.counts()
    assert after == {**before, "audit_log": before["audit_log"] + 1}
    assert office.rows("audit_log")[-1].event_type == AuditAction.REQUEST_REFUSED
    return refusal.value


def set_status(office: "Office", admission: "Admission", status: TransactionStatus) -> None:
    of_it = transactions.c.id == admission.transaction.id
    office.execute(transactions.update().where(of_it).values(status=status))


async def ask_fifty_times(office: "Office", caller: "Caller", keys: list[str | None]) -> list[Any]:
    asked = (
        office.ask_for(caller, PAYMENT, key=key, reference="one", allow_duplicate=False)
        for key in keys
    )
    return await asyncio.gather(*asked, return_exceptions=True)


# ── near duplicates ────────────────────────────────────────────────────────────────────────────


def test_what_was_just_asked_for_is_refused_without_a_key(office: "Office") -> None:
    caller = office.hire()
    first = ask(office, caller).transaction.id
    refusal = refused(office, caller)
    assert refusal.code is ErrorCode.DUPLICATE_REQUEST
    assert refusal.details == {"transactionId": first}
    assert office.rows("audit_log")[-1].tx_id == first


def test_an_equal_request_is_a_repetition_for_less_than_a_minute(office: "Office") -> None:
    caller = office.hire()
    ask(office, caller)
    office.clock.wall_s += 59
    refused(office, caller)
    office.clock.wall_s += 1
    assert ask(office, caller).refusal is None


@pytest.mark.parametrize(
    "how",
    [
        {"key": "k"},
        {"allow_duplicate": True},
        {"reference": "another invoice"},
        {"request": Transfer(RECIPIENT, 1001)},
        {"request": Transfer("1" * 31 + "2", 1000)},
    ],
)
def test_whatever_tells_another_payment_apart_is_another_payment(
    how: dict[str, Any], office: "Office"
) -> None:
    caller = office.hire()
    first = ask(office, caller).transaction
    assert ask(office, caller, **how).transaction.id != first.id


def test_a_repetition_that_lost_its_key_is_one(office: "Office") -> None:
    caller = office.hire()
    first = ask(office, caller, key="k").transaction.id
    assert refused(office, caller).details == {"transactionId": first}
    assert ask(office, caller, key="k").transaction.id == first


def test_another_agent_asks_for_itself(office: "Office") -> None:
    ask(office, office.hire())
    assert ask(office, office.hire()).refusal is None


def test_what_was_denied_is_no_payment(office: "Office") -> None:
    caller = office.hire(limits={"daily_max": 999})
    assert ask(office, caller).refusal is not None
    office.set_policy(None, "{}")
    assert ask(office, caller).refusal is not None  # denied again, not called a repetition


@pytest.mark.parametrize("status", TransactionStatus)
def test_what_provably_moved_nothing_may_be_asked_for_again(
    status: TransactionStatus, office: "Office"
) -> None:
    caller = office.hire()
    set_status(office, ask(office, caller), status)
    if status in MOVED_NOTHING:
        assert ask(office, caller).refusal is None
    else:
        assert refused(office, caller).code is ErrorCode.DUPLICATE_REQUEST


def test_of_fifty_equal_requests_at_once_one_is_admitted(office: "Office") -> None:
    caller = office.hire()

    async def act() -> list[Any]:
        asked = (office.ask_for(caller, PAYMENT, allow_duplicate=False) for _ in range(50))
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(act())
    assert [type(each) for each in answers].count(Refusal) == 49
    assert len(office.rows("transactions")) == 1


def test_control_without_the_guard_all_fifty_are_admitted(
    office: "Office", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waiaas.pipeline.guards.repeated", lambda *_, **__: None)
    with pytest.raises(AssertionError):
        test_of_fifty_equal_requests_at_once_one_is_admitted(office)
    assert len(office.rows("transactions")) == 50


# ── references ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", [{}, {"key": "k2"}, {"request": Transfer(RECIPIENT, 1)}])
def test_one_thing_is_paid_once(how: dict[str, Any], office: "Office") -> None:
    caller = office.hire()
    first = ask(office, caller, key="k", reference="invoice 7").transaction.id
    office.clock.wall_s += 40 * 86_400
    caller = office.admit_session(caller.agent_id, expires_at=office.clock.wall_s + 99)
    refusal = refused(office, caller, reference="invoice 7", **how)
    assert refusal.code is ErrorCode.REFERENCE_REUSED
    assert refusal.details == {"transactionId": first}


def test_the_same_key_gets_the_same_answer_whatever_has_the_reference(office: "Office") -> None:
    caller = office.hire()
    first = ask(office, caller, key="k", reference="r").transaction
    assert ask(office, caller, key="k", reference="r").transaction == first


@pytest.mark.parametrize("reference", [None, "s"])
def test_a_key_with_another_reference_is_refused(reference: str | None, office: "Office") -> None:
    caller = office.hire()
    ask(office, caller, key="k", reference="r")
    with pytest.raises(Refusal) as refusal:
        ask(office, caller, key="k", reference=reference)
    assert refusal.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED


def test_a_reference_is_an_agents_own(office: "Office") -> None:
    for caller in (office.hire(), office.hire()):
        assert ask(office, caller, reference="r").refusal is None


def test_a_reference_is_free_again_once_its_payment_was_called_off(office: "Office") -> None:
    caller = office.hire(limits={"instant_max": 0, "delay_max": 10**6})
    first = ask(office, caller, key="k", reference="r").transaction
    refused(office, caller, key="k2", reference="r")
    asyncio.run(cancel(first.id, by=OPERATOR, ledger=office.ledger, clock=office.clock))
    second = ask(office, caller, key="k2", reference="r").transaction
    assert second.id != first.id
    assert [row.tx_id for row in office.rows("live_references")] == [second.id]


def test_a_denied_request_takes_no_reference(office: "Office") -> None:
    caller = office.hire(limits={"daily_max": 999})
    assert ask(office, caller, reference="r").refusal is not None
    assert office.rows("live_references") == []
    assert [row.reference for row in office.rows("requests")] == ["r"]


def test_of_fifty_keys_for_one_thing_one_is_admitted(office: "Office") -> None:
    caller = office.hire()
    answers = asyncio.run(ask_fifty_times(office, caller, [f"key {n}" for n in range(50)]))
    assert [getattr(each, "code", None) for each in answers].count(ErrorCode.REFERENCE_REUSED) == 49
    assert len(office.rows("transactions")) == 1


def test_control_without_the_guard_the_ledger_still_refuses(
    office: "Office", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waiaas.pipeline.guards.reused_reference", lambda *_, **__: None)
    caller = office.hire()
    answers = asyncio.run(ask_fifty_times(office, caller, [f"key {n}" for n in range(50)]))
    assert [isinstance(each, ConstraintViolated) for each in answers].count(True) == 49
    assert len(office.rows("transactions")) == 1


# ── caps ───────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_may_have_so_many_under_way_and_no_more(office: "Office") -> None:
    office.rules = AdmissionRules(pending_max=3)
    caller, other = office.hire(), office.hire()
    first, *_ = [ask(office, caller, key=f"k{n}") for n in range(3)]
    refusal = refused(office, caller, key="k3")
    assert (refusal.code, refusal.is_transient) == (ErrorCode.TOO_MANY_PENDING, True)
    assert refusal.details == {"limit": "3", "observed": "4"}
    assert ask(office, caller, key="k0").transaction == first.transaction  # asked before
    assert ask(office, other, key="k3").refusal is None  # somebody else's are not his
    set_status(office, first, TransactionStatus.CONFIRMED)
    assert ask(office, caller, key="k3").refusal is None  # what was refused was not remembered
    refused(office, caller, key="k4")


def test_so_many_may_wait_and_others_still_go_out(office: "Office") -> None:
    office.rules = AdmissionRules(waiting_max=2)
    caller = office.hire(limits={"instant_max": 999, "delay_max": 10**6})
    first, _ = [ask(office, caller, key=f"k{n}") for n in range(2)]
    assert first.transaction.status is TransactionStatus.QUEUED
    assert refused(office, caller, key="k2").code is ErrorCode.TOO_MANY_PENDING
    small = Transfer(RECIPIENT, 1)
    assert ask(office, caller, key="small", request=small).transaction.status == "PENDING"
    asyncio.run(cancel(first.transaction.id, by=OPERATOR, ledger=office.ledger, clock=office.clock))
    assert ask(office, caller, key="k2").waits_until is not None
    refused(office, caller, key="k3")


def test_a_batch_is_one_transaction_however_many_parts_it_has(office: "Office") -> None:
    office.rules = AdmissionRules(pending_max=2)
    caller = office.hire()
    batch = Batch((PAYMENT, PAYMENT, PAYMENT))
    assert [ask(office, caller, key=key, request=batch).refusal for key in "ab"] == [None, None]
    refused(office, caller, key="c", request=batch)


def test_of_fifty_requests_at_once_no_more_than_the_cap_are_admitted(office: "Office") -> None:
    office.rules = AdmissionRules(pending_max=7)
    caller = office.hire()

    async def act() -> list[Any]:
        asked = (office.ask(caller, key=f"key {n}") for n in range(50))
        return await asyncio.gather(*asked, return_exceptions=True)

    codes = [getattr(each, "code", None) for each in asyncio.run(act())]
    assert codes.count(ErrorCode.TOO_MANY_PENDING) == 43
    assert len(office.rows("transactions")) == 7


def test_control_without_the_guard_all_fifty_are_under_way(
    office: "Office", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waiaas.pipeline.guards.too_many_pending", lambda *_, **__: None)
    with pytest.raises(AssertionError):
        test_of_fifty_requests_at_once_no_more_than_the_cap_are_admitted(office)
    assert len(office.rows("transactions")) == 50
