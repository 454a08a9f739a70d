"""A clock that is set opens no window and ends no wait; without the guard it is paid twice."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from nacl.signing import SigningKey
from tests.fakes.agents import ask, insert_agent
from tests.fakes.chain import LOCALNET, FakeChain
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import MemoryLedger
from tests.fakes.reports import unexpected
from tests.fakes.signer import FakeSigner

from waiaas.database import generate_id
from waiaas.domain.addresses import solana_address
from waiaas.domain.clock import TOLERANCE_S, ClockDoubt
from waiaas.domain.enums import NotificationEventType, TransactionStatus
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import TransactionRecord
from waiaas.domain.request import Transfer
from waiaas.pipeline.admit import Admission, Caller
from waiaas.pipeline.advance import Step
from waiaas.pipeline.agent_life import AgentVerbs
from waiaas.pipeline.clock_guard import ClockGuard, ClockInDoubt, note, stored_anchors
from waiaas.pipeline.decide import Decider, cancel, reject
from waiaas.pipeline.perform import World, perform, read_standing
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.worker import Worker
from waiaas.ports import GuardedClock

TO: Final = solana_address(bytes(SigningKey(bytes([9]) * 32).verify_key))
DAILY: Final = 1000
DELAY_S: Final = 600
LIMITS: Final = [
    {
        "asset": "native",
        "instant_max": str(DAILY),
        "delay_max": str(DAILY + 1),
        "delay_seconds": DELAY_S,
        "approval_timeout": DELAY_S,
        "daily_max": str(2 * DAILY - 1),
    }
]
HOURS_25: Final = 25 * 3600
OPERATOR: Final = Decider(None, None, None)


@dataclass
class House:
    """One agent, one ledger, and a machine whose wall clock can be set."""

    ledger: MemoryLedger
    machine: FakeClock = field(default_factory=FakeClock)
    chain: FakeChain = field(default_factory=FakeChain)
    signer: FakeSigner = field(default_factory=FakeSigner)
    clock: GuardedClock = field(init=False)
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        agent_id = AgentId(generate_id())
        address = self.signer.generate(agent_id)
        self.chain.fund(address, base_units=10**9)
        self.caller = self.ledger.write(
            lambda tx: insert_agent(
                tx, agent_id, address=address, limits=LIMITS, generate_id=generate_id
            )
        )
        self.clock = self.guard = self.start()

    def start(self, *, boot_id: str = "this boot") -> ClockGuard:
        """Start the program; the machine may have been started, too."""
        guard = ClockGuard(self.machine, boot_id=boot_id)
        guard.start(self.ledger)
        self.ledger.write(guard.keep)
        self.clock = self.guard = guard
        return guard

    def ask(self, amount: int = DAILY) -> Admission:
        return asyncio.run(
            ask(
                Transfer(TO, amount),
                caller=self.caller,
                key=generate_id(),
                ledger=self.ledger,
                clock=self.clock,
                generate_id=generate_id,
            )
        )

    def refused(self, amount: int = DAILY) -> Refusal:
        with pytest.raises(Refusal) as caught:
            self.ask(amount)
        return caught.value

    def world(self) -> World:
        return World(self.ledger, self.signer, {LOCALNET: self.chain}, self.clock, generate_id)

    def step(self, transaction: TransactionRecord) -> Step | None:
        standing = self.ledger.read(
            lambda tx: read_standing(tx, transaction.id, wall_s=self.clock.now_s())
        )
        asyncio.run(perform(standing, self.world()))
        return standing.step

    def pay(self, amount: int = DAILY) -> None:
        transaction = self.ask(amount).transaction
        for _ in range(3):
            self.step(transaction)
        self.chain.pass_blocks(1)
        self.step(transaction)
        assert self.status(transaction) is TransactionStatus.CONFIRMED

    def status(self, transaction: TransactionRecord) -> TransactionStatus:
        found = self.ledger.read(lambda tx: tx.transactions.get(transaction.id))
        assert found is not None
        return found.status

    def accept(self, difference_s: int) -> ClockDoubt | None:
        return asyncio.run(self.guard.accept(difference_s, "127.0.0.1"))

    def note(self) -> bool:
        doubt, wall_s = self.guard.doubt(), self.guard.now_s()
        return self.ledger.write(lambda tx: note(tx, doubt, now_s=ledger_time(tx, wall_s=wall_s)))

    def audit(self, *columns: str) -> list[Any]:
        rows = self.ledger.connection.sqlite.execute(
            "SELECT event_type, actor, details FROM audit_log WHERE event_type LIKE 'CLOCK%'"
            " OR event_type = 'OPERATION_REFUSED' ORDER BY id"
        )
        found = [dict(zip(("event", "actor", "details"), row, strict=True)) for row in rows]
        return [tuple(row[name] for name in columns or ("event",)) for row in found]


@pytest.fixture
def house() -> Iterator[House]:
    with MemoryLedger() as ledger:
        yield House(ledger)


@pytest.mark.parametrize("jump_s", [HOURS_25, -HOURS_25, TOLERANCE_S + 1, -TOLERANCE_S - 1])
def test_a_clock_that_was_set_opens_no_window(house: House, jump_s: int) -> None:
    house.pay()
    house.machine.jump(jump_s)
    refusal = house.refused()
    assert (refusal.code, refusal.is_transient) == ("CLOCK_IN_DOUBT", True)
    assert "waiaas clock accept" in (refusal.hint or "")
    assert str(abs(jump_s)) in refusal.message


def test_the_control_without_the_guard_the_daily_limit_is_paid_twice(house: House) -> None:
    house.clock = house.machine
    house.pay()
    house.machine.jump(HOURS_25)
    house.pay()


def test_small_steps_within_the_tolerance_refuse_nothing_and_never_add_up(house: House) -> None:
    house.pay(1)
    house.machine.jump(TOLERANCE_S)
    house.pay(1)
    house.machine.jump(1)
    assert house.refused(1).code == "CLOCK_IN_DOUBT"
    assert house.clock.now_s() == house.machine.now_s() - TOLERANCE_S - 1


def test_a_machine_that_slept_is_no_jump(house: House) -> None:
    house.pay()
    house.machine.pass_time(HOURS_25)
    house.pay()


def test_the_doubt_is_written_down_once_and_no_row_is_dated_by_it(house: House) -> None:
    house.pay()
    before = house.ledger.read(lambda tx: tx.audit.latest_timestamp())
    house.machine.jump(HOURS_25)
    for _ in range(3):
        house.refused()
    assert not house.note()
    assert house.audit("event", "actor") == [("CLOCK_JUMPED", "system")]
    told = house.ledger.read(lambda tx: tx.outbox.after(0, most=9))
    assert [each.event for each in told].count(NotificationEventType.CLOCK_JUMPED) == 1
    assert house.ledger.read(lambda tx: tx.audit.latest_timestamp()) == before
    house.machine.jump(-HOURS_25)
    assert house.note()
    assert not house.note()
    assert house.audit() == [("CLOCK_JUMPED",), ("CLOCK_RETURNED",)]
    # Nothing was forgotten meanwhile, and nothing from the future stays.
    refusal = house.ask().refusal
    assert refusal is not None
    assert refusal.code == "SPENDING_LIMIT_EXCEEDED"


@pytest.mark.parametrize("steps", [0, 1], ids=["nothing recorded", "recorded"])
def test_nothing_more_is_signed_until_the_clock_is_right_again(house: House, steps: int) -> None:
    transaction = house.ask().transaction
    for _ in range(steps):
        house.step(transaction)
    house.machine.jump(HOURS_25)
    status, signed = house.status(transaction), house.signer.signed
    with pytest.raises(ClockInDoubt):
        house.step(transaction)
    assert (house.status(transaction), house.signer.signed) == (status, signed)
    house.machine.jump(-HOURS_25)
    for _ in range(3 - steps):
        house.step(transaction)
    assert house.status(transaction) is TransactionStatus.SUBMITTED


async def let_others_go_on() -> None:
    loop = asyncio.get_running_loop()
    turn = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn


class Telling(Worker):
    """The control: tells of every try."""

    def _tell(self, tx_id: TransactionId, step: Step, error: Exception) -> None:
        self._report(tx_id, step, error)


@pytest.mark.parametrize("kind", [Worker, Telling])
def test_of_a_payment_that_is_held_in_doubt_it_is_told_once(
    house: House, kind: type[Worker]
) -> None:
    transaction = house.ask().transaction
    told: list[type[Exception]] = []

    async def scenario() -> None:
        worker = kind(house.world(), report=lambda _id, _step, error: told.append(type(error)))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(worker.run())
            house.machine.jump(HOURS_25)
            for turn in range(200):
                await let_others_go_on()
                house.machine.pass_time(1)
                house.chain.pass_blocks(turn % 2)
                if turn == 100:
                    house.machine.jump(-HOURS_25)
            task.cancel()

    asyncio.run(scenario())
    assert house.status(transaction) is TransactionStatus.CONFIRMED
    assert (len(told) == 1) is (kind is Worker)
    assert set(told) == {ClockInDoubt}


def test_a_clock_that_is_set_while_the_payment_is_built_is_seen_before_it_is_recorded(
    house: House,
) -> None:
    transaction = house.ask().transaction
    build = house.chain.build

    async def built_slowly(*given: Any, **named: Any) -> Any:
        house.machine.jump(HOURS_25)
        return await build(*given, **named)

    house.chain.build = built_slowly  # type: ignore[method-assign]  # -- the world, not the code
    with pytest.raises(ClockInDoubt):
        house.step(transaction)
    assert house.status(transaction) is TransactionStatus.PENDING


def test_what_is_signed_is_sent_and_watched_to_its_end(house: House) -> None:
    transaction = house.ask().transaction
    for _ in range(2):
        house.step(transaction)
    house.machine.jump(HOURS_25)
    assert house.step(transaction) is Step.SEND
    house.chain.pass_blocks(1)
    assert house.step(transaction) is Step.WATCH
    assert house.status(transaction) is TransactionStatus.CONFIRMED


def test_a_clock_that_is_set_forward_ends_no_delay(house: House) -> None:
    transaction = house.ask(DAILY + 1).transaction
    house.machine.jump(HOURS_25)
    assert house.step(transaction) is None
    house.machine.pass_time(DELAY_S)  # Due by now, by the steady clock: it waits on all the same.
    with pytest.raises(ClockInDoubt):
        house.step(transaction)
    assert house.status(transaction) is TransactionStatus.QUEUED
    house.accept(HOURS_25)
    assert house.step(transaction) is Step.PREPARE


def test_the_control_without_the_guard_a_delay_ends(house: House) -> None:
    house.clock = house.machine
    transaction = house.ask(DAILY + 1).transaction
    house.machine.jump(HOURS_25)
    assert house.step(transaction) is Step.PREPARE


def test_no_approval_expires_in_doubt(house: House) -> None:
    transaction = house.ask(DAILY + 2).transaction
    house.machine.jump(HOURS_25)
    assert house.step(transaction) is None
    house.machine.pass_time(DELAY_S)
    with pytest.raises(ClockInDoubt):
        house.step(transaction)
    house.machine.jump(-HOURS_25)
    assert house.step(transaction) is Step.EXPIRE


def test_stopping_goes_on_in_doubt(house: House) -> None:
    waiting = [house.ask(amount).transaction for amount in (1, DAILY + 2, 2, 3)]
    house.step(waiting[3])
    house.machine.jump(HOURS_25)
    asyncio.run(cancel(waiting[0].id, by=OPERATOR, ledger=house.ledger, clock=house.clock))
    asyncio.run(reject(waiting[1].id, by=OPERATOR, ledger=house.ledger, clock=house.clock))
    session_id = house.caller.session_id
    house.ledger.write(lambda tx: tx.sessions.revoke(session_id, now_s=house.clock.now_s()))
    house.step(waiting[2])  # What is forbidden is called off: it needs no clock.
    verbs = AgentVerbs(house.ledger, house.clock, None, unexpected)
    asyncio.run(verbs.suspend(house.caller.agent_id, reason=None))
    assert {house.status(each) for each in waiting} == {TransactionStatus.CANCELLED}


def test_the_operator_accepts_what_he_has_seen_and_payments_go_on(house: House) -> None:
    house.pay()
    house.machine.jump(HOURS_25)
    house.refused()
    assert house.accept(HOURS_25) is not None
    assert house.guard.doubt() is None
    assert [row[:2] for row in house.audit("event", "actor", "details")] == [
        ("CLOCK_JUMPED", "system"),
        ("CLOCK_ACCEPTED", "operator"),
    ]
    house.pay()  # He knows what he does: the day is over.
    house.machine.jump(-HOURS_25)
    assert house.refused().code == "CLOCK_IN_DOUBT"


def test_a_clock_that_moved_since_it_was_seen_is_not_accepted(house: House) -> None:
    house.machine.jump(HOURS_25)
    with pytest.raises(Refusal) as caught:
        house.accept(HOURS_25 + TOLERANCE_S + 1)
    assert caught.value.code == "CLOCK_IN_DOUBT"
    assert house.refused().code == "CLOCK_IN_DOUBT"
    assert house.audit() == [("OPERATION_REFUSED",), ("CLOCK_JUMPED",)]


def test_without_a_doubt_there_is_nothing_to_accept_and_the_anchor_stays(house: House) -> None:
    house.machine.jump(TOLERANCE_S)
    assert house.accept(TOLERANCE_S) is None
    house.machine.jump(TOLERANCE_S)
    assert house.guard.doubt() is not None
    assert house.audit() == []


@pytest.mark.parametrize("jump_s", [HOURS_25, -HOURS_25])
def test_a_clock_that_was_set_while_the_program_did_not_run_is_in_doubt(
    house: House, jump_s: int
) -> None:
    house.pay()
    house.machine.pass_time(60)
    house.machine.jump(jump_s)
    house.start()
    assert house.refused().code == "CLOCK_IN_DOUBT"
    house.accept(jump_s)
    house.start()
    assert house.guard.doubt() is None


def test_a_new_boot_is_believed_unless_its_clock_is_before_the_last_row(house: House) -> None:
    house.pay()
    house.machine.jump(HOURS_25)
    house.start(boot_id="the next boot")
    assert house.guard.doubt() is None
    house.pay()
    house.machine.jump(-HOURS_25)
    house.start(boot_id="the one after it")
    assert house.refused().code == "CLOCK_IN_DOUBT"


def restored_after_a_jump(house: House, *, keeps: bool) -> None:
    """Pay a day's maximum; restore, in a later boot, a backup that knows of it; set the clock."""
    house.pay()
    backup = house.ledger.connection.sqlite.serialize("main")
    house.machine.pass_time(HOURS_25)
    house.start(boot_id="a later boot")
    house.pay()
    house.machine.jump(HOURS_25)
    known = house.ledger.read(stored_anchors)
    house.ledger.connection.sqlite.deserialize("main", backup)
    if keeps:
        guard = ClockGuard(house.machine, boot_id="a later boot")
        guard.start_restored(house.ledger, known, made_s=0)
        house.ledger.write(guard.keep)
    house.start(boot_id="a later boot")


