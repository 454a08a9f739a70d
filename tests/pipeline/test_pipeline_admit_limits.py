"""Limits hold under any interleaving, amount and clock; the naive way overspends."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.payments import payment_row
from tests.policy.listed import ListedUsage, Spending

from waiaas.database import create_database, generate_id, open_ledger
from waiaas.database.tables import Tables
from waiaas.domain.assets import Network
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import (
    AuditAction,
    ChainType,
    NetworkType,
)
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import TransactionId
from waiaas.domain.money import NATIVE
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.admit import Admission, Caller
from waiaas.policy.evaluate import evaluate
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.verdict import Allow
from waiaas.ports import LedgerTransaction

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
HOUR_S = 3600
DAY_S = 24 * HOUR_S
HUGE = 2**256 - 1
LOCALNET = Network(ChainType.SOLANA, NetworkType.LOCALNET)
RECIPIENT = "So11111111111111111111111111111111111111112"
PRICE = 7
CALLERS = 200


def allowed(admission: Admission) -> bool:
    return admission.refusal is None


def settle(office: "Office", tx_id: TransactionId, state: ReservationState) -> None:
    now_s = office.clock.now_s()
    assert office.ledger.write(lambda tx: tx.reservations.settle(tx_id, state=state, now_s=now_s))


# ── at once ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bound", ["hourly_max", "daily_max", "weekly_max", "monthly_max"])
@pytest.mark.parametrize("most", [1000, 994, 995, 993])
def test_concurrent_payments_fill_a_limit_and_never_pass_it(
    bound: str, most: int, office: "Office"
) -> None:
    caller = office.hire(limits={bound: most})

    async def all_at_once() -> list[Admission]:
        return await asyncio.gather(*(office.ask(caller, PRICE) for _ in range(CALLERS)))

    admissions = asyncio.run(all_at_once())
    paid = sum(PRICE for each in admissions if allowed(each))
    assert most - PRICE < paid <= most
    held = [int(row.amount) for row in office.rows("reservations")]
    assert sum(held) == paid
    refusals = {each.refusal.code for each in admissions if each.refusal}
    assert refusals == {ErrorCode.SPENDING_LIMIT_EXCEEDED}


def test_a_thousand_at_once_at_a_cap_are_not_one_unit_over(office: "Office") -> None:
    caller = office.hire(limits={"daily_max": 500 * PRICE, "weekly_max": 500 * PRICE + PRICE - 1})

    async def all_at_once() -> list[Admission]:
        return await asyncio.gather(*(office.ask(caller, PRICE) for _ in range(1000)))

    assert sum(allowed(each) for each in asyncio.run(all_at_once())) == 500
    assert sum(int(row.amount) for row in office.rows("reservations")) == 500 * PRICE


def test_control_checking_and_reserving_in_two_transactions_overspends(office: "Office") -> None:
    caller = office.hire(limits={"daily_max": 1000})
    asked = Transfer(RECIPIENT, PRICE)

    async def naive() -> bool:
        def check(tx: LedgerTransaction) -> bool:
            held = tx.reservations.held(caller.agent_id, asset=NATIVE)
            usage = ListedUsage({NATIVE: Spending(going_out=sum(each.base_units for each in held))})
            policies = tx.policies.applying_to(caller.agent_id)
            verdict = evaluate(
                asked,
                network=LOCALNET,
                policies=policies,
                usage=usage,
                waits=WaitDefaults(),
                now_s=NOW_S,
            )
            return isinstance(verdict, Allow)

        if not await office.ledger.write_async(check):
            return False
        await office.ledger.write_async(lambda tx: reserve(tx, caller))
        return True

    async def all_at_once() -> list[bool]:
        return await asyncio.gather(*(naive() for _ in range(CALLERS)))

    assert sum(asyncio.run(all_at_once())) * PRICE > 1000


def reserve(tx: LedgerTransaction, caller: Caller) -> None:
    """Do what the naive way does after its check."""
    tx_id = TransactionId(generate_id())
    tx.transactions.insert(
        payment_row(
            tx_id,
            caller.agent_id,
            session_id=caller.session_id,
            amount=str(PRICE),
            created_at=NOW_S,
        )
    )
    tx.reservations.hold(
        tx_id, agent_id=caller.agent_id, asset=NATIVE, amount=str(PRICE), now_s=NOW_S
    )


def test_concurrent_retries_with_one_key_are_one_payment(office: "Office") -> None:
    caller = office.hire()
    before = office.counts()

    async def all_at_once() -> list[Admission]:
        return await asyncio.gather(*(office.ask(caller, PRICE, key="k") for _ in range(50)))

    admissions = asyncio.run(all_at_once())
    assert len({each.transaction.id for each in admissions}) == 1
    written = {name: count - before[name] for name, count in office.counts().items()}
    assert {name: count for name, count in written.items() if count} == {
        "transactions": 1,
        "requests": 1,
        "reservations": 1,
        "audit_log": 1,
    }


def test_of_concurrent_requests_that_share_a_key_one_is_admitted(office: "Office") -> None:
    caller = office.hire()

    async def all_at_once() -> list[Admission | BaseException]:
        return await asyncio.gather(
            *(office.ask(caller, amount, key="k") for amount in range(1, 51)),
            return_exceptions=True,
        )

    outcomes = asyncio.run(all_at_once())
    refused = [each for each in outcomes if isinstance(each, Refusal)]
    assert len(refused) == 49
    assert {each.code for each in refused} == {ErrorCode.IDEMPOTENCY_KEY_REUSED}
    assert len(office.rows("transactions")) == 1


def test_agents_do_not_use_up_each_others_limits(office: "Office") -> None:
    callers = [office.hire(limits={"daily_max": 10}) for _ in range(3)]
    assert all(allowed(office.ask_now(caller, 10)) for caller in callers)
    assert not any(allowed(office.ask_now(caller, 1)) for caller in callers)


# ── what counts ────────────────────────────────────────────────────────────────────────────────


def test_money_in_flight_counts_however_old_it_is(office: "Office") -> None:
    caller = office.hire(limits={"hourly_max": 10, "instant_max": 10})
    office.ask_now(caller, 10)
    office.clock.wall_s += 29 * DAY_S
    assert not allowed(office.ask_now(caller, 1))


def test_released_money_stops_counting_at_once(office: "Office") -> None:
    caller = office.hire(limits={"hourly_max": 10})
    settle(office, office.ask_now(caller, 10).transaction.id, ReservationState.RELEASED)
    assert allowed(office.ask_now(caller, 10))


def test_spent_money_counts_from_when_it_was_recorded_for_exactly_the_window(
    office: "Office",
) -> None:
    caller = office.hire(limits={"hourly_max": 10})
    tx_id = office.ask_now(caller, 10).transaction.id
    office.clock.wall_s += 500
    settle(office, tx_id, ReservationState.SPENT)
    office.clock.wall_s += HOUR_S - 1
    denied = office.ask_now(caller, 1)
    assert denied.refusal is not None
    assert denied.refusal.details["retryAt"] == office.clock.now_s() + 1
    office.clock.wall_s += 1
    assert allowed(office.ask_now(caller, 10))


def test_a_clock_set_back_does_not_reopen_a_window_that_was_spent(office: "Office") -> None:
    caller = office.hire(limits={"daily_max": 10})
    settle(office, office.ask_now(caller, 10).transaction.id, ReservationState.SPENT)
    for hours in (-25, -1, 0, 23):
        office.clock.wall_s = NOW_S + hours * HOUR_S
        assert not allowed(office.ask_now(caller, 1))
    office.clock.wall_s = NOW_S + DAY_S
    assert allowed(office.ask_now(caller, 10))


def test_sums_past_64_and_near_256_bits_are_exact(office: "Office") -> None:
    caller = office.hire(limits={"daily_max": HUGE})
    rest = HUGE - 2**63 - 2**64 - 2**255
    for amount in (2**63, 2**64, 2**255):
        tx_id = office.ask_now(caller, amount).transaction.id
        if amount != 2**64:
            settle(office, tx_id, ReservationState.SPENT)
    denied = office.ask_now(caller, rest + 1)
    assert denied.refusal is not None
    assert denied.refusal.details["observed"] == str(HUGE + 1)
    assert denied.refusal.details["maxAllowed"] == str(rest)
    assert office.ask_now(caller, rest).refusal is None
    assert not allowed(office.ask_now(caller, 1))


# ── any history ────────────────────────────────────────────────────────────────────────────────

ACTS = st.lists(
    st.tuples(st.just("ask"), st.integers(1, 12))
    | st.tuples(st.sampled_from(["spend", "release"]), st.integers(0, 5))
    | st.tuples(
        st.just("wait"),
        st.integers(-2 * DAY_S, 2 * DAY_S) | st.sampled_from([HOUR_S - 1, HOUR_S, DAY_S]),
    ),
    max_size=30,
)


def _settle(
    tx: LedgerTransaction, *, tx_id: TransactionId, state: ReservationState, now_s: int
) -> None:
    """Settle with an audit row, as the pipeline does: by it ledger time never goes back."""
    tx.reservations.settle(tx_id, state=state, now_s=now_s)
    tx.audit.append(AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM, tx_id=tx_id), now_s=now_s)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(acts=ACTS, hourly=st.integers(1, 20), daily=st.integers(1, 40))
def test_whatever_happens_no_window_ever_holds_more_than_its_bound(
    acts: list[tuple[str, int]], hourly: int, daily: int, office: "Office"
) -> None:
    """Every second of the ledger's history is looked at, by adding up what was let through."""
    office.clock.wall_s = NOW_S
    caller = office.hire(
        limits={"hourly_max": hourly, "daily_max": daily}, expires_at=NOW_S + 10**9
    )
    flying: list[tuple[TransactionId, int]] = []
    spent: list[tuple[int, int]] = []
    now_s = 0
    for act, number in acts:
        if act == "wait":
            office.clock.wall_s += number
        elif act == "ask":
            admission = office.ask_now(caller, number)
            now_s = admission.transaction.created_at
            if allowed(admission):
                flying.append((admission.transaction.id, number))
        elif flying:
            tx_id, amount = flying.pop(number % len(flying))
            state = ReservationState.SPENT if act == "spend" else ReservationState.RELEASED
            now_s = max(now_s, office.clock.now_s())  # as ledger time would
            office.ledger.write(partial(_settle, tx_id=tx_id, state=state, now_s=now_s))
            if act == "spend":
                spent.append((now_s, amount))
        in_flight = sum(amount for _, amount in flying)
        for window_s, bound in ((HOUR_S, hourly), (DAY_S, daily)):
            recent = sum(amount for at, amount in spent if at > now_s - window_s)
            assert recent + in_flight <= bound


def test_limits_survive_a_restart(office: "Office") -> None:
    caller = office.hire(limits={"daily_max": 10})
    office.ask_now(caller, 10)
    office.ledger.close()
    office.ledger = open_ledger(office.directory)
    assert not allowed(office.ask_now(caller, 1))


def test_a_limit_that_another_connection_lowered_holds_for_the_next_payment(
    office: "Office",
) -> None:
    caller = office.hire(limits={"daily_max": 10})
    assert allowed(office.ask_now(caller, 1))  # From here on the writer remembers the rule.
    with create_database(office.ledger.path) as other, other.db.transaction():
        policies = Tables(other.db.execute).policies
        [limit] = policies.applying_to(caller.agent_id)
        policies.set_rules(limit._replace(rules=limit.rules.replace('"10"', '"2"')))
    refused = office.ask_now(caller, 2)
    assert refused.refusal is not None
    assert refused.refusal.code is ErrorCode.SPENDING_LIMIT_EXCEEDED
    assert allowed(office.ask_now(caller, 1))
