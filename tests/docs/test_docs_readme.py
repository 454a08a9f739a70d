"""The README is true: its commands run as written, its Python too, and what it names exists."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from waiaas.database import DatabaseConnection
from waiaas.domain.addresses import solana_address

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPIENT = solana_address(bytes(range(32)))
PASSWORD = "correct horse battery staple"
NEEDS_PASSWORD = ("init", "start", "agent", "policy", "session")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every `waiaas …` line of the shell blocks, as arguments, without its comment."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("waiaas ")]


def test_its_python_runs() -> None:
    [code] = blocks("python")
    names: dict[str, object] = {}

    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 -- our own README

    assert isinstance(names["connection"], DatabaseConnection)


def test_every_make_verb_it_names_exists() -> None:
    verbs = set(re.findall(r"\bmake (\w+)", README))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert verbs
    assert all(re.search(rf"^{verb}:", makefile, re.MULTILINE) for verb in verbs)


class Waiaas:
    """The installed program, told where its data directory and its password are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password_file = folder / "password"
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(PASSWORD, encoding="ascii")

    def arguments(self, command: list[str]) -> list[str]:
        program = [sys.executable, "-m", "waiaas", "--data-dir", str(self._folder / "data")]
        password = ["--password-file", str(self._password_file)]
        return [*program, *command, *(password if command[0] in NEEDS_PASSWORD else [])]

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            self.arguments(command),
            cwd=self._folder, capture_output=True, encoding="utf-8", timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


@pytest.fixture
def waiaas(tmp_path: Path) -> Iterator[Waiaas]:
    program = Waiaas(tmp_path)
    yield program
    subprocess.run(program.arguments(["stop"]), cwd=tmp_path, timeout=60, check=False)


@pytest.mark.e2e
@pytest.mark.slow
def test_its_commands_run_as_written(waiaas: Waiaas) -> None:
    init, start, *others = commands()
    waiaas.run(init)
    with subprocess.Popen(
        waiaas.arguments([*start, "--port", "0"]), stdout=subprocess.PIPE, encoding="utf-8"
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline().startswith("waiaas is ready at http://127.0.0.1:")
        agent_id = ""
        for command in others:
            filled = [
                argument.replace("AGENT_ID", agent_id).replace("ADDRESS", RECIPIENT)
                for argument in command
            ]
            output = waiaas.run(filled)
            if filled[:2] == ["agent", "create"]:
                agent_id = json.loads(output)["id"]
            if filled[:2] == ["tx", "send"]:
                assert json.loads(output)["status"] == "CONFIRMED"
        assert daemon.wait(timeout=30) == 0
