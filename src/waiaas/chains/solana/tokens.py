"""Tokens of the SPL Token program, as the bytes of their accounts tell of them."""

import base64
from typing import Annotated, Final, Literal

import msgspec

from waiaas.domain.addresses import solana_address
from waiaas.domain.programs import TOKEN_2022_PROGRAM, TOKEN_PROGRAM

TOKEN_ACCOUNT_BYTES: Final = 165
"""Of a token account without extensions; what is looked at lies in front of them."""

MINT: Final = slice(0, 32)
OWNER: Final = slice(32, 64)
"""Where a token account says which token it keeps, and whose."""

_MINT_BYTES: Final = 82
_MINT_DECIMALS_AT: Final = 44
_MINT_INITIALIZED_AT: Final = 45


class NoToken(ValueError):  # noqa: N818 -- named for what the address is not
    """The chain has no token at this address, or none that we can send; the message says which."""


class AccountInfo(msgspec.Struct, frozen=True):
    """An account, as a node shows it in base64."""

    lamports: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    owner: Annotated[str, msgspec.Meta(max_length=44)]
    data: tuple[str, Literal["base64"]]

    @property
    def content(self) -> bytes:
        """Its data; what is not base64 reads as nothing."""
        try:
            return base64.b64decode(self.data[0], validate=True)
        except ValueError:
            return b""


def mint_decimals(account: AccountInfo | None, address: str) -> int:
    """Return the decimals of the token whose mint is *account*.

    Raises:
        NoToken: it is no mint, or one of the Token-2022 program: its tokens may take fees, or be
            taken back, of which nothing here knows.
    """
    if account is not None and account.owner == TOKEN_2022_PROGRAM:
        raise NoToken(f"{address} belongs to the Token-2022 program, which is not supported yet")
    if account is None or account.owner != TOKEN_PROGRAM:
        raise NoToken(f"the chain has no token {address}")
    mint = account.content
    if len(mint) != _MINT_BYTES or not mint[_MINT_INITIALIZED_AT]:
        raise NoToken(f"{address} is an account of the Token program, but no token")
    return mint[_MINT_DECIMALS_AT]


def require_wallet(account: AccountInfo | None, address: str) -> None:
    """Return if tokens may be paid to *address*; one that has no account yet is taken for a wallet.

    Raises:
        NoToken: it is a token, or an account of tokens; what is paid to the account of either is
            lost.
    """
    if account is not None and account.owner in {TOKEN_PROGRAM, TOKEN_2022_PROGRAM}:
        if len(account.content) == _MINT_BYTES:
            raise NoToken(f"{address} is itself a token: pay to the wallet of a recipient")
        raise NoToken(f"{address} is an account of tokens: pay to the wallet that it belongs to")


def keeps_token(account: AccountInfo | None, *, wallet: str, token_address: str) -> bool:
    """Tell whether *account*, found where *wallet* is to keep a token, is there to be paid to.

    What only holds lamports has yet to be made.

    Raises:
        NoToken: the wallet has given it to somebody else.
    """
    if account is None or account.owner != TOKEN_PROGRAM:
        return False
    mint, owner = (solana_address(account.content[part].ljust(32, b"\0")) for part in (MINT, OWNER))
    if (mint, owner) != (token_address, wallet):
        raise NoToken(f"the account of {wallet} for token {token_address} is somebody else's")
    return True
