"""What must hold after every step, computed naively from the ledger's rows and the chain's truth.

Nothing here uses the code under test: rows come from SQL of this file's own, sums are sums.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import apsw
from tests.fakes.agents import Rules
from tests.fakes.chain import FakeChain, Paid

from waiaas.domain.transaction import TRANSITIONS

WINDOWS_S: Final = {
    "hourly_max": 3600,
    "daily_max": 86_400,
    "weekly_max": 604_800,
    "monthly_max": 2_592_000,
}
IS_STOPPED: Final = "SELECT EXISTS (SELECT 1 FROM kill_switch WHERE state <> 'NORMAL')"
ENDED_WITHOUT: Final = ("CANCELLED", "EXPIRED", "FAILED")
"""Statuses of payments that were not made."""


class Broken(AssertionError):  # noqa: N818 -- says what an invariant is
    """An invariant does not hold."""


def require(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


@dataclass
class Truth:
    """What was seen so far; rows that were committed must stay as they were."""

    chain: FakeChain
    rules: Mapping[str, Sequence[Rules]]
    """By agent, the SPENDING_LIMITs that apply to it."""
    is_perjured: bool
    """Whether nodes may lie where a lie is taken for proof: then only *once* is promised."""
    asked: Counter[Paid] = field(default_factory=Counter)
    """How many different requests there were for each payment."""
    statuses: dict[str, str] = field(default_factory=dict)
    signed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By attempt, the bytes and their hash."""
    last_audit_id: int = 0
    last_second: int = 0
    is_restored: bool = False
    """Whether the ledger came out of a backup: it does not know all that was signed."""
    is_stopped: bool = False
    """Whether the kill switch was on when the ledger was last looked at."""
    checks: int = 0
    _data_version: int = -1

    def forget(self) -> None:
        """Begin anew with a ledger from a backup; what was asked and paid stays so."""
        self.statuses, self.signed, self.last_audit_id, self.last_second = {}, {}, 0, 0
        self.is_restored, self.is_stopped = True, False

    def check(self, rows: apsw.Connection, *, wall_s: int, is_new: bool) -> None:
        """Raise Broken if something does not hold.

        Args:
            rows: a connection of our own to the ledger's file.
            wall_s: the wall clock.
            is_new: whether the connection is: what it finds must be what was there.
        """
        self._check_effects()
        version = rows.pragma("data_version")
        if version == self._data_version and not is_new:
            return
        self._data_version = version
        self.checks += 1
        with rows:
            self._check_audit(rows)
            self._check_attempts(rows)
            self._check_statuses(rows)
            self._check_limits(rows, now_s=max(wall_s, self.last_second))

    def _check_effects(self) -> None:
        for paid, times in self.chain.effects().items():
            require(times <= self.asked[paid], f"{paid} was made {times} times")

    def _check_audit(self, rows: apsw.Connection) -> None:
        new = "SELECT id, timestamp, tx_id, details FROM audit_log WHERE id > ? ORDER BY id"
        for row_id, second, tx_id, details in rows.execute(new, [self.last_audit_id]):
            require(row_id == self.last_audit_id + 1, "an audit row is missing")
            require(second >= self.last_second, "the time of the audit log went back")
            self.last_audit_id, self.last_second = row_id, second
            told = json.loads(details)
            if "to" in told and "from" in told:
                require(
                    self.statuses.get(tx_id, "PENDING") == told["from"], "a change was not told"
                )
                allowed = TRANSITIONS[told["from"]]
                require(told["to"] in allowed, f"{told['from']} became {told['to']}")
                self.statuses[tx_id] = told["to"]
        [(last,)] = rows.execute("SELECT ifnull(max(id), 0) FROM audit_log")
        require(last == self.last_audit_id, "audit rows that were there are gone")

    def _check_attempts(self, rows: apsw.Connection) -> None:
        found = {
            attempt_id: (signed, tx_hash)
            for attempt_id, signed, tx_hash in rows.execute(
                "SELECT id, signed, tx_hash FROM attempts WHERE signed IS NOT NULL"
            )
        }
        for attempt_id, bytes_and_hash in self.signed.items():
            require(found.get(attempt_id) == bytes_and_hash, "signed bytes have changed")
        if self.is_stopped:
            require(
                found.keys() == self.signed.keys(), "something was signed behind the kill switch"
            )
        [(stopped,)] = rows.execute(IS_STOPPED)
        self.is_stopped = bool(stopped)
        self.signed = found
        if not (self.is_restored or self.is_perjured):
            known = {tx_hash for _, tx_hash in found.values()}
            require(known.issuperset(self.chain.landed), "something landed that was not recorded")

    def _check_statuses(self, rows: apsw.Connection) -> None:
        of_transaction = defaultdict(list)
        for tx_id, tx_hash in rows.execute(
            "SELECT tx_id, tx_hash FROM attempts WHERE tx_hash IS NOT NULL"
        ):
            of_transaction[tx_id].append(tx_hash)
        found = dict(rows.execute("SELECT id, status FROM transactions"))
        require(found.keys() >= self.statuses.keys(), "a transaction is gone")
        for tx_id, status in found.items():
            told = self.statuses.setdefault(tx_id, "PENDING")
            require(told == status, f"a transaction is {status}, and was told to be {told}")
            landed = [self.chain.landed.get(each) for each in of_transaction[tx_id]]
            paid = sum(trace is not None and trace.error is None for trace in landed)
            require(paid <= 1, "one request was paid twice")
            if self.is_perjured:
                continue
            require(not (paid and status in ENDED_WITHOUT), f"a payment that is {status} was made")
            if status == "CONFIRMED":
                undone = self.chain.undone.intersection(of_transaction[tx_id])
                require(paid or undone, "a payment that is CONFIRMED was not made")

    def _check_limits(self, rows: apsw.Connection, *, now_s: int) -> None:
        held: defaultdict[str, Counter[str]] = defaultdict(Counter)
        spent: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        reserved = rows.execute(
            "SELECT r.agent_id, r.amount, r.state, r.settled_at, t.tier"
            " FROM reservations r JOIN transactions t ON t.id = r.tx_id"
        )
        for agent_id, amount, state, settled_at, tier in reserved:
            if state == "HELD":
                held[agent_id][tier] += int(amount)
            elif state == "SPENT":
                spent[agent_id].append((settled_at, int(amount)))
        for agent_id, limits in self.rules.items():
            tiers = held[agent_id]
            for limit in limits:
                for name, window_s in WINDOWS_S.items():
                    moved = sum(each for at, each in spent[agent_id] if at > now_s - window_s)
                    within(moved + tiers.total(), name, limit)
                within(tiers["INSTANT"], "instant_max", limit)
                within(tiers["INSTANT"] + tiers["NOTIFY"], "notify_max", limit)


def within(amount: int, name: str, limit: Rules) -> None:
    bound = limit.get(name)
    require(bound is None or amount <= int(bound), f"{amount} is over {name} of {bound}")
