"""Messages about payments that wait for a person."""

from typing import Annotated

from msgspec import Meta

from waiaas.domain.enums import TransactionType
from waiaas.wire.message import Message
from waiaas.wire.requests import SendRequest


class Approval(Message, frozen=True):
    """A payment on which somebody may decide until it expires."""

    transaction_id: str
    agent_id: str
    type: TransactionType
    to_address: str | None
    amount: str | None
    created_at: int
    expires_at: int
    rent: str | None
    """As in `Transaction`: it may be paid, too."""
    request: SendRequest
    """All that is to be decided on."""


class Approvals(Message, frozen=True):
    """All of them, the one that expires first at the head."""

    items: list[Approval]


class Approve(Message, frozen=True):
    """Approve one payment, with the master password entered for it."""

    password: Annotated[str, Meta(min_length=1, max_length=1024)]

    def __repr__(self) -> str:
        return "Approve(password=…)"
