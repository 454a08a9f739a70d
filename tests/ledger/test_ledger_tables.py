"""The table families through the ledger: compare-and-set, the audit log, and who may write."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from tests.fakes.events import unchecked
from tests.fakes.payments import payment_row

from waiaas.database import Ledger, generate_id
from waiaas.database.errors import ConstraintViolated, ReadOnlyDatabase
from waiaas.database.integrity import CheckKind, check_integrity
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    ChainType,
    KillSwitchState,
    NetworkType,
    NotificationEventType,
    PolicyTier,
    PolicyType,
    TransactionStatus,
)
from waiaas.domain.ids import AgentId, AttemptId, PolicyId, SessionId, TransactionId
from waiaas.domain.notification import Notification
from waiaas.domain.owner import NO_OWNER, Challenge, Owner, OwnerAction
from waiaas.domain.records import (
    AcceptedRequest,
    AgentRecord,
    ApprovalRecord,
    AttemptRecord,
    DecisionRecord,
    ForeignMovement,
    Held,
    KillSwitch,
    PolicyRecord,
    SessionRecord,
    Sums,
)
from waiaas.domain.transaction import AttemptState, ReservationState
from waiaas.ports import LedgerTransaction

AGENT_ID: Final = AgentId(generate_id())
SESSION_ID: Final = SessionId(generate_id())
TX_ID: Final = TransactionId(generate_id())
OTHER_TX_ID: Final = TransactionId(generate_id())
POLICY_ID: Final = PolicyId(generate_id())

AGENT: Final = AgentRecord(
    id=AGENT_ID,
    name="trader",
    chain=ChainType.SOLANA,
    network=NetworkType.LOCALNET,
    public_key="key",
    status=AgentStatus.CREATING,
    created_at=10,
    suspended_at=None,
    suspension_reason=None,
)
SESSION: Final = SessionRecord(
    id=SESSION_ID,
    agent_id=AGENT_ID,
    token_hash="hash",
    expires_at=100,
    revoked_at=None,
    absolute_expires_at=200,
    created_at=10,
    constraints=None,
)
TRANSACTION: Final = payment_row(
    TX_ID, AGENT_ID, session_id=SESSION_ID, amount=str(2**256 - 1), created_at=20
)
OTHER_TRANSACTION: Final = TRANSACTION._replace(id=OTHER_TX_ID, session_id=None, tier=None)
REQUEST: Final = AcceptedRequest(
    tx_id=TX_ID,
    agent_id=AGENT_ID,
    idempotency_key="key",
    request="{}",
    request_sha256="sha",
    reference="invoice",
    refusal=None,
    admitted_at=20,
)
ATTEMPT: Final = AttemptRecord(
    id=AttemptId(generate_id()),
    tx_id=TX_ID,
    agent_id=AGENT_ID,
    state=AttemptState.RECORDED,
    message="message",
    message_sha256="sha",
    unit_price=7,
    last_valid_block_height=99,
    signed=None,
    tx_hash=None,
    created_at=30,
)
POLICY: Final = PolicyRecord(
    id=POLICY_ID,
    agent_id=None,
    type=PolicyType.SPENDING_LIMIT,
    rules="{}",
    priority=0,
    enabled=1,
    created_at=10,
    updated_at=10,
)
DECISION: Final = DecisionRecord(TX_ID, AGENT_ID, 20, "0" * 64, "{}", PolicyTier.INSTANT, "[]")
APPROVAL: Final = ApprovalRecord(
    id=generate_id(),
    tx_id=TX_ID,
    required_by=99,
    expires_at=99,
    approved_at=None,
    rejected_at=None,
    created_at=20,
)
SWITCHED_ON: Final = KillSwitch(KillSwitchState.ACTIVATED, 7, "why", None)
NOTIFICATION: Final = Notification(
    NotificationEventType.KILL_SWITCH_RECOVERED, None, None, {"recoverableAt": None}
)
CHALLENGE: Final = Challenge(
    nonce="0" * 32,
    action=OwnerAction.APPROVE,
    agent_id=AGENT_ID,
    tx_id=TX_ID,
    owner_address="address",
    policy_version="a" * 64,
    audit_sequence=0,
    audit_hash="0" * 64,
    message="text",
    created_at=10,
    expires_at=99,
    used_at=None,
    refusals="{}",
)
EVENT: Final = unchecked(
    AuditEvent,
    action=AuditAction.KILL_SWITCH_ACTIVATED,
    actor=OPERATOR,
    agent_id=AGENT_ID,
    session_id=SESSION_ID,
    tx_id=TX_ID,
    details={"why": "because", "b": 1, "a": None},
    ip_address="::1",
)


MOVEMENT: Final = ForeignMovement(AGENT_ID, "hash", "native", "5", None, 40)


def insert_everything(tx: LedgerTransaction) -> None:
    tx.agents.insert(AGENT)
    tx.sessions.insert(SESSION)
    tx.transactions.insert(TRANSACTION)
    tx.transactions.insert(OTHER_TRANSACTION)
    tx.requests.insert(REQUEST)
    tx.attempts.insert(ATTEMPT)
    tx.reservations.hold(TX_ID, agent_id=AGENT_ID, asset="native", amount="5", now_s=30)
    tx.policies.insert(POLICY)
    tx.challenges.insert(CHALLENGE)


@pytest.fixture
def filled(ledger: Ledger) -> Iterator[Ledger]:
    ledger.write(insert_everything)
    yield ledger
    ledger.close()


# ── who may write ──────────────────────────────────────────────────────────────────────────────

READING: Final = {
    "agents": {"get", "with_status", "terminated_since", "count"},
    "sessions": {"get", "by_token_hash", "count_live", "live", "live_of", "used"},
    "transactions": {
        "are_fewer",
        "get",
        "has_confirmed",
        "newest",
        "of_agent",
        "parts",
        "ids_with_status",
        "count_with_status",
    },
    "waits": {"until", "due", "count_open"},
    "approvals": {"of_transaction", "undecided"},
    "requests": {"get", "by_key", "count_admitted", "admitted_at", "admitted_like", "claimed_by"},
    "decisions": {"get", "terms", "terms_of", "admitted_before"},
    "attempts": {"by_hash", "of_transaction", "state_of", "latest_unit_price"},
    "reservations": {"amount_of", "held", "signed", "spent_until", "spent_reaches", "sums"},
    "movements": {"counted_since", "has"},
    "policies": {"applying_to", "get", "of"},
    "kill_switch": {"current"},
    "outbox": {"after"},
    "audit": {"latest_timestamp", "head", "hash_at", "last_id", "count_after"},
    "owners": {"of_agent"},
    "challenges": {"get", "unused", "used_for"},
    "key_values": {"get"},
}

WRITING: Final[dict[str, Callable[[LedgerTransaction], object]]] = {
    "agents.insert": lambda tx: tx.agents.insert(AGENT),
    "agents.compare_and_set_status": lambda tx: tx.agents.compare_and_set_status(
        AGENT_ID, old=AgentStatus.CREATING, new=AgentStatus.ACTIVE, now_s=40
    ),
    "sessions.insert": lambda tx: tx.sessions.insert(SESSION),
    "sessions.add_use": lambda tx: tx.sessions.add_use(SESSION_ID, transactions=1, base_units=1),
    "transactions.insert": lambda tx: tx.transactions.insert(TRANSACTION),
    "transactions.compare_and_set_status": lambda tx: tx.transactions.compare_and_set_status(
        TX_ID, old=TransactionStatus.PENDING, new=TransactionStatus.EXECUTING
    ),
    "transactions.set_status_of_parts": lambda tx: tx.transactions.set_status_of_parts(
        TX_ID, old=TransactionStatus.PENDING, new=TransactionStatus.EXECUTING
    ),
    "transactions.set_hash": lambda tx: tx.transactions.set_hash(TX_ID, tx_hash="hash"),
    "transactions.set_error": lambda tx: tx.transactions.set_error(TX_ID, error="error"),
    "transactions.set_executed_at": lambda tx: tx.transactions.set_executed_at(
        TX_ID, executed_at=50
    ),
    "requests.insert": lambda tx: tx.requests.insert(REQUEST),
    "requests.claim_reference": lambda tx: tx.requests.claim_reference(
        TX_ID, agent_id=AGENT_ID, reference="invoice"
    ),
    "requests.free_reference": lambda tx: tx.requests.free_reference(TX_ID),
    "attempts.insert": lambda tx: tx.attempts.insert(ATTEMPT),
    "attempts.compare_and_set_state": lambda tx: tx.attempts.compare_and_set_state(
        TX_ID, old=AttemptState.RECORDED, new=AttemptState.REPLACED
    ),
    "attempts.record_signature": lambda tx: tx.attempts.record_signature(
        TX_ID, signed="signed", tx_hash="hash"
    ),
    "reservations.hold": lambda tx: tx.reservations.hold(
        TX_ID, agent_id=AGENT_ID, asset="native", amount="5", now_s=30
    ),
    "reservations.settle": lambda tx: tx.reservations.settle(
        TX_ID, state=ReservationState.SPENT, now_s=40
    ),
    "reservations.lower": lambda tx: tx.reservations.lower(TX_ID, asset="native", amount="4"),
    "movements.insert": lambda tx: tx.movements.insert(MOVEMENT),
    "waits.begin": lambda tx: tx.waits.begin(OTHER_TX_ID, until_at=40),
    "waits.hasten": lambda tx: tx.waits.hasten(TX_ID, until_at=30),
    "approvals.insert": lambda tx: tx.approvals.insert(APPROVAL),
    "approvals.approve": lambda tx: tx.approvals.approve(TX_ID, now_s=40),
    "approvals.reject": lambda tx: tx.approvals.reject(TX_ID, now_s=40),
    "waits.end": lambda tx: tx.waits.end(TX_ID, now_s=40),
    "agents.suspend": lambda tx: tx.agents.suspend(AGENT_ID, reason="why", now_s=40),
    "agents.resume": lambda tx: tx.agents.resume(AGENT_ID, now_s=40),
    "sessions.revoke": lambda tx: tx.sessions.revoke(SESSION_ID, now_s=40),
    "kill_switch.move": lambda tx: tx.kill_switch.move(SWITCHED_ON),
    "policies.insert": lambda tx: tx.policies.insert(POLICY),
    "policies.delete": lambda tx: tx.policies.delete(POLICY.id),
    "policies.set_rules": lambda tx: tx.policies.set_rules(POLICY),
    "owners.compare_and_set": lambda tx: tx.owners.compare_and_set(
        AGENT_ID, old=NO_OWNER, new=Owner("address", is_verified=True), now_s=40
    ),
    "challenges.insert": lambda tx: tx.challenges.insert(CHALLENGE._replace(nonce="other")),
    "challenges.use": lambda tx: tx.challenges.use(CHALLENGE.nonce, now_s=40),
    "challenges.set_refusals": lambda tx: tx.challenges.set_refusals(
        CHALLENGE.nonce, refusals="{}"
    ),
    "decisions.insert": lambda tx: tx.decisions.insert(DECISION, terms="{}"),
    "audit.append": lambda tx: tx.audit.append(EVENT, now_s=1),
    "outbox.append": lambda tx: tx.outbox.append(NOTIFICATION, now_s=1),
    "key_values.put": lambda tx: tx.key_values.put("key", "value", now_s=1),
}


def test_every_method_of_every_family_is_known_to_read_or_to_write(ledger: Ledger) -> None:
    def methods(tx: LedgerTransaction) -> set[str]:
        return {
            f"{family}.{name}"
            for family in ("attempts", *READING)
            for name in dir(getattr(tx, family))
            if not name.startswith("_")
        }

    families = ledger.read(lambda tx: set(getattr(tx, "__slots__", ())))
    reading = {f"{family}.{name}" for family, names in READING.items() for name in names}
    assert families == set(READING)
    assert ledger.read(methods) == reading | set(WRITING)


@pytest.mark.parametrize("name", sorted(WRITING))
def test_a_query_cannot_write(filled: Ledger, name: str) -> None:
    with pytest.raises(ReadOnlyDatabase):
        filled.read(WRITING[name])


# ── compare and set ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stored", AgentStatus)
@pytest.mark.parametrize("old", AgentStatus)
def test_an_agent_moves_only_from_the_state_it_is_in(
    ledger: Ledger, stored: AgentStatus, old: AgentStatus
) -> None:
    def unit(tx: LedgerTransaction) -> None:
        tx.agents.insert(AGENT._replace(status=stored))
        other = AGENT._replace(id=AgentId(generate_id()), public_key="other", status=stored)
        tx.agents.insert(other)
        moved = tx.agents.compare_and_set_status(
            AGENT_ID, old=old, new=AgentStatus.TERMINATED, now_s=40
        )
        assert moved == (stored is old)
        found = tx.agents.get(AGENT_ID)
        assert found is not None
        assert found.status is (AgentStatus.TERMINATED if moved else stored)
        assert tx.agents.get(other.id) == other

    ledger.write(unit)


@pytest.mark.parametrize("stored", TransactionStatus)
@pytest.mark.parametrize("old", TransactionStatus)
def test_a_transaction_moves_only_from_the_state_it_is_in(
    ledger: Ledger, stored: TransactionStatus, old: TransactionStatus
) -> None:
    def unit(tx: LedgerTransaction) -> None:
        tx.agents.insert(AGENT)
        mine = TRANSACTION._replace(session_id=None, status=stored)
        other = OTHER_TRANSACTION._replace(status=stored)
        tx.transactions.insert(mine)
        tx.transactions.insert(other)
        moved = tx.transactions.compare_and_set_status(
            TX_ID, old=old, new=TransactionStatus.CONFIRMED
        )
        assert moved == (stored is old)
        new = TransactionStatus.CONFIRMED if moved else stored
        assert tx.transactions.get(TX_ID) == mine._replace(status=new)
        assert tx.transactions.get(OTHER_TX_ID) == other

    ledger.write(unit)


@pytest.mark.parametrize("stored", AttemptState)
@pytest.mark.parametrize("old", AttemptState)
def test_an_attempt_moves_only_from_the_state_it_is_in(
    ledger: Ledger, stored: AttemptState, old: AttemptState
) -> None:
    def unit(tx: LedgerTransaction) -> None:
        tx.agents.insert(AGENT)
        tx.transactions.insert(TRANSACTION._replace(session_id=None))
        tx.transactions.insert(OTHER_TRANSACTION)
        mine = ATTEMPT._replace(state=stored)
        other = mine._replace(
            id=AttemptId(generate_id()), tx_id=OTHER_TX_ID, message_sha256="other"
        )
        tx.attempts.insert(mine)
        tx.attempts.insert(other)
        moved = tx.attempts.compare_and_set_state(TX_ID, old=old, new=AttemptState.EXPIRED)
        assert moved == (stored is old)
        new = AttemptState.EXPIRED if moved else stored
        assert tx.attempts.of_transaction(TX_ID) == mine._replace(state=new)
        assert tx.attempts.of_transaction(OTHER_TX_ID) == other

    ledger.write(unit)


@pytest.mark.parametrize("stored", AttemptState)
def test_a_signature_is_recorded_only_for_a_recorded_attempt(
    ledger: Ledger, stored: AttemptState
) -> None:
    def unit(tx: LedgerTransaction) -> None:
        tx.agents.insert(AGENT)
        tx.transactions.insert(TRANSACTION._replace(session_id=None))
        attempt = ATTEMPT._replace(state=stored)
        tx.attempts.insert(attempt)
        recorded = tx.attempts.record_signature(TX_ID, signed="signed", tx_hash="hash")
        assert recorded == (stored is AttemptState.RECORDED)
        if recorded:
            attempt = attempt._replace(state=AttemptState.SIGNED, signed="signed", tx_hash="hash")
        assert tx.attempts.of_transaction(TX_ID) == attempt
        assert not tx.attempts.record_signature(TX_ID, signed="again", tx_hash="again")
        assert tx.attempts.of_transaction(TX_ID) == attempt

    ledger.write(unit)


def test_an_approval_is_decided_once(filled: Ledger) -> None:
    def unit(tx: LedgerTransaction) -> None:
        assert not tx.approvals.approve(TX_ID, now_s=30)
        tx.approvals.insert(APPROVAL)
        assert tx.transactions.compare_and_set_status(
            TX_ID, old=TransactionStatus.PENDING, new=TransactionStatus.QUEUED
        )
        assert tx.approvals.undecided(now_s=98) == [APPROVAL]
        assert tx.approvals.undecided(now_s=99) == []
        assert tx.approvals.approve(TX_ID, now_s=40)
        assert not tx.approvals.reject(TX_ID, now_s=41)
        assert not tx.approvals.approve(TX_ID, now_s=41)
        assert tx.approvals.of_transaction(TX_ID) == APPROVAL._replace(approved_at=40)
        assert tx.approvals.undecided(now_s=98) == []

    filled.write(unit)


@pytest.mark.parametrize("first", [ReservationState.SPENT, ReservationState.RELEASED])
@pytest.mark.parametrize("second", [ReservationState.SPENT, ReservationState.RELEASED])
def test_a_reservation_is_settled_once(
    filled: Ledger, first: ReservationState, second: ReservationState
) -> None:
    def unit(tx: LedgerTransaction) -> None:
        assert tx.reservations.held(AGENT_ID, asset="native") == [Held(PolicyTier.INSTANT, 5)]
        assert tx.reservations.settle(TX_ID, state=first, now_s=40)
        assert not tx.reservations.settle(TX_ID, state=second, now_s=50)
        assert tx.reservations.held(AGENT_ID, asset="native") == [Held(PolicyTier.INSTANT, 0)]
        spent = 5 if first is ReservationState.SPENT else 0
        assert tx.reservations.spent_until(AGENT_ID, asset="native", until_s=40) == spent
        assert tx.reservations.spent_until(AGENT_ID, asset="native", until_s=39) == 0
        assert tx.reservations.spent_until(AGENT_ID, asset="other", until_s=40) == 0
        moved_at = 40 if first is ReservationState.SPENT else -1
        held = [Held(PolicyTier.INSTANT, 0)]
        assert tx.reservations.sums(AGENT_ID, asset="native") == Sums(held, spent, moved_at)
        assert tx.reservations.sums(AGENT_ID, asset="other") == Sums([], 0, -1)

    filled.write(unit)


def test_what_moved_without_ever_being_held_is_in_the_sums(filled: Ledger) -> None:
    movement = ForeignMovement(AGENT_ID, "hash", "other", "7", 30, 30)

    def unit(tx: LedgerTransaction) -> None:
        tx.movements.insert(movement)
        assert tx.reservations.sums(AGENT_ID, asset="other") == Sums([], 7, 30)

    filled.write(unit)


def test_a_reservation_that_is_lowered_counts_as_what_is_left(filled: Ledger) -> None:
    def unit(tx: LedgerTransaction) -> None:
        tx.reservations.lower(TX_ID, asset="native", amount="2")
        assert tx.reservations.amount_of(TX_ID, asset="native") == 2
        assert tx.reservations.held(AGENT_ID, asset="native") == [Held(PolicyTier.INSTANT, 2)]
        for amount in ("2", "3"):
            with pytest.raises(AssertionError):
                tx.reservations.lower(TX_ID, asset="native", amount=amount)
        tx.reservations.lower(TX_ID, asset="native", amount="0")
        assert tx.reservations.held(AGENT_ID, asset="native") == [Held(PolicyTier.INSTANT, 0)]

    filled.write(unit)
    assert not check_integrity(filled.path, kind=CheckKind.FULL)


def test_compare_and_set_of_something_that_is_not_there_is_false(ledger: Ledger) -> None:
    def unit(tx: LedgerTransaction) -> list[bool]:
        return [
            tx.agents.compare_and_set_status(
                AGENT_ID, old=AgentStatus.ACTIVE, new=AgentStatus.SUSPENDED, now_s=1
            ),
            tx.transactions.compare_and_set_status(
                TX_ID, old=TransactionStatus.PENDING, new=TransactionStatus.QUEUED
            ),
            tx.attempts.compare_and_set_state(
                TX_ID, old=AttemptState.SENT, new=AttemptState.LANDED
            ),
            tx.attempts.record_signature(TX_ID, signed="signed", tx_hash="hash"),
            tx.reservations.settle(TX_ID, state=ReservationState.SPENT, now_s=1),
        ]

    assert ledger.write(unit) == [False] * 5


def test_one_of_two_units_that_move_the_same_transaction_wins(
    filled: Ledger, in_one_group: Callable[..., list[Any]]
) -> None:
    def move(tx: LedgerTransaction) -> bool:
        return tx.transactions.compare_and_set_status(
            TX_ID, old=TransactionStatus.PENDING, new=TransactionStatus.EXECUTING
        )

    assert in_one_group(filled, move, move, move) == [True, False, False]
    assert not filled.write(move)


# ── the audit log and small facts ──────────────────────────────────────────────────────────────


def audit_rows(ledger: Ledger) -> list[Any]:
    return ledger._writer._sqlite.execute("SELECT * FROM audit_log ORDER BY id").fetchall()


def test_an_audit_row_says_everything_the_event_does(filled: Ledger) -> None:
    filled.write(lambda tx: tx.audit.append(EVENT, now_s=77))
    (row,) = audit_rows(filled)
    details = '{"a":null,"b":1,"why":"because"}'
    expected = (1, 77, "KILL_SWITCH_ACTIVATED", OPERATOR, AGENT_ID, SESSION_ID, TX_ID, details)
    assert row == (*expected, "critical", "::1")
    assert json.loads(row[7]) == EVENT.details


def test_details_in_any_script_are_stored_as_they_are(ledger: Ledger) -> None:
    event = AuditEvent(
        AuditAction.DAEMON_STARTED, OPERATOR, details={"version": "Größe 🦊 \ud800 \x00"}
    )
    ledger.write(lambda tx: tx.audit.append(event, now_s=1))
    (row,) = audit_rows(ledger)
    assert json.loads(row[7]) == event.details


def test_the_audit_row_of_a_refused_act_is_not_there_and_leaves_no_gap(ledger: Ledger) -> None:
    def refuse(tx: LedgerTransaction) -> None:
        tx.audit.append(EVENT, now_s=2)
        raise ZeroDivisionError

    ledger.write(lambda tx: tx.audit.append(EVENT, now_s=1))
    with pytest.raises(ZeroDivisionError):
        ledger.write(refuse)
    ledger.write(lambda tx: tx.audit.append(EVENT, now_s=3))
    assert [row[:2] for row in audit_rows(ledger)] == [(1, 1), (2, 3)]


def test_the_latest_timestamp_is_that_of_the_newest_row(ledger: Ledger) -> None:
    assert ledger.read(lambda tx: tx.audit.latest_timestamp()) == 0

    def append(now_s: int) -> int:
        ledger.write(lambda tx: tx.audit.append(EVENT, now_s=now_s))
        return ledger.read(lambda tx: tx.audit.latest_timestamp())

    assert [append(now_s) for now_s in (5, 9, 7)] == [5, 9, 7]


def test_putting_a_key_again_overwrites_its_value_and_nothing_else(ledger: Ledger) -> None:
    def unit(tx: LedgerTransaction) -> None:
        tx.key_values.put("a", "first", now_s=1)
        tx.key_values.put("b", "other", now_s=1)
        tx.key_values.put("a", "second", now_s=2)

    ledger.write(unit)
    rows = ledger._writer._sqlite.execute("SELECT * FROM key_value_store ORDER BY key").fetchall()
    assert rows == [("a", "second", 2), ("b", "other", 1)]
    assert ledger.read(lambda tx: tx.key_values.get("none such")) is None


def test_what_was_inserted_is_read_back_as_it_was(filled: Ledger) -> None:
    def query(tx: LedgerTransaction) -> list[object]:
        return [
            tx.agents.get(AGENT_ID),
            tx.sessions.get(SESSION_ID),
            tx.sessions.by_token_hash("hash"),
            tx.transactions.get(TX_ID),
            tx.transactions.get(OTHER_TX_ID),
            tx.requests.by_key(AGENT_ID, idempotency_key="key"),
            tx.attempts.of_transaction(TX_ID),
            *tx.policies.applying_to(AGENT_ID),
        ]

    records: list[Any] = filled.read(query)
    expected = [
        AGENT,
        SESSION,
        SESSION,
        TRANSACTION,
        OTHER_TRANSACTION,
        REQUEST,
        ATTEMPT,
        POLICY,
    ]
    assert records == expected
    assert [type(value) for record in records for value in record] == [
        type(value) for record in expected for value in record
    ]


def test_the_newest_requests_admitted_in_a_window_are_counted(filled: Ledger) -> None:
    def unit(tx: LedgerTransaction) -> None:
        for second in (30, 25, 25, None):
            tx_id = TransactionId(generate_id())
            tx.transactions.insert(TRANSACTION._replace(id=tx_id))
            tx.requests.insert(
                REQUEST._replace(tx_id=tx_id, idempotency_key=None, admitted_at=second)
            )
        nobody = AgentId(generate_id())
        count = tx.requests.count_admitted
        assert [count(AGENT_ID, since_s=s, most=9) for s in (19, 20, 25, 30)] == [4, 3, 1, 0]
        assert count(AGENT_ID, since_s=0, most=2) == 2
        assert count(nobody, since_s=0, most=9) == 0
        at = [tx.requests.admitted_at(AGENT_ID, place=place) for place in (1, 2, 3, 4, 5)]
        assert at == [30, 25, 25, 20, None]
        assert tx.requests.admitted_at(nobody, place=1) is None

    filled.write(unit)


def test_a_second_attempt_that_may_still_land_is_refused(filled: Ledger) -> None:
    second = ATTEMPT._replace(id=AttemptId(generate_id()), message_sha256="another")
    with pytest.raises(ConstraintViolated):
        filled.write(lambda tx: tx.attempts.insert(second))
    assert filled.read(lambda tx: tx.attempts.latest_unit_price(AGENT_ID)) == 7
