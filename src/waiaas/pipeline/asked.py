"""What was asked for, between the request and its rows: the text, its hash, and the columns.

The text in `requests` is what counts. The columns of `transactions` are made from it once, for
those who read the ledger, and have to agree with it before anything is signed.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from waiaas.domain.meaning import read_request, write_request
from waiaas.domain.records import AcceptedRequest, TransactionRecord
from waiaas.domain.request import (
    Approve,
    Batch,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
)

SELECTOR_BYTES_MAX = 8
"""How much of a call's data names its method at most; the longest selector of METHOD_WHITELIST."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, and what tells it from another request for the same."""

    request: Request
    idempotency_key: str | None
    reference: str | None = None
    """What it is for, in the agent's words: one thing is paid once."""
    allow_duplicate: bool = False
    """Whether an equal request just now was another one, and not this one."""


class Columns(NamedTuple):
    """The columns of a transaction that its request fills."""

    amount: str | None = None
    to_address: str | None = None
    token_mint: str | None = None
    contract_address: str | None = None
    method_signature: str | None = None
    spender_address: str | None = None
    approved_amount: str | None = None


class Written(NamedTuple):
    """A request as the ledger keeps it."""

    text: str
    sha256: str


class Tampered(Exception):  # noqa: N818 -- says what happened
    """The ledger contradicts itself about what was asked for; nothing is signed."""


def digest(text: str) -> str:
    """Return the SHA-256 of a request's text, in hexadecimal digits."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def columns_of(request: Request) -> Columns:
    """Return what the row of *request* holds; of a batch, its parts' rows hold everything."""
    match request:
        case Transfer(to_address, base_units):
            return Columns(amount=str(base_units), to_address=to_address)
        case TokenTransfer(token_address, to_address, base_units):
            return Columns(amount=str(base_units), to_address=to_address, token_mint=token_address)
        case ContractCall(contract_address, data, base_units):
            return Columns(
                amount=str(base_units),
                contract_address=contract_address,
                method_signature=f"0x{data[:SELECTOR_BYTES_MAX].hex()}",
            )
        case Approve(token_address, spender_address, base_units):
            return Columns(
                token_mint=token_address,
                spender_address=spender_address,
                approved_amount=str(base_units),
            )
        case Batch():
            return Columns()
        case _:
            assert_never(request)


def asked(transaction: TransactionRecord, accepted: AcceptedRequest) -> Request:
    """Return the request of *transaction*, as it was accepted.

    Raises:
        Tampered: its text, the text's hash and the transaction's row do not agree.
    """
    try:
        request = read_request(accepted.request)
    except ValueError as error:
        raise Tampered(f"the request of transaction {transaction.id} cannot be read") from error
    row = Columns(*(getattr(transaction, name) for name in Columns._fields))
    if (
        digest(accepted.request) != accepted.request_sha256
        or request.type is not transaction.type
        or columns_of(request) != row
    ):
        raise Tampered(f"the ledger contradicts itself about transaction {transaction.id}")
    return request


def write(request: Request) -> Written:
    """Return *request* as the ledger keeps it."""
    text = write_request(request)
    return Written(text, digest(text))
