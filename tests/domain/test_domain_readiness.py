"""Readiness: each thing that stands against it is a reason of its own, and none hides another."""

from itertools import product
from typing import Any

import pytest

from waiaas.domain.readiness import Readiness, Unready
from waiaas.domain.workers import WorkerState

READY = Readiness(
    is_writable=True,
    is_restored=False,
    is_locked=False,
    is_clock_in_doubt=False,
    payments=WorkerState.RUNNING,
)
STANDING: dict[Unready, dict[str, Any]] = {
    Unready.LEDGER_READ_ONLY: {"is_writable": False},
    Unready.LEDGER_RESTORED: {"is_restored": True},
    Unready.KEYSTORE_LOCKED: {"is_locked": True},
    Unready.CLOCK_IN_DOUBT: {"is_clock_in_doubt": True},
    Unready.PAYMENTS_FAILING: {"payments": WorkerState.FAILING},
}


def test_the_words_never_change_once_they_were_told() -> None:
    assert [*Unready] == [
        "ledger_read_only",
        "ledger_restored",
        "keystore_locked",
        "clock_in_doubt",
        "payments_failing",
    ]
    assert list(STANDING) == list(Unready)


@pytest.mark.parametrize("chosen", [*product([False, True], repeat=len(Unready))])
def test_every_reason_is_told_and_no_other(chosen: tuple[bool, ...]) -> None:
    expected = tuple(reason for reason, is_so in zip(Unready, chosen, strict=True) if is_so)
    changes = {name: value for reason in expected for name, value in STANDING[reason].items()}
    assert READY._replace(**changes).reasons() == expected
