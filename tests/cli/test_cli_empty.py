"""What a script's unset variable leaves is refused: no file of an empty name, no empty id."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.cli.context import file_path
from waiaas.cli.lazy import RESOURCES, load


def naming_a_file(commands: typer.Typer, name: str = "waiaas") -> Iterator[tuple[str, Any]]:
    """Yield each parameter that is a file, as `command parameter`, with its declaration."""
    if commands is app:
        for resource in RESOURCES:
            yield from naming_a_file(load(resource), f"{name} {resource}")
    for command in commands.registered_commands:
        assert command.callback is not None
        for parameter, hint in get_type_hints(command.callback, include_extras=True).items():
            kind, *declared = get_args(hint) or (hint,)
            if Path in {kind, *get_args(kind)}:
                yield f"{name} {command.callback.__name__} {parameter}", declared[0]


def test_every_command_reads_names_of_files_in_the_way_that_refuses_empty_ones() -> None:
    found = dict(naming_a_file(app))
    assert len(found) > 20
    assert [name for name, declared in found.items() if declared.parser is not file_path] == []


def test_a_file_of_no_name_is_refused() -> None:
    assert file_path("x") == Path("x")
    with pytest.raises(typer.BadParameter):
        file_path("")


def test_no_file_is_made_of_the_name_that_means_a_stream() -> None:
    with pytest.raises(typer.BadParameter, match=r"\./- is one that is called so"):
        file_path("-")
    assert file_path("./-") == Path("-")


@pytest.mark.parametrize("unset", [""])
def test_control_an_empty_name_is_the_current_directory(unset: str) -> None:
    assert Path(unset) == Path()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tx", "show", "x", "--token-file", ""], "it is empty"),
        (["owner", "verify", "--agent", "x", "--owner-signature", ""], "is empty"),
    ],
)
def test_it_is_said_which_is_empty(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["--data-dir", "/nowhere", *arguments])
    assert done.exit_code == 2
    assert arguments[-2] in done.output
    assert told in done.output
