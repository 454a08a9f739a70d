"""Making an agent: the row before the key file, and whatever a crash left half made is ended."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waiaas.database import generate_id
from waiaas.database.errors import ConstraintViolated
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.profile import Profile, ProfileName
from waiaas.domain.records import AgentRecord
from waiaas.keystore.errors import KeystoreError, KeystoreLocked
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore
from waiaas.pipeline.agents import create_agent, finish_creations
from waiaas.pipeline.record import LostRace
from waiaas.profiles import read_profiles

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
PASSWORD = b"a password of some length"


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Home:
    """A keystore that may crash before or behind the writing of a file."""

    keystore: FileKeystore
    directory: Path
    before_store: Callable[[AgentId], None] = lambda _: None
    behind_store: Callable[[AgentId], None] = lambda _: None
    calls: list[str] = field(default_factory=list)

    def generate(self, agent_id: AgentId, *, chain: ChainType, network: NetworkType) -> str:
        self.calls.append("generate")
        return self.keystore.generate(agent_id, chain=chain, network=network)

    def store(self, agent_id: AgentId) -> None:
        self.calls.append("store")
        self.before_store(agent_id)
        self.keystore.store(agent_id)
        self.behind_store(agent_id)

    def holds(self, agent_id: AgentId, *, public_key: str) -> bool:
        self.calls.append("holds")
        return self.keystore.holds(agent_id, public_key=public_key)

    @property
    def is_locked(self) -> bool:
        return self.keystore.is_locked

    def lock(self) -> None:
        self.keystore.lock()

    def unlock(self, password: bytes) -> None:
        self.keystore.unlock(password)

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        return self.keystore.sign(agent_id, payload)

    def verify_password(self, password: bytes) -> bool:
        return self.keystore.verify_password(password)

    def file(self, agent_id: AgentId) -> Path:
        return self.directory / f"{agent_id}.json"


@pytest.fixture(scope="module")
def unlocked(tmp_path_factory: pytest.TempPathFactory) -> tuple[FileKeystore, Path]:
    directory = tmp_path_factory.mktemp("agents") / "keystore"
    create_keystore(directory, PASSWORD)
    return open_keystore(directory, PASSWORD), directory


@pytest.fixture
def home(unlocked: tuple[FileKeystore, Path]) -> Home:
    return Home(*unlocked)


def create(
    office: "Office", home: Home, name: str = "Bob", profile: Profile | None = None
) -> AgentRecord:
    return asyncio.run(
        create_agent(
            name,
            chain=ChainType.SOLANA,
            network=NetworkType.DEVNET,
            profile=profile,
            ip_address=None,
            ledger=office.ledger,
            keystore=home,
            clock=office.clock,
            generate_id=generate_id,
        )
    )


def crash_in_creation(office: "Office", home: Home) -> AgentRecord:
    """Lose the process in a creation; return the row that is left."""
    with pytest.raises(Crash):
        create(office, home)
    (agent,) = office.ledger.read(lambda tx: tx.agents.with_status(AgentStatus.CREATING))
    office.reopen()
    return agent


def crash(_agent_id: AgentId) -> None:
    raise Crash


def finish(office: "Office", home: Home) -> list[AgentRecord]:
    return finish_creations(ledger=office.ledger, keystore=home, clock=office.clock)


def events(office: "Office") -> list[tuple[str, str]]:
    return [(row.event_type, row.actor) for row in office.rows("audit_log")]


# ── making ─────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_is_active_when_its_key_is_on_disk(office: "Office", home: Home) -> None:
    agent = create(office, home)
    assert agent == office.ledger.read(lambda tx: tx.agents.get(agent.id))
    assert (agent.status, agent.created_at) == (AgentStatus.ACTIVE, NOW_S)
    assert home.file(agent.id).exists()
    assert home.holds(agent.id, public_key=agent.public_key)
    assert home.calls[:2] == ["generate", "store"]


def test_the_rules_of_its_profile_are_there_as_soon_as_it_is(office: "Office", home: Home) -> None:
    home.before_store = crash
    with pytest.raises(Crash):
        create(office, home, profile=read_profiles()[ProfileName.CAUTIOUS])
    (agent,) = office.ledger.read(lambda tx: tx.agents.with_status(AgentStatus.CREATING))
    kinds = [each.type for each in office.ledger.read(lambda tx: tx.policies.of(agent.id))]
    assert kinds == ["SPENDING_LIMIT", "RATE_LIMIT"]


def test_every_step_is_in_the_audit_log(office: "Office", home: Home) -> None:
    agent = create(office, home)
    assert events(office) == [("AGENT_CREATED", "operator"), ("AGENT_ACTIVATED", "system")]
    created, activated = office.rows("audit_log")
    assert (created.agent_id, activated.agent_id) == (agent.id, agent.id)
    assert json.loads(created.details) == {
        "name": "Bob",
        "chain": "solana",
        "network": "devnet",
        "address": agent.public_key,
        "profile": None,
    }


def test_the_row_with_its_address_is_durable_before_there_is_a_file(
    office: "Office", home: Home
) -> None:
    seen = []

    def look(agent_id: AgentId) -> None:
        (row,) = office.rows("agents")
        seen.append((row.id == agent_id, row.status, home.file(agent_id).exists()))

    home.before_store = look
    agent = create(office, home)
    assert seen == [(True, "CREATING", False)]
    assert office.rows("agents")[0].public_key == agent.public_key


def test_it_becomes_active_only_behind_the_file(office: "Office", home: Home) -> None:
    seen = []
    home.behind_store = lambda agent_id: seen.append(
        (office.rows("agents")[0].status, home.file(agent_id).exists())
    )
    create(office, home)
    assert seen == [("CREATING", True)]


def test_time_is_the_ledgers_and_never_goes_back(office: "Office", home: Home) -> None:
    office.clock.wall_s = NOW_S + 100
    create(office, home)
    office.clock.wall_s = NOW_S
    assert create(office, home, "later").created_at == NOW_S + 100
    assert [row.timestamp for row in office.rows("audit_log")] == [NOW_S + 100] * 4


def test_many_at_once_are_as_many_agents(office: "Office", home: Home) -> None:
    async def act() -> list[AgentRecord]:
        made = (
            create_agent(
                "same",
                chain=ChainType.SOLANA,
                network=NetworkType.LOCALNET,
                profile=None,
                ip_address=None,
                ledger=office.ledger,
                keystore=home,
                clock=office.clock,
                generate_id=generate_id,
            )
            for _ in range(20)
        )
        return await asyncio.gather(*made)

    agents = asyncio.run(act())
    assert len({agent.public_key for agent in agents}) == 20
    assert {agent.status for agent in agents} == {AgentStatus.ACTIVE}
    assert all(home.holds(agent.id, public_key=agent.public_key) for agent in agents)


def test_an_id_that_is_taken_is_refused_and_leaves_no_file(office: "Office", home: Home) -> None:
    agent = create(office, home)
    home.file(agent.id).unlink()
    with pytest.raises(ConstraintViolated):
        asyncio.run(
            create_agent(
                "twin",
                chain=ChainType.SOLANA,
                network=NetworkType.DEVNET,
                profile=None,
                ip_address=None,
                ledger=office.ledger,
                keystore=home,
                clock=office.clock,
                generate_id=lambda: agent.id,
            )
        )
    assert not home.file(agent.id).exists()
    assert len(office.rows("agents")) == 1


def test_a_disk_that_fails_leaves_an_agent_that_cannot_spend(office: "Office", home: Home) -> None:
    def fail(_: AgentId) -> None:
        raise OSError(28, "No space left on device")

    home.before_store = fail
    with pytest.raises(OSError, match="No space"):
        create(office, home)
    assert [row.status for row in office.rows("agents")] == ["CREATING"]
    (ended,) = finish(office, home)
    assert ended.status is AgentStatus.TERMINATED


# ── ending what a crash left ───────────────────────────────────────────────────────────────────


def test_after_a_crash_before_the_file_the_agent_is_terminated(
    office: "Office", home: Home
) -> None:
    home.before_store = crash
    agent = crash_in_creation(office, home)
    assert finish(office, home) == [agent._replace(status=AgentStatus.TERMINATED)]
    assert [row.status for row in office.rows("agents")] == ["TERMINATED"]
    assert events(office)[-1] == ("AGENT_TERMINATED", "system")


def test_after_a_crash_behind_the_file_the_agent_is_active_and_can_sign(
    office: "Office", home: Home, unlocked: tuple[FileKeystore, Path]
) -> None:
    home.behind_store = crash
    agent = crash_in_creation(office, home)
    restarted = Home(open_keystore(unlocked[1], PASSWORD), unlocked[1])
    assert finish(office, restarted) == [agent._replace(status=AgentStatus.ACTIVE)]
    assert [row.status for row in office.rows("agents")] == ["ACTIVE"]
    assert events(office)[-1] == ("AGENT_ACTIVATED", "system")
    assert len(restarted.sign(agent.id, b"payload")) == 64


@pytest.mark.parametrize("content", [b"", b"{}", b"not JSON"])
def test_a_file_that_was_cut_off_is_no_key(office: "Office", home: Home, content: bytes) -> None:
    def cut_off(agent_id: AgentId) -> None:
        home.file(agent_id).write_bytes(content)
        raise Crash

    home.behind_store = cut_off
    crash_in_creation(office, home)
    assert [agent.status for agent in finish(office, home)] == [AgentStatus.TERMINATED]


def test_the_key_of_another_agent_is_no_key(office: "Office", home: Home) -> None:
    other = create(office, home)

    def swap(agent_id: AgentId) -> None:
        home.file(agent_id).write_bytes(home.file(other.id).read_bytes())
        raise Crash

    home.behind_store = swap
    crash_in_creation(office, home)
    assert [agent.status for agent in finish(office, home)] == [AgentStatus.TERMINATED]


def test_only_what_is_half_made_is_ended_and_only_once(office: "Office", home: Home) -> None:
    create(office, home)
    home.before_store = crash
    crash_in_creation(office, home)
    assert len(finish(office, home)) == 1
    before = office.counts()
    assert finish(office, home) == []
    assert office.counts() == before


@pytest.mark.parametrize(
    "error", [KeystoreLocked(), KeystoreError("no permission", remedy="chmod"), OSError(5, "I/O")]
)
def test_a_key_that_cannot_be_read_now_terminates_nobody(
    office: "Office", home: Home, error: Exception
) -> None:
    home.behind_store = crash
    agent = crash_in_creation(office, home)

    class Unreadable(Home):
        def holds(self, agent_id: AgentId, *, public_key: str) -> bool:  # noqa: ARG002
            raise error

    with pytest.raises(type(error)):
        finish(office, Unreadable(home.keystore, home.directory))
    assert [row.status for row in office.rows("agents")] == ["CREATING"]
    # It can be read again: nothing was lost.
    assert finish(office, home) == [agent._replace(status=AgentStatus.ACTIVE)]


def test_whoever_ends_a_creation_second_is_told(office: "Office", home: Home) -> None:
    def somebody_else(_: AgentId) -> None:
        finish(office, home)

    home.behind_store = somebody_else
    with pytest.raises(LostRace):
        create(office, home)
    assert [row.status for row in office.rows("agents")] == ["ACTIVE"]
    assert [event for event, _ in events(office)] == ["AGENT_CREATED", "AGENT_ACTIVATED"]


# ── what is refused before there is a key ──────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [" ", "   ", "\u3000\u2003"])
def test_a_name_of_spaces_is_none(office: "Office", home: Home, name: str) -> None:
    with pytest.raises(Refusal) as refused:
        create(office, home, name)
    assert (refused.value.code, refused.value.details) == (
        ErrorCode.VALIDATION_FAILED,
        {"field": "name"},
    )
    assert home.calls == []


def test_while_the_kill_switch_is_on_no_key_is_made(office: "Office", home: Home) -> None:
    office.kill()
    with pytest.raises(Refusal) as refused:
        create(office, home)
    assert refused.value.code is ErrorCode.KILL_SWITCH_ACTIVE
    assert home.calls == []
    assert office.rows("audit_log")[-1].event_type == "OPERATION_REFUSED"
