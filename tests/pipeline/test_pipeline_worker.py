"""The worker: carries every payment to its end, and none stands in another's way."""

import asyncio
from contextvars import ContextVar
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from waiaas.chains.localnet.faults import Fault, Reply
from waiaas.database import transactions
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.ids import TransactionId
from waiaas.domain.records import TransactionRecord
from waiaas.domain.transaction import AttemptState, ReservationState
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.advance import Step
from waiaas.pipeline.worker import (
    LOOKS_PER_RESEND,
    RETRY_MS_MAX,
    RETRY_MS_MIN,
    Worker,
    count_unfinished,
)

if TYPE_CHECKING:
    from tests.pipeline.conftest import Shift, Site

AMOUNT = 10**6
FEE = 5001
HELD, SPENT, RELEASED = ReservationState.HELD, ReservationState.SPENT, ReservationState.RELEASED
CONFIRMED_TRAIL = [
    "TX_REQUESTED",
    "TX_PAYLOAD_RECORDED",
    "TX_SIGNED",
    "TX_SUBMITTED",
    "TX_CONFIRMED",
]


def ask(site: "Site", caller: Caller, *, to: str, key: str | None = None) -> Any:
    admission = site.office.ask_now(caller, AMOUNT, to=to, key=key)
    assert admission.refusal is None
    return admission.transaction


def assert_paid(site: "Site", *transactions: Any) -> None:
    """Check that each was paid exactly once, by the ledger's word and by the chain's."""
    office = site.office
    for transaction in transactions:
        assert office.transaction(transaction.id).status is TransactionStatus.CONFIRMED
        assert office.reservation(transaction.id) == (SPENT, str(AMOUNT))
        assert office.audit_of(transaction.id) == CONFIRMED_TRAIL
        attempt = office.attempt(transaction.id)
        assert attempt is not None
        assert attempt.state is AttemptState.LANDED
        assert office.transaction(transaction.id).tx_hash == attempt.tx_hash
    assert len({office.transaction(each.id).tx_hash for each in transactions}) == len(transactions)
    for to in {each.to_address for each in transactions}:
        asked = sum(each.to_address == to for each in transactions)
        assert site.balance(to) == asked * AMOUNT


def run(site: "Site", *transactions: Any) -> "Shift":
    """Let a worker carry them to their ends; return its shift, with what it saw."""

    async def scenario() -> "Shift":
        async with site.shift() as shift:
            await shift.finish(*(each.id for each in transactions))
            return shift

    return asyncio.run(scenario())


# ── to the end ─────────────────────────────────────────────────────────────────────────────────


def test_a_payment_is_carried_to_its_confirmation(site: "Site") -> None:
    caller = site.hire()
    transaction = ask(site, caller, to=site.office.new_address())
    shift = run(site, transaction)
    assert_paid(site, transaction)
    assert site.balance_of(caller) == 10**10 - AMOUNT - FEE
    assert shift.troubles == []


def test_two_equal_payments_with_two_keys_both_arrive(site: "Site") -> None:
    caller, to = site.hire(), site.office.new_address()
    pair = [ask(site, caller, to=to, key=key) for key in ("one", "other")]
    shift = run(site, *pair)
    assert_paid(site, *pair)
    assert site.balance(to) == 2 * AMOUNT
    assert site.balance_of(caller) == 10**10 - 2 * (AMOUNT + FEE)
    assert shift.troubles == []


def test_many_payments_of_several_agents_arrive(site: "Site") -> None:
    to = site.office.new_address()
    asked = [ask(site, caller, to=to) for caller in [site.hire() for _ in range(3)] for _ in "1234"]
    shift = run(site, *asked)
    assert_paid(site, *asked)
    assert shift.troubles == []


def test_a_payment_is_taken_over_when_it_is_woken(site: "Site") -> None:
    caller = site.hire()

    async def scenario() -> Any:
        async with site.shift() as shift:
            asked: list[Any] = []

            def wake_when_idle() -> bool:
                return bool(asked) and shift.has_ended(asked[0].id)

            async def arrive() -> None:
                admission = await site.office.ask(caller, AMOUNT, to=site.office.new_address())
                for _ in range(3):  # as often as anybody likes
                    shift.worker.wake(admission.transaction)
                asked.append(admission.transaction)

            async with asyncio.TaskGroup() as group:
                group.create_task(shift.work(wake_when_idle))
                group.create_task(arrive())
            return asked[0], shift.tap.calls

    transaction, calls = asyncio.run(scenario())
    assert_paid(site, transaction)
    assert (calls.count("build"), calls.count("sign"), calls.count("send")) == (1, 1, 1)


