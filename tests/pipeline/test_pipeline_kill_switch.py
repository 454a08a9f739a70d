"""The kill switch: what one commit stops, what it refuses from then on, and the way back."""

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.events import BACKUP
from tests.fakes.reports import unexpected
from tests.pipeline.poisons import POISONS, tamper

from waiaas.database import generate_id
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import (
    AgentStatus,
    ChainType,
    KillSwitchState,
    NetworkType,
    PolicyType,
    TransactionStatus,
)
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.agent_life import AgentVerbs
from waiaas.pipeline.agents import create_agent
from waiaas.pipeline.decide import Decider, approve, cancel
from waiaas.pipeline.kill_switch import activate, recover
from waiaas.pipeline.policies import add_policy, change_policy, remove_policy, set_policy
from waiaas.pipeline.restored import mark_restored
from waiaas.pipeline.sessions import SessionRules, issue_session
from waiaas.ports import LedgerTransaction
from waiaas.system import generate_secret

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
WAIT_S = 1800
AMOUNT = 10**6
DELAYED = {"instant_max": 0, "delay_max": AMOUNT, "delay_seconds": 5}
NORMAL, ACTIVATED = KillSwitchState.NORMAL, KillSwitchState.ACTIVATED
RECOVERING = KillSwitchState.RECOVERING
ADDRESS = "127.0.0.1"
OPERATOR = Decider(None, None, ADDRESS)


def step_back(office: "Office", *, wait_s: int = WAIT_S) -> Any:
    """Take one step of the way back; return where it stands, or the code of the refusal."""
    act = recover(wait_s=wait_s, ip_address=None, ledger=office.ledger, clock=office.clock)
    try:
        return asyncio.run(act).state
    except Refusal as refusal:
        return refusal.code


def state(office: "Office") -> KillSwitchState:
    return office.ledger.read(lambda tx: tx.kill_switch.current()).state


def bring_to(office: "Office", wanted: KillSwitchState) -> None:
    if wanted is not NORMAL:
        office.kill()
    if wanted is RECOVERING:
        step_back(office)
    assert state(office) is wanted


def turn_on(office: "Office") -> Any:
    return office.kill().switch.state


def back_too_early(office: "Office") -> Any:
    office.clock.wall_s += WAIT_S - 1
    return step_back(office)


def back_in_time(office: "Office") -> Any:
    office.clock.wall_s += WAIT_S
    return step_back(office)


# fmt: off
VERBS = [
    # from        verb             answer                              and then
    (NORMAL,      turn_on,         ACTIVATED,                          ACTIVATED),
    (ACTIVATED,   turn_on,         ACTIVATED,                          ACTIVATED),
    (RECOVERING,  turn_on,         ACTIVATED,                          ACTIVATED),
    (NORMAL,      back_too_early,  ErrorCode.KILL_SWITCH_NOT_ACTIVE,   NORMAL),
    (ACTIVATED,   back_too_early,  RECOVERING,                         RECOVERING),
    (RECOVERING,  back_too_early,  ErrorCode.RECOVERY_WAIT_REQUIRED,   RECOVERING),
    (NORMAL,      back_in_time,    ErrorCode.KILL_SWITCH_NOT_ACTIVE,   NORMAL),
    (ACTIVATED,   back_in_time,    RECOVERING,                         RECOVERING),
    (RECOVERING,  back_in_time,    NORMAL,                             NORMAL),
]
# fmt: on


@pytest.mark.parametrize(("before", "verb", "answer", "after"), VERBS)
def test_each_verb_in_each_state(
    before: KillSwitchState, verb: Any, answer: Any, after: KillSwitchState, office: "Office"
) -> None:
    bring_to(office, before)
    moves = len(office.rows("kill_switch"))
    assert verb(office) == answer
    assert state(office) is after
    assert len(office.rows("kill_switch")) == moves + (before is not after)
    if isinstance(answer, ErrorCode):
        row = office.rows("audit_log")[-1]
        assert (row.event_type, row.severity) == ("OPERATION_REFUSED", "warning")
        assert json.loads(row.details) == {"operation": "recover", "code": answer}


def test_the_wait_begins_anew_when_it_is_turned_on_anew(office: "Office") -> None:
    bring_to(office, RECOVERING)
    office.clock.wall_s += WAIT_S
    office.kill()
    assert step_back(office) is RECOVERING
    assert step_back(office) is ErrorCode.RECOVERY_WAIT_REQUIRED


def test_a_clock_that_is_set_back_does_not_shorten_the_wait(office: "Office") -> None:
    bring_to(office, RECOVERING)
    office.clock.wall_s -= 10**6
    assert step_back(office) is ErrorCode.RECOVERY_WAIT_REQUIRED


