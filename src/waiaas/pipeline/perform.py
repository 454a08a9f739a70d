"""Doing one step, and recording the answer.

The order is the promise: the exact payload is durable before it is signed, the signed bytes are
durable before they are sent, and whatever a node answers is evidence, never a verdict. Each
function reads where the transaction stands, acts, and writes in one transaction; if somebody else
was faster it changes nothing.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never

from waiaas.domain.assets import why_unreachable
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AgentStatus, AuditAction, TransactionStatus
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import TransactionId
from waiaas.domain.money import NATIVE
from waiaas.domain.records import AcceptedRequest, AgentRecord, AttemptRecord, TransactionRecord
from waiaas.domain.request import Request
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.advance import Step, Wait, next_step, wait_of
from waiaas.pipeline.approval import approval_lapsed
from waiaas.pipeline.asked import asked
from waiaas.pipeline.clock_guard import require_believable
from waiaas.pipeline.end import cancel_unsigned, end
from waiaas.pipeline.kill_switch import is_on
from waiaas.pipeline.locking import require_unlocked
from waiaas.pipeline.payload import record_payload
from waiaas.pipeline.record import ledger_time, move, remember
from waiaas.pipeline.rent import rent_in
from waiaas.pipeline.restored import restored_at
from waiaas.pipeline.session_use import objection
from waiaas.pipeline.tightened import Tightening, remember_tightening, tightening
from waiaas.ports import (
    Chain,
    Chains,
    ChainUnavailable,
    GenerateId,
    GuardedClock,
    Landed,
    Ledger,
    LedgerTransaction,
    Payload,
    ProvablyExpired,
    Sighting,
    Signer,
    SimulationRefused,
    Unseen,
)

UNIT_PRICES: Final = 1000
"""Compute-unit prices 1 to 1000 micro-lamports take turns, so that equal payments of one agent are
different bytes. All of them cost one lamport for a payment in the chain's own asset, and at most
1400 for anything. The ledger's unique index on the payload's hash is
the net beneath: bytes that were used before are never recorded again."""


class LedgerRestored(Exception):  # noqa: N818 -- a state of the world, named as one
    """The ledger came out of a backup: nothing is signed until it is reconciled with the chain."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything a step needs from outside."""

    ledger: Ledger
    signer: Signer
    chains: Chains
    clock: GuardedClock
    generate_id: GenerateId

    def chain_of(self, agent: AgentRecord) -> Chain:
        """Return the agent's network.

        Raises:
            ChainUnavailable: it is not configured (any more).
        """
        chain = self.chains.get(agent.lives_on)
        if chain is None:
            raise ChainUnavailable(why_unreachable(agent.lives_on))
        return chain


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a transaction stands."""

    transaction: TransactionRecord
    accepted: AcceptedRequest
    attempt: AttemptRecord | None
    agent: AgentRecord
    wait: Wait | None
    """Of a QUEUED transaction."""
    session_revoked: bool
    session_objection: str | None
    """What the session's constraints, as they stand now, have against what is not sent yet."""
    ledger_restored: bool
    kill_switch_on: bool
    approval_lapsed: bool
    """Whether the owner approved it under other policies, or is the owner no more."""
    tightening: Tightening | None = None
    """Why policies that changed since end what would be prepared or signed next."""

    @property
    def step(self) -> Step | None:
        """What comes next."""
        return next_step(
            self.transaction.status,
            self.attempt and self.attempt.state,
            self.wait,
            is_forbidden=self.is_forbidden,
        )

    @property
    def is_forbidden(self) -> bool:
        """Whether permission was withdrawn since the request was admitted."""
        return (
            self.kill_switch_on
            or self.session_revoked
            or self.session_objection is not None
            or self.approval_lapsed
            or self.tightening is not None
            or self.agent.status is not AgentStatus.ACTIVE
        )

    @property
    def request(self) -> Request:
        """What was asked for.

        Raises:
            Tampered: the ledger contradicts itself about it.
        """
        return asked(self.transaction, self.accepted)

    def require_reconciled(self) -> None:
        """Return unless the next step signs or frees money and the ledger knows too little.

        Raises:
            LedgerRestored: it was restored; the transaction stays as it is.
        """
        if self.ledger_restored and self.step in {Step.EXPIRE, Step.PREPARE, Step.SIGN}:
            raise LedgerRestored("the ledger was restored: nothing is signed until reconciliation")


