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
            return _next_of_executing(attempt)
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


def _next_of_executing(attempt: AttemptState | None) -> Step | None:
    match attempt:
        case AttemptState.RECORDED:
            return Step.SIGN
        case AttemptState.SIGNED:
            # After a crash they may have been sent before: the same bytes, so no harm.
            return Step.SEND
        case _:
            # Never written: a move leaves EXECUTING in the commit that leaves these states. Should
            # it be found all the same, nothing is sent, and the money stays set aside.
            return None
