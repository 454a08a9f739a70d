"""Solana programs that a CONTRACT_CALL may not name, because another kind of request is for them.

Policies judge a payment as a payment and an approval as an approval. A call of the System program
that moves SOL would be judged as a call, and a limit on spending would never see the amount.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SYSTEM_PROGRAM: Final = "11111111111111111111111111111111"
COMPUTE_BUDGET_PROGRAM: Final = "ComputeBudget111111111111111111111111111111"
TOKEN_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 -- an address
TOKEN_2022_PROGRAM: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105 -- likewise
ASSOCIATED_TOKEN_PROGRAM: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"  # noqa: S105 -- likewise

COVERED_PROGRAMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        SYSTEM_PROGRAM: "the System program is used by TRANSFER",
        TOKEN_PROGRAM: "the Token program is used by TOKEN_TRANSFER and APPROVE",
        TOKEN_2022_PROGRAM: "tokens of the Token-2022 program are not supported yet",
        ASSOCIATED_TOKEN_PROGRAM: "token accounts are made by TOKEN_TRANSFER",
        COMPUTE_BUDGET_PROGRAM: "the price of a transaction is set by the daemon",
    }
)
"""Why each cannot be called."""
