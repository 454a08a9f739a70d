"""Admission: one commit holds the verdict and all that follows from it, or nothing is there."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from waiaas.database import Ledger, generate_id, transactions
from waiaas.domain.assets import Network
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    ChainType,
    NetworkType,
    PolicyTier,
    PolicyType,
    TransactionStatus,
    TransactionType,
)
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import PolicyId, SessionId
from waiaas.domain.records import PolicyRecord, TransactionRecord
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import ReservationState
from waiaas.domain.waiting import APPROVAL_S_DEFAULT
from waiaas.pipeline.admit import AdmissionRules, Caller, admit
from waiaas.pipeline.asked import Asked
from waiaas.ports import LedgerTransaction

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

Value = TypeVar("Value")

NOW_S = 1_700_000_000
DAY_S = 86_400
HUGE = 2**256 - 1
RECIPIENT = "So11111111111111111111111111111111111111112"
ANOTHER = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


def same(one: Refusal | None, other: Refusal | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.code, one.message, one.hint, dict(one.details)) == (
        other.code,
        other.message,
        other.hint,
        dict(other.details),
    )


# ── what is written ────────────────────────────────────────────────────────────────────────────


def test_an_allowed_payment_is_written_down_whole(office: "Office") -> None:
    caller = office.hire(limits={"daily_max": 100})
    admission = office.ask_now(caller, 60, to=RECIPIENT, key="k")
    assert admission.refusal is None
    assert admission.transaction == office.transaction(admission.transaction.id)
    assert admission.transaction == TransactionRecord(
        id=admission.transaction.id,
        agent_id=caller.agent_id,
        session_id=caller.session_id,
        chain=ChainType.SOLANA,
        type=TransactionType.TRANSFER,
        amount="60",
        to_address=RECIPIENT,
        token_mint=None,
        contract_address=None,
        method_signature=None,
        spender_address=None,
        approved_amount=None,
        parent_id=None,
        batch_index=None,
        status=TransactionStatus.PENDING,
        tier=PolicyTier.INSTANT,
        tx_hash=None,
        created_at=NOW_S,
        executed_at=None,
        error=None,
        queued_at=None,
    )
    (request,) = office.rows("requests")
    assert (request.tx_id, request.agent_id) == (admission.transaction.id, caller.agent_id)
    assert (request.idempotency_key, request.refusal) == ("k", None)
    meaning = '{"amount":"60","to":"' + RECIPIENT + '","type":"TRANSFER"}'
    assert request.request == meaning
    assert request.request_sha256 == hashlib.sha256(meaning.encode()).hexdigest()
    (reservation,) = office.rows("reservations")
    assert (reservation.tx_id, reservation.agent_id) == (admission.transaction.id, caller.agent_id)
    assert (reservation.amount, reservation.asset) == ("60", "native")
    assert (reservation.state, reservation.settled_at) == (ReservationState.HELD, None)
    (event,) = office.rows("audit_log")
    assert (event.event_type, event.actor) == ("TX_REQUESTED", f"agent:{caller.agent_id}")
    assert (event.timestamp, event.ip_address, event.severity) == (NOW_S, "127.0.0.1", "info")
    assert (event.tx_id, event.session_id) == (admission.transaction.id, caller.session_id)
    assert json.loads(event.details) == {
        "type": "TRANSFER",
        "amount": "60",
        "to": RECIPIENT,
        "tier": "INSTANT",
    }


def test_a_denied_payment_is_written_down_with_its_reason_and_holds_no_money(
    office: "Office",
) -> None:
    caller = office.hire(limits={"daily_max": 100})
    admission = office.ask_now(caller, 101)
    refusal = admission.refusal
    assert refusal is not None
    assert refusal.code is ErrorCode.SPENDING_LIMIT_EXCEEDED
    assert refusal.hint
    assert dict(refusal.details) == {
        "transactionId": admission.transaction.id,
        "rule": "SPENDING_LIMIT",
        "asset": "native",
        "bound": "daily_max",
        "limit": "100",
        "observed": "101",
        "maxAllowed": "100",
        "retryAt": None,
    }
    stored = office.transaction(admission.transaction.id)
    assert stored == admission.transaction
    assert (stored.status, stored.tier) == (TransactionStatus.CANCELLED, None)
    assert stored.error == str(refusal)
    assert office.audit_of(stored.id) == ["TX_REQUESTED", "POLICY_VIOLATION", "TX_CANCELLED"]
    assert office.rows("reservations") == []
    violation = office.rows("audit_log")[1]
    assert violation.severity == "warning"
    assert json.loads(violation.details)["bound"] == "daily_max"
    cancelled = json.loads(office.rows("audit_log")[2].details)
    assert cancelled == {
        "from": "PENDING",
        "to": "CANCELLED",
        "code": "SPENDING_LIMIT_EXCEEDED",
    }


def test_what_needs_a_person_waits_for_one_with_its_money_and_a_deadline(
    office: "Office",
) -> None:
    caller = office.hire(limits={"instant_max": 10, "approval_timeout": 60})
    admission = office.ask_now(caller, 11)
    transaction = admission.transaction
    assert admission.refusal is None
    assert (transaction.status, transaction.tier) == (
        TransactionStatus.QUEUED,
        PolicyTier.APPROVAL,
    )
    assert admission.waits_until == NOW_S + 60
    assert office.reservation(transaction.id) == (ReservationState.HELD, "11")
    (approval,) = office.rows("pending_approvals")
    assert (approval.tx_id, approval.created_at) == (transaction.id, NOW_S)
    assert (approval.required_by, approval.expires_at) == (NOW_S + 60, NOW_S + 60)
    assert (approval.approved_at, approval.rejected_at) == (None, None)


def test_a_person_has_an_hour_where_no_rule_says_how_long(office: "Office") -> None:
    admission = office.ask_now(office.hire(limits={"instant_max": 10}), 11)
    assert admission.waits_until == NOW_S + APPROVAL_S_DEFAULT


@pytest.mark.parametrize(
    ("amount", "status"),
    [(10, "PENDING"), (20, "PENDING"), (30, "QUEUED"), (40, "QUEUED"), (50, "CANCELLED")],
)
def test_what_is_answered_is_what_was_written_down(
    office: "Office", amount: int, status: str
) -> None:
    limits = {"instant_max": 10, "notify_max": 20, "delay_max": 30, "per_transaction_max": 40}
    caller = office.hire(limits=limits)
    answered = office.ask_now(caller, amount, key="k")
    assert answered.transaction.status == status
    assert answered.transaction == office.transaction(answered.transaction.id)
    read_again = office.ask_now(caller, amount, key="k")
    assert answered.waits_until == read_again.waits_until
    assert same(answered.refusal, read_again.refusal)


def set_rule(office: "Office", caller: Caller, kind: PolicyType, **members: Any) -> None:
    policy = PolicyRecord(
        PolicyId(generate_id()), caller.agent_id, kind, json.dumps(members), 0, 1, NOW_S, NOW_S
    )
    office.ledger.write(lambda tx: tx.policies.insert(policy))


TIERS = {"asset": "native", "instant_max": "10", "notify_max": "20", "delay_max": "30"}


def test_what_somebody_is_only_told_about_goes_out(office: "Office") -> None:
    caller = office.hire(limits={})
    set_rule(office, caller, PolicyType.SPENDING_LIMIT, **TIERS, delay_seconds=60)
    admission = office.ask_now(caller, 20)
    assert admission.refusal is None
    assert admission.transaction.tier is PolicyTier.NOTIFY
    assert len(office.rows("reservations")) == 1


def test_money_that_is_only_told_about_counts_towards_the_next_tier(office: "Office") -> None:
    caller = office.hire(limits={})
    set_rule(office, caller, PolicyType.SPENDING_LIMIT, **TIERS, delay_seconds=60)
    tiers = [office.ask_now(caller, 8).transaction.tier for _ in range(4)]
    assert tiers == [PolicyTier.INSTANT, PolicyTier.NOTIFY, PolicyTier.DELAY, PolicyTier.DELAY]


def test_only_admitted_requests_count_against_their_number(office: "Office") -> None:
    caller = office.hire(limits={"per_transaction_max": 5})
    set_rule(office, caller, PolicyType.RATE_LIMIT, max_requests=2, window_seconds=60)
    asked = [office.ask_now(caller, amount).refusal for amount in (6, 6, 5, 5, 5)]
    assert [refusal is None for refusal in asked] == [False, False, True, True, False]
    refusal = asked[-1]
    assert refusal is not None
    assert (refusal.code, refusal.details["rule"]) == (ErrorCode.RATE_LIMIT_EXCEEDED, "RATE_LIMIT")
    assert refusal.details["retryAt"] == NOW_S + 60
    office.clock.wall_s += 60
    assert office.ask_now(caller, 5).refusal is None


def test_a_recipient_that_is_not_listed_is_denied(office: "Office") -> None:
    caller = office.hire()
    set_rule(office, caller, PolicyType.WHITELIST, addresses=[ANOTHER])
    refusal = office.ask_now(caller, 5).refusal
    assert refusal is not None
    assert (refusal.code, refusal.details["rule"]) == (ErrorCode.POLICY_DENIED, "WHITELIST")


def test_without_a_policy_nothing_is_allowed(office: "Office") -> None:
    admission = office.ask_now(office.hire(limits={}), 1)
    assert admission.refusal is not None
    assert admission.refusal.code is ErrorCode.POLICY_DENIED
    assert admission.refusal.details["rule"] == "DEFAULT_DENY"


@pytest.mark.parametrize(
    "rules",
    ["{}", '{"asset": "native", "instant_max": 5}', '{"\\ud800\\u0000": "1"}'],
)
def test_a_stored_rule_that_cannot_be_read_denies_everything(rules: str, office: "Office") -> None:
    caller = office.hire()
    office.set_policy(None, rules)  # a global one, beside the agent's good one
    admission = office.ask_now(caller, 1)
    assert admission.refusal is not None
    assert admission.refusal.code is ErrorCode.POLICY_DENIED
    assert admission.transaction.status is TransactionStatus.CANCELLED


def test_what_is_told_to_ask_for_instead_passes_every_rule(office: "Office") -> None:
    caller = office.hire(limits={"per_transaction_max": 100, "hourly_max": 50, "daily_max": 70})
    refusal = office.ask_now(caller, 1000).refusal
    assert refusal is not None
    assert (refusal.details["bound"], refusal.details["maxAllowed"]) == ("hourly_max", "50")
    assert "50 base units of native" in str(refusal.hint)
    for bound in ("per_transaction_max of native is 100", "hourly_max of native is 50"):
        assert bound in refusal.message
    assert office.ask_now(caller, 50).refusal is None


def test_amounts_past_what_json_numbers_hold_are_told_as_digits(office: "Office") -> None:
    refusal = office.ask_now(office.hire(limits={"daily_max": 2**200}), HUGE).refusal
    assert refusal is not None
    assert refusal.details["limit"] == str(2**200)
    assert refusal.details["observed"] == str(HUGE)


# ── one commit ─────────────────────────────────────────────────────────────────────────────────


class Fails(Exception):  # noqa: N818 -- what it does
    """The statement that was to fail."""


class Counting:
    """A ledger that counts its units and can fail at the nth statement that writes."""

    READS = frozenset(
        {
            "get",
            "of_transaction",
            "by_key",
            "current",
            "are_fewer",
            "latest_timestamp",
            "sums",
            "spent_until",
            "applying_to",
            "until",
        }
    )

    def __init__(self, ledger: Ledger, *, fail_at: int | None = None) -> None:
        self.ledger = ledger
        self.units = 0
        self.statements: list[str] = []
        self._fail_at = fail_at

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        self.units += 1
        return await self.ledger.write_async(lambda tx: unit(_Family(tx, self)))

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        raise AssertionError(f"admission awaits, {unit} does not")

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        raise AssertionError(f"admission reads inside its transaction, {query} does not")

    def count(self, name: str) -> None:
        if name not in self.READS:
            self.statements.append(name)
            if len(self.statements) - 1 == self._fail_at:
                raise Fails


class _Family:
    def __init__(self, inner: object, counting: Counting) -> None:
        self._inner = inner
        self._counting = counting

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return _Family(found, self._counting)

        def call(*arguments: Any, **named: Any) -> Any:
            value = found(*arguments, **named)
            self._counting.count(name)
            return value

        return call


def ask_through(ledger: Counting, office: "Office", caller: Caller, amount: int) -> None:
    asyncio.run(
        admit(
            Asked(Transfer(RECIPIENT, amount), "k"),
            caller=caller,
            ledger=ledger,
            clock=office.clock,
            generate_id=generate_id,
            rules=AdmissionRules(),
        )
    )


WAITING = {"instant_max": 10, "delay_max": 99, "daily_max": 100}
"""Limits by which 10 goes out at once, 99 waits, 100 needs a person, and 101 is denied."""
ALLOWED = ["insert", "insert", "insert", "append", "hold"]
DELAYED = [*ALLOWED, "begin", "compare_and_set_status", "append", "append"]
APPROVED = [*ALLOWED, "insert", "begin", "compare_and_set_status", "append", "append"]
DENIED = [
    *("insert", "insert", "insert", "append"),
    *("append", "append", "set_error", "compare_and_set_status", "append"),
]


@pytest.mark.parametrize(
    ("amount", "statements"), [(10, ALLOWED), (99, DELAYED), (100, APPROVED), (101, DENIED)]
)
def test_one_admission_is_one_unit_of_the_ledger(
    amount: int, statements: list[str], office: "Office"
) -> None:
    caller = office.hire(limits=WAITING)
    counting = Counting(office.ledger)
    ask_through(counting, office, caller, amount)
    assert (counting.units, counting.statements) == (1, statements)


@pytest.mark.parametrize(
    ("amount", "fail_at"),
    [(10, at) for at in range(len(ALLOWED))]
    + [(99, at) for at in range(len(DELAYED))]
    + [(100, at) for at in range(len(APPROVED))]
    + [(101, at) for at in range(len(DENIED))],
)
def test_an_admission_that_fails_at_any_statement_leaves_nothing(
    amount: int, fail_at: int, office: "Office"
) -> None:
    caller = office.hire(limits=WAITING)
    before = office.counts()
    with pytest.raises(Fails):
        ask_through(Counting(office.ledger, fail_at=fail_at), office, caller, amount)
    assert office.counts() == before
    assert office.ask_now(caller, 100, key="k").refusal is None  # and takes up no room


# ── idempotency ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("amount", [60, 101], ids=["allowed", "denied"])
def test_a_retry_gets_the_same_transaction_and_the_same_refusal_and_writes_nothing(
    amount: int, office: "Office"
) -> None:
    caller = office.hire(limits={"daily_max": 100})
    first = office.ask_now(caller, amount, key="k")
    before = office.counts()
    office.clock.wall_s += 40 * DAY_S  # long after every window, and the session
    office.set_policy(caller.agent_id, "{}")
    office.reopen()
    again = office.ask_now(caller, amount, key="k")
    assert again.transaction == first.transaction
    assert same(again.refusal, first.refusal)
    assert office.counts() == before


@pytest.mark.parametrize("status", TransactionStatus)
def test_a_retry_sees_the_transaction_as_it_stands_now(
    status: TransactionStatus, office: "Office"
) -> None:
    caller = office.hire()
    first = office.ask_now(caller, key="k").transaction
    office.execute(transactions.update().where(transactions.c.id == first.id).values(status=status))
    assert office.ask_now(caller, key="k").transaction == first._replace(status=status)


@pytest.mark.parametrize(
    ("amount", "to"), [(59, RECIPIENT), (61, RECIPIENT), (60, "1" * 31 + "2"), (HUGE, RECIPIENT)]
)
@pytest.mark.parametrize("first_amount", [60, 101], ids=["allowed", "denied"])
def test_a_key_is_refused_for_another_request(
    amount: int, to: str, first_amount: int, office: "Office"
) -> None:
    caller = office.hire(limits={"daily_max": 100})
    first = office.ask_now(caller, first_amount, to=RECIPIENT, key="k")
    before = office.counts()
    with pytest.raises(Refusal) as refusal:
        office.ask_now(caller, amount, to=to, key="k")
    assert refusal.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert refusal.value.details == {"transactionId": first.transaction.id}
    assert office.counts() == before


def test_a_key_belongs_to_the_agent(office: "Office") -> None:
    one, other = office.hire(), office.hire()
    first = office.ask_now(one, key="k").transaction
    second = office.ask_now(other, 7, key="k").transaction  # another request, even
    assert first.id != second.id
    assert (second.agent_id, second.amount) == (other.agent_id, "7")


def test_a_key_outlives_the_session(office: "Office") -> None:
    caller = office.hire()
    first = office.ask_now(caller, key="k").transaction
    renewed = office.admit_session(caller.agent_id)
    office.revoke(caller)
    again = office.ask_now(renewed, key="k").transaction
    assert again == first
    assert again.session_id == caller.session_id


def test_keys_are_compared_exactly(office: "Office") -> None:
    caller = office.hire()
    keys = ["k", "K", "k ", " k", "", "\u212a", "k" * 255]
    ids = {office.ask_now(caller, key=key).transaction.id for key in keys}
    assert len(ids) == len(keys)


def test_without_a_key_the_same_request_is_a_new_payment(office: "Office") -> None:
    caller = office.hire()
    ids = {office.ask_now(caller).transaction.id for _ in range(3)}
    assert len(ids) == 3


# ── permission ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("employed", "code"),
    [
        ({"revoked_at": NOW_S}, ErrorCode.SESSION_REVOKED),
        ({"revoked_at": NOW_S + 10**6}, ErrorCode.SESSION_REVOKED),
        ({"expires_at": NOW_S}, ErrorCode.SESSION_EXPIRED),
        ({"expires_at": NOW_S - 1}, ErrorCode.SESSION_EXPIRED),
        ({"expires_at": NOW_S, "revoked_at": 1}, ErrorCode.SESSION_REVOKED),
        *(
            ({"status": status}, ErrorCode.AGENT_NOT_ACTIVE)
            for status in AgentStatus
            if status is not AgentStatus.ACTIVE
        ),
    ],
)
def test_who_may_not_spend_is_refused_and_nothing_is_written(
    employed: dict[str, Any], code: ErrorCode, office: "Office"
) -> None:
    caller = office.hire(**employed)
    before = office.counts()
    refusal = office.refused(caller, key="k")
    assert (refusal.code, bool(refusal.hint)) == (code, True)
    assert office.counts() == before


def test_the_last_second_of_a_session_is_good(office: "Office") -> None:
    assert office.ask_now(office.hire(expires_at=NOW_S + 1)).refusal is None


def test_a_session_that_does_not_exist_is_refused(office: "Office") -> None:
    caller = office.hire()
    stranger = Caller(caller.agent_id, SessionId(generate_id()), None)
    assert office.refused(stranger).code is ErrorCode.SESSION_REVOKED


def test_the_session_of_one_agent_does_not_spend_for_another(office: "Office") -> None:
    one, other = office.hire(), office.hire()
    mixed = Caller(one.agent_id, other.session_id, None)
    before = office.counts()
    assert office.refused(mixed).code is ErrorCode.SESSION_REVOKED
    assert office.counts() == before


def test_an_expired_session_stays_expired_when_the_clock_is_set_back(office: "Office") -> None:
    caller = office.hire(expires_at=NOW_S + 100)
    later = office.hire()
    office.clock.wall_s = NOW_S + 100
    office.ask_now(later)
    office.clock.wall_s = NOW_S
    assert office.refused(caller).code is ErrorCode.SESSION_EXPIRED


class Meanwhile:
    """A ledger in which something is committed just before each unit runs."""

    def __init__(self, ledger: Ledger, happens: Callable[[], object]) -> None:
        self.ledger = ledger
        self.happens = happens

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        self.happens()
        return await self.ledger.write_async(unit)

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        return self.ledger.write(unit)

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        return self.ledger.read(query)


@pytest.mark.parametrize(
    ("what", "code"),
    [("revoke", ErrorCode.SESSION_REVOKED), ("suspend", ErrorCode.AGENT_NOT_ACTIVE)],
)
def test_permission_is_asked_inside_the_transaction(
    what: str, code: ErrorCode, office: "Office"
) -> None:
    caller = office.hire()
    with pytest.raises(Refusal) as refusal:
        asyncio.run(
            admit(
                Asked(Transfer(RECIPIENT, 1), None),
                caller=caller,
                ledger=Meanwhile(office.ledger, lambda: getattr(office, what)(caller)),
                clock=office.clock,
                generate_id=generate_id,
                rules=AdmissionRules(),
            )
        )
    assert refusal.value.code is code
    assert office.rows("transactions") == []


def test_an_error_before_admission_is_not_remembered(office: "Office") -> None:
    caller = office.hire()
    office.suspend(caller)
    assert office.refused(caller, key="k").code is ErrorCode.AGENT_NOT_ACTIVE
    assert office.ledger.write(
        lambda tx: tx.agents.compare_and_set_status(
            caller.agent_id, old=AgentStatus.SUSPENDED, new=AgentStatus.ACTIVE, now_s=NOW_S
        )
    )
    assert office.ask_now(caller, key="k").refusal is None


def test_the_time_of_an_admission_is_ledger_time(office: "Office") -> None:
    caller = office.hire()
    office.clock.wall_s = NOW_S + 500
    office.ask_now(caller)
    office.clock.wall_s = NOW_S - 25 * 3600
    transaction = office.ask_now(caller).transaction
    assert transaction.created_at == NOW_S + 500
    assert [row.timestamp for row in office.rows("audit_log")] == [NOW_S + 500] * 2
    assert AuditAction.TX_REQUESTED in office.audit_of(transaction.id)


def test_on_a_chain_without_an_adapter_nothing_is_admitted(office: "Office") -> None:
    caller = office.hire(lives_on=Network(ChainType.ETHEREUM, NetworkType.MAINNET))
    before = office.counts()
    with pytest.raises(Refusal, match="no adapter for ethereum") as refused:
        asyncio.run(office.ask(caller))
    assert refused.value.code is ErrorCode.NOT_SUPPORTED_YET
    assert not refused.value.is_recorded  # The edge does that.
    assert office.counts() == before
