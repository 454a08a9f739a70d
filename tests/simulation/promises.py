"""What must hold after every step, computed naively from the ledger's rows and the chain's truth.

Nothing here uses the code under test: rows come from SQL of this file's own, sums are sums.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import apsw
from nacl.signing import SigningKey
from tests.fakes.agents import Rules
from tests.fakes.chain import FakeChain, Paid
from tests.simulation.told import ROWS, Told, read_row, require

WINDOWS_S: Final = {
    "hourly_max": 3600,
    "daily_max": 86_400,
    "weekly_max": 604_800,
    "monthly_max": 2_592_000,
}
ENDED: Final = ("CANCELLED", "EXPIRED", "FAILED", "CONFIRMED")
ENDED_WITHOUT: Final = ("CANCELLED", "EXPIRED", "FAILED")
"""Statuses of payments that were not made."""

Approval = tuple[int | None, int | None, str | None]
"""When it was approved, when rejected, and the owner's signature."""


@dataclass
class Truth:
    """What was seen so far; rows that were committed must stay as they were."""

    chain: FakeChain
    rules: Mapping[str, Sequence[Rules]]
    """By agent, the SPENDING_LIMITs that apply to it."""
    wallets: Mapping[str, SigningKey]
    addresses: Mapping[str, str]
    """Of the agents, who is behind it."""
    is_perjured: bool
    """Whether nodes may lie where a lie is taken for proof: then only *once* is promised."""
    asked: Counter[Paid] = field(default_factory=Counter)
    """How many different requests there were for each payment."""
    told: Told = field(init=False)
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
        self.told = Told(self.wallets, self.told.events)
        self.signed, self.approvals = {}, {}
        self.restored_from, self.is_complete = newest, False

    def check(self, rows: apsw.Connection, *, wall_s: int, is_new: bool) -> None:
        """Raise Broken if a promise is broken.

        Args:
            rows: a connection of our own to the ledger's file.
            wall_s: the wall clock, as far as it is believed.
            is_new: whether the connection is: what it finds must be what was there.
        """
        made_as_often_as_asked(self)
        version = rows.pragma("data_version")
        if version == self._data_version and not is_new:
            return
        self._data_version = version
        with rows:
            for promise in PROMISES.values():
                promise(self, rows)
            within_limits(self, rows, now_s=max(wall_s, self.told.last_second))

    def has_ended(self) -> bool:
        """Tell whether nothing is under way any more."""
        is_over = all(each in ENDED for each in self.told.statuses.values())
        return is_over and "TERMINATING" not in self.told.agents.values()


def made_as_often_as_asked(truth: Truth) -> None:
    for paid, times in truth.chain.effects().items():
        require(times <= truth.asked[paid], f"{paid} was made {times} times")


def all_is_told(truth: Truth, rows: apsw.Connection) -> None:
    was_quarantined = truth.told.is_quarantined
    for row in rows.execute(ROWS, [truth.told.last_id]):
        truth.told.hear(read_row(row))
    [(last,)] = rows.execute("SELECT ifnull(max(id), 0) FROM audit_log")
    require(last == truth.told.last_id, "audit rows that were there are gone")
    if was_quarantined and not truth.told.is_quarantined:
        truth.is_complete = True
        truth.given_up = {
            tx_hash
            for tx_hash, trace in truth.chain.landed.items()
            if truth.told.agents.get(truth.addresses[trace.paid.from_address]) == "TERMINATED"
            or trace.error is not None
            or not trace.paid.leaving()
        }


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


PROMISES: Final[Mapping[str, Callable[[Truth, apsw.Connection], None]]] = {
    "every change has its audit row; nothing is signed without permission": all_is_told,
    "what was told is so: statuses, owners, sessions, the kill switch": all_is_as_told,
    "signed bytes never change, and nothing else ever lands": signed_bytes_stay,
    "a decided approval never changes": decisions_stay,
    "what ended otherwise was not made, and what is confirmed was, once": ends_are_true,
    "a batch happens whole or not at all": batches_are_whole,
}
"""Beside those two that ask for more than rows: `made_as_often_as_asked` and `within_limits`."""


def within_limits(truth: Truth, rows: apsw.Connection, *, now_s: int) -> None:
    """What is spent and set aside is within every bound of every limit, by asset."""
    held: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    spent: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    judged = set()
    for tx_id, agent_id, asset, amount, state, settled_at, tier in rows.execute(RESERVATIONS):
        if truth.restored_from is None or tx_id > truth.restored_from:
            judged.add((agent_id, asset))
        if state == "HELD":
            held[agent_id, asset][tier] += int(amount)
        elif state == "SPENT":
            spent[agent_id, asset].append((settled_at, int(amount)))
    for agent_id, asset, amount, counted_at in rows.execute(MOVEMENTS):
        spent[agent_id, asset].append((counted_at, int(amount)))
    for agent_id, limits in truth.rules.items():
        for limit in limits:
            key = agent_id, limit["asset"]
            tiers = held[key]
            within(tiers["INSTANT"], "instant_max", limit)
            within(tiers["INSTANT"] + tiers["NOTIFY"], "notify_max", limit)
            # What reconciliation found counts all at once, later than it was paid. It may be more
            # than fits; but from then on nothing is admitted that does not fit beside it.
            for name, window_s in WINDOWS_S.items() if key in judged else ():
                moved = sum(each for at, each in spent[key] if at > now_s - window_s)
                within(moved + tiers.total(), name, limit)


RESERVATIONS: Final = (
    "SELECT r.tx_id, r.agent_id, r.asset, r.amount, r.state, r.settled_at, t.tier"
    " FROM reservations r JOIN transactions t ON t.id = r.tx_id"
)
MOVEMENTS: Final = "SELECT agent_id, asset, amount, counted_at FROM foreign_movements"


def within(amount: int, name: str, limit: Rules) -> None:
    bound = limit.get(name)
    require(
        bound is None or amount <= int(bound),
        f"{amount} is over {name} of {bound} of {limit['asset']}",
    )
