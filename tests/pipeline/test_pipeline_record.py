"""Writing down: ledger time never goes back, and a status changes by the table or not at all."""

import json
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import pytest
from tests.fakes.events import details_of
from tests.fakes.payments import payment_row

from waiaas.database import generate_id, transactions
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import (
    AuditAction,
    TransactionStatus,
)
from waiaas.domain.ids import TransactionId
from waiaas.domain.records import TransactionRecord
from waiaas.domain.transaction import AUDIT_ACTIONS, TRANSITIONS, IllegalTransition
from waiaas.pipeline.record import LostRace, ledger_time, move, remember
from waiaas.ports import LedgerTransaction

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
LEGAL = [(old, new) for old, news in TRANSITIONS.items() for new in sorted(news)]
ILLEGAL = [pair for pair in product(TransactionStatus, TransactionStatus) if pair not in LEGAL]


@pytest.fixture
def stored(office: "Office") -> TransactionRecord:
    caller = office.hire()
    transaction = payment_row(
        TransactionId(generate_id()), caller.agent_id, session_id=caller.session_id
    )
    office.ledger.write(lambda tx: tx.transactions.insert(transaction))
    return transaction


def put(office: "Office", stored: TransactionRecord, status: TransactionStatus) -> None:
    """Store a status past the state machine."""
    office.execute(
        transactions.update().where(transactions.c.id == stored.id).values(status=status)
    )


def execute(tx: LedgerTransaction, stored: TransactionRecord) -> None:
    details = {"payloadSha256": "0" * 64, "rent": "0"}
    move(tx, stored, TransactionStatus.EXECUTING, now_s=1, details=details)


# ── ledger time ────────────────────────────────────────────────────────────────────────────────


def act(office: "Office", wall_s: int) -> int:
    """Do something at *wall_s* by the wall clock; return the time that is recorded."""

    def unit(tx: LedgerTransaction) -> int:
        now_s = ledger_time(tx, wall_s=wall_s)
        tx.audit.append(AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM), now_s=now_s)
        return now_s

    return office.ledger.write(unit)


@pytest.mark.parametrize(
    ("wall", "recorded"),
    [
        ([100, 101, 101, 107], [100, 101, 101, 107]),
        ([100, 99, 100, 101], [100, 100, 100, 101]),
        ([100_000, 100_000 - 25 * 3600, 99_999, 100_001], [100_000, 100_000, 100_000, 100_001]),
        ([5, 0, -5, 6], [5, 5, 5, 6]),
        ([0, -1], [0, 0]),
    ],
)
def test_ledger_time_never_goes_back(
    wall: list[int], recorded: list[int], office: "Office"
) -> None:
    assert [act(office, wall_s) for wall_s in wall] == recorded


def test_ledger_time_survives_a_restart(office: "Office") -> None:
    act(office, 5000)
    office.reopen()
    assert act(office, 400) == 5000


def test_ledger_time_is_read_in_the_transaction_that_uses_it(office: "Office") -> None:
    def unit(tx: LedgerTransaction) -> int:
        tx.audit.append(AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM), now_s=900)
        return ledger_time(tx, wall_s=800)

    assert office.ledger.write(unit) == 900


# ── moves ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("old", "new"), LEGAL)
def test_a_legal_move_changes_the_status_and_writes_one_audit_row(
    old: TransactionStatus, new: TransactionStatus, office: "Office", stored: TransactionRecord
) -> None:
    put(office, stored, old)
    whole = details_of(AUDIT_ACTIONS[new]) | {"from": old, "to": new}
    details = {name: value for name, value in whole.items() if name not in {"from", "to"}}
    office.ledger.write(
        lambda tx: move(
            tx, stored._replace(status=old), new, now_s=77, actor="operator", details=details
        )
    )
    assert office.transaction(stored.id) == stored._replace(status=new)
    (row,) = office.rows("audit_log")
    assert (row.timestamp, row.event_type, row.actor) == (77, AUDIT_ACTIONS[new], "operator")
    assert (row.tx_id, row.agent_id, row.session_id) == stored[:1] + stored[1:3]
    assert json.loads(row.details) == whole


