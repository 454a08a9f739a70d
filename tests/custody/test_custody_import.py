"""Importing a key: the agent it becomes, what is written down, and what is refused."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import coincurve
import pytest
from solders.keypair import Keypair
from tests.canaries import MARKER
from tests.canaries import SEED as SEED_OF_FILE
from tests.fakes.reports import unexpected
from typer.testing import CliRunner, Result

from waiaas import custody
from waiaas.cli.app import app
from waiaas.custody import Written, import_key
from waiaas.database import open_ledger
from waiaas.directory import DaemonError
from waiaas.domain.enums import AgentStatus, ChainType, KeyFormat, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.keystore import derivation, mnemonic, web3_storage
from waiaas.keystore.agent_key import open_key
from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.signer import FileKeystore, open_keystore
from waiaas.pipeline.agents import finish_creations
from waiaas.pipeline.kill_switch import activate
from waiaas.system import SystemClock

Rows = Callable[[], list[tuple[str, str, Any]]]

PASSWORD: Final = f"{MARKER} the first master password".encode()
WORDS: Final = "ozone drill grab fiber curtain grace pudding thank cruise elder eight picnic"
SEED: Final = (
    "274ddc525802f7c828d8ef7ddbcdc5304e87ac3535913611fbbfa986d0c9e547"
    "6c91689f9c8a54fd55bd38606aa6a8595ad213d4c9c9f9aca3fb217069a41028"
)
"""What BIP-39's example gives for these words and the passphrase TREZOR."""
PAIR: Final = Keypair.from_seed(SEED_OF_FILE)
WALLET: Final = ("--format", "mnemonic", "--chain", "solana")
ETHEREUM: Final = ("--format", "web3-secret-storage", "--file", "x")
VECTORS: Final = Path(__file__).parents[1] / "keystore" / "web3_vectors.json"
WEB3: Final[Any] = json.loads(VECTORS.read_text(encoding="ascii"))[-1]
"""Written by eth-keyfile."""


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
        line += [] if "--network" in options else ["--network", "devnet"]
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
    told = {"operation": "import key", "format": "solana-keygen", "problem": "DUPLICATE"}
    assert rows()[-2:] == [("OPERATION_REFUSED", "operator", told)] * 2


def test_words_become_the_account_that_solanas_wallets_show(home: Home, rows: Rows) -> None:
    words, passphrase = home.file("words", f"{WORDS}\n"), home.file("passphrase", "TREZOR\n")
    options = (*WALLET, "--file", words, "--passphrase-file", passphrase)
    made = json.loads(home.run(*options, "--account", "3", "--network", "mainnet").stdout)
    seed = Keypair.from_seed_and_derivation_path(bytes.fromhex(SEED), "m/44'/501'/3'/0'")
    assert (made["publicKey"], made["network"]) == (str(seed.pubkey()), "mainnet")
    assert rows()[0][2]["importedFrom"] == "mnemonic"


SEPOLIA: Final = "--chain ethereum --network testnet"
OWN: Final = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SOLANA, ETHER = ChainType
NO_KEYS: Final = [
    (KeyFormat.SOLANA_KEYGEN, SOLANA, "[1, 2]", "NOT_THE_FORMAT"),
    (KeyFormat.SOLANA_KEYGEN, SOLANA, json.dumps([7] * 64), "CHECKSUM"),
    (KeyFormat.SOLANA_KEYGEN, SOLANA, Keypair.from_seed(b"ab" * 16).to_json(), "GUESSABLE"),
    (KeyFormat.SOLANA_KEYGEN, SOLANA, PAIR.to_json(), "OTHER_ADDRESS"),
    (KeyFormat.MNEMONIC, SOLANA, "abandon " * 11 + "about", "GUESSABLE"),
    (KeyFormat.MNEMONIC, ETHER, "abandon " * 11 + "about", "GUESSABLE"),
    (KeyFormat.MNEMONIC, SOLANA, "test " * 11 + "junk", "GUESSABLE"),
    (KeyFormat.MNEMONIC, ETHER, "test " * 11 + "junk", "GUESSABLE"),
    (KeyFormat.MNEMONIC, SOLANA, WORDS.replace("curtain", "zoo"), "CHECKSUM"),
    (KeyFormat.MNEMONIC, ETHER, WORDS.replace("curtain", "zoom"), "CHECKSUM"),
    (KeyFormat.MNEMONIC, ETHER, "zoo", "NOT_THE_FORMAT"),
    (KeyFormat.MNEMONIC, SOLANA, WORDS, "OTHER_ADDRESS"),
    (KeyFormat.MNEMONIC, ETHER, WORDS, "OTHER_ADDRESS"),
    (KeyFormat.WEB3_SECRET_STORAGE, ETHER, "{}", "NOT_THE_FORMAT"),
    (KeyFormat.WEB3_SECRET_STORAGE, ETHER, json.dumps(WEB3["file"]), "WRONG_PASSWORD"),
]


