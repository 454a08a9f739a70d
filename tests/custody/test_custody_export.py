"""Exporting a key: written down first, into a new private file, and only if a person wants it."""

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Final

import pytest
from solders.keypair import Keypair
from tests.canaries import MARKER
from typer.testing import CliRunner, Result

from waiaas import custody
from waiaas.cli.app import app
from waiaas.custody import Written, export_key, import_key
from waiaas.directory import DaemonError
from waiaas.domain.enums import ChainType, KeyFormat, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.keystore import web3_storage
from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.export import read_seed
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.signer import create_keystore, open_keystore
from waiaas.keystore.web3_storage import GETH, Scrypt
from waiaas.system import SystemClock

Rows = Callable[[], list[tuple[str, str, Any]]]

PASSWORD: Final = f"{MARKER} the first master password".encode()
THEIRS: Final = f"{MARKER} a password of their own".encode()
PAIR: Final = Keypair.from_seed(bytes(range(32)))
VECTORS: Final = Path(__file__).parents[1] / "keystore" / "web3_vectors.json"
WEB3: Final[Any] = json.loads(VECTORS.read_text(encoding="ascii"))[-1]
EXPORTED: Final = ("KEY_EXPORTED", "operator", {"format": "solana-keygen"})


@pytest.fixture(scope="module")
def with_agent(initialised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = shutil.copytree(initialised, tmp_path_factory.mktemp("with_agent") / "data")
    import_key(
        directory,
        Written(
            KeyFormat.SOLANA_KEYGEN,
            ChainType.SOLANA,
            secret=lambda: Guarded.copy_of(PAIR.to_json().encode()),
            password=lambda: Guarded(0),
            passphrase=lambda: Guarded(0),
            account=0,
        ),
        name="Bob",
        network=NetworkType.DEVNET,
        profile=None,
        address=None,
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
    return min(file_ids(data))


def file_ids(data: Path) -> list[str]:
    return [path.stem for path in (data / "keystore").iterdir() if path.stem != "keystore"]


def agreed(_agent: AgentRecord) -> None:
    """Be the person who says yes."""


def no_password() -> bytes:
    """Be the person who is not asked for one."""
    raise AssertionError("solana-keygen's format has none")


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
        file_password=no_password,
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
        "format": "solana-keygen",
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


def test_the_row_is_there_before_anything_of_the_key_and_after_the_file(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, write = tmp_path / "id.json", custody._write
    seen = []

    def watched(descriptor: int, secret: Guarded) -> None:
        seen.append((rows()[2:], file.read_bytes().strip(b"\0")))
        write(descriptor, secret)

    monkeypatch.setattr(custody, "_write", watched)
    export(data, agent_id, file)
    assert seen == [([EXPORTED], b"")]
    assert file.read_text() == PAIR.to_json()


def test_where_no_file_can_be_made_nothing_was_exported_and_no_row_says_so(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int, _offset: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DaemonError, match="No such file"):
        export(data, agent_id, tmp_path / "none" / "id.json")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DaemonError, match="No space"):
        export(data, agent_id, tmp_path / "id.json")
    assert not (tmp_path / "id.json").exists()
    assert len(rows()) == 2


def test_a_file_that_the_disk_does_not_promise_to_keep_is_removed(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content was on the disk already, so the row stands."""

    def unkept(folder: Path) -> None:
        assert (folder / "id.json").read_text() == PAIR.to_json()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(custody, "sync_folder", unkept)
    with pytest.raises(DaemonError, match="Input/output"):
        export(data, agent_id, tmp_path / "id.json")
    assert not (tmp_path / "id.json").exists()
    assert rows()[2:] == [EXPORTED]


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


def make(file: Path) -> None:
    with custody._new_file(file, size_bytes=1):
        raise AssertionError("it was made")


def test_a_file_that_is_there_is_never_overwritten(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows
) -> None:
    (tmp_path / "id.json").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("id.json", "link"):
        with pytest.raises(DaemonError, match="was not overwritten"):
            export(data, agent_id, tmp_path / name)
        with pytest.raises(FileExistsError):
            make(tmp_path / name)
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


def exchange(data: Path) -> None:
    """Put a keystore there that has a key of the same agent, under another password."""
    keystore, agent_id = data / "keystore", AgentId(min(file_ids(data)))
    shutil.rmtree(keystore)
    create_keystore(keystore, THEIRS)
    theirs = open_keystore(keystore, THEIRS)
    theirs.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.DEVNET)
    theirs.store(agent_id)
    theirs.lock()


def test_no_key_is_exported_from_an_exchanged_keystore_and_a_row_says_so(
    data: Path, agent_id: str, tmp_path: Path, rows: Rows
) -> None:
    exchange(data)
    with pytest.raises(DaemonError, match=r"not the one with the keys .* Find out who"):
        export(data, agent_id, tmp_path / "id.json", password=THEIRS)
    assert not (tmp_path / "id.json").exists()
    details = {"operation": "export key", "problem": "OTHER_KEYSTORE"}
    assert rows()[2:] == [("OPERATION_REFUSED", "operator", details)]


def test_control_without_the_ledgers_word_another_key_is_exported_as_the_agents(
    data: Path, agent_id: str
) -> None:
    exchange(data)
    seed = read_seed(data / "keystore", AgentId(agent_id), THEIRS, require_own=lambda _facts: None)
    with seed.readable() as view:
        assert bytes(view) != PAIR.secret()
    seed.free()


# ── of Ethereum ────────────────────────────────────────────────────────────────────────────────

CHEAP: Final = Scrypt(n=2, r=1, p=1)
FILE_PASSWORD: Final = b"a password of the file"


@pytest.fixture(scope="module")
def with_ether(with_agent: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    directory = shutil.copytree(with_agent, tmp_path_factory.mktemp("with_ether") / "data")
    file = json.dumps(WEB3["file"]).encode()
    made = import_key(
        directory,
        Written(
            KeyFormat.WEB3_SECRET_STORAGE,
            ChainType.ETHEREUM,
            secret=lambda: Guarded.copy_of(file),
            password=lambda: Guarded.copy_of(WEB3["password"].encode()),
            passphrase=lambda: Guarded(0),
            account=0,
        ),
        name="Vitalik",
        network=NetworkType.MAINNET,
        profile=None,
        address=None,
        password=lambda: PASSWORD,
        clock=SystemClock(),
    )
    return directory, made.id


@pytest.fixture
def ether_id(data: Path, with_ether: tuple[Path, str]) -> str:
    """Put the other directory in the place of the one that every test has."""
    shutil.rmtree(data)
    shutil.copytree(with_ether[0], data)
    return with_ether[1]


def export_ether(data: Path, agent_id: str, file: Path, **other: Any) -> AgentRecord:
    arguments: dict[str, Any] = {
        "confirm": agreed,
        "password": lambda: PASSWORD,
        "file_password": lambda: FILE_PASSWORD,
        "clock": SystemClock(),
        "cost": CHEAP,
        **other,
    }
    return export_key(data, agent_id, file=file, **arguments)


def test_a_key_of_ethereum_goes_out_under_a_password_of_its_own(
    data: Path, ether_id: str, tmp_path: Path, rows: Rows
) -> None:
    file, password = tmp_path / "key.json", Guarded.copy_of(FILE_PASSWORD)
    export_ether(data, ether_id, file)
    found = web3_storage.read(Guarded.copy_of(file.read_bytes()), password)
    with found.readable() as view:
        assert bytes(view).hex() == WEB3["secret"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert rows()[-1] == ("KEY_EXPORTED", "operator", {"format": "web3-secret-storage"})
    with pytest.raises(ImportRefused):
        web3_storage.read(Guarded.copy_of(file.read_bytes()), Guarded.copy_of(PASSWORD))


def test_what_cannot_be_exported_leaves_no_file_and_no_row(
    data: Path, ether_id: str, agent_id: str, tmp_path: Path, rows: Rows
) -> None:
    file, before = tmp_path / "key.json", rows()
    refused: list[tuple[str, dict[str, Any], str]] = [
        (ether_id, {"file_password": lambda: b"short"}, "12 to 1024 bytes"),
        (ether_id, {"as_format": KeyFormat.SOLANA_KEYGEN}, "is written as web3-secret-storage"),
        (agent_id, {"as_format": KeyFormat.WEB3_SECRET_STORAGE}, "is written as solana-keygen"),
        (ether_id, {"as_format": KeyFormat.MNEMONIC}, "is written as web3-secret-storage"),
    ]
    for whose, other, why in refused:
        with pytest.raises(DaemonError, match=why):
            export_ether(data, whose, file, **other)
    assert not file.exists()
    assert rows() == before


def test_the_program_asks_for_that_password_and_takes_geths_numbers(
    data: Path, ether_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signature(export_key).parameters["cost"].default == GETH
    monkeypatch.setattr(custody, "export_key", partial(export_key, cost=CHEAP))  # Not for seconds.
    file, options = tmp_path / "key.json", list[object]()
    for option, content in (("password", PASSWORD), ("file-password", FILE_PASSWORD)):
        path = tmp_path / option
        path.touch(mode=0o600)
        path.write_bytes(content)
        options += [f"--{option}-file", path]
    result = run(data, ether_id, "--file", file, "--yes", *options)
    assert json.loads(result.stdout)["format"] == "web3-secret-storage", result.output
    assert json.loads(file.read_text())["version"] == 3


def test_words_cannot_be_had_back_from_a_key(data: Path, agent_id: str, tmp_path: Path) -> None:
    result = run(data, agent_id, "--file", tmp_path / "words", "--format", "mnemonic", "--yes")
    assert result.exit_code == 2
    assert "cannot be had back" in result.output
