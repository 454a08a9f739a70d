"""`waiaas backup` on files: what it prints, and how it ends, for everything it may be given."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from waiaas.cli.app import app

if TYPE_CHECKING:
    from tests.backup.conftest import Home

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def run(directory: Path) -> Run:
    """Run a command of `waiaas backup`, which must end with *code*."""

    def ran(*arguments: object, code: int = 0, data: Path = directory) -> Result:
        line = ["--data-dir", str(data), "backup", *map(str, arguments)]
        result = CliRunner().invoke(app, line)
        assert result.exit_code == code, result.output
        return result

    return ran


@pytest.fixture
def files(tmp_path: Path, passwords: tuple[bytes, bytes]) -> tuple[Path, Path]:
    """Files with the master password, and the backup's."""
    paths = (tmp_path / "master", tmp_path / "password")
    for path, password in zip(paths, passwords, strict=True):
        path.touch(mode=0o600)
        path.write_bytes(password + b"\n")
    return paths


def test_a_backup_is_made_listed_verified_and_restored(
    run: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    made = json.loads(run("create", "--backup-password-file", files[1]).stdout)
    listed: list[Any] = json.loads(run("list").stdout)
    assert listed[0] == made
    assert len(listed) == 3
    told = json.loads(run("verify", made["name"], "--password-file", files[1]).stdout)
    assert (told["whole"], told["files"], told["agentsWithoutKey"]) == (True, 6, [])
    kept = tmp_path / "kept.waiaas-backup"
    kept.write_bytes(Path(told["file"]).read_bytes())
    new = tmp_path / "new"
    result = run("restore", kept, "--password-file", files[1], data=new)
    assert json.loads(result.stdout)["directory"] == str(new)
    assert "pays nothing" in result.stderr
    assert "clock accept" not in result.stderr, "it was made a moment ago"
    assert (new / "keystore" / "keystore.json").exists()
    assert json.loads(result.stdout)["replacedFiles"] is None


def test_a_backup_under_the_keystores_key_asks_for_the_master_password(
    run: Run, files: tuple[Path, Path], home: "Home", tmp_path: Path
) -> None:
    name = home.by_keystore.name
    result = run("restore", name, "--yes", "--password-file", files[1], code=4)
    assert "master password of the daemon that made it" in result.stderr
    result = run("restore", home.by_keystore, "--password-file", files[0], data=tmp_path / "n")
    assert json.loads(result.stdout)["files"] == 6
    assert " clock accept`" in result.stderr, "it was made long before this boot"


def test_bad_input_is_called_what_it_is(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    other, nowhere = tmp_path / "other", tmp_path / "nowhere"
    other.write_bytes(b"SQLite format 3\0")
    password = ("--password-file", files[1])
    for verb in ("verify", "restore"):
        assert "not a backup" in run(verb, other, *password, code=2).stderr
        assert "No such file" in run(verb, "x", *password, code=2, data=nowhere).stderr
    assert not nowhere.exists()
    assert " init`" in run("list", code=1, data=nowhere).stderr
    create = ("create", "--backup-password-file", files[1])
    assert " init`" in run(*create, code=1, data=nowhere).stderr
    assert "no terminal" in run("create", code=2).stderr
    wrong = ("create", "--keystore-key", "--password-file", files[1])
    assert "does not open" in run(*wrong, code=4).stderr
    files[1].write_text("short\n")
    assert "12 to 1024" in run(*create, code=1).stderr
