"""The kill switch between any two statements: after its commit no signature is ever recorded."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.domain.enums import KillSwitchState, TransactionStatus
from waiaas.domain.records import KillSwitch
from waiaas.domain.transaction import ReservationState, is_terminal
from waiaas.pipeline import kill_switch, perform
from waiaas.pipeline.admit import Caller

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Site, Tap

    MakeTap = Callable[[int, str], Tap]

AMOUNT = 10**6
FEE = 5001
STATUSES = {
    TransactionStatus.CANCELLED: ReservationState.RELEASED,
    TransactionStatus.FAILED: ReservationState.RELEASED,
    TransactionStatus.CONFIRMED: ReservationState.SPENT,
}
"""How a payment may end that the kill switch met, and what becomes of its money."""


def ask(site: "Site", caller: Caller) -> Any:
    return site.office.ask_now(caller, AMOUNT, to=site.office.new_address()).transaction


def work(site: "Site", tap: "Tap") -> bool:
    """Be one process until every payment has ended or the power goes; tell whether it went."""

    async def scenario() -> bool:
        async with site.shift(tap) as shift:
            return await shift.work_until_cut()

    return asyncio.run(scenario())


def flip_at(site: "Site", tap: "Tap", call: int) -> list[str]:
    """Have the kill switch turned on at the start of the call of this number; return which."""
    flipped: list[str] = []

    def look(name: str, _: object) -> None:
        if len(tap.calls) == call + 1:
            flipped.append(name)
            site.office.kill()

    tap.look = look
    return flipped


def signed_after_the_flip(office: "Office") -> list[str]:
    """Return the transactions of which a signature was recorded after the switch was on."""
    events = office.rows("audit_log")
    flip = max(row.id for row in events if row.event_type == "KILL_SWITCH_ACTIVATED")
    return [row.tx_id for row in events if row.event_type == "TX_SIGNED" and row.id > flip]


def assert_ended_as_allowed(site: "Site", caller: Caller, transaction: Any) -> None:
    office = site.office
    ended = office.transaction(transaction.id)
    assert is_terminal(ended.status)
    assert office.reservation(transaction.id) == (STATUSES[ended.status], str(AMOUNT))
    is_paid = ended.status is TransactionStatus.CONFIRMED
    assert site.balance(transaction.to_address) == (AMOUNT if is_paid else 0)
    assert site.balance_of(caller) == 10**10 - (AMOUNT + FEE if is_paid else 0)


def turn_off(office: "Office") -> None:
    """Let the next round begin with the switch off, as no part of what is tested."""
    off = KillSwitch(KillSwitchState.NORMAL, office.clock.now_s())
    office.ledger.write(lambda tx: tx.kill_switch.move(off))


def test_turned_on_at_any_call_it_lets_no_signature_be_recorded(
    site: "Site", make_tap: "MakeTap"
) -> None:
    met: list[str] = []
    flipped = ["at first"]
    while flipped:
        caller = site.hire()
        transaction = ask(site, caller)
        tap = make_tap(10**9, "before")
        flipped = flip_at(site, tap, len(met))
        assert not work(site, tap)
        if flipped:
            assert signed_after_the_flip(site.office) == []
        assert_ended_as_allowed(site, caller, transaction)
        met += flipped
        turn_off(site.office)
    assert {"build", "write", "check", "sign", "assemble", "send", "look_up"} <= set(met)


def test_a_crash_behind_any_call_and_then_the_kill_switch_end_without_another_signature(
    site: "Site", make_tap: "MakeTap"
) -> None:
    """Cut after so many calls, turn it on in the ledger that is left, and be a new process."""
    cut_in: list[str] = []
    is_cut = True
    while is_cut:
        caller = site.hire()
        transaction = ask(site, caller)
        tap = make_tap(len(cut_in), "behind")
        is_cut = work(site, tap)
        cut_in.append(tap.calls[-1] if tap.calls else "nothing yet")
        site.office.reopen()
        site.office.kill()
        site.localnet.network.advance_blocks(200)
        last = make_tap(10**9, "before")
        assert not work(site, last)
        assert not {"sign", "send"} & set(last.calls)
        assert signed_after_the_flip(site.office) == []
        assert_ended_as_allowed(site, caller, transaction)
        turn_off(site.office)
    assert {"build", "write", "send"} <= set(cut_in)


def test_turned_on_without_its_cascade_it_stops_a_signature_from_being_recorded(
    site: "Site", make_tap: "MakeTap"
) -> None:
    """As on a full disk, where only the state itself could be written."""
    caller = site.hire()
    transaction = ask(site, caller)
    tap = make_tap(10**9, "before")

    def look(name: str, _: object) -> None:
        if name == "sign":
            on = KillSwitch(KillSwitchState.ACTIVATED, site.office.clock.now_s(), "full", None)
            site.office.ledger.write(lambda tx: tx.kill_switch.move(on))

    tap.look = look
    assert not work(site, tap)
    assert "TX_SIGNED" not in site.office.audit_of(transaction.id)
    ended = site.office.transaction(transaction.id)
    assert ended.status is TransactionStatus.CANCELLED
    assert str(ended.error).startswith("KILL_SWITCH_ACTIVE")
    assert_ended_as_allowed(site, caller, transaction)


def test_control_a_check_before_signing_alone_records_a_signature_after_the_flip(
    site: "Site", make_tap: "MakeTap", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive signer asks, signs, and writes down without asking again."""
    transaction = ask(site, site.hire())
    tap = make_tap(10**9, "before")

    def look(name: str, _: object) -> None:
        if name == "sign":
            site.office.kill()
            monkeypatch.setattr(perform, "_end_if_forbidden", lambda *_: False)

    tap.look = look
    # Nor does the naive switch call anything off: it leaves that to the worker to notice.
    monkeypatch.setattr(kill_switch, "call_off", lambda *_: 0)
    assert not work(site, tap)
    assert signed_after_the_flip(site.office) == [transaction.id]
