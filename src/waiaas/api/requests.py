"""From a message to the request that it means, and back from the ledger to the message.

Everything that can be refused without the ledger is refused here, and nothing was written then.
When several things are wrong, addresses are told before amounts, as the codes are ordered.
"""

import base64
import binascii
import re
from dataclasses import replace
from typing import Final, assert_never

import msgspec
from starlette.requests import Request as HttpRequest

from waiaas.domain.assets import CHAIN_IDS, TOKEN_UNITS, Asset, parse_asset_id, require_adapter
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.money import NATIVE, NATIVE_UNITS, parse_base_units, parse_human_amount
from waiaas.domain.records import AcceptedRequest, AgentRecord
from waiaas.domain.request import (
    Approve,
    Batch,
    CallAccount,
    ContractCall,
    Part,
    Request,
    TokenTransfer,
    Transfer,
    require_expressible,
)
from waiaas.ports import Chain
from waiaas.wire.requests import (
    AskRequest,
    SendApprove,
    SendBatch,
    SendContractCall,
    SendPart,
    SendRequest,
    SendTokenTransfer,
    SendTransfer,
    Token,
)

_STAND_IN: Final = 1
"""Takes the amount's place while the rest is looked at."""

_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key_of(request: HttpRequest) -> str | None:
    """Return the key that a request came with.

    Raises:
        Refusal: VALIDATION_FAILED: there are several, or it is none.
    """
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or _IDEMPOTENCY_KEY.fullmatch(keys[0]) is None:
        raise Refusal(
            ErrorCode.VALIDATION_FAILED,
            "Idempotency-Key is one header of 1 to 255 visible ASCII characters",
        )
    return keys[0]


async def request_of(message: SendRequest, *, agent: AgentRecord, chain: Chain | None) -> Request:
    """Return what *message* asks for.

    Args:
        message: as it came in.
        agent: who asks.
        chain: of the agent's network; None if no node is configured for it.

    Raises:
        Refusal: NOT_SUPPORTED_YET, before all others: what an address is there, we do not know;
            VALIDATION_FAILED, INVALID_ADDRESS, INVALID_AMOUNT, NETWORK_NOT_CONFIGURED.
        ChainUnavailable: the decimals of a token had to be asked for, and there was no answer.
    """
    require_adapter(agent.lives_on)
    messages = message.instructions if isinstance(message, SendBatch) else [message]
    without_amounts = [_without_amount(each, agent=agent) for each in messages]
    parts = tuple(
        [
            await _with_amount(part, each, agent=agent, chain=chain)
            for part, each in zip(without_amounts, messages, strict=True)
        ]
    )
    request: Request = Batch(parts) if isinstance(message, SendBatch) else parts[0]
    require_expressible(request, chain=agent.chain)
    if chain is not None:
        chain.require_possible(request, from_address=agent.public_key)
    return request


def read_message(written: object) -> AskRequest:
    """Return the message that is sent as a JSON value; without `type` it is a TRANSFER.

    Raises:
        ValueError: it is none; says what is wrong, and where.
    """
    if isinstance(written, dict):
        written = {"type": "TRANSFER", **written}
    message: AskRequest = msgspec.convert(written, AskRequest)
    return message


def message_of(accepted: AcceptedRequest | None) -> SendRequest:
    """Return the message that a request in the ledger would be sent as."""
    assert accepted is not None, "a request and its transaction are written together"
    message: SendRequest = msgspec.json.decode(accepted.request, type=SendRequest)
    return message


def amount_of(text: str, *, member: str = "amount") -> int:
    """Return the amount in a message.

    Raises:
        Refusal: INVALID_AMOUNT.
    """
    try:
        return parse_base_units(text)
    except ValueError as error:
        raise _no_amount(member, error) from error


def digits(base_units: int | None) -> str | None:
    """Return an amount as it is told; None stays None."""
    return None if base_units is None else str(base_units)


