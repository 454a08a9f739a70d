"""The README and the operator's guide are true: their commands run as written, in their order."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.canaries import MARKER

from waiaas.database import DatabaseConnection
from waiaas.domain.addresses import solana_address

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "operators-guide.md").read_text(encoding="utf-8")
RECIPIENT = solana_address(bytes(range(32)))
PASSWORD = f"{MARKER} correct horse battery staple"
NEW_PASSWORD = f"{MARKER} incorrect horse battery staple"
NEEDS_PASSWORD = {
    ("init",), ("start",), ("password", "change"), ("agent", "create"), ("agent", "fund"),
    ("policy", "set"), ("session", "create"), ("backup", "create"), ("backup", "verify"),
}  # fmt: skip


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    """Every `waiaas …` line of the shell blocks, as arguments, without its comment."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("waiaas ")]


def test_its_python_runs() -> None:
    [code] = blocks(README, "python")
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
        self._password_file = self._written("password", PASSWORD)
        self._new_password_file = self._written("new", NEW_PASSWORD)

    def arguments(self, command: list[str]) -> list[str]:
        program = [sys.executable, "-m", "waiaas", "--data-dir", str(self._folder / "data")]
        given: list[str] = []
        if tuple(command[:1]) in NEEDS_PASSWORD or tuple(command[:2]) in NEEDS_PASSWORD:
            given += ["--password-file", str(self._password_file)]
        if command[:2] == ["password", "change"]:
            given += ["--new-password-file", str(self._new_password_file)]
        return [*program, *command, *given]

    def use_new_password(self) -> None:
        self._password_file = self._new_password_file

    def _written(self, name: str, password: str) -> Path:
        file = self._folder / name
        file.touch(mode=0o600)
        file.write_text(password, encoding="ascii")
        return file

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


@contextmanager
def running(waiaas: Waiaas, start: list[str]) -> Iterator[None]:
    """Run the daemon until the block's last command has stopped it."""
    with subprocess.Popen(
        waiaas.arguments([*start, "--port", "0"]), stdout=subprocess.PIPE, encoding="utf-8"
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline().startswith("waiaas is ready at http://127.0.0.1:")
        try:
            yield
            assert daemon.wait(timeout=30) == 0
        finally:
            daemon.kill()


@pytest.mark.e2e
@pytest.mark.slow
def test_a_newcomer_gets_from_init_to_a_payment_a_new_password_a_backup_and_a_clean_stop(
    waiaas: Waiaas,
) -> None:
    init, start, *others = commands(README)
    waiaas.run(init)
    with running(waiaas, start):
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

    change, start, *others = commands(GUIDE)
    waiaas.run(change)
    waiaas.use_new_password()
    with running(waiaas, start):
        name = ""
        for command in others:
            output = waiaas.run([argument.replace("FILE", name) for argument in command])
            if command[:2] == ["backup", "create"]:
                name = Path(json.loads(output)["name"]).name
            if command[:2] == ["backup", "verify"]:
                assert json.loads(output)["whole"] is True
            if command[:2] == ["audit", "verify"]:
                assert json.loads(output)["intact"] is True