@pytest.mark.parametrize(("form", "chain", "content", "problem"), NO_KEYS)
def test_what_is_no_key_is_told_by_what_is_wrong_with_it(
    form: KeyFormat, chain: ChainType, content: str, problem: str
) -> None:
    written = Written(
        form,
        chain,
        secret=lambda: Guarded.copy_of(content.encode()),
        password=lambda: Guarded.copy_of(b"not its password"),
        passphrase=lambda: Guarded(0),
        account=0,
    )
    with pytest.raises(ImportRefused) as refused:
        custody._require_address(custody._seed(written), chain, OWN)
    assert refused.value.why == problem
    assert refused.value.remedy
    if problem == "OTHER_ADDRESS":
        given = custody._seed(written)
        assert open_key(given, chain=chain).address in str(refused.value), "so a slip can be found"
        custody._require_address(given, chain, open_key(given, chain=chain).address)
    said = set(str(refused.value).split())
    assert not said & {"abandon", "ozone", "zoo", "zoom", "[1,", WEB3["secret"]}


@pytest.mark.parametrize("account", [0, 1])
def test_a_key_that_every_developer_knows_is_refused_in_a_file_too(account: int) -> None:
    words = Guarded.copy_of(("test " * 11 + "junk").encode())
    seed = mnemonic.seed_of(words, Guarded(0))
    path = derivation.path_of(ETHER, account)
    known = derivation.derive(seed, path, chain=ETHER)
    password = Guarded.copy_of(b"of the file")
    file = web3_storage.write(known, password, cost=web3_storage.Scrypt(2, 1, 1))
    written = Written(
        KeyFormat.WEB3_SECRET_STORAGE,
        ETHER,
        secret=lambda: Guarded.copy_of(file),
        password=lambda: Guarded.copy_of(b"of the file"),
        passphrase=lambda: Guarded(0),
        account=0,
    )
    with pytest.raises(ImportRefused, match="known to everybody") as refused:
        custody._seed(written)
    assert refused.value.why == "GUESSABLE"


@pytest.mark.parametrize(
    ("form", "content", "problem"),
    [
        ("mnemonic --chain solana", WORDS.replace("curtain", "zoo"), "CHECKSUM"),
        (f"web3-secret-storage {SEPOLIA}", json.dumps(WEB3["file"]), "WRONG_PASSWORD"),
        (f"solana-keygen --address {OWN}", PAIR.to_json(), "OTHER_ADDRESS"),
    ],
)
def test_what_is_refused_makes_no_agent_and_one_row_that_says_why(
    home: Home, rows: Rows, form: str, content: str, problem: str
) -> None:
    options = ["--format", *form.split(), "--file", home.file("key", content)]
    if form.startswith("web3"):
        options += ["--file-password-file", home.file("other", "not its password")]
    refused = home.run(*options, code=1)
    assert not any(word in refused.output for word in ("ozone", "zoo", WEB3["secret"]))
    assert (home.agents(), home.key_files()) == ([], set())
    told = {"operation": "import key", "format": form.split(maxsplit=1)[0], "problem": problem}
    assert rows() == [("OPERATION_REFUSED", "operator", told)]


def test_what_is_too_long_for_a_key_is_not_read(home: Home, rows: Rows) -> None:
    options = ("--format", "mnemonic", "--chain", "solana")
    refused = home.run(*options, "--file", home.file("key", "x" * 5000), code=2)
    assert "longer than 4096 bytes" in refused.output
    assert (home.agents(), home.key_files(), rows()) == ([], set(), [])