# ── one commit ─────────────────────────────────────────────────────────────────────────────────


def test_one_commit_stops_everything_and_says_what(office: "Office") -> None:
    instant, delayed, idle = office.hire(), office.hire(limits=DELAYED), office.hire()
    office.suspend(idle)
    office.admit_session(instant.agent_id)
    asked = [office.ask_now(caller, AMOUNT).transaction for caller in (instant, delayed, delayed)]
    rows_before = len(office.rows("audit_log"))
    done = office.kill()
    assert (done.agents_suspended, done.sessions_revoked) == (2, 4)
    assert (done.transactions_cancelled, done.transactions_under_way) == (3, 0)
    for transaction in asked:
        ended = office.transaction(transaction.id)
        assert ended.status is TransactionStatus.CANCELLED
        assert ended.error == "KILL_SWITCH_ACTIVE: called off by the kill switch"
        assert office.reservation(ended.id) == (ReservationState.RELEASED, str(AMOUNT))
    assert {row.status for row in office.rows("agents")} == {AgentStatus.SUSPENDED}
    assert {row.suspension_reason for row in office.rows("agents")} == {"KILL_SWITCH: a test", None}
    assert all(row.revoked_at == NOW_S for row in office.rows("sessions"))
    events = [row.event_type for row in office.rows("audit_log")][rows_before:]
    assert events.count("SESSION_REVOKED") == 4
    assert events.count("TX_CANCELLED") == 3
    assert events.count("AGENT_SUSPENDED") == 2
    row = office.rows("audit_log")[-1]
    assert (row.event_type, row.actor, row.severity) == (
        "KILL_SWITCH_ACTIVATED",
        "operator",
        "critical",
    )
    assert json.loads(row.details) == {
        "reason": "a test",
        "agentsSuspended": 2,
        "sessionsRevoked": 4,
        "transactionsCancelled": 3,
        "transactionsUnderWay": 0,
    }


def test_turning_it_on_twice_changes_nothing_the_second_time(office: "Office") -> None:
    office.ask_now(office.hire(), AMOUNT)
    office.kill()
    before, rows = office.counts(), [office.rows("agents"), office.rows("sessions")]
    office.clock.wall_s += 60
    again = office.kill()
    assert (again.agents_suspended, again.sessions_revoked, again.transactions_cancelled) == (
        0,
        0,
        0,
    )
    assert again.switch.since_at == NOW_S
    told = {name: before[name] + 1 for name in ("audit_log", "outbox")}
    assert office.counts() == before | told
    assert [office.rows("agents"), office.rows("sessions")] == rows


def test_a_failure_anywhere_in_it_leaves_nothing_of_it(office: "Office") -> None:
    """One transaction: it is all there or not at all."""
    office.ask_now(office.hire(), AMOUNT)
    before = office.counts(), office.rows("agents"), office.rows("transactions")

    async def scenario() -> None:
        class Failing:
            """A ledger whose units fail after their last statement."""

            async def write_from_reserve(self, unit: Any, *, smaller: Any) -> Any:
                def failing(tx: LedgerTransaction) -> Any:
                    unit(tx)
                    raise ZeroDivisionError

                assert smaller
                return await office.ledger.write_async(failing)

        failing: Any = Failing()
        await activate(None, ip_address=None, ledger=failing, clock=office.clock, report=unexpected)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scenario())
    assert (office.counts(), office.rows("agents"), office.rows("transactions")) == before
    assert state(office) is NORMAL


def test_it_holds_over_a_restart(office: "Office") -> None:
    bring_to(office, ACTIVATED)
    office.reopen()
    assert state(office) is ACTIVATED


def test_a_session_that_has_expired_is_revoked_if_a_payment_of_it_is_under_way(
    office: "Office",
) -> None:
    caller = office.hire(expires_at=NOW_S + 1)
    other = office.hire(expires_at=NOW_S + 1)
    office.ask_now(caller, AMOUNT)
    office.clock.wall_s += 1
    assert office.kill().sessions_revoked == 1
    revoked = {row.id for row in office.rows("sessions") if row.revoked_at is not None}
    assert revoked == {caller.session_id}
    assert other.session_id not in revoked


def test_in_a_restored_ledger_it_stops_and_frees_nothing(office: "Office") -> None:
    transaction = office.ask_now(office.hire(limits=DELAYED), AMOUNT).transaction
    office.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))
    done = office.kill()
    assert (done.agents_suspended, done.sessions_revoked) == (1, 1)
    assert (done.transactions_cancelled, done.transactions_under_way) == (0, 1)
    assert office.transaction(transaction.id).status is TransactionStatus.QUEUED
    assert office.reservation(transaction.id) == (ReservationState.HELD, str(AMOUNT))


