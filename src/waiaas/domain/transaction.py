"""The state machine of a transaction: one table, and nothing else decides what may follow what.

Terminal states stay terminal. A denied request is recorded as CANCELLED with its reason.
`EXECUTING -> CANCELLED` is for a transaction of which nothing was signed; `EXECUTING -> FAILED` for
one that provably cannot land. Attempts (concrete bytes for one transaction) have their own states.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from waiaas.domain.enums import AuditAction, TransactionStatus

TRANSITIONS: Final[Mapping[TransactionStatus, frozenset[TransactionStatus]]] = MappingProxyType(
    {
        TransactionStatus.PENDING: frozenset(
            {
                TransactionStatus.QUEUED,
                TransactionStatus.EXECUTING,
                TransactionStatus.CANCELLED,
                TransactionStatus.FAILED,
            }
        ),
        TransactionStatus.QUEUED: frozenset(
            {
                TransactionStatus.EXECUTING,
                TransactionStatus.CANCELLED,
                TransactionStatus.EXPIRED,
            }
        ),
        TransactionStatus.EXECUTING: frozenset(
            {
                TransactionStatus.SUBMITTED,
                TransactionStatus.FAILED,
                TransactionStatus.CANCELLED,
            }
        ),
        TransactionStatus.SUBMITTED: frozenset(
            {
                TransactionStatus.CONFIRMED,
                TransactionStatus.FAILED,
                TransactionStatus.EXPIRED,
                TransactionStatus.PARTIAL_FAILURE,
            }
        ),
        TransactionStatus.CONFIRMED: frozenset(),
        TransactionStatus.FAILED: frozenset(),
        TransactionStatus.CANCELLED: frozenset(),
        TransactionStatus.EXPIRED: frozenset(),
        TransactionStatus.PARTIAL_FAILURE: frozenset(),
    }
)
"""From each state, the states that may follow it."""

MOVED_NOTHING: Final = (
    TransactionStatus.FAILED,
    TransactionStatus.CANCELLED,
    TransactionStatus.EXPIRED,
)
"""The ends at which it is proved that no money moved, and that none will."""

AUDIT_ACTIONS: Final[Mapping[TransactionStatus, AuditAction]] = MappingProxyType(
    {
        TransactionStatus.QUEUED: AuditAction.TX_QUEUED,
        TransactionStatus.EXECUTING: AuditAction.TX_PAYLOAD_RECORDED,
        TransactionStatus.SUBMITTED: AuditAction.TX_SUBMITTED,
        TransactionStatus.CONFIRMED: AuditAction.TX_CONFIRMED,
        TransactionStatus.FAILED: AuditAction.TX_FAILED,
        TransactionStatus.PARTIAL_FAILURE: AuditAction.TX_FAILED,
        TransactionStatus.CANCELLED: AuditAction.TX_CANCELLED,
        TransactionStatus.EXPIRED: AuditAction.TX_EXPIRED,
    }
)
"""The audit row that entering each state writes; PENDING is entered by admission, not a move."""


class IllegalTransition(Exception):  # noqa: N818 -- named for what was attempted
    """A move that the table does not allow; nothing was changed."""

    def __init__(self, old: TransactionStatus, new: TransactionStatus) -> None:
        self.old = old
        self.new = new
        super().__init__(f"a transaction does not go from {old} to {new}")


def is_terminal(status: TransactionStatus) -> bool:
    """Tell whether nothing can follow *status*."""
    return not TRANSITIONS[status]


def check_transition(old: TransactionStatus, new: TransactionStatus) -> None:
    """Return if *new* may follow *old*.

    Raises:
        IllegalTransition: it may not.
    """
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(old, new)


class AttemptState(StrEnum):
    """Life of one attempt: exact bytes that could move the money once.

    RECORDED bytes are not signed yet, SIGNED ones were never knowingly sent, SENT ones may be
    anywhere. The other four are what the chain proved.
    """

    RECORDED = "RECORDED"
    SIGNED = "SIGNED"
    SENT = "SENT"
    LANDED = "LANDED"
    FAILED_ON_CHAIN = "FAILED_ON_CHAIN"
    EXPIRED = "EXPIRED"
    REPLACED = "REPLACED"


LIVE_ATTEMPT_STATES: Final = (AttemptState.RECORDED, AttemptState.SIGNED, AttemptState.SENT)
"""States in which the bytes may still land; a transaction has at most one attempt in them."""


class ReservationState(StrEnum):
    """Money set aside for a transaction: HELD counts in every limit until the chain decides."""

    HELD = "HELD"
    SPENT = "SPENT"
    RELEASED = "RELEASED"
