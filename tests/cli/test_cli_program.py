"""How a command ends that a person interrupts, leaves unanswered, or whose output nobody takes."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from waiaas.cli.clock import _confirmed
from waiaas.cli.context import fail_as, loading
from waiaas.cli.ending import agrees, answer_to, confirm
from waiaas.cli.lazy import load
from waiaas.cli.program import Program
from waiaas.directory import DaemonError, NotThatFile, NotThePassword


class Terminal(io.StringIO):
    """A person who types lines and then is silent, or presses Ctrl-C."""

    def __init__(self, typed: str, *, interrupts: bool = False) -> None:
        super().__init__(typed)
        self._interrupts = interrupts

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> Any:
        line = super().readline(-1 if size is None else size)
        if self._interrupts and not line:
            raise KeyboardInterrupt
        return line


Ask = Callable[[], object]


def ends(ask: Ask, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Have a command ask; return its exit code and what it said."""
    one = typer.Typer(cls=Program)

    @one.command()
    def run() -> None:
        monkeypatch.setattr("sys.stdin", terminal)
        ask()

    @one.command()
    def other() -> None:
        """With two, there are names of commands."""

    done = CliRunner().invoke(one, ["run"])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    "ask",
    [
        lambda: confirm("It is gone then.", yes=False),
        lambda: agrees("Is it right?"),
        lambda: answer_to("Its name"),
    ],
    ids=["confirm", "agrees", "answer_to"],
)
def test_a_question_that_is_not_answered_ends_the_command_and_says_that_nothing_was_done(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = ends(ask, Terminal("", interrupts=True), monkeypatch)
    assert code == 130
    assert "waiaas: interrupted. Nothing was done." in said
    code, said = ends(ask, Terminal(""), monkeypatch)
    assert code == 2
    assert "the input ended before an answer: nothing was done" in said


def test_a_question_without_a_terminal_is_one_asked_wrongly_whoever_asks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubt: Any = {"difference": 60, "actual": 0, "expected": 0}
    for ask, remedy in (
        (lambda: confirm("It is gone then.", yes=False), "--yes"),
        (lambda: _confirmed(doubt), "--difference 60"),
    ):
        with monkeypatch.context() as context:
            code, said = ends(ask, io.StringIO(), context)
        assert code == 2
        assert remedy in said


def test_who_interrupts_what_is_being_done_is_told_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    code, said = ends(work, Terminal(""), monkeypatch)
    assert code == 130
    assert "interrupted. What was asked for may be done or not" in said


def test_who_interrupts_what_is_only_being_loaded_is_told_that_nothing_was_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    def begin() -> None:
        with loading():
            pressed()

    def ask_for_a_resource() -> None:
        with monkeypatch.context() as context:
            context.setattr("waiaas.cli.lazy.import_module", pressed)
            load("agent")

    for work in (begin, ask_for_a_resource):
        code, said = ends(work, Terminal(""), monkeypatch)
        assert code == 130
        assert "waiaas: interrupted. Nothing was done." in said


@pytest.mark.parametrize(
    ("typed", "agreed"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("maybe\nyes\n", True)],
)
def test_only_yes_is_yes(typed: str, agreed: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert agrees("Do it?") is agreed


@pytest.mark.parametrize(
    ("error", "code"),
    [(DaemonError("x"), 1), (NotThatFile("x"), 2), (NotThePassword("x"), 4)],
)
def test_a_wrong_password_and_a_missing_file_have_one_code_each(
    error: DaemonError, code: int
) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail_as(error)
    assert ended.value.exit_code == code


@pytest.mark.parametrize(
    ("option", "unbuffered"), [("--help", []), ("--version", []), ("--version", ["-u"])]
)
def test_help_that_nobody_takes_is_a_sentence(option: str, unbuffered: list[str]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, *unbuffered, "-m", "waiaas", option],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "waiaas: standard output takes nothing: No space left on device\n"


def test_another_error_of_the_system_is_shown_where_it_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work() -> None:
        raise FileNotFoundError(2, "No such file", "x")

    code, said = ends(work, Terminal(""), monkeypatch)
    assert (code, said.strip()) == (1, "")


@pytest.mark.parametrize(
    ("streams", "code"), [(">&-", 1), (">&- 2>&-", 1), ("2>&-", 0), ("<&-", 0)]
)
def test_a_closed_standard_output_takes_nothing_and_that_is_told(streams: str, code: int) -> None:
    """A token that is printed there would be nobody's."""
    script = f'exec "$0" -m waiaas --version {streams}'
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert ("standard output takes nothing" in done.stderr) == (streams == ">&-")
