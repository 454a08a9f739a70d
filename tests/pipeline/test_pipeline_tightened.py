"""I16: policies that change hold for everything that is not signed yet, and for nothing that is."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.chain import LOCALNET, FakeChain
from tests.fakes.decisions import RULES, START_S, A, B, Desk, limits
from tests.fakes.signer import FakeSigner

from waiaas.database import generate_id
from waiaas.domain.enums import AuditAction, PolicyTier, PolicyType, TransactionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import TransactionId
from waiaas.domain.money import NATIVE
from waiaas.domain.owner import NO_OWNER, NO_REFUSALS, Challenge, Owner, OwnerAction
from waiaas.domain.records import PolicyRecord, SessionUse, TransactionRecord
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline import perform as perform_module
from waiaas.pipeline import tightened as tightened_module
from waiaas.pipeline.backtest import NewRules
from waiaas.pipeline.decide import Decider, let_go
from waiaas.pipeline.perform import Standing, World, perform, read_standing
from waiaas.pipeline.policies import change_policy
from waiaas.pipeline.tightened import Gone, LedgerSpent, objection_to
from waiaas.policy.facts import Answers, RecordedUsage
from waiaas.policy.policies import parse_policy
from waiaas.policy.spending_limit import WINDOWS_S, SpendingLimit
from waiaas.policy.usage import InFlight
from waiaas.policy.verdict import Allow, Deny, Violation
from waiaas.policy.version import policy_version
from waiaas.ports import LedgerTransaction

AMOUNT: Final = 100
LIMIT: Final = PolicyType.SPENDING_LIMIT
BY_TIER: Final[dict[PolicyTier, dict[str, Any]]] = {
    PolicyTier.INSTANT: {"instant_max": "500"},
    PolicyTier.NOTIFY: {"instant_max": "1", "notify_max": "500"},
    PolicyTier.DELAY: {"instant_max": "1", "delay_max": "500", "delay_seconds": 60},
    PolicyTier.APPROVAL: {"instant_max": "1"},
}
"""Bounds under which a payment of `AMOUNT` gets each tier."""
STILL: Final = {"asset": "native", "daily_max": "500"}
OPERATOR: Final = Decider(None, None, None)
OWNER: Final = "So11111111111111111111111111111111111111112"


class Shop(Desk):
    """An agent that also pays."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = FakeChain()
        self.signer = FakeSigner()
        address = self.signer.generate(self.agent_id)
        self.chain.fund(address, base_units=10**12)
        self.run("UPDATE agents SET public_key = ?", address)

    @property
    def policies(self) -> list[PolicyRecord]:
        return self.ledger.read(lambda tx: tx.policies.applying_to(self.agent_id))

    def run(self, sql: str, *values: Any) -> None:
        """Change something behind the pipeline's back."""
        self.ledger.connection.sqlite.execute(sql, values)

    def clear(self) -> None:
        self.run("DELETE FROM policies")

    def limit(self, tier: PolicyTier, **more: str) -> None:
        self.set((LIMIT, {**STILL, **BY_TIER[tier], **more}))

    def pay(self, base_units: int = AMOUNT) -> TransactionRecord:
        admission = self.ask(Transfer(A, base_units))
        assert admission.refusal is None
        transaction: TransactionRecord = admission.transaction
        return transaction

    def standing(self, transaction: TransactionRecord) -> Standing:
        wall_s = self.clock.now_s()
        return self.ledger.read(lambda tx: read_standing(tx, transaction.id, wall_s=wall_s))

    def step(self, transaction: TransactionRecord, times: int = 1) -> TransactionRecord:
        networks = {LOCALNET: self.chain}
        world = World(self.ledger, self.signer, networks, self.clock, generate_id)
        for _ in range(times):
            asyncio.run(perform(self.standing(transaction), world))
        return self.now(transaction)

    def finish(self, transaction: TransactionRecord) -> TransactionRecord:
        self.step(transaction, 3)
        self.chain.pass_blocks(1)
        return self.step(transaction)

    def now(self, transaction: TransactionRecord) -> TransactionRecord:
        found = self.ledger.read(lambda tx: tx.transactions.get(transaction.id))
        assert found is not None
        return found

    def approve(self, transaction: TransactionRecord, by: Decider = OPERATOR) -> Refusal | None:
        current, now_s = self.now(transaction), self.clock.now_s()
        return self.ledger.write(lambda tx: let_go(tx, current, by, now_s=now_s))

    def rows(self, sql: str, *values: Any) -> list[Any]:
        return list(self.ledger.connection.sqlite.execute(sql, values))

    def held_back(self, transaction: TransactionRecord) -> str:
        """Return why the policies ended it, once everything about that is as it should be."""
        ended = self.now(transaction)
        assert ended.status is TransactionStatus.CANCELLED
        assert ended.tx_hash is None
        state = "SELECT state FROM reservations WHERE tx_id = ?"
        assert self.rows(state, ended.id) == [(ReservationState.RELEASED,)]
        assert not self.chain.effects()
        prefix = f"{ErrorCode.POLICY_TIGHTENED}: policies changed before it was signed, and now "
        error = ended.error or ""
        assert error.startswith(prefix)
        assert error.endswith("; ask again")
        [reason] = self._told(ended, "SELECT details FROM audit_log WHERE tx_id = ? AND")
        assert [reason] == self._told(ended, "SELECT details FROM outbox WHERE tx_id = ? AND")
        assert error == f"{prefix}{reason}; ask again"
        return reason

    def _told(self, ended: TransactionRecord, sql: str) -> list[str]:
        rows = self.rows(f"{sql} event_type = ?", ended.id, AuditAction.POLICY_VIOLATION)
        found = [json.loads(text) for (text,) in rows]
        for each in found:
            assert each["code"] == ErrorCode.POLICY_TIGHTENED
            assert each["tier"] == ended.tier
            assert each["judgedUnder"] == policy_version(self.policies) != each["decidedUnder"]
        return [each["reason"] for each in found]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as made:
        yield made


