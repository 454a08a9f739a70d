"""A locked keystore: nothing is signed, nothing is lost, nobody new is let in, and it is written.

What was due meanwhile is made once it is unlocked, and made once.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from waiaas.database import generate_id
from waiaas.domain.audit import OPERATOR, SYSTEM
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.errors import Refusal
from waiaas.domain.request import Transfer
from waiaas.pipeline.admit import Admission, Caller, admit
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.locking import Locking, SignerLocked
from waiaas.ports import Keystore, LedgerTransaction, LedgerWithReserve

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Shift, Site

LIMITS = {"instant_max": 10**6, "notify_max": 10**6, "delay_max": 10**12, "delay_seconds": 5}
PASSWORD = b"the password"


class Keys:
    """As much of a keystore as is locked and unlocked."""

    def __init__(self) -> None:
        self.is_locked = False

    def lock(self) -> None:
        self.is_locked = True

    def unlock(self, password: bytes) -> None:
        assert password == PASSWORD
        self.is_locked = False


class Room:
    """A keystore, a ledger, and who is told when it is locked and unlocked."""

    def __init__(self, office: "Office", ledger: LedgerWithReserve | None = None) -> None:
        self.office = office
        self.keys = Keys()
        self.told: list[str] = []
        self.locking = Locking(
            cast("Keystore", self.keys),
            ledger or office.ledger,
            office.clock,
            forget_logins=lambda: self.told.append("logins end"),
            resume=lambda: self.told.append("goes on"),
        )

    def lock(self, actor: str = OPERATOR) -> str | None:
        return asyncio.run(self.locking.lock(actor=actor, ip_address="127.0.0.1"))

    def unlock(self) -> None:
        asyncio.run(self.locking.unlock(PASSWORD, actor=OPERATOR, ip_address="127.0.0.1"))

    def rows(self) -> list[tuple[Any, ...]]:
        return [
            (row.event_type, row.actor, row.ip_address) for row in self.office.rows("audit_log")
        ]


class FullLedger:
    """A ledger that takes no writes, until there is space; it may have a reserve."""

    def __init__(self, office: "Office", *, has_reserve: bool = False) -> None:
        self.ledger = office.ledger
        self.is_full = True
        self.has_reserve = has_reserve

    async def write_async(self, unit: Callable[[LedgerTransaction], object]) -> object:
        if self.is_full:
            raise OSError("no space left")
        return await self.ledger.write_async(unit)

    async def write_from_reserve(
        self, unit: Callable[[LedgerTransaction], object], *, smaller: object
    ) -> object:
        assert smaller is unit
        return self.ledger.write(unit) if self.has_reserve else await self.write_async(unit)


def full(office: "Office", *, has_reserve: bool = False) -> tuple[Room, FullLedger]:
    ledger = FullLedger(office, has_reserve=has_reserve)
    return Room(office, cast("LedgerWithReserve", ledger)), ledger


def test_locking_ends_logins_and_is_written_down_once(office: "Office") -> None:
    room = Room(office)
    room.lock()
    assert room.keys.is_locked
    room.lock(SYSTEM)
    assert room.told == ["logins end", "logins end"]
    assert room.rows() == [("KEYSTORE_LOCKED", "operator", "127.0.0.1")]


def test_unlocking_is_written_down_once_and_what_was_held_goes_on(office: "Office") -> None:
    room = Room(office)
    room.unlock()
    assert (room.told, room.rows()) == ([], [])
    room.lock()
    room.told.clear()
    room.unlock()
    room.unlock()
    assert not room.keys.is_locked
    assert room.told == ["goes on"]
    assert [row[0] for row in room.rows()] == ["KEYSTORE_LOCKED", "KEYSTORE_UNLOCKED"]


def test_on_a_full_disk_it_is_locked_and_written_down_in_the_reserve(office: "Office") -> None:
    room, _ = full(office, has_reserve=True)
    assert room.lock() is None
    assert room.keys.is_locked
    assert room.rows() == [("KEYSTORE_LOCKED", "operator", "127.0.0.1")]


def test_a_ledger_that_takes_no_writes_keeps_nothing_open(office: "Office") -> None:
    room, _ = full(office)
    assert room.lock() == "no space left"
    assert room.keys.is_locked
    assert room.lock() == "no space left", "and says so until it is written"
    room.told.clear()
    with pytest.raises(OSError, match="space"):
        room.unlock()
    assert room.keys.is_locked
    assert room.told == []


@pytest.mark.parametrize("next_step", ["the watch", "a lock", "an unlock"])
def test_a_locking_that_found_no_room_is_written_down_once_as_soon_as_there_is_some(
    office: "Office", next_step: str
) -> None:
    room, ledger = full(office)
    room.lock()
    with pytest.raises(OSError, match="space"):
        room.unlock()
    assert room.rows() == []
    ledger.is_full = False
    if next_step == "the watch":
        assert asyncio.run(room.locking.write_missed()) is None
    elif next_step == "a lock":
        assert room.lock() is None
    room.unlock()
    assert [row[0] for row in room.rows()] == ["KEYSTORE_LOCKED", "KEYSTORE_UNLOCKED"]


class SlowKeys(Keys):
    """Opens when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = threading.Event(), threading.Event()

    def unlock(self, password: bytes) -> None:
        self.begun.set()
        self.may_end.wait()
        super().unlock(password)


