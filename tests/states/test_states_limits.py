"""Requests, settlements, clocks and new limits in any order, against a model in naive Python.

The ledger's real tables and the real admission must agree with sums over a list, and keep their
word: what is said to pass passes, one unit more or one second less does not.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.fakes.agents import Rules, ask, insert_agent, insert_limit
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import MemoryLedger

from waiaas.database import generate_id
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.admit import Admission
from waiaas.pipeline.record import ledger_time
from waiaas.ports import LedgerTransaction

Value = TypeVar("Value")

TO: Final = "So11111111111111111111111111111111111111112"
MOST: Final = 2**256 - 1
CARE: Final = ("INSTANT", "NOTIFY", "DELAY", "APPROVAL", "denied")
TIERS: Final = ("instant_max", "notify_max", "delay_max")
WINDOWS_S: Final = {
    "hourly_max": 3600,
    "daily_max": 86_400,
    "weekly_max": 604_800,
    "monthly_max": 2_592_000,
}
HUGE: Final = 2**250
"""Sixty-three of these fit; many more are asked for."""

SIZES: Final = st.integers(1, 60)
ON_EXCEED: Final = st.sampled_from(["deny", "deny", "deny", "approval"])


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a SPENDING_LIMIT, its bounds in no unit yet."""
    rules: dict[str, Any] = {"asset": "native", "on_exceed": draw(ON_EXCEED)}
    tiers = ["instant_max", *draw(st.sets(st.sampled_from(TIERS[1:])))]
    windows = draw(st.sets(st.sampled_from([*WINDOWS_S]), min_size=1))
    for names, group in ((TIERS, tiers), (WINDOWS_S, windows)):
        bounds = sorted(draw(st.lists(SIZES, min_size=len(group), max_size=len(group))))
        rules |= dict(zip([name for name in names if name in group], bounds, strict=True))
    if draw(st.booleans()):
        rules["per_transaction_max"] = draw(SIZES)
    return rules


class Entry(NamedTuple):
    """Money that was let through."""

    amount: int
    tier: str
    state: str
    at: int | None


class Undone(Exception):  # noqa: N818 -- what it does
    """Take everything back."""


@dataclass(frozen=True)
class Trial:
    """A ledger that forgets what is written to it as soon as it has answered."""

    ledger: MemoryLedger

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        return self.ledger.read(query)

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        answers: list[Value] = []

        def tried(tx: LedgerTransaction) -> None:
            answers.append(unit(tx))
            raise Undone

        with suppress(Undone):
            self.ledger.write(tried)
        return answers[0]

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        return self.write(unit)


