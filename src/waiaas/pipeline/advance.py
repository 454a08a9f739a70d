"""What comes next for a transaction? A pure function of where it stands."""

from enum import StrEnum
from typing import assert_never

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.transaction import AttemptState


class Step(StrEnum):
    """An imperative: what `waiaas.pipeline.perform` should do now."""

    PREPARE = "PREPARE"
    """Build and simulate the payment, re-check permission, record the exact payload."""
    SIGN = "SIGN"
    """Sign the recorded payload and record the signed bytes."""
    SEND = "SEND"
    """Hand the recorded bytes to a node."""
    WATCH = "WATCH"
    """Ask the chain what became of them."""


def next_step(status: TransactionStatus, attempt: AttemptState | None) -> Step | None:
    """Return what to do next, or None when there is nothing (any more) for us to do."""
    match status:
        case TransactionStatus.PENDING:
            return Step.PREPARE
        case TransactionStatus.EXECUTING:
            # Bytes that are signed are sent again after a crash: the same bytes, so no harm.
            return Step.SIGN if attempt is AttemptState.RECORDED else Step.SEND
        case TransactionStatus.SUBMITTED:
            return Step.WATCH
        case TransactionStatus.QUEUED:
            return None
        case (
            TransactionStatus.CONFIRMED
            | TransactionStatus.FAILED
            | TransactionStatus.CANCELLED
            | TransactionStatus.EXPIRED
            | TransactionStatus.PARTIAL_FAILURE
        ):
            return None
        case _:
            assert_never(status)