@pytest.mark.parametrize("done", range(4))
def test_a_new_worker_goes_on_where_the_last_one_stopped(done: int, site: "Site") -> None:
    transaction = ask(site, site.hire(), to=site.office.new_address())

    async def begin() -> None:
        async with site.shift() as shift:
            for _ in range(done):
                await shift.step(transaction.id)

    asyncio.run(begin())
    site.office.reopen()
    shift = run(site, transaction)
    assert_paid(site, transaction)
    assert ("sign" in shift.tap.calls) is (done < 2)
    assert ("send" in shift.tap.calls) is (done < 3)


def test_what_has_ended_is_left_alone(site: "Site") -> None:
    transaction = ask(site, site.hire(), to=site.office.new_address())
    run(site, transaction)
    before = site.office.counts()

    async def scenario() -> list[str]:
        async with site.shift() as shift:
            shift.worker.wake(transaction)  # on a look of long ago
            await shift.work(lambda: shift.tap.calls.count("read") == 2)
            return shift.tap.calls

    assert asyncio.run(scenario()) == ["read", "read"]
    assert site.office.counts() == before


def test_a_request_whose_caller_hung_up_is_a_payment_all_the_same(site: "Site") -> None:
    """It was committed before anybody could answer; nobody woke a worker for it."""
    caller, to = site.hire(), site.office.new_address()

    async def hang_up() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(site.office.ask(caller, AMOUNT, to=to, key="k"))
            await site.office.clock.sleep(0)
            task.cancel()
        assert task.cancelled()

    asyncio.run(hang_up())
    transaction = ask(site, caller, to=to, key="k")
    assert len(site.office.rows("transactions")) == 1
    run(site, transaction)
    assert_paid(site, transaction)


def test_what_is_unfinished_is_counted_until_it_ends(site: "Site") -> None:
    caller = site.hire()
    asked = [ask(site, caller, to=site.office.new_address()) for _ in range(3)]
    poor = site.hire(limits={"daily_max": 1})
    assert site.office.ask_now(poor, 2).refusal is not None  # denied: never to be done
    assert site.office.ledger.read(count_unfinished) == 3
    run(site, *asked)
    assert site.office.ledger.read(count_unfinished) == 0


def test_two_workers_on_one_ledger_double_nothing(site: "Site") -> None:
    to = site.office.new_address()
    callers = [site.hire(), site.hire()]
    asked = [ask(site, caller, to=to) for caller in callers for _ in range(4)]

    async def scenario() -> None:
        async with site.shift() as one, site.shift() as other, asyncio.TaskGroup() as group:
            group.create_task(one.finish(*(each.id for each in asked)))
            group.create_task(other.finish(*(each.id for each in asked)))

    asyncio.run(scenario())
    assert_paid(site, *asked)
    assert len(site.office.rows("attempts")) == len(asked)
    for caller in callers:
        assert site.balance_of(caller) == 10**10 - 4 * (AMOUNT + FEE)


# ── trouble ────────────────────────────────────────────────────────────────────────────────────


def test_a_payment_whose_steps_raise_does_not_stop_another(site: "Site") -> None:
    broken, good = site.hire(), site.hire()
    del site.office.signer._keys[broken.agent_id]
    stuck = ask(site, broken, to=site.office.new_address())
    paid = ask(site, good, to=site.office.new_address())

    async def scenario() -> "Shift":
        async with site.shift() as shift:
            await shift.work(lambda: shift.has_ended(paid.id) and len(shift.troubles) > 3)
            return shift

    shift = asyncio.run(scenario())
    assert_paid(site, paid)
    assert {(each.tx_id, each.step) for each in shift.troubles} == {(stuck.id, Step.SIGN)}
    assert site.office.transaction(stuck.id).status is TransactionStatus.EXECUTING
    assert site.office.reservation(stuck.id) == (HELD, str(AMOUNT))


def test_payments_whose_last_step_failed_are_counted_until_one_succeeds(site: "Site") -> None:
    broken, other = site.hire(), site.hire()
    key = site.office.signer._keys.pop(broken.agent_id)
    stuck = ask(site, broken, to=site.office.new_address())
    paid = ask(site, other, to=site.office.new_address())

    async def scenario() -> list[int]:
        async with site.shift() as shift:
            worker, seen = shift.worker, [shift.worker.count_blocked()]

            def mend() -> bool:
                if shift.has_ended(paid.id) and shift.troubles and len(seen) == 1:
                    seen.append(worker.count_blocked())
                    site.office.signer._keys[broken.agent_id] = key
                return shift.has_ended(stuck.id)

            await shift.work(mend)
            return [*seen, worker.count_blocked()]

    assert asyncio.run(scenario()) == [0, 1, 0]
    assert_paid(site, stuck, paid)


