"""What a request looks like in bytes: composed by one hand, read back by another.

A message is of version 0: a compute-unit limit, a compute-unit price, then what was asked for; the
sender pays the fee and is the only signer. Compiling is left to solders; reading is done in
`reading`, without solders. A SOL payment is 204 bytes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta
from solders.instruction import Instruction as CompiledInstruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature

from waiaas.chains.solana.instructions import (
    Instruction,
    NotPayable,
    compute_units,
    instructions_of,
    require_payable,
    tokens_of,
)
from waiaas.chains.solana.reading import (
    MESSAGE_BYTES_MAX,
    ReadInstruction,
    ReadMessage,
    read_message,
)
from waiaas.domain.addresses import SOLANA_ADDRESS_BYTES
from waiaas.domain.enums import ChainType
from waiaas.domain.programs import ASSOCIATED_TOKEN_PROGRAM
from waiaas.domain.rent import TOKEN_ACCOUNT_RENT, TokenAccount, paid_account, paid_accounts
from waiaas.domain.request import Approve, Request, TokenTransfer, parts_of
from waiaas.ports import SignedTransaction

SIGNATURE_FEE_LAMPORTS: Final = 5000
"""What the network takes for the one signature of a payment."""

RENT_LAMPORTS: Final = TOKEN_ACCOUNT_RENT[ChainType.SOLANA]
"""What each account costs that a message makes for a recipient."""

UNIT_PRICE_MAX: Final = 1000
"""In micro-lamports; the pipeline takes as many in turns. No limit counts the fee, so this bounds
it: 1,400 lamports for all the units that a transaction can have, beside the signature's."""

MICRO_LAMPORTS_PER_LAMPORT: Final = 1_000_000

FIRST_INSTRUCTION: Final = 2
"""Which instruction is the first of the request's own, counted from 0 as the chain counts."""

_SIGNATURE_COUNT: Final = b"\x01"
_NO_SIGNATURE: Final = bytes(Signature.LENGTH)
_BLANK_BLOCKHASH: Final = "11111111111111111111111111111111"
_ROOM_HINT: Final = "ask for fewer parts, or for a call with fewer accounts or less data"


def compose(
    request: Request,
    *,
    from_address: str,
    unit_price: int,
    blockhash: str,
    decimals: Mapping[str, int],
    missing: Collection[TokenAccount],
) -> bytes:
    """Return the bytes to be signed, after reading back that they say what is asked.

    Two requests alike in all else differ in `unit_price`, or they would be one: the chain takes
    the same bytes only once.

    Args:
        request: what is asked for.
        from_address: the paying wallet.
        unit_price: in micro-lamports per compute unit.
        blockhash: a fresh one.
        decimals: of each token in `tokens_of(request)`, by its address.
        missing: the recipients' accounts that have to be made, of those in `paid_accounts`.

    Raises:
        NotPayable: the chain has no instructions for it, or no room.
        ValueError: `unit_price` is out of bounds, or the blockhash is not 32 bytes in base58.
    """
    if not 0 <= unit_price <= UNIT_PRICE_MAX:
        raise ValueError(f"a compute-unit price is 0 to {UNIT_PRICE_MAX} micro-lamports")
    require_payable(request, from_address=from_address)
    wanted: list[Instruction] = []
    to_make = set[TokenAccount | None](missing)
    for part in parts_of(request):
        account = paid_account(part)
        wanted += instructions_of(
            part,
            from_address=from_address,
            decimals=decimals[part.token_address]
            if isinstance(part, TokenTransfer | Approve)
            else 0,
            makes_account=account in to_make,
        )
        to_make.discard(account)
    addresses = {from_address}.union(
        *({each.program, *(account.address for account in each.accounts)} for each in wanted)
    )
    if len(addresses) * SOLANA_ADDRESS_BYTES > MESSAGE_BYTES_MAX:
        raise NotPayable(f"a transaction has no room for {len(addresses)} accounts: {_ROOM_HINT}")
    compiled = MessageV0.try_compile(
        Pubkey.from_string(from_address),
        [
            set_compute_unit_limit(compute_units(request)),
            set_compute_unit_price(unit_price),
            *map(_compilable, wanted),
        ],
        [],
        Hash.from_string(blockhash),
    )
    message = to_bytes_versioned(compiled)
    if len(message) > MESSAGE_BYTES_MAX:
        raise NotPayable(
            f"it takes {len(message)} bytes, and a transaction has room for {MESSAGE_BYTES_MAX}: "
            f"{_ROOM_HINT}"
        )
    check(message, request, from_address=from_address, rent=len(missing) * RENT_LAMPORTS)
    return message


