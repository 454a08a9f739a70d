"""One keystore with two agents, made once; each test gets its own copy of the files.

Argon2id at full cost takes 0.1 s on four cores, so `keystore` is unlocked without it; the tests of
passwords and of the format are the ones that open it by its password.
"""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.canaries import MARKER

from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.keystore import vault
from waiaas.keystore.files import PrivateDirectory
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.kdf import derive
from waiaas.keystore.keystore_key import KeystoreKey
from waiaas.keystore.sealing import unseal
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore


@pytest.fixture(scope="session")
def password() -> bytes:
    return f"{MARKER}-pa55word-é".encode()


@pytest.fixture(scope="session")
def agents() -> tuple[AgentId, AgentId]:
    return (
        AgentId("0198c0de-0000-7000-8000-00000000000a"),
        AgentId("0198c0de-0000-7000-8000-00000000000b"),
    )


@pytest.fixture(scope="session")
def new_agent() -> Callable[[], AgentId]:
    """Return a function that gives an id which no test had before."""
    numbers = iter(range(2**20))
    return lambda: AgentId(f"0198c0de-0000-7000-8000-1{next(numbers):011x}")


@pytest.fixture(scope="session")
def original(
    tmp_path_factory: pytest.TempPathFactory, password: bytes, agents: tuple[AgentId, AgentId]
) -> tuple[Path, dict[AgentId, str]]:
    """The files every test copies, and the agents' addresses."""
    directory = tmp_path_factory.mktemp("original") / "keystore"
    create_keystore(directory, password)
    keystore = open_keystore(directory, password)
    addresses = {}
    for agent_id in agents:
        addresses[agent_id] = keystore.generate(
            agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET
        )
        keystore.store(agent_id)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    return directory, addresses


@pytest.fixture
def home(original: tuple[Path, dict[AgentId, str]], tmp_path: Path) -> Path:
    return shutil.copytree(original[0], tmp_path / "keystore")


@pytest.fixture
def addresses(original: tuple[Path, dict[AgentId, str]]) -> dict[AgentId, str]:
    return original[1]


@pytest.fixture(scope="session")
def key_of_original(original: tuple[Path, dict[AgentId, str]], password: bytes) -> Guarded:
    """The keystore key itself, derived once."""
    opened = vault.read((original[0] / vault.FILE_NAME).read_bytes(), path=original[0])
    facts = vault._facts(opened.kdf, commitment=opened.commitment)
    keys = derive(password, parameters=opened.kdf)
    return unseal(opened.keystore_key, sealing_key=keys.wrapping_key, facts=facts)


@pytest.fixture
def keystore(home: Path, key_of_original: Guarded) -> FileKeystore:
    """What `open_keystore` gives, without another derivation."""
    opened = vault.read((home / vault.FILE_NAME).read_bytes(), path=home)
    key = KeystoreKey(key_of_original)
    return FileKeystore(directory=PrivateDirectory(home), opened=opened, keystore_key=key)
