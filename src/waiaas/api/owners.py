"""The owner: registered by the operator, and let in by nothing but a signature.

The messages are for the operator to fetch and to carry to the owner's wallet: asking writes a row,
so it takes the cookie. Handing a signature in takes no token at all.
"""

from typing import Final

from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.owner import PAYMENT_ACTIONS, Challenge, OwnerAction, Proof
from waiaas.domain.owner import Owner as Registered
from waiaas.pipeline.challenge import ask_message
from waiaas.pipeline.owner import (
    decide_as_owner,
    give_up_owner,
    remove_owner,
    set_owner,
    verify_owner,
)
from waiaas.wire.owners import (
    AskOwnerMessage,
    Owner,
    OwnerMessage,
    OwnerSigned,
    RemoveOwner,
    SetOwner,
)
from waiaas.wire.transactions import Decided


async def get(call: Call) -> Owner:
    """Show whose an agent is."""
    agent_id = AgentId(call.path_id)
    owner = call.services.ledger.read(lambda tx: tx.owners.of_agent(agent_id))
    if owner is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
    return _render(call, owner)


async def put(call: Call) -> Owner:
    """Register an owner."""
    body: SetOwner = call.body
    owner = await set_owner(
        AgentId(call.path_id),
        body.owner_address,
        ip_address=call.ip_address,
        ledger=call.services.ledger,
        clock=call.services.clock,
    )
    return _render(call, owner)


async def remove(call: Call) -> Owner:
    """Remove an owner, with his signature if he has proved his key."""
    body: RemoveOwner = call.body
    services = call.services
    if (body.nonce is None) != (body.signature is None):
        raise Refusal(
            ErrorCode.VALIDATION_FAILED, "`nonce` and `signature` are given together or not at all"
        )
    if body.nonce is None or body.signature is None:
        owner = await remove_owner(
            AgentId(call.path_id),
            ip_address=call.ip_address,
            ledger=services.ledger,
            clock=services.clock,
        )
    else:
        owner = await give_up_owner(
            AgentId(call.path_id),
            Proof(body.nonce, body.signature),
            ip_address=call.ip_address,
            reception=services.reception,
        )
    return _render(call, owner)


async def verify(call: Call) -> Owner:
    """Let an owner prove his key."""
    body: OwnerSigned = call.body
    services = call.services
    owner = await verify_owner(
        AgentId(call.path_id),
        Proof(body.nonce, body.signature),
        ip_address=call.ip_address,
        reception=services.reception,
    )
    return _render(call, owner)


async def approve(call: Call) -> Decided:
    """Let the owner let a payment go."""
    return await _decide(call, OwnerAction.APPROVE)


async def reject(call: Call) -> Decided:
    """Let the owner stop a payment."""
    return await _decide(call, OwnerAction.REJECT)


async def _decide(call: Call, action: OwnerAction) -> Decided:
    body: OwnerSigned = call.body
    services = call.services
    decided = await decide_as_owner(
        action,
        TransactionId(call.path_id),
        Proof(body.nonce, body.signature),
        ip_address=call.ip_address,
        reception=services.reception,
    )
    if action is OwnerAction.APPROVE:
        services.wake(decided)
    return Decided(decided.id, decided.status)


async def ask_about_payment(call: Call) -> OwnerMessage:
    """Write what the owner has to sign to decide on a payment."""
    return await _ask(call, about_payment=True)


async def ask_about_agent(call: Call) -> OwnerMessage:
    """Write what the owner has to sign to prove his key, or to give up being the owner."""
    return await _ask(call, about_payment=False)


async def _ask(call: Call, *, about_payment: bool) -> OwnerMessage:
    body: AskOwnerMessage = call.body
    services = call.services
    if (body.action in PAYMENT_ACTIONS) is not about_payment:
        raise Refusal(ErrorCode.VALIDATION_FAILED, f"`{body.action}` is not about this")
    challenge = await ask_message(
        body.action,
        call.path_id,
        letterhead=services.reception.letterhead,
        ledger=services.ledger,
        clock=services.clock,
        generate_secret=services.generate_secret,
    )
    return _render_message(challenge)