def require_room(request: Request, *, from_address: str) -> None:
    """Return if *request* can be composed, whatever the chain says of its tokens and accounts.

    Raises:
        NotPayable: as `compose` does.
    """
    compose(
        request,
        from_address=from_address,
        unit_price=0,
        blockhash=_BLANK_BLOCKHASH,
        decimals=dict.fromkeys(tokens_of(request), 0),
        missing=paid_accounts(parts_of(request)),
    )


def check(message: bytes, request: Request, *, from_address: str, rent: int) -> ReadMessage:
    """Return what *message* says, if it does what *request* asks for and nothing besides.

    Besides it may make recipients' accounts, each once, for up to *rent* lamports together.

    Raises:
        ValueError: it is anything else.
    """
    found = read_message(message)
    if found.payer != from_address:
        raise ValueError("the message does not pay from this address")
    if found.unit_limit != compute_units(request) or found.unit_price > UNIT_PRICE_MAX:
        raise ValueError("the message does not declare the fee that goes with the request")
    wanted: list[Instruction] = []
    made = set[TokenAccount | None]()
    for part in parts_of(request):
        here, account = found.instructions[len(wanted) :], paid_account(part)
        makes_account = account is not None and account not in made and _makes_account(here)
        made |= {account} if makes_account else set()
        # The chain holds decimals against the mint's, so whatever the message says is harmless.
        position = 1 if makes_account else 0
        said = here[position].data[-1:] if position < len(here) else b""
        wanted += instructions_of(
            part,
            from_address=from_address,
            decimals=int.from_bytes(said, "little"),
            makes_account=makes_account,
        )
    if len(made) * RENT_LAMPORTS > rent:
        raise ValueError("the message makes more accounts than rent is set aside for")
    if [(each.program, each.accounts, each.data) for each in found.instructions] != [
        (each.program, tuple(account.address for account in each.accounts), each.data)
        for each in wanted
    ]:
        raise ValueError("the message is not what was asked for")
    named = (account for each in wanted for account in each.accounts if account.is_writable)
    if found.writable != {from_address, *(account.address for account in named)}:
        raise ValueError("the message lets other accounts be written than was asked for")
    return found


def _makes_account(instructions: Sequence[ReadInstruction]) -> bool:
    """Tell whether the next instruction is one that makes an account; which one is compared."""
    return bool(instructions) and instructions[0].program == ASSOCIATED_TOKEN_PROGRAM


def fee_lamports(unit_price: int, *, units: int) -> int:
    """Return what the chain takes for a transaction, landed or failed, beside its amount.

    That is the signature's fee and the price of every declared compute unit, used or not, rounded
    up to a whole lamport.
    """
    return SIGNATURE_FEE_LAMPORTS - (-units * unit_price // MICRO_LAMPORTS_PER_LAMPORT)


def unsigned_transaction(message: bytes) -> bytes:
    """Return *message* in a transaction whose signature is left blank, for simulation only."""
    return _SIGNATURE_COUNT + _NO_SIGNATURE + message


def signed_transaction(message: bytes, *, signature: bytes) -> SignedTransaction:
    """Join a message and its signature; the very bytes that were signed are what is sent.

    Raises:
        ValueError: *message* is not one of ours, or *signature* is not its payer's.
    """
    payer = Pubkey.from_string(read_message(message).payer)
    parsed = Signature.from_bytes(signature)
    if not parsed.verify(payer, message):
        raise ValueError("the signature is not the paying wallet's over this message")
    return SignedTransaction(raw=_SIGNATURE_COUNT + signature + message, tx_hash=str(parsed))


def read_transaction(raw: bytes) -> SignedTransaction:
    """Return *raw* and its hash, after checking it as if it had just been signed.

    Raises:
        ValueError: *raw* is not one of our messages under a valid signature.
    """
    if not raw.startswith(_SIGNATURE_COUNT):
        raise ValueError("a message has exactly one signature")
    rest = raw[len(_SIGNATURE_COUNT) :]
    return signed_transaction(
        rest[Signature.LENGTH :],
        signature=rest[: Signature.LENGTH],
    )


def _compilable(instruction: Instruction) -> CompiledInstruction:
    accounts = [
        AccountMeta(Pubkey.from_string(each.address), each.is_signer, each.is_writable)
        for each in instruction.accounts
    ]
    return CompiledInstruction(Pubkey.from_string(instruction.program), instruction.data, accounts)