def test_a_failed_payment_of_an_agent_does_not_stop_the_next_one(site: "Site") -> None:
    caller = site.hire(lamports=10**9)
    too_much = site.office.ask_now(caller, 10**10, to=site.office.new_address()).transaction
    paid = ask(site, caller, to=site.office.new_address())
    run(site, too_much, paid)
    assert_paid(site, paid)
    assert site.office.transaction(too_much.id).status is TransactionStatus.FAILED


def test_while_no_node_answers_the_money_stays_set_aside(site: "Site") -> None:
    """For as long as anybody looks; and when a node is back, the payment is made."""
    transaction = ask(site, site.hire(), to=site.office.new_address())
    site.localnet.faults.install(Fault(executes=False, reply=Reply.UNAVAILABLE))

    async def scenario() -> "Shift":
        async with site.shift() as shift:
            await shift.work(lambda: len(shift.troubles) == 20)
            return shift

    shift = asyncio.run(scenario())
    assert {each.step for each in shift.troubles} == {Step.PREPARE}
    assert site.office.transaction(transaction.id).status is TransactionStatus.PENDING
    assert site.office.reservation(transaction.id) == (HELD, str(AMOUNT))
    assert site.office.attempt(transaction.id) is None
    site.localnet.faults.clear()
    run(site, transaction)
    assert_paid(site, transaction)


def test_a_step_that_fails_is_tried_again_ever_more_rarely(site: "Site") -> None:
    ask(site, site.hire(), to=site.office.new_address())
    site.localnet.faults.install(Fault(executes=False, reply=Reply.UNAVAILABLE))

    async def scenario() -> list[float]:
        async with site.shift() as shift:
            at: list[float] = []
            shift.tap.look = lambda name, _argument: (
                at.append(site.office.clock.monotonic_s()) if name == "build" else None
            )
            await shift.work(lambda: len(at) == 10)
            return at

    tried = asyncio.run(scenario())
    waited = [round((b - a) * 1000) for a, b in pairwise(tried)]
    assert waited[:6] == [RETRY_MS_MIN * 2**n for n in range(6)]
    assert set(waited[6:]) == {RETRY_MS_MAX}


def test_patience_starts_anew_with_every_step_that_succeeds(site: "Site") -> None:
    transaction = ask(site, site.hire(), to=site.office.new_address())
    down = Fault(executes=False, reply=Reply.UNAVAILABLE)
    site.localnet.faults.install(
        msgspec.structs.replace(down, method="getLatestBlockhash", times=4),
        msgspec.structs.replace(down, method="getSignatureStatuses", times=2),
    )
    waits: list[object] = []

    async def scenario() -> None:
        async with site.shift() as shift:
            shift.tap.look = lambda name, argument: (
                waits.append(argument) if name == "sleep" else None
            )
            await shift.finish(transaction.id)

    asyncio.run(scenario())
    assert_paid(site, transaction)
    preparing, watching = [0.25, 0.5, 1, 2], [0.25, 0.25, 0.25, 0.5, 0.25]
    assert waits == [*preparing, *watching]  # between two looks 0.25, and after a failed one more


def test_what_had_nothing_left_to_do_is_taken_up_again_when_woken(site: "Site") -> None:
    transaction = ask(site, site.hire(), to=site.office.new_address())

    def put(status: TransactionStatus) -> None:
        site.office.execute(
            transactions.update().where(transactions.c.id == transaction.id).values(status=status)
        )

    put(TransactionStatus.QUEUED)

    async def scenario() -> None:
        async with site.shift() as shift:
            shift.worker.wake(transaction)

            def released() -> bool:
                if shift.tap.calls == ["read", "read"]:  # what is unfinished, and what this is
                    put(TransactionStatus.PENDING)
                    shift.worker.wake(transaction)
                return shift.has_ended(transaction.id)

            await shift.work(released)

    asyncio.run(scenario())
    assert_paid(site, transaction)


def test_a_node_that_fails_for_a_while_after_sending_changes_nothing(site: "Site") -> None:
    caller = site.hire()
    transaction = ask(site, caller, to=site.office.new_address())
    down = Fault(executes=False, reply=Reply.UNAVAILABLE)

    async def scenario() -> "Shift":
        async with site.shift() as shift:
            # `send` is heard of before it happens, so exactly its own request still gets through.
            shift.tap.look = lambda name, _argument: (
                site.localnet.faults.replace([Fault(method="sendTransaction", times=1), down])
                if name == "send"
                else None
            )
            await shift.work(lambda: len(shift.troubles) == 9)
            assert {each.step for each in shift.troubles} == {Step.WATCH}
            assert site.office.transaction(transaction.id).status is TransactionStatus.SUBMITTED
            assert site.office.reservation(transaction.id) == (HELD, str(AMOUNT))
            return shift

    asyncio.run(scenario())
    site.localnet.faults.clear()
    run(site, transaction)
    assert_paid(site, transaction)
    assert site.balance_of(caller) == 10**10 - AMOUNT - FEE


