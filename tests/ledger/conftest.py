"""An open ledger in a folder of its own, and a way to force units into one group."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from waiaas.database import Ledger, open_ledger
from waiaas.database.ledger import _WaitingUnit
from waiaas.ports import LedgerTransaction

Function = Callable[[LedgerTransaction], Any]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def ledger(directory: Path) -> Iterator[Ledger]:
    with open_ledger(directory) as opened:
        yield opened


def _outcome(unit: _WaitingUnit) -> object:
    unit.done.acquire()
    return unit.value if unit.error is None else unit.error


@pytest.fixture
def in_one_group() -> Callable[..., list[Any]]:
    """Return a function that holds the writer in a first unit until all others are queued.

    It returns what came of each: the value, or the exception. The first unit's is left out.
    """

    def run(ledger: Ledger, *functions: Function) -> list[object]:
        all_queued = threading.Event()
        units = [_WaitingUnit(lambda _tx: all_queued.wait())]
        units += [_WaitingUnit(function) for function in functions]
        for unit in units:
            ledger._writer.submit(unit)
        all_queued.set()
        return [_outcome(unit) for unit in units][1:]

    return run