def test_words_become_the_account_that_ethereums_wallets_show(home: Home, rows: Rows) -> None:
    words = home.file("words", f"{WORDS}\n")
    options = ("--format", "mnemonic", *SEPOLIA.split(), "--file", words, "--account")
    made = json.loads(home.run(*options, "2").stdout)
    path = derivation.path_of(ChainType.ETHEREUM, 2)
    seed = mnemonic.seed_of(Guarded.copy_of(WORDS.encode()), Guarded(0))
    key = open_key(
        derivation.derive(seed, path, chain=ChainType.ETHEREUM), chain=ChainType.ETHEREUM
    )
    assert (made["chain"], made["network"], made["status"]) == ("ethereum", "testnet", "ACTIVE")
    assert made["publicKey"] == key.address
    assert (rows()[0][2]["chain"], rows()[0][2]["profile"]) == ("ethereum", None)


def test_a_file_of_ethereums_wallets_becomes_an_agent_that_signs_with_its_key(
    home: Home, rows: Rows
) -> None:
    options = ["--format", "web3-secret-storage", "--network", "mainnet"]
    options += ["--file", str(home.file("key", json.dumps(WEB3["file"])))]
    options += ["--file-password-file", str(home.file("other", WEB3["password"]))]
    address = f"0x{WEB3['file']['address']}"
    made = json.loads(home.run(*options, "--address", address).stdout)
    assert (made["chain"], made["network"], made["publicKey"]) == ("ethereum", "mainnet", address)
    assert rows()[0][2]["importedFrom"] == "web3-secret-storage"
    digest = bytes(range(32))
    signature = open_keystore(home.data / "keystore", PASSWORD).sign(made["id"], digest)
    theirs = coincurve.PrivateKey(bytes.fromhex(WEB3["secret"]))
    assert signature == theirs.sign_recoverable(digest, hasher=None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_may_read_is_refused(home: Home, rows: Rows, mode: int) -> None:
    file = home.file("key", WORDS, mode)
    refused = home.run("--format", "mnemonic", "--chain", "solana", "--file", file, code=2)
    assert f"chmod 600 {file}" in refused.output.replace("\n", "")
    assert (home.agents(), rows()) == ([], [])


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "solana-keygen"),
        ("--format", "mnemonic", "--chain", "solana"),
        ("--format", "mnemonic", "--file", "x"),
        ("--format", "mnemonic", "--chain", "bitcoin", "--file", "x"),
        ("--format", "mnemonic", "--chain", "ethereum", "--file", "x"),
        ("--format", "mnemonic", "--chain", "ethereum", "--file", "x", "--network", "devnet"),
        ("--format", "mnemonic", "--chain", "ethereum", "--file", "x", "--network", "localnet"),
        (*ETHEREUM, "--network", "mainnet", "--profile", "cautious"),
        (*ETHEREUM, "--network", "mainnet", "--chain", "solana"),
        (*ETHEREUM, "--network", "mainnet", "--passphrase"),
        ETHEREUM,
        ("--format", "solana-keygen", "--chain", "ethereum", "--file", "x"),
        ("--format", "solana-keygen", "--file", "x", "--file-password-file", "y"),
        ("--format", "web3", "--file", "x"),
        ("--format", "solana-keygen", "--file", "x", "--fd", "9"),
        ("--format", "solana-keygen", "--file", "x", "--account", "1"),
        ("--format", "solana-keygen", "--file", "x", "--passphrase"),
        (*WALLET, "--file", "x", "--account", "-1"),
        (*WALLET, "--file", "x", "--name", "two\nlines"),
        (*WALLET, "--file", "x", "--network", "moon"),
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
    assert "does not open" in home.run("--format", "solana-keygen", "--file", file, code=4).output
    assert rows() == [("AUTH_FAILED", "unauthenticated", {"caller": "LOCAL_USER"})]
    assert home.key_files() == set()


# ── in this process ────────────────────────────────────────────────────────────────────────────


def import_pair(data: Path) -> AgentRecord:
    return import_key(
        data,
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
        terms: Any = {"ledger": ledger, "clock": SystemClock(), "report": unexpected}
        asyncio.run(activate(None, ip_address=None, **terms))
    with pytest.raises(DaemonError, match="kill switch"):
        import_pair(home.data)
    assert [row[0] for row in rows()] == ["KILL_SWITCH_ACTIVATED", "OPERATION_REFUSED"]
    assert (home.agents(), home.key_files()) == ([], set())