@pytest.mark.parametrize(
    "reply", [Reply.ERROR, Reply.GARBAGE, Reply.UNAVAILABLE, Reply.CUT_OFF, Reply.WRONG_ID]
)
def test_a_payment_whose_replies_are_always_lost_is_made_once(reply: Reply, site: "Site") -> None:
    caller = site.hire()
    transaction = ask(site, caller, to=site.office.new_address())
    site.localnet.faults.install(Fault(method="sendTransaction", reply=reply))
    run(site, transaction)
    assert_paid(site, transaction)
    assert site.balance_of(caller) == 10**10 - AMOUNT - FEE


def test_bytes_that_a_node_forgot_are_sent_again_and_are_the_same(site: "Site") -> None:
    transaction = ask(site, site.hire(), to=site.office.new_address())
    site.localnet.faults.install(Fault(method="sendTransaction", drops=True, times=3))
    sent: list[object] = []

    async def scenario() -> None:
        async with site.shift() as shift:
            shift.tap.look = lambda name, argument: (
                sent.append(argument) if name == "send" else None
            )
            await shift.finish(transaction.id)
            assert shift.tap.calls.count("look_up") >= 3 * LOOKS_PER_RESEND

    asyncio.run(scenario())
    assert_paid(site, transaction)
    assert (len(sent), len(set(sent))) == (4, 1)


def test_a_payment_that_never_lands_expires_and_frees_its_money(site: "Site") -> None:
    caller = site.hire(limits={"daily_max": AMOUNT})
    transaction = ask(site, caller, to=site.office.new_address())
    site.localnet.faults.install(Fault(method="sendTransaction", drops=True))
    run(site, transaction)
    assert site.office.transaction(transaction.id).status is TransactionStatus.EXPIRED
    assert site.office.reservation(transaction.id) == (RELEASED, str(AMOUNT))
    assert site.office.audit_of(transaction.id) == [*CONFIRMED_TRAIL[:-1], "TX_EXPIRED"]
    assert len(site.office.rows("attempts")) == 1  # never signed again by ourselves
    assert site.balance(transaction.to_address) == 0
    site.localnet.faults.clear()
    again = ask(site, caller, to=site.office.new_address())
    run(site, again)
    assert_paid(site, again)


def test_a_worker_that_is_cancelled_stops_in_the_middle_of_what_it_does(site: "Site") -> None:
    ask(site, site.hire(), to=site.office.new_address())

    async def scenario() -> None:
        async with site.shift() as shift:
            worker = Worker(shift.world, report=lambda *_: None)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(worker.run())
                while "build" not in shift.tap.calls:
                    await site.office.clock.sleep(0)
                task.cancel()
            assert task.cancelled()

    asyncio.run(scenario())


def test_a_worker_that_is_run_again_goes_on_with_what_it_was_doing(site: "Site") -> None:
    """As its supervisor does after a failure: what was being driven is driven by nobody then."""
    transaction = ask(site, site.hire(), to=site.office.new_address())

    async def scenario() -> None:
        async with site.shift() as shift:
            await shift.work(lambda: "build" in shift.tap.calls)
            assert not shift.has_ended(transaction.id)
            await shift.finish(transaction.id)

    asyncio.run(scenario())
    assert_paid(site, transaction)


def test_what_is_told_of_a_payment_is_told_in_the_context_of_its_request(site: "Site") -> None:
    cause = ContextVar("cause", default="the start")
    told: list[str] = []
    before = ask(site, site.hire(), to=site.office.new_address())
    caller, to = site.hire(), site.office.new_address()

    async def scenario() -> None:
        async with site.shift() as shift:
            both = asyncio.Event()

            def report(tx_id: TransactionId, *_: object) -> None:
                told.append(f"{cause.get()}: {tx_id}")
                if len({*told}) == 2:
                    both.set()

            worker = Worker(replace(shift.world, chains={}), report=report)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(worker.run())
                await site.office.clock.sleep(0)
                cause.set("a request")
                admission = await site.office.ask(caller, AMOUNT, to=to, key="k")
                assert admission.transaction is not None
                admitted.append(admission.transaction)
                worker.wake(admission.transaction)
                await both.wait()
                task.cancel()

    admitted: list[TransactionRecord] = []
    asyncio.run(scenario())
    assert {*told} == {f"the start: {before.id}", f"a request: {admitted[0].id}"}
