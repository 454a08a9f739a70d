"""What a ledger says of the past is exactly what adding it up says, at every second.

Random payments are held, spent and released by a clock that may stand still; then the ledger's
sums are held against those of a list. A control shows that one second to either side is noticed.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.fakes.payments import payment_row
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.database import DatabaseConnection, create_database, push_schema
from waiaas.database.ids import generate_id
from waiaas.database.schema import reservations
from waiaas.database.tables import Tables
from waiaas.domain.enums import (
    AgentStatus,
    ChainType,
    NetworkType,
    PolicyTier,
)
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import AcceptedRequest, AgentRecord
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.usage import GOES_OUT, LedgerUsage

NATIVE: Final = "native"
ASSETS: Final = (NATIVE, "So11111111111111111111111111111111111111112")
START_S: Final = 1_700_000_000
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
MONTH_S: Final = 30 * DAY_S
SPENT: Final = ReservationState.SPENT

# Clocks that stand still, and that pass the edges of minutes, hours, days and months.
STEPS = st.sampled_from([0, 0, 0, 1, 1, 59, 60, 61, 3599, 3600, 86_400, MONTH_S - 1, MONTH_S])
AMOUNTS = st.integers(1, 9) | st.integers(1, 2**256 - 1) | st.just(2**256 - 1)
ENDINGS = st.sampled_from([None, SPENT, SPENT, ReservationState.RELEASED])
Payment = tuple[int, str, PolicyTier, int, ReservationState | None]
PAYMENTS: st.SearchStrategy[list[Payment]] = st.lists(
    st.tuples(STEPS, st.sampled_from(ASSETS), st.sampled_from(PolicyTier), AMOUNTS, ENDINGS),
    max_size=12,
)


@pytest.fixture(scope="module")
def connection() -> Iterator[DatabaseConnection]:
    with create_database(":memory:") as opened:
        push_schema(opened)
        yield opened


def hire(tables: Tables) -> AgentId:
    agent_id = AgentId(generate_id())
    key = f"key of {agent_id}"
    tables.agents.insert(
        AgentRecord(
            agent_id,
            "agent",
            ChainType.SOLANA,
            NetworkType.LOCALNET,
            key,
            AgentStatus.ACTIVE,
            1,
            suspended_at=None,
            suspension_reason=None,
        )
    )
    return agent_id


def pay(
    tables: Tables,
    agent_id: AgentId,
    amount: int = 1,
    *,
    asset: str = NATIVE,
    tier: PolicyTier = PolicyTier.INSTANT,
    now_s: int = START_S,
) -> TransactionId:
    """Set money aside as an admission does."""
    tx_id = TransactionId(generate_id())
    tables.transactions.insert(
        payment_row(tx_id, agent_id, amount=str(amount), tier=tier, created_at=now_s)
    )
    tables.requests.insert(AcceptedRequest(tx_id, agent_id, None, "{}", "sha", None, None, now_s))
    tables.reservations.hold(tx_id, agent_id=agent_id, asset=asset, amount=str(amount), now_s=now_s)
    return tx_id


def play(tables: Tables, agent_id: AgentId, payments: list[Payment]) -> tuple[ListedUsage, int]:
    """Do what is listed in the ledger and on a list; return the list, and what time it is then."""
    now_s = START_S
    in_flight = {asset: [0, 0] for asset in ASSETS}
    spends: dict[str, list[Spend]] = {asset: [] for asset in ASSETS}
    admitted: list[int] = []
    for step_s, asset, tier, amount, ending in payments:
        admitted.append(now_s)
        tx_id = pay(tables, agent_id, amount, asset=asset, tier=tier, now_s=now_s)
        now_s += step_s
        if ending is None:
            in_flight[asset][tier not in GOES_OUT] += amount
            continue
        assert tables.reservations.settle(tx_id, state=ending, now_s=now_s)
        if ending is SPENT:
            spends[asset].append(Spend(now_s, amount))
    listed = {
        asset: Spending(going_out, waiting, tuple(spends[asset]))
        for asset, (going_out, waiting) in in_flight.items()
    }
    return ListedUsage(listed, tuple(admitted)), now_s


def seconds_to_ask_about(listed: ListedUsage, now_s: int) -> list[int]:
    """Return every second in which anything happened, those beside it, and the windows' edges."""
    happened = {spend.settled_at for use in listed.spending.values() for spend in use.spends}
    near = {second + beside for second in happened | {now_s} for beside in (-1, 0, 1)}
    return sorted(near | {now_s - window_s for window_s in (HOUR_S, DAY_S, 7 * DAY_S, MONTH_S)})


