"""Steps: what is durable before what, and what each answer of the world does to the money."""

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.chain import LOCALNET

from waiaas.chains.localnet.faults import Fault, Reply
from waiaas.database.schema import attempts
from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType, TransactionStatus
from waiaas.domain.ids import TransactionId
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import AttemptState, ReservationState
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.advance import Step
from waiaas.pipeline.perform import UNIT_PRICES, World, perform, resend
from waiaas.ports import ChainUnavailable, Payload

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Shift, Site

AMOUNT = 10**6
ON_DEVNET = Network(ChainType.SOLANA, NetworkType.DEVNET)
FEE = 5001
HELD, SPENT, RELEASED = ReservationState.HELD, ReservationState.SPENT, ReservationState.RELEASED

REQUESTED = ["TX_REQUESTED"]
RECORDED = [*REQUESTED, "TX_PAYLOAD_RECORDED"]
SIGNED = [*RECORDED, "TX_SIGNED"]
SENT = [*SIGNED, "TX_SUBMITTED"]

LOST = [Reply.ERROR, Reply.GARBAGE, Reply.UNAVAILABLE, Reply.CUT_OFF, Reply.WRONG_ID]
"""Replies that never arrive, as far as they cost no time. Hanging is in the chain's own tests."""


def ask(site: "Site", caller: Caller, *, amount: int = AMOUNT, to: str | None = None) -> Any:
    """Have a payment admitted; return its transaction."""
    admission = site.office.ask_now(caller, amount, to=to or site.office.new_address())
    assert admission.refusal is None
    return admission.transaction


async def steps(shift: "Shift", tx_id: TransactionId, *expected: Step) -> None:
    for step in expected:
        assert await shift.step(tx_id) is step


def stands(office: "Office", tx_id: TransactionId) -> tuple[TransactionStatus, Any, str, list[str]]:
    """Return status, state of the attempt, of the reservation, and the audit trail."""
    attempt, reservation = office.attempt(tx_id), office.reservation(tx_id)
    assert reservation is not None
    state = attempt and attempt.state
    return office.transaction(tx_id).status, state, reservation[0], office.audit_of(tx_id)


# ── the steps, one by one ──────────────────────────────────────────────────────────────────────


def test_a_payment_takes_four_steps_and_each_is_written_down(site: "Site") -> None:
    caller = site.hire()
    transaction = ask(site, caller)
    tx_id = transaction.id
    office = site.office

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, tx_id, Step.PREPARE)
            executing = TransactionStatus.EXECUTING
            assert stands(office, tx_id) == (executing, AttemptState.RECORDED, HELD, RECORDED)
            assert "sign" not in shift.tap.calls
            attempt = office.attempt(tx_id)
            assert attempt is not None
            assert (attempt.signed, attempt.tx_hash) == (None, None)
            payload = base64.b64decode(attempt.message)
            assert attempt.message_sha256 == hashlib.sha256(payload).hexdigest()

            await steps(shift, tx_id, Step.SIGN)
            assert stands(office, tx_id) == (executing, AttemptState.SIGNED, HELD, SIGNED)
            assert "send" not in shift.tap.calls
            attempt = office.attempt(tx_id)
            assert attempt is not None
            assert base64.b64decode(attempt.signed or "").endswith(payload)
            assert attempt.tx_hash is not None
            assert office.transaction(tx_id).tx_hash == attempt.tx_hash

            await steps(shift, tx_id, Step.SEND)
            submitted = TransactionStatus.SUBMITTED
            assert stands(office, tx_id) == (submitted, AttemptState.SENT, HELD, SENT)

            await steps(shift, tx_id, Step.WATCH)  # processed only: proves nothing yet
            assert stands(office, tx_id) == (submitted, AttemptState.SENT, HELD, SENT)

            site.localnet.network.advance_block()
            office.clock.wall_s += 3
            await steps(shift, tx_id, Step.WATCH)
            assert stands(office, tx_id) == (
                TransactionStatus.CONFIRMED,
                AttemptState.LANDED,
                SPENT,
                [*SENT, "TX_CONFIRMED"],
            )
            assert await shift.step(tx_id) is None

    asyncio.run(scenario())
    done = office.transaction(tx_id)
    assert (done.executed_at, done.error) == (office.clock.now_s(), None)
    assert site.balance(transaction.to_address) == AMOUNT
    assert site.balance_of(caller) == 10**10 - AMOUNT - FEE


