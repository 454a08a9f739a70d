"""Each part of a stop, in a transaction that somebody else has begun, tells whether it did it."""

from typing import TYPE_CHECKING

from tests.fakes.events import BACKUP

from waiaas.pipeline.end import live_transactions
from waiaas.pipeline.restored import mark_restored
from waiaas.pipeline.stop import Stop, call_off, revoke_sessions, suspend

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

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