def read_standing(tx: LedgerTransaction, tx_id: TransactionId, *, wall_s: int) -> Standing:
    """Read everything that decides what comes next, from one snapshot."""
    current = tx.transactions.get(tx_id)
    assert current is not None, "transactions are never deleted"
    accepted = tx.requests.get(tx_id)
    agent = tx.agents.get(current.agent_id)
    assert accepted is not None, "a request and its transaction are written together"
    assert agent is not None, "agents with transactions are never deleted"
    session = None if current.session_id is None else tx.sessions.get(current.session_id)
    standing = Standing(
        transaction=current,
        accepted=accepted,
        attempt=tx.attempts.of_transaction(tx_id),
        agent=agent,
        wait=_read_wait(tx, current, wall_s=wall_s),
        session_revoked=session is None or session.revoked_at is not None,
        session_objection=session and objection(tx, session, current, accepted),
        ledger_restored=restored_at(tx) is not None,
        kill_switch_on=is_on(tx),
        approval_lapsed=approval_lapsed(tx, current),
    )
    if standing.step not in {Step.PREPARE, Step.SIGN}:
        return standing  # It still waits, or is signed.
    return replace(standing, tightening=tightening(tx, current, accepted, wall_s=wall_s))


def _read_wait(
    tx: LedgerTransaction, transaction: TransactionRecord, *, wall_s: int
) -> Wait | None:
    if transaction.status is not TransactionStatus.QUEUED:
        return None
    approval = tx.approvals.of_transaction(transaction.id)
    return wait_of(
        transaction.tier,
        until_at=tx.waits.until(transaction.id),
        is_approved=approval is not None and approval.approved_at is not None,
        now_s=ledger_time(tx, wall_s=wall_s),
    )


async def perform(standing: Standing, world: World) -> None:
    """Do the next step of a transaction that has one.

    Raises:
        ChainUnavailable: the node gave no answer; the step may be tried again.
        Tampered: the ledger contradicts itself; nothing was changed.
        LedgerRestored, ClockInDoubt, SignerLocked: nothing may be signed; nothing was changed.
    """
    standing.require_reconciled()
    require_believable(world.clock, standing.step, is_forbidden=standing.is_forbidden)
    if standing.step is Step.EXPIRE:
        await _expire(standing, world)
        return
    chain = world.chain_of(standing.agent)
    match standing.step:
        case Step.PREPARE:
            await _prepare(standing, world, chain)
        case Step.SIGN:
            await _sign(standing, world, chain)
        case Step.SEND:
            await _send(standing, world, chain)
        case Step.HOLD:
            await _hold(standing, world, chain)
        case Step.WATCH:
            await _watch(standing, world, chain)
        case None:
            pass
        case _:
            assert_never(standing.step)


async def _expire(standing: Standing, world: World) -> None:
    """End a payment on which nobody decided in time; no node is asked."""

    def record(tx: LedgerTransaction, now: Standing, now_s: int) -> None:
        error = f"{ErrorCode.APPROVAL_TIMEOUT}: nobody decided on it in time"
        end(tx, now.transaction, TransactionStatus.EXPIRED, error=error, now_s=now_s)

    await _write(standing, world, record)


async def _prepare(standing: Standing, world: World, chain: Chain) -> None:
    """Build and simulate; then, if the payment is still permitted, record the exact payload."""
    agent = standing.agent
    if standing.is_forbidden:  # Known before a node is asked, which may not answer.
        await _write(standing, world, _end_if_forbidden)
        return
    previous = world.ledger.read(lambda tx: tx.attempts.latest_unit_price(agent.id))
    built = await chain.build(
        standing.request,
        from_address=agent.public_key,
        unit_price=previous % UNIT_PRICES + 1,
    )
    require_unlocked(world.signer)  # Or the payload would grow old.

    def record(tx: LedgerTransaction, now: Standing, now_s: int) -> None:
        if _end_if_forbidden(tx, now, now_s):
            return
        match built:
            case SimulationRefused(reason):
                error: str | None = f"{ErrorCode.SIMULATION_FAILED}: {reason}"
            case Payload():
                error = record_payload(
                    *(tx, now.transaction, now.request, built),
                    attempt_id=world.generate_id(),
                    now_s=now_s,
                )
            case _:
                assert_never(built)
        if error is not None:
            end(tx, now.transaction, _hopeless(now), error=error, now_s=now_s)

    await _write(standing, world, record)


