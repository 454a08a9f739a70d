"""Keys that are gone are not hidden by a new keystore."""

import shutil
from pathlib import Path
from typing import Final

import pytest
from tests.fakes.agents import insert_agent

from waiaas.daemon import initialise
from waiaas.database import generate_id, open_ledger
from waiaas.directory import KEYSTORE_NAME, DaemonError, require_initialised
from waiaas.domain.ids import AgentId
from waiaas.keystore.signer import create_keystore

PASSWORD: Final = b"correct horse battery staple"
ANOTHER: Final = b"another password entirely"


def lose_keystore(directory: Path) -> None:
    shutil.rmtree(directory / KEYSTORE_NAME)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One that has an agent."""
    directory = tmp_path / "data"
    initialise(directory, PASSWORD)
    agent_id = AgentId(generate_id())
    with open_ledger(directory) as ledger:
        ledger.write(
            lambda tx: insert_agent(
                tx, agent_id, address="address", limits=(), generate_id=generate_id
            )
        )
    return directory


def test_no_new_keystore_is_made_where_the_ledger_has_agents(directory: Path) -> None:
    lose_keystore(directory)
    with pytest.raises(DaemonError, match="restore the newest backup"):
        require_initialised(directory)
    with pytest.raises(DaemonError, match="1 agent, and their keystore is gone"):
        initialise(directory, ANOTHER)
    assert not (directory / KEYSTORE_NAME).exists()


def test_control_who_looks_at_the_keystore_alone_makes_one(directory: Path) -> None:
    lose_keystore(directory)
    create_keystore(directory / KEYSTORE_NAME, ANOTHER)
    require_initialised(directory)


def test_a_keystore_that_no_agent_used_is_made_anew(tmp_path: Path) -> None:
    initialise(tmp_path / "data", PASSWORD)
    lose_keystore(tmp_path / "data")
    assert initialise(tmp_path / "data", ANOTHER)
