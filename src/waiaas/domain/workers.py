"""What the daemon does besides answering: which workers there are, and how it stands with each."""

from dataclasses import dataclass
from enum import StrEnum


class WorkerName(StrEnum):
    """Each is one task of the daemon."""

    PAYMENTS = "payments"
    """Carries every transaction to its end: delays, approvals and confirmations too."""
    LEDGER_CHECK = "ledger-check"
    """Reads the whole ledger once a day and looks for damage."""
    BACKUP = "backup"
    """Makes a backup when the last is old enough."""
    CLOCK = "clock"
    """Writes down when the machine's clock gets into doubt, and out of it."""
    CHAIN_TIME = "chain-time"
    """Asks the chains for their time, until each has answered since the machine started."""


class WorkerState(StrEnum):
    """What a worker is doing."""

    RUNNING = "running"
    WAITING = "waiting"
    """Its last turn is done, and the time of the next has not come."""
    FAILING = "failing"
    """Its last turn failed; it waits, and tries again."""
    ENDED = "ended"
    """There is nothing left for it to do, or nothing may be done: the ledger is damaged."""


@dataclass(frozen=True, slots=True)
class WorkerCondition:
    """How it stands with one worker since the start; times are seconds of the wall clock."""

    name: WorkerName
    state: WorkerState
    begun_at: int | None
    """When its last turn began."""
    next_at: int | None
    """When the next is due, if it waits."""
    failures: int
    """How many of its turns failed."""
    failed_at: int | None
    problem: str | None
    """What went wrong the last time, if anything ever did."""
