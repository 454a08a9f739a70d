"""A person at a terminal: asked twice, shown nothing, and told when the two are not the same."""

import os
import pty
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

PASSWORD = "typed by a person"


class Terminal:
    """A program on a pseudo-terminal, and everything it has shown."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:  # pragma: no cover -- the child becomes the program
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a parent may ignore it, as `nohup` does
            os.execv(command[0], command)  # noqa: S606 -- it is to have this terminal
        self.shown = ""
        self._read_up_to = 0

    def expect(self, text: str) -> None:
        """Read until *text* is shown, after everything that was expected before."""
        deadline = time.monotonic() + 20
        while (found := self.shown.find(text, self._read_up_to)) < 0:
            readable, _, _ = select.select([self._descriptor], [], [], deadline - time.monotonic())
            assert readable, f"waited for {text!r}, and saw {self.shown!r}"
            assert self._read(), f"it ended without {text!r}: {self.shown!r}"
        self._read_up_to = found + len(text)

    def type(self, line: str) -> None:
        os.write(self._descriptor, line.encode() + b"\n")

    def ended(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self._descriptor)  # Which hangs up on whoever is still there.

    def _read(self) -> bool:
        try:
            piece = os.read(self._descriptor, 4096)
        except OSError:  # How Linux says that the last one has left the terminal.
            return False
        self.shown += piece.decode(errors="replace")
        return bool(piece)


@pytest.fixture
def terminal() -> Callable[..., Any]:
    @contextmanager
    def run(command: list[str]) -> Iterator[Terminal]:
        opened = Terminal(command)
        try:
            yield opened
        finally:
            opened.close()

    return run


def test_init_asks_twice_shows_nothing_and_start_asks_once(
    fresh: Any, terminal: Callable[..., Any]
) -> None:
    with terminal(fresh.command("init")) as person:
        person.expect("Master password: ")
        person.type(PASSWORD)
        person.expect("Repeat for confirmation: ")
        person.type("typed by another")
        person.expect("do not match")
        person.expect("Master password: ")
        person.type(PASSWORD)
        person.expect("Repeat for confirmation: ")
        person.type(PASSWORD)
        person.expect("is ready")
        assert person.ended() == 0
        assert "typed by" not in person.shown
    with terminal(fresh.command("start", "--port", "0")) as person:
        person.expect("Master password: ")
        person.type(PASSWORD)
        person.expect("waiaas is ready at http://127.0.0.1:")
        assert "typed by" not in person.shown
        with terminal(fresh.command("status")) as other:
            assert other.ended() == 0
            assert "agentCount" in other.shown
            assert "{" not in other.shown, "a table for people, not JSON"
        os.kill(person.pid, 2)
        assert person.ended() == 0


def test_ctrl_c_at_the_question_ends_it_and_makes_nothing(
    fresh: Any, terminal: Callable[..., Any]
) -> None:
    with terminal(fresh.command("init")) as person:
        person.expect("Master password: ")
        os.write(person._descriptor, b"\x03")
        assert person.ended() not in (0, None)
        assert "Traceback" not in person.shown
    assert not fresh.data.exists()
