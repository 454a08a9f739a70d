"""Ends a process at every step of the keystore's file operations, one step later each time."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FrameType

import pytest

from waiaas.keystore import files


def steps_of_files(
    step: Callable[[str], None], *, source: str = files.__file__
) -> Callable[[FrameType, str, object], None]:
    """Return a profiler that calls *step* before and after every C function *source* calls."""

    def profile(running: FrameType, event: str, function: object) -> None:
        if running.f_code.co_filename == source and event in {"c_call", "c_return"}:
            assert isinstance(function, BuiltinFunctionType)
            step(f"{event} {function.__name__}")

    return profile


def crashing_at(number: int, action: Callable[[], None], *, source: str) -> int:
    """Run *action* in a child that dies at its *number*-th step; return how the child ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = iter(range(number - 1))

    def step(_name: str) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.setprofile(steps_of_files(step, source=source))
        action()
        os._exit(0)
    finally:
        os._exit(1)


def crashes(
    action: Callable[[], Callable[[], None]], *, source: str = files.__file__
) -> Iterator[int]:
    """Crash what *action* returns at its first step, its second, ... until it comes through."""
    for number in range(1, 200):
        ended = crashing_at(number, action(), source=source)
        assert ended in {0, -signal.SIGKILL}
        yield number
        if ended == 0:
            return
    pytest.fail("the action never came through")
