"""Messages about the daemon."""

from typing import Annotated, Literal

from msgspec import Meta

from waiaas.domain.enums import NetworkType
from waiaas.wire.message import Message


class Health(Message, frozen=True):
    """The daemon is up and ready to serve."""

    status: Literal["ok"]
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

    status: Literal["ok"]
    version: str
    uptime: int
    timestamp: int
    daemon_id: str
    agent_count: int
    unfinished_transaction_count: int
    blocked_transaction_count: int
    """Unfinished ones whose last step failed: it is tried again and again; the log says why."""
    networks: list[NetworkType]
    localnet_url: str | None


class ShuttingDown(Message, frozen=True):
    """The daemon finishes what it is doing and exits."""

    message: str
