"""Comparing a restored ledger over HTTP: what is found is shown, and a person has to accept it."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.fakes.chain import LOCALNET, FakeChain
from tests.fakes.events import BACKUP

from waiaas.database import agents
from waiaas.domain.ids import AgentId
from waiaas.domain.request import Transfer
from waiaas.pipeline.restored import mark_restored
from waiaas.ports import Payload

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired

NOW_S: Final = 1_700_000_000
COOKIE: Final = "wai_op_" + "C" * 43
RECIPIENT: Final = "So11111111111111111111111111111111111111112"
NOBODY: Final = "01990000-0000-7000-8000-00000000abcd"
OLD_BLOCKS: Final = 150 + 32
"""After so many, nothing that was signed before can land, finally."""


@pytest.fixture
def chain(desk: "Desk", hired: "Hired") -> FakeChain:
    """The network of a restored desk; the agent has paid 300, of which the ledger knows nothing."""
    fake = FakeChain()
    fake.fund(hired.address, base_units=10**9)

    async def pay() -> None:
        payload = await fake.build(
            Transfer(RECIPIENT, 300), from_address=hired.address, unit_price=1
        )
        assert isinstance(payload, Payload)
        signature = desk.keystore.sign(AgentId(hired.id), payload.message)
        signed = fake.assemble(payload.message, signature=signature, from_address=hired.address)
        assert await fake.send(signed.raw)

    asyncio.run(pay())
    fake.pass_blocks(40)
    desk.rebuild(chains={LOCALNET: fake})
    desk.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))
    return fake


def reconcile(desk: "Desk", operator: str, **body: Any) -> "Answer":
    return desk.ask("POST", "/v1/admin/reconcile", body, token=operator)


def is_marked(desk: "Desk") -> bool:
    return desk.ask("GET", "/v1/admin/status", token=COOKIE).json["restoredAt"] is not None


def test_what_is_found_is_shown_until_it_is_accepted(
    desk: "Desk", operator: str, hired: "Hired", chain: FakeChain
) -> None:
    found = reconcile(desk, operator, accept=1).json
    assert (found["reconciled"], found["movementCount"], found["unread"]) == (False, 1, [])
    assert found["blocksLeft"] > 0, "something older may still land"
    [movement] = found["movements"]
    assert {name: movement[name] for name in ("agentId", "asset", "amount")} == {
        "agentId": hired.id,
        "asset": "native",
        "amount": "300",
    }
    chain.pass_blocks(OLD_BLOCKS)
    for accepted in ({}, {"accept": 0}, {"accept": 2}):
        again = reconcile(desk, operator, **accepted).json
        assert (again["reconciled"], again["movements"]) == (False, [movement])
        assert is_marked(desk)
    body = {"to": RECIPIENT, "amount": "1"}
    waits = desk.ask("POST", "/v1/transactions/send", body, token=hired.token)
    assert (waits.status, waits.code) == (503, "LEDGER_RESTORED")
    done = reconcile(desk, operator, accept=1).json
    assert (done["reconciled"], done["sessionsRevoked"]) == (True, 1)
    assert done["movements"] == [movement]
    assert not is_marked(desk)
    ended = desk.ask("POST", "/v1/transactions/send", body, token=hired.token)
    assert ended.code == "SESSION_REVOKED"
    names = [row.event_type for row in desk.rows("audit_log")]
    assert [names.count(name) for name in ("FOREIGN_MOVEMENT_FOUND", "LEDGER_RECONCILED")] == [1, 1]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"withoutAgents": [NOBODY]}, (404, "AGENT_NOT_FOUND")),
        ({"withoutAgents": ["nobody"]}, (404, "AGENT_NOT_FOUND")),
        ({"accept": -1}, (400, "VALIDATION_FAILED")),
        ({"accept": "1"}, (400, "VALIDATION_FAILED")),
        ({"accepted": 1}, (400, "VALIDATION_FAILED")),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    desk: "Desk", operator: str, chain: FakeChain, body: dict[str, Any], refused: tuple[int, str]
) -> None:
    chain.pass_blocks(OLD_BLOCKS)
    before = desk.content()
    answer = reconcile(desk, operator, **body)
    assert (answer.status, answer.code) == refused
    assert desk.refusals_since(before) == [answer.code]
    assert is_marked(desk)


def test_an_agent_that_is_half_made_is_not_left_out(
    desk: "Desk", operator: str, hired: "Hired", chain: FakeChain
) -> None:
    chain.pass_blocks(OLD_BLOCKS)
    desk.execute(agents.update().values(status="CREATING"))
    before = desk.content()
    answer = reconcile(desk, operator, accept=1, withoutAgents=[hired.id])
    assert (answer.status, answer.code) == (409, "AGENT_NOT_ACTIVE")
    assert desk.refusals_since(before) == [answer.code]


def test_a_stranger_or_the_cookie_compares_nothing(desk: "Desk", chain: FakeChain) -> None:
    chain.pass_blocks(OLD_BLOCKS)
    for token in (None, COOKIE):
        answer = desk.ask("POST", "/v1/admin/reconcile", {"accept": 1}, token=token)
        assert answer.code == "INVALID_TOKEN"
    assert is_marked(desk)
    assert "FOREIGN_MOVEMENT_FOUND" not in {row.event_type for row in desk.rows("audit_log")}


def test_whose_history_no_node_tells_is_named_and_can_only_be_left_out(
    desk: "Desk", operator: str, hired: "Hired", chain: FakeChain
) -> None:
    chain.pass_blocks(OLD_BLOCKS)
    desk.rebuild(chains={})
    told = reconcile(desk, operator, accept=0).json
    assert (told["reconciled"], [each["agentId"] for each in told["unread"]]) == (
        False,
        [hired.id],
    )
    assert "--without-agent" in told["unread"][0]["reason"]
    assert is_marked(desk)
    left_out = {"accept": 0, "withoutAgents": [hired.id]}
    assert reconcile(desk, operator, **left_out).code == "AGENT_HAS_MONEY"
    assert reconcile(desk, operator, **left_out, force=True).json["reconciled"]
    assert [row.status for row in desk.rows("agents")] == ["TERMINATED"]