@settings(max_examples=60)
@given(payments=PAYMENTS, thousandths=st.integers(0, 1000))
def test_the_ledger_answers_as_adding_everything_up_does(
    connection: DatabaseConnection, payments: list[Payment], thousandths: int
) -> None:
    tables = Tables(connection.db.execute)
    agent_id = hire(tables)
    listed, now_s = play(tables, agent_id, payments)
    usage = LedgerUsage(tables, agent_id)
    for asset in ASSETS:
        assert usage.in_flight(asset) == listed.in_flight(asset) == usage.in_flight(asset)
        for since_s in seconds_to_ask_about(listed, now_s):
            spent = listed.spent_after(asset, since_s)
            assert usage.spent_after(asset, since_s) == spent
            if spent:
                asked = asset, since_s, max(1, spent * thousandths // 1000)
                assert usage.spent_so_far(*asked) == listed.spent_so_far(*asked)
    for place in range(1, len(payments) + 2):
        assert usage.admitted_at(place) == listed.admitted_at(place)
    for since_s in {START_S - 1, START_S, now_s - 1, now_s}:
        assert usage.admitted_after(since_s) == listed.admitted_after(since_s)


@pytest.mark.parametrize("off_by_s", [-1, 1])
def test_control_a_window_that_is_off_by_one_second_is_noticed(
    connection: DatabaseConnection, off_by_s: int
) -> None:
    tables = Tables(connection.db.execute)
    agent_id = hire(tables)
    moved: list[Payment] = [
        (step_s, NATIVE, PolicyTier.INSTANT, 2**n, SPENT)
        for n, step_s in enumerate((1, 1, 1, HOUR_S - 2))
    ]
    listed, now_s = play(tables, agent_id, moved)
    usage = LedgerUsage(tables, agent_id)
    exact = listed.spent_after(NATIVE, now_s - HOUR_S)
    assert usage.spent_after(NATIVE, now_s - HOUR_S) == exact
    assert usage.spent_after(NATIVE, now_s - HOUR_S + off_by_s) != exact


def test_so_much_has_never_moved(connection: DatabaseConnection) -> None:
    tables = Tables(connection.db.execute)
    agent_id = hire(tables)
    reaches = partial(tables.reservations.spent_reaches, agent_id, asset=NATIVE, after_s=0)
    assert reaches(base_units=1) is None
    tables.reservations.settle(pay(tables, agent_id, 5), state=SPENT, now_s=START_S)
    assert (reaches(base_units=5), reaches(base_units=6)) == (START_S, None)


def test_money_recorded_before_what_already_is_stops_everything(
    connection: DatabaseConnection,
) -> None:
    """Sums up to a second that is over never change: the running total rests on that."""
    tables = Tables(connection.db.execute)
    agent_id = hire(tables)
    first, second = pay(tables, agent_id), pay(tables, agent_id)
    assert tables.reservations.settle(first, state=SPENT, now_s=START_S)
    with pytest.raises(AssertionError, match="ledger time"):
        tables.reservations.settle(second, state=SPENT, now_s=START_S - 1)


# ── the cost, in steps of SQLite's machine: they do not depend on how fast this one is ──────────


def steps(connection: DatabaseConnection, act: Callable[[], object]) -> int:
    """Return how many instructions SQLite carries out for *act*."""
    taken = 0

    def count() -> bool:
        nonlocal taken
        taken += 1
        return False

    connection.sqlite.set_progress_handler(count, 1)
    try:
        act()
    finally:
        connection.sqlite.set_progress_handler(None, 1)
    return taken


def decide(tables: Tables, agent_id: AgentId, now_s: int) -> None:
    """Ask everything that rules can ask."""
    usage = LedgerUsage(tables, agent_id)
    usage.in_flight(NATIVE)
    for window_s in (HOUR_S, DAY_S, 7 * DAY_S, MONTH_S):
        spent = usage.spent_after(NATIVE, now_s - window_s)
        assert usage.spent_so_far(NATIVE, now_s - window_s, spent) == now_s
    usage.admitted_at(5)


def test_a_decision_takes_as_many_steps_after_many_payments_as_after_few(
    connection: DatabaseConnection,
) -> None:
    tables = Tables(connection.db.execute)
    agent_id = hire(tables)
    rows = select(reservations.c.amount).where(reservations.c.agent_id == agent_id)
    taken: list[tuple[int, int]] = []
    now_s = START_S
    for _ in range(2):
        for _ in range(10 if not taken else 600):
            now_s += 1
            pay(tables, agent_id, now_s=now_s, tier=PolicyTier.DELAY)
            settled = pay(tables, agent_id, now_s=now_s)
            tables.reservations.settle(settled, state=SPENT, now_s=now_s)
        bounded = steps(connection, partial(decide, tables, agent_id, now_s))
        naive = steps(connection, partial(connection.db.execute, rows))
        taken.append((bounded, naive))
    (few, few_naive), (many, many_naive) = taken
    assert many < 1.1 * few
    assert many_naive > 20 * few_naive, "control: adding rows takes more with every row"
