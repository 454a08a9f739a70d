"""Rent: what a recipient's first account for a token costs whoever pays him, in the chain's money.

What an account holds belongs to whoever it is made for: he may close it at once and keep the money.
So rent is money that leaves, and is judged, set aside and counted as such.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from waiaas.domain.enums import ChainType
from waiaas.domain.money import NATIVE
from waiaas.domain.request import Part, Request, TokenTransfer, outflows, parts_of

TOKEN_ACCOUNT_RENT: Final[Mapping[ChainType, int]] = MappingProxyType(
    {ChainType.SOLANA: 2_039_280, ChainType.ETHEREUM: 0}
)
"""What one account for a token costs, in base units of the chain's own asset.

On Solana: two years of 3,480 lamports a year for each of 165 bytes of data and 128 of overhead.
"""


class TokenAccount(NamedTuple):
    """Where somebody keeps a token."""

    wallet: str
    token_address: str


def paid_account(part: Part) -> TokenAccount | None:
    """Return the account that is paid to with *part* and may have to be made first, if there is."""
    if isinstance(part, TokenTransfer):
        return TokenAccount(part.to_address, part.token_address)
    return None


def paid_accounts(parts: Iterable[Part]) -> tuple[TokenAccount, ...]:
    """Return all such accounts, each once: it is made for the first that pays to it."""
    found = (paid_account(part) for part in parts)
    return tuple(dict.fromkeys(account for account in found if account is not None))


def rent_max(parts: Iterable[Part], *, chain: ChainType) -> int:
    """Return the most that *parts* together may cost in rent: if no recipient has an account."""
    return len(paid_accounts(parts)) * TOKEN_ACCOUNT_RENT[chain]


def leaving_assets(request: Request) -> tuple[str, ...]:
    """Return each asset of which something leaves with *request*, or may for rent."""
    rent = [NATIVE] if paid_accounts(parts_of(request)) else []
    return tuple(dict.fromkeys([*outflows(request), *rent]))
