"""Messages about locking the keystore."""

from typing import Annotated

from msgspec import Meta

from waiaas.wire.message import Message


class Unlock(Message, frozen=True):
    """Open the keystore again, with the master password."""

    password: Annotated[str, Meta(min_length=1, max_length=1024)]

    def __repr__(self) -> str:
        return "Unlock(password=…)"


class KeystoreState(Message, frozen=True):
    """Whether the daemon can sign."""

    locked: bool
    audit_problem: str | None = None
    """Why the audit log has no row of it yet, which follows as soon as the ledger can be written.
    The keys are gone all the same."""
