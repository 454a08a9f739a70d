"""Thousands of worlds, each from one seed: whatever happens, the promises hold after every step.

The real pipeline, worker and SQLite ledger, against a chain and a clock that do their worst: kills
anywhere, lost answers, reorganisations, clocks that jump, a full disk, a second daemon, a stopped
one that wakes, restored backups. A world that fails prints its seed, which is kept and always run.
"""

import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from tests.simulation.truth import Broken
from tests.simulation.variants import (
    Impatient,
    SigningAgain,
    Unfinalized,
    Variant,
    unreserved,
)
from tests.simulation.world import Simulation, simulate

pytestmark = [pytest.mark.slow, pytest.mark.proof]

MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- faster than a disk; nothing here cuts the power
SEEDS: Final = Path(__file__).with_name("seeds.txt")
HALVES: Final = 2
"""Tests that share the seeds, so that they run beside each other."""

Run = Callable[..., Simulation]


@pytest.fixture
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


@pytest.mark.parametrize("half", range(HALVES))
@pytest.mark.timeout(7200)
def test_no_world_breaks_a_promise(half: int, proof: Any, run: Run) -> None:
    for turn in proof.until(proof.wanted_of_slow(10_000 // HALVES), unit="worlds", budget_s=120):
        seed = f"{proof.seed}:{HALVES * turn + half}"
        try:
            run(seed)
        except BaseException as error:  # noqa: BLE001 -- whatever it is, its seed is kept
            proof.lose()
            keep(seed, error)
            pytest.fail(f"seed {seed}: {error!r}; it was added to {SEEDS.name}")
        proof.count()


def test_the_worlds_that_once_found_something_are_well(run: Run) -> None:
    for seed in kept_seeds():
        run(seed)


def test_the_same_seed_makes_the_same_world(run: Run) -> None:
    first, second = (run("1:7") for _ in range(2))
    assert first.happened == second.happened
    assert first.truth.statuses == second.truth.statuses
    assert first.truth.signed == second.truth.signed
    assert first.chain.landed == second.chain.landed


def test_where_a_node_perjures_itself_nothing_is_paid_twice_all_the_same(
    proof: Any, run: Run
) -> None:
    """Money may be freed that has moved; no single node's word can prevent that. Never twice."""
    for turn in proof.until(proof.wanted(500), unit="worlds", budget_s=60):
        run(f"{proof.seed}:{turn}", variant=Variant(perjures=True), kind="late")
        proof.count()


@pytest.mark.parametrize(
    ("kind", "variant", "words"),
    [
        ("silent", Variant(chain=SigningAgain), r"was made 2 times|was not recorded"),
        ("late", Variant(chain=Impatient), r"that is EXPIRED was made"),
        ("late", Variant(chain=Unfinalized), r"that is EXPIRED was made"),
        ("any", Variant(seen_as=unreserved), r"is over \w+ of"),
        ("restored", Variant(marks_restored=False), r"was made \d times"),
        ("any", Variant(keeps_commits=False), r"is gone|are gone"),
    ],
    ids=["signs again", "wall clock", "unfinalized", "unreserved", "unmarked", "loses commits"],
)
def test_control_a_naive_variant_is_caught(
    kind: str, variant: Variant, words: str, proof: Any, run: Run
) -> None:
    found = []
    for turn in proof.until(proof.wanted(200), unit="worlds", budget_s=60):
        proof.count()
        try:
            run(f"{proof.seed}:{turn}", variant=variant, kind=kind)
        except Broken as broken:
            found.append(str(broken))
    caught = len(found)
    assert all(re.search(words, each) for each in found), found
    proof.control(f"caught in {caught}")
    assert caught