# ── what changes, and at which state ───────────────────────────────────────────────────────────


def unchanged(_shop: Shop) -> None:
    """Change nothing."""


def said_again(shop: Shop) -> None:
    shop.run("UPDATE policies SET updated_at = updated_at + 1")


def loosened(shop: Shop) -> None:
    shop.clear()
    shop.set((LIMIT, {"asset": "native", "instant_max": "5000"}))


def met_exactly(shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT, daily_max=str(AMOUNT))


def tightened(shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT, daily_max=str(AMOUNT - 1))


def deleted(shop: Shop) -> None:
    shop.clear()


def restricted_for_all(shop: Shop) -> None:
    shop.set((PolicyType.WHITELIST, {"addresses": [B]}), everybody=True)


def disabled(shop: Shop) -> None:
    shop.run("UPDATE policies SET enabled = 0")


def unreadable(shop: Shop) -> None:
    shop.run("UPDATE policies SET rules = '{}'")


def rationed(shop: Shop) -> None:
    """Nothing was admitted before it, so that one in an hour is enough."""
    shop.set((PolicyType.RATE_LIMIT, {"max_requests": 1, "window_seconds": 3600}))


GOES_ON = [unchanged, said_again, loosened, met_exactly, rationed]
ENDS = {
    tightened: "daily_max of native is 99, and this payment would bring it to 100",
    deleted: "no policy grants this agent a TRANSFER: there is no SPENDING_LIMIT of native",
    restricted_for_all: f"{A} is not on the list of recipients",
    disabled: "no policy grants this agent a TRANSFER: there is no SPENDING_LIMIT of native",
    unreadable: "cannot be evaluated",
}
STATES = [
    "before PREPARE",
    "before SIGN",
    "during DELAY",
    "DELAY, before SIGN",
    "during APPROVAL",
    "after APPROVAL",
    "APPROVAL, before SIGN",
]


