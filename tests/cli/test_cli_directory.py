"""What every command asks of the place it works in, before it does anything there."""

import os
import runpy
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner, Result

from waiaas.cli.app import app

TOOL: Final = Path(__file__).parents[2] / "tools" / "make_help_snapshots.py"
PROGRAM: Final[Any] = typer.main.get_command(app)

OTHERWISE: Final = {"demo", "doctor", "localnet", "policy profiles", "policy test"}
"""`doctor` refuses nothing, and finds it. The others use no directory, or make one of their own."""

PAYMENT: Final = ("--to", "x", "--amount", "1")
BESIDES: Final = {
    "tx send": PAYMENT,
    "tx simulate": PAYMENT,
    "owner verify": ("--owner-signature", "SIGNATURE"),
}
"""What a command cannot do without, and does not declare so, or reads first."""


def command_named(name: str) -> Any:
    command = PROGRAM
    for word in name.split():
        command = command.get_command(None, word)
    return command


COMMANDS: Final = [
    name
    for name in map(" ".join, runpy.run_path(str(TOOL))["names_of"](PROGRAM))
    if not hasattr(command_named(name), "commands") and name not in OTHERWISE
]


def filled_in(name: str, folder: Path) -> list[str]:
    """Return a command with what it cannot do without, made up."""
    (folder / "SIGNATURE").write_text("1", encoding="ascii")
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text("wai_sess_x", encoding="ascii")
    words = name.split()
    for each in BESIDES.get(name, ()):
        words.append(str(folder / each) if each.isupper() else each)
    for each in command_named(name).params:
        is_argument = each.param_type_name == "argument"
        if each.required and (is_argument or each.opts[0] not in words):
            wanted = each.type_descriptor.annotation
            value = str(token)
            if wanted in (str, int):
                value = "1"
            elif issubclass(wanted, Enum):
                value = next(iter(wanted)).value
            words += [value] if is_argument else [each.opts[0], value]
    return words


def ran(name: str, directory: Path) -> Result:
    words = ["--data-dir", str(directory), *filled_in(name, directory.parent)]
    return CliRunner().invoke(app, words, catch_exceptions=False)


def tree(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory, as far as is looked before anything is done in it."""
    (tmp_path / "data" / "keystore").mkdir(mode=0o700, parents=True)
    (tmp_path / "data").chmod(0o700)
    (tmp_path / "data" / "keystore" / "keystore.json").touch(mode=0o600)
    return tmp_path / "data"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_variable_that_is_none_of_ours_is_refused_by_every_command(
    name: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAIAAS_DATADIR", str(directory.parent / "wanted"))
    monkeypatch.setenv("WAIAAS_PASSWORD", "abc")
    before = tree(directory)
    done = ran(name, directory)
    assert done.exit_code == 1
    assert "WAIAAS_DATADIR: there is no setting of this name: did you mean WAIAAS_DATA_DIR?" in (
        done.output
    )
    assert "WAIAAS_PASSWORD: a password is never taken from the environment" in done.output
    assert tree(directory) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_directory_that_others_may_enter_is_refused_by_every_command(
    name: str, directory: Path
) -> None:
    directory.chmod(0o755)
    before = tree(directory)
    done = ran(name, directory)
    assert done.exit_code == 1
    assert f"{directory} is open to other users: run `chmod 700 {directory}`" in done.output
    assert tree(directory) == before


@pytest.mark.parametrize("name", ["stop", "status", "config explain"])
def test_a_link_to_the_directory_and_what_is_none_are_refused(name: str, directory: Path) -> None:
    link = directory.with_name("link")
    link.symlink_to(directory)
    for place in (link, directory / "keystore" / "keystore.json"):
        done = ran(name, place)
        assert done.exit_code == 1
        assert "is not a directory (or a link to one)" in done.output


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_the_directory_of_another_user_is_refused(directory: Path) -> None:
    os.chown(directory, 65_534, -1)
    assert "belongs to another user" in ran("stop", directory).output


def test_a_command_is_refused_by_a_python_that_checks_no_assertions(directory: Path) -> None:
    """The daemon was; what writes to its ledger and keystore beside it was not."""
    command = ["-m", "waiaas", "--data-dir", str(directory), "password", "change"]
    done = subprocess.run(
        [sys.executable, "-O", *command],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "waiaas relies on its assertions: start Python without -O" in done.stderr


def test_a_setting_in_the_environment_keeps_no_command_from_working(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAIAAS_DAEMON_PORT", "1")
    assert ran("stop", directory).exit_code == 0