def _without_amount(message: SendPart, *, agent: AgentRecord) -> Part:
    match message:
        case SendTransfer():
            return Transfer(message.to, _STAND_IN)
        case SendTokenTransfer():
            return TokenTransfer(_token_address(message.token, agent), message.to, _STAND_IN)
        case SendApprove():
            return Approve(_token_address(message.token, agent), message.spender, _STAND_IN)
        case SendContractCall():
            accounts = (
                CallAccount(each.pubkey, is_signer=each.is_signer, is_writable=each.is_writable)
                for each in message.accounts
            )
            data = _from_base64(message.instruction_data)
            return ContractCall(message.program_id, data, accounts=tuple(accounts))
        case _:
            assert_never(message)


def _token_address(token: Token, agent: AgentRecord) -> str:
    """Return the address by which *agent*'s network knows a token."""
    match token.address, token.asset_id:
        case str(address), msgspec.UNSET:
            return address
        case msgspec.UNSET, str(asset_id):
            pass
        case _:
            raise _no_token("token", "exactly one of `address` and `assetId` names it")
    try:
        asset = parse_asset_id(asset_id)
    except ValueError as error:
        raise _no_token("token.assetId", str(error)) from error
    if asset.network != agent.lives_on:
        raise _no_token(
            "token.assetId",
            f"the agent lives on {CHAIN_IDS[agent.lives_on]}, and this asset does not",
        )
    if asset.name == NATIVE:
        raise _no_token("token.assetId", "this is the network's own asset: a TRANSFER pays it")
    return asset.name


async def _with_amount(
    part: Part, message: SendPart, *, agent: AgentRecord, chain: Chain | None
) -> Part:
    if isinstance(message, SendContractCall):
        return replace(part, base_units=amount_of(message.value, member="value"))
    match message.amount, message.human_amount:
        case str(amount), msgspec.UNSET:
            return replace(part, base_units=amount_of(amount))
        case msgspec.UNSET, str(human_amount):
            decimals = await _decimals(part, agent, chain)
            try:
                base_units = parse_human_amount(human_amount, decimals=decimals)
            except ValueError as error:
                raise _no_amount("humanAmount", error) from error
            return replace(part, base_units=base_units)
        case _:
            raise Refusal(
                ErrorCode.VALIDATION_FAILED,
                "exactly one of `amount` and `humanAmount` is wanted",
                hint="Give `amount` in base units, or `humanAmount` as people write it.",
            )


async def _decimals(part: Part, agent: AgentRecord, chain: Chain | None) -> int:
    """Return in how many decimals people write what *part* is about."""
    if not isinstance(part, TokenTransfer | Approve):
        return NATIVE_UNITS[agent.chain].decimals
    known = TOKEN_UNITS.get(Asset(agent.lives_on, part.token_address))
    if known is not None:
        return known.decimals
    if chain is None:
        raise Refusal(
            ErrorCode.NETWORK_NOT_CONFIGURED,
            f"no node of {agent.network} is configured to ask for the token's decimals",
            hint="Give `amount`; or the operator sets the node's URL in config.toml.",
        )
    return await chain.token_decimals(part.token_address)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(
            ErrorCode.VALIDATION_FAILED,
            "`instructionData` is not base64",
            details={"field": "instructionData"},
        ) from error


def _no_token(member: str, reason: str) -> Refusal:
    return Refusal(
        ErrorCode.VALIDATION_FAILED,
        f"`{member}` is refused: {reason}",
        details={"field": member},
        hint='Give {"address": "<the mint>"}, or {"assetId": "<CAIP-2 chain>/token:<the mint>"}.',
    )


def _no_amount(member: str, error: ValueError) -> Refusal:
    return Refusal(
        ErrorCode.INVALID_AMOUNT,
        f"`{member}` is refused: {error}",
        hint='Give lamports as digits in a string, e.g. "1000000" for 0.001 SOL.',
    )