def bring(shop: Shop, state: str, change: Any) -> TransactionRecord:
    """Let a payment meet a *change* of the policies in a *state*; return it, due."""
    tier = next((each for each in PolicyTier if each in state), PolicyTier.INSTANT)
    shop.limit(tier)
    transaction = shop.pay()
    assert transaction.tier is tier
    if tier is PolicyTier.DELAY:
        if state == "during DELAY":
            change(shop)
            assert shop.standing(transaction).tightening is None  # there is time to change it back
        shop.clock.jump(60)
    if state == "during APPROVAL":
        change(shop)
    if tier is PolicyTier.APPROVAL:
        assert shop.approve(transaction) is None
    if state.endswith("before SIGN"):
        assert shop.step(transaction).status is TransactionStatus.EXECUTING
    if not state.startswith("during"):
        change(shop)
    return transaction


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("change", GOES_ON)
def test_what_the_policies_of_now_still_let_through_is_paid(
    state: str, change: Any, shop: Shop
) -> None:
    transaction = bring(shop, state, change)
    paid = shop.finish(transaction)
    assert (paid.status, paid.tier) == (TransactionStatus.CONFIRMED, transaction.tier)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("change", ENDS)
def test_what_they_would_deny_ends_before_it_is_signed(state: str, change: Any, shop: Shop) -> None:
    transaction = bring(shop, state, change)
    shop.finish(transaction)
    assert ENDS[change] in shop.held_back(transaction)
    assert shop.signer.signed == 0


@pytest.mark.parametrize("state", STATES)
def test_control_what_is_not_judged_again_is_paid(
    state: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perform_module, "tightening", lambda *_args, **_kwargs: None)
    paid = shop.finish(bring(shop, state, tightened))
    assert paid.status is TransactionStatus.CONFIRMED


