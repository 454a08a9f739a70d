"""Sessions: a token is shown once and never stored, and an agent has five at most."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waiaas.database import agents, generate_id
from waiaas.domain.access import SESSION_ABSOLUTE_S, SESSIONS_PER_AGENT_MAX
from waiaas.domain.enums import AgentStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.sessions import IssuedSession, hash_token, issue_session
from waiaas.system import generate_secret

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
TTL_S = 3600


async def issue(office: "Office", agent_id: AgentId, *, ttl_s: int = TTL_S) -> IssuedSession:
    return await issue_session(
        agent_id,
        ttl_s=ttl_s,
        ledger=office.ledger,
        clock=office.clock,
        generate_id=generate_id,
        generate_secret=generate_secret,
    )


@pytest.fixture
def agent_id(office: "Office") -> AgentId:
    """An agent without a session."""
    caller = office.hire(revoked_at=1)
    return caller.agent_id


def test_a_session_is_stored_by_the_hash_of_its_token(office: "Office", agent_id: AgentId) -> None:
    issued = asyncio.run(issue(office, agent_id))
    session = issued.session
    assert session.token_hash == hashlib.sha256(issued.token.encode()).hexdigest()
    assert office.ledger.read(lambda tx: tx.sessions.by_token_hash(hash_token(issued.token)))
    assert (session.created_at, session.expires_at) == (NOW_S, NOW_S + TTL_S)
    assert session.absolute_expires_at == NOW_S + SESSION_ABSOLUTE_S
    assert session == office.ledger.read(lambda tx: tx.sessions.get(session.id))
    (row,) = office.rows("audit_log")
    assert (row.event_type, row.actor, row.session_id) == ("SESSION_ISSUED", "operator", session.id)
    assert json.loads(row.details) == {"expiresAt": session.expires_at}
    caller = Caller(agent_id, session.id, None)
    assert office.ask_now(caller).refusal is None


def test_a_token_is_256_random_bits_and_is_written_nowhere(
    office: "Office", agent_id: AgentId, tmp_path: Path
) -> None:
    tokens = [asyncio.run(issue(office, agent_id)).token for _ in range(3)]
    assert len(set(tokens)) == 3
    for token in tokens:
        assert token.startswith("wai_sess_")
        assert len(token.removeprefix("wai_sess_")) == 43
    office.ledger.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(token.encode()[9:] in stored for token in tokens)
    assert hash_token(tokens[0]).encode() in stored


def test_an_issued_session_does_not_show_its_token(office: "Office", agent_id: AgentId) -> None:
    issued = asyncio.run(issue(office, agent_id))
    assert issued.token not in f"{issued!r} {issued}"


def test_an_agent_has_five_live_sessions_at_most_however_fast_one_asks(
    office: "Office", agent_id: AgentId
) -> None:
    async def many() -> list[IssuedSession | BaseException]:
        return await asyncio.gather(
            *(issue(office, agent_id) for _ in range(20)), return_exceptions=True
        )

    outcomes = asyncio.run(many())
    issued = [each for each in outcomes if isinstance(each, IssuedSession)]
    refused = [each for each in outcomes if isinstance(each, Refusal)]
    assert (len(issued), len(refused)) == (SESSIONS_PER_AGENT_MAX, 20 - SESSIONS_PER_AGENT_MAX)
    assert {each.code for each in refused} == {ErrorCode.SESSION_LIMIT_EXCEEDED}
    assert len(office.rows("audit_log")) == SESSIONS_PER_AGENT_MAX


def test_a_session_that_expired_makes_room(office: "Office", agent_id: AgentId) -> None:
    for _ in range(SESSIONS_PER_AGENT_MAX):
        asyncio.run(issue(office, agent_id))
    office.clock.wall_s += TTL_S - 1
    with pytest.raises(Refusal):
        asyncio.run(issue(office, agent_id))
    office.clock.wall_s += 1
    asyncio.run(issue(office, agent_id))


def test_a_clock_set_back_does_not_make_a_session_live_longer(
    office: "Office", agent_id: AgentId
) -> None:
    asyncio.run(issue(office, agent_id))
    office.clock.wall_s -= 86_400
    assert asyncio.run(issue(office, agent_id)).session.created_at == NOW_S


@pytest.mark.parametrize("status", [each for each in AgentStatus if each != AgentStatus.ACTIVE])
def test_an_agent_that_is_not_active_gets_no_session(
    status: AgentStatus, office: "Office", agent_id: AgentId
) -> None:
    office.execute(agents.update().values(status=status))
    before = office.counts()
    with pytest.raises(Refusal) as refusal:
        asyncio.run(issue(office, agent_id))
    assert refusal.value.code is ErrorCode.AGENT_NOT_ACTIVE
    assert office.counts() == before


def test_an_agent_that_does_not_exist_gets_no_session(office: "Office") -> None:
    with pytest.raises(Refusal) as refusal:
        asyncio.run(issue(office, AgentId(generate_id())))
    assert refusal.value.code is ErrorCode.AGENT_NOT_FOUND
    assert office.rows("sessions") == []
