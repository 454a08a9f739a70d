"""Thousands of worlds, each from one seed: whatever happens, the promises hold after every step.

The real pipeline, worker and SQLite ledger, against a chain and a clock that do their worst: kills
anywhere, lost answers, reorganisations, clocks that jump, a full disk, a second daemon, a stopped
one that wakes, restored backups. A world that fails prints its seed, which is kept and always run.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from tests.simulation.told import Broken
from tests.simulation.variants import (
    Believing,
    Careless,
    Generous,
    Impatient,
    Lifting,
    SigningAgain,
    Unfinalized,
    Variant,
    constraints_forgotten,
    decided_anew,
    gone_forgotten,
    judged_before_the_payload,
    never_lapsing,
    not_stopped,
    policies_unchanged,
    refuse_requests,
    rent_unjudged,
    rewritten,
    same_words,
    uncounted,
    unreserved,
    untold,
)
from tests.simulation.world import Simulation, simulate

pytestmark = [pytest.mark.slow, pytest.mark.proof]

MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- faster than a disk; nothing here cuts the power
SEEDS: Final = Path(__file__).with_name("seeds.txt")
HALVES: Final = 2
"""Tests that share the seeds, so that they run beside each other."""

CAUGHT_MIN: Final = 0.15
"""Of the worlds in which a control runs."""

Run = Callable[..., Simulation]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Return `simulate` with a place of its own for every world."""
    numbers = count()
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        templates = Path(folder, "templates")
        templates.mkdir()

        def run_one(seed: str, **options: Any) -> Simulation:
            return simulate(seed, Path(folder, f"{next(numbers)}"), templates, **options)

        yield run_one


def kept_seeds() -> list[str]:
    lines = SEEDS.read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if not line.startswith("#")]


def keep(seed: str, error: BaseException) -> None:
    """Write a seed down that found something."""
    if seed not in kept_seeds():
        with SEEDS.open("a", encoding="utf-8") as file:
            file.write(f"{seed} {str(error).splitlines()[0]}\n")


REACHED: Final = {
    "confirmed": ("TX_CONFIRMED", "system"),
    "approved by owners": ("TX_APPROVED", "owner"),
    "by operators": ("TX_APPROVED", "operator"),
    "rejected": ("TX_REJECTED", "operator"),
    "owners gone": ("OWNER_REMOVED", "owner"),
    "agents resumed": ("AGENT_RESUMED", "operator"),
    "switches off": ("KILL_SWITCH_RECOVERED", "operator"),
    "reconciled": ("LEDGER_RECONCILED", "operator"),
    "movements found": ("FOREIGN_MOVEMENT_FOUND", "operator"),
    "restored anew": ("RESTORED_ANEW", "operator"),
    "rules changed": ("POLICY_UPDATED", "operator"),
    "payments ended by that": ("POLICY_VIOLATION", "system"),
    "sessions issued": ("SESSION_ISSUED", "operator"),
    "clocks in doubt": ("CLOCK_JUMPED", "system"),
    "accepted": ("CLOCK_ACCEPTED", "operator"),
}
"""What must have happened somewhere in a thousand worlds, or they show little."""


