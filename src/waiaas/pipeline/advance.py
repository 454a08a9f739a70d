"""What comes next for a transaction? A pure function of where it stands."""

from enum import StrEnum
from typing import assert_never

from waiaas.domain.enums import PolicyTier, TransactionStatus
from waiaas.domain.transaction import AttemptState


class Step(StrEnum):
    """An imperative: what `waiaas.pipeline.perform` should do now."""

    EXPIRE = "EXPIRE"
    """End a payment on which nobody decided in time."""
    PREPARE = "PREPARE"
    """Build and simulate the payment, re-check permission, record the exact payload."""
    SIGN = "SIGN"
    """Sign the recorded payload and record the signed bytes."""
    SEND = "SEND"
    """Hand the recorded bytes to a node."""
    HOLD = "HOLD"
    """Keep signed bytes that must not be sent, until they can land no more."""
    WATCH = "WATCH"
    """Ask the chain what became of them."""


class Wait(StrEnum):
    """Whether a QUEUED transaction still has to wait."""

    OPEN = "OPEN"
    OVER = "OVER"
    EXPIRED = "EXPIRED"


def wait_of(
    tier: PolicyTier | None, *, until_at: int | None, is_approved: bool, now_s: int
) -> Wait:
    """Return how it stands with a wait.

    Args:
        tier: why it waits. One that is not known to end by itself does not.
        until_at: the second from which a DELAY is over, and an APPROVAL comes too late; None if
            none was written down.
        is_approved: whether a person has let it go; that does not expire.
        now_s: ledger time, so that a clock that is set back only lengthens it.
    """
    if tier is PolicyTier.APPROVAL and is_approved:
        return Wait.OVER
    if until_at is None or now_s < until_at:
        return Wait.OPEN
    ends = {PolicyTier.DELAY: Wait.OVER, PolicyTier.APPROVAL: Wait.EXPIRED}
    return Wait.OPEN if tier is None else ends.get(tier, Wait.OPEN)


def next_step(
    status: TransactionStatus,
    attempt: AttemptState | None,
    wait: Wait | None,
    *,
    is_forbidden: bool,
) -> Step | None:
    """Return what to do next, or None when there is nothing (any more, or yet) for us to do.

    Args:
        status: of the transaction.
        attempt: the state of its newest attempt, if it has one.
        wait: of a QUEUED one; whatever else has none.
        is_forbidden: whether nothing may go out: the kill switch is on, the agent is not ACTIVE,
            or the session was revoked.
    """
    match status:
        case TransactionStatus.PENDING:
            return Step.PREPARE
        case TransactionStatus.EXECUTING:
            return _next_of_executing(attempt, is_forbidden=is_forbidden)
        case TransactionStatus.SUBMITTED:
            return Step.WATCH
        case TransactionStatus.QUEUED:
            return _next_of_queued(wait)
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


def _next_of_queued(wait: Wait | None) -> Step | None:
    match wait:
        case Wait.OVER:
            return Step.PREPARE
        case Wait.EXPIRED:
            return Step.EXPIRE
        case Wait.OPEN | None:
            return None
        case _:
            assert_never(wait)


def _next_of_executing(attempt: AttemptState | None, *, is_forbidden: bool) -> Step | None:
    match attempt:
        case AttemptState.RECORDED:
            return Step.SIGN
        case AttemptState.SIGNED:
            # After a crash they may have been sent before. To send the same bytes again does no
            # harm; but to hold them proves nothing, so what is held is watched.
            return Step.HOLD if is_forbidden else Step.SEND
        case _:
            # Never written: a move leaves EXECUTING in the commit that leaves these states. Should
            # it be found all the same, nothing is sent, and the money stays set aside.
            return None
