"""Which keystore is a ledger's own, and what is refused because it is not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from tests.fakes.agents import insert_agent
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import MemoryLedger

from waiaas.database import audit_log, generate_id
from waiaas.domain.enums import AgentStatus
from waiaas.domain.ids import AgentId
from waiaas.pipeline.own_keystore import OwnKeystoreLost, require_no_agents


@pytest.fixture
def ledger() -> Iterator[MemoryLedger]:
    with MemoryLedger() as opened:
        yield opened


def add_agent(ledger: MemoryLedger) -> AgentId:
    agent_id = AgentId(generate_id())
    ledger.write(
        lambda tx: insert_agent(tx, agent_id, address=agent_id, limits=(), generate_id=generate_id)
    )
    return agent_id


def rows(ledger: MemoryLedger) -> list[tuple[str, str, Any]]:
    found = ledger.connection.db.execute(select(audit_log).order_by(audit_log.c.id))
    return [(row.event_type, row.actor, json.loads(row.details)) for row in found]


def test_a_new_keystore_may_be_made_where_there_never_was_an_agent(ledger: MemoryLedger) -> None:
    require_no_agents(ledger, FakeClock())
    assert rows(ledger) == []


def test_a_new_keystore_is_refused_where_there_is_or_was_an_agent(ledger: MemoryLedger) -> None:
    agent_id = add_agent(ledger)
    ledger.write(
        lambda tx: tx.agents.compare_and_set_status(
            agent_id, old=AgentStatus.ACTIVE, new=AgentStatus.TERMINATED, now_s=1
        )
    )
    with pytest.raises(OwnKeystoreLost, match=r"has 1 agent, .*waiaas backup restore"):
        require_no_agents(ledger, FakeClock())
    details = {"operation": "init", "problem": "AGENTS_WITHOUT_KEYSTORE"}
    assert rows(ledger) == [("OPERATION_REFUSED", "operator", details)]
