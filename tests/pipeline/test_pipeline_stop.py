"""Each part of a stop, in a transaction that somebody else has begun, tells whether it did it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.events import BACKUP
from tests.fakes.reports import unexpected

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.request import Batch, Transfer
from waiaas.pipeline.agent_life import AgentVerbs
from waiaas.pipeline.end import live_transactions
from waiaas.pipeline.restored import mark_restored
from waiaas.pipeline.sessions import revoke_session
from waiaas.pipeline.stop import Stop, call_off, revoke_sessions, suspend

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

    from waiaas.pipeline.admit import Caller

NOW_S = 1_700_000_000
STOP = Stop(NOW_S, "TX_CANCELLED: a test", "127.0.0.1")


def test_each_part_is_done_once(office: "Office") -> None:
    caller = office.hire()
    agent_id = caller.agent_id
    office.admit_session(agent_id)
    office.admit_session(agent_id, revoked_at=NOW_S - 1)
    office.ask_now(caller)
    write = office.ledger.write
    assert write(lambda tx: revoke_sessions(tx, agent_id, STOP)) == 2
    assert write(lambda tx: call_off(tx, live_transactions(tx, agent_id), STOP)) == 1
    assert write(lambda tx: suspend(tx, agent_id, reason="why", stop=STOP))
    before = office.counts()
    assert write(lambda tx: revoke_sessions(tx, agent_id, STOP)) == 0
    assert write(lambda tx: call_off(tx, live_transactions(tx, agent_id), STOP)) == 0
    assert not write(lambda tx: suspend(tx, agent_id, reason="why", stop=STOP))
    assert office.counts() == before
    rows = [row for row in office.rows("audit_log") if row.event_type != "TX_CANCELLED"]
    assert {row.ip_address for row in rows} == {"127.0.0.1"}


def test_in_a_restored_ledger_nothing_is_called_off(office: "Office") -> None:
    caller = office.hire()
    office.ask_now(caller)
    office.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))
    assert (
        office.ledger.write(lambda tx: call_off(tx, live_transactions(tx, caller.agent_id), STOP))
        == 0
    )


def _verbs(office: "Office") -> AgentVerbs:
    return AgentVerbs(office.ledger, office.clock, None, unexpected)


async def _revoke(office: "Office", caller: "Caller") -> None:
    await revoke_session(
        caller.session_id,
        ip_address=None,
        ledger=office.ledger,
        clock=office.clock,
        report=unexpected,
    )


async def _kill(office: "Office", _caller: "Caller") -> None:
    done = office.kill()
    assert (done.transactions_cancelled, done.transactions_under_way) == (1, 0)


@pytest.mark.parametrize(
    "stop",
    [
        _kill,
        _revoke,
        lambda office, caller: _verbs(office).suspend(caller.agent_id, reason=None),
        lambda office, caller: _verbs(office).terminate(caller.agent_id),
    ],
    ids=["kill switch", "revoke", "suspend", "terminate"],
)
def test_whatever_stops_calls_a_batch_off_whole_and_once(
    stop: Callable[["Office", "Caller"], Any], office: "Office"
) -> None:
    """Its parts have rows, and no money set aside: they follow the batch."""
    caller = office.hire()
    to = "So11111111111111111111111111111111111111112"
    ask = office.ask_for(caller, Batch((Transfer(to, 1), Transfer(to, 2))))
    batch = asyncio.run(ask).transaction
    asyncio.run(stop(office, caller))
    parts = office.ledger.read(lambda tx: tx.transactions.parts(batch.id))
    statuses = {office.transaction(batch.id).status, *(each.status for each in parts)}
    assert statuses == {TransactionStatus.CANCELLED}
    cancelled = [row for row in office.rows("audit_log") if row.event_type == "TX_CANCELLED"]
    assert [row.tx_id for row in cancelled] == [batch.id]
