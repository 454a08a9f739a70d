"""Importing a key: the agent it becomes, what is written down, and what is refused."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from solders.keypair import Keypair
from typer.testing import CliRunner, Result

from waiaas import custody
from waiaas.cli.app import app
from waiaas.custody import Written, import_key
from waiaas.database import open_ledger
from waiaas.directory import DaemonError
from waiaas.domain.enums import AgentStatus, KeyFormat, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.signer import FileKeystore, open_keystore
from waiaas.pipeline.agents import finish_creations
from waiaas.pipeline.kill_switch import activate
from waiaas.system import SystemClock

Rows = Callable[[], list[tuple[str, str, Any]]]

PASSWORD: Final = b"the first master password"
WORDS: Final = "ozone drill grab fiber curtain grace pudding thank cruise elder eight picnic"
SEED: Final = (
    "274ddc525802f7c828d8ef7ddbcdc5304e87ac3535913611fbbfa986d0c9e547"
    "6c91689f9c8a54fd55bd38606aa6a8595ad213d4c9c9f9aca3fb217069a41028"
)
"""What BIP-39's example gives for these words and the passphrase TREZOR."""
PAIR: Final = Keypair.from_seed(bytes(range(32)))


class Home:
    """A data directory, and what a person does with it at a terminal."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.data = data
        self._folder = folder
        self.password = self.file("password", PASSWORD.decode())

    def file(self, name: str, content: str, mode: int = 0o600) -> Path:
        path = self._folder / name
        path.write_text(content, encoding="utf-8")
        path.chmod(mode)
        return path

    def run(self, *options: object, code: int = 0) -> Result:
        line = ["--data-dir", self.data, "key", "import", "--name", "Bob"]
        line += ["--password-file", self.password, *options]
        result = CliRunner().invoke(app, [str(each) for each in line])
        assert result.exit_code == code, result.output
        return result

    def agents(self) -> list[AgentRecord]:
        with open_ledger(self.data) as ledger:
            return ledger.read(custody._every_agent)

    def key_files(self) -> set[str]:
        return {path.name for path in (self.data / "keystore").iterdir()} - {"keystore.json"}


@pytest.fixture
def home(data: Path, tmp_path: Path) -> Home:
    return Home(data, tmp_path)


def test_a_file_of_solana_keygen_becomes_an_agent_that_signs_with_its_key(
    home: Home, rows: Rows
) -> None:
    file = home.file("id.json", PAIR.to_json())
    made = json.loads(
        home.run("--format", "solana-keygen", "--file", file, "--profile", "cautious").stdout
    )
    assert (made["publicKey"], made["status"]) == (str(PAIR.pubkey()), "ACTIVE")
    created, *rules, activated = rows()
    assert created[:2] == ("AGENT_CREATED", "operator")
    assert created[2] == {
        "name": "Bob",
        "chain": "solana",
        "network": "devnet",
        "address": str(PAIR.pubkey()),
        "profile": "cautious",
        "importedFrom": "solana-keygen",
    }
    assert {rule[0] for rule in rules} == {"POLICY_UPDATED"}
    assert activated[:2] == ("AGENT_ACTIVATED", "system")
    signature = open_keystore(home.data / "keystore", PASSWORD).sign(made["id"], b"pay")
    assert signature == bytes(PAIR.sign_message(b"pay"))
    refused = home.run("--format", "solana-keygen", "--file", file, code=1)
    assert f"belongs to agent {made['id']} already" in refused.output
    assert home.key_files() == {f"{made['id']}.json"}
    (home.data / "keystore" / f"{made['id']}.json").unlink()  # The ledger knows it all the same.
    refused = home.run("--format", "solana-keygen", "--file", file, code=1)
    assert f"belongs to agent {made['id']} already" in refused.output
    assert home.key_files() == set()


def test_words_become_the_account_that_solanas_wallets_show(home: Home, rows: Rows) -> None:
    words, passphrase = home.file("words", f"{WORDS}\n"), home.file("passphrase", "TREZOR\n")
    options = ("--format", "mnemonic", "--file", words, "--passphrase-file", passphrase)
    made = json.loads(home.run(*options, "--account", "3", "--network", "mainnet").stdout)
    seed = Keypair.from_seed_and_derivation_path(bytes.fromhex(SEED), "m/44'/501'/3'/0'")
    assert (made["publicKey"], made["network"]) == (str(seed.pubkey()), "mainnet")
    assert rows()[0][2]["importedFrom"] == "mnemonic"


@pytest.mark.parametrize(
    ("options", "content", "refusal"),
    [
        ("--format solana-keygen", "[1, 2]", (1, "no array of 64 numbers")),
        ("--format solana-keygen", json.dumps([7] * 64), (1, "public half")),
        ("--format solana-keygen", Keypair.from_seed(b"ab" * 16).to_json(), (1, "guessed")),
        ("--format mnemonic", "abandon " * 11 + "about", (1, "guessed")),
        ("--format mnemonic", WORDS.replace("curtain", "zoo"), (1, "checksum is wrong")),
        ("--format mnemonic", "x" * 5000, (2, "longer than 4096 bytes")),
    ],
)
def test_what_is_no_key_makes_no_agent(
    home: Home, rows: Rows, options: str, content: str, refusal: tuple[int, str]
) -> None:
    code, why = refusal
    refused = home.run(*options.split(), "--file", home.file("key", content), code=code)
    assert why in refused.output
    assert not any(word in refused.output for word in ("abandon", "ozone", "[1, 2]"))
    assert (home.agents(), home.key_files(), rows()) == ([], set(), [])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_may_read_is_refused(home: Home, rows: Rows, mode: int) -> None:
    file = home.file("key", WORDS, mode)
    refused = home.run("--format", "mnemonic", "--file", file, code=2)
    assert f"chmod 600 {file}" in refused.output.replace("\n", "")
    assert (home.agents(), rows()) == ([], [])


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "solana-keygen"),
        ("--format", "mnemonic"),
        ("--format", "web3", "--file", "x"),
        ("--format", "solana-keygen", "--file", "x", "--fd", "9"),
        ("--format", "solana-keygen", "--file", "x", "--account", "1"),
        ("--format", "solana-keygen", "--file", "x", "--passphrase"),
        ("--format", "mnemonic", "--file", "x", "--account", "-1"),
        ("--format", "mnemonic", "--file", "x", "--name", "two\nlines"),
        ("--format", "mnemonic", "--file", "x", "--network", "moon"),
    ],
    ids=" ".join,
)
def test_what_is_asked_for_in_no_way_that_is_understood_makes_nothing(
    home: Home, options: tuple[str, ...]
) -> None:
    home.run(*options, code=2)
    assert not home.key_files()


def test_a_wrong_password_is_written_down_and_makes_no_agent(home: Home, rows: Rows) -> None:
    home.password = home.file("password", "not the master password")
    file = home.file("id.json", PAIR.to_json())
    assert "does not open" in home.run("--format", "solana-keygen", "--file", file, code=1).output
    assert rows() == [("AUTH_FAILED", "unauthenticated", {"caller": "LOCAL_USER"})]
    assert home.key_files() == set()


# ── in this process ────────────────────────────────────────────────────────────────────────────


def import_pair(data: Path) -> AgentRecord:
    return import_key(
        data,
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


@pytest.mark.parametrize("ends", [AgentStatus.ACTIVE, AgentStatus.TERMINATED])
def test_an_import_that_is_cut_off_is_ended_by_the_next_start(
    home: Home, monkeypatch: pytest.MonkeyPatch, ends: AgentStatus
) -> None:
    store = FileKeystore.store

    def cut(keystore: FileKeystore, agent_id: AgentId) -> None:
        if ends is AgentStatus.ACTIVE:
            store(keystore, agent_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(FileKeystore, "store", cut)
    with pytest.raises(KeyboardInterrupt):
        import_pair(home.data)
    (agent,) = home.agents()
    assert agent.status is AgentStatus.CREATING
    keystore = open_keystore(home.data / "keystore", PASSWORD)
    with open_ledger(home.data) as ledger:
        (ended,) = finish_creations(ledger=ledger, keystore=keystore, clock=SystemClock())
    assert ended.status is ends


def test_while_the_kill_switch_is_on_nothing_is_imported(home: Home, rows: Rows) -> None:
    with open_ledger(home.data) as ledger:
        asyncio.run(activate(None, ip_address=None, ledger=ledger, clock=SystemClock()))
    with pytest.raises(DaemonError, match="kill switch"):
        import_pair(home.data)
    assert [row[0] for row in rows()] == ["KILL_SWITCH_ACTIVATED", "OPERATION_REFUSED"]
    assert (home.agents(), home.key_files()) == ([], set())