def test_nothing_is_signed_that_is_not_durable_nor_sent_that_is_not_durable(site: "Site") -> None:
    tx_id = ask(site, site.hire()).id
    seen: list[str] = []

    def look(name: str, argument: Any) -> None:
        attempt = site.office.attempt(tx_id)  # on a connection that sees what is committed only
        if name == "sign":
            assert attempt is not None
            assert attempt.state is AttemptState.RECORDED
            assert base64.b64decode(attempt.message) == argument
            seen.append(name)
        if name == "send":
            assert attempt is not None
            assert attempt.state is AttemptState.SIGNED
            assert base64.b64decode(attempt.signed or "") == argument
            assert site.office.transaction(tx_id).tx_hash == attempt.tx_hash
            seen.append(name)

    async def scenario() -> list[str]:
        async with site.shift() as shift:
            shift.tap.look = look
            await steps(shift, tx_id, Step.PREPARE, Step.SIGN, Step.SEND)
            return [name for name in shift.tap.calls if name not in {"read", "check"}]

    order = asyncio.run(scenario())
    assert order == ["build", "write", "write", "sign", "assemble", "write", "send", "write"]
    assert seen == ["sign", "send"]


@pytest.mark.parametrize("done_before", [1, 2, 3])
def test_a_step_done_on_an_old_look_changes_nothing(done_before: int, site: "Site") -> None:
    tx_id = ask(site, site.hire()).id

    async def scenario() -> None:
        async with site.shift() as shift:
            for _ in range(done_before - 1):
                await shift.step(tx_id)
            old = shift.standing(tx_id)
            await shift.step(tx_id)
            before = (site.office.counts(), stands(site.office, tx_id), site.office.attempt(tx_id))
            await perform(old, shift.world)
            after = (site.office.counts(), stands(site.office, tx_id), site.office.attempt(tx_id))
            assert after == before

    asyncio.run(scenario())


def test_an_ending_that_is_seen_twice_is_recorded_once(site: "Site") -> None:
    transaction = ask(site, site.hire())

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE, Step.SIGN, Step.SEND)
            site.localnet.network.advance_block()
            sent = shift.standing(transaction.id)
            await perform(sent, shift.world)
            before = site.office.counts()
            site.office.clock.wall_s += 60
            await perform(sent, shift.world)
            assert site.office.counts() == before

    asyncio.run(scenario())
    assert stands(site.office, transaction.id)[3] == [*SENT, "TX_CONFIRMED"]
    assert site.office.rows("reservations")[0].settled_at == site.office.clock.now_s() - 60


# ── two requests never share bytes ─────────────────────────────────────────────────────────────


def test_equal_payments_of_one_agent_are_different_bytes(site: "Site") -> None:
    caller, to = site.hire(), site.office.new_address()
    ids = [ask(site, caller, to=to).id for _ in range(5)]

    async def scenario() -> None:
        async with site.shift() as shift:
            for tx_id in ids:  # no block passes: the blockhash is the same
                await steps(shift, tx_id, Step.PREPARE)

    asyncio.run(scenario())
    assert len({site.payload_of(tx_id) for tx_id in ids}) == len(ids)
    prices = [row.unit_price for row in site.office.rows("attempts")]
    assert prices == [1, 2, 3, 4, 5]


def test_prices_take_turns_and_never_leave_their_range(site: "Site") -> None:
    caller = site.hire()
    first, second = ask(site, caller), ask(site, caller)

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, first.id, Step.PREPARE)
            site.office.execute(attempts.update().values(unit_price=UNIT_PRICES))
            await steps(shift, second.id, Step.PREPARE)

    asyncio.run(scenario())
    attempt = site.office.attempt(second.id)
    assert attempt is not None
    assert attempt.unit_price == 1


def test_bytes_that_were_used_before_are_never_recorded_again(site: "Site") -> None:
    """Two workers that look at the same moment compose the same bytes; the net catches one."""
    caller, to = site.hire(), site.office.new_address()
    one, other = ask(site, caller, to=to), ask(site, caller, to=to)

    async def scenario() -> None:
        async with site.shift() as shift:
            outcomes = await asyncio.gather(
                *(perform(shift.standing(each.id), shift.world) for each in (one, other)),
                return_exceptions=True,
            )
            assert sorted(outcome is None for outcome in outcomes) == [False, True]
            late = one if outcomes[0] else other
            assert stands(site.office, late.id)[:3] == (TransactionStatus.PENDING, None, HELD)
            await steps(shift, late.id, Step.PREPARE)  # tried again, at the next price

    asyncio.run(scenario())
    assert site.payload_of(one.id) != site.payload_of(other.id)