def test_a_policy_that_changes_while_it_is_signed_makes_the_signature_be_forgotten(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = bring(shop, "before SIGN", unchanged)
    sign = shop.signer.sign

    def slowly(*given: Any) -> bytes:
        tightened(shop)
        return sign(*given)

    monkeypatch.setattr(shop.signer, "sign", slowly)
    shop.finish(transaction)
    assert shop.signer.signed == 1
    shop.held_back(transaction)
    assert shop.rows("SELECT signed FROM attempts") == [(None,)]


@pytest.mark.parametrize("change", ENDS)
@pytest.mark.parametrize("steps", [2, 3])
def test_what_is_signed_is_never_affected(steps: int, change: Any, shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT)
    transaction = shop.pay()
    shop.step(transaction, steps)
    change(shop)
    assert not shop.standing(transaction).is_forbidden
    shop.step(transaction, 3 - steps)
    shop.chain.pass_blocks(1)
    assert shop.step(transaction).status is TransactionStatus.CONFIRMED


# ── more care ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("decided", PolicyTier)
@pytest.mark.parametrize("needed", PolicyTier)
def test_no_more_care_is_asked_of_a_payment_than_it_had(
    decided: PolicyTier, needed: PolicyTier
) -> None:
    tiers = list(PolicyTier)
    has_enough = tiers.index(needed) <= tiers.index(decided)
    why = None if has_enough else f"it needs the tier {needed}, and was let through as {decided}"
    assert objection_to(decided, Allow(needed), rent=0) == why


def test_a_denial_and_what_was_never_let_through_are_objections() -> None:
    violation = Violation(ErrorCode.POLICY_DENIED, "RULE", "no")
    assert objection_to(PolicyTier.APPROVAL, Deny((violation,)), rent=0) == "no"
    assert objection_to(None, Allow(PolicyTier.INSTANT), rent=0) is not None


@pytest.mark.parametrize("needed", [PolicyTier.DELAY, PolicyTier.APPROVAL])
def test_a_payment_that_would_have_to_wait_by_now_does_not_go_out(
    needed: PolicyTier, shop: Shop
) -> None:
    shop.limit(PolicyTier.INSTANT)
    transaction = shop.pay()
    shop.clear()
    shop.limit(needed)
    shop.finish(transaction)
    reason = f"it needs the tier {needed}, and was let through as INSTANT"
    assert shop.held_back(transaction) == reason


def test_looser_policies_shorten_no_wait(shop: Shop) -> None:
    shop.limit(PolicyTier.DELAY)
    transaction = shop.pay()
    loosened(shop)
    shop.clock.jump(59)
    assert shop.standing(transaction).step is None
    shop.clock.jump(1)
    assert shop.finish(transaction).status is TransactionStatus.CONFIRMED


# ── whose money counts ─────────────────────────────────────────────────────────────────────────


def test_of_two_that_wait_the_one_that_was_first_has_the_room_that_is_left(shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT)
    first, second = shop.pay(), shop.pay()
    met_exactly(shop)
    shop.finish(second)
    assert "would bring it to 200" in shop.held_back(second)
    assert shop.finish(first).status is TransactionStatus.CONFIRMED


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_what_overtook_it_and_cannot_be_called_back_takes_the_room(steps: int, shop: Shop) -> None:
    shop.limit(PolicyTier.DELAY)
    slow = shop.pay()
    loosened(shop)
    fast = shop.pay()
    shop.step(fast, min(steps, 3))
    if steps == 4:
        shop.chain.pass_blocks(1)
        shop.step(fast)
    shop.clear()
    shop.limit(PolicyTier.DELAY, daily_max="150")
    shop.clock.jump(60)
    ended = shop.finish(slow)
    assert ended.status is TransactionStatus.CANCELLED
    assert "daily_max of native is 150, and this payment would bring it to 200" in (
        ended.error or ""
    )


def test_what_overtook_it_counts_though_the_rule_was_changed_back_in_the_same_second(
    shop: Shop,
) -> None:
    shop.limit(PolicyTier.DELAY, daily_max="150")
    slow, [policy] = shop.pay(), shop.policies
    loose = json.dumps({**STILL, **BY_TIER[PolicyTier.INSTANT]})
    for rules in (loose, policy.rules):
        terms: Any = {"ip_address": None, "ledger": shop.ledger, "clock": shop.clock}
        asyncio.run(change_policy(policy.id, rules=rules, priority=None, enabled=None, **terms))
        if rules == loose:
            shop.step(shop.pay(), 3)
    shop.clock.jump(60)
    ended = shop.step(slow)
    assert ended.status is TransactionStatus.CANCELLED
    assert "daily_max of native is 150, and this payment would bring it to 200" in (
        ended.error or ""
    )


def test_what_overtook_it_and_has_left_the_window_does_not(shop: Shop) -> None:
    rules = {"instant_max": "1", "delay_max": "500", "delay_seconds": 7200}
    shop.set((LIMIT, {"asset": "native", **rules}))
    slow = shop.pay()
    loosened(shop)
    assert shop.finish(shop.pay()).status is TransactionStatus.CONFIRMED
    shop.clear()
    shop.limit(PolicyTier.DELAY, hourly_max="150")
    shop.clock.jump(7200)
    assert shop.finish(slow).status is TransactionStatus.CONFIRMED


def test_what_had_moved_before_it_was_decided_counts(shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT)
    assert shop.finish(shop.pay()).status is TransactionStatus.CONFIRMED
    shop.clock.jump(7200)
    transaction = shop.pay()
    shop.limit(PolicyTier.INSTANT, hourly_max="150")
    assert shop.standing(transaction).tightening is None
    shop.limit(PolicyTier.INSTANT, daily_max="150")
    assert "would bring it to 200" in (shop.step(transaction).error or "")


def test_what_had_moved_by_a_second_is_read_from_the_ledger(shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT)
    shop.finish(shop.pay(30))
    shop.clock.jump(10)
    shop.finish(shop.pay(30))

    def unit(tx: LedgerTransaction) -> None:
        moved = LedgerSpent(tx, shop.agent_id, NATIVE)
        assert [moved.until(START_S + second) for second in (-1, 0, 9, 10)] == [0, 30, 30, 60]
        reached = [moved.reaches(amount, by_s=START_S + 10) for amount in (1, 30, 31, 60, 61)]
        assert reached == [START_S, START_S, *[START_S + 10] * 3]
        assert moved.reaches(31, by_s=START_S + 5) == START_S + 5

    shop.ledger.read(unit)


def test_beside_what_is_gone_requests_are_counted_as_they_were(shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT)
    shop.finish(shop.pay(30))
    shop.step(shop.pay(20), 2)  # signed
    shop.pay(7)
    answers = Answers(admitted_after={5: 2}, admitted_at={1: 7}, session=SessionUse(3, 4))
    then = RecordedUsage(answers, now_s=START_S)
    [(decision, _), *_] = shop.decisions()

    def unit(tx: LedgerTransaction) -> None:
        gone = Gone(tx, decision, then, now_s=START_S + 60)
        assert gone.in_flight(NATIVE) == InFlight(0, 20)
        assert [gone.spent_after(NATIVE, START_S - each) for each in (61, 60, 59)] == [30, 0, 0]
        assert gone.spent_so_far(NATIVE, START_S - 61, 30) == START_S
        counted = (gone.admitted_after(5), gone.admitted_at(1), gone.session())
        assert counted == (2, 7, SessionUse(3, 4))

    shop.ledger.read(unit)


def test_what_was_admitted_later_does_not_count_against_its_number(shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT)
    payments = [shop.pay(10) for _ in range(3)]
    shop.set((PolicyType.RATE_LIMIT, {"max_requests": 2, "window_seconds": 60}))
    ended = [shop.finish(each) for each in payments]
    assert [each.status is TransactionStatus.CONFIRMED for each in ended] == [True, True, False]
    assert "2 requests in 60 seconds is the most" in (ended[2].error or "")


# ── who approved it ────────────────────────────────────────────────────────────────────────────


def challenge(shop: Shop, transaction: TransactionRecord) -> Challenge:
    """Return an owner's approval under the policies of now, as his signature makes it."""
    return Challenge(
        nonce="0" * 32,
        action=OwnerAction.APPROVE,
        agent_id=shop.agent_id,
        tx_id=transaction.id,
        owner_address=OWNER,
        policy_version=policy_version(shop.policies),
        audit_sequence=0,
        audit_hash="0" * 64,
        message="text",
        created_at=START_S,
        expires_at=START_S + 900,
        used_at=START_S,
        refusals=NO_REFUSALS,
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_owners_approval_does_not_lift_what_policies_forbid_by_then(
    when: str, shop: Shop
) -> None:
    shop.limit(PolicyTier.APPROVAL)
    transaction = shop.pay()
    if when == "before":
        tightened(shop)
    owner, approved = Owner(OWNER, is_verified=True), challenge(shop, transaction)
    shop.ledger.write(
        lambda tx: tx.owners.compare_and_set(shop.agent_id, old=NO_OWNER, new=owner, now_s=START_S)
    )
    shop.ledger.write(lambda tx: tx.challenges.insert(approved))
    by = Decider(None, None, None, owner_address=OWNER)
    assert shop.approve(transaction, by) is None
    if when == "after":
        tightened(shop)
        error = shop.finish(transaction).error or ""
        assert error.startswith("CHALLENGE_STALE: ")  # he approved it under others
    else:
        shop.finish(transaction)
        shop.held_back(transaction)


# ── what is not known ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE decisions SET usage = '{}'",
        "UPDATE decisions SET usage = '[1]'",
        """UPDATE decisions SET usage = '{"in_flight":{"native":["x","0"]}}'""",
        "UPDATE terms SET document = '[]'",
        "DELETE FROM decisions",
    ],
)
def test_what_it_was_decided_on_is_not_guessed(damage: str, shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT)
    transaction = shop.pay()
    met_exactly(shop)
    for name in shop.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        shop.run(f"DROP TRIGGER {name[0]}")
    shop.run(damage)
    shop.finish(transaction)
    assert shop.held_back(transaction).startswith("what it was decided on is not known")


