"""What a terminal is shown: nothing that moves its cursor, nothing that is taken for markup."""

import json
import sys

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from waiaas import daemon
from waiaas.cli.context import ExitCode, Form, fail, show
from waiaas.cli.layout import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ~ text", "plain ~ text"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\nb\rc\td\x00\x7f", "a\\nb\\rc\\td\\x00\\x7f"),
        ("\u202epayment", "\\u202epayment"),
        ("/\xfcber \U0001f600 \u2026", "/\xfcber \U0001f600 \u2026"),
        ("a\u200b\u00a0\u2028b", "a\\u200b\\xa0\\u2028b"),
        ("\udcff", "\\udcff"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_nobody_sees_is_escaped_and_letters_are_not(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_what_is_shown_can_be_seen(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_a_failure_is_on_stderr_with_its_hint_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail("no \x1b[31m", hint="try\nagain", code=ExitCode.REFUSED)
    assert ended.value.exit_code == 4
    out, err = capsys.readouterr()
    assert (out, err) == ("", "waiaas: no \\x1b[31m\n        try\\nagain\n")


def test_exit_codes_are_the_published_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "ERROR": 1,
        "USAGE": 2,
        "NOT_RUNNING": 3,
        "REFUSED": 4,
        "TIMEOUT": 5,
        "TAMPERED": 6,
        "UNEXPECTED": 7,
        "LEDGER_FAILED": 70,
        "OVERDUE": 71,
        "INTERRUPTED": 130,
    }
    assert (daemon._EXIT_LEDGER_FAILED, daemon._EXIT_OVERDUE) == (70, 71)


FACTS = {"name": "[red]x[/] [/nothing] [link=evil]", "error": "a\x1b]0;b", "amount": None}


def test_a_pipe_gets_json_and_a_person_a_table_of_what_was_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show(FACTS, form=Form.PEOPLE)
    assert json.loads(capsys.readouterr().out) == FACTS
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show(FACTS, form=Form.JSON)
    assert json.loads(capsys.readouterr().out) == FACTS
    show(FACTS, form=Form.PEOPLE)
    shown = capsys.readouterr().out
    assert "[red]x[/] [/nothing] [link=evil]" in shown
    assert "\\x1b]0;b" in shown
