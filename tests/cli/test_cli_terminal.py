"""Whatever ends the program at a question leaves a terminal that shows what is typed."""

import os
import pty
import select
import signal
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from waiaas.cli.terminal import unseen_typing

WAIT_S_MAX = 20
Unseen = Callable[[int, Callable[[], None]], AbstractContextManager[None]]


def say(text: str) -> None:
    os.write(1, text.encode())


def ask() -> None:
    say("Password: ")


def question(unseen: Unseen = unseen_typing) -> None:
    """Ask, and say how long the answer was."""
    with unseen(0, ask):
        line = os.read(0, 100)
    say(f"[{len(line)}]")


class Person:
    """Sits at a terminal of their own, on which *program* runs in a process of its own."""

    def __init__(self, program: Callable[[], None]) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:  # pragma: no cover -- another process
            try:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
                    signal.signal(number, signal.SIG_DFL)
                program()
            finally:
                os._exit(0)

    def sees(self, text: str) -> None:
        """Read until *text* is shown."""
        shown = b""
        while not shown.decode(errors="replace").endswith(text):
            readable, _, _ = select.select([self.terminal], [], [], WAIT_S_MAX)
            assert readable, f"waited for {text!r}, and saw {shown!r}"
            shown += os.read(self.terminal, 1)

    def types(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def sees_what_is_typed(self) -> bool:
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

    def ended(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def sitting_at(program: Callable[[], None]) -> Iterator[Person]:
    person = Person(program)
    try:
        yield person
    finally:
        os.close(person.terminal)


ENDING = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


@pytest.mark.parametrize("number", ENDING)
def test_who_is_ended_by_a_signal_at_a_question_shows_what_is_typed_again(number: int) -> None:
    with sitting_at(question) as person:
        person.sees("Password: ")
        assert not person.sees_what_is_typed()
        os.kill(person.pid, number)
        assert person.ended() == -number, "as whoever ended it expects to see"
        assert person.sees_what_is_typed()


@contextmanager
def naive(terminal: int, ask: Callable[[], None]) -> Iterator[None]:
    before = termios.tcgetattr(terminal)
    unseen = [*before]
    unseen[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, unseen)
        ask()
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


@pytest.mark.parametrize("number", ENDING)
def test_control_a_block_with_a_finally_leaves_it_blind(number: int) -> None:
    with sitting_at(lambda: question(naive)) as person:
        person.sees("Password: ")
        os.kill(person.pid, number)
        assert person.ended() == -number
        assert not person.sees_what_is_typed()


def test_an_answer_ends_it_and_signals_mean_what_they_did_before() -> None:
    def twice() -> None:
        question()
        assert all(signal.getsignal(each) is signal.SIG_DFL for each in ENDING)
        say("whole")

    with sitting_at(twice) as person:
        person.sees("Password: ")
        person.types("four\n")
        person.sees("[5]whole")
        assert person.sees_what_is_typed()
        assert person.ended() == 0


def test_what_is_ignored_stays_ignored() -> None:
    def as_nohup_does() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        question()

    with sitting_at(as_nohup_does) as person:
        person.sees("Password: ")
        os.kill(person.pid, signal.SIGHUP)
        person.types("four\n")
        person.sees("[5]")
        assert person.ended() == 0


def shell(unseen: Unseen) -> None:
    """Run a question as a job; say how the terminal is while it has stopped, and bring it back."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:  # pragma: no cover -- another process
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        question(unseen)
        os._exit(0)
    _, status = os.waitpid(job, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.tcsetpgrp(0, os.getpid())
    modes = termios.tcgetattr(0)
    found = "(seen)" if modes[3] & termios.ECHO else "(unseen)"
    modes[3] |= termios.ECHO  # As a shell has it for itself.
    termios.tcsetattr(0, termios.TCSADRAIN, modes)
    say(found)
    os.tcsetpgrp(0, job)
    os.kill(job, signal.SIGCONT)
    os.waitpid(job, 0)


def test_ctrl_z_gives_the_shell_its_terminal_and_a_job_that_goes_on_asks_anew_unseen() -> None:
    with sitting_at(lambda: shell(unseen_typing)) as person:
        person.sees("Password: ")
        person.types("half\x1a")
        person.sees("(seen)")
        person.sees("Password: ")
        assert not person.sees_what_is_typed()
        person.types("four\n")
        person.sees("[5]")
        assert person.ended() == 0


def test_control_naively_the_shell_is_blind_and_the_password_is_shown_after_that() -> None:
    with sitting_at(lambda: shell(naive)) as person:
        person.sees("Password: ")
        person.types("\x1a")
        person.sees("(unseen)")
        person.types("four\n")
        person.sees("four\r\n[5]")
        assert person.ended() == 0


def test_a_job_that_has_stopped_can_be_ended_from_the_shell() -> None:
    def impatient() -> None:
        job = os.fork()
        if job == 0:  # pragma: no cover -- another process
            os.setpgid(0, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            question()
        os.waitpid(job, os.WUNTRACED)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpid())
        os.kill(job, signal.SIGTERM)
        os.kill(job, signal.SIGCONT)
        _, status = os.waitpid(job, os.WUNTRACED)
        say(f"({os.waitstatus_to_exitcode(status) if not os.WIFSTOPPED(status) else 'stopped'})")

    with sitting_at(impatient) as person:
        person.sees("Password: ")
        person.types("\x1a")
        person.sees("(-15)")
        assert person.ended() == 0
