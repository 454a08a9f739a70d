"""Exporting a key: written down first, into a new private file, and only if a person wants it."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from solders.keypair import Keypair
from typer.testing import CliRunner, Result

from waiaas import custody
from waiaas.cli.app import app
from waiaas.custody import Written, export_key, import_key
from waiaas.directory import DaemonError
from waiaas.domain.enums import KeyFormat, NetworkType
from waiaas.domain.records import AgentRecord
from waiaas.keystore.guarded import Guarded
from waiaas.system import SystemClock

Rows = Callable[[], list[tuple[str, str, Any]]]

PASSWORD: Final = b"the first master password"
PAIR: Final = Keypair.from_seed(bytes(range(32)))
EXPORTED: Final = ("KEY_EXPORTED", "operator", {"format": "solana-keygen"})


@pytest.fixture(scope="module")
def with_agent(initialised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = shutil.copytree(initialised, tmp_path_factory.mktemp("with_agent") / "data")
    import_key(
        directory,
        Written(
            KeyFormat.SOLANA_KEYGEN,
            secret=lambda: Guarded.copy_of(PAIR.to_json().encode()),
            passphrase=lambda: Guarded(0),
            account=0,
        ),
        name="Bob",
        network=NetworkType.DEVNET,
        profile=None,
        password=lambda: PASSWORD,
        clock=SystemClock(),
    )
    return directory


@pytest.fixture
def data(data: Path, with_agent: Path) -> Path:
    shutil.rmtree(data)
    return shutil.copytree(with_agent, data)


@pytest.fixture
def agent_id(data: Path) -> str:
    (path,) = (path for path in (data / "keystore").iterdir() if path.name != "keystore.json")
    return path.stem


def agreed(_agent: AgentRecord) -> None:
    """Be the person who says yes."""


def export(
    data: Path,
    agent_id: str,
    file: Path,
    *,
    confirm: Callable[[AgentRecord], None] = agreed,
    password: bytes = PASSWORD,
) -> AgentRecord:
    return export_key(
        data,
        agent_id,
        file=file,
        confirm=confirm,
        password=lambda: password,
        clock=SystemClock(),
    )


def run(data: Path, *options: object) -> Result:
    line = ["--data-dir", data, "key", "export", *options]
    return CliRunner().invoke(app, [str(each) for each in line])


def test_what_is_exported_is_what_solana_keygen_would_have_written(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows
) -> None:
    password, file = tmp_path / "password", tmp_path / "id.json"
    password.write_bytes(PASSWORD)
    password.chmod(0o600)
    result = run(data, agent_id, "--file", file, "--yes", "--password-file", password)
    assert json.loads(result.stdout) == {
        "id": agent_id,
        "publicKey": str(PAIR.pubkey()),
        "file": str(file),
    }
    assert file.read_text() == PAIR.to_json()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert rows()[2:] == [EXPORTED]


@pytest.mark.parametrize("options", [(), ("--yes",), ("--password-fd", "9")], ids=" ".join)
def test_without_a_terminal_nobody_exports_by_accident(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows, options: tuple[str, ...]
) -> None:
    result = run(data, agent_id, "--file", tmp_path / "id.json", *options)
    assert result.exit_code == 2
    assert "no terminal to confirm this on" in result.output
    assert not (tmp_path / "id.json").exists()
    assert len(rows()) == 2


def test_the_row_is_there_before_the_file(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "id.json"
    seen = []
    monkeypatch.setattr(
        custody, "_write_new", lambda path, _secret: seen.append((rows()[2:], path.exists()))
    )
    export(data, agent_id, file)
    assert seen == [([EXPORTED], False)]


def test_a_person_who_says_no_is_not_asked_for_a_password_and_leaves_no_row(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows
) -> None:
    def refuse(agent: AgentRecord) -> None:
        assert agent.name == "Bob"
        raise DaemonError("no")

    with pytest.raises(DaemonError, match="no"):
        export(data, agent_id, tmp_path / "id.json", confirm=refuse)
    assert not (tmp_path / "id.json").exists()
    assert len(rows()) == 2


def test_a_file_that_is_there_is_never_overwritten(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows
) -> None:
    (tmp_path / "id.json").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("id.json", "link"):
        with pytest.raises(DaemonError, match="was not overwritten"):
            export(data, agent_id, tmp_path / name)
        with pytest.raises(FileExistsError):
            custody._write_new(tmp_path / name, Guarded(1))
    assert (tmp_path / "id.json").read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()
    assert len(rows()) == 2


def test_a_wrong_password_or_a_wrong_agent_exports_nothing(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows
) -> None:
    with pytest.raises(DaemonError, match="does not open"):
        export(data, agent_id, tmp_path / "id.json", password=b"not the master password")
    assert rows()[2:] == [("AUTH_FAILED", "unauthenticated", {"caller": "LOCAL_USER"})]
    with pytest.raises(DaemonError, match="there is no agent"):
        export(data, "../keystore", tmp_path / "id.json")
    assert not (tmp_path / "id.json").exists()
