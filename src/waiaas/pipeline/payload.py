"""Recording a payload: the exact bytes that are to be signed, and the exact rent that they cost."""

import base64
import hashlib

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import AttemptId
from waiaas.domain.money import NATIVE
from waiaas.domain.records import AttemptRecord, TransactionRecord
from waiaas.domain.request import Request, outflows
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.decisions import read_rent
from waiaas.pipeline.record import move
from waiaas.pipeline.rent import rent_held
from waiaas.pipeline.session_use import give_back
from waiaas.policy.verdict import SESSION
from waiaas.ports import LedgerTransaction, Payload


def record_payload(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    request: Request,
    payload: Payload,
    *,
    attempt_id: str,
    now_s: int,
) -> str | None:
    """Write *payload* down and let *transaction* be EXECUTING, if what it costs was set aside.

    Returns:
        The error with which the transaction has to end instead; None if it may go on.
    """
    error = _keep_rent(tx, transaction, request, needed=payload.rent)
    if error is not None:
        return error
    attempt = AttemptRecord(
        id=AttemptId(attempt_id),
        tx_id=transaction.id,
        agent_id=transaction.agent_id,
        state=AttemptState.RECORDED,
        message=base64.b64encode(payload.message).decode("ascii"),
        message_sha256=hashlib.sha256(payload.message).hexdigest(),
        unit_price=payload.unit_price,
        last_valid_block_height=payload.last_valid_block_height,
        signed=None,
        tx_hash=None,
        created_at=now_s,
    )
    tx.attempts.insert(attempt)
    details = {"payloadSha256": attempt.message_sha256, "rent": str(payload.rent)}
    move(tx, transaction, TransactionStatus.EXECUTING, now_s=now_s, details=details)
    return None


def _keep_rent(
    tx: LedgerTransaction, transaction: TransactionRecord, request: Request, *, needed: int
) -> str | None:
    """Keep what is *needed* of the money set aside for rent and free the rest.

    Returns:
        The error, if there is less.
    """
    held = rent_held(tx, transaction.id, request)
    if needed > held:
        return _refusal(tx, transaction, needed=needed, held=held)
    if needed < held:
        own = outflows(request).get(NATIVE, 0)
        tx.reservations.lower(transaction.id, asset=NATIVE, amount=str(own + needed))
        give_back(tx, transaction, base_units=held - needed)
    return None


def _refusal(
    tx: LedgerTransaction, transaction: TransactionRecord, *, needed: int, held: int
) -> str:
    decision = tx.decisions.get(transaction.id)
    assert decision is not None, "what is prepared was decided"
    rent = read_rent(decision.verdict)
    why = "" if rent is None or rent.objection is None else f", because {rent.objection}"
    room = (
        "the operator for a session with room for it"
        if rent is not None and rent.rule == SESSION
        else f"the operator for a SPENDING_LIMIT of {NATIVE} with room for it"
    )
    return (
        f"{ErrorCode.RENT_NOT_GRANTED}: a recipient has no account for the token, and one costs"
        f" {needed} of {NATIVE}, of which {held} was set aside{why}; let the recipient make his"
        f" account, or ask {room}"
    )
