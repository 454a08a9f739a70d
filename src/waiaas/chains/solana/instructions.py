"""What each part of a request is in instructions of Solana programs, byte for byte.

Layouts are those of the programs themselves: the System program (`SystemInstruction`), SPL Token
(`TransferChecked`, `ApproveChecked`) and the Associated Token Account program (`CreateIdempotent`).
Tokens move between *associated* accounts, whose address follows from wallet and mint, so what is
asked for leaves no choice of accounts. The recipient's is created where it is missing, and the
agent pays the rent; where it has appeared meanwhile nothing is created, and nothing paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from waiaas.domain.enums import ChainType
from waiaas.domain.programs import (
    ASSOCIATED_TOKEN_PROGRAM,
    COVERED_PROGRAMS,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
)
from waiaas.domain.request import (
    EXPRESSIBLE_MAX,
    Approve,
    ContractCall,
    Part,
    Request,
    TokenTransfer,
    Transfer,
    parts_of,
)

LAMPORTS_MAX: Final = 2**64 - 1
"""What a Solana account can hold."""

COMPUTE_UNITS_BASE: Final = 450
"""For the two instructions that set limit and price, and margin."""

COMPUTE_UNITS_MAX: Final = 1_400_000
"""The chain's limit for one transaction."""

COMPUTE_UNITS: Final[Mapping[type[Part], int]] = {
    Transfer: 150,
    TokenTransfer: 100_000,  # finding the recipient's account takes a varying number of tries
    Approve: 20_000,
    ContractCall: 200_000,  # the chain's own default for an instruction
}
"""What each part may use at most."""

_SYSTEM_TRANSFER: Final = (2).to_bytes(4, "little")
_CREATE_IDEMPOTENT: Final = bytes([1])
_TRANSFER_CHECKED: Final = bytes([12])
_APPROVE_CHECKED: Final = bytes([13])


class NotPayable(ValueError):  # noqa: N818 -- named for the payment it is about
    """No Solana transaction can do what is asked; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as one instruction names it."""

    address: str
    is_signer: bool = False
    is_writable: bool = False


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, before it is compiled into a message."""

    program: str
    accounts: tuple[Account, ...]
    data: bytes


def instructions_of(
    part: Part, *, from_address: str, decimals: int, makes_account: bool
) -> tuple[Instruction, ...]:
    """Return what the chain has to be told for *part*.

    Args:
        part: of a request that `require_payable` let pass.
        from_address: the paying wallet.
        decimals: of the part's token; the chain refuses wrong ones. Unused for what has no token.
        makes_account: whether the recipient's account for the token is created first.
    """
    payer = Account(from_address, is_signer=True, is_writable=True)
    signer = Account(from_address, is_signer=True)
    match part:
        case Transfer(to_address, base_units):
            to = Account(to_address, is_writable=True)
            return (Instruction(SYSTEM_PROGRAM, (payer, to), _SYSTEM_TRANSFER + _u64(base_units)),)
        case TokenTransfer(token_address, to_address, base_units):
            mint = Account(token_address)
            source = Account(token_account(from_address, token_address), is_writable=True)
            target = Account(token_account(to_address, token_address), is_writable=True)
            programs = (Account(SYSTEM_PROGRAM), Account(TOKEN_PROGRAM))
            create = Instruction(
                ASSOCIATED_TOKEN_PROGRAM,
                (payer, target, Account(to_address), mint, *programs),
                _CREATE_IDEMPOTENT,
            )
            transfer = Instruction(
                TOKEN_PROGRAM,
                (source, mint, target, signer),
                _TRANSFER_CHECKED + _u64(base_units) + bytes([decimals]),
            )
            return (create, transfer) if makes_account else (transfer,)
        case Approve(token_address, spender_address, base_units):
            source = Account(token_account(from_address, token_address), is_writable=True)
            accounts = (source, Account(token_address), Account(spender_address), signer)
            data = _APPROVE_CHECKED + _u64(base_units) + bytes([decimals])
            return (Instruction(TOKEN_PROGRAM, accounts, data),)
        case ContractCall(contract_address, data, _, accounts):
            given = tuple(
                Account(each.address, is_signer=each.is_signer, is_writable=each.is_writable)
                for each in accounts
            )
            return (Instruction(contract_address, given, data),)
        case _:
            assert_never(part)


def compute_units(request: Request) -> int:
    """Return the limit of compute units that a transaction for *request* declares."""
    parts = sum(COMPUTE_UNITS[type(part)] for part in parts_of(request))
    return min(COMPUTE_UNITS_BASE + parts, COMPUTE_UNITS_MAX)


def token_account(wallet: str, token_address: str) -> str:
    """Return the associated account in which *wallet* keeps a token of the Token program."""
    owner, mint = Pubkey.from_string(wallet), Pubkey.from_string(token_address)
    return str(get_associated_token_address(owner, mint))


def tokens_of(request: Request) -> list[str]:
    """Return the address of each token that *request* is about, once."""
    return list(
        dict.fromkeys(
            part.token_address
            for part in parts_of(request)
            if isinstance(part, TokenTransfer | Approve)
        )
    )


def require_payable(request: Request, *, from_address: str) -> None:
    """Return if the chain has instructions for every part of *request*.

    Raises:
        NotPayable: it has not, and the message says why.
    """
    for part in parts_of(request):
        match part:
            case Transfer():
                if part.base_units > LAMPORTS_MAX:
                    raise NotPayable(f"a Solana transfer moves 1 to {LAMPORTS_MAX} lamports")
                _require_recipient(part.to_address, from_address)
            case TokenTransfer():
                _require_token_amount(part.base_units)
                _require_recipient(part.to_address, from_address)
            case Approve():
                _require_token_amount(part.base_units)
                _require_recipient(part.spender_address, from_address)
            case ContractCall():
                _require_callable(part, from_address)
            case _:
                assert_never(part)


def _require_recipient(address: str, from_address: str) -> None:
    if address == from_address:
        raise NotPayable("the recipient is the paying wallet itself")
    if address in COVERED_PROGRAMS:
        raise NotPayable("the recipient is a program of the chain and cannot be paid")


def _require_token_amount(base_units: int) -> None:
    largest = EXPRESSIBLE_MAX[ChainType.SOLANA]
    if base_units > largest:
        raise NotPayable(f"a token of Solana has at most {largest} base units")


def _require_callable(call: ContractCall, from_address: str) -> None:
    if call.base_units > LAMPORTS_MAX:
        raise NotPayable(f"a call moves at most {LAMPORTS_MAX} lamports")
    if call.contract_address == from_address:
        raise NotPayable("the paying wallet is no program and cannot be called")
    if any(each.is_signer and each.address != from_address for each in call.accounts):
        raise NotPayable("only the agent's own account can sign a call")


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "little")
