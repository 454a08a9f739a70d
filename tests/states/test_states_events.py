"""Every state of a transaction, met by everything that can happen to it: one table, no cell empty.

Each cell is reached and left through the real functions of the pipeline, and looked at whole: the
status, the attempt, the money set aside, and what the audit log tells of it.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import pytest
from sqlalchemy import select
from tests.fakes.agents import ask, insert_agent
from tests.fakes.chain import LOCALNET, FakeChain, Manners
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import MemoryLedger
from tests.fakes.signer import FakeSigner

from waiaas.database import audit_log, generate_id
from waiaas.database.schema import reservations
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import TransactionRecord
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import TRANSITIONS, is_terminal
from waiaas.pipeline.decide import Decider, approve, cancel, reject
from waiaas.pipeline.perform import World, perform, read_standing
from waiaas.ports import LedgerTransaction

Value = TypeVar("Value")

TO: Final = "So11111111111111111111111111111111111111112"
OPERATOR: Final = Decider(None, None, None)
INSTANT, DELAYED, APPROVED, TOO_MUCH = 10, 60, 90, 200
RULES: Final = {
    "asset": "native",
    "instant_max": "50",
    "notify_max": "50",
    "delay_max": "80",
    "delay_seconds": 60,
    "approval_timeout": 600,
    "per_transaction_max": "100",
}
LATER_S: Final = 3600

# What there is to decide is gone · nobody's approval is waited for · the time to decide is over.
GONE, NONE, OVER = "!TX_ALREADY_PROCESSED", "!APPROVAL_NOT_FOUND", "!APPROVAL_TIMEOUT"
STAY: Final = "="

ASKED_OF_US: Final = ("replay", "approve", "reject", "cancel", "approve late")
HAPPENS: Final = ("tick", "much later", "landed", "failed", "expired", "crash")

# fmt: off
ANSWERS: Final = {
    # in this state:  replay       approve      reject       cancel       approve late
    "PENDING":    (STAY,        NONE,        NONE,        "CALLED OFF", NONE),
    "DELAYED":    (STAY,        NONE,        NONE,        "CALLED OFF", NONE),
    "ASKED":      (STAY,        "APPROVED",  "REJECTED",  "CALLED OFF", OVER),
    "APPROVED":   (STAY,        GONE,        GONE,        "CALLED OFF", GONE),
    "RECORDED":   (STAY,        NONE,        NONE,        "GIVEN UP",  NONE),
    "SIGNED":     (STAY,        NONE,        NONE,        GONE,        NONE),
    "SENT":       (STAY,        NONE,        NONE,        GONE,        NONE),
    "LANDED":     (STAY,        NONE,        NONE,        GONE,        NONE),
    "FAILED":     (STAY,        NONE,        NONE,        GONE,        NONE),
    "EXPIRED":    (STAY,        NONE,        NONE,        GONE,        NONE),
    "HOPELESS":   (STAY,        NONE,        NONE,        GONE,        NONE),
    "DENIED":     (STAY,        NONE,        NONE,        GONE,        NONE),
    "CALLED OFF": (STAY,        NONE,        NONE,        GONE,        NONE),
    "GIVEN UP":   (STAY,        NONE,        NONE,        GONE,        NONE),
    "REJECTED":   (STAY,        GONE,        GONE,        GONE,        GONE),
    "TIMED OUT":  (STAY,        GONE,        GONE,        GONE,        GONE),
    "IN PARTS":   (STAY,        NONE,        NONE,        GONE,        NONE),
}
STEPS: Final = {
    # in this state:  tick         much later   landed       failed       expired      crash
    "PENDING":    ("RECORDED",  "RECORDED",  "RECORDED",  "RECORDED",  "RECORDED",  STAY),
    "DELAYED":    (STAY,        "RECORDED",  STAY,        STAY,        STAY,        STAY),
    "ASKED":      (STAY,        "TIMED OUT", STAY,        STAY,        STAY,        STAY),
    "APPROVED":   ("RECORDED",  "RECORDED",  "RECORDED",  "RECORDED",  "RECORDED",  STAY),
    "RECORDED":   ("SIGNED",    "SIGNED",    "SIGNED",    "SIGNED",    "SIGNED",    STAY),
    "SIGNED":     ("SENT",      "SENT",      "SENT",      "SENT",      "SENT",      STAY),
    "SENT":       (STAY,        STAY,        "LANDED",    "FAILED",    "EXPIRED",   STAY),
    "LANDED":     (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "FAILED":     (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "EXPIRED":    (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "HOPELESS":   (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "DENIED":     (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "CALLED OFF": (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "GIVEN UP":   (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "REJECTED":   (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "TIMED OUT":  (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
    "IN PARTS":   (STAY,        STAY,        STAY,        STAY,        STAY,        STAY),
}

STATES: Final = {
    # what it is called: status, its attempt's state, its money
    "PENDING":    ("PENDING",   None,              "HELD"),
    "DELAYED":    ("QUEUED",    None,              "HELD"),
    "ASKED":      ("QUEUED",    None,              "HELD"),
    "APPROVED":   ("QUEUED",    None,              "HELD"),
    "RECORDED":   ("EXECUTING", "RECORDED",        "HELD"),
    "SIGNED":     ("EXECUTING", "SIGNED",          "HELD"),
    "SENT":       ("SUBMITTED", "SENT",            "HELD"),
    "LANDED":     ("CONFIRMED", "LANDED",          "SPENT"),
    "FAILED":     ("FAILED",    "FAILED_ON_CHAIN", "RELEASED"),
    "EXPIRED":    ("EXPIRED",   "EXPIRED",         "RELEASED"),
    "HOPELESS":   ("FAILED",    None,              "RELEASED"),
    "DENIED":     ("CANCELLED", None,              None),
    "CALLED OFF": ("CANCELLED", None,              "RELEASED"),
    "GIVEN UP":   ("CANCELLED", "REPLACED",        "RELEASED"),
    "REJECTED":   ("CANCELLED", None,              "RELEASED"),
    "TIMED OUT":  ("EXPIRED",   None,              "RELEASED"),
    "IN PARTS":   ("PARTIAL_FAILURE", "SENT",      "HELD"),
}
# fmt: on

EVENTS: Final = (*ASKED_OF_US, *HAPPENS)
TABLE: Final = {
    state: dict(zip(EVENTS, (*ANSWERS[state], *STEPS[state]), strict=True)) for state in STATES
}


def is_ended(facts: tuple[str, str | None, str | None]) -> bool:
    return is_terminal(TransactionStatus(facts[0]))


WAYS: Final = {
    "PENDING": (INSTANT,),
    "DELAYED": (DELAYED,),
    "ASKED": (APPROVED,),
    "APPROVED": (APPROVED, "approve"),
    "RECORDED": (INSTANT, "tick"),
    "SIGNED": (INSTANT, "tick", "tick"),
    "SENT": (INSTANT, "tick", "tick", "tick"),
    "LANDED": (INSTANT, "tick", "tick", "tick", "landed"),
    "FAILED": (INSTANT, "tick", "tick", "tick", "failed"),
    "EXPIRED": (INSTANT, "tick", "tick", "tick", "expired"),
    "HOPELESS": (INSTANT, "hopeless"),
    "DENIED": (TOO_MUCH,),
    "CALLED OFF": (INSTANT, "cancel"),
    "GIVEN UP": (INSTANT, "tick", "cancel"),
    "REJECTED": (APPROVED, "reject"),
    "TIMED OUT": (APPROVED, "much later"),
    # Nothing in the pipeline leads there yet: batches on chains that can do half of one.
    "IN PARTS": (INSTANT, "tick", "tick", "tick", "in parts"),
}
"""How each state is reached: an amount is asked for, and then so much happens."""


class PowerCut(BaseException):
    """The process is gone before it could write."""


@dataclass(frozen=True)
class CutLedger:
    """A ledger that no write reaches."""

    ledger: MemoryLedger

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        return self.ledger.read(query)

    def write(self, _unit: Callable[[LedgerTransaction], Value]) -> Value:
        raise PowerCut

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        return self.write(unit)


@dataclass
class Case:
    """One transaction of one agent, and the world around it."""

    ledger: MemoryLedger
    clock: FakeClock = field(default_factory=FakeClock)
    chain: FakeChain = field(default_factory=FakeChain)
    signer: FakeSigner = field(default_factory=FakeSigner)
    tx_id: TransactionId = field(init=False)
    amount: int = field(init=False)

    def __post_init__(self) -> None:
        # What is sent is lost, so that nothing lands by itself.
        self.chain.manners = lambda call: Manners(drops=call == "send")
        agent_id = AgentId(generate_id())
        self.address = self.signer.generate(agent_id)
        self.chain.fund(self.address, base_units=10**6)
        self.caller = self.ledger.write(
            lambda tx: insert_agent(
                tx, agent_id, address=self.address, limits=[RULES], generate_id=generate_id
            )
        )

    @property
    def world(self) -> World:
        chains = {LOCALNET: self.chain}
        return World(self.ledger, self.signer, chains, self.clock, generate_id)

    async def come_to(self, state: str) -> None:
        amount, *events = WAYS[state]
        self.amount = int(amount)
        self.tx_id = (await self.admit()).id
        for event in events:
            await HAPPENINGS[str(event)](self)

    async def admit(self) -> TransactionRecord:
        admission = await ask(
            Transfer(TO, self.amount),
            caller=self.caller,
            key="key",
            ledger=self.ledger,
            clock=self.clock,
            generate_id=generate_id,
        )
        return admission.transaction

    async def replay(self) -> None:
        assert (await self.admit()).id == self.tx_id

    async def approve(self) -> None:
        await approve(self.tx_id, by=OPERATOR, ledger=self.ledger, clock=self.clock)

    async def reject(self) -> None:
        await reject(self.tx_id, by=OPERATOR, ledger=self.ledger, clock=self.clock)

    async def cancel(self) -> None:
        await cancel(self.tx_id, by=OPERATOR, ledger=self.ledger, clock=self.clock)

    async def approve_late(self) -> None:
        self.clock.pass_time(LATER_S)
        await self.approve()

    async def tick(self) -> None:
        """Do what comes next, if anything does."""
        await self.step(self.world)

    async def step(self, world: World) -> None:
        transaction, wall_s = self.transaction(), self.clock.now_s()
        await perform(
            self.ledger.read(lambda tx: read_standing(tx, transaction.id, wall_s=wall_s)), world
        )

    async def much_later(self) -> None:
        self.clock.pass_time(LATER_S)
        await self.tick()

    async def landed(self) -> None:
        await self.arrive(blocks=1)
        await self.tick()

    async def failed(self) -> None:
        self.chain.fund(self.address, base_units=-(10**6))
        await self.arrive(blocks=33)
        self.chain.fund(self.address, base_units=10**6)
        await self.tick()

    async def expired(self) -> None:
        self.chain.pass_blocks(200)
        await self.tick()

    async def arrive(self, *, blocks: int) -> None:
        """Let signed bytes, if there are any, reach the chain after all."""
        attempt = self.ledger.read(lambda tx: tx.attempts.of_transaction(self.tx_id))
        if attempt is not None and attempt.signed is not None:
            manners, self.chain.manners = self.chain.manners, lambda _call: Manners()
            await self.chain.send(base64.b64decode(attempt.signed))
            self.chain.manners = manners
        self.chain.pass_blocks(blocks)

    async def crash(self) -> None:
        """Be cut off behind the act and before its record."""
        with suppress(PowerCut):
            await self.step(replace(self.world, ledger=CutLedger(self.ledger)))

    async def become_hopeless(self) -> None:
        self.chain.fund(self.address, base_units=-(10**6))
        await self.tick()

    async def become_partial(self) -> None:
        self.ledger.write(
            lambda tx: tx.transactions.compare_and_set_status(
                self.tx_id, old=TransactionStatus.SUBMITTED, new=TransactionStatus.PARTIAL_FAILURE
            )
        )

    # ── what became of it ──

    def transaction(self) -> TransactionRecord:
        found = self.ledger.read(lambda tx: tx.transactions.get(self.tx_id))
        assert found is not None
        return found

    def facts(self) -> tuple[str, str | None, str | None]:
        attempt = self.ledger.read(lambda tx: tx.attempts.of_transaction(self.tx_id))
        money = self.ledger.connection.db.execute(select(reservations.c.state))
        return (
            self.transaction().status,
            None if attempt is None else attempt.state,
            money[0].state if money else None,
        )

    def audit(self) -> list[Any]:
        return self.ledger.connection.db.execute(select(audit_log).order_by(audit_log.c.id))


HAPPENINGS: Final[dict[str, Callable[[Case], Awaitable[None]]]] = {
    "replay": Case.replay,
    "approve": Case.approve,
    "reject": Case.reject,
    "cancel": Case.cancel,
    "approve late": Case.approve_late,
    "tick": Case.tick,
    "much later": Case.much_later,
    "landed": Case.landed,
    "failed": Case.failed,
    "expired": Case.expired,
    "crash": Case.crash,
    "hopeless": Case.become_hopeless,
    "in parts": Case.become_partial,
}


async def meet(case: Case, event: str) -> str | None:
    """Let an event happen; return the code with which it was refused, if it was."""
    try:
        await HAPPENINGS[event](case)
    except Refusal as refusal:
        return f"!{refusal.code}"
    return None


CELLS: Final = [
    # What has ended stays so, whatever happens: one transaction meets it all.
    *((state, EVENTS) for state, facts in STATES.items() if is_ended(facts)),
    *(
        (state, (event,))
        for state, facts in STATES.items()
        if not is_ended(facts)
        for event in EVENTS
    ),
]


@pytest.mark.parametrize(
    ("state", "events"), CELLS, ids=lambda each: each if isinstance(each, str) else each[0]
)
def test_whatever_happens_to_a_transaction_in_any_state_is_what_the_table_says(
    state: str, events: tuple[str, ...]
) -> None:
    with MemoryLedger() as ledger:
        case = Case(ledger)
        asyncio.run(case.come_to(state))
        for event in events:
            check_cell(case, state, event)


def check_cell(case: Case, state: str, event: str) -> None:
    """Let an event happen to a transaction in a state, and look at all of it."""
    expected = TABLE[state][event]
    before, told_before = case.transaction(), len(case.audit())
    assert case.facts() == STATES[state]
    refused = asyncio.run(meet(case, event))
    told = case.audit()[told_before:]
    if expected.startswith("!"):
        assert (refused, case.transaction()) == (expected, before), event
        assert [row.event_type for row in told] == ["TX_DECISION_REFUSED"]
    elif expected == STAY:
        assert (refused, case.transaction(), told) == (None, before, []), event
        assert case.facts() == STATES[state]
    else:
        assert refused is None
        assert case.facts() == STATES[expected]
        assert told
    check_told(told, before.status, case.transaction().status)
    assert case.chain.effects().total() <= 1


def check_told(told: list[Any], old: str, new: str) -> None:
    """Return if the audit rows tell of exactly this change of status."""
    changes = [json.loads(row.details) for row in told]
    steps = [(each["from"], each["to"]) for each in changes if "to" in each and "from" in each]
    assert steps == ([] if old == new else [(old, new)])


def test_every_status_is_in_the_table_and_every_move_of_it_is_allowed() -> None:
    assert ANSWERS.keys() == STEPS.keys() == STATES.keys() == WAYS.keys()
    assert {status for status, _, _ in STATES.values()} == set(TransactionStatus)
    for state, cells in TABLE.items():
        old = TransactionStatus(STATES[state][0])
        moves = {cell for cell in cells.values() if cell != STAY and not cell.startswith("!")}
        assert not (moves and is_terminal(old))
        for cell in moves:
            new = TransactionStatus(STATES[cell][0])
            assert new is old or new in TRANSITIONS[old]
