"""The owner: registered by the operator, verified by a signature, and then the one who approves.

Whatever a signature does is one unit of work: it is checked against the message that the daemon
wrote, the message is used up, and the act is done and written down with both, or nothing is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from waiaas.domain.audit import OPERATOR, UNAUTHENTICATED, AuditEvent, owner_actor
from waiaas.domain.enums import AgentStatus, AuditAction, OwnerState
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.owner import (
    NO_OWNER,
    PAYMENT_ACTIONS,
    Challenge,
    Owner,
    OwnerAction,
    Proof,
    can_sign,
    count_refusal,
    wallet_chain,
)
from waiaas.domain.owner_message import Letterhead
from waiaas.domain.records import TransactionRecord
from waiaas.domain.times import time_in_words
from waiaas.pipeline.challenge import Subject, find_subject, why_stale
from waiaas.pipeline.decide import Decider, let_go, turn_down
from waiaas.pipeline.kill_switch import refusal_while_on
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.refuse import unless_refused
from waiaas.pipeline.restored import require_not_restored
from waiaas.ports import Clock, Ledger, LedgerTransaction, OwnerSignatures


@dataclass(frozen=True, slots=True)
class Reception:
    """Where signatures are handed in."""

    ledger: Ledger
    clock: Clock
    signatures: OwnerSignatures
    letterhead: Letterhead


Act = Callable[[LedgerTransaction, Subject, Challenge, int], Refusal | None]
"""Does what was signed at a second of ledger time, or changes nothing and says why."""

_ASK_AGAIN: Final = "Ask for the message again, and sign that one."

# ── by the operator ────────────────────────────────────────────────────────────────────────────


async def set_owner(
    agent_id: AgentId, address: str, *, ip_address: str | None, ledger: Ledger, clock: Clock
) -> Owner:
    """Register an owner, or another one as long as none has proved his key.

    Raises:
        Refusal: INVALID_ADDRESS, AGENT_NOT_FOUND, OWNER_ALREADY_CONNECTED, KILL_SWITCH_ACTIVE.
    """
    if wallet_chain(address) is None:
        raise Refusal(
            ErrorCode.INVALID_ADDRESS,
            "`ownerAddress` is neither a Solana address nor an Ethereum address",
            hint="An Ethereum address is written with the upper and lower case of EIP-55.",
        )

    def change(tx: LedgerTransaction, subject: Subject, now_s: int) -> Refusal | None:
        refusal = refusal_while_on(tx) or _no_owner(tx, address)
        if refusal is not None:
            return refusal
        if subject.owner.address == address:
            return None
        if subject.owner.binds_operator:
            return Refusal(
                ErrorCode.OWNER_ALREADY_CONNECTED,
                f"the owner, {subject.owner.address}, has proved his key",
                hint="He has to give it up first: `waiaas owner message --action remove`.",
            )
        _register(tx, subject, Owner(address, is_verified=False), now_s=now_s)
        details = {"before": subject.owner.address, "after": address}
        _audit(
            tx,
            AuditAction.OWNER_SET,
            subject,
            details,
            actor=OPERATOR,
            ip_address=ip_address,
            now_s=now_s,
        )
        return None

    return await _by_operator(agent_id, change, ip_address, ledger, clock)


def _no_owner(tx: LedgerTransaction, address: str) -> Refusal | None:
    """Return why no person signs with the key of *address*, or None."""
    agents = (each for status in AgentStatus for each in tx.agents.with_status(status))
    if any(each.public_key == address for each in agents):
        reason = "`ownerAddress` is an agent's own: no agent is an owner, nor owns itself"
    elif not can_sign(address):
        reason = "`ownerAddress` has no key: it is a program's or reserved, and can never sign"
    else:
        return None
    return Refusal(
        ErrorCode.INVALID_ADDRESS,
        reason,
        hint="Give the address of a wallet of the person whose money it is.",
    )


async def remove_owner(
    agent_id: AgentId, *, ip_address: str | None, ledger: Ledger, clock: Clock
) -> Owner:
    """Take an owner back who has not proved his key.

    Raises:
        Refusal: AGENT_NOT_FOUND, OWNER_NOT_CONNECTED, OWNER_REQUIRED.
    """

    def change(tx: LedgerTransaction, subject: Subject, now_s: int) -> Refusal | None:
        if subject.owner.state is OwnerState.NONE:
            raise Refusal(ErrorCode.OWNER_NOT_CONNECTED, "no owner is registered for this agent")
        if subject.owner.binds_operator:
            return Refusal(
                ErrorCode.OWNER_REQUIRED,
                f"only the owner himself, {subject.owner.address}, gives it up",
                hint="`waiaas owner message --action remove` prints what he has to sign.",
            )
        _register(tx, subject, NO_OWNER, now_s=now_s)
        details = {"before": subject.owner.address}
        _audit(
            tx,
            AuditAction.OWNER_REMOVED,
            subject,
            details,
            actor=OPERATOR,
            ip_address=ip_address,
            now_s=now_s,
        )
        return None

    return await _by_operator(agent_id, change, ip_address, ledger, clock)


async def _by_operator(
    agent_id: AgentId,
    change: Callable[[LedgerTransaction, Subject, int], Refusal | None],
    ip_address: str | None,
    ledger: Ledger,
    clock: Clock,
) -> Owner:
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> Owner | Refusal:
        subject = find_subject(tx, OwnerAction.VERIFY, agent_id)
        now_s = ledger_time(tx, wall_s=wall_s)
        refusal = change(tx, subject, now_s)
        if refusal is None:
            return find_subject(tx, OwnerAction.VERIFY, agent_id).owner
        refused = AuditAction.OWNER_CHANGE_REFUSED
        _audit(
            tx,
            refused,
            subject,
            {"code": refusal.code},
            actor=OPERATOR,
            ip_address=ip_address,
            now_s=now_s,
        )
        return refusal

    return await unless_refused(ledger, unit)


# ── by a signature ─────────────────────────────────────────────────────────────────────────────


async def decide_as_owner(
    action: OwnerAction,
    tx_id: TransactionId,
    proof: Proof,
    *,
    ip_address: str | None,
    reception: Reception,
) -> TransactionRecord:
    """Approve or reject a payment by the owner's signature; return it as it is now.

    Raises:
        Refusal: INVALID_NONCE, INVALID_SIGNATURE, TX_NOT_FOUND, TX_ALREADY_PROCESSED,
            APPROVAL_NOT_FOUND, APPROVAL_TIMEOUT, CHALLENGE_EXPIRED, CHALLENGE_STALE,
            LEDGER_RESTORED.
    """

    def act(
        tx: LedgerTransaction, subject: Subject, challenge: Challenge, now_s: int
    ) -> Refusal | None:
        assert subject.transaction is not None, "the action is about a payment"
        by = Decider(None, None, ip_address, owner_address=challenge.owner_address)
        decision = let_go if action is OwnerAction.APPROVE else turn_down
        return decision(
            tx,
            subject.transaction,
            by,
            now_s=now_s,
            owner_signature=proof.signature,
            details=_evidence(challenge, proof),
        )

    subject = await _signed(action, tx_id, proof, act, ip_address=ip_address, reception=reception)
    assert subject.transaction is not None, "the action is about a payment"
    return subject.transaction


async def verify_owner(
    agent_id: AgentId,
    proof: Proof,
    *,
    ip_address: str | None,
    reception: Reception,
) -> Owner:
    """Take the owner's signature as proof of the key, and nothing besides.

    Raises:
        Refusal: INVALID_NONCE, INVALID_SIGNATURE, AGENT_NOT_FOUND, CHALLENGE_EXPIRED,
            CHALLENGE_STALE, LEDGER_RESTORED.
    """

    def act(_tx: LedgerTransaction, _subject: Subject, _challenge: Challenge, _now_s: int) -> None:
        """Every signature of an owner does what there is to do here."""

    subject = await _signed(
        OwnerAction.VERIFY, agent_id, proof, act, ip_address=ip_address, reception=reception
    )
    return subject.owner


async def give_up_owner(
    agent_id: AgentId,
    proof: Proof,
    *,
    ip_address: str | None,
    reception: Reception,
) -> Owner:
    """Remove an owner who signed that he wants to be one no more.

    Raises:
        Refusal: as `verify_owner` does.
    """

    def act(tx: LedgerTransaction, subject: Subject, challenge: Challenge, now_s: int) -> None:
        _register(tx, subject, NO_OWNER, now_s=now_s)
        actor, details = owner_actor(challenge.owner_address), _evidence(challenge, proof)
        _audit(
            tx,
            AuditAction.OWNER_REMOVED,
            subject,
            details,
            actor=actor,
            ip_address=ip_address,
            now_s=now_s,
        )

    subject = await _signed(
        OwnerAction.REMOVE, agent_id, proof, act, ip_address=ip_address, reception=reception
    )
    return subject.owner


async def _signed(
    action: OwnerAction,
    subject_id: str,
    proof: Proof,
    act: Act,
    *,
    ip_address: str | None,
    reception: Reception,
) -> Subject:
    """Do *act* if the signature is good for it; return its subject as it is now."""
    ledger, wall_s = reception.ledger, reception.clock.now_s()
    known = ledger.read(lambda tx: tx.challenges.get(proof.nonce))
    if (
        known is None
    ):  # A guess of 128 bits: nothing is written for it, or anybody could fill disks.
        raise Refusal(ErrorCode.INVALID_NONCE, "no message has this nonce", hint=_ASK_AGAIN)
    is_genuine = reception.signatures.verify(known.owner_address, known.message, proof.signature)

    def unit(tx: LedgerTransaction) -> Subject | Refusal:
        require_not_restored(tx)
        subject = find_subject(tx, action, subject_id)
        now_s = ledger_time(tx, wall_s=wall_s)
        challenge = tx.challenges.get(proof.nonce)
        assert challenge is not None, "challenges are never deleted"
        refusal = (
            _not_for_this(challenge, action, subject)
            or (None if is_genuine else _forged())
            or _outdated(tx, challenge, subject, reception.letterhead, now_s=now_s)
            or act(tx, subject, challenge, now_s)
        )
        if refusal is not None:
            _record_refusal(tx, challenge, refusal, ip_address, now_s=now_s)
            return refusal
        used = tx.challenges.use(proof.nonce, now_s=now_s)
        assert used, "it was unused a moment ago, in this transaction"
        if action is not OwnerAction.REMOVE:
            _record_proof(tx, subject, challenge, proof, ip_address, now_s=now_s)
        return find_subject(tx, action, subject_id)

    return await unless_refused(ledger, unit)


def _not_for_this(challenge: Challenge, action: OwnerAction, subject: Subject) -> Refusal | None:
    tx_id = None if subject.transaction is None else subject.transaction.id
    meant = (challenge.action, challenge.agent_id, challenge.tx_id)
    if meant != (action, subject.agent.id, tx_id):
        return Refusal(
            ErrorCode.INVALID_NONCE, "the message is about something else", hint=_ASK_AGAIN
        )
    if challenge.used_at is not None:
        return Refusal(
            ErrorCode.INVALID_NONCE, "the message was used before, and counts once", hint=_ASK_AGAIN
        )
    return None


def _forged() -> Refusal:
    return Refusal(
        ErrorCode.INVALID_SIGNATURE,
        "this is not the owner's signature over that message",
        hint="Sign the whole message, to the byte, with the wallet of the address that it names.",
    )


def _outdated(
    tx: LedgerTransaction,
    challenge: Challenge,
    subject: Subject,
    letterhead: Letterhead,
    *,
    now_s: int,
) -> Refusal | None:
    if challenge.expires_at <= now_s:
        return Refusal(
            ErrorCode.CHALLENGE_EXPIRED,
            f"the message could be signed until {time_in_words(challenge.expires_at)}",
            hint=_ASK_AGAIN,
        )
    reason = why_stale(tx, challenge, subject, letterhead)
    if reason is None:
        return None
    return Refusal(
        ErrorCode.CHALLENGE_STALE, f"the message is out of date: {reason}", hint=_ASK_AGAIN
    )


def _record_refusal(
    tx: LedgerTransaction,
    challenge: Challenge,
    refusal: Refusal,
    ip_address: str | None,
    *,
    now_s: int,
) -> None:
    """Write down who tried what in vain; not for ever, for one message."""
    refusals = count_refusal(challenge.refusals, refusal.code)
    if refusals is None:
        return
    tx.challenges.set_refusals(challenge.nonce, refusals=refusals)
    about_payment = challenge.action in PAYMENT_ACTIONS
    event = AuditEvent(
        AuditAction.TX_DECISION_REFUSED if about_payment else AuditAction.OWNER_CHANGE_REFUSED,
        UNAUTHENTICATED,
        agent_id=challenge.agent_id,
        tx_id=challenge.tx_id,
        details={
            "decision": challenge.action.lower(),
            "code": refusal.code,
            "nonce": challenge.nonce,
        },
        ip_address=ip_address,
    )
    remember(tx, event, now_s=now_s)


def _record_proof(
    tx: LedgerTransaction,
    subject: Subject,
    challenge: Challenge,
    proof: Proof,
    ip_address: str | None,
    *,
    now_s: int,
) -> None:
    """Let the first good signature, whatever it is for, prove the key."""
    owner = subject.owner
    if owner.is_verified and challenge.action is not OwnerAction.VERIFY:
        return
    _register(tx, subject, owner._replace(is_verified=True), now_s=now_s)
    actor, details = owner_actor(challenge.owner_address), _evidence(challenge, proof)
    _audit(
        tx,
        AuditAction.OWNER_VERIFIED,
        subject,
        details,
        actor=actor,
        ip_address=ip_address,
        now_s=now_s,
    )


def _evidence(challenge: Challenge, proof: Proof) -> Mapping[str, str | int | None]:
    """Return what proves the act to anybody, and anchors the audit log as it was."""
    return {
        "ownerAddress": challenge.owner_address,
        "message": challenge.message,
        "signature": proof.signature,
        "anchorSequence": challenge.audit_sequence,
        "anchorHash": challenge.audit_hash,
    }


def _register(tx: LedgerTransaction, subject: Subject, new: Owner, *, now_s: int) -> None:
    changed = tx.owners.compare_and_set(subject.agent.id, old=subject.owner, new=new, now_s=now_s)
    assert changed, "it was read in this transaction"


def _audit(
    tx: LedgerTransaction,
    action: AuditAction,
    subject: Subject,
    details: Mapping[str, str | int | None],
    *,
    actor: str,
    ip_address: str | None,
    now_s: int,
) -> None:
    event = AuditEvent(
        action, actor, agent_id=subject.agent.id, details=details, ip_address=ip_address
    )
    remember(tx, event, now_s=now_s)
