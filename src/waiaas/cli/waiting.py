"""What a person is told about a payment that was accepted and has not ended yet."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from waiaas.domain.enums import PolicyTier, TransactionStatus
from waiaas.domain.times import time_in_words
from waiaas.domain.transaction import is_terminal

LIVE: Final = tuple(status for status in TransactionStatus if not is_terminal(status))


def next_steps(payment: Mapping[str, Any]) -> Iterator[str]:
    """Yield for what it waits, and the commands by which somebody ends that."""
    tx_id = payment["id"]
    match payment["status"], payment.get("tier"):
        case TransactionStatus.QUEUED, PolicyTier.APPROVAL:
            yield f"# it waits for a person, who may let it go out until {_utc(payment)}"
            yield f"waiaas approval approve {tx_id}  # by the operator, if there is no owner"
            yield f"waiaas approval message {tx_id} > message.txt  # if there is: what he signs"
        case TransactionStatus.QUEUED, PolicyTier.DELAY:
            yield f"# it goes out at {_utc(payment)}, if nobody calls it off:"
            yield f"waiaas tx cancel {tx_id}"
        case status, _ if status in LIVE:
            yield f"waiaas tx show {tx_id}  # what became of it"
        case _:  # There is nothing to wait for.
            pass


def _utc(payment: Mapping[str, Any]) -> str:
    return time_in_words(payment["waitsUntil"])


def after_approval(tx_id: str) -> Iterator[str]:
    """Yield what follows: it stays QUEUED until a worker takes it up, which is no refusal."""
    yield "# it is approved, and goes out now"
    yield f"waiaas tx show {tx_id}"
