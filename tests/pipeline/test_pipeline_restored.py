"""A restored ledger pays nothing and loses nothing: with the mark it holds, without it it signs."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.fakes.events import BACKUP

from waiaas.database import key_value_store
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.advance import Step
from waiaas.pipeline.perform import LedgerRestored
from waiaas.pipeline.restored import mark_restored, restored_at

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Site

NOW_S = 1_700_000_000


def mark(office: "Office") -> None:
    office.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))


def unmark(office: "Office") -> None:
    """Do what only the tests can: there is no way off in the program yet."""
    office.execute(key_value_store.delete().where(key_value_store.c.key == "restored_at"))


def test_the_mark_is_written_with_its_audit_row_and_never_before_the_last_one(
    office: "Office",
) -> None:
    assert office.ledger.read(restored_at) is None
    mark(office)
    assert office.ledger.read(restored_at) == NOW_S
    office.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S - 100, details=BACKUP))
    assert office.ledger.read(restored_at) == NOW_S
    rows = office.rows("audit_log")
    assert [row.event_type for row in rows] == ["BACKUP_RESTORED"] * 2
    assert rows[0].severity == "warning"


def test_a_new_payment_is_refused_says_why_and_is_not_remembered(office: "Office") -> None:
    caller = office.hire()
    mark(office)
    before = office.counts()
    refusal = office.refused(caller, key="k")
    assert refusal.code == "LEDGER_RESTORED"
    assert refusal.hint is not None
    assert not refusal.is_transient
    assert office.counts() == before
    unmark(office)  # The control: the same request, with the same key, is admitted.
    assert office.ask_now(caller, key="k").refusal is None


def test_an_earlier_request_still_gets_its_answer(office: "Office") -> None:
    caller = office.hire()
    admitted = office.ask_now(caller, key="k").transaction
    mark(office)
    assert office.ask_now(caller, key="k").transaction == admitted


@pytest.mark.parametrize("steps", [(), (Step.PREPARE,)], ids=["unprepared", "recorded"])
def test_nothing_is_recorded_or_signed_and_the_payment_stays_as_it_is(
    site: "Site", steps: tuple[Step, ...]
) -> None:
    office = site.office
    caller = site.hire()
    tx_id = office.ask_now(caller, to=office.new_address()).transaction.id

    async def scenario() -> None:
        async with site.shift() as shift:
            for step in steps:
                assert await shift.step(tx_id) is step
            mark(office)
            before = {name: office.rows(name) for name in ("transactions", "attempts", "audit_log")}
            with pytest.raises(LedgerRestored):
                await shift.step(tx_id)
            await shift.work(lambda: bool(shift.troubles))
            assert [type(trouble.error) for trouble in shift.troubles] == [LedgerRestored]
            assert "sign" not in shift.tap.calls
            assert {name: office.rows(name) for name in before} == before
            unmark(office)  # The control: without the mark it is signed, sent and confirmed.
        async with site.shift() as shift:
            await shift.finish(tx_id)
            assert "sign" in shift.tap.calls

    asyncio.run(scenario())
    assert office.transaction(tx_id).status is TransactionStatus.CONFIRMED


def test_a_mark_that_appears_while_the_chain_is_asked_counts(site: "Site") -> None:
    office = site.office
    tx_id = office.ask_now(site.hire(), to=office.new_address()).transaction.id

    async def scenario() -> None:
        async with site.shift() as shift:
            shift.tap.look = lambda name, _: mark(office) if name == "build" else None
            with pytest.raises(LedgerRestored):
                await shift.step(tx_id)

    asyncio.run(scenario())
    assert office.attempt(tx_id) is None
    assert office.transaction(tx_id).status is TransactionStatus.PENDING


def test_what_was_signed_before_is_still_sent_and_watched(site: "Site") -> None:
    office = site.office
    tx_id = office.ask_now(site.hire(), to=office.new_address()).transaction.id

    async def scenario() -> None:
        async with site.shift() as shift:
            for step in (Step.PREPARE, Step.SIGN):
                assert await shift.step(tx_id) is step
            mark(office)
            await shift.finish(tx_id)

    asyncio.run(scenario())
    attempt = office.attempt(tx_id)
    assert attempt is not None
    assert attempt.state is AttemptState.LANDED
