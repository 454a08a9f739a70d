"""Ids: UUID v7, and every later one sorts later, whatever threads and clocks do.

Run as a program this file is the child whose clock is set back, or which forks.
"""

import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Final

import libfaketime  # type: ignore[import-untyped]  # -- only its place is wanted
import pytest
import uuid_utils

from waiaas.database import generate_id

FORM: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MILLION: Final = 1_000_000
DAY_S: Final = 86_400
FAKETIME: Final = (
    Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
)


def _second(new: str) -> float:
    """Return the time in an id: its first 48 bits are Unix milliseconds."""
    return int(new[:8] + new[9:13], 16) / 1000


def _wall_clock_s() -> float:
    """Read the clock the way the library does not, to prove what it should have seen."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def test_an_id_has_the_version_and_variant_of_rfc_9562_in_canonical_lower_case() -> None:
    for _ in range(10_000):
        new = generate_id()
        assert type(new) is str
        assert FORM.fullmatch(new)


def test_an_id_begins_with_the_time_of_its_making() -> None:
    before = _wall_clock_s()
    made = _second(generate_id())
    after = _wall_clock_s()
    # Other tests may have made millions of ids: a full counter lends from the next millisecond.
    assert before - 0.002 <= made <= after + 1


def test_a_million_ids_are_strictly_increasing_as_strings() -> None:
    ids = [generate_id() for _ in range(MILLION)]
    assert all(earlier < later for earlier, later in pairwise(ids))
    assert len({_second(new) for new in ids}) < MILLION / 10, "many to a millisecond"


def test_ids_made_by_eight_threads_at_once_are_unique_and_increase_in_each() -> None:
    start = threading.Barrier(8)

    def make() -> list[str]:
        start.wait()
        return [generate_id() for _ in range(100_000)]

    with ThreadPoolExecutor(8) as pool:
        batches = [made.result() for made in [pool.submit(make) for _ in range(8)]]
    assert len({new for batch in batches for new in batch}) == 800_000
    for batch in batches:
        assert all(earlier < later for earlier, later in pairwise(batch))


def test_ids_made_by_eight_threads_in_turn_increase_in_the_order_of_making() -> None:
    start = threading.Barrier(8)
    turn = threading.Lock()
    made: list[str] = []

    def make() -> None:
        start.wait()
        for _ in range(20_000):
            with turn:
                made.append(generate_id())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 160_000
    assert all(earlier < later for earlier, later in pairwise(made))


def _child(*arguments: str, **environment: str) -> list[str]:
    return subprocess.run(
        [sys.executable, __file__, *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is built on Linux alone")
def test_ids_go_on_increasing_when_the_clock_is_set_back_by_a_day(tmp_path: Path) -> None:
    control = tmp_path / "faketime"
    control.write_text("+0\n")
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(control),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    real = _wall_clock_s()
    lines = _child("set-back", str(control), **environment)
    clock_before, clock_after, fresh, *ids = lines

    # The clock this process saw really went back, and a fresh process makes yesterday's ids.
    assert abs(float(clock_before) - real) < 30
    assert abs(float(clock_before) - float(clock_after) - DAY_S) < 30
    assert abs(float(clock_before) - _second(fresh) - DAY_S) < 30

    assert len(ids) == 40_000
    assert all(FORM.fullmatch(new) for new in ids)
    assert all(earlier < later for earlier, later in pairwise(ids))
    assert _second(ids[-1]) >= _second(ids[0]) > float(clock_after) + DAY_S / 2


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is built on Linux alone")
def test_a_clock_before_1970_is_an_error_of_ours_where_the_library_panics() -> None:
    environment = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "@1960-01-01 00:00:00"}
    assert _child("before-1970", **environment) == ["ClockBeforeEpoch", "PanicException"]


@pytest.mark.slow
def test_forked_children_do_not_repeat_the_ids_of_their_parent_or_each_other() -> None:
    ids = _child("fork")
    assert len(ids) == 9 * 1000
    assert len(set(ids)) == len(ids)


def _set_the_clock_back_while_making_ids(control: Path) -> None:
    """Half in one go, half across eight steps back, by threads that never stop making ids."""
    before = _wall_clock_s()
    ids = [generate_id() for _ in range(10_000)]
    control.write_text(f"-{DAY_S}\n")
    after = _wall_clock_s()
    ids += [generate_id() for _ in range(10_000)]
    for hours in range(8):
        control.write_text(f"-{DAY_S + 3600 * hours}\n")
        ids += [generate_id() for _ in range(1_250)]
    control.write_text("+0\n")
    ids += [generate_id() for _ in range(5_000)]
    control.write_text(f"-{DAY_S}\n")
    ids += [generate_id() for _ in range(5_000)]
    fresh = subprocess.run(
        [sys.executable, __file__, "one"], check=True, capture_output=True, encoding="utf-8"
    ).stdout
    print(before, after, fresh, *ids, sep="\n")  # noqa: T201 -- read by the test


def _fork() -> None:
    """Every child starts from the same state of the generator, in the same millisecond or so."""
    generate_id()
    for _ in range(8):
        if os.fork() == 0:
            _write_a_thousand()
            os._exit(0)
    _write_a_thousand()
    for _ in range(8):
        os.wait()


def _write_a_thousand() -> None:
    """In pieces so small that a pipe never mixes them with another process's."""
    for _ in range(20):
        os.write(1, "".join(f"{generate_id()}\n" for _ in range(50)).encode())


def _name_what_is_raised() -> None:
    """By ours, and by what it is made of: the control."""
    for make in (generate_id, uuid_utils.uuid7):
        try:
            make()
        except BaseException as error:  # noqa: BLE001 -- a panic is no Exception
            print(type(error).__name__)  # noqa: T201 -- read by the test


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["set-back", control]:
            _set_the_clock_back_while_making_ids(Path(control))
        case ["fork"]:
            _fork()
        case ["before-1970"]:
            _name_what_is_raised()
        case ["one"]:
            print(generate_id())  # noqa: T201 -- read by the parent
        case other:
            sys.exit(f"unknown: {other}")
