"""In which form a command prints: for people, as JSON, quietly; and what only a person is told."""

import io
import json
import sys
import threading
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from waiaas.cli.context import AS_USUAL, Form, FormOption, say_next, show, show_list, tell
from waiaas.cli.doctor import _tell
from waiaas.cli.ending import confirm
from waiaas.cli.progress import working
from waiaas.doctor.finding import Subject, mend

FACTS = {"stopped": True}


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("given", "form"),
    [([], Form.PEOPLE), (["--json"], Form.JSON), (["--quiet"], Form.QUIET)],
)
def test_of_two_flags_and_none_each_is_a_form(given: list[str], form: Form) -> None:
    seen: list[object] = []
    one = typer.Typer()

    @one.command()
    def run(*, form: FormOption = AS_USUAL) -> None:
        seen.append(form)

    assert CliRunner().invoke(one, given).exit_code == 0
    assert seen == [form]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"id": "7", "status": "ACTIVE"}, "7\n"),
        ({"id": "7", "token": "wai_sess_x"}, "wai_sess_x\n"),
        ({"status": "ok"}, "ok\n"),
        ({"id": "a\x1b[2J"}, "a\\x1b[2J\n"),
        ({"balance": "1"}, ""),
    ],
)
def test_quietly_the_essential_is_printed_and_nothing_else(
    facts: Any, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show(facts, form=Form.QUIET)
    assert capsys.readouterr().out == told
    show_list([facts, facts], form=Form.QUIET)
    assert capsys.readouterr().out == told * 2


def test_a_sentence_is_for_people_and_a_pipe_gets_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for form, told in ((Form.PEOPLE, FACTS), (Form.JSON, FACTS), (Form.QUIET, None)):
        tell(FACTS, "stopped \x1b", form=form)
        out = capsys.readouterr().out
        assert (json.loads(out) if out else None) == told
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    tell(FACTS, "stopped \x1b", form=Form.PEOPLE)
    assert capsys.readouterr().out == "stopped \\x1b\n"


@pytest.mark.parametrize(
    ("form", "is_told"), [(Form.PEOPLE, True), (Form.JSON, False), (Form.QUIET, False)]
)
def test_a_person_alone_is_told_what_comes_next(
    form: Form, is_told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    say_next("waiaas stop", form=form)
    assert ("waiaas stop" in screen.getvalue()) is is_told
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    say_next("waiaas stop", form=form)
    assert pipe.getvalue() == ""


def test_what_takes_long_shows_a_sign_of_life_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    shown = threading.Event()
    monkeypatch.setattr(screen, "flush", shown.set)
    monkeypatch.setattr(sys, "stderr", screen)
    with working("verifying", patience_s=0.001):
        assert shown.wait(10)
    assert "verifying …" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_a_question_has_the_terminal_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    again = threading.Event()
    monkeypatch.setattr(sys, "stderr", screen)

    def ask(name: str) -> str:
        before = screen.getvalue()
        assert before.endswith("\r\x1b[K"), "the line is gone"
        assert not threading.Event().wait(0.01), "ten times its patience"
        assert screen.getvalue() == before
        monkeypatch.setattr(screen, "flush", again.set)
        return name

    with working("deriving", patience_s=0.001) as line:
        while "deriving …" not in screen.getvalue():
            threading.Event().wait(0.001)
        assert line.pausing(ask)("a password") == "a password"
        assert again.wait(10), "and then it is there again"


@pytest.mark.parametrize(
    ("flag", "is_shown"), [([], True), (["--json"], False), (["--quiet"], False)]
)
def test_who_asked_for_json_or_quiet_gets_no_sign_of_life(
    flag: list[str], is_shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = typer.Typer()
    threads: list[int] = []

    @one.command()
    def run(*, form: FormOption = AS_USUAL) -> None:
        del form
        monkeypatch.setattr(sys, "stderr", Screen())
        with working("verifying", patience_s=10):
            threads.append(threading.active_count())

    before = threading.active_count()
    assert CliRunner().invoke(one, flag).exit_code == 0
    assert threads == [before + is_shown]


def test_in_a_pipe_there_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    before = threading.active_count()
    with working("verifying", patience_s=0.001):
        assert threading.active_count() == before
    assert pipe.getvalue() == ""


def test_without_a_terminal_only_yes_means_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    confirm("It is gone then.", yes=True)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(typer.Exit) as ended:
        confirm("It is gone then.", yes=False)
    assert ended.value.exit_code == 2
    assert "It is gone then." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("Nothing was changed.", "Nothing was changed. Look."),
        ("it is open", "it is open. Look."),
        ("did you mean daemon.port?", "did you mean daemon.port? Look."),
    ],
)
def test_a_quiet_finding_ends_as_one_sentence_does(
    found: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not _tell([mend(Subject.WORKERS, found, "Look.")], form=Form.QUIET)
    assert capsys.readouterr().out == f"workers: {told}\n"