class Spending(RuleBasedStateMachine):
    """One agent, one asset, and what became of every request."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = MemoryLedger()
        self.clock = FakeClock()
        self.agent_id = AgentId(generate_id())
        self.entries: dict[TransactionId, Entry] = {}
        self.limits: list[Rules] = []
        self.last_s = 0

    def teardown(self) -> None:
        self.ledger.close()

    @initialize(unit=st.sampled_from([1, 1000, HUGE]), rules=limits())
    def begin(self, unit: int, rules: dict[str, Any]) -> None:
        self.unit = unit
        self.limits = [self.in_units(rules)]
        self.caller = self.ledger.write(
            lambda tx: insert_agent(
                tx, self.agent_id, address=TO, limits=self.limits, generate_id=generate_id
            )
        )

    def in_units(self, rules: dict[str, Any]) -> dict[str, Any]:
        return {
            name: str(value * self.unit) if isinstance(value, int) else value
            for name, value in rules.items()
        }

    # ── what happens ───────────────────────────────────────────────────────────────────────────

    @rule(size=st.integers(1, 40) | SIZES, more=st.sampled_from([-1, 0, 0, 0, 1]))
    def request(self, size: int, more: int) -> None:
        amount = min(max(size * self.unit + more, 1), MOST)
        expected = self.judge(amount)
        admission = self.ask(amount, self.ledger)
        self.last_s = self.now_s
        assert care(admission) == expected
        if admission.refusal is None:
            tier = str(admission.transaction.tier)
            self.entries[admission.transaction.id] = Entry(amount, tier, "HELD", None)
        else:
            self.keeps_its_word(amount, admission.refusal.details)

    def keeps_its_word(self, amount: int, said: Any) -> None:
        """Try what a denial says would pass, and just beyond."""
        most = int(said["maxAllowed"] or 0)
        assert care(self.ask(min(most + 1, MOST), Trial(self.ledger))) == "denied"
        assert not most or care(self.ask(most, Trial(self.ledger))) != "denied"
        retry_at = said["retryAt"]
        if retry_at is not None and not self.held():
            assert care(self.ask_at(retry_at, amount)) != "denied"
            assert care(self.ask_at(retry_at - 1, amount)) == "denied"

    @precondition(lambda self: any(each.state == "HELD" for each in self.entries.values()))
    @rule(data=st.data(), spent=st.sampled_from([True, True, False]))
    def settle(self, data: st.DataObject, *, spent: bool) -> None:
        held = [tx_id for tx_id, each in self.entries.items() if each.state == "HELD"]
        tx_id = data.draw(st.sampled_from(held))
        state = ReservationState.SPENT if spent else ReservationState.RELEASED

        def unit(tx: LedgerTransaction) -> int:
            now_s = ledger_time(tx, wall_s=self.clock.now_s())
            assert tx.reservations.settle(tx_id, state=state, now_s=now_s)
            tx.audit.append(AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM), now_s=now_s)
            return now_s

        assert self.ledger.write(unit) == self.now_s
        self.last_s = self.now_s
        self.entries[tx_id] = self.entries[tx_id]._replace(state=state, at=self.now_s)

    @rule(window_s=st.sampled_from([*WINDOWS_S.values(), 1]), more_s=st.sampled_from([-1, 0, 1]))
    def pass_time(self, window_s: int, more_s: int) -> None:
        self.clock.pass_time(max(window_s + more_s, 0))

    @rule(seconds=st.sampled_from([-100_000, -3600, -1, 1, 3600]))
    def jump(self, seconds: int) -> None:
        self.clock.jump(seconds)

    @precondition(lambda self: len(self.limits) < 4)
    @rule(rules=limits(), sizes=st.lists(SIZES, min_size=1, max_size=3))
    def add_a_limit(self, rules: dict[str, Any], sizes: list[int]) -> None:
        """Add one more limit on what is granted already: nothing gets easier by it."""
        amounts = [size * self.unit for size in sizes]
        before = [care(self.ask(min(each, MOST), Trial(self.ledger))) for each in amounts]
        added = self.in_units(rules)
        self.ledger.write(
            lambda tx: insert_limit(tx, self.agent_id, added, generate_id=generate_id)
        )
        self.limits.append(added)
        after = [care(self.ask(min(each, MOST), Trial(self.ledger))) for each in amounts]
        assert all(
            CARE.index(new) >= CARE.index(old) for old, new in zip(before, after, strict=True)
        )

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    def ask(self, amount: int, ledger: Any) -> Admission:
        return asyncio.run(
            ask(
                Transfer(TO, amount),
                caller=self.caller,
                key=generate_id(),
                ledger=ledger,
                clock=self.clock,
                generate_id=generate_id,
            )
        )

    def ask_at(self, second: int, amount: int) -> Admission:
        ahead_s = second - self.clock.now_s()
        self.clock.jump(ahead_s)
        try:
            return self.ask(amount, Trial(self.ledger))
        finally:
            self.clock.jump(-ahead_s)

    # ── the model ──────────────────────────────────────────────────────────────────────────────

    @property
    def now_s(self) -> int:
        return max(self.clock.now_s(), self.last_s)

    def held(self, *tiers: str) -> int:
        return sum(
            each.amount
            for each in self.entries.values()
            if each.state == "HELD" and (not tiers or each.tier in tiers)
        )

    def moved_after(self, second: int) -> int:
        return sum(
            each.amount
            for each in self.entries.values()
            if each.state == "SPENT" and each.at is not None and each.at > second
        )

    def judge(self, amount: int) -> str:
        """Say what becomes of a request, by adding everything up."""
        return max((self.judge_by(each, amount) for each in self.limits), key=CARE.index)

    def judge_by(self, limit: Rules, amount: int) -> str:
        found = ["INSTANT"]
        written = [name for name in TIERS if name in limit]
        for index, name in enumerate(written):
            if self.held("INSTANT", "NOTIFY") + amount > int(limit[name]):
                following = written[index + 1 : index + 2]
                found.append(CARE[TIERS.index(following[0])] if following else "APPROVAL")
        exceeded = amount > int(limit.get("per_transaction_max", MOST))
        for name, window_s in WINDOWS_S.items():
            total = self.held() + self.moved_after(self.now_s - window_s) + amount
            exceeded |= name in limit and total > int(limit[name])
        if exceeded:
            found.append("denied" if limit["on_exceed"] == "deny" else "APPROVAL")
        return max(found, key=CARE.index)


def care(admission: Admission) -> str:
    return "denied" if admission.refusal is not None else str(admission.transaction.tier)


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=40, stateful_step_count=20)
