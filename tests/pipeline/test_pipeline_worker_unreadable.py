"""A payment whose rows cannot be read is set aside; what is wrong with all of them is not."""

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from tests.pipeline.poisons import NOT_TEXT, POISONS, tamper

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.ids import TransactionId
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.perform import Standing
from waiaas.pipeline.recover import Found, read_unfinished
from waiaas.pipeline.worker import RETRY_MS_MIN, SET_ASIDE_MS_MAX, Worker, count_unfinished

if TYPE_CHECKING:
    from tests.pipeline.conftest import Shift, Site

MEND = "UPDATE transactions SET to_address = ?2 WHERE id = ?1"
KILL_SWITCH_UNREADABLE = (
    "INSERT INTO kill_switch (number, state, since_at) VALUES (9, 'PERHAPS', 1)"
)


def ask(site: "Site", count: int, **limits: int) -> list[Any]:
    """Return payments of as many agents, of which nothing is done yet."""
    return [
        site.office.ask_now(
            site.hire(limits=limits or None), to=site.office.new_address()
        ).transaction
        for _ in range(count)
    ]


def status_of(site: "Site", tx_id: TransactionId) -> TransactionStatus:
    return site.office.transaction(tx_id).status


class NaiveWorker(Worker):
    """The control: what cannot be read is whatever happens to raise."""

    async def _look(self, tx_id: TransactionId) -> Standing:
        return self._read(tx_id)


def work_of(site: "Site", kind: type[Worker], paid: list[Any]) -> "Shift":
    """Let a worker of this kind carry *paid* to their ends, with time for three looks at others."""

    async def scenario() -> "Shift":
        async with site.shift() as shift:
            shift.worker = kind(shift.world, report=shift.worker._report)
            await shift.work(
                lambda: all(shift.has_ended(each.id) for each in paid) and len(shift.troubles) >= 3
            )
            return shift

    return asyncio.run(scenario())


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_a_payment_that_cannot_be_read_is_set_aside_and_others_are_made(
    poison: str, site: "Site"
) -> None:
    first, poisoned, last = ask(site, 3)
    tamper(site.office, poison, poisoned.id)
    shift = work_of(site, Worker, [first, last])
    for paid in (first, last):
        assert status_of(site, paid.id) is TransactionStatus.CONFIRMED
        assert site.balance(paid.to_address) == 10**6
    assert {(each.tx_id, each.step) for each in shift.troubles} == {(poisoned.id, None)}
    assert (shift.worker.count_unreadable(), shift.worker.count_blocked()) == (1, 0)
    assert site.office.ledger.read(count_unfinished) == 1
    assert site.office.reservation(poisoned.id) == (ReservationState.HELD, str(10**6))
    assert site.balance(poisoned.to_address) == 0


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_control_a_worker_that_looks_naively_pays_nobody(poison: str, site: "Site") -> None:
    poisoned, other = ask(site, 2)
    tamper(site.office, poison, poisoned.id)
    with pytest.raises(ExceptionGroup):
        work_of(site, NaiveWorker, [other])
    assert status_of(site, other.id) is TransactionStatus.PENDING


def test_one_that_waited_and_cannot_be_read_keeps_no_other_waiting(site: "Site") -> None:
    poisoned, other = ask(site, 2, instant_max=0, delay_max=10**9, delay_seconds=60)
    assert status_of(site, other.id) is TransactionStatus.QUEUED
    tamper(site.office, NOT_TEXT, poisoned.id)
    shift = work_of(site, Worker, [other])
    assert status_of(site, other.id) is TransactionStatus.CONFIRMED
    assert {each.tx_id for each in shift.troubles} == {poisoned.id}


def test_it_is_looked_at_ever_more_rarely_and_paid_once_it_was_mended(site: "Site") -> None:
    [poisoned] = ask(site, 1)
    tamper(site.office, NOT_TEXT, poisoned.id)
    at: list[float] = []

    async def scenario() -> None:
        async with site.shift() as shift:

            def note(name: str, _argument: object) -> None:
                if name == "read" and shift.worker.count_unreadable():
                    at.append(site.office.clock.monotonic_s())
                    if len(at) == 14:
                        tamper(site.office, MEND, poisoned.id, poisoned.to_address)

            shift.tap.look = note
            await shift.work(
                lambda: len(at) >= 14 and status_of(site, poisoned.id).name == "CONFIRMED"
            )
            assert shift.worker.count_unreadable() == 0

    asyncio.run(scenario())
    waited_ms = [round((b - a) * 1000) for a, b in pairwise(at)]
    assert waited_ms[:10] == [RETRY_MS_MIN * 2**n for n in range(1, 11)]
    assert set(waited_ms[10:]) == {SET_ASIDE_MS_MAX}
    assert site.balance(poisoned.to_address) == 10**6


@pytest.mark.parametrize("is_damaged", [False, True])
def test_what_is_wrong_with_the_whole_ledger_fails_the_worker(
    site: "Site", *, is_damaged: bool
) -> None:
    asked = ask(site, 2)
    if is_damaged:
        tamper(site.office, NOT_TEXT, asked[0].id)
        site.office.ledger.stop_writing(["page 3 is torn"])
    else:
        tamper(site.office, KILL_SWITCH_UNREADABLE)
    with pytest.raises(ExceptionGroup):
        work_of(site, Worker, [])
    assert {status_of(site, each.id) for each in asked[1:]} == {TransactionStatus.PENDING}


def test_a_start_counts_what_it_could_not_read(site: "Site") -> None:
    poisoned, other = ask(site, 2)
    tamper(site.office, NOT_TEXT, poisoned.id)
    found = site.office.ledger.read(read_unfinished)
    assert [(each.tx_id, each.found) for each in found] == [
        (each.id, Found.UNSIGNED) for each in (poisoned, other)
    ]
