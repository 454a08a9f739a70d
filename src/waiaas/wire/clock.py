"""Messages about the clock."""

from typing import Annotated

from msgspec import Meta

from waiaas.wire.message import Message


class ClockState(Message, frozen=True):
    """Whether the wall clock of the daemon's machine is believed."""

    in_doubt: bool
    """While it is nothing is admitted, and nothing is signed."""
    actual: int
    """What it shows; as `expected` in Unix epoch seconds."""
    expected: int
    """What it should show; if it is not in doubt, what it shows."""
    difference: int
    """How far it is ahead, in seconds; negative if it is behind."""


class AcceptClock(Message, frozen=True):
    """Believe the clock as it is now."""

    password: Annotated[str, Meta(min_length=1, max_length=1024)]
    difference: Annotated[int, Meta(ge=-(2**40), le=2**40)]
    """As it was seen: a clock that has moved since then is not accepted."""

    def __repr__(self) -> str:
        return f"AcceptClock(password=…, difference={self.difference})"