def _render(call: Call, owner: Registered) -> Owner:
    return Owner(call.path_id, owner.address, owner.state)


def _render_message(challenge: Challenge) -> OwnerMessage:
    return OwnerMessage(
        nonce=challenge.nonce,
        action=challenge.action,
        owner_address=challenge.owner_address,
        message=challenge.message,
        expires_at=challenge.expires_at,
    )


_SIGNED_CODES: Final = (
    ErrorCode.INVALID_NONCE,
    ErrorCode.INVALID_SIGNATURE,
    ErrorCode.CHALLENGE_EXPIRED,
    ErrorCode.CHALLENGE_STALE,
    ErrorCode.LEDGER_RESTORED,
)
_DECIDE_CODES: Final = (
    ErrorCode.TX_NOT_FOUND,
    ErrorCode.APPROVAL_NOT_FOUND,
    ErrorCode.APPROVAL_TIMEOUT,
    ErrorCode.TX_ALREADY_PROCESSED,
)

ROUTES = (
    Route(
        "GET",
        "/v1/agents/{id}/owner",
        Credential.OPERATOR_LOOK,
        get,
        Owner,
        codes=(ErrorCode.AGENT_NOT_FOUND,),
    ),
    Route(
        "PUT",
        "/v1/agents/{id}/owner",
        Credential.OPERATOR,
        put,
        Owner,
        body=SetOwner,
        codes=(
            ErrorCode.INVALID_ADDRESS,
            ErrorCode.AGENT_NOT_FOUND,
            ErrorCode.OWNER_ALREADY_CONNECTED,
            ErrorCode.KILL_SWITCH_ACTIVE,
        ),
    ),
    Route(
        "POST",
        "/v1/agents/{id}/owner/remove",
        Credential.OPERATOR,
        remove,
        Owner,
        body=RemoveOwner,
        codes=(
            ErrorCode.AGENT_NOT_FOUND,
            ErrorCode.OWNER_NOT_CONNECTED,
            ErrorCode.OWNER_REQUIRED,
            *_SIGNED_CODES,
        ),
    ),
    Route(
        "POST",
        "/v1/agents/{id}/owner/message",
        Credential.OPERATOR_LOOK,
        ask_about_agent,
        OwnerMessage,
        body=AskOwnerMessage,
        status=201,
        codes=(
            ErrorCode.AGENT_NOT_FOUND,
            ErrorCode.OWNER_NOT_CONNECTED,
            ErrorCode.LEDGER_RESTORED,
        ),
    ),
    Route(
        "POST",
        "/v1/agents/{id}/owner/verify",
        Credential.OWNER,
        verify,
        Owner,
        body=OwnerSigned,
        codes=(ErrorCode.AGENT_NOT_FOUND, *_SIGNED_CODES),
    ),
    Route(
        "POST",
        "/v1/transactions/{id}/message",
        Credential.OPERATOR_LOOK,
        ask_about_payment,
        OwnerMessage,
        body=AskOwnerMessage,
        status=201,
        codes=(ErrorCode.OWNER_NOT_CONNECTED, ErrorCode.LEDGER_RESTORED, *_DECIDE_CODES),
    ),
    Route(
        "POST",
        "/v1/transactions/{id}/approve",
        Credential.OWNER,
        approve,
        Decided,
        body=OwnerSigned,
        codes=(*_SIGNED_CODES, *_DECIDE_CODES),
    ),
    Route(
        "POST",
        "/v1/transactions/{id}/reject",
        Credential.OWNER,
        reject,
        Decided,
        body=OwnerSigned,
        codes=(*_SIGNED_CODES, *_DECIDE_CODES),
    ),
)
