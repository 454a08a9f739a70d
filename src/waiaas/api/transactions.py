"""An agent asks to pay, and looks what became of it."""

from typing import Final

from waiaas.api.requests import idempotency_key_of, message_of, request_of
from waiaas.api.routes import Call, Route
from waiaas.api.wallet import agent_of
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import TransactionId, is_id
from waiaas.domain.records import AcceptedRequest, AgentRecord, TransactionRecord
from waiaas.pipeline.admit import Caller, admit
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.decide import Decider, cancel
from waiaas.pipeline.refuse import recorded
from waiaas.wire.requests import (
    AskApprove,
    AskBatch,
    AskContractCall,
    AskRequest,
    AskTokenTransfer,
    AskTransfer,
)
from waiaas.wire.transactions import Accepted, Decided, Transaction


async def send(call: Call) -> Accepted:
    """Admit a payment; it is carried out after this answer, which is already durable."""
    body: AskRequest = call.body
    agent, session = agent_of(call.principal), call.principal.session
    assert session is not None, "the route's credential is AGENT"
    idempotency_key = idempotency_key_of(call.request)
    chain = call.services.chains.get(agent.network)
    request = await request_of(body, agent=agent, chain=chain)
    admission = await admit(
        Asked(request, idempotency_key, body.reference, body.allow_duplicate),
        caller=Caller(agent.id, session.id, call.ip_address),
        ledger=call.services.ledger,
        clock=call.services.clock,
        generate_id=call.services.generate_id,
        rules=call.services.admission,
        is_locked=call.services.keystore.is_locked,
    )
    if admission.refusal is not None:
        raise recorded(admission.refusal)
    call.services.wake(admission.transaction)
    transaction = admission.transaction
    return Accepted(transaction.id, transaction.status, transaction.tier, admission.waits_until)


async def get(call: Call) -> Transaction:
    """Tell an agent how one of its own transactions stands; anybody else's does not exist."""
    tx_id = call.path_id
    agent = agent_of(call.principal)
    if is_id(tx_id):
        transaction, waits_until, accepted = call.services.ledger.read(
            lambda tx: (
                tx.transactions.get(TransactionId(tx_id)),
                tx.waits.until(TransactionId(tx_id)),
                tx.requests.get(TransactionId(tx_id)),
            )
        )
        if transaction is not None and transaction.agent_id == agent.id:
            return _render(transaction, agent, waits_until, accepted)
    raise Refusal(ErrorCode.TX_NOT_FOUND, "there is no such transaction of this agent")


async def cancel_own(call: Call) -> Decided:
    """Let an agent call off a payment of its own."""
    session = call.principal.session
    assert session is not None, "the route's credential is AGENT"
    return await _cancel(call, Decider(session.agent_id, session.id, call.ip_address))


async def cancel_any(call: Call) -> Decided:
    """Let the operator call off a payment of any agent."""
    return await _cancel(call, Decider(None, None, call.ip_address))


async def _cancel(call: Call, by: Decider) -> Decided:
    services = call.services
    tx_id = TransactionId(call.path_id)
    ended = await cancel(tx_id, by=by, ledger=services.ledger, clock=services.clock)
    return Decided(ended.id, ended.status)


def _render(
    transaction: TransactionRecord,
    agent: AgentRecord,
    waits_until: int | None,
    accepted: AcceptedRequest | None,
) -> Transaction:
    assert accepted is not None, "a request and its transaction are written together"
    return Transaction(
        id=transaction.id,
        agent_id=transaction.agent_id,
        type=transaction.type,
        status=transaction.status,
        tier=transaction.tier,
        chain=transaction.chain,
        network=agent.network,
        to_address=transaction.to_address,
        amount=transaction.amount,
        tx_hash=transaction.tx_hash,
        error=transaction.error,
        created_at=transaction.created_at,
        executed_at=transaction.executed_at,
        queued_at=transaction.queued_at,
        waits_until=waits_until,
        reference=accepted.reference,
        request=message_of(accepted),
    )


_CANCEL_CODES: Final = (
    ErrorCode.TX_NOT_FOUND,
    ErrorCode.TX_ALREADY_PROCESSED,
    ErrorCode.LEDGER_RESTORED,
)

ROUTES = (
    Route(
        "POST",
        "/v1/transactions/send",
        Credential.AGENT,
        send,
        Accepted,
        body=AskTransfer,
        other_bodies=(AskTokenTransfer, AskContractCall, AskApprove, AskBatch),
        status=201,
        codes=(
            ErrorCode.INVALID_ADDRESS,
            ErrorCode.INVALID_AMOUNT,
            ErrorCode.NETWORK_NOT_CONFIGURED,
            ErrorCode.CHAIN_UNAVAILABLE,
            ErrorCode.AGENT_NOT_ACTIVE,
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            ErrorCode.REFERENCE_REUSED,
            ErrorCode.DUPLICATE_REQUEST,
            ErrorCode.TOO_MANY_PENDING,
            ErrorCode.CONSTRAINT_VIOLATED,
            ErrorCode.POLICY_DENIED,
            ErrorCode.SPENDING_LIMIT_EXCEEDED,
            ErrorCode.RATE_LIMIT_EXCEEDED,
            ErrorCode.LEDGER_RESTORED,
            ErrorCode.CLOCK_IN_DOUBT,
        ),
    ),
    Route(
        "GET",
        "/v1/transactions/{id}",
        Credential.AGENT,
        get,
        Transaction,
        codes=(ErrorCode.TX_NOT_FOUND,),
    ),
    Route(
        "POST",
        "/v1/transactions/{id}/cancel",
        Credential.AGENT,
        cancel_own,
        Decided,
        codes=_CANCEL_CODES,
    ),
    Route(
        "POST",
        "/v1/admin/transactions/{id}/cancel",
        Credential.OPERATOR_LOOK,
        cancel_any,
        Decided,
        codes=_CANCEL_CODES,
    ),
)