def _hopeless(now: Standing) -> TransactionStatus:
    """Return how a payment ends of which the chain says, before it is signed, that it would fail.

    What waited first was never begun: no move leads from QUEUED to FAILED.
    """
    waited = now.transaction.status is TransactionStatus.QUEUED
    return TransactionStatus.CANCELLED if waited else TransactionStatus.FAILED


async def _sign(standing: Standing, world: World, chain: Chain) -> None:
    """Sign the recorded payload, if that is still permitted, and record the signed bytes."""
    # Through the writer: a full or damaged ledger refuses, and what could not be recorded is not
    # signed. A transaction that changes nothing costs no sync.
    transaction, wall_s = standing.transaction, world.clock.now_s()
    standing, held = await world.ledger.write_async(
        lambda tx: (
            read_standing(tx, transaction.id, wall_s=wall_s),
            tx.reservations.amount_of(transaction.id, asset=NATIVE),
        )
    )
    if standing.step is not Step.SIGN:
        return
    attempt = _attempt_of(standing)
    if standing.is_forbidden:
        await _write(standing, world, _end_if_forbidden)
        return
    message = base64.b64decode(attempt.message)
    request, from_address = standing.request, standing.agent.public_key
    chain.check(message, request, from_address=from_address, rent=rent_in(held, request))
    signature = world.signer.sign(standing.agent.id, message)
    signed = chain.assemble(message, signature=signature, from_address=from_address)

    def record(tx: LedgerTransaction, now: Standing, now_s: int) -> None:
        # Only recorded signatures are ever sent; this one can still be forgotten.
        if _end_if_forbidden(tx, now, now_s):
            return
        raw = base64.b64encode(signed.raw).decode("ascii")
        recorded = tx.attempts.record_signature(attempt.tx_id, signed=raw, tx_hash=signed.tx_hash)
        assert recorded, "what is to be signed has a recorded payload"
        tx.transactions.set_hash(attempt.tx_id, tx_hash=signed.tx_hash)
        _audit(tx, now.transaction, AuditAction.TX_SIGNED, {"txHash": signed.tx_hash}, now_s)

    await _write(standing, world, record)


async def _send(standing: Standing, world: World, chain: Chain) -> None:
    """Hand the recorded bytes over. Whatever the answer, from here only the chain can tell."""
    attempt = _attempt_of(standing)
    evidence = "taken" if await _try_to_send(attempt, chain) else "unknown"

    def record(tx: LedgerTransaction, now: Standing, now_s: int) -> None:
        _submitted(tx, now.transaction, attempt, evidence, now_s)

    # Sent is sent: also if it was forbidden in the meantime.
    await _write(standing, world, record, steps=frozenset({Step.SEND, Step.HOLD}))


def _submitted(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    attempt: AttemptRecord,
    evidence: str,
    now_s: int,
) -> None:
    """Record that a node has been given the bytes, as far as the *evidence* tells."""
    sent = tx.attempts.compare_and_set_state(
        attempt.tx_id, old=AttemptState.SIGNED, new=AttemptState.SENT
    )
    assert sent, "an executing transaction that can be sent has one signed attempt"
    move(
        tx,
        transaction,
        TransactionStatus.SUBMITTED,
        now_s=now_s,
        details={"txHash": attempt.tx_hash, "answer": evidence},
    )


async def _try_to_send(attempt: AttemptRecord, chain: Chain) -> bool:
    assert attempt.signed is not None, "only signed bytes are sent"
    try:
        return await chain.send(base64.b64decode(attempt.signed))
    except ChainUnavailable:
        return False


async def _hold(standing: Standing, world: World, chain: Chain) -> None:
    """Ask the chain about signed bytes that must not be sent, and record what it proves.

    If they have landed they had been sent before, and a crash cut off the record of it.
    """
    attempt = _attempt_of(standing)
    sighting = await _look_up(attempt, chain)
    if isinstance(sighting, Unseen):
        return

    def record(tx: LedgerTransaction, now: Standing, now_s: int) -> None:
        match sighting:
            case Landed():
                _submitted(tx, now.transaction, attempt, "seen", now_s)
                sent = now.transaction._replace(status=TransactionStatus.SUBMITTED)
                _landed(tx, sent, sighting, now_s)
            case ProvablyExpired():
                tx.attempts.compare_and_set_state(
                    attempt.tx_id, old=AttemptState.SIGNED, new=AttemptState.EXPIRED
                )
                error = f"{ErrorCode.TRANSACTION_EXPIRED}: it was held back and can land no more"
                end(tx, now.transaction, TransactionStatus.FAILED, error=error, now_s=now_s)
            case _:
                assert_never(sighting)

    await _write(standing, world, record)


