"""Messages about the daemon."""

from typing import Annotated, Literal

from msgspec import Meta

from waiaas.domain.enums import KillSwitchState, NetworkType
from waiaas.domain.workers import WorkerName, WorkerState
from waiaas.wire.message import Message


class Health(Message, frozen=True):
    """The daemon is up; nobody is paid unless it is `ok`.

    `read_only`: its ledger takes no writes. `clock_in_doubt`: the machine's clock was set.
    `locked`: its keys were dropped, and what is due waits.
    """

    status: Literal["ok", "read_only", "clock_in_doubt", "locked"]
    version: str
    uptime: int
    timestamp: int


class Probed(Message, frozen=True):
    """What a probe was to find out is so; a refusal says that it is not."""

    status: Literal["live", "ready"]


class Login(Message, frozen=True):
    """Prove to be the operator."""

    password: Annotated[str, Meta(min_length=1, max_length=1024)]

    def __repr__(self) -> str:
        return "Login(password=…)"


class OperatorToken(Message, frozen=True):
    """What a login gives: good until it expires or the daemon stops, never stored."""

    token: str
    expires_at: int

    def __repr__(self) -> str:
        return f"OperatorToken(expires_at={self.expires_at})"


class FoundAtStart(Message, frozen=True):
    """How many transactions a start found unfinished, by how far they had got."""

    waiting: int
    unsigned: int
    signed: int
    sent: int
    unclear: int
    """The ledger contradicts itself about these: nothing is done, their money stays set aside."""


class WorkerStatus(Message, frozen=True):
    """How it stands with something that the daemon does besides answering."""

    name: WorkerName
    state: WorkerState
    begun_at: int | None
    """When its last turn began."""
    next_at: int | None
    """When the next is due, if it waits."""
    failures: int
    """How many of its turns failed since the start."""
    failed_at: int | None
    problem: str | None
    """What went wrong the last time; that it did is no news if `state` is not `failing`."""


class Status(Message, frozen=True):
    """What the daemon is doing."""

    status: Literal["ok", "read_only", "clock_in_doubt", "locked"]
    """The first of these that is so."""
    locked: bool
    """Whether its keys were dropped, whatever else is the matter."""
    version: str
    uptime: int
    timestamp: int
    daemon_id: str
    kill_switch: KillSwitchState
    """Unless it is NORMAL nothing is signed."""
    agent_count: int
    unfinished_transaction_count: int
    waiting_transaction_count: int
    """Those that are QUEUED: nothing is to be done for them before their time."""
    blocked_transaction_count: int
    """Unfinished ones whose last step failed: it is tried again and again; the log says why."""
    unreadable_transaction_count: int
    """Unfinished ones that are set aside, because the ledger's rows of them cannot be read."""
    found_at_start: FoundAtStart
    waiting_agent_count: int
    """Agents of whom nothing is signed until the chain answers for what was signed before."""
    agents_without_key: list[str]
    """Agents that were not terminated and whose key file is missing or damaged: they cannot pay."""
    networks: list[NetworkType]
    localnet_url: str | None
    restored_at: int | None
    """When the ledger came out of a backup; it pays nothing until it is reconciled."""
    ledger_problem: str | None
    """Why the status is `read_only`, and what to do."""
    swappable_secret_count: int
    """Keys in memory that the kernel did not lock. Not 0 only where nothing is swapped."""
    clock_difference: int | None
    """While the clock is in doubt: how far it is ahead of what it should show, in seconds."""
    wal_pages: int
    """How long the ledger's write-ahead log is, in pages of 4 KiB; the alarm is at 16,000."""
    last_scheduled_backup_at: int | None
    """When the newest backup was made that the daemon made by itself and that is still there."""
    scheduled_backup_problem: str | None
    """Why the last attempt at one failed, or whose keys it could not save, and what to do."""
    workers: list[WorkerStatus]


class CreateBackup(Message, frozen=True):
    """Make an encrypted backup, under a password of its own or the keystore's backup key."""

    mode: Literal["password", "keystore"]
    password: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    """For the mode `password`, and for it alone: 12 to 1024 bytes, as the keystore wants them."""

    def __repr__(self) -> str:
        return f"CreateBackup(mode={self.mode!r}, password=…)"


class CreatedBackup(Message, frozen=True):
    """A backup in the folder `backups` of the data directory."""

    id: str
    name: str
    created_at: int
    size: int
    mode: Literal["password", "keystore"]


class Reconcile(Message, frozen=True):
    """Compare a restored ledger with the chain."""

    accept: Annotated[int, Meta(ge=0, le=2**31)] | None = None
    """How many transactions a person has seen in `movements`; the mark comes off only if all."""
    without_agents: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()
    """Agents that are not compared, and are terminated."""
    force: bool = False
    """Whether money that these have, or may have, stays where nothing can sign for it."""


class FoundMovement(Message, frozen=True):
    """Money that left with a transaction that the ledger does not know."""

    agent_id: str
    tx_hash: str
    asset: str
    amount: str
    landed_at: int | None
    counted_at: int


class UnreadHistory(Message, frozen=True):
    """An agent whose history could not be read."""

    agent_id: str
    reason: str


class Reconciled(Message, frozen=True):
    """How it stands with a restored ledger."""

    reconciled: bool
    """Whether it pays again."""
    movement_count: int
    """Transactions among the movements: what `accept` has to say."""
    movements: list[FoundMovement]
    blocks_left: int
    """How many have to become final before nothing old can land any more."""
    unread: list[UnreadHistory]
    transactions_cancelled: int
    sessions_revoked: int


class ShuttingDown(Message, frozen=True):
    """The daemon finishes what it is doing and exits."""

    message: str
