"""What a person is told to type acts on the data directory that the command before it acted on."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.cli.context import Form, fail, say_next, show, tell, told
from waiaas.cli.pasting import say_data_dir

COMMANDS = ["start", "tx", "kill-switch", "key"]


@contextmanager
def given(directory: str) -> Iterator[None]:
    end = say_data_dir(Path(directory), COMMANDS)
    try:
        yield
    finally:
        end()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Start it with `waiaas start`.", "Start it with `waiaas --data-dir /d start`."),
        ("waiaas start; waiaas tx", "waiaas --data-dir /d start; waiaas --data-dir /d tx"),
        ("waiaas kill-switch off", "waiaas --data-dir /d kill-switch off"),
        ("waiaas --data-dir /other start", "waiaas --data-dir /other start"),
        ("waiaas relies on it, and waiaas starts", "waiaas relies on it, and waiaas starts"),
        ("a key of /opt/waiaas start-up", "a key of /opt/waiaas start-up"),
        ("waiaas key-ring", "waiaas key-ring"),
    ],
)  # fmt: skip
def test_only_commands_get_the_option_and_each_of_them(text: str, shown: str) -> None:
    assert told(text) == text
    with given("/d"):
        assert told(text) == shown
    assert told(text) == text


@pytest.mark.parametrize("directory", ["/a b", "/it's", "/$HOME", r"/a\1", "/ü", "/waiaas start"])
def test_a_shell_reads_the_directory_as_it_is(directory: str) -> None:
    with given(directory):
        assert shlex.split(told("waiaas start")) == ["waiaas", "--data-dir", directory, "start"]


def test_every_way_to_tell_people_has_it_and_json_has_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with given("/d"):
        with pytest.raises(typer.Exit):
            fail("waiaas start", "waiaas start", hint="waiaas start", facts="waiaas start")
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        say_next("waiaas start", form=Form.PEOPLE)
        assert capsys.readouterr().err.count("waiaas --data-dir /d start") == 5
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        show({"problem": "see `waiaas start`"}, form=Form.PEOPLE)
        assert "`waiaas --data-dir /d start`" in capsys.readouterr().out
        tell({"next": "waiaas start"}, form=Form.JSON)
        assert capsys.readouterr().out == '{"next": "waiaas start"}\n'


def test_the_program_says_it_of_all_its_commands_if_it_was_given_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = CliRunner()
    place = tmp_path / "d"
    monkeypatch.setenv("WAIAAS_DATA_DIR", str(place))
    here = runner.invoke(app, ["status"])
    there = runner.invoke(app, ["--data-dir", str(place), "status"])
    assert "`waiaas start`" in here.stderr
    assert f"`waiaas --data-dir {place} start`" in there.stderr
    assert told("waiaas start") == "waiaas start", "the next command in the process begins anew"
