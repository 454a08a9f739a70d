"""Writing a message for an owner to sign, and telling whether it still says what is so.

The daemon writes it from the ledger and keeps it. When its signature comes, it is written again
from what the ledger says then, and has to be the same to the byte: nothing that it names may have
changed since.
"""

import hashlib
from typing import NamedTuple

from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, TransactionId, is_id
from waiaas.domain.owner import (
    CHALLENGE_REUSE_S,
    CHALLENGE_TTL_S,
    NO_REFUSALS,
    PAYMENT_ACTIONS,
    Challenge,
    Owner,
    OwnerAction,
)
from waiaas.domain.owner_message import Facts, Letterhead, Payment, owner_message
from waiaas.domain.records import AgentRecord, TransactionRecord
from waiaas.pipeline.asked import Tampered, asked
from waiaas.pipeline.decide import too_late, undecidable
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.rent import rent_told
from waiaas.pipeline.restored import require_not_restored
from waiaas.policy.version import policy_version
from waiaas.ports import Clock, GenerateSecret, Ledger, LedgerTransaction

NONCE_CHARACTERS = 32
"""Of 16 each: 128 bits."""


class Subject(NamedTuple):
    """What an action is about, as the ledger has it now."""

    agent: AgentRecord
    owner: Owner
    transaction: TransactionRecord | None
    """The payment, where the action is about one."""


async def ask_message(
    action: OwnerAction,
    subject_id: str,
    *,
    letterhead: Letterhead,
    ledger: Ledger,
    clock: Clock,
    generate_secret: GenerateSecret,
) -> Challenge:
    """Return the message an owner has to sign; the same one again, while it lives and is true.

    Args:
        action: what the signature is to do.
        subject_id: of the transaction, or for VERIFY and REMOVE of the agent.
        letterhead: of this daemon.
        ledger: where it is kept.
        clock: when it is written.
        generate_secret: makes what nobody can guess.

    Raises:
        Refusal: TX_NOT_FOUND, AGENT_NOT_FOUND, OWNER_NOT_CONNECTED, APPROVAL_NOT_FOUND,
            APPROVAL_TIMEOUT, TX_ALREADY_PROCESSED, LEDGER_RESTORED.
    """
    wall_s = clock.now_s()
    nonce = hashlib.sha256(generate_secret().encode("ascii")).hexdigest()[:NONCE_CHARACTERS]

    def unit(tx: LedgerTransaction) -> Challenge:
        subject = find_subject(tx, action, subject_id)
        require_not_restored(tx)
        now_s = ledger_time(tx, wall_s=wall_s)
        expires_at = _expiry(tx, subject, now_s=now_s)
        tx_id = None if subject.transaction is None else subject.transaction.id
        earlier = _given_again(tx, action, subject, letterhead, now_s=now_s, expires_at=expires_at)
        if earlier is not None:
            return earlier
        sequence, head = tx.audit.head()
        draft = Challenge(
            nonce=nonce,
            action=action,
            agent_id=subject.agent.id,
            tx_id=tx_id,
            owner_address=_registered(subject),
            policy_version=policy_version(tx.policies.applying_to(subject.agent.id)),
            audit_sequence=sequence,
            audit_hash=head,
            message="",
            created_at=now_s,
            expires_at=expires_at,
            used_at=None,
            refusals=NO_REFUSALS,
        )
        challenge = draft._replace(message=_written(tx, draft, subject, letterhead))
        tx.challenges.insert(challenge)
        return challenge

    return await ledger.write_async(unit)


def find_subject(tx: LedgerTransaction, action: OwnerAction, subject_id: str) -> Subject:
    """Return what *action* is about.

    Raises:
        Refusal: TX_NOT_FOUND or AGENT_NOT_FOUND.
    """
    transaction = None
    agent_id = AgentId(subject_id)
    if action in PAYMENT_ACTIONS:
        transaction = tx.transactions.get(TransactionId(subject_id)) if is_id(subject_id) else None
        if transaction is None:
            raise Refusal(ErrorCode.TX_NOT_FOUND, "there is no such transaction")
        agent_id = transaction.agent_id
    agent, owner = tx.agents.get(agent_id), tx.owners.of_agent(agent_id)
    if agent is None or owner is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
    return Subject(agent, owner, transaction)


