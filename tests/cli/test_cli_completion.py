"""What bash, zsh and fish are told may come next: commands, options, and the values there are."""

import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.cli.program import describe_in_one_line
from waiaas.config.registry import SETTINGS
from waiaas.domain.enums import ChainType, KeyFormat, NetworkType, PolicyType
from waiaas.domain.profile import ProfileName

ROOT = Path(__file__).parents[2]
FILES: Final[list[str]] = []
"""Nothing: the shell offers the names of files instead."""


Describe = Callable[[dict[str, str]], None]


def told(shell: str, line: str, describe: Describe = describe_in_one_line) -> str:
    """Return what the program tells a shell in which *line* was typed, up to where it stands."""
    words = line.split(" ")
    environment = {
        "_WAIAAS_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "COLUMNS": "80",
    }
    describe(environment)
    done = CliRunner().invoke(app, [], prog_name="waiaas", env=environment)
    assert done.exit_code == 0, done.output
    return done.stdout.removesuffix("\n")


def of_bash(line: str) -> list[str]:
    return told("bash", line).split()


def of_fish(line: str, describe: Describe = describe_in_one_line) -> list[str]:
    lines = told("fish", line, describe).splitlines()
    return [each.partition("\t")[0] for each in lines if each]


def of_zsh(line: str) -> list[str]:
    text = told("zsh", line)
    if text == "_files":
        return FILES
    quoted = re.fullmatch(r"_arguments '\*: :\(\((.*)\)\)'", text, re.DOTALL)
    assert quoted is not None, text
    each_line = quoted[1].replace("''", "").replace("\\`", "").splitlines()
    return [shlex.split(each)[0].partition(":")[0] for each in each_line]


SHELLS: Final[tuple[Callable[[str], list[str]], ...]] = (of_bash, of_zsh, of_fish)


@pytest.mark.parametrize("offered_by", SHELLS)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("waiaas ag", ["agent"]),
        ("waiaas kill-switch o", ["on", "off"]),
        ("waiaas --data-dir d1 kill-switch o", ["on", "off"]),
        ("waiaas backup rec", ["reconcile"]),
        ("waiaas agent create --pro", ["--profile"]),
        ("waiaas agent create --profile ", [*ProfileName]),
        ("waiaas agent create --profile c", ["cautious"]),
        ("waiaas agent create --name n --network ", [*NetworkType]),
        ("waiaas key import --format ", [*KeyFormat]),
        ("waiaas key import --chain ", [*ChainType]),
        ("waiaas key import --network ", [*NetworkType]),
        ("waiaas key import --profile ", [*ProfileName]),
        ("waiaas key export an-id --format ", [*KeyFormat]),
        ("waiaas policy set --type ", [*PolicyType]),
        ("waiaas policy profiles ", [*ProfileName]),
        ("waiaas policy profiles open --type ", [*PolicyType]),
        ("waiaas owner message --action ", ["verify", "remove"]),
        ("waiaas approval message an-id --action ", ["approve", "reject"]),
        ("waiaas config explain keystore.", ["keystore.auto_lock_seconds"]),
        ("waiaas config explain ", [each.name for each in SETTINGS]),
        ("waiaas unlock --password-file ", FILES),
        ("waiaas backup verify ", FILES),
    ],
)
def test_what_may_come_next_is_offered(
    offered_by: Callable[[str], list[str]], line: str, offered: list[str]
) -> None:
    assert offered_by(line) == offered


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    """Return every command by its words."""
    tool = runpy.run_path(str(ROOT / "tools" / "make_help_snapshots.py"))
    found = {}
    for words in tool["names_of"](typer.main.get_command(app)):
        command: Any = typer.main.get_command(app)
        for word in words:
            command = command.get_command(None, word)
        found[" ".join(words)] = command
    return found


@pytest.mark.parametrize("offered_by", SHELLS)
def test_every_option_is_offered_and_no_part_of_a_description(
    offered_by: Callable[[str], list[str]], commands: dict[str, Any]
) -> None:
    for words, command in commands.items():
        line = " ".join(filter(None, ("waiaas", words, "--")))
        parameters = [each for each in command.params if each.param_type_name == "option"]
        options = [name for each in parameters for name in (*each.opts, *each.secondary_opts)]
        offered = offered_by(line)
        assert set(options) <= set(offered), line
        assert all(each.startswith("--") for each in offered), line


def test_control_a_description_in_two_lines_is_taken_for_something_to_choose() -> None:
    offered = of_fish("waiaas agent create --", lambda _: None)
    assert not all(each.startswith("--") for each in offered)


def test_outside_of_completion_a_terminal_is_as_wide_as_it_is() -> None:
    environment = {"COLUMNS": "80"}
    describe_in_one_line(environment)
    assert environment == {"COLUMNS": "80"}