def test_a_restore_ends_no_doubt(house: House) -> None:
    restored_after_a_jump(house, keeps=True)
    assert house.refused().code == "CLOCK_IN_DOUBT"
    house.machine.jump(-HOURS_25)
    assert house.guard.doubt() is None


def test_the_control_a_restore_that_forgets_the_replaced_anchor_pays_by_a_clock_that_was_set(
    house: House,
) -> None:
    restored_after_a_jump(house, keeps=False)
    house.pay()


def test_where_no_anchor_of_this_boot_is_left_a_restore_asks_for_somebody_to_look(
    house: House,
) -> None:
    made_s = house.machine.now_s() + 60
    house.machine.pass_time(HOURS_25)
    guard = ClockGuard(house.machine, boot_id="a later boot")
    guard.start_restored(house.ledger, [], made_s=made_s)
    house.ledger.write(guard.keep)
    house.start(boot_id="a later boot")
    assert house.guard.doubt() == ClockDoubt(made_s, house.machine.now_s())
    house.accept(HOURS_25 - 60)
    house.pay()


def hear(house: House, chain_s: int) -> None:
    asyncio.run(house.guard.hear([chain_s], are_all=True))


def booted_ahead(house: House) -> int:
    """Pay a day's maximum; start the machine anew, 25 hours ahead; return what time it is."""
    house.pay()
    true_s = house.machine.now_s()
    house.machine.jump(HOURS_25)
    house.start(boot_id="the next boot")
    return true_s


