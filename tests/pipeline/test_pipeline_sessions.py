"""Issuing a session: once, to an agent that may have it, and never its token in the ledger."""

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from waiaas.database import generate_id, sessions
from waiaas.domain.access import SESSION_ABSOLUTE_S, SESSIONS_PER_AGENT_DEFAULT
from waiaas.domain.enums import AgentStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.records import SessionRecord
from waiaas.pipeline.sessions import IssuedSession, SessionRules, hash_token, issue_session
from waiaas.system import generate_secret

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
TTL_S = 300


HERE = "waiaas:solana-localnet"
ELSEWHERE = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


async def issue(
    office: "Office",
    agent_id: AgentId,
    *,
    ttl_s: int | None = TTL_S,
    constraints: str | None = None,
    rules: SessionRules | None = None,
) -> IssuedSession:
    return await issue_session(
        agent_id,
        ttl_s=ttl_s,
        constraints=constraints,
        ip_address=None,
        rules=rules or SessionRules(),
        ledger=office.ledger,
        clock=office.clock,
        generate_id=generate_id,
        generate_secret=generate_secret,
    )


def by_hash(office: "Office", token_hash: str) -> SessionRecord | None:
    return office.ledger.read(lambda tx: tx.sessions.by_token_hash(token_hash))


def refused(office: "Office", agent_id: AgentId) -> ErrorCode:
    before = office.counts()
    with pytest.raises(Refusal) as refusal:
        asyncio.run(issue(office, agent_id))
    assert office.counts() == before
    return refusal.value.code


@pytest.fixture
def agent_id(office: "Office") -> AgentId:
    """Return an agent without a session."""
    caller = office.hire()
    office.execute(sessions.delete())
    return caller.agent_id


def test_what_is_stored_is_found_by_the_hash_and_nothing_else(
    office: "Office", agent_id: AgentId
) -> None:
    issued = asyncio.run(issue(office, agent_id))
    assert issued.token.startswith("wai_sess_")
    assert len(issued.token) == len("wai_sess_") + 43
    token_hash = hashlib.sha256(issued.token.encode()).hexdigest()
    assert token_hash == hash_token(issued.token) == issued.session.token_hash
    found = by_hash(office, token_hash)
    assert found == issued.session
    assert (found.agent_id, found.revoked_at, found.created_at) == (agent_id, None, NOW_S)
    assert found.expires_at == NOW_S + TTL_S
    assert found.absolute_expires_at == NOW_S + SESSION_ABSOLUTE_S
    for wrong in (issued.token, token_hash.upper(), token_hash[:-1], "", "%"):
        assert by_hash(office, wrong) is None


def test_the_audit_log_has_the_session_and_not_the_token(
    office: "Office", agent_id: AgentId
) -> None:
    issued = asyncio.run(issue(office, agent_id))
    (row,) = office.rows("audit_log")
    assert (row.event_type, row.actor) == ("SESSION_ISSUED", "operator")
    assert (row.agent_id, row.session_id) == (agent_id, issued.session.id)
    everything = str([office.rows(table) for table in office.counts()]) + repr(issued)
    assert issued.token not in everything
    assert issued.token.removeprefix("wai_sess_") not in everything
    assert issued.session.id in repr(issued)


@pytest.mark.parametrize("agent_id", ["", "x", "\0", "é", "01990000-0000-7000-8000-00000000abcd"])
def test_there_is_no_session_for_an_agent_that_is_not(office: "Office", agent_id: str) -> None:
    assert refused(office, AgentId(agent_id)) is ErrorCode.AGENT_NOT_FOUND


@pytest.mark.parametrize("status", [status for status in AgentStatus if status != "ACTIVE"])
def test_there_is_no_session_for_an_agent_that_is_not_active(
    office: "Office", status: AgentStatus
) -> None:
    caller = office.hire(status=status)
    assert refused(office, caller.agent_id) is ErrorCode.AGENT_NOT_ACTIVE


def test_of_fifty_at_once_as_many_are_issued_as_an_agent_may_have(
    office: "Office", agent_id: AgentId
) -> None:
    async def act() -> list[IssuedSession | BaseException]:
        asked = (issue(office, agent_id) for _ in range(50))
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = asyncio.run(act())
    issued = [outcome for outcome in outcomes if isinstance(outcome, IssuedSession)]
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)}
    assert len(issued) == len(office.rows("sessions")) == SESSIONS_PER_AGENT_DEFAULT
    assert codes == {ErrorCode.SESSION_LIMIT_EXCEEDED}
    assert len({session.token for session in issued}) == SESSIONS_PER_AGENT_DEFAULT


