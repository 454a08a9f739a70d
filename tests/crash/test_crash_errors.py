"""An error at the n-th call to the disk, for every n: what each caller was told is true.

A life is: open, push the schema, write in groups, copy the WAL, close, and all of it once more;
then the process dies without closing, and the directory is opened on a sound disk. Told a value:
it is there. Told *rolled back*, *full* or one's own refusal: it is not, and never will be. Told
*unknown*: everything stopped, and whatever is there is whole. And everybody is told something.
"""

import random  # noqa: TID251 -- reproducible cases, not secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.proof]

CALLS = ("open", "read", "write", "truncate", "sync", "delete")


class Mode(NamedTuple):
    """How one life goes."""

    for_ever: bool = False
    """Whether every call from the n-th on fails."""
    spills: bool = False
    """Whether there is so little memory that a group is written to the WAL before COMMIT too."""


class Fault(NamedTuple):
    """What fails, and how."""

    kind: str
    error: str
    moment: str


ONCE = (Mode(),)
EVERY_MODE = (Mode(), Mode(for_ever=True), Mode(spills=True))

FAULTS = {
    Fault("open", "cannot open", "before"): EVERY_MODE,
    Fault("open", "io", "before"): ONCE,
    Fault("read", "io", "before"): EVERY_MODE,
    Fault("write", "io", "before"): EVERY_MODE,
    Fault("write", "io", "during"): ONCE,
    Fault("write", "io", "behind"): ONCE,
    Fault("write", "full", "before"): EVERY_MODE,
    Fault("write", "full", "during"): ONCE,
    Fault("truncate", "io", "before"): EVERY_MODE,
    Fault("truncate", "full", "before"): EVERY_MODE,
    Fault("sync", "io", "before"): EVERY_MODE,
    Fault("delete", "io", "before"): EVERY_MODE,
    Fault("delete", "io", "behind"): ONCE,
}

IN_MAKE_TEST = range(4, 11)
"""Cases of one fault in `make test`: a tenth of all writes would take half a minute."""

CONTROL_ERRORS = 40

Calls = dict[Mode, Counter[str]]
"""How many calls of each kind a life on a sound disk makes."""

UNANSWERED_MAX = 2
"""Payments in a group: they are what an unknown commit leaves open."""


@pytest.fixture(scope="module")
def calls(nursery: Any, tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """Return how many calls of each kind a life on a sound disk makes."""
    counted, folder = {}, tmp_path_factory.mktemp("sound")
    for mode in EVERY_MODE:
        end = live(nursery, folder / f"{mode}", next(iter(FAULTS)), mode, call=0)
        counted[mode] = Counter(end.events())
        assert counted[mode]["opened"] == 2
        assert counted[mode]["acknowledged"] == 2 * counted[mode]["refused"] == 8
        assert all(counted[mode][kind] for kind in CALLS)
    return counted


def live(nursery: Any, directory: Path, fault: Fault, mode: Mode, *, call: int) -> Any:
    """Let a victim live on a disk whose *call*-th call fails, or on a sound one if that is 0."""
    described = {**fault._asdict(), **mode._asdict(), "call": call, "listing": call == 0}
    return nursery.bring_up("lives twice", directory, **described)


def cases_of(fault: Fault, calls: Calls, *, seed: int) -> list[tuple[Mode, int]]:
    """Return every case of *fault*, in random order."""
    cases = [
        (mode, call) for mode in FAULTS[fault] for call in range(1, calls[mode][fault.kind] + 1)
    ]
    random.Random(seed).shuffle(cases)  # noqa: S311 -- reproducible cases
    return cases


@pytest.mark.parametrize("fault", FAULTS, ids="-".join)
def test_what_callers_are_told_is_true_whichever_call_fails(
    fault: Fault, proof: Any, nursery: Any, calls: Calls, story: Callable[[str], Any]
) -> None:
    cases = cases_of(fault, calls, seed=proof.seed)
    wanted = proof.wanted(len(cases))
    if wanted < len(cases):
        wanted = min(len(cases), max(IN_MAKE_TEST[0], min(wanted, IN_MAKE_TEST[-1])))
    events = Counter[str]()
    for turn in proof.until(wanted, unit="errors", budget_s=30):
        mode, call = cases[turn]
        told = story(f"{turn}")
        end = live(nursery, told.directory, fault, mode, call=call)
        told.add(end)
        faults = [*told.faults(in_flight_max=UNANSWERED_MAX), *untold(end)]
        told.end()
        events.update(event for event in end.events() if event not in CALLS)
        proof.count()
        proof.lose(len(faults))
        assert not faults, f"seed {proof.seed}, {fault}, {mode}, call {call}"
    print(f"of {len(cases)} cases: {dict(sorted(events.items()))}")  # noqa: T201 -- figures


def untold(end: Any) -> Iterator[str]:
    """Yield what was kept from whom: an unknown commit is told, and stops everything."""
    unknown, told, stopped = end.ids("unknown"), end.ids("told"), end.ids("stopped")
    if len(told) > 1:
        yield f"the process was told {len(told)} times"
    if (unknown or told) and not stopped:
        yield "writing did not stop at an unknown commit"
    if unknown and not told:
        yield "a caller was told of an unknown commit, the process was not"
    if end.status:
        yield f"it ended with {end.status}"


def test_control_an_unknown_commit_is_neither_done_nor_failed(
    proof: Any, nursery: Any, calls: Calls, story: Callable[[str], Any]
) -> None:
    """Who takes it for failed and pays again pays twice; who takes it for done does not pay."""
    faults = Fault("sync", "io", "before"), Fault("write", "io", "before")
    by_fault = [
        [(fault, *case) for case in cases_of(fault, calls, seed=proof.seed)] for fault in faults
    ]
    cases = [case for pair in zip(*by_fault, strict=False) for case in pair]
    there, absent = 0, 0
    for turn in proof.until(CONTROL_ERRORS, unit="errors", budget_s=20):
        fault, mode, call = cases[turn]
        told = story(f"{turn}")
        unknown = set(live(nursery, told.directory, fault, mode, call=call).ids("unknown"))
        payments = told.examine().payments
        there += len(unknown & payments)
        absent += len(unknown - payments)
        proof.count()
    proof.control(f"of the unknown {there} were there, {absent} were not")
    assert there
    assert absent
