"""An agent asks to pay, and looks what became of it."""

from functools import partial
from typing import Final

from waiaas.api.requests import digits, idempotency_key_of, message_of, request_of
from waiaas.api.routes import Call, Route
from waiaas.api.wallet import agent_of
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, TransactionId, is_id
from waiaas.domain.records import TransactionRecord
from waiaas.pipeline.admit import Caller, admit
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.decide import Decider, cancel
from waiaas.pipeline.refuse import recorded
from waiaas.pipeline.rent import rent_told
from waiaas.ports import LedgerTransaction
from waiaas.wire.requests import (
    AskApprove,
    AskBatch,
    AskContractCall,
    AskRequest,
    AskTokenTransfer,
    AskTransfer,
)
from waiaas.wire.transactions import (
    Accepted,
    Decided,
    Transaction,
    Transactions,
    TransactionsBefore,
)


async def send(call: Call) -> Accepted:
    """Admit a payment; it is carried out after this answer, which is already durable."""
    body: AskRequest = call.body
    agent, session = agent_of(call.principal), call.principal.session
    assert session is not None, "the route's credential is AGENT"
    idempotency_key = idempotency_key_of(call.request)
    chain = call.services.chains.get(agent.lives_on)
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
    agent = agent_of(call.principal)
    found = call.services.ledger.read(partial(_look_up, tx_id=call.path_id))
    if found is None or found.agent_id != agent.id:
        raise Refusal(ErrorCode.TX_NOT_FOUND, "there is no such transaction of this agent")
    return found


async def get_any(call: Call) -> Transaction:
    """Tell the operator how a transaction of any agent stands."""
    found = call.services.ledger.read(partial(_look_up, tx_id=call.path_id))
    if found is None:
        raise Refusal(ErrorCode.TX_NOT_FOUND, "there is no transaction with this id")
    return found


async def list_any(call: Call) -> Transactions:
    """Show the operator the transactions of one agent, or of all, the newest first."""
    query: TransactionsBefore = call.query
    agent_id = None if query.agent_id is None else AgentId(query.agent_id)

    def look(tx: LedgerTransaction) -> list[Transaction]:
        found = tx.transactions.newest(agent_id=agent_id, before=query.before, most=query.limit)
        return [_render(tx, each) for each in found]

    return Transactions(call.services.ledger.read(look))


def _look_up(tx: LedgerTransaction, *, tx_id: str) -> Transaction | None:
    found = tx.transactions.get(TransactionId(tx_id)) if is_id(tx_id) else None
    return None if found is None else _render(tx, found)


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


def _render(tx: LedgerTransaction, transaction: TransactionRecord) -> Transaction:
    agent, accepted = tx.agents.get(transaction.agent_id), tx.requests.get(transaction.id)
    assert agent is not None, "an agent's row stays while there is a transaction of it"
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
        waits_until=tx.waits.until(transaction.id),
        reference=accepted.reference,
        rent=digits(rent_told(tx, transaction, accepted)),
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
            ErrorCode.NOT_SUPPORTED_YET,
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
        "GET",
        "/v1/admin/transactions",
        Credential.OPERATOR_LOOK,
        list_any,
        Transactions,
        query=TransactionsBefore,
    ),
    Route(
        "GET",
        "/v1/admin/transactions/{id}",
        Credential.OPERATOR_LOOK,
        get_any,
        Transaction,
        codes=(ErrorCode.TX_NOT_FOUND,),
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