def test_a_request_that_was_tampered_with_is_left_to_whoever_builds_on_it(shop: Shop) -> None:
    shop.limit(PolicyTier.INSTANT)
    transaction = shop.pay()
    deleted(shop)
    for name in shop.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        shop.run(f"DROP TRIGGER {name[0]}")
    shop.run("UPDATE requests SET request = '{}'")
    assert shop.standing(transaction).tightening is None


# ── whatever happens ───────────────────────────────────────────────────────────────────────────

ACTS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 60)),
    st.tuples(st.just("step"), st.integers(0, 5)),
    st.tuples(st.just("step"), st.integers(0, 5)),
    st.tuples(st.just("approve"), st.integers(0, 5)),
    st.tuples(st.just("change"), st.lists(limits() | RULES, min_size=1, max_size=2)),
    st.tuples(st.just("pass"), st.sampled_from([1, 300, 3000])),
)
WIDE: Final = (LIMIT, {"asset": "native", "instant_max": "60", "delay_max": "90"})


def denied_by_a_back_test(shop: Shop, tx_id: TransactionId) -> bool:
    """Tell what `waiaas policy backtest` says of the policies of now."""
    report = shop.try_rules(NewRules(tuple(shop.policies), shop.agent_id))
    assert not report.unknown
    return tx_id in {each.tx_id for each in report.newly_denied}


