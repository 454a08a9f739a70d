"""What accounts of tokens hold, beside what they hold in lamports."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN_PROGRAM

ACCOUNT_BYTES: Final = 165
_DECIMALS: Final = 44
"""Where a mint says in how many decimals people write it."""


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """What one account of a transaction holds of a token."""

    index: int
    mint: Pubkey
    owner: Pubkey
    base_units: int
    decimals: int


def token_balances(
    accounts: Mapping[Pubkey, Account | None], *, decimals: Mapping[Pubkey, int]
) -> tuple[TokenBalance, ...]:
    """Return what each of a transaction's *accounts* holds, by its place among them."""
    found = []
    for index, account in enumerate(accounts.values()):
        mint = mint_of(account)
        if account is not None and mint is not None:
            found.append(
                TokenBalance(
                    index,
                    mint,
                    Pubkey(account.data[32:64]),
                    int.from_bytes(account.data[64:72], "little"),
                    decimals.get(mint, 0),
                )
            )
    return tuple(found)


def mint_of(account: Account | None) -> Pubkey | None:
    """Return the token that an account holds; None if it is no account of a token."""
    if account is None or account.owner != TOKEN_PROGRAM or len(account.data) != ACCOUNT_BYTES:
        return None
    return Pubkey(account.data[:32])


def decimals_of(mint: Account | None) -> int:
    """Return in how many decimals people write a token."""
    return 0 if mint is None or len(mint.data) <= _DECIMALS else mint.data[_DECIMALS]


def shown(balance: TokenBalance) -> object:
    """Return it as a node does."""
    amount = str(balance.base_units)
    return {
        "accountIndex": balance.index,
        "mint": str(balance.mint),
        "owner": str(balance.owner),
        "programId": str(TOKEN_PROGRAM),
        "uiTokenAmount": {
            "amount": amount,
            "decimals": balance.decimals,
            "uiAmount": None,
            "uiAmountString": f"{Decimal(amount).scaleb(-balance.decimals):f}",
        },
    }