# ── permission withdrawn ───────────────────────────────────────────────────────────────────────

FORBID = [
    ("suspend", "AGENT_NOT_ACTIVE"),
    ("revoke", "SESSION_REVOKED"),
    ("kill", "KILL_SWITCH_ACTIVE"),
    ("narrow", "CONSTRAINT_VIOLATED"),
]


@pytest.mark.parametrize(("what", "code"), FORBID)
@pytest.mark.parametrize("when", ["before PREPARE", "during PREPARE", "before SIGN", "during SIGN"])
def test_what_may_no_longer_be_paid_is_cancelled_and_never_sent(
    what: str, code: str, when: str, site: "Site"
) -> None:
    caller = site.hire()
    transaction = ask(site, caller)
    tx_id = transaction.id
    withdraw = getattr(site.office, what)
    moment, step = when.split()

    async def scenario() -> list[str]:
        async with site.shift() as shift:
            if step == "SIGN":
                await steps(shift, tx_id, Step.PREPARE)
            if moment == "before":
                withdraw(caller)
            else:
                call = {"PREPARE": "build", "SIGN": "sign"}[step]
                shift.tap.look = lambda name, _argument: withdraw(caller) if name == call else None
            await shift.step(tx_id)
            assert await shift.step(tx_id) is None
            return shift.tap.calls

    calls = asyncio.run(scenario())
    assert "send" not in calls
    assert ("sign" in calls) is (when == "during SIGN")  # and then the signature is forgotten
    attempt_state = AttemptState.REPLACED if step == "SIGN" else None
    trail = [*(RECORDED if step == "SIGN" else REQUESTED), "TX_CANCELLED"]
    assert stands(site.office, tx_id) == (
        TransactionStatus.CANCELLED,
        attempt_state,
        RELEASED,
        trail,
    )
    cancelled = site.office.transaction(tx_id)
    assert (cancelled.error or "").startswith(f"{code}: ")
    assert (cancelled.tx_hash, cancelled.executed_at) == (None, None)
    attempt = site.office.attempt(tx_id)
    assert attempt is None or (attempt.signed, attempt.tx_hash) == (None, None)
    assert site.balance(transaction.to_address) == 0


def test_a_payment_asked_for_in_time_is_made_after_the_session_expired(site: "Site") -> None:
    transaction = ask(site, site.hire())
    site.office.clock.wall_s += 40 * 86_400

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE, Step.SIGN)

    asyncio.run(scenario())
    assert stands(site.office, transaction.id)[1] is AttemptState.SIGNED


# ── answers of the world ───────────────────────────────────────────────────────────────────────


def test_a_payment_the_chain_would_refuse_fails_before_anything_is_signed(site: "Site") -> None:
    transaction = ask(site, site.hire(lamports=AMOUNT), amount=AMOUNT)  # nothing left for the fee

    async def scenario() -> list[str]:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE)
            assert await shift.step(transaction.id) is None
            return shift.tap.calls

    calls = asyncio.run(scenario())
    assert "sign" not in calls
    trail = [*REQUESTED, "TX_FAILED"]
    assert stands(site.office, transaction.id) == (TransactionStatus.FAILED, None, RELEASED, trail)
    assert (site.office.transaction(transaction.id).error or "").startswith("SIMULATION_FAILED: ")


def test_an_amount_that_no_account_can_hold_fails_before_anything_is_signed(site: "Site") -> None:
    caller = site.hire(limits={})
    site.office.set_policy(caller.agent_id, f'{{"asset":"native","instant_max":"{2**256 - 1}"}}')
    transaction = ask(site, caller, amount=2**256 - 1)

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE)

    asyncio.run(scenario())
    assert stands(site.office, transaction.id)[:3] == (TransactionStatus.FAILED, None, RELEASED)


