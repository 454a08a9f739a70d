"""A request as text: one spelling for each meaning, kept in the ledger and read back exactly.

The text is what an accepted request *is* from then on: its hash tells a retry from another request,
and the bytes that are signed are made from it, never from the columns of its transaction. Members
are named as in the API, so the text can be shown to those who have to decide on it.
"""

import base64
import json
from typing import Any, Final, assert_never

from waiaas.domain.enums import TransactionType
from waiaas.domain.errors import Refusal
from waiaas.domain.money import parse_base_units
from waiaas.domain.request import (
    Approve,
    Batch,
    CallAccount,
    ContractCall,
    Part,
    Request,
    TokenTransfer,
    Transfer,
)

_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def write_request(request: Request) -> str:
    """Return the canonical JSON (sorted members, no spaces, ASCII) of what *request* means."""
    return _encode(_written(request))


def read_request(text: str) -> Request:
    """Return the request that `write_request` wrote as *text*.

    Raises:
        ValueError: *text* is not exactly what would be written.
    """
    try:
        request = _read(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, Refusal) as error:
        raise ValueError("the text is not a request as it was accepted") from error
    if write_request(request) != text:
        raise ValueError("the text is not the canonical spelling of its request")
    return request


def _written(request: Request) -> dict[str, Any]:
    match request:
        case Batch(parts):
            members: dict[str, Any] = {"instructions": [_written(part) for part in parts]}
        case Transfer(to_address, base_units):
            members = {"to": to_address, "amount": str(base_units)}
        case TokenTransfer(token_address, to_address, base_units):
            members = {
                "to": to_address,
                "token": {"address": token_address},
                "amount": str(base_units),
            }
        case Approve(token_address, spender_address, base_units):
            members = {
                "spender": spender_address,
                "token": {"address": token_address},
                "amount": str(base_units),
            }
        case ContractCall(contract_address, data, base_units, accounts):
            members = {
                "programId": contract_address,
                "instructionData": base64.b64encode(data).decode("ascii"),
                "accounts": [_written_account(account) for account in accounts],
                "value": str(base_units),
            }
        case _:
            assert_never(request)
    return {"type": request.type, **members}


def _written_account(account: CallAccount) -> dict[str, str | bool]:
    return {
        "pubkey": account.address,
        "isSigner": account.is_signer,
        "isWritable": account.is_writable,
    }


def _read(members: dict[str, Any]) -> Request:
    if TransactionType(members["type"]) is TransactionType.BATCH:
        return Batch(tuple(_read_part(part) for part in members["instructions"]))
    return _read_part(members)


def _read_part(members: dict[str, Any]) -> Part:
    match TransactionType(members["type"]):
        case TransactionType.TRANSFER:
            return Transfer(members["to"], parse_base_units(members["amount"]))
        case TransactionType.TOKEN_TRANSFER:
            token = members["token"]["address"]
            return TokenTransfer(token, members["to"], parse_base_units(members["amount"]))
        case TransactionType.APPROVE:
            token = members["token"]["address"]
            return Approve(token, members["spender"], parse_base_units(members["amount"]))
        case TransactionType.CONTRACT_CALL:
            return ContractCall(
                members["programId"],
                base64.b64decode(members["instructionData"], validate=True),
                parse_base_units(members["value"]),
                tuple(
                    CallAccount(each["pubkey"], each["isSigner"], each["isWritable"])
                    for each in members["accounts"]
                ),
            )
        case _:
            raise ValueError("a batch has no batch in it")