@pytest.mark.parametrize("half", range(HALVES))
@pytest.mark.timeout(7200)
def test_no_world_breaks_a_promise(half: int, proof: Any, run: Run) -> None:
    wanted, events = proof.wanted_of_slow(10_000 // HALVES), Counter[tuple[str, str]]()
    for turn in proof.until(wanted, unit="worlds", budget_s=300):
        seed = f"{proof.seed}:{HALVES * turn + half}"
        try:
            events += run(seed).truth.told.events
        except BaseException as error:  # noqa: BLE001 -- whatever it is, its seed is kept
            proof.lose()
            keep(seed, error)
            pytest.fail(f"seed {seed}: {error!r}; it was added to {SEEDS.name}")
        proof.count()
    reached = {what: events[event] for what, event in REACHED.items()}
    proof.control(", ".join(f"{what} {times}" for what, times in reached.items()))
    assert all(reached.values()) or wanted < 500, reached


def test_the_worlds_that_once_found_something_are_well(run: Run) -> None:
    for seed in kept_seeds():
        run(seed)


def test_the_same_seed_makes_the_same_world(run: Run) -> None:
    first, second = (run("1:7") for _ in range(2))
    assert first.happened == second.happened
    assert first.truth.told == second.truth.told
    assert first.truth.signed == second.truth.signed
    assert first.chain.landed == second.chain.landed


def test_where_a_node_perjures_itself_nothing_is_paid_twice_all_the_same(
    proof: Any, run: Run
) -> None:
    """Money may be freed that has moved; no single node's word can prevent that. Never twice."""
    for turn in proof.until(proof.wanted(100), unit="worlds", budget_s=60):
        run(f"{proof.seed}:{turn}", variant=Variant(perjures=True), kind="late")
        proof.count()


STRONG: Final = 120
WEAK: Final = 200
"""How many worlds a control is run in: one that is caught less often needs more to be sure."""

CONTROLS: Final = {
    "signs again": (
        *("silent", Variant(chain=SigningAgain), STRONG),
        r"was made \d times|was not recorded",
    ),
    "wall clock": ("late", Variant(chain=Impatient), WEAK, r"that is EXPIRED was made"),
    "unfinalized": ("lagging", Variant(chain=Unfinalized), STRONG, r"that is EXPIRED was made"),
    "unreserved": (
        *("crowded", Variant(seen_as=unreserved), STRONG),
        r"let through against|is over \w+ of",
    ),
    "generous": ("renting", Variant(chain=Generous), STRONG, r"has left, and .* is counted"),
    "loses commits": (
        *("killed", Variant(keeps_commits=False), STRONG),
        r"is gone|are gone|was not recorded",
    ),
    "unmarked": ("restored", Variant(marks_restored=False), WEAK, r"was made \d times"),
    "lifted": (
        *("restored", Variant(reconciler=Lifting), WEAK),
        r"was made \d times|was not recorded|come to an end",
    ),
    "refuses only": (
        *("stopped", Variant(activate=refuse_requests, worker_sees=not_stopped), WEAK),
        r"signed behind the kill switch",
    ),
    "judged once": (
        *("tightened", Variant(worker_sees=policies_unchanged), WEAK),
        r"let through against|is over \w+ of",
    ),
    "judged before the payload": (
        *("interrupted", Variant(worker_sees=judged_before_the_payload), WEAK),
        r"let through against|is over \w+ of",
    ),
    "overtaken": (
        *("overtaken", Variant(worker_sees=gone_forgotten), WEAK),
        r"is over \w+ of",
    ),
    "rent judged once": (
        *("renting, interrupted", Variant(worker_sees=rent_unjudged), WEAK),
        r"nothing grants the rent|is over \w+ of|as \w+, not",
    ),
    "set back": (
        *("set back", Variant(seen_as=same_words), WEAK),
        r"is over \w+ of",
    ),
    "never lapsing": (
        *("lapsed", Variant(seen_as=never_lapsing), STRONG),
        r"was decided too late|does not come to an end",
    ),
    "full disk": (
        *("full", Variant(ledger=Careless), STRONG),
        r"what was acknowledged is not in the ledger",
    ),
    "woken": (
        *("woken", Variant(is_sleepy=True), WEAK),
        r"was signed twice|signed what is not under way|signed for",
    ),
    "constrained once": (
        *("constrained", Variant(worker_sees=constraints_forgotten), WEAK),
        r"signed against its session",
    ),
    "uncounted": (
        *("constrained", Variant(seen_as=uncounted), WEAK),
        r"is over max(Transactions|TotalAmount) of",
    ),
    "believing": (
        *("jumping", Variant(guard=Believing), WEAK),
        r"is over \w+ of",
    ),
    "untold": ("any", Variant(seen_as=untold), STRONG, r"and was told to be|was not told"),
    "rewritten": ("late", Variant(seen_as=rewritten), STRONG, r"signed bytes have changed"),
    "decided anew": ("decided", Variant(seen_as=decided_anew), STRONG, r"was decided twice"),
}
"""By name, the kind of its worlds, what is wrong in them, how many, and as what it is noticed."""


@pytest.mark.parametrize("name", CONTROLS)
def test_control_a_naive_variant_is_caught(name: str, proof: Any, run: Run) -> None:
    kind, variant, worlds, words = CONTROLS[name]
    wanted, found = proof.wanted(worlds), list[str]()
    for turn in proof.until(wanted, unit="worlds", budget_s=60):
        if len(found) >= CAUGHT_MIN * wanted and wanted < worlds:
            break  # It is caught; only whoever runs all of them wants to know how often.
        proof.count()
        try:
            run(f"{proof.seed}:{turn}", variant=variant, kind=kind)
        except Broken as broken:
            found.append(str(broken))
    caught = len(found)
    assert all(re.search(words, each) for each in found), found
    proof.control(f"caught in {caught}")
    assert caught >= CAUGHT_MIN * wanted
