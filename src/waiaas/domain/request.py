"""What an agent asks for, as a value that could only be built from something valid."""

from dataclasses import dataclass

from waiaas.domain.addresses import is_solana_address
from waiaas.domain.enums import TransactionType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.money import BASE_UNITS_MAX, NATIVE


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
        if not is_solana_address(self.to_address):
            raise Refusal(
                ErrorCode.INVALID_ADDRESS,
                "`to` is not a Solana address: the base58 text of 32 bytes",
                hint="Check the recipient's address and its chain.",
            )
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


Request = Transfer
"""Every kind of request; token transfers, calls, approvals and batches join here."""
