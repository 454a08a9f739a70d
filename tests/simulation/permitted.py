"""What policies and sessions permitted, second by second, replayed from the audit log.

Which rules were live is known for every row of the log, and so is what was spent and set aside by
then. So each payment is judged anew, naively, where it is admitted and where it is signed: by the
rules of that moment. Policies that were tightened reach whatever is not signed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import apsw
from tests.simulation.rules import (
    CARE,
    Deed,
    Payment,
    Policy,
    Rules,
    against_session,
    is_excused,
    read_rules,
    refusals,
)
from tests.simulation.told import Row, require

WINDOWS_S: Final = {
    "hourly_max": 3600,
    "daily_max": 86_400,
    "weekly_max": 604_800,
    "monthly_max": 2_592_000,
}
ENDED_WITHOUT: Final = ("CANCELLED", "EXPIRED", "FAILED")
"""Statuses of payments that were not made."""

TOLERANCE_S: Final = 300
"""What a wall clock may be off unnoticed."""

SLACK_S: Final = 3 * TOLERANCE_S
"""By how much a window may seem shorter: off one way, then the other, and a step of the end."""

Key = tuple[str, str]
"""An agent and an asset."""


class Clocks(NamedTuple):
    """What the machine's clocks show, and what its operator has accepted."""

    wall_s: int
    steady_s: float
    accepted_s: float
    """How far ahead of the steady clock the operator believes the wall clock to be."""

    @property
    def trusted_s(self) -> float:
        return self.steady_s + self.accepted_s

    @property
    def is_doubtful(self) -> bool:
        return abs(self.wall_s - self.trusted_s) > TOLERANCE_S + 1


class Moved(NamedTuple):
    """Money that has left."""

    second: int
    """By the ledger's time."""
    trusted_s: float
    """By the clock that nobody sets but the operator."""
    amount: int


@dataclass
class Permitted:
    """What was permitted so far."""

    first: Mapping[str, Policy]
    """By id, the rules that the world began with."""
    is_trusting: bool = False
    """Whether the daemon believes any clock: then only the windows are promised."""
    live: dict[str, Policy] = field(init=False)
    """Those in force."""
    constraints: dict[str, Rules | None] = field(default_factory=dict)
    """By session."""
    payments: dict[str, Payment] = field(default_factory=dict)
    """By transaction, all that were admitted, in that order."""
    moved: dict[Key, list[Moved]] = field(default_factory=dict)
    is_retold: bool = False
    """Whether what is heard was heard before: the ledger came out of a backup."""
    judged: set[Key] | None = None
    """Of what something was admitted since the ledger was restored; None: it never was."""
    trusted_s: float = 0
    """When the newest row was written, by the clock that nobody sets."""
    _met: set[tuple[str, int, str, str]] = field(default_factory=set)
    """Rules, by id and version, and which of their bounds were kept at some moment."""

    def __post_init__(self) -> None:
        self.live = dict(self.first)

    def hear(self, row: Row, rows: apsw.Connection, clocks: Clocks) -> None:
        """Take in the next row of the log."""
        now_s = row.second if self.is_retold else clocks.trusted_s
        self.trusted_s = max(self.trusted_s, now_s)
        match row.event:
            case "POLICY_UPDATED":
                self._change(row)
            case "FOREIGN_MOVEMENT_FOUND":
                self._move(row, row.told["asset"], int(row.told["amount"]))
            case "TX_REQUESTED" if row.told["tier"] is not None:
                self._admit(row, rows)
            case "TX_PAYLOAD_RECORDED":
                self.payments[row.tx_id].take_rent(int(row.told["rent"]))
            case "TX_SIGNED":
                is_excused = self.is_retold or self.is_trusting
                require(is_excused or not clocks.is_doubtful, "signed by a clock in doubt")
                self._sign(row)
            case _:
                pass
        payment = self.payments.get(row.tx_id)
        if payment is not None and "to" in row.told:
            self._settle(row, payment)

    def _change(self, row: Row) -> None:
        policy_id = row.told["policyId"]
        self.live.pop(policy_id, None)
        if row.told["after"] is not None:
            rules = read_rules(row.told["after"])
            self.live[policy_id] = Policy(row.agent_id, row.told["type"], rules, row.id)

    def _move(self, row: Row, asset: str, amount: int) -> None:
        moved = Moved(row.second, self.trusted_s, amount)
        self.moved.setdefault((row.agent_id, asset), []).append(moved)

    def _settle(self, row: Row, payment: Payment) -> None:
        if row.told["to"] in ENDED_WITHOUT:
            payment.is_freed = True
        elif row.told["to"] == "CONFIRMED":
            payment.has_moved = True
            for asset, amount in payment.leaving.items():
                self._move(row, asset, amount)

    # ── judging ────────────────────────────────────────────────────────────────────────────────

    def _admit(self, row: Row, rows: apsw.Connection) -> None:
        deeds = [Deed._make(each) for each in rows.execute(DEEDS, [row.tx_id, row.tx_id])]
        payment = Payment(row.agent_id, row.session_id, row.told["tier"], deeds, row.second)
        before = [each for each in self.payments.values() if each.agent_id == row.agent_id]
        for each in before:
            if each.is_held and each.tier in CARE[:2]:
                payment.going_out.update(each.leaving)
        self.payments[row.tx_id] = payment
        if self.is_retold:
            return
        self._judge(payment, before, [each for each in before if each.is_held], row.second)
        self._judge_session(payment)
        if self.judged is not None:
            self.judged |= {(row.agent_id, asset) for asset in payment.leaving}

    def _sign(self, row: Row) -> None:
        payment = self.payments[row.tx_id]
        payment.is_signed = True
        if self.is_retold:
            return
        mine = [each for each in self.payments.values() if each.agent_id == row.agent_id]
        place = next(place for place, each in enumerate(mine) if each is payment)
        gone = [each for each in mine if each.is_signed and each.is_held and each is not payment]
        self._judge(payment, mine[:place], gone, row.second)
        found = list(against_session(payment, self.constraints.get(payment.session_id)))
        require(not found, f"signed against its session: {found}")

    def _judge(
        self, payment: Payment, before: Sequence[Payment], others: Sequence[Payment], second: int
    ) -> None:
        """Hold *payment* against the rules that are live now.

        Args:
            payment: what is admitted or signed.
            before: what its agent was admitted before it.
            others: what else is set aside, as far as it counts.
            second: now. Hours and numbers of requests are those of the payment's admission.
        """
        policies = self.of(payment.agent_id)
        found = list(refusals(payment, policies, before))
        require(not found, f"{payment.tier} was let through against {found}")
        for limit in (each.rules for each in policies if each.kind == "SPENDING_LIMIT"):
            asset = limit["asset"]
            if not payment.leaving[asset] or is_excused(payment, limit):
                continue
            held = payment.leaving[asset] + sum(each.leaving[asset] for each in others)
            moved = self.moved.get((payment.agent_id, asset), ())
            for name, window_s in WINDOWS_S.items():
                spent = sum(each.amount for each in moved if each.second > second - window_s)
                within(held + spent, name, limit)

    def _judge_session(self, payment: Payment) -> None:
        """A session's numbers are counted from the admission on; what moved nothing is free."""
        constraints = self.constraints.get(payment.session_id) or {}
        found = list(against_session(payment, constraints))
        require(not found, f"admitted against its session: {found}")
        of_session = [
            each for each in self.payments.values() if each.session_id == payment.session_id
        ]
        within(len(of_session), "maxTransactions", constraints)
        if payment.leaving["native"]:
            held = sum(each.leaving["native"] for each in of_session if not each.is_freed)
            within(held, "maxTotalAmount", constraints)

    def of(self, agent_id: str) -> list[Policy]:
        """Return the rules that apply to an agent."""
        return [each for each in self.live.values() if each.agent_id in {agent_id, None}]

    # ── what holds at any time ─────────────────────────────────────────────────────────────────

    def stay_met(self, sums: "Sums", clock: str) -> None:
        """What is within a bound of a rule stays so for as long as that rule does.

        A rule that is tightened may find more than it allows; from then on nothing is added. So may
        a reconciliation; then it holds from the first thing on that is admitted behind it.
        """
        for policy_id, policy in self.live.items():
            limit = policy.rules
            if policy.kind != "SPENDING_LIMIT" or limit.get("on_exceed") == "approval":
                continue
            key = policy.agent_id or "", limit["asset"]
            for name, amount in sums.of(key):
                met = policy_id, policy.version, name, clock
                if amount <= int(limit.get(name, amount)):
                    self._met.add(met)
                elif met in self._met and (self.judged is None or key in self.judged):
                    within(amount, name, limit)

    def sums_by_trusted_time(self, clocks: Clocks) -> "Sums":
        """Sum up by a clock that nobody sets: windows are a little shorter, never longer."""
        now_s = max(self.trusted_s, clocks.trusted_s)
        sums = Sums({}, {}, now_s, SLACK_S)
        for payment in self.payments.values():
            for asset, amount in payment.leaving.items() if payment.is_held else ():
                sums.hold((payment.agent_id, asset), payment.tier, amount)
        for key, moved in self.moved.items():
            sums.spent[key] = [(each.trusted_s, each.amount) for each in moved]
        return sums


