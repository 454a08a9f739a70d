"""A payment that nobody can read keeps nothing from being stopped, and never comes back either."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.pipeline.poisons import NOT_TEXT, tamper

from waiaas.database.errors import DatabaseError
from waiaas.domain.enums import AgentStatus, KillSwitchState, TransactionStatus
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.agent_life import AgentVerbs
from waiaas.pipeline.sessions import revoke_session

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

DELAYED = {"instant_max": 0, "delay_max": 10**6, "delay_seconds": 5}
MEND = "UPDATE transactions SET to_address = ?2 WHERE id = ?1"


def verbs(office: "Office") -> AgentVerbs:
    return AgentVerbs(office.ledger, office.clock, None, office.left.append)


def suspend(office: "Office", caller: Caller) -> None:
    asyncio.run(verbs(office).suspend(caller.agent_id, reason=None))


def revoke(office: "Office", caller: Caller) -> None:
    terms: Any = {"ledger": office.ledger, "clock": office.clock, "report": office.left.append}
    asyncio.run(revoke_session(caller.session_id, ip_address=None, **terms))


def kill(office: "Office", caller: Caller) -> None:
    office.kill(caller)


def is_suspended(office: "Office") -> bool:
    return [row.status for row in office.rows("agents")] == [AgentStatus.SUSPENDED]


def is_revoked(office: "Office") -> bool:
    return [row.revoked_at for row in office.rows("sessions")] == [office.clock.now_s()]


def is_on(office: "Office") -> bool:
    found = office.ledger.read(lambda tx: tx.kill_switch.current())
    return found.state is KillSwitchState.ACTIVATED


STOPS = [
    (suspend, is_suspended, "AGENT_SUSPENDED"),
    (revoke, is_revoked, "SESSION_REVOKED"),
    (kill, is_on, "KILL_SWITCH_ACTIVATED"),
]


@pytest.mark.parametrize(("stop", "is_stopped", "event"), STOPS)
def test_it_is_stopped_with_its_row_and_the_log_hears_why_the_rest_is_left(
    stop: Callable[..., None], is_stopped: Callable[..., bool], event: str, office: "Office"
) -> None:
    caller = office.hire(limits=DELAYED)
    poisoned, other = (office.ask_now(caller).transaction for _ in range(2))
    tamper(office, NOT_TEXT, poisoned.id)
    count = len(office.rows("audit_log"))
    stop(office, caller)
    assert is_stopped(office)
    assert [row.event_type for row in office.rows("audit_log")][count:] == [event]
    [why] = office.left
    assert isinstance(why, DatabaseError)
    assert office.transaction(other.id).status is TransactionStatus.QUEUED


@pytest.mark.parametrize(("stop", "is_stopped", "event"), STOPS)
def test_where_all_can_be_read_all_is_called_off_and_nothing_told(
    stop: Callable[..., None], is_stopped: Callable[..., bool], event: str, office: "Office"
) -> None:
    caller = office.hire(limits=DELAYED)
    asked = office.ask_now(caller).transaction
    stop(office, caller)
    assert is_stopped(office)
    assert [row.event_type for row in office.rows("audit_log")].count(event) == 1
    assert office.transaction(asked.id).status is TransactionStatus.CANCELLED
    assert office.left == []


@pytest.mark.parametrize(("stop", "is_stopped"), [each[:2] for each in STOPS])
def test_the_control_calls_off_or_does_not_stop(
    stop: Callable[..., None],
    is_stopped: Callable[..., bool],
    office: "Office",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def naive(all_of_it: Callable[[], Awaitable[Any]], *_: Any, **__: Any) -> Any:
        return await all_of_it()

    for module in ("agent_life", "sessions", "kill_switch"):
        monkeypatch.setattr(f"waiaas.pipeline.{module}.stopped", naive)
    caller = office.hire(limits=DELAYED)
    tamper(office, NOT_TEXT, office.ask_now(caller).transaction.id)
    with pytest.raises(DatabaseError, match="UTF-8"):
        stop(office, caller)
    assert not is_stopped(office)


def test_what_was_left_is_called_off_before_the_agent_is_resumed(office: "Office") -> None:
    """As long as it cannot be read, the agent stays as it is: it could come to life with it."""
    caller = office.hire(limits=DELAYED)
    left = office.ask_now(caller).transaction
    tamper(office, NOT_TEXT, left.id)
    suspend(office, caller)
    with pytest.raises(DatabaseError, match="UTF-8"):
        asyncio.run(verbs(office).resume(caller.agent_id))
    assert is_suspended(office)
    tamper(office, MEND, left.id, left.to_address)
    asyncio.run(verbs(office).resume(caller.agent_id))
    assert not is_suspended(office)
    assert office.transaction(left.id).status is TransactionStatus.CANCELLED


def test_what_was_left_is_called_off_when_it_is_suspended_once_more(office: "Office") -> None:
    caller = office.hire(limits=DELAYED)
    left = office.ask_now(caller).transaction
    tamper(office, NOT_TEXT, left.id)
    suspend(office, caller)
    tamper(office, MEND, left.id, left.to_address)
    suspend(office, caller)
    assert office.transaction(left.id).status is TransactionStatus.CANCELLED
    assert [row.event_type for row in office.rows("audit_log")].count("AGENT_SUSPENDED") == 1
