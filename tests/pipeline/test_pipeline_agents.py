"""Making agents: wherever it is cut off, no key is unknown and no agent is without one."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from waiaas.database import Ledger, agents, generate_id
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore
from waiaas.pipeline.agents import create_agent, finish_creations
from waiaas.pipeline.record import LostRace
from waiaas.ports import Keystore, LedgerTransaction
from waiaas.ports import Ledger as AnyLedger

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

Value = TypeVar("Value")

NOW_S = 1_700_000_000
PASSWORD = b"correct horse battery staple"


class PowerCut(BaseException):
    """The process is gone."""


@pytest.fixture
def keys(tmp_path: Path) -> FileKeystore:
    create_keystore(tmp_path / "keystore", PASSWORD)
    return open_keystore(tmp_path / "keystore", PASSWORD)


def key_files(tmp_path: Path) -> set[str]:
    return {path.stem for path in (tmp_path / "keystore").iterdir()} - {"keystore"}


def create(office: "Office", keystore: Keystore, *, ledger: AnyLedger | None = None) -> AgentRecord:
    return asyncio.run(
        create_agent(
            "trader",
            chain=ChainType.SOLANA,
            network=NetworkType.LOCALNET,
            ledger=ledger or office.ledger,
            keystore=keystore,
            clock=office.clock,
            generate_id=generate_id,
        )
    )


class CutKeystore:
    """A keystore at which the power goes, before or behind storing a key."""

    def __init__(self, keystore: FileKeystore, *, stored: bool) -> None:
        self._keystore = keystore
        self._stored = stored

    def generate(self, agent_id: AgentId, *, chain: ChainType, network: NetworkType) -> str:
        return self._keystore.generate(agent_id, chain=chain, network=network)

    def store(self, agent_id: AgentId) -> None:
        if self._stored:
            self._keystore.store(agent_id)
        raise PowerCut

    def holds(self, agent_id: AgentId, *, public_key: str) -> bool:
        return self._keystore.holds(agent_id, public_key=public_key)

    def verify_password(self, password: bytes) -> bool:
        return self._keystore.verify_password(password)

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        return self._keystore.sign(agent_id, payload)


class CutLedger:
    """A ledger at which the power goes before the first write."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        raise PowerCut(unit)

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        raise PowerCut(unit)

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        return self._ledger.read(query)


def test_a_new_agent_is_active_and_can_sign(
    office: "Office", keys: FileKeystore, tmp_path: Path
) -> None:
    agent = create(office, keys)
    assert agent.status is AgentStatus.ACTIVE
    assert agent == office.ledger.read(lambda tx: tx.agents.get(agent.id))
    assert (agent.name, agent.chain, agent.network) == ("trader", "solana", "localnet")
    assert agent.created_at == NOW_S
    assert keys.holds(agent.id, public_key=agent.public_key)
    assert len(keys.sign(agent.id, b"payload")) == 64
    assert key_files(tmp_path) == {agent.id}
    created, activated = office.rows("audit_log")
    assert (created.event_type, activated.event_type) == ("AGENT_CREATED", "AGENT_ACTIVATED")
    assert (created.actor, activated.actor) == ("operator", "system")
    assert json.loads(created.details)["address"] == agent.public_key


def test_the_row_is_durable_before_the_key_is_stored(office: "Office", keys: FileKeystore) -> None:
    seen: list[AgentRecord | None] = []

    class Looking(CutKeystore):
        def store(self, agent_id: AgentId) -> None:
            seen.append(office.ledger.read(lambda tx: tx.agents.get(agent_id)))
            keys.store(agent_id)

    agent = create(office, Looking(keys, stored=True))
    assert seen == [agent._replace(status=AgentStatus.CREATING)]


def test_a_creation_cut_off_before_its_row_leaves_nothing(
    office: "Office", keys: FileKeystore, tmp_path: Path
) -> None:
    with pytest.raises(PowerCut):
        create(office, keys, ledger=CutLedger(office.ledger))
    assert office.rows("agents") == []
    assert key_files(tmp_path) == set()


@pytest.mark.parametrize(
    ("stored", "status", "event"),
    [
        (False, AgentStatus.TERMINATED, "AGENT_TERMINATED"),
        (True, AgentStatus.ACTIVE, "AGENT_ACTIVATED"),
    ],
)
def test_a_creation_cut_off_at_its_key_is_ended_by_the_next_start(
    stored: bool,  # noqa: FBT001 -- a row of the table
    status: AgentStatus,
    event: str,
    *,
    office: "Office",
    keys: FileKeystore,
    tmp_path: Path,
) -> None:
    with pytest.raises(PowerCut):
        create(office, CutKeystore(keys, stored=stored))
    (row,) = office.rows("agents")
    assert row.status == AgentStatus.CREATING
    office.reopen()
    restarted = open_keystore(tmp_path / "keystore", PASSWORD)
    (ended,) = finish_creations(ledger=office.ledger, keystore=restarted, clock=office.clock)
    assert (ended.id, ended.status) == (row.id, status)
    assert office.rows("agents")[0].status == status
    assert [each.event_type for each in office.rows("audit_log")] == ["AGENT_CREATED", event]
    before = office.counts()
    assert finish_creations(ledger=office.ledger, keystore=restarted, clock=office.clock) == []
    assert office.counts() == before


def test_an_agent_that_was_ended_meanwhile_does_not_come_to_life(
    office: "Office", keys: FileKeystore
) -> None:
    class Overtaken(CutKeystore):
        def store(self, agent_id: AgentId) -> None:
            keys.store(agent_id)
            office.execute(agents.update().values(status=AgentStatus.TERMINATED))

    with pytest.raises(LostRace):
        create(office, Overtaken(keys, stored=True))
    assert office.rows("agents")[0].status == AgentStatus.TERMINATED
    assert [row.event_type for row in office.rows("audit_log")] == ["AGENT_CREATED"]


def test_agents_made_at_the_same_time_do_not_mix(office: "Office", keys: FileKeystore) -> None:
    async def several() -> list[AgentRecord]:
        return await asyncio.gather(
            *(
                create_agent(
                    str(number),
                    chain=ChainType.SOLANA,
                    network=NetworkType.LOCALNET,
                    ledger=office.ledger,
                    keystore=keys,
                    clock=office.clock,
                    generate_id=generate_id,
                )
                for number in range(8)
            )
        )

    made = asyncio.run(several())
    assert len({agent.public_key for agent in made}) == 8
    assert all(keys.holds(agent.id, public_key=agent.public_key) for agent in made)