async def _look_up(attempt: AttemptRecord, chain: Chain) -> Sighting:
    assert attempt.tx_hash is not None, "what was signed has a hash"
    return await chain.look_up(
        attempt.tx_hash, last_valid_block_height=attempt.last_valid_block_height
    )


def _landed(
    tx: LedgerTransaction, transaction: TransactionRecord, landed: Landed, now_s: int
) -> None:
    """End a SUBMITTED transaction that the chain has included."""
    if landed.error is None:
        tx.transactions.set_executed_at(transaction.id, executed_at=now_s)
        end(tx, transaction, TransactionStatus.CONFIRMED, error=None, now_s=now_s)
    else:
        error = f"{ErrorCode.TRANSACTION_FAILED_ON_CHAIN}: {landed.error}"
        end(tx, transaction, TransactionStatus.FAILED, error=error, now_s=now_s)


async def _watch(standing: Standing, world: World, chain: Chain) -> None:
    """Ask the chain, and record what it proves. Not having seen it proves nothing."""
    sighting = await _look_up(_attempt_of(standing), chain)
    if isinstance(sighting, Unseen):
        return

    def record(tx: LedgerTransaction, now: Standing, now_s: int) -> None:
        match sighting:
            case Landed():
                _landed(tx, now.transaction, sighting, now_s)
            case ProvablyExpired():
                error = f"{ErrorCode.TRANSACTION_EXPIRED}: it did not land and never can"
                end(tx, now.transaction, TransactionStatus.EXPIRED, error=error, now_s=now_s)
            case _:
                assert_never(sighting)

    await _write(standing, world, record)


async def resend(standing: Standing, world: World) -> None:
    """Offer the same bytes again: nodes forget, and sending twice is harmless."""
    await _try_to_send(_attempt_of(standing), world.chain_of(standing.agent))


def _end_if_forbidden(tx: LedgerTransaction, now: Standing, now_s: int) -> bool:
    """Cancel a transaction of which nothing was signed, if it may not go on; tell whether."""
    if not now.is_forbidden:
        return False
    if now.kill_switch_on:
        error = f"{ErrorCode.KILL_SWITCH_ACTIVE}: called off by the kill switch"
    elif now.session_revoked:
        error = f"{ErrorCode.SESSION_REVOKED}: the session was revoked before anything was signed"
    elif now.session_objection is not None:
        error = f"{ErrorCode.CONSTRAINT_VIOLATED}: {now.session_objection}"
    elif now.agent.status is not AgentStatus.ACTIVE:
        error = f"{ErrorCode.AGENT_NOT_ACTIVE}: the agent is {now.agent.status}"
    elif now.approval_lapsed:
        error = f"{ErrorCode.CHALLENGE_STALE}: policies or owner changed after the owner's approval"
    else:
        assert now.tightening is not None, "something forbids it"
        remember_tightening(tx, now.transaction, now.tightening, now_s=now_s)
        error = now.tightening.error
    return cancel_unsigned(tx, now.transaction, error=error, now_s=now_s)


def _attempt_of(standing: Standing) -> AttemptRecord:
    assert standing.attempt is not None, "a transaction past PENDING has an attempt"
    return standing.attempt


def _audit(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    action: AuditAction,
    details: Mapping[str, str | int | None],
    now_s: int,
) -> None:
    event = AuditEvent(
        action,
        SYSTEM,
        agent_id=transaction.agent_id,
        session_id=transaction.session_id,
        tx_id=transaction.id,
        details=details,
    )
    remember(tx, event, now_s=now_s)


async def _write(
    standing: Standing,
    world: World,
    record: Callable[[LedgerTransaction, Standing, int], object],
    *,
    steps: frozenset[Step] = frozenset(),
) -> None:
    """Run *record* in one transaction, on the standing as it is now, unless it moved meanwhile.

    It has not moved as long as its next step is the same, or one of *steps*.
    """
    wall_s = world.clock.now_s()

    def unit(tx: LedgerTransaction) -> None:
        now = read_standing(tx, standing.transaction.id, wall_s=wall_s)
        if now.step is standing.step or now.step in steps:
            now.require_reconciled()
            require_believable(world.clock, now.step, is_forbidden=now.is_forbidden)
            record(tx, now, ledger_time(tx, wall_s=wall_s))

    await world.ledger.write_async(unit)
