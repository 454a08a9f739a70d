"""kill -9 under load: what was acknowledged is there, whole; what was refused never is.

The real ledger, written to by threads and tasks at once, is killed while it opens, while it pays,
while it closes, again and again on the same directory. A kill alone says nothing of power cuts:
what a killed process has written, the operating system keeps.
"""

import random  # noqa: TID251 -- reproducible cases, not secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.proof]

Begin = Callable[[str], Any]
"""Begins a story in a folder of that name."""

LIVES = 10
"""Lives, each ended by a kill, of one database in a row."""

CALLERS = 7
"""As in `victims.py`: each has at most one unit that is not answered yet."""

WRONG = {
    "acknowledges early": "acknowledged and not there",
    "commits twice": "half there",
}
"""Victims that do it wrong, and what comes of that."""

STAGES = {"opening": ("born", "opened"), "closing": ("closing", "closed")}


@pytest.fixture
def looks(nursery: Any, tmp_path: Path) -> dict[str, int]:
    """Return how long each stage takes, in looks of the nursery."""
    return {
        stage: nursery.looks_between(
            "pays", tmp_path / stage, first, last, units=50, wal_pages=1000
        )
        for stage, (first, last) in STAGES.items()
    }


def any_moment(source: random.Random, looks: dict[str, int]) -> tuple[str, int, int, int]:
    """Return where to kill, (event, count, looks), and how many units there are to be paid."""
    stage = source.choices(["opening", "paying", "closing"], weights=[2, 6, 2])[0]
    if stage == "paying":
        count = round(200 ** source.random())
        return "acknowledged", count, source.randrange(200), 1_000_000
    return STAGES[stage][0], 1, source.randrange(looks[stage] + 1), source.randrange(60)


def test_no_kill_loses_halves_or_doubles_what_was_acknowledged(
    proof: Any, nursery: Any, looks: dict[str, int], story: Begin, story_on_disk: Begin
) -> None:
    """On a real disk most kills meet a sync, in memory they meet the program."""
    acknowledged, last_words = 0, Counter[str]()
    told: Any = None
    for number, source in enumerate(proof.cases(full=1000, unit="kills", budget_s=50)):
        if number % LIVES == 0:
            told = (story, story_on_disk)[number // LIVES % 2](f"{number}")
        *kill, units = any_moment(source, looks)
        life = {
            "units": units,
            "wal_pages": source.choice([20, 1000]),
            "is_copied": source.random() < 1 / 4,
        }
        end = nursery.bring_up("pays", told.directory, kill=kill, **life)
        assert end.was_killed
        told.add(end)
        acknowledged += len(end.ids("acknowledged"))
        last_words[end.events()[-1]] += 1

        is_last = number % LIVES == LIVES - 1
        # The next life begins on what the kill left, or behind the clean stop of our look.
        is_copied = told.directory.exists() and source.random() < 1 / 2
        looked_at = told.copy("copy") if is_copied else told
        faults = looked_at.faults(in_flight_max=CALLERS, thorough=is_last)
        if is_copied or is_last:
            looked_at.end()
        proof.lose(len(faults))
        assert not faults, f"seed {proof.seed}, kill {number}, {kill}"
    print(f"{acknowledged} acknowledged; the last words of the killed: {dict(last_words)}")  # noqa: T201 -- figures


@pytest.mark.parametrize("victim", WRONG)
def test_control_the_same_kills_find_callers_who_do_it_wrong(
    victim: str, proof: Any, nursery: Any, story_on_disk: Begin
) -> None:
    found = 0
    for number, source in enumerate(proof.cases(full=200, unit="kills", budget_s=20)):
        told = story_on_disk(f"{number}")
        kill = ("acknowledged", source.randint(1, 20), source.randrange(200))
        told.add(nursery.bring_up(victim, told.directory, kill=kill))
        faults = told.faults(in_flight_max=CALLERS)
        found += any(fault.startswith(WRONG[victim]) for fault in faults)
    proof.control(f"{WRONG[victim]} behind {found} kills")
    assert found
