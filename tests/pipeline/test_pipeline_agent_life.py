"""Agents and sessions are stopped: nothing of theirs is signed, and what was signed is held."""

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.reports import unexpected

from waiaas.chains.localnet.faults import Fault
from waiaas.domain.enums import AgentStatus, TransactionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, SessionId
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import AttemptState, ReservationState
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.advance import Step
from waiaas.pipeline.agent_life import AgentVerbs
from waiaas.pipeline.sessions import revoke_session
from waiaas.ports import Payload

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Site

NOW_S = 1_700_000_000
NOBODY = "01990000-0000-7000-8000-00000000abcd"
AMOUNT = 10**6
DELAYED = {"instant_max": 0, "delay_max": AMOUNT, "delay_seconds": 5}
CREATING, ACTIVE, SUSPENDED, TERMINATING, TERMINATED = AgentStatus
REFUSED = ErrorCode.AGENT_NOT_ACTIVE
CANCELLED, FAILED = TransactionStatus.CANCELLED, TransactionStatus.FAILED
CONFIRMED, EXECUTING = TransactionStatus.CONFIRMED, TransactionStatus.EXECUTING
HELD, SPENT, RELEASED = ReservationState.HELD, ReservationState.SPENT, ReservationState.RELEASED


def do(office: "Office", verb: str, agent_id: str) -> Any:
    """Return the agent's status after a verb, or the code of the refusal."""
    verbs = AgentVerbs(office.ledger, office.clock, "127.0.0.1", unexpected)
    acts = {
        "suspend": lambda: verbs.suspend(AgentId(agent_id), reason="a test"),
        "resume": lambda: verbs.resume(AgentId(agent_id)),
        "terminate": lambda: verbs.terminate(AgentId(agent_id)),
    }
    try:
        return asyncio.run(acts[verb]()).status
    except Refusal as refusal:
        return refusal.code


def revoke(office: "Office", session_id: str) -> Any:
    return asyncio.run(
        revoke_session(
            SessionId(session_id),
            ip_address=None,
            ledger=office.ledger,
            clock=office.clock,
            report=unexpected,
        )
    )


# ── every verb in every state ──────────────────────────────────────────────────────────────────

# fmt: off
VERBS = {
    #              CREATING  ACTIVE      SUSPENDED    TERMINATING  TERMINATED
    "suspend":    (REFUSED,  SUSPENDED,  SUSPENDED,   REFUSED,     REFUSED),
    "resume":     (REFUSED,  ACTIVE,     ACTIVE,      REFUSED,     REFUSED),
    "terminate":  (REFUSED,  TERMINATED, TERMINATED,  TERMINATING, TERMINATED),
}
"""Where nothing is under way, a terminated agent is TERMINATED at once."""
WRITES = {
    ("suspend", ACTIVE): ["AGENT_SUSPENDED"],
    ("resume", SUSPENDED): ["AGENT_RESUMED"],
    ("terminate", ACTIVE): ["AGENT_TERMINATING", "SESSION_REVOKED", "AGENT_TERMINATED"],
    ("terminate", SUSPENDED): ["AGENT_TERMINATING", "SESSION_REVOKED", "AGENT_TERMINATED"],
}
# fmt: on
CASES = [
    (verb, status, answer)
    for verb, answers in VERBS.items()
    for status, answer in zip(AgentStatus, answers, strict=True)
]


@pytest.mark.parametrize(("verb", "status", "answer"), CASES)
def test_each_verb_in_each_state(
    verb: str, status: AgentStatus, answer: AgentStatus | ErrorCode, office: "Office"
) -> None:
    caller = office.hire(status=status)
    assert do(office, verb, caller.agent_id) == answer
    (row,) = office.rows("agents")
    assert row.status == (status if answer is REFUSED else answer)
    events = [each.event_type for each in office.rows("audit_log")]
    expected = ["OPERATION_REFUSED"] if answer is REFUSED else WRITES.get((verb, status), [])
    assert events == expected
    if answer is REFUSED:
        row = office.rows("audit_log")[0]
        assert (row.agent_id, row.ip_address) == (caller.agent_id, "127.0.0.1")
        assert json.loads(row.details) == {"operation": f"{verb} agent", "code": REFUSED}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("agent_id", ["", "x", "\0", NOBODY])
def test_there_is_no_verb_for_an_agent_that_is_not(
    agent_id: str, verb: str, office: "Office"
) -> None:
    assert do(office, verb, agent_id) is ErrorCode.AGENT_NOT_FOUND
    assert office.rows("audit_log") == []


def test_a_suspension_says_when_and_why_until_it_is_over(office: "Office") -> None:
    caller = office.hire()
    do(office, "suspend", caller.agent_id)
    (row,) = office.rows("agents")
    assert (row.suspended_at, row.suspension_reason) == (NOW_S, "a test")
    do(office, "resume", caller.agent_id)
    (row,) = office.rows("agents")
    assert (row.suspended_at, row.suspension_reason) == (None, None)


# ── what is not signed ends in the same commit ─────────────────────────────────────────────────