def overspent(shop: Shop) -> list[str]:
    """Return the windows that deny, and above which is what has been signed or has moved."""
    now_s = max(shop.clock.now_s(), shop.ledger.read(lambda tx: tx.audit.latest_timestamp()))
    sql = "SELECT r.amount, r.settled_at FROM reservations r JOIN transactions t ON t.id = r.tx_id"
    gone = shop.rows(f"{sql} WHERE t.tx_hash IS NOT NULL AND r.state != 'RELEASED'")
    found = []
    for rule in [parse_policy(each) for each in shop.policies]:
        if isinstance(rule, SpendingLimit) and rule.subject == NATIVE and rule.on_exceed == "deny":
            for name, most in rule.window_max.items():
                since_s = now_s - WINDOWS_S[name]
                spent = [int(each) for each, at in gone if at is None or at > since_s]
                found += [name] if sum(spent) > most else []
    return found


def play(acts: list[tuple[str, Any]]) -> tuple[int, list[str]]:
    """Let everything happen; return how much was signed, and what of it the policies deny."""
    wrong: list[str] = []
    with Shop() as shop:
        shop.set(WIDE)
        asked: list[TransactionRecord] = []
        for act, given in [*acts, *(("step", n) for n in range(6) for _ in range(2))]:
            if act == "ask":
                asked.append(shop.ask(Transfer(A, given)).transaction)
            elif act == "pass":
                shop.clock.jump(given)
            elif act == "change":
                shop.clear()
                shop.set(WIDE, *given)
            elif given < len(asked):
                transaction = shop.now(asked[given])
                if act == "approve":
                    shop.approve(transaction)
                else:
                    shop.chain.pass_blocks(1)
                    now = shop.step(transaction)
                    if now.tx_hash is not None and transaction.tx_hash is None:
                        wrong += ["denied"] if denied_by_a_back_test(shop, now.id) else []
                        wrong += overspent(shop)
        return shop.signer.signed, wrong


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(ACTS, min_size=6, max_size=20))
def test_nothing_is_signed_that_the_policies_at_signing_deny(acts: list[tuple[str, Any]]) -> None:
    assert play(acts)[1] == []


LOWERED = (LIMIT, {"asset": "native", "instant_max": "60", "daily_max": "50"})
OVERTAKEN = [("ask", 30), ("ask", 30), ("step", 1), ("step", 1), ("change", [LOWERED])]
"""The second one is signed, and then there is no more room for the first."""


def test_control_what_is_not_judged_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(OVERTAKEN) == (1, [])
    monkeypatch.setattr(tightened_module, "Gone", lambda _tx, _decision, then, **_: then)
    assert play(OVERTAKEN) == (2, ["daily_max"])  # the facts of its decision alone let it through
    monkeypatch.setattr(perform_module, "tightening", lambda *_args, **_kwargs: None)
    lowered_twice = [*OVERTAKEN, ("change", [(LIMIT, {**LOWERED[1], "daily_max": "1"})])]
    assert play(lowered_twice) == (2, ["denied", "daily_max"])
