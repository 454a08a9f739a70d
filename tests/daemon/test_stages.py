"""Stages: each is told with its time, one that fails is named, one that hangs ends the process."""

import json
import subprocess
import sys
import threading

import pytest
from tests.fakes.clock import FakeClock

from waiaas.logs import log_to_stderr
from waiaas.stages import STAGES, Plan, Stage, Start

HANGS = """
import os
from functools import partial
from waiaas.logs import end_process
from waiaas.stages import Plan, Stage, Start
from waiaas.system import SystemClock

reading, writing = os.pipe()
plans = {Stage.LEDGER: Plan(0, "open the ledger", "See whether the disk answers.")}
start = Start(SystemClock(), end=partial(end_process, status=71), plans=plans)
with start.stage(Stage.LEDGER):
    os.read(reading, 1)  # In C, where no exception gets in.
"""


def never(told: str) -> None:
    raise AssertionError(told)


def test_every_stage_has_a_deadline_and_says_what_it_does_and_what_to_do() -> None:
    assert list(STAGES) == list(Stage)
    assert all(plan.deadline_s > 0 for plan in STAGES.values())
    assert all(plan.remedy.endswith(".") for plan in STAGES.values())


def test_a_stage_is_one_line_with_its_time(capfd: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()
    clock = FakeClock()
    start = Start(clock, end=never)
    for stage in (Stage.LEDGER, Stage.KEYSTORE):
        with start.stage(stage):
            clock.pass_time(0.25)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["event"], line["stage"], line["ms"]) for line in lines] == [
        ("stage done", "ledger", 250),
        ("stage done", "keystore", 250),
    ]
    assert start.since_s() == 0.5
    assert start.told("it is so") == "it is so"


def test_a_stage_that_fails_is_named_and_not_told_as_done(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr()
    start = Start(FakeClock(), end=never)
    with pytest.raises(OSError, match="no space"), start.stage(Stage.LEDGER):
        raise OSError(28, "no space")
    assert start.told("no space") == "cannot start, at ledger: no space"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("second", [Stage.LEDGER, Stage.DIRECTORY])
def test_no_stage_comes_twice_or_before_its_time(second: Stage) -> None:
    start = Start(FakeClock(), end=never)
    with start.stage(Stage.LEDGER):
        pass
    with pytest.raises(AssertionError), start.stage(second):
        pass


def test_a_stage_that_hangs_in_c_ends_the_process_with_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert done.returncode == 71
    assert done.stderr == (
        "waiaas: cannot start, at ledger: to open the ledger took longer than 0 s."
        " See whether the disk answers.\n"
    )


def test_a_deadline_grows_with_the_work_and_ends_with_the_stage() -> None:
    overdue = threading.Event()
    plans = {Stage.LEDGER: Plan(-60, "x", "y."), Stage.KEYSTORE: Plan(60, "x", "y.")}
    start = Start(FakeClock(), end=lambda _: overdue.set(), plans=plans)
    with start.stage(Stage.LEDGER, more_s=120):
        assert not overdue.is_set()
    assert threading.active_count() < 100
    timers = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    for timer in timers:
        timer.join(10)
    assert not overdue.is_set()


def test_the_control_without_more_time_the_same_work_is_overdue() -> None:
    overdue = threading.Event()
    start = Start(
        FakeClock(), end=lambda _: overdue.set(), plans={Stage.LEDGER: Plan(-60, "x", "y.")}
    )
    with start.stage(Stage.LEDGER):
        assert overdue.wait(10)