# ── while it is on ─────────────────────────────────────────────────────────────────────────────


class NoKeystore:
    """A keystore that makes keys and keeps none."""

    def generate(self, _: str, *, chain: ChainType, network: NetworkType) -> str:
        return solana_address(f"{chain} {network} {generate_id()}".encode()[-32:])

    def store(self, _: str) -> None:
        """Keep nothing."""


def ask_for_agent(office: "Office", _: Caller, keystore: Any = NoKeystore()) -> Any:  # noqa: B008
    return create_agent(
        "agent",
        chain=ChainType.SOLANA,
        network=NetworkType.LOCALNET,
        profile=None,
        ip_address=ADDRESS,
        ledger=office.ledger,
        keystore=keystore,
        clock=office.clock,
        generate_id=generate_id,
    )


def ask_for_session(office: "Office", caller: Caller) -> Any:
    return issue_session(
        caller.agent_id,
        ttl_s=300,
        constraints=None,
        ip_address=ADDRESS,
        rules=SessionRules(),
        ledger=office.ledger,
        clock=office.clock,
        generate_id=generate_id,
        generate_secret=generate_secret,
    )


def ask_for_policy(office: "Office", caller: Caller, act: Any = set_policy) -> Any:
    return act(
        caller.agent_id,
        kind=PolicyType.SPENDING_LIMIT,
        rules='{"asset": "native", "instant_max": "1"}',
        priority=0,
        enabled=True,
        ip_address=ADDRESS,
        ledger=office.ledger,
        clock=office.clock,
        generate_id=generate_id,
    )


def ask_for_another_policy(office: "Office", caller: Caller) -> Any:
    return ask_for_policy(office, caller, add_policy)


def ask_for_change(office: "Office", caller: Caller) -> Any:
    [row] = office.ledger.read(lambda tx: tx.policies.of(caller.agent_id))
    return change_policy(
        row.id,
        rules=None,
        priority=None,
        enabled=False,
        ip_address=ADDRESS,
        ledger=office.ledger,
        clock=office.clock,
    )


def ask_for_removal(office: "Office", caller: Caller) -> Any:
    [row] = office.ledger.read(lambda tx: tx.policies.of(caller.agent_id))
    return remove_policy(row.id, ip_address=ADDRESS, ledger=office.ledger, clock=office.clock)


def ask_for_resumption(office: "Office", caller: Caller) -> Any:
    return AgentVerbs(office.ledger, office.clock, ADDRESS, unexpected).resume(caller.agent_id)


LOOSEN: dict[str, Callable[["Office", Caller], Any]] = {
    "create agent": ask_for_agent,
    "issue session": ask_for_session,
    "set policy": ask_for_policy,
    "add policy": ask_for_another_policy,
    "change policy": ask_for_change,
    "remove policy": ask_for_removal,
    "resume agent": ask_for_resumption,
}


@pytest.mark.parametrize("stands", [ACTIVATED, RECOVERING])
@pytest.mark.parametrize("what", LOOSEN)
def test_while_it_is_on_nothing_is_loosened(
    what: str, stands: KillSwitchState, office: "Office"
) -> None:
    caller = office.hire()
    bring_to(office, stands)
    before = office.counts()
    with pytest.raises(Refusal) as refusal:
        asyncio.run(LOOSEN[what](office, caller))
    assert refusal.value.code is ErrorCode.KILL_SWITCH_ACTIVE
    assert refusal.value.hint
    assert office.counts() == {**before, "audit_log": before["audit_log"] + 1}
    row = office.rows("audit_log")[-1]
    assert json.loads(row.details) == {"operation": what, "code": "KILL_SWITCH_ACTIVE"}
    assert row.ip_address == ADDRESS


@pytest.mark.parametrize("what", LOOSEN)
def test_what_loosens_leaves_a_row_that_says_from_where(what: str, office: "Office") -> None:
    caller = office.hire()
    if what == "resume agent":
        verbs = AgentVerbs(office.ledger, office.clock, ADDRESS, unexpected)
        asyncio.run(verbs.suspend(caller.agent_id, reason=None))
    count = len(office.rows("audit_log"))
    asyncio.run(LOOSEN[what](office, caller))
    rows = office.rows("audit_log")[count:]
    assert [row.ip_address for row in rows if row.actor == "operator"] == [ADDRESS]


