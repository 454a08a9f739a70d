"""Killed while the schema is made, or while a crash is recovered from: the next opening finishes.

Once at random moments, as a person or the system kills, and once at each call that changes the
disk: before it, in the middle of a write, behind it. A database that is made takes some hundred
such calls.
"""

import random  # noqa: TID251 -- reproducible cases, not secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waiaas.database import DatabaseError

pytestmark = [pytest.mark.slow, pytest.mark.proof]

CHANGES = ("open", "write", "truncate", "sync", "delete")
CRASHED_PAYMENTS = 40
KILLS_IN_A_ROW = 3

CALLERS = 7
"""As in `victims.py`: each has at most one unit that is not answered yet."""


Begin = Callable[[str], Any]
"""Begins a story in a folder of that name."""


@pytest.fixture
def crashed(nursery: Any, story: Begin) -> Any:
    """Return the story of a database that was killed under load; its WAL is left to recover."""
    told = story("crashed")
    kill = ("acknowledged", CRASHED_PAYMENTS)
    told.add(nursery.bring_up("pays", told.directory, kill=kill, units=1_000_000, wal_pages=1000))
    assert (told.directory / "ledger.db-wal").stat().st_size
    return told


@pytest.fixture(params=["empty", "crashed"])
def begin(request: pytest.FixtureRequest, story: Begin, crashed: Any) -> Begin:
    """Return what begins a story in an empty folder, or in a copy of the crashed one.

    Whatever else an opening has to deal with, such as an older schema, is one more parameter.
    """
    found: Begin = crashed.copy if request.param == "crashed" else story
    return found


def kill_while_opening(nursery: Any, directory: Path, source: random.Random, looks: int) -> None:
    """Kill until one kill fell between the process's birth and the ledger's opening."""
    is_inside = False
    while not is_inside:
        kill = ("born", 1, source.randrange(looks + 1))
        end = nursery.bring_up("opens", directory, kill=kill)
        is_inside = "opened" not in end.events()


def test_a_database_killed_while_it_is_made_is_made_at_the_next_opening(
    proof: Any, nursery: Any, story: Begin
) -> None:
    looks = nursery.looks_between("opens", story("whole").directory, "born", "opened")
    for number, source in enumerate(proof.cases(full=200, unit="kills", budget_s=30)):
        told = story(f"{number}")
        kill_while_opening(nursery, told.directory, source, looks)
        faults = told.faults(in_flight_max=0)
        told.end()
        proof.lose(len(faults))
        assert not faults, f"seed {proof.seed}, kill {number}"


def test_a_recovery_that_is_killed_again_and_again_loses_nothing(
    proof: Any, nursery: Any, crashed: Any
) -> None:
    looks = nursery.looks_between("opens", crashed.copy("whole").directory, "born", "opened")
    for number, source in enumerate(proof.cases(full=100, unit="recoveries", budget_s=30)):
        told = crashed.copy(f"{number}")
        for _ in range(KILLS_IN_A_ROW):
            kill_while_opening(nursery, told.directory, source, looks)
        faults = told.faults(in_flight_max=CALLERS)
        told.end()
        proof.lose(len(faults))
        assert not faults, f"seed {proof.seed}, recovery {number}"


@pytest.mark.parametrize("moment", ["before", "during", "behind"])
def test_a_death_at_any_call_to_the_disk_loses_nothing(
    moment: str, proof: Any, nursery: Any, begin: Begin
) -> None:
    options = {"moment": moment, "listing": True}
    listed = nursery.bring_up("opens and closes", begin("listed").directory, call=0, **options)
    changes = [event for event in listed.events() if event in CHANGES]
    calls = list(range(1, len(changes) + 1))
    random.Random(proof.seed).shuffle(calls)  # noqa: S311 -- reproducible cases
    for turn in proof.until(proof.wanted(len(calls)), unit="calls", budget_s=20):
        told = begin(f"{turn}")
        end = nursery.bring_up("opens and closes", told.directory, call=calls[turn], moment=moment)
        assert end.was_killed
        told.add(end)
        faults = told.faults(in_flight_max=CALLERS)
        told.end()
        proof.count()
        proof.lose(len(faults))
        assert not faults, f"seed {proof.seed}, call {calls[turn]}: {changes[calls[turn] - 1]}"


def test_control_a_database_made_in_steps_is_of_no_use_after_most_deaths(
    proof: Any, nursery: Any, story: Begin
) -> None:
    refused = 0
    for number, source in enumerate(proof.cases(full=100, unit="deaths", budget_s=20)):
        told = story(f"{number}")
        call = source.randint(1, 200)
        nursery.bring_up("makes it in steps", told.directory, call=call, moment="before")
        try:
            told.examine()
        except DatabaseError:
            refused += 1
    proof.control(f"the schema in steps: {refused} left unusable")
    assert refused


def test_control_a_recovery_that_throws_the_wal_away_loses(crashed: Any) -> None:
    (crashed.directory / "ledger.db-wal").unlink()
    assert len(crashed.faults(in_flight_max=CALLERS)) >= CRASHED_PAYMENTS
