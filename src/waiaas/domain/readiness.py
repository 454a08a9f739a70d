"""Is the daemon ready to do what it is for, and if not why? From facts to reasons, nothing else."""

from enum import StrEnum
from typing import NamedTuple

from waiaas.domain.workers import WorkerState


class Unready(StrEnum):
    """Why nobody is paid, whoever asks; the words are public and tell nothing that is secret."""

    LEDGER_READ_ONLY = "ledger_read_only"
    """The disk is full, or the ledger is damaged."""
    LEDGER_RESTORED = "ledger_restored"
    """The ledger came out of a backup, and is not yet compared with the chain."""
    KEYSTORE_LOCKED = "keystore_locked"
    """The operator, or a while without a signature, locked it."""
    CLOCK_IN_DOUBT = "clock_in_doubt"
    """The machine's clock was set, and nobody has accepted it."""
    PAYMENTS_FAILING = "payments_failing"
    """The worker that carries payments on failed, and is about to try again."""


class Readiness(NamedTuple):
    """What has to be known to tell."""

    is_writable: bool
    is_restored: bool
    is_locked: bool
    is_clock_in_doubt: bool
    payments: WorkerState
    """What the worker of the payments does."""

    def reasons(self) -> tuple[Unready, ...]:
        """Return what stands against being ready; nothing if it is."""
        standing = {
            Unready.LEDGER_READ_ONLY: not self.is_writable,
            Unready.LEDGER_RESTORED: self.is_restored,
            Unready.KEYSTORE_LOCKED: self.is_locked,
            Unready.CLOCK_IN_DOUBT: self.is_clock_in_doubt,
            Unready.PAYMENTS_FAILING: self.payments is WorkerState.FAILING,
        }
        return tuple(reason for reason, is_so in standing.items() if is_so)
