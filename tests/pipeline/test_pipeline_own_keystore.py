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
from waiaas.domain.enums import AgentStatus, KeystoreProblem
from waiaas.domain.ids import AgentId
from waiaas.pipeline.own_keystore import (
    KnownKeystore,
    OtherKeystore,
    OwnKeystoreLost,
    forget_keystore,
    judge,
    keep_facts,
    know_keystore,
    known_keystore,
    require_no_agents,
    require_own,
)
from waiaas.ports import KeystoreFacts

FILE, NEXT, OTHER = ("1" * 64, "2" * 64, "3" * 64)
OWN = KnownKeystore("own", (FILE, NEXT))


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


# ── which it is ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("known", "identity", "file", "why"),
    [
        (OWN, "own", FILE, None),
        (OWN, "own", OTHER, None),
        (OWN, "another", FILE, KeystoreProblem.OTHER_KEYSTORE),
        (OWN, None, FILE, None),
        (OWN, None, NEXT, None),
        (OWN, None, OTHER, KeystoreProblem.OTHER_FILE),
        (None, "own", FILE, None),
        (None, None, FILE, KeystoreProblem.NOTHING_KNOWN),
    ],
)
def test_a_keystore_is_known_by_its_key_and_without_its_password_by_its_file(
    known: KnownKeystore | None, identity: str | None, file: str, why: KeystoreProblem | None
) -> None:
    assert judge(known, KeystoreFacts(identity, file)) is why


def know(ledger: MemoryLedger, known: KnownKeystore) -> None:
    ledger.write(lambda tx: know_keystore(tx, known, now_s=1))


def test_what_is_not_the_ledgers_own_is_refused_with_a_row(ledger: MemoryLedger) -> None:
    know(ledger, OWN)
    require_own(KeystoreFacts(None, FILE), operation="start", ledger=ledger, clock=FakeClock())
    assert rows(ledger) == []
    with pytest.raises(OtherKeystore, match="Find out who"):
        require_own(
            KeystoreFacts("another", FILE), operation="start", ledger=ledger, clock=FakeClock()
        )
    details = {"operation": "start", "problem": "OTHER_KEYSTORE"}
    assert rows(ledger) == [("OPERATION_REFUSED", "operator", details)]
    assert ledger.read(known_keystore) == OWN


def test_what_was_opened_is_known_from_then_on_and_a_file_that_nobody_knew_leaves_a_row(
    ledger: MemoryLedger,
) -> None:
    assert ledger.read(known_keystore) is None
    told = []
    for file in (FILE, FILE, OTHER):
        keep_facts(KeystoreFacts("own", file), ledger=ledger, clock=FakeClock())
        assert ledger.read(known_keystore) == KnownKeystore("own", (file,))
        told.append(len(rows(ledger)))
    assert told == [1, 1, 2]
    assert rows(ledger)[-1] == (
        *("KEY_ROTATED", "system"),
        {"reason": "found", "stage": "done", "keystoreSha256": OTHER},
    )
    ledger.write(lambda tx: forget_keystore(tx, now_s=1))
    assert ledger.read(known_keystore) is None


def test_a_replacement_that_was_cut_off_is_over_once_one_of_the_files_was_opened(
    ledger: MemoryLedger,
) -> None:
    know(ledger, OWN)
    keep_facts(KeystoreFacts("own", NEXT), ledger=ledger, clock=FakeClock())
    assert ledger.read(known_keystore) == KnownKeystore("own", (NEXT,))
    assert rows(ledger) == []


@pytest.mark.parametrize("stored", ["{", "7", '["own"]', '["own", 7]', "null"])
def test_where_the_ledger_does_not_say_it_rightly_no_keystore_is_its_own(
    ledger: MemoryLedger, stored: str
) -> None:
    ledger.write(lambda tx: tx.key_values.put("keystore.own", stored, now_s=1))
    known = ledger.read(known_keystore)
    for facts in (KeystoreFacts("own", FILE), KeystoreFacts(None, FILE)):
        assert judge(known, facts) is not None
