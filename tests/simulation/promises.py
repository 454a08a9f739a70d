"""What must hold after every step, computed naively from the ledger's rows and the chain's truth.

Nothing here uses the code under test: rows come from SQL of this file's own, sums are sums.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import apsw
from nacl.signing import SigningKey
from tests.fakes.chain import FakeChain, Paid
from tests.simulation.permitted import (
    ENDED_WITHOUT,
    Clocks,
    Permitted,
    Sums,
    read_constraints,
    read_first,
)
from tests.simulation.rules import Policy, read_rules
from tests.simulation.told import ROWS, Told, read_row, require

ENDED: Final = ("CANCELLED", "EXPIRED", "FAILED", "CONFIRMED")

Approval = tuple[int | None, int | None, str | None]
"""When it was approved, when rejected, and the owner's signature."""


@dataclass
class Truth:
    """What was seen so far; rows that were committed must stay as they were."""

    chain: FakeChain
    wallets: Mapping[str, SigningKey]
    addresses: Mapping[str, str]
    """Of the agents, who is behind it."""
    is_perjured: bool
    """Whether nodes may lie where a lie is taken for proof: then only *once* is promised."""
    is_trusting: bool = False
    """Whether the daemon believes any clock."""
    asked: Counter[Paid] = field(default_factory=Counter)
    """How many different requests there were for each payment."""
    told: Told = field(init=False)
    first: dict[str, Policy] = field(default_factory=dict)
    """By id, the rules that the world began with."""
    permitted: Permitted = field(init=False)
    signed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By attempt, the bytes and their hash."""
    approvals: dict[str, Approval] = field(default_factory=dict)
    """Those that were decided."""
    restored_from: str | None = None
    """The newest transaction in the backup that the ledger came out of."""
    is_complete: bool = True
    """Whether the ledger knows all that was signed: not from a restore until it is reconciled."""
    given_up: set[str] = field(default_factory=set)
    """What reconciliation does not find: what moved nothing, and what terminated agents paid."""
    _data_version: int = -1

    def __post_init__(self) -> None:
        self.told = Told(self.wallets)

    def forget(self, newest: str) -> None:
        """Begin anew with a ledger from a backup; what was asked and paid stays so."""
        if self.restored_from is not None and self.is_complete:
            self.told.events["RESTORED_ANEW", "operator"] += 1
        self.told = Told(self.wallets, self.told.events)
        self.permitted = Permitted(self.first, self.is_trusting, is_retold=True, judged=set())
        self.signed, self.approvals = {}, {}
        self.restored_from, self.is_complete = newest, False

    def check(
        self, rows: apsw.Connection, clocks: Clocks, *, believed_s: int, is_new: bool
    ) -> None:
        """Raise Broken if a promise is broken.

        Args:
            rows: a connection of our own to the ledger's file.
            clocks: what the machine's show.
            believed_s: the wall clock, as far as the daemon believes it.
            is_new: whether the connection is: what it finds must be what was there.
        """
        made_as_often_as_asked(self)
        version = rows.pragma("data_version")
        if version == self._data_version and not is_new:
            return
        self._data_version = version
        with rows:
            if not self.first:
                self.first = read_first(rows)
                self.permitted = Permitted(self.first, self.is_trusting)
            self._listen(rows, clocks)
            for promise in PROMISES.values():
                promise(self, rows)
            now_s = max(believed_s, self.told.last_second)
            self.permitted.stay_met(sums_of(rows, now_s=now_s), "of the ledger")
            self.permitted.stay_met(self.permitted.sums_by_trusted_time(clocks), "that is steady")

    def _listen(self, rows: apsw.Connection, clocks: Clocks) -> None:
        """Hear what the audit log tells that is new."""
        was_quarantined, before = self.told.is_quarantined, dict(self.told.agents)
        self.permitted.constraints = read_constraints(rows)
        for columns in rows.execute(ROWS, [self.told.last_id]).fetchall():
            row = read_row(columns)
            self.told.hear(row)
            self.permitted.hear(row, rows, clocks)
        self.permitted.is_retold = False
        if was_quarantined and not self.told.is_quarantined:
            self.is_complete = True
            given_up = {
                agent_id
                for agent_id, status in self.told.agents.items()
                if status == "TERMINATED" or before.get(agent_id) != status == "TERMINATING"
            }
            self.given_up = {
                tx_hash
                for tx_hash, trace in self.chain.landed.items()
                if self.addresses[trace.paid.from_address] in given_up
                or trace.error is not None
                or not trace.paid.leaving()
            }

    def has_ended(self) -> bool:
        """Tell whether nothing is under way any more."""
        is_over = all(each in ENDED for each in self.told.statuses.values())
        return is_over and "TERMINATING" not in self.told.agents.values()


def made_as_often_as_asked(truth: Truth) -> None:
    for paid, times in truth.chain.effects().items():
        require(times <= truth.asked[paid], f"{paid} was made {times} times")


def all_is_told(truth: Truth, rows: apsw.Connection) -> None:
    [(last,)] = rows.execute("SELECT ifnull(max(id), 0) FROM audit_log")
    require(last == truth.told.last_id, "audit rows that were there are gone")


def all_is_as_told(truth: Truth, rows: apsw.Connection) -> None:
    told = truth.told
    found = dict(rows.execute("SELECT id, status FROM transactions WHERE parent_id IS NULL"))
    require(found.keys() >= told.statuses.keys(), "a transaction is gone")
    for tx_id, status in found.items():
        was_told = told.statuses.setdefault(tx_id, "PENDING")
        require(was_told == status, f"a transaction is {status}, and was told to be {was_told}")
    agents = "SELECT id, status, owner_address, owner_verified FROM agents"
    for agent_id, status, address, is_verified in rows.execute(agents):
        require(told.agents.get(agent_id, "ACTIVE") == status, f"untold: an agent is {status}")
        owner = told.owners.get(agent_id, (None, False))
        require(owner == (address, bool(is_verified)), f"untold: the owner is {address}")
    revoked = {each for (each,) in rows.execute(REVOKED)}
    require(revoked == told.revoked, "the revoked sessions are others than was told")
    switch = [each for (each,) in rows.execute(SWITCH)] or ["NORMAL"]
    require(switch == [told.switch], f"untold: the kill switch is {switch}")
    live = {policy_id: read_rules(rules) for policy_id, rules in rows.execute(LIVE)}
    rules_told = {policy_id: policy.rules for policy_id, policy in truth.permitted.live.items()}
    require(live == rules_told, "the rules in force are others than was told")


LIVE: Final = "SELECT id, rules FROM policies WHERE enabled"
REVOKED: Final = "SELECT id FROM sessions WHERE revoked_at IS NOT NULL"
SWITCH: Final = "SELECT state FROM kill_switch ORDER BY number DESC LIMIT 1"


def signed_bytes_stay(truth: Truth, rows: apsw.Connection) -> None:
    found, signatures = {}, Counter[str]()
    attempts = "SELECT id, tx_id, signed, tx_hash FROM attempts WHERE signed IS NOT NULL"
    for attempt_id, tx_id, signed, tx_hash in rows.execute(attempts):
        found[attempt_id] = (signed, tx_hash)
        signatures[tx_id] += 1
    for attempt_id, bytes_and_hash in truth.signed.items():
        require(found.get(attempt_id) == bytes_and_hash, "signed bytes have changed")
    truth.signed = found
    require(signatures == truth.told.signatures, "a signature was not told")
    movements = {each for (each,) in rows.execute("SELECT tx_hash FROM foreign_movements")}
    unknown = truth.chain.landed.keys() - movements - {tx_hash for _, tx_hash in found.values()}
    if truth.is_complete and not truth.is_perjured:
        require(unknown <= truth.given_up, "something landed that was not recorded")


def decisions_stay(truth: Truth, rows: apsw.Connection) -> None:
    found: dict[str, Approval] = {
        tx_id: decision
        for tx_id, *columns in rows.execute(APPROVALS)
        if (decision := (columns[0], columns[1], columns[2]))[:2] != (None, None)
    }
    for tx_id, (approved_at, rejected_at, _) in found.items():
        require(approved_at is None or rejected_at is None, "approved and rejected")
        event, actor = truth.told.decisions.get(tx_id, ("", ""))
        is_approval = event == "TX_APPROVED"
        require(event and is_approval == (rejected_at is None), "a decision was not told")
        by_owner = actor.startswith("owner:")
        require(by_owner == (found[tx_id][2] is not None), "an owner's decision has his signature")
    for tx_id, decision in truth.approvals.items():
        require(found.get(tx_id) == decision, "an approval that was decided has changed")
    require(found.keys() == truth.told.decisions.keys(), "a decision that was told is none")
    truth.approvals = found


APPROVALS: Final = "SELECT tx_id, approved_at, rejected_at, owner_signature FROM pending_approvals"


def ends_are_true(truth: Truth, rows: apsw.Connection) -> None:
    of_transaction = defaultdict(list)
    hashes = "SELECT tx_id, tx_hash FROM attempts WHERE tx_hash IS NOT NULL"
    for tx_id, tx_hash in rows.execute(hashes):
        of_transaction[tx_id].append(tx_hash)
    for tx_id, status in truth.told.statuses.items():
        landed = [truth.chain.landed.get(each) for each in of_transaction[tx_id]]
        paid = sum(trace is not None and trace.error is None for trace in landed)
        require(paid <= 1, "one request was paid twice")
        if truth.is_perjured:
            continue
        require(not (paid and status in ENDED_WITHOUT), f"a payment that is {status} was made")
        if status == "CONFIRMED":
            undone = truth.chain.undone.intersection(of_transaction[tx_id])
            require(paid or undone, "a payment that is CONFIRMED was not made")


def batches_are_whole(truth: Truth, rows: apsw.Connection) -> None:
    parts = "SELECT parent_id, status FROM transactions WHERE parent_id IS NOT NULL"
    for parent_id, status in rows.execute(parts):
        require(truth.told.statuses[parent_id] == status, "a part of a batch is not as the batch")


def all_that_left_is_counted(truth: Truth, rows: apsw.Connection) -> None:
    """What is gone from a wallet, by its balance and beside fees: rent that was paid as well."""
    counted = Counter[str]()
    for agent_id, amount in rows.execute(COUNTED):
        counted[agent_id] += int(amount)
    for address, agent_id in truth.addresses.items():
        is_given_up = truth.restored_from and truth.told.agents.get(agent_id) == "TERMINATED"
        if truth.is_complete and not truth.is_perjured and not is_given_up:
            left = truth.chain.left(address)
            require(
                left <= counted[agent_id], f"{left} has left, and {counted[agent_id]} is counted"
            )


COUNTED: Final = (
    "SELECT agent_id, amount FROM reservations WHERE asset = 'native' AND state <> 'RELEASED'"
    " UNION ALL SELECT agent_id, amount FROM foreign_movements WHERE asset = 'native'"
)


PROMISES: Final[Mapping[str, Callable[[Truth, apsw.Connection], None]]] = {
    "every change has its audit row; nothing is signed without permission": all_is_told,
    "what was told is so: statuses, owners, sessions, the kill switch": all_is_as_told,
    "signed bytes never change, and nothing else ever lands": signed_bytes_stay,
    "a decided approval never changes": decisions_stay,
    "what ended otherwise was not made, and what is confirmed was, once": ends_are_true,
    "a batch happens whole or not at all": batches_are_whole,
    "nothing leaves that no limit counts, rent included": all_that_left_is_counted,
}
"""Beside those that ask for more than rows: `made_as_often_as_asked` and `Permitted`."""


def sums_of(rows: apsw.Connection, *, now_s: int) -> Sums:
    """Sum up what is set aside and spent, by the ledger's own rows and time."""
    sums = Sums({}, {}, now_s, slack_s=0)
    for agent_id, asset, amount, state, settled_at, tier in rows.execute(RESERVATIONS):
        if state == "HELD":
            sums.hold((agent_id, asset), tier, int(amount))
        elif state == "SPENT":
            sums.spent.setdefault((agent_id, asset), []).append((settled_at, int(amount)))
    for agent_id, asset, amount, counted_at in rows.execute(MOVEMENTS):
        sums.spent.setdefault((agent_id, asset), []).append((counted_at, int(amount)))
    return sums


RESERVATIONS: Final = (
    "SELECT r.agent_id, r.asset, r.amount, r.state, r.settled_at, t.tier"
    " FROM reservations r JOIN transactions t ON t.id = r.tx_id"
)
MOVEMENTS: Final = "SELECT agent_id, asset, amount, counted_at FROM foreign_movements"