@dataclass
class Sums:
    """What is set aside and spent."""

    held: dict[Key, Counter[str]]
    """By tier."""
    spent: dict[Key, list[tuple[float, int]]]
    """When, and how much."""
    now_s: float
    slack_s: int

    def hold(self, key: Key, tier: str, amount: int) -> None:
        self.held.setdefault(key, Counter())[tier] += amount

    def of(self, key: Key) -> Iterator[tuple[str, int]]:
        """Yield what each bound of a limit is held against."""
        tiers = self.held.get(key, Counter[str]())
        yield "instant_max", tiers["INSTANT"]
        yield "notify_max", tiers["INSTANT"] + tiers["NOTIFY"]
        for name, window_s in WINDOWS_S.items():
            after_s = self.now_s - window_s + self.slack_s
            moved = sum(amount for at, amount in self.spent.get(key, ()) if at > after_s)
            yield name, moved + tiers.total()


DEEDS: Final = (
    "SELECT type, to_address, ifnull(token_mint, 'native'), amount, contract_address,"
    " method_signature, spender_address, approved_amount FROM transactions"
    " WHERE (id = ? AND type <> 'BATCH') OR parent_id = ? ORDER BY batch_index"
)
FIRST: Final = "SELECT id, agent_id, type, rules FROM policies WHERE enabled"
CONSTRAINTS: Final = "SELECT id, constraints FROM sessions"


def read_first(rows: apsw.Connection) -> dict[str, Policy]:
    return {
        policy_id: Policy(agent_id, kind, read_rules(rules), 0)
        for policy_id, agent_id, kind, rules in rows.execute(FIRST)
    }


def read_constraints(rows: apsw.Connection) -> dict[str, Rules | None]:
    return {
        session_id: None if text is None else read_rules(text)
        for session_id, text in rows.execute(CONSTRAINTS)
    }


def within(amount: int, name: str, limit: Rules) -> None:
    bound = limit.get(name)
    require(
        bound is None or amount <= int(bound),
        f"{amount} is over {name} of {bound} of {limit.get('asset', 'a session')}",
    )