def test_what_fails_on_chain_ends_as_failed_and_frees_its_money(site: "Site") -> None:
    caller = site.hire(lamports=10**9)
    transaction = ask(site, caller, amount=9 * 10**8)

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE, Step.SIGN)
            await spend_past_us(site, caller, lamports=5 * 10**8)
            await steps(shift, transaction.id, Step.SEND)
            site.localnet.network.advance_blocks(32)
            await steps(shift, transaction.id, Step.WATCH)

    asyncio.run(scenario())
    assert stands(site.office, transaction.id) == (
        TransactionStatus.FAILED,
        AttemptState.FAILED_ON_CHAIN,
        RELEASED,
        [*SENT, "TX_FAILED"],
    )
    failed = site.office.transaction(transaction.id)
    assert (failed.error or "").startswith("TRANSACTION_FAILED_ON_CHAIN: ")
    assert failed.executed_at is None
    assert failed.tx_hash is not None
    assert site.balance(transaction.to_address) == 0


async def spend_past_us(site: "Site", caller: Caller, *, lamports: int) -> None:
    """Move an agent's money with its key, but without the pipeline."""
    address = site.office.address(caller)
    async with site.connect() as chain:
        payload = await chain.build(
            Transfer(site.office.new_address(), lamports), from_address=address, unit_price=0
        )
        assert isinstance(payload, Payload)
        signature = site.office.signer.sign(caller.agent_id, payload.message)
        signed = chain.assemble(payload.message, signature=signature, from_address=address)
        assert await chain.send(signed.raw)


@pytest.mark.parametrize("reply", LOST)
def test_a_payment_whose_reply_is_lost_was_still_made_once(reply: Reply, site: "Site") -> None:
    caller = site.hire()
    transaction = ask(site, caller)

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE, Step.SIGN)
            site.localnet.faults.install(Fault(method="sendTransaction", reply=reply))
            await steps(shift, transaction.id, Step.SEND)
            assert stands(site.office, transaction.id)[:3] == (
                TransactionStatus.SUBMITTED,
                AttemptState.SENT,
                HELD,
            )
            await resend(shift.standing(transaction.id), shift.world)
            site.localnet.network.advance_block()
            await resend(shift.standing(transaction.id), shift.world)
            await steps(shift, transaction.id, Step.WATCH)

    asyncio.run(scenario())
    assert stands(site.office, transaction.id)[0] is TransactionStatus.CONFIRMED
    assert site.balance(transaction.to_address) == AMOUNT
    assert site.balance_of(caller) == 10**10 - AMOUNT - FEE


@pytest.mark.parametrize("reply", LOST)
def test_control_building_again_after_an_error_pays_twice(reply: Reply, site: "Site") -> None:
    caller, to = site.hire(), site.office.new_address()
    address = site.office.address(caller)
    site.localnet.faults.install(Fault(method="sendTransaction", reply=reply, times=1))

    async def naive() -> None:
        async with site.connect() as chain:
            for unit_price in (1, 2):
                payload = await chain.build(
                    Transfer(to, AMOUNT), from_address=address, unit_price=unit_price
                )
                assert isinstance(payload, Payload)
                signature = site.office.signer.sign(caller.agent_id, payload.message)
                signed = chain.assemble(payload.message, signature=signature, from_address=address)
                try:
                    if await chain.send(signed.raw):
                        return
                except ChainUnavailable:
                    pass

    asyncio.run(naive())
    assert site.balance(to) == 2 * AMOUNT


def test_bytes_that_can_still_land_are_not_expired_and_bytes_that_cannot_are(site: "Site") -> None:
    transaction = ask(site, site.hire())
    network = site.localnet.network

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE, Step.SIGN)
            site.localnet.faults.install(Fault(method="sendTransaction", drops=True))
            await steps(shift, transaction.id, Step.SEND)
            attempt = site.office.attempt(transaction.id)
            assert attempt is not None
            finalized = network.tip.height - 32
            network.advance_blocks(attempt.last_valid_block_height - finalized)
            assert network.tip.height - 32 == attempt.last_valid_block_height
            await steps(shift, transaction.id, Step.WATCH)
            assert stands(site.office, transaction.id)[:3] == (
                TransactionStatus.SUBMITTED,
                AttemptState.SENT,
                HELD,
            )
            network.advance_block()
            await steps(shift, transaction.id, Step.WATCH)

    asyncio.run(scenario())
    assert stands(site.office, transaction.id) == (
        TransactionStatus.EXPIRED,
        AttemptState.EXPIRED,
        RELEASED,
        [*SENT, "TX_EXPIRED"],
    )
    expired = site.office.transaction(transaction.id)
    assert (expired.error or "").startswith("TRANSACTION_EXPIRED: ")
    assert site.balance(transaction.to_address) == 0


