"""Crashes: wherever the power goes, each payment ends up made exactly once."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from waiaas.domain.enums import PolicyTier, TransactionStatus
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import AttemptState, ReservationState
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.decide import Decider, approve
from waiaas.ports import Payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pipeline.conftest import Site, Tap

    MakeTap = Callable[[int, str], Tap]

AMOUNT = 10**6
DELAYED = {"instant_max": 0, "delay_max": 10 * AMOUNT, "delay_seconds": 2}
INSTANT = {"instant_max": 10 * AMOUNT}
KINDS = {"instant": INSTANT, "delayed": DELAYED, "approved": {"instant_max": 0}}
"""The limits that make a payment go out in each way."""
FEE = 5001
MOMENTS = ["before", "during", "behind"]
CALLS = ["read", "build", "write", "check", "sign", "assemble", "send", "sleep", "look_up"]
"""Every kind of call that a payment makes on its way."""


@pytest.fixture
def ask(site: "Site") -> "Callable[[Caller, str], Any]":
    """Return what asks for a payment; by its agent's policy it may have to wait."""

    def function(caller: Caller, to: str) -> Any:
        office = site.office
        admission = office.ask_now(caller, AMOUNT, to=to)
        assert admission.refusal is None
        tx_id = admission.transaction.id
        if admission.transaction.tier is PolicyTier.APPROVAL:
            by = Decider(None, None, None)
            asyncio.run(approve(tx_id, by=by, ledger=office.ledger, clock=office.clock))
        return admission.transaction

    return function


def work_until_cut(site: "Site", tap: "Tap") -> bool:
    async def scenario() -> bool:
        async with site.shift(tap) as shift:
            return await shift.work_until_cut()

    return asyncio.run(scenario())


def assert_paid_once_each(site: "Site", caller: Caller, to: str, *asked: Any) -> None:
    office = site.office
    assert site.balance(to) == len(asked) * AMOUNT
    # A payment that had landed twice would have cost two fees.
    assert site.balance_of(caller) == 10**10 - len(asked) * (AMOUNT + FEE)
    for transaction in asked:
        assert office.transaction(transaction.id).status is TransactionStatus.CONFIRMED
        assert office.reservation(transaction.id) == (ReservationState.SPENT, str(AMOUNT))
        waited = transaction.queued_at is not None
        assert office.audit_of(transaction.id) == [
            "TX_REQUESTED",
            *(["TX_QUEUED"] if waited else []),
            *(["TX_APPROVED"] if transaction.tier is PolicyTier.APPROVAL else []),
            "TX_PAYLOAD_RECORDED",
            "TX_SIGNED",
            "TX_SUBMITTED",
            "TX_CONFIRMED",
        ]
        rows = [row for row in office.rows("attempts") if row.tx_id == transaction.id]
        assert [row.state for row in rows] == [AttemptState.LANDED]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_any_call_ends_with_one_payment(
    kind: str, moment: str, site: "Site", make_tap: "MakeTap", ask: "Callable[[Caller, str], Any]"
) -> None:
    """Cut after so many calls of a port, start anew, and again for every number of calls."""
    cut_in: list[str] = []
    is_cut = True
    while is_cut:
        caller, to = site.hire(limits=KINDS[kind]), site.office.new_address()
        transaction = ask(caller, to)
        tap = make_tap(len(cut_in), moment)
        is_cut = work_until_cut(site, tap)
        cut_in.append(tap.calls[-1] if tap.calls else "nothing yet")
        site.office.reopen()
        assert not work_until_cut(site, make_tap(10**9, moment))
        assert_paid_once_each(site, caller, to, transaction)
    if moment == "behind":
        assert set(CALLS) <= set(cut_in)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    payments=st.integers(1, 3),
    kind=st.sampled_from([*KINDS]),
    cuts=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(MOMENTS)), max_size=5),
)
@example(payments=3, kind="instant", cuts=[(9, "behind"), (3, "during"), (1, "before")])
def test_crash_upon_crash_ends_with_one_payment_for_each_request(  # noqa: PLR0917 -- as given
    payments: int,
    kind: str,
    cuts: list[tuple[int, str]],
    site: "Site",
    make_tap: "MakeTap",
    ask: "Callable[[Caller, str], Any]",
) -> None:
    """Also while it recovers from the one before; equal payments, so that none stands in."""
    caller, to = site.hire(limits=KINDS[kind]), site.office.new_address()
    asked = [ask(caller, to) for _ in range(payments)]
    for calls, moment in cuts:
        work_until_cut(site, make_tap(calls, moment))
        site.office.reopen()
    assert not work_until_cut(site, make_tap(10**9, "before"))
    assert_paid_once_each(site, caller, to, *asked)


def test_control_a_crash_behind_sending_pays_twice_if_nothing_was_written_down(
    site: "Site",
) -> None:
    caller, to = site.hire(), site.office.new_address()
    address = site.office.address(caller)

    async def naive_life() -> None:
        async with site.connect() as chain:
            payload = await chain.build(Transfer(to, AMOUNT), from_address=address, unit_price=1)
            assert isinstance(payload, Payload)
            signature = site.office.signer.sign(caller.agent_id, payload.message)
            signed = chain.assemble(payload.message, signature=signature, from_address=address)
            await chain.send(signed.raw)
        # here the power goes, and the next life knows nothing

    asyncio.run(naive_life())
    site.localnet.network.advance_blocks(2)
    asyncio.run(naive_life())
    assert site.balance(to) == 2 * AMOUNT
