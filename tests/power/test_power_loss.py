"""Whatever an acknowledged unit of work wrote survives a power cut, and no unit is ever half there.

The real ledger lives through a whole life on a recording disk; then the power is cut after every
event of the log (`make test`: after some, over the whole log), in four ways each. The controls are
weaker ledgers, under the same life and the same cuts: they must lose.

A failure names its seed, event and way to survive; `pytest tests/power --prove --seed N` makes
exactly that image again.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from tests.conftest import Proof
    from tests.power.conftest import Bench, Office, Recording

Record = Callable[..., "Recording"]

WAYS: Final = 4
"""Images for each moment: one for each way the disk may survive."""

MOMENTS: Final = 2_500
"""So many at least, for ten thousand images."""

CONTROL_MOMENTS: Final = 250

WEAKER: Final[dict[str, tuple[dict[str, Any], set[str]]]] = {
    "NORMAL": ({"synchronous": "NORMAL"}, {"lost"}),
    "OFF": ({"synchronous": "OFF"}, {"lost", "corrupt"}),
    "lying disk": ({"lies": True}, {"lost", "corrupt"}),
}
"""How a ledger may be weaker, and what must be found then."""


@pytest.mark.proof
def test_nothing_acknowledged_is_lost_to_a_power_cut(
    record: Record, bench: "Bench", proof: "Proof", tmp_path: Path
) -> None:
    recording = record(proof.seed)
    step, first, images = cuts(recording, proof, MOMENTS)
    found = []
    cut = bench.images(recording, seed=proof.seed, first=first, step=step)
    for _, image in zip(proof.until(images, unit="images", budget_s=45), cut, strict=False):
        proof.count()
        if image.problems:
            proof.lose()
            kept = shutil.copytree(bench.directory, tmp_path / f"{image.event} {image.survival}")
            found.append(f"seed {proof.seed}, {image}, files in {kept}")

    assert images >= WAYS * proof.wanted(MOMENTS)
    assert not found, "\n".join(found[:10])


def cuts(recording: "Recording", proof: "Proof", moments: int) -> tuple[int, int, int]:
    """Spread *moments* (a tenth in `make test`) over the log: step, first, number of images.

    `make prove` cuts at every moment if *moments* are at least as many as `MOMENTS`.
    """
    events = len(recording.log)
    is_every = moments >= MOMENTS and proof.wanted(moments) == moments
    step = 1 if is_every else events // proof.wanted(moments)
    first = proof.seed % step
    return step, first, WAYS * len(range(first, events, step))


@pytest.mark.proof
@pytest.mark.parametrize("name", WEAKER)
def test_control_a_weaker_ledger_loses(
    record: Record, bench: "Bench", proof: "Proof", name: str
) -> None:
    how, finds = WEAKER[name]
    recording = record(proof.seed, **how)
    step, first, images = cuts(recording, proof, CONTROL_MOMENTS)
    found: Counter[str] = Counter()
    after_kill: Counter[str] = Counter()
    cut = bench.images(recording, seed=proof.seed, first=first, step=step)
    for _, image in zip(proof.until(images, unit="images", budget_s=45), cut, strict=False):
        proof.count()
        seen = {problem.kind for problem in image.problems}
        found.update(seen)
        if image.survival == "all":
            after_kill.update(seen)
    proof.control(f"{name} lost {found['lost']}, corrupted {found['corrupt']} of {images}")

    assert all(found[kind] for kind in finds)
    assert not after_kill  # Which is why kill -9 proves nothing about a power cut.


def test_control_a_unit_written_in_two_commits_is_found_half_done(
    record: Record, bench: "Bench"
) -> None:
    def live(office: "Office") -> None:
        with office.open():
            office.call(office.author.agent())
            for _ in range(3):
                work = office.author.payment()
                office.call(work.parts[0])
                office.call(replace(work, parts=work.parts[1:]))

    recording = record(1, life=live)
    found = {
        problem.kind
        for image in bench.images(recording, seed=1, first=0, step=7)
        for problem in image.problems
    }
    assert found == {"half"}


def test_control_an_acknowledgement_before_the_commit_is_found_lost(
    record: Record, bench: "Bench"
) -> None:
    def live(office: "Office") -> None:
        with office.open():
            office.call(office.author.agent())
            work = office.author.payment()

            def promise_too_early(tx: Any) -> None:
                work(tx)
                office.note(work)

            office.call(replace(work, parts=(promise_too_early,)))

    recording = record(1, life=live)
    found = {
        problem.kind
        for image in bench.images(recording, seed=1, first=0, step=3)
        for problem in image.problems
    }
    assert found == {"lost"}


def test_the_recorded_life_has_what_is_worth_cutting(record: Record) -> None:
    log: list[Any] = record(1).log
    kinds = Counter(type(event).__name__ for event in log)
    made = Counter(event.name for event in log if type(event).__name__ == "Created")
    groups = [len(event.units) for event in log if type(event).__name__ == "Committed"]

    assert len(log) >= MOMENTS
    assert made == {"ledger.db": 1, "ledger.db-journal": 1, "ledger.db-wal": 2}
    assert kinds["Deleted"] == 3
    assert kinds["Truncated"] > 12  # Once for each time the WAL was copied into the main file.
    assert kinds["Acknowledged"] == sum(groups) > 80
    assert max(groups) >= 4


def test_a_first_opening_cut_off_inside_its_first_page_is_done_again(
    record: Record, bench: "Bench"
) -> None:
    def live(office: "Office") -> None:
        with office.open():
            pass

    recording = record(1, life=live)
    log: list[Any] = recording.log
    page = next(number for number, event in enumerate(log) if event[:2] == (0, 0))
    for seed in range(25):
        for image in bench.images(recording, seed=seed, first=page, step=len(log)):
            assert not image.problems


def test_one_seed_gives_one_order_of_events(record: Record) -> None:
    def shape(recording: "Recording") -> list[tuple[Any, ...]]:
        return [
            (type(event).__name__, *(len(x) if isinstance(x, bytes) else x for x in event))
            for event in recording.log
        ]

    once = shape(record(7, groups=12))
    assert once == shape(record(7, groups=12))
    assert once != shape(record(8, groups=12))
