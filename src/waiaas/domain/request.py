"""What an agent asks for, as values that could only be built from something valid."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waiaas.domain.addresses import is_solana_address
from waiaas.domain.enums import ChainType, TransactionType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.money import BASE_UNITS_MAX, NATIVE
from waiaas.domain.programs import COVERED_PROGRAMS

BATCH_PARTS_MIN: Final = 2
BATCH_PARTS_MAX: Final = 20

CALL_DATA_BYTES_MAX: Final = 1232
"""What a whole Solana transaction may take on the wire; no call's data can be longer."""

CALL_ACCOUNTS_MAX: Final = 64
"""The most accounts that one instruction of a call may name, repeated ones included."""

EXPRESSIBLE_MAX: Final[Mapping[ChainType, int]] = MappingProxyType(
    {ChainType.SOLANA: 2**64 - 1, ChainType.ETHEREUM: 2**256 - 1}
)
"""The largest amount of a token or its own asset that each chain can express.

Of a token it is how one writes *unlimited*.
"""


def limited_max(chain: ChainType) -> int:
    """Return the largest amount that still limits whom it is approved for.

    Everything past half of the largest amount does not: one unit less than all is no limit either.
    """
    return EXPRESSIBLE_MAX[chain] // 2


def is_unlimited(base_units: int, *, chain: ChainType) -> bool:
    """Tell whether approving *base_units* is as good as approving everything."""
    return base_units > limited_max(chain)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Send an amount of the chain's own asset to an address.

    Raises:
        Refusal: INVALID_ADDRESS or INVALID_AMOUNT; a zero amount moves nothing and is refused.
    """

    to_address: str
    """Recipient, in the spelling of the agent's chain."""

    base_units: int
    """How much, in the smallest unit (lamports)."""

    def __post_init__(self) -> None:
        _require_address("to", self.to_address)
        if not 0 < self.base_units <= BASE_UNITS_MAX:
            raise Refusal(
                ErrorCode.INVALID_AMOUNT,
                "`amount` is not between 1 and 2^256-1 base units",
                hint="Give the amount in lamports (1 SOL = 1000000000), as digits in a string.",
            )

    @property
    def type(self) -> TransactionType:
        """The kind of request, as stored."""
        return TransactionType.TRANSFER

    @property
    def asset(self) -> str:
        """What is moved."""
        return NATIVE


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """Send an amount of a token to an address.

    Raises:
        Refusal: INVALID_ADDRESS or INVALID_AMOUNT; a zero amount moves nothing and is refused.
    """

    token_address: str
    """The token: on Solana, its mint."""
    to_address: str
    base_units: int
    """How much, in the token's smallest unit."""

    def __post_init__(self) -> None:
        _require_address("token", self.token_address)
        _require_address("to", self.to_address)
        _require_amount(self.base_units, least=1)

    @property
    def type(self) -> TransactionType:
        """The kind of request, as stored."""
        return TransactionType.TOKEN_TRANSFER

    @property
    def asset(self) -> str:
        """What is moved."""
        return self.token_address


@dataclass(frozen=True, slots=True)
class CallAccount:
    """An account that a Solana program is given.

    Raises:
        Refusal: INVALID_ADDRESS.
    """

    address: str
    is_signer: bool
    """Whether it must sign; only the agent's own account can."""
    is_writable: bool

    def __post_init__(self) -> None:
        _require_address("accounts", self.address)