def test_an_agent_that_is_being_made_meanwhile_is_suspended(office: "Office") -> None:
    class Slow(NoKeystore):
        """A keystore during whose work the kill switch is turned on."""

        def store(self, _: str) -> None:
            office.kill()

    made = asyncio.run(ask_for_agent(office, office.hire(), Slow()))
    assert (made.status, made.suspension_reason) == (AgentStatus.SUSPENDED, "KILL_SWITCH")


def test_while_it_is_on_nothing_is_admitted_even_by_a_session_that_lives(office: "Office") -> None:
    """As after an activation for all of which a full disk had no room."""
    caller = office.hire()
    office.ask_now(caller, AMOUNT, key="before")
    activation = office.kill()
    other = office.hire()
    assert office.refused(other).code is ErrorCode.KILL_SWITCH_ACTIVE
    assert office.refused(caller).code is ErrorCode.SESSION_REVOKED
    replayed = office.ask_now(caller, AMOUNT, key="before").transaction
    assert replayed.status is TransactionStatus.CANCELLED
    assert activation.transactions_cancelled == 1


def test_while_it_is_on_nothing_is_approved_but_everything_may_be_called_off(
    office: "Office",
) -> None:
    """As after an activation for all of which a full disk had no room."""
    waiting = office.ask_now(office.hire(limits={"instant_max": 0}), AMOUNT).transaction
    on_alone(office)
    with pytest.raises(Refusal) as refusal:
        asyncio.run(approve(waiting.id, by=OPERATOR, ledger=office.ledger, clock=office.clock))
    assert refusal.value.code is ErrorCode.KILL_SWITCH_ACTIVE
    assert office.rows("audit_log")[-1].event_type == "TX_DECISION_REFUSED"
    called_off = asyncio.run(
        cancel(waiting.id, by=OPERATOR, ledger=office.ledger, clock=office.clock)
    )
    assert called_off.status is TransactionStatus.CANCELLED


def on_alone(office: "Office") -> None:
    """Turn it on where even the reserve has no room for all of it: the state, and nothing else."""

    class Small:
        """A ledger with little room."""

        async def write_from_reserve(self, _: Any, *, smaller: Any) -> Any:
            return await office.ledger.write_async(smaller)

    small: Any = Small()
    act = activate(None, ip_address=None, ledger=small, clock=office.clock, report=unexpected)
    done = asyncio.run(act)
    assert (done.switch.state, done.agents_suspended, done.sessions_revoked) == (ACTIVATED, 0, 0)
    assert office.rows("audit_log")[-1].event_type == "KILL_SWITCH_ACTIVATED"


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_a_payment_that_cannot_be_read_does_not_keep_the_others_from_being_stopped(
    poison: str, office: "Office"
) -> None:
    poisoned = office.ask_now(office.hire(limits={"instant_max": 0}), AMOUNT).transaction
    other = office.hire()
    tamper(office, poison, poisoned.id)
    assert turn_on(office) is state(office) is ACTIVATED
    assert office.rows("audit_log")[-1].event_type == "KILL_SWITCH_ACTIVATED"
    assert office.refused(other).code in {ErrorCode.KILL_SWITCH_ACTIVE, ErrorCode.SESSION_REVOKED}


# ── the way back ───────────────────────────────────────────────────────────────────────────────


def test_after_it_agents_are_resumed_one_by_one_and_sessions_stay_dead(office: "Office") -> None:
    one, other = office.hire(), office.hire()
    bring_to(office, RECOVERING)
    assert back_in_time(office) is NORMAL
    assert {row.status for row in office.rows("agents")} == {AgentStatus.SUSPENDED}
    resumed = asyncio.run(ask_for_resumption(office, one))
    assert (resumed.status, resumed.suspended_at, resumed.suspension_reason) == (
        AgentStatus.ACTIVE,
        None,
        None,
    )
    assert office.refused(one).code is ErrorCode.SESSION_REVOKED
    assert office.refused(office.admit_session(other.agent_id)).code is ErrorCode.AGENT_NOT_ACTIVE
    assert office.ask_now(office.admit_session(one.agent_id)).refusal is None


def test_what_a_full_disk_left_over_is_stopped_before_the_way_back_begins(
    office: "Office",
) -> None:
    caller = office.hire(limits=DELAYED)
    transaction = office.ask_now(caller, AMOUNT).transaction
    on_alone(office)
    assert step_back(office, wait_s=0) is RECOVERING
    assert office.transaction(transaction.id).status is TransactionStatus.CANCELLED
    assert step_back(office) is NORMAL
    assert office.refused(caller).code is ErrorCode.SESSION_REVOKED