def test_an_unlocking_that_nobody_waits_for_any_more_has_its_row_too(office: "Office") -> None:
    room = Room(office)
    keys = SlowKeys()
    room.lock()
    keys.lock()
    locking = replace(room.locking, keystore=cast("Keystore", keys))

    async def give_up() -> None:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(locking.unlock(PASSWORD, actor=OPERATOR))
            await asyncio.to_thread(keys.begun.wait)
            waiting.cancel()
        assert waiting.cancelled()
        keys.may_end.set()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(give_up())
    assert not keys.is_locked
    assert [row[0] for row in room.rows()] == ["KEYSTORE_LOCKED", "KEYSTORE_UNLOCKED"]


# ── requests ───────────────────────────────────────────────────────────────────────────────────


def ask_locked(office: "Office", caller: Caller, *, key: str) -> Admission:
    request = Transfer("So11111111111111111111111111111111111111112", 5)
    asked = Asked(request, key, None, allow_duplicate=True)
    return asyncio.run(
        admit(
            asked,
            caller=caller,
            ledger=office.ledger,
            clock=office.clock,
            generate_id=generate_id,
            rules=office.rules,
            is_locked=True,
        )
    )


def test_a_new_request_is_refused_and_written_down_and_nothing_is_set_aside(
    office: "Office",
) -> None:
    caller = office.hire()
    with pytest.raises(Refusal) as refused:
        ask_locked(office, caller, key="new")
    assert (refused.value.code, refused.value.is_transient) == ("KEYSTORE_LOCKED", True)
    assert "waiaas unlock" in refused.value.hint
    assert office.rows("transactions") == office.rows("reservations") == []
    (row,) = office.rows("audit_log")
    assert (row.event_type, json.loads(row.details)) == (
        "REQUEST_REFUSED",
        {"code": "KEYSTORE_LOCKED"},
    )
    assert office.ask_now(caller, 5, key="new").refusal is None  # It is not remembered.


def test_a_repeated_request_is_answered_as_before(office: "Office") -> None:
    caller = office.hire()
    before = office.ask_now(caller, 5, key="known")
    assert ask_locked(office, caller, key="known").transaction == before.transaction


# ── the worker ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("amount", [10**6, 10**6 + 1], ids=["instant", "delayed"])
def test_what_is_due_waits_while_the_keystore_is_locked_and_is_paid_once_afterwards(
    site: "Site", amount: int
) -> None:
    office = site.office
    caller = site.hire(limits=LIMITS)
    to = office.new_address()
    due = office.ask_now(caller, amount, to=to).transaction
    office.signer.is_locked = True

    async def scenario() -> None:
        async with site.shift() as shift:
            await shift.work(lambda: bool(shift.troubles))
            (trouble,) = shift.troubles
            assert isinstance(trouble.error, SignerLocked)
            assert "waiaas unlock" in str(trouble.error)
            assert shift.worker.count_blocked() == 1
            assert office.attempt(due.id) is None  # No payload, which would only grow old.
            assert office.transaction(due.id).status is due.status

            def unlock() -> bool:
                office.signer.is_locked = False
                shift.worker.resume()
                return True

            await shift.work(unlock)
            await shift.finish(due.id)
            assert shift.worker.count_blocked() == 0

    asyncio.run(scenario())
    assert office.transaction(due.id).status is TransactionStatus.CONFIRMED
    assert site.balance(to) == amount


def test_a_lock_while_the_node_is_asked_leaves_no_payload_to_grow_old(site: "Site") -> None:
    office = site.office
    due = office.ask_now(site.hire(), 10**6, to=office.new_address()).transaction

    async def scenario() -> None:
        async with site.shift() as shift:

            def lock(name: str, _: object) -> None:
                office.signer.is_locked = name == "build"

            shift.tap.look = lock
            with pytest.raises(SignerLocked):
                await shift.step(due.id)

    asyncio.run(scenario())
    assert office.attempt(due.id) is None


def test_a_payment_that_is_found_due_again_and_again_is_told_of_once(site: "Site") -> None:
    """While another one waits the ledger is asked every second, and says so every second."""
    office = site.office
    caller = site.hire(limits=LIMITS)
    other = site.hire(limits={**LIMITS, "delay_seconds": 30})
    office.ask_now(caller, 10**6 + 1, to=office.new_address())
    office.ask_now(other, 10**6 + 1, to=office.new_address())
    office.signer.is_locked = True

    async def scenario() -> "Shift":
        async with site.shift() as shift:
            await shift.work(lambda: len(shift.troubles) == 2)
            return shift

    shift = asyncio.run(scenario())
    assert len({trouble.tx_id for trouble in shift.troubles}) == 2
    assert office.clock.waited_s >= 30


def test_what_was_signed_before_is_watched_to_its_end_while_locked(site: "Site") -> None:
    office = site.office
    caller = site.hire()
    paid = office.ask_now(caller, 10**6, to=office.new_address()).transaction

    async def scenario() -> None:
        async with site.shift() as shift:
            await shift.step(paid.id)
            await shift.step(paid.id)
            office.signer.is_locked = True
            await shift.finish(paid.id)

    asyncio.run(scenario())
    assert office.transaction(paid.id).status is TransactionStatus.CONFIRMED


def test_what_is_forbidden_ends_while_locked(site: "Site") -> None:
    office = site.office
    caller = site.hire()
    asked = office.ask_now(caller, 5, to=office.new_address()).transaction
    office.signer.is_locked = True
    office.suspend(caller)

    async def scenario() -> None:
        async with site.shift() as shift:
            await shift.finish(asked.id)

    asyncio.run(scenario())
    assert office.transaction(asked.id).status is not TransactionStatus.CONFIRMED