def test_what_has_expired_or_was_revoked_takes_no_place(
    office: "Office", agent_id: AgentId
) -> None:
    for _ in range(SESSIONS_PER_AGENT_DEFAULT):
        asyncio.run(issue(office, agent_id))
    office.clock.wall_s += TTL_S - 1
    assert refused(office, agent_id) is ErrorCode.SESSION_LIMIT_EXCEEDED
    office.clock.wall_s += 1
    for _ in range(SESSIONS_PER_AGENT_DEFAULT):
        asyncio.run(issue(office, agent_id))
    assert refused(office, agent_id) is ErrorCode.SESSION_LIMIT_EXCEEDED
    office.execute(sessions.update().values(revoked_at=NOW_S))
    assert asyncio.run(issue(office, agent_id)).session.agent_id == agent_id


def test_where_nobody_says_otherwise_a_session_lives_as_long_as_the_rules_say(
    office: "Office", agent_id: AgentId
) -> None:
    rules = SessionRules(ttl_s=400)
    assert asyncio.run(issue(office, agent_id, rules=rules)).session.expires_at == NOW_S + TTL_S
    told = asyncio.run(issue(office, agent_id, ttl_s=None, rules=rules))
    assert told.session.expires_at == NOW_S + 400


def test_an_agent_has_as_many_sessions_as_the_rules_allow_now(
    office: "Office", agent_id: AgentId
) -> None:
    for _ in range(3):
        asyncio.run(issue(office, agent_id, rules=SessionRules(live_max=3)))
    for fewer in (3, 1):
        with pytest.raises(Refusal, match=f"may have {fewer} live sessions") as refusal:
            asyncio.run(issue(office, agent_id, rules=SessionRules(live_max=fewer)))
        assert refusal.value.code is ErrorCode.SESSION_LIMIT_EXCEEDED
    asyncio.run(issue(office, agent_id, rules=SessionRules(live_max=4)))
    assert len(office.rows("sessions")) == 4


def test_the_places_of_one_agent_are_not_those_of_another(
    office: "Office", agent_id: AgentId
) -> None:
    for _ in range(SESSIONS_PER_AGENT_DEFAULT):
        asyncio.run(issue(office, agent_id))
    other = office.hire().agent_id
    assert asyncio.run(issue(office, other)).session.agent_id == other


def test_a_clock_that_is_set_back_makes_no_session_longer_and_no_place_free(
    office: "Office", agent_id: AgentId
) -> None:
    for _ in range(SESSIONS_PER_AGENT_DEFAULT - 1):
        asyncio.run(issue(office, agent_id))
    office.clock.wall_s -= 10**6
    issued = asyncio.run(issue(office, agent_id))
    assert (issued.session.created_at, issued.session.expires_at) == (NOW_S, NOW_S + TTL_S)
    assert refused(office, agent_id) is ErrorCode.SESSION_LIMIT_EXCEEDED


def test_constraints_are_kept_with_the_session_and_told_in_the_log(office: "Office") -> None:
    text = '{"maxTransactions": 3}'
    issued = asyncio.run(issue(office, office.hire().agent_id, constraints=text))
    assert issued.session.constraints == text
    assert by_hash(office, issued.session.token_hash) == issued.session
    assert json.loads(office.rows("audit_log")[-1].details)["constraints"] == text


def test_a_token_in_either_spelling_is_kept_by_its_address(office: "Office") -> None:
    text = f'{{"maxTransactions": 3, "allowedTokens": ["{HERE}/token:{TOKEN}"]}}'
    issued = asyncio.run(issue(office, office.hire().agent_id, constraints=text))
    stored = {"maxTransactions": 3, "allowedTokens": [TOKEN]}
    assert json.loads(str(issued.session.constraints)) == stored
    told = json.loads(office.rows("audit_log")[-1].details)["constraints"]
    assert told == issued.session.constraints


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[]", "constraints"),
        ('{"x": 1}', "constraints.x"),
        ('{"maxTransactions": 0}', "constraints.maxTransactions"),
        (f'{{"allowedTokens": ["{ELSEWHERE}/token:{TOKEN}"]}}', "constraints.allowedTokens"),
        (f'{{"allowedTokens": ["{HERE}/slip44:501"]}}', "constraints.allowedTokens[0]"),
        (
            f'{{"allowedTokens": ["{TOKEN}", "{HERE}/token:{TOKEN}"]}}',
            "constraints.allowedTokens[1]",
        ),
        (f'{{"x": 1, "allowedTokens": ["{HERE}/token:{TOKEN}"]}}', "constraints.x"),
    ],
)
def test_constraints_that_nobody_could_keep_are_refused_and_no_session_is_made(
    office: "Office", text: str, field: str
) -> None:
    agent_id = office.hire().agent_id
    before = office.counts()
    with pytest.raises(Refusal) as refusal:
        asyncio.run(issue(office, agent_id, constraints=text))
    assert (refusal.value.code, refusal.value.details) == (
        ErrorCode.VALIDATION_FAILED,
        {"field": field},
    )
    assert office.counts() == before
