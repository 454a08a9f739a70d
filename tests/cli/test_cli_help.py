"""What every `--help` says is kept in help.txt: a change to it is seen by whoever reviews it."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import typer

from waiaas.cli.app import app

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "make_help_snapshots.py"))


@pytest.fixture(scope="module")
def made(tool: dict[str, Any]) -> str:
    return str(tool["page"]())


def test_every_help_is_the_one_that_was_reviewed(tool: dict[str, Any], made: str) -> None:
    assert tool["PAGE"].read_text(encoding="utf-8") == made, "run tools/make_help_snapshots.py"


def test_every_help_is_plain_text_that_fits(tool: dict[str, Any], made: str) -> None:
    assert max(map(len, made.splitlines())) <= tool["COLUMNS"]
    assert made.isascii()
    assert [
        line for line in made.splitlines() if line.endswith("...") and "Usage" not in line
    ] == []


def test_every_value_is_a_word_in_capitals_or_the_choice(made: str) -> None:
    assert re.findall(r" <[a-zA-Z ]+>|\{[a-z]+\}|OPTIONS\] \[[a-z]+\]", made) == []
    assert "--agent ID" in made
    assert "Usage: waiaas agent show [OPTIONS] {AGENT}" in made


PRINT_NO_FACTS = {"start", "demo", "localnet", "audit export"}
"""They talk while they run, or print lines that are a format of their own."""


def test_whatever_prints_facts_prints_them_as_json_and_quietly(tool: dict[str, Any]) -> None:
    without = set()
    for words in tool["names_of"](typer.main.get_command(app)):
        command: Any = typer.main.get_command(app)
        for word in words:
            command = command.get_command(None, word)
        named = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        if not hasattr(command, "commands") and not {"--json", "--quiet"} <= named:
            without.add(" ".join(words))
    assert without == PRINT_NO_FACTS


def test_every_command_of_the_design_is_there(made: str) -> None:
    wanted = {
        "": "init start stop status doctor demo",
        "agent": "create list show suspend resume terminate",
        "session": "create list revoke",
        "policy": "set list explain test backtest",
        "tx": "send list show cancel",
        "approval": "list approve reject",
        "owner": "set remove",
        "kill-switch": "on off",
        "audit": "verify export",
        "backup": "create verify list restore",
        "key": "import export",
        "password": "change",
    }
    for resource, verbs in wanted.items():
        for verb in verbs.split():
            assert f"$ waiaas {resource} {verb} --help".replace("  ", " ") in made