def test_a_machine_that_starts_with_a_clock_ahead_is_found_out_by_the_chain(house: House) -> None:
    true_s = booted_ahead(house)
    assert house.guard.wants_chains
    hear(house, true_s)
    assert house.refused().code == "CLOCK_IN_DOUBT"
    assert house.guard.doubt() == ClockDoubt(true_s, true_s + HOURS_25)
    assert house.clock.now_s() == true_s
    house.start(boot_id="the next boot")
    assert house.guard.doubt() is not None
    house.accept(HOURS_25)
    house.pay()


def test_the_control_without_the_chain_the_daily_limit_is_paid_twice(house: House) -> None:
    booted_ahead(house)
    house.pay()


@pytest.mark.parametrize("off_s", [0, HOURS_25], ids=["as it was", "as the chain says"])
def test_what_a_chain_began_no_setting_of_the_clock_ends(house: House, off_s: int) -> None:
    hear(house, house.machine.now_s() + HOURS_25)
    house.machine.jump(off_s)
    assert house.refused().code == "CLOCK_IN_DOUBT"


def test_a_chain_ends_no_doubt(house: House) -> None:
    house.machine.jump(HOURS_25)
    hear(house, house.machine.now_s())
    assert house.refused().code == "CLOCK_IN_DOUBT"
    house.machine.jump(-HOURS_25)
    assert house.guard.doubt() is None


@pytest.mark.parametrize("by", ["chain", "operator"])
def test_a_chain_is_heard_once_in_a_boot_and_not_after_the_operator_has_looked(
    house: House, by: str
) -> None:
    if by == "chain":
        hear(house, house.machine.now_s())
    else:
        house.machine.jump(HOURS_25)
        house.accept(HOURS_25)
    for _ in range(2):
        assert not house.guard.wants_chains
        hear(house, 0)
        assert house.guard.doubt() is None
        house.start()
    house.start(boot_id="the next boot")
    assert house.guard.wants_chains


def test_before_it_is_started_it_says_nothing_that_could_move_ledger_time(house: House) -> None:
    last_s = house.ledger.read(lambda tx: tx.audit.latest_timestamp())
    guard = ClockGuard(house.machine, boot_id="this boot")
    assert house.ledger.read(lambda tx: ledger_time(tx, wall_s=guard.now_s())) == last_s


def test_steady_time_and_sleep_are_the_machine_s(house: House) -> None:
    house.machine.pass_time(5)
    assert house.guard.monotonic_s() == house.machine.monotonic_s()
    asyncio.run(house.guard.sleep(0))