STOPS = {
    "suspend": "AGENT_NOT_ACTIVE: the agent is SUSPENDED",
    "terminate": "AGENT_NOT_ACTIVE: the agent is TERMINATING",
    "revoke": "SESSION_REVOKED: the session was revoked before anything was signed",
    "kill": "KILL_SWITCH_ACTIVE: called off by the kill switch",
}


def stop(office: "Office", what: str, caller: Caller) -> None:
    if what == "kill":
        office.kill()
    elif what == "revoke":
        revoke(office, caller.session_id)
    else:
        do(office, what, caller.agent_id)


@pytest.mark.parametrize("what", STOPS)
@pytest.mark.parametrize("limits", [None, DELAYED, {"instant_max": 0}], ids=str)
def test_what_is_not_signed_is_called_off_at_once_and_never_comes_back(
    limits: dict[str, int] | None, what: str, office: "Office"
) -> None:
    caller, other = office.hire(limits=limits), office.hire(limits=limits)
    transaction = office.ask_now(caller, AMOUNT).transaction
    another = office.ask_now(other, AMOUNT).transaction
    stop(office, what, caller)
    ended = office.transaction(transaction.id)
    assert (ended.status, ended.error) == (CANCELLED, STOPS[what])
    assert office.reservation(ended.id) == (RELEASED, str(AMOUNT))
    assert all(row.over_at is not None for row in office.rows("waits") if row.tx_id == ended.id)
    do(office, "resume", caller.agent_id)
    assert office.transaction(transaction.id) == ended
    if what != "kill":
        assert office.transaction(another.id) == another


@pytest.mark.parametrize("what", STOPS)
def test_a_payload_that_was_recorded_is_given_up(what: str, site: "Site") -> None:
    caller = site.hire()
    transaction = site.office.ask_now(caller, AMOUNT, to=site.office.new_address()).transaction
    steps(site, transaction.id, Step.PREPARE)
    stop(site.office, what, caller)
    ended = site.office.transaction(transaction.id)
    assert (ended.status, ended.error) == (CANCELLED, STOPS[what])
    attempt = site.office.attempt(transaction.id)
    assert attempt is not None
    assert attempt.state is AttemptState.REPLACED


def test_a_session_that_is_revoked_takes_no_other_session_with_it(office: "Office") -> None:
    one = office.hire(limits=DELAYED)
    other = office.admit_session(one.agent_id)
    mine, theirs = (office.ask_now(caller, 1).transaction for caller in (one, other))
    office.clock.wall_s += 3
    assert revoke(office, one.session_id).revoked_at == NOW_S + 3
    assert office.transaction(mine.id).status is CANCELLED
    assert office.transaction(theirs.id) == theirs
    assert office.ask_now(other, 1).refusal is None
    before = office.counts()
    office.clock.wall_s += 3
    assert revoke(office, one.session_id).revoked_at == NOW_S + 3  # once more, and harmless
    assert office.counts() == before


@pytest.mark.parametrize("session_id", ["", "x", "\0", NOBODY])
def test_there_is_no_session_to_revoke_that_is_not(session_id: str, office: "Office") -> None:
    with pytest.raises(Refusal) as refusal:
        revoke(office, session_id)
    assert refusal.value.code is ErrorCode.SESSION_NOT_FOUND


# ── what was signed is held ────────────────────────────────────────────────────────────────────


def steps(site: "Site", tx_id: Any, *expected: Step) -> list[str]:
    """Do these steps, one process each; return the calls of ports."""

    async def scenario() -> list[str]:
        async with site.shift() as shift:
            for step in expected:
                assert await shift.step(tx_id) is step
            return shift.tap.calls

    return asyncio.run(scenario())


def signed(site: "Site", caller: Caller) -> Any:
    transaction = site.office.ask_now(caller, AMOUNT, to=site.office.new_address()).transaction
    steps(site, transaction.id, Step.PREPARE, Step.SIGN)
    return transaction


def work(site: "Site", *tx_ids: Any) -> list[str]:
    async def scenario() -> list[str]:
        async with site.shift() as shift:
            await shift.finish(*tx_ids)
            return shift.tap.calls

    return asyncio.run(scenario())


@pytest.mark.parametrize("what", STOPS)
def test_signed_bytes_that_were_not_sent_are_held_until_they_can_land_no_more(
    what: str, site: "Site"
) -> None:
    caller = site.hire()
    transaction = signed(site, caller)
    stop(site.office, what, caller)
    assert "look_up" in steps(site, transaction.id, Step.HOLD)
    assert site.office.transaction(transaction.id).status is EXECUTING
    assert site.office.reservation(transaction.id) == (HELD, str(AMOUNT))
    site.localnet.network.advance_blocks(200)
    calls = work(site, transaction.id)
    assert "send" not in calls
    ended = site.office.transaction(transaction.id)
    assert ended.status is FAILED
    assert ended.error == "TRANSACTION_EXPIRED: it was held back and can land no more"
    assert site.office.reservation(transaction.id) == (RELEASED, str(AMOUNT))
    attempt = site.office.attempt(transaction.id)
    assert attempt is not None
    assert attempt.state is AttemptState.EXPIRED
    assert site.balance(transaction.to_address) == 0