@pytest.mark.parametrize(("old", "new"), ILLEGAL)
def test_an_illegal_move_raises_and_changes_nothing(
    old: TransactionStatus, new: TransactionStatus, office: "Office", stored: TransactionRecord
) -> None:
    put(office, stored, old)

    def unit(tx: LedgerTransaction) -> None:
        with pytest.raises(IllegalTransition):  # caught: the unit is committed all the same
            move(tx, stored._replace(status=old), new, now_s=77)

    office.ledger.write(unit)
    assert office.transaction(stored.id).status is old
    assert office.rows("audit_log") == []


@pytest.mark.parametrize(
    ("read", "new"), [pair for pair in LEGAL if pair[0] is not TransactionStatus.PENDING]
)
def test_a_move_from_a_state_that_is_no_more_loses_the_race_and_changes_nothing(
    read: TransactionStatus, new: TransactionStatus, office: "Office", stored: TransactionRecord
) -> None:
    def unit(tx: LedgerTransaction) -> None:
        with pytest.raises(LostRace):
            move(tx, stored._replace(status=read), new, now_s=77)

    office.ledger.write(unit)
    assert office.transaction(stored.id) == stored
    assert office.rows("audit_log") == []


def test_a_move_of_a_transaction_that_is_not_there_loses_the_race(
    office: "Office", stored: TransactionRecord
) -> None:
    stranger = stored._replace(id=TransactionId(generate_id()))
    with pytest.raises(LostRace):
        office.ledger.write(lambda tx: move(tx, stranger, TransactionStatus.EXECUTING, now_s=77))
    assert office.transaction(stored.id) == stored


def test_of_two_moves_from_the_same_state_the_first_wins(
    office: "Office", stored: TransactionRecord
) -> None:
    cancelled = TransactionStatus.CANCELLED
    office.ledger.write(partial(execute, stored=stored))
    with pytest.raises(LostRace, match="PENDING"):
        office.ledger.write(lambda tx: move(tx, stored, cancelled, now_s=2))
    assert office.transaction(stored.id).status is TransactionStatus.EXECUTING
    assert office.audit_of(stored.id) == [AuditAction.TX_PAYLOAD_RECORDED]


def test_a_move_that_is_undone_leaves_no_audit_row(
    office: "Office", stored: TransactionRecord
) -> None:
    def unit(tx: LedgerTransaction) -> None:
        execute(tx, stored)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        office.ledger.write(unit)
    assert office.transaction(stored.id) == stored
    assert office.rows("audit_log") == []


# ── what the owner is told ─────────────────────────────────────────────────────────────────────


def test_the_owner_is_told_of_a_payment_by_its_tier(office: "Office") -> None:
    caller = office.hire(limits={"instant_max": 1, "notify_max": 3, "daily_max": 100})
    for amount in (1, 2, 9, 200):
        office.ask_now(caller, amount)
    ids = [row.id for row in office.rows("transactions")]
    told = [(row.event_type, ids.index(row.tx_id)) for row in office.rows("outbox")]
    assert told == [("TX_REQUESTED", 1), ("TX_QUEUED", 2), ("POLICY_VIOLATION", 3)]


def test_nothing_is_told_of_what_did_not_happen(office: "Office") -> None:
    def fail(tx: LedgerTransaction) -> None:
        remember(
            tx,
            AuditEvent(
                AuditAction.KILL_SWITCH_RECOVERED, "system", details={"recoverableAt": None}
            ),
            now_s=NOW_S,
        )
        raise LostRace("too late")

    with pytest.raises(LostRace):
        office.ledger.write(fail)
    assert (office.rows("outbox"), office.rows("audit_log")) == ([], [])