def test_a_payment_that_landed_is_found_however_late_one_looks(site: "Site") -> None:
    transaction = ask(site, site.hire())

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE, Step.SIGN, Step.SEND)
            site.localnet.network.advance_blocks(400)
            await steps(shift, transaction.id, Step.WATCH)

    asyncio.run(scenario())
    assert stands(site.office, transaction.id)[:3] == (
        TransactionStatus.CONFIRMED,
        AttemptState.LANDED,
        SPENT,
    )


@pytest.mark.parametrize("done", [0, 3], ids=["PREPARE", "WATCH"])
def test_a_node_that_cannot_be_asked_decides_nothing(done: int, site: "Site") -> None:
    transaction = ask(site, site.hire())

    async def scenario() -> None:
        async with site.shift() as shift:
            for _ in range(done):
                await shift.step(transaction.id)
            before = site.office.counts(), stands(site.office, transaction.id)
            site.localnet.faults.install(Fault(executes=False, reply=Reply.UNAVAILABLE))
            with pytest.raises(ChainUnavailable):
                await shift.step(transaction.id)
            assert (site.office.counts(), stands(site.office, transaction.id)) == before

    asyncio.run(scenario())


def test_a_network_without_a_node_is_unavailable(site: "Site") -> None:
    transaction = ask(site, site.hire())

    async def scenario() -> None:
        async with site.shift() as shift:
            world = World(
                ledger=shift.world.ledger,
                signer=shift.world.signer,
                chains={ON_DEVNET: shift.world.chains[LOCALNET]},
                clock=shift.world.clock,
                generate_id=shift.world.generate_id,
            )
            with pytest.raises(ChainUnavailable, match="localnet"):
                await perform(shift.standing(transaction.id), world)

    asyncio.run(scenario())
    assert stands(site.office, transaction.id)[:3] == (TransactionStatus.PENDING, None, HELD)


def test_a_payload_that_is_not_the_payment_is_never_signed(site: "Site") -> None:
    """Whoever can write to the ledger's file cannot have another payment signed."""
    one, other = ask(site, site.hire()), ask(site, site.hire())

    async def scenario() -> list[str]:
        async with site.shift() as shift:
            for each in (one, other):
                await steps(shift, each.id, Step.PREPARE)
            stranger = site.office.attempt(other.id)
            assert stranger is not None
            site.office.execute(
                attempts.update().where(attempts.c.tx_id == one.id).values(message=stranger.message)
            )
            with pytest.raises(ValueError, match=r"\S"):
                await shift.step(one.id)
            return shift.tap.calls

    assert "sign" not in asyncio.run(scenario())
    assert stands(site.office, one.id)[:3] == (
        TransactionStatus.EXECUTING,
        AttemptState.RECORDED,
        HELD,
    )


def test_a_signature_of_another_key_is_never_recorded(site: "Site") -> None:
    caller = site.hire()
    transaction = ask(site, caller)

    async def scenario() -> None:
        async with site.shift() as shift:
            await steps(shift, transaction.id, Step.PREPARE)
            site.office.signer.generate(caller.agent_id)  # the keystore lost its mind
            with pytest.raises(ValueError, match="signature"):
                await shift.step(transaction.id)

    asyncio.run(scenario())
    assert stands(site.office, transaction.id) == (
        TransactionStatus.EXECUTING,
        AttemptState.RECORDED,
        HELD,
        RECORDED,
    )


def test_an_agent_meets_a_client_of_its_own_chain_or_none(site: "Site") -> None:
    agent_id = site.hire().agent_id
    agent = site.office.ledger.read(lambda tx: tx.agents.get(agent_id))
    assert agent is not None

    async def scenario() -> None:
        async with site.shift() as shift:
            assert shift.world.chain_of(agent) is shift.world.chains[LOCALNET]
            elsewhere = agent._replace(chain=ChainType.ETHEREUM)
            with pytest.raises(ChainUnavailable, match="no adapter for ethereum"):
                shift.world.chain_of(elsewhere)

    asyncio.run(scenario())
