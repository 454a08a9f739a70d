"""A delayed payment: written down with its second, made then and never before, and made once."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.events import BACKUP

from waiaas.chains.localnet.faults import Fault, Reply
from waiaas.database import agents
from waiaas.domain.enums import NetworkType, PolicyTier, TransactionStatus
from waiaas.domain.transaction import ReservationState
from waiaas.domain.waiting import DELAY_S_DEFAULT, DELAY_S_FLOOR
from waiaas.pipeline.admit import AdmissionRules, Caller
from waiaas.pipeline.advance import Step
from waiaas.pipeline.restored import mark_restored
from waiaas.pipeline.worker import count_unfinished
from waiaas.policy.rule import WaitDefaults

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Shift, Site

NOW_S = 1_700_000_000
DELAY_S = 5
LIMITS = {"instant_max": 10, "notify_max": 20, "delay_max": 10**12, "delay_seconds": DELAY_S}
AMOUNT = 10**6
HELD, SPENT, RELEASED = ReservationState.HELD, ReservationState.SPENT, ReservationState.RELEASED


def ask(site: "Site", caller: Caller, *, key: str | None = None) -> Any:
    to = site.office.new_address()
    admission = site.office.ask_now(caller, AMOUNT, to=to, key=key)
    assert admission.transaction.status is TransactionStatus.QUEUED
    return admission.transaction


def run(site: "Site", *transactions: Any) -> "Shift":
    async def scenario() -> "Shift":
        async with site.shift() as shift:
            await shift.finish(*(each.id for each in transactions))
            return shift

    return asyncio.run(scenario())


def built_at(site: "Site", *transactions: Any) -> list[int]:
    """Carry them to their ends; return the seconds in which payloads were built."""
    seconds: list[int] = []

    async def scenario() -> None:
        async with site.shift() as shift:
            shift.tap.look = lambda name, _: (
                seconds.append(site.office.clock.now_s()) if name == "build" else None
            )
            await shift.finish(*(each.id for each in transactions))

    asyncio.run(scenario())
    return seconds


def assert_paid_once(site: "Site", transaction: Any) -> None:
    assert site.office.transaction(transaction.id).status is TransactionStatus.CONFIRMED
    assert site.office.reservation(transaction.id) == (SPENT, str(AMOUNT))
    assert site.balance(transaction.to_address) == AMOUNT
    assert site.office.audit_of(transaction.id) == [
        "TX_REQUESTED",
        "TX_QUEUED",
        "TX_PAYLOAD_RECORDED",
        "TX_SIGNED",
        "TX_SUBMITTED",
        "TX_CONFIRMED",
    ]


# ── taking it in ───────────────────────────────────────────────────────────────────────────────


def test_a_delayed_payment_is_written_down_with_its_money_and_its_second(office: "Office") -> None:
    caller = office.hire(limits=LIMITS)
    admission = office.ask_now(caller, 21)
    transaction = admission.transaction
    assert admission.refusal is None
    assert (transaction.status, transaction.tier) == (TransactionStatus.QUEUED, PolicyTier.DELAY)
    assert (transaction.queued_at, admission.waits_until) == (NOW_S, NOW_S + DELAY_S)
    assert office.reservation(transaction.id) == (HELD, "21")
    (wait,) = office.rows("waits")
    assert (wait.tx_id, wait.until_at, wait.over_at) == (transaction.id, NOW_S + DELAY_S, None)
    asked, queued = office.rows("audit_log")
    assert (asked.event_type, queued.event_type) == ("TX_REQUESTED", "TX_QUEUED")
    assert json.loads(queued.details) == {
        "from": "PENDING",
        "to": "QUEUED",
        "tier": "DELAY",
        "until": NOW_S + DELAY_S,
    }


def test_what_only_has_to_be_told_of_goes_out_at_once(office: "Office") -> None:
    admission = office.ask_now(office.hire(limits=LIMITS), 20)
    transaction = admission.transaction
    assert (transaction.status, transaction.tier) == (TransactionStatus.PENDING, PolicyTier.NOTIFY)
    assert (transaction.queued_at, admission.waits_until) == (None, None)
    assert office.rows("waits") == []


def test_a_retry_gets_the_payment_as_it_waits_and_as_it_stands_later(site: "Site") -> None:
    caller = site.hire(limits=LIMITS)
    to = site.office.new_address()
    first = site.office.ask_now(caller, AMOUNT, to=to, key="k")
    again = site.office.ask_now(caller, AMOUNT, to=to, key="k")
    assert again == first
    run(site, first.transaction)
    later = site.office.ask_now(caller, AMOUNT, to=to, key="k")
    assert later.transaction.status is TransactionStatus.CONFIRMED
    assert (later.transaction.queued_at, later.waits_until) == (NOW_S, None)
    assert site.balance(to) == AMOUNT


def test_money_that_waits_counts_in_every_window(office: "Office") -> None:
    caller = office.hire(limits={**LIMITS, "daily_max": 100})
    assert office.ask_now(caller, 60).refusal is None
    refusal = office.ask_now(caller, 41).refusal
    assert refusal is not None
    assert (refusal.details["bound"], refusal.details["observed"]) == ("daily_max", "101")
    assert office.ask_now(caller, 40).refusal is None


# fmt: off
DELAYS = [
    # the rule says   on the network        so it waits
    (1,               NetworkType.LOCALNET, 1),
    (None,            NetworkType.LOCALNET, DELAY_S_DEFAULT),
    (1,               NetworkType.MAINNET,  DELAY_S_FLOOR),
    (DELAY_S_FLOOR + 1, NetworkType.MAINNET,  DELAY_S_FLOOR + 1),
    (None,            NetworkType.DEVNET,   DELAY_S_DEFAULT),
]
# fmt: on


@pytest.mark.parametrize(("asked", "network", "waits"), DELAYS)
def test_a_delay_is_as_long_as_the_rule_says_but_long_enough_to_be_stopped(
    asked: int | None, network: NetworkType, waits: int, office: "Office"
) -> None:
    rule = {} if asked is None else {"delay_seconds": asked}
    caller = office.hire(limits={"instant_max": 0, "delay_max": 100, **rule})
    office.execute(agents.update().values(network=network))
    assert office.ask_now(caller, 1).waits_until == NOW_S + waits
    office.rules = AdmissionRules(WaitDefaults(delay_s=777))
    assert office.ask_now(caller, 1).waits_until == NOW_S + (777 if asked is None else waits)


# ── its time ───────────────────────────────────────────────────────────────────────────────────


def test_a_delayed_payment_is_made_when_it_is_due_and_not_before(site: "Site") -> None:
    transaction = ask(site, site.hire(limits=LIMITS))
    seconds = built_at(site, transaction)
    assert len(seconds) == 1
    assert NOW_S + DELAY_S <= seconds[0] <= NOW_S + DELAY_S + 1
    assert_paid_once(site, transaction)
    (wait,) = site.office.rows("waits")
    assert wait.over_at == seconds[0]


def test_a_restart_while_it_waits_loses_and_doubles_nothing(site: "Site") -> None:
    transaction = ask(site, site.hire(limits=LIMITS))

    async def wait_a_while() -> None:
        async with site.shift() as shift:
            await shift.work(lambda: shift.tap.calls.count("sleep") >= 2)

    asyncio.run(wait_a_while())
    assert site.office.transaction(transaction.id).status is TransactionStatus.QUEUED
    site.office.reopen()
    assert built_at(site, transaction)[0] >= NOW_S + DELAY_S
    assert_paid_once(site, transaction)


def test_what_became_due_while_nothing_ran_is_made_at_the_next_start(site: "Site") -> None:
    transaction = ask(site, site.hire(limits=LIMITS))
    site.office.clock.wall_s += 10 * 86_400
    site.office.reopen()
    run(site, transaction)
    assert_paid_once(site, transaction)


def test_a_clock_that_is_set_back_only_lengthens_the_wait(site: "Site") -> None:
    transaction = ask(site, site.hire(limits=LIMITS))
    site.office.clock.wall_s -= 3
    seconds = built_at(site, transaction)
    assert [second >= NOW_S + DELAY_S for second in seconds] == [True]
    assert_paid_once(site, transaction)


def test_a_clock_that_is_set_back_after_it_was_made_does_not_make_it_again(site: "Site") -> None:
    transaction = ask(site, site.hire(limits=LIMITS))
    run(site, transaction)
    site.office.clock.wall_s -= 10**6
    site.office.reopen()
    before = site.office.counts()
    run(site, transaction)
    assert_paid_once(site, transaction)
    assert site.office.counts() == before


def test_several_waits_end_each_in_its_own_time(site: "Site") -> None:
    waits = (3, 1, 2)
    asked = [ask(site, site.hire(limits={**LIMITS, "delay_seconds": delay_s})) for delay_s in waits]
    run(site, *asked)
    for transaction in asked:
        assert_paid_once(site, transaction)
    ended = {row.tx_id: row.over_at for row in site.office.rows("waits")}
    for transaction, delay_s in zip(asked, waits, strict=True):
        assert ended[transaction.id] >= NOW_S + delay_s


def test_while_nothing_waits_the_ledger_is_not_asked_about_it(site: "Site") -> None:
    caller = site.hire()
    transaction = site.office.ask_now(caller, AMOUNT, to=site.office.new_address()).transaction
    shift = run(site, transaction)

    assert shift.tap.calls.count("sleep") == shift.tap.calls.count("look_up")


def test_control_a_timer_in_memory_loses_the_payment_with_the_process(site: "Site") -> None:
    """The naive wait: a task that sleeps. Nothing is left of it after a restart."""
    site.office.ask_now(site.hire(limits=LIMITS), AMOUNT)
    performed: list[str] = []

    async def one_life(*, timers: int) -> None:
        async def timer() -> None:
            for _ in range(DELAY_S):
                await site.office.clock.sleep(1)
            performed.append("paid")

        tasks = [asyncio.ensure_future(timer()) for _ in range(timers)]
        await site.office.clock.sleep(1)
        for task in tasks:  # here the process ends
            task.cancel()

    asyncio.run(one_life(timers=1))
    asyncio.run(one_life(timers=0))
    assert performed == []


# ── what may come between ──────────────────────────────────────────────────────────────────────


def test_an_agent_that_may_not_spend_any_more_pays_nothing_when_it_is_due(site: "Site") -> None:
    caller = site.hire(limits=LIMITS)
    transaction = ask(site, caller)
    site.office.suspend(caller)
    shift = run(site, transaction)
    assert site.office.transaction(transaction.id).status is TransactionStatus.CANCELLED
    assert site.office.reservation(transaction.id) == (RELEASED, str(AMOUNT))
    assert "sign" not in shift.tap.calls


def test_a_delayed_payment_of_which_the_chain_says_that_it_would_fail_is_cancelled(
    site: "Site",
) -> None:
    caller = site.hire(lamports=AMOUNT, limits=LIMITS)
    transaction = ask(site, caller)
    run(site, transaction)
    ended = site.office.transaction(transaction.id)
    assert ended.status is TransactionStatus.CANCELLED
    assert str(ended.error).startswith("SIMULATION_FAILED: ")
    assert site.office.reservation(transaction.id) == (RELEASED, str(AMOUNT))


def test_while_no_node_answers_what_is_due_is_tried_again_and_made_once(site: "Site") -> None:
    transaction = ask(site, site.hire(limits=LIMITS))
    site.localnet.faults.install(Fault(executes=False, reply=Reply.UNAVAILABLE))

    async def scenario() -> None:
        async with site.shift() as shift:
            await shift.work(lambda: len(shift.troubles) == 5)

    asyncio.run(scenario())
    assert site.office.transaction(transaction.id).status is TransactionStatus.QUEUED
    assert site.office.reservation(transaction.id) == (HELD, str(AMOUNT))
    site.localnet.faults.clear()
    run(site, transaction)
    assert_paid_once(site, transaction)


def test_in_a_restored_ledger_what_is_due_stays_where_it_is(site: "Site") -> None:
    transaction = ask(site, site.hire(limits=LIMITS))
    site.office.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))
    site.office.clock.wall_s += 100

    async def scenario() -> "Shift":
        async with site.shift() as shift:
            await shift.work(lambda: bool(shift.troubles))
            return shift

    shift = asyncio.run(scenario())
    assert [each.step for each in shift.troubles] == [Step.PREPARE]
    assert set(shift.tap.calls) == {"read"}
    assert site.office.transaction(transaction.id).status is TransactionStatus.QUEUED


def test_what_is_due_in_a_restored_ledger_is_told_of_once_however_long_others_wait(
    site: "Site",
) -> None:
    ask(site, site.hire(limits=LIMITS))
    ask(site, site.hire(limits=LIMITS | {"delay_seconds": 10 * DELAY_S}))
    site.office.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))
    site.office.clock.wall_s += DELAY_S

    async def scenario() -> "Shift":
        async with site.shift() as shift:
            await shift.work(lambda: site.office.clock.waited_s >= DELAY_S)
            return shift

    assert [each.step for each in asyncio.run(scenario()).troubles] == [Step.PREPARE]


def test_what_waits_is_not_counted_as_unfinished_work(office: "Office") -> None:
    office.ask_now(office.hire(limits=LIMITS), 21)
    counted = office.ledger.read(lambda tx: (count_unfinished(tx), tx.waits.count_open()))
    assert counted == (0, 1)
