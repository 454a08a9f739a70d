"""What a ledger notices about its files, and what whoever opened it wants done about that."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from waiaas.ports import LedgerTransaction


class Notice(StrEnum):
    """Something that the operator has to hear of."""

    FULL = "FULL"
    """There is no space: no more writes until there is. Recorded in the ledger."""
    FULL_UNRECORDED = "FULL_UNRECORDED"
    """The same, and not even the ballast gave room to record it."""
    RESUMED = "RESUMED"
    """There is space again."""
    DAMAGED = "DAMAGED"
    """The file is damaged: no more writes."""
    WAL_LARGE = "WAL_LARGE"
    """The WAL has outgrown its bound: somebody holds on to an old snapshot, or the disk is full."""
    WAL_BOUNDED = "WAL_BOUNDED"
    """It is within its bound again."""


@dataclass(frozen=True, slots=True)
class Notices:
    """Handed to `open_ledger`. The units are written in transactions of their own."""

    full: Callable[[LedgerTransaction], object]
    """Records that there was no space; runs on the space that the ballast gave."""
    resumed: Callable[[LedgerTransaction], object]
    """Records that there is space again, before anything else is written."""
    report: Callable[[Notice, str], None]
    """Tells the operator's log, on whatever thread noticed; must not use the ledger."""


def _record_nothing(_tx: LedgerTransaction) -> None:
    """Leave no record."""


def _report_nothing(_notice: Notice, _sentence: str) -> None:
    """Tell nobody."""


SILENT = Notices(full=_record_nothing, resumed=_record_nothing, report=_report_nothing)
"""For a ledger nobody runs a daemon on."""
