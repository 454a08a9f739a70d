"""Decisions on payments that are under way: the first one wins, and who came late is told so."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.events import BACKUP

from waiaas.database import generate_id
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import TransactionId
from waiaas.domain.transaction import AttemptState, ReservationState
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.advance import Step
from waiaas.pipeline.decide import Decider, cancel
from waiaas.pipeline.end import cancel_unsigned
from waiaas.pipeline.restored import mark_restored
from waiaas.ports import LedgerTransaction

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Site

NOW_S = 1_700_000_000
AMOUNT = 10**6
DELAYED = {"instant_max": 0, "delay_max": AMOUNT, "delay_seconds": 5}
RELEASED = ReservationState.RELEASED
OPERATOR = Decider(None, None, "127.0.0.1")


def agent(caller: Caller) -> Decider:
    return Decider(caller.agent_id, caller.session_id, "127.0.0.1")


def cancelled(office: "Office", tx_id: TransactionId, by: Decider) -> Any:
    return asyncio.run(cancel(tx_id, by=by, ledger=office.ledger, clock=office.clock))


def refused(office: "Office", tx_id: str, by: Decider) -> ErrorCode:
    with pytest.raises(Refusal) as refusal:
        cancelled(office, TransactionId(tx_id), by)
    return refusal.value.code


# ── cancelling ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limits", [None, DELAYED], ids=["pending", "queued"])
@pytest.mark.parametrize("who", ["agent", "operator"])
def test_a_payment_is_called_off_and_its_money_is_free_again(
    who: str, limits: dict[str, int] | None, office: "Office"
) -> None:
    caller = office.hire(limits=limits)
    transaction = office.ask_now(caller, AMOUNT).transaction
    by = OPERATOR if who == "operator" else agent(caller)
    ended = cancelled(office, transaction.id, by)
    assert ended == office.transaction(transaction.id)
    assert ended.status is TransactionStatus.CANCELLED
    assert ended.error == f"TX_CANCELLED: called off by {by.actor}"
    assert office.reservation(transaction.id) == (RELEASED, str(AMOUNT))
    row = office.rows("audit_log")[-1]
    assert (row.event_type, row.actor) == ("TX_CANCELLED", by.actor)
    assert [wait.over_at for wait in office.rows("waits")] == ([NOW_S] if limits else [])


def test_what_was_called_off_makes_room_for_another_payment_at_once(office: "Office") -> None:
    caller = office.hire(limits={**DELAYED, "daily_max": AMOUNT})
    transaction = office.ask_now(caller, AMOUNT).transaction
    assert office.ask_now(caller, 1).refusal is not None
    cancelled(office, transaction.id, agent(caller))
    assert office.ask_now(caller, AMOUNT).refusal is None


def test_who_comes_second_is_refused_and_only_that_is_written_down(office: "Office") -> None:
    caller = office.hire(limits=DELAYED)
    transaction = office.ask_now(caller, AMOUNT).transaction
    cancelled(office, transaction.id, agent(caller))
    before, stood = office.counts(), office.transaction(transaction.id)
    assert refused(office, transaction.id, OPERATOR) is ErrorCode.TX_ALREADY_PROCESSED
    assert office.transaction(transaction.id) == stood
    assert office.counts() == {**before, "audit_log": before["audit_log"] + 1}
    row = office.rows("audit_log")[-1]
    assert (row.event_type, row.actor, row.severity) == (
        "TX_DECISION_REFUSED",
        "operator",
        "warning",
    )
    assert (row.tx_id, row.ip_address) == (transaction.id, "127.0.0.1")
    assert json.loads(row.details) == {
        "decision": "cancel",
        "code": "TX_ALREADY_PROCESSED",
        "status": "CANCELLED",
    }


@pytest.mark.parametrize("wrong", ["another agent's", "nobody's", "no id"])
def test_what_is_not_there_for_an_agent_is_not_found(wrong: str, office: "Office") -> None:
    mine, other = office.hire(limits=DELAYED), office.hire()
    tx_id = {
        "another agent's": office.ask_now(mine, AMOUNT).transaction.id,
        "nobody's": generate_id(),
        "no id": "x",
    }[wrong]
    before = office.counts()
    assert refused(office, tx_id, agent(other)) is ErrorCode.TX_NOT_FOUND
    assert office.counts() == before


def test_in_a_restored_ledger_nothing_is_decided(office: "Office") -> None:
    """Freeing money that may have been paid after the backup would allow paying it again."""
    transaction = office.ask_now(office.hire(limits=DELAYED), AMOUNT).transaction
    office.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))
    assert refused(office, transaction.id, OPERATOR) is ErrorCode.LEDGER_RESTORED
    assert office.transaction(transaction.id).status is TransactionStatus.QUEUED


def test_a_payment_called_off_while_it_waits_is_never_made(site: "Site") -> None:
    caller = site.hire(limits=DELAYED)
    transaction = site.office.ask_now(caller, AMOUNT, to=site.office.new_address()).transaction
    cancelled(site.office, transaction.id, agent(caller))
    site.office.clock.wall_s += 100

    async def scenario() -> list[str]:
        async with site.shift() as shift:
            shift.worker.wake(transaction)  # on a look of long ago
            await shift.work(lambda: shift.tap.calls.count("read") >= 2)
            return shift.tap.calls

    assert set(asyncio.run(scenario())) == {"read"}
    assert site.balance(transaction.to_address) == 0


@pytest.mark.parametrize("moment", ["build", "check", "sign", "assemble"])
def test_a_payment_called_off_before_its_signature_is_recorded_is_not_sent(
    moment: str, site: "Site"
) -> None:
    """Also in the middle of the step: what was signed and not recorded is forgotten."""
    caller = site.hire()
    transaction = site.office.ask_now(caller, AMOUNT, to=site.office.new_address()).transaction

    async def scenario() -> list[str]:
        async with site.shift() as shift:

            def look(name: str, _: object) -> None:
                if name == moment:
                    site.office.ledger.write(lambda tx: _cancel_in(tx, transaction.id))

            shift.tap.look = look
            await shift.finish(transaction.id)
            return shift.tap.calls

    calls = asyncio.run(scenario())
    assert "send" not in calls
    assert site.office.transaction(transaction.id).status is TransactionStatus.CANCELLED
    assert site.office.reservation(transaction.id) == (RELEASED, str(AMOUNT))
    attempt = site.office.attempt(transaction.id)
    assert attempt is None or attempt.state is AttemptState.REPLACED
    assert site.balance(transaction.to_address) == 0


def _cancel_in(tx: LedgerTransaction, tx_id: TransactionId) -> None:
    transaction = tx.transactions.get(tx_id)
    assert transaction is not None
    assert cancel_unsigned(tx, transaction, error="called off", now_s=NOW_S)


def test_what_was_signed_cannot_be_called_off(site: "Site") -> None:
    caller = site.hire()
    transaction = site.office.ask_now(caller, AMOUNT, to=site.office.new_address()).transaction

    async def scenario() -> list[Step | None]:
        async with site.shift() as shift:
            return [await shift.step(transaction.id) for _ in range(2)]

    assert asyncio.run(scenario()) == [Step.PREPARE, Step.SIGN]
    code = refused(site.office, transaction.id, agent(caller))
    assert code is ErrorCode.TX_ALREADY_PROCESSED
    assert site.office.transaction(transaction.id).status is TransactionStatus.EXECUTING


def test_of_many_who_decide_at_once_exactly_one_wins(office: "Office") -> None:
    caller = office.hire(limits=DELAYED)
    transaction = office.ask_now(caller, AMOUNT).transaction

    async def act() -> list[object]:
        acts = [
            cancel(transaction.id, by=by, ledger=office.ledger, clock=office.clock)
            for by in [OPERATOR, agent(caller)] * 10
        ]
        return list(await asyncio.gather(*acts, return_exceptions=True))

    outcomes = asyncio.run(act())
    assert sum(isinstance(outcome, Refusal) for outcome in outcomes) == 19
    assert office.audit_of(transaction.id).count("TX_CANCELLED") == 1
    assert office.audit_of(transaction.id).count("TX_DECISION_REFUSED") == 19


def test_control_two_decisions_without_compare_and_set_both_win(office: "Office") -> None:
    """The naive decision: look in one transaction, write in the next."""
    transaction = office.ask_now(office.hire(limits=DELAYED), AMOUNT).transaction
    looks = [office.transaction(transaction.id).status for _ in range(2)]
    won = 0
    for status in looks:
        if status is TransactionStatus.QUEUED:
            office.ledger.write(
                lambda tx: tx.transactions.set_error(transaction.id, error="decided")
            )
            won += 1
    assert won == 2