def why_stale(
    tx: LedgerTransaction, challenge: Challenge, subject: Subject, letterhead: Letterhead
) -> str | None:
    """Return what changed since *challenge* was written; None if it is still true."""
    if subject.owner.address != challenge.owner_address:
        return "the owner is another one now"
    policies = tx.policies.applying_to(subject.agent.id)
    if policy_version(policies) != challenge.policy_version:
        return "the policies are not those that it names"
    if tx.audit.hash_at(challenge.audit_sequence) != challenge.audit_hash:
        return "the audit log is not the one that it names"
    try:
        says_so_still = _written(tx, challenge, subject, letterhead) == challenge.message
    except Tampered:
        says_so_still = False
    return None if says_so_still else "it does not say what would happen now"


def _given_again(
    tx: LedgerTransaction,
    action: OwnerAction,
    subject: Subject,
    letterhead: Letterhead,
    *,
    now_s: int,
    expires_at: int,
) -> Challenge | None:
    """Return one that was written before and still does, so that asking cannot fill the disk."""
    tx_id = None if subject.transaction is None else subject.transaction.id
    for each in tx.challenges.unused(action, agent_id=subject.agent.id, tx_id=tx_id, now_s=now_s):
        lives_long = each.expires_at >= min(expires_at, now_s + CHALLENGE_REUSE_S)
        if lives_long and why_stale(tx, each, subject, letterhead) is None:
            return each
    return None


def _expiry(tx: LedgerTransaction, subject: Subject, *, now_s: int) -> int:
    """Return until when a message written now can be signed: no longer than there is to decide.

    Raises:
        Refusal: there is nothing to decide.
    """
    _registered(subject)
    expires_at = now_s + CHALLENGE_TTL_S
    if subject.transaction is None:
        return expires_at
    refusal = undecidable(tx, subject.transaction, "decided on", now_s=now_s)
    if refusal is not None:
        raise refusal
    approval = tx.approvals.of_transaction(subject.transaction.id)
    assert approval is not None, "it was there a line ago"
    if approval.approved_at is not None:
        raise too_late(subject.transaction, "decided on")
    return min(expires_at, approval.expires_at)


def _registered(subject: Subject) -> str:
    if subject.owner.address is None:
        raise Refusal(
            ErrorCode.OWNER_NOT_CONNECTED,
            "no owner is registered for this agent",
            hint="The operator registers one with `waiaas owner set`.",
        )
    return subject.owner.address


def _written(
    tx: LedgerTransaction, challenge: Challenge, subject: Subject, letterhead: Letterhead
) -> str:
    """Write the message of *challenge* from what the ledger says of *subject*."""
    return owner_message(
        Facts(
            letterhead=letterhead,
            action=challenge.action,
            owner_address=challenge.owner_address,
            agent_id=subject.agent.id,
            network=subject.agent.lives_on,
            payment=_payment(tx, subject.transaction),
            policy_version=challenge.policy_version,
            audit_sequence=challenge.audit_sequence,
            audit_hash=challenge.audit_hash,
            nonce=challenge.nonce,
            issued_at=challenge.created_at,
            expires_at=challenge.expires_at,
        )
    )


def _payment(tx: LedgerTransaction, transaction: TransactionRecord | None) -> Payment | None:
    if transaction is None:
        return None
    accepted = tx.requests.get(transaction.id)
    assert accepted is not None, "a request and its transaction are written together"
    request = asked(transaction, accepted)
    rent = rent_told(tx, transaction, accepted) or 0
    return Payment(transaction.id, request, accepted.request_sha256, rent)
