"""A start knows what it found, and signs nothing for an agent into the dark; others go on."""

import asyncio
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.chains.localnet.faults import Fault, Reply
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.transaction import AttemptState, is_terminal
from waiaas.pipeline.advance import Step
from waiaas.pipeline.perform import Standing
from waiaas.pipeline.recover import (
    Found,
    Gate,
    Unfinished,
    classify,
    count_found,
    read_unfinished,
)
from waiaas.pipeline.worker import SignerShut, Worker

if TYPE_CHECKING:
    from tests.pipeline.conftest import Site

S, A = TransactionStatus, AttemptState
EXPECTED = {
    **{(S.QUEUED, attempt): Found.WAITING for attempt in (*A, None)},
    **{(S.PENDING, attempt): Found.UNSIGNED for attempt in (*A, None)},
    (S.EXECUTING, A.RECORDED): Found.UNSIGNED,
    (S.EXECUTING, A.SIGNED): Found.SIGNED,
    (S.SUBMITTED, A.SENT): Found.SENT,
}
"""Every other combination contradicts itself."""

DEAF = Fault(method="getSignatureStatuses", executes=False, reply=Reply.UNAVAILABLE)
"""The node takes everything and says nothing of what became of it."""


class Hasty(Worker):
    """The control: it does not wait for the chain."""

    def _require_open(self, standing: Standing) -> None: ...


@pytest.mark.parametrize("status", [each for each in S if not is_terminal(each)])
def test_every_state_that_has_not_ended_has_a_class(status: TransactionStatus) -> None:
    for each, attempt in product([status], (*A, None)):
        assert classify(each, attempt) is EXPECTED.get((each, attempt), Found.UNCLEAR)


def test_the_gate_is_shut_until_the_last_signed_one_is_answered() -> None:
    first, other = AgentId("first"), AgentId("other")
    gate = Gate()
    gate.shut_for(
        [
            Unfinished(TransactionId("a"), first, Found.SIGNED),
            Unfinished(TransactionId("b"), first, Found.SENT),
            *(
                Unfinished(TransactionId(found), other, found)
                for found in (Found.WAITING, Found.UNSIGNED, Found.UNCLEAR)
            ),
        ]
    )
    assert (gate.is_shut(first), gate.is_shut(other), gate.count_shut()) == (True, False, 1)
    gate.answered(first, TransactionId("a"))
    gate.answered(first, TransactionId("c"))
    gate.answered(other, TransactionId("b"))
    assert gate.is_shut(first)
    gate.answered(first, TransactionId("b"))
    assert (gate.is_shut(first), gate.count_shut()) == (False, 0)


def begin(site: "Site", *steps: Step) -> tuple[Any, Any]:
    """Let one agent have a payment that got so far, and another that was only admitted."""
    caller = site.hire()
    old, new = (
        site.office.ask_now(caller, to=site.office.new_address()).transaction for _ in range(2)
    )

    async def scenario() -> None:
        async with site.shift() as shift:
            for step in steps:
                assert await shift.step(old.id) is step

    asyncio.run(scenario())
    return old, new


SIGNED = (Step.PREPARE, Step.SIGN)
SENT = (*SIGNED, Step.SEND)


@pytest.mark.parametrize(("steps", "found"), [(SIGNED, Found.SIGNED), (SENT, Found.SENT)])
def test_nothing_is_signed_before_the_chain_has_answered_and_others_do_not_wait(
    steps: tuple[Step, ...], found: Found, site: "Site"
) -> None:
    old, new = begin(site, *steps)
    unfinished = site.office.ledger.read(read_unfinished)
    assert count_found(unfinished) == {**dict.fromkeys(Found, 0), found: 1, Found.UNSIGNED: 1}
    site.localnet.faults.install(DEAF)
    other = site.office.ask_now(site.hire(), to=site.office.new_address()).transaction
    blocks_pass = site.office.clock.on_wait
    site.office.clock.on_wait = lambda: None  # or the payments' time is over while they are held

    async def scenario() -> None:
        async with site.shift() as shift:

            def other_is_sent() -> bool:
                held = [each for each in shift.troubles if isinstance(each.error, SignerShut)]
                return len(held) > 2 and site.office.attempt(other.id) is not None

            await shift.work(other_is_sent)
            assert {
                each.tx_id for each in shift.troubles if isinstance(each.error, SignerShut)
            } == {new.id}
            assert shift.worker.count_shut() == 1
            assert site.office.attempt(new.id) is None
            site.localnet.faults.clear()
        site.office.clock.on_wait = blocks_pass
        async with site.shift() as shift:
            await shift.finish(old.id, new.id, other.id)
            assert shift.worker.count_shut() == 0

    asyncio.run(scenario())
    assert site.balance(new.to_address) == site.balance(old.to_address) == 10**6


def test_not_seen_yet_is_an_answer(site: "Site") -> None:
    _, new = begin(site, *SIGNED)
    site.localnet.faults.install(Fault(method="sendTransaction", drops=True))

    async def scenario() -> None:
        async with site.shift() as shift:
            await shift.work(lambda: site.office.attempt(new.id) is not None)

    asyncio.run(scenario())
    site.localnet.faults.clear()


def test_what_is_forbidden_ends_without_waiting_for_the_chain(site: "Site") -> None:
    _, new = begin(site, *SENT)
    site.localnet.faults.install(DEAF)
    site.office.kill()
    assert site.office.transaction(new.id).status is TransactionStatus.CANCELLED


def test_without_the_gate_a_payment_is_signed_into_the_dark(site: "Site") -> None:
    _, new = begin(site, *SENT)
    site.localnet.faults.install(DEAF)

    def has_signed() -> bool:
        attempt = site.office.attempt(new.id)
        return attempt is not None and attempt.tx_hash is not None

    async def scenario() -> None:
        async with site.shift() as shift:
            shift.worker = Hasty(shift.world, report=lambda *_: None)
            await shift.work(has_signed)

    asyncio.run(scenario())
