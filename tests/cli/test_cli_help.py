"""What every `--help` says is kept in help.txt: a change to it is seen by whoever reviews it."""

import runpy
from pathlib import Path
from typing import Any

import pytest

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
    }
    for resource, verbs in wanted.items():
        for verb in verbs.split():
            assert f"$ waiaas {resource} {verb} --help".replace("  ", " ") in made