def spend_past_us(site: "Site", caller: Caller) -> None:
    """Move nearly all of an agent's money with its key, but without the pipeline."""

    async def scenario() -> None:
        address = site.office.address(caller)
        async with site.connect() as chain:
            payload = await chain.build(
                Transfer(site.office.new_address(), 998_500_000),
                from_address=address,
                unit_price=0,
            )
            assert isinstance(payload, Payload)
            signature = site.office.signer.sign(caller.agent_id, payload.message)
            other = chain.assemble(payload.message, signature=signature, from_address=address)
            assert await chain.send(other.raw)

    asyncio.run(scenario())


@pytest.mark.parametrize("fails", [False, True])
def test_held_bytes_that_had_been_sent_before_a_crash_are_found_on_the_chain(
    fails: bool,  # noqa: FBT001 -- a parameter of the test
    site: "Site",
) -> None:
    caller = site.hire(lamports=10**9)
    transaction = signed(site, caller)

    async def send_and_die() -> None:
        attempt = site.office.attempt(transaction.id)
        assert attempt is not None
        async with site.connect() as chain:
            assert await chain.send(base64.b64decode(attempt.signed or ""))

    if fails:
        spend_past_us(site, caller)
    asyncio.run(send_and_die())
    site.office.kill()
    site.localnet.network.advance_blocks(40)
    calls = work(site, transaction.id)
    assert "send" not in calls
    assert site.office.transaction(transaction.id).status is (FAILED if fails else CONFIRMED)
    assert site.office.reservation(transaction.id) == (
        RELEASED if fails else SPENT,
        str(AMOUNT),
    )
    trail = site.office.audit_of(transaction.id)[-2:]
    assert trail == ["TX_SUBMITTED", "TX_FAILED" if fails else "TX_CONFIRMED"]


def test_a_send_during_which_it_is_forbidden_is_recorded_as_sent(site: "Site") -> None:
    caller = site.hire()
    transaction = signed(site, caller)

    async def scenario() -> None:
        async with site.shift() as shift:

            def look(name: str, _: object) -> None:
                if name == "send":
                    site.office.kill()

            shift.tap.look = look
            assert await shift.step(transaction.id) is Step.SEND

    asyncio.run(scenario())
    assert site.office.transaction(transaction.id).status is TransactionStatus.SUBMITTED
    site.localnet.network.advance_block()
    assert "send" not in work(site, transaction.id)
    assert site.office.transaction(transaction.id).status is CONFIRMED


def test_what_was_sent_is_not_offered_again_while_it_is_forbidden(site: "Site") -> None:
    caller = site.hire()
    transaction = signed(site, caller)
    site.localnet.faults.install(Fault(method="sendTransaction", drops=True))
    steps(site, transaction.id, Step.SEND)
    do(site.office, "suspend", caller.agent_id)
    assert "send" not in work(site, transaction.id)
    assert site.office.transaction(transaction.id).status is TransactionStatus.EXPIRED


def test_what_is_held_goes_out_when_its_agent_is_resumed_in_time(site: "Site") -> None:
    caller = site.hire()
    transaction = signed(site, caller)
    do(site.office, "suspend", caller.agent_id)
    steps(site, transaction.id, Step.HOLD)
    do(site.office, "resume", caller.agent_id)
    work(site, transaction.id)
    assert site.balance(transaction.to_address) == AMOUNT


@pytest.mark.parametrize("what", ["kill", "revoke"])
def test_what_a_dead_session_had_signed_never_goes_out(what: str, site: "Site") -> None:
    caller = site.hire()
    transaction = signed(site, caller)
    stop(site.office, what, caller)
    do(site.office, "resume", caller.agent_id)
    steps(site, transaction.id, Step.HOLD)


# ── the end of an agent ────────────────────────────────────────────────────────────────────────


def test_an_agent_is_terminated_with_the_last_payment_that_was_signed(site: "Site") -> None:
    caller = site.hire()
    sent, held = signed(site, caller), signed(site, caller)
    steps(site, sent.id, Step.SEND)
    site.office.ask_now(caller, AMOUNT)
    assert do(site.office, "terminate", caller.agent_id) is TERMINATING
    assert do(site.office, "terminate", caller.agent_id) is TERMINATING
    work(site, sent.id)
    assert status_of(site.office, caller) is TERMINATING
    site.localnet.network.advance_blocks(200)
    work(site, held.id)
    assert status_of(site.office, caller) is TERMINATED
    events = [row.event_type for row in site.office.rows("audit_log")]
    assert events.count("AGENT_TERMINATED") == 1
    assert events[-1] == "AGENT_TERMINATED"


def status_of(office: "Office", caller: Caller) -> AgentStatus:
    found = office.ledger.read(lambda tx: tx.agents.get(caller.agent_id))
    assert found is not None
    return found.status
