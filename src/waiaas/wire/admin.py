"""Messages about the daemon."""

from typing import Annotated, Literal

from msgspec import Meta

from waiaas.domain.enums import KillSwitchState, NetworkType
from waiaas.wire.message import Message


class Health(Message, frozen=True):
    """The daemon is up; `read_only` while its ledger takes no writes, so nobody can be paid."""

    status: Literal["ok", "read_only"]
    version: str
    uptime: int
    timestamp: int


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


class Status(Message, frozen=True):
    """What the daemon is doing."""

    status: Literal["ok", "read_only"]
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
    networks: list[NetworkType]
    localnet_url: str | None
    restored_at: int | None
    """When the ledger came out of a backup; it pays nothing until it is reconciled."""
    ledger_problem: str | None
    """Why the status is `read_only`, and what to do."""
    wal_pages: int
    """How long the ledger's write-ahead log is, in pages of 4 KiB; the alarm is at 16,000."""
    last_scheduled_backup_at: int | None
    """When the newest backup was made that the daemon made by itself and that is still there."""
    scheduled_backup_problem: str | None
    """Why the last attempt at one failed, and what to do."""


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


class ShuttingDown(Message, frozen=True):
    """The daemon finishes what it is doing and exits."""

    message: str