@dataclass(frozen=True, slots=True)
class ContractCall:
    """Let a contract (on Solana, a program) do something.

    What another kind of request covers cannot be called: a payment dressed as a call would be
    judged as a call.

    Raises:
        Refusal: INVALID_ADDRESS, INVALID_AMOUNT, or VALIDATION_FAILED if the program belongs to
            another kind of request, the data is too long or the accounts are too many.
    """

    contract_address: str
    data: bytes
    """What the contract is told; it opens with the method's selector."""
    base_units: int = 0
    """The most of the chain's own asset that may leave with it, in the smallest unit."""
    accounts: tuple[CallAccount, ...] = ()
    """What a Solana program is given to read and write, in its own order."""

    def __post_init__(self) -> None:
        _require_address("contract", self.contract_address)
        _require_amount(self.base_units, least=0)
        covered_by = COVERED_PROGRAMS.get(self.contract_address)
        if covered_by is not None:
            raise Refusal(
                ErrorCode.VALIDATION_FAILED,
                f"{self.contract_address} cannot be called: {covered_by}",
                hint="Ask for what it does by the kind of request made for it.",
            )
        if len(self.accounts) > CALL_ACCOUNTS_MAX:
            raise Refusal(
                ErrorCode.VALIDATION_FAILED,
                f"`accounts` has more than {CALL_ACCOUNTS_MAX} entries",
                hint="No transaction has room for them.",
            )
        if len(self.data) > CALL_DATA_BYTES_MAX:
            raise Refusal(
                ErrorCode.VALIDATION_FAILED,
                f"`data` has more than {CALL_DATA_BYTES_MAX} bytes",
                hint="No transaction has room for it.",
            )

    @property
    def type(self) -> TransactionType:
        """The kind of request, as stored."""
        return TransactionType.CONTRACT_CALL


@dataclass(frozen=True, slots=True)
class Approve:
    """Let somebody else move up to an amount of a token; zero takes an earlier approval back.

    Raises:
        Refusal: INVALID_ADDRESS or INVALID_AMOUNT.
    """

    token_address: str
    spender_address: str
    base_units: int

    def __post_init__(self) -> None:
        _require_address("token", self.token_address)
        _require_address("spender", self.spender_address)
        _require_amount(self.base_units, least=0)

    @property
    def type(self) -> TransactionType:
        """The kind of request, as stored."""
        return TransactionType.APPROVE


Part = Transfer | TokenTransfer | ContractCall | Approve
"""What can be asked for alone, and be part of a batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Several things in one chain transaction: all of them happen or none.

    Raises:
        Refusal: VALIDATION_FAILED unless it has 2 to 20 parts.
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not BATCH_PARTS_MIN <= len(self.parts) <= BATCH_PARTS_MAX:
            raise Refusal(
                ErrorCode.VALIDATION_FAILED,
                f"a batch has {BATCH_PARTS_MIN} to {BATCH_PARTS_MAX} parts",
                hint="Ask for one thing alone, or for several batches.",
            )

    @property
    def type(self) -> TransactionType:
        """The kind of request, as stored."""
        return TransactionType.BATCH


Request = Part | Batch
"""Every kind of request."""


def parts_of(request: Request) -> tuple[Part, ...]:
    """Return what *request* would do, one thing at a time."""
    return request.parts if isinstance(request, Batch) else (request,)


def outflows(request: Request) -> dict[str, int]:
    """Return how much of each asset leaves with *request*; an approval moves nothing by itself."""
    leaving: dict[str, int] = {}
    for part in parts_of(request):
        if isinstance(part, Approve) or not part.base_units:
            continue
        asset = NATIVE if isinstance(part, ContractCall) else part.asset
        leaving[asset] = leaving.get(asset, 0) + part.base_units
    return leaving


def require_expressible(request: Request, *, chain: ChainType) -> None:
    """Return if the chain can express every amount in *request*.

    Raises:
        Refusal: INVALID_AMOUNT.
    """
    largest = EXPRESSIBLE_MAX[chain]
    for part in parts_of(request):
        if part.base_units > largest:
            name = "value" if isinstance(part, ContractCall) else "amount"
            raise Refusal(
                ErrorCode.INVALID_AMOUNT,
                f"`{name}` is past {largest}, the most that {chain} can express",
            )


def _require_address(name: str, address: str) -> None:
    if not is_solana_address(address):
        raise Refusal(
            ErrorCode.INVALID_ADDRESS,
            f"`{name}` is not a Solana address: the base58 text of 32 bytes",
            hint=(
                "Check the recipient's address and its chain."
                if name == "to"
                else "Check the address and its chain."
            ),
        )


def _require_amount(base_units: int, *, least: int) -> None:
    if not least <= base_units <= BASE_UNITS_MAX:
        raise Refusal(
            ErrorCode.INVALID_AMOUNT,
            f"`amount` is not between {least} and 2^256-1 base units",
            hint="Give the amount in the smallest unit, as digits in a string.",
        )
