"""What the bytes of an account say about a token."""

import base64

import pytest

from waiaas.chains.solana.tokens import (
    AccountInfo,
    NoToken,
    keeps_token,
    mint_decimals,
    require_wallet,
)
from waiaas.domain.addresses import solana_address
from waiaas.domain.programs import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM

MINT = bytes(44) + bytes([6, 1]) + bytes(36)


def account(content: bytes | str = MINT, *, owner: str = TOKEN_PROGRAM) -> AccountInfo:
    text = content if isinstance(content, str) else base64.b64encode(content).decode()
    return AccountInfo(1, owner, (text, "base64"))


def test_the_decimals_of_a_mint_are_read_from_its_bytes() -> None:
    assert mint_decimals(account(), "MINT") == 6


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "no token MINT"),
        (account(owner=SYSTEM_PROGRAM), "no token MINT"),
        (account(owner=TOKEN_2022_PROGRAM), "Token-2022 program, which is not supported"),
        (account(MINT + b"\0"), "but no token"),
        (account(bytes(82)), "but no token"),
        (account("§"), "but no token"),
        (account("QQ="), "but no token"),
    ],
)
def test_what_is_no_mint_has_no_decimals(found: AccountInfo | None, words: str) -> None:
    with pytest.raises(NoToken, match=words):
        mint_decimals(found, "MINT")


@pytest.mark.parametrize("owner", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
def test_a_recipient_that_is_no_wallet_is_called_what_it_is(owner: str) -> None:
    with pytest.raises(NoToken, match="MINT is itself a token"):
        require_wallet(account(owner=owner), "MINT")
    with pytest.raises(NoToken, match="HERE is an account of tokens"):
        require_wallet(account(bytes(165), owner=owner), "HERE")


WALLET, TOKEN, OTHER = (bytes([n]) * 32 for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("found", "is_there"),
    [
        (None, False),
        (account(b"", owner=SYSTEM_PROGRAM), False),  # somebody sent SOL there
        (account(TOKEN + WALLET + bytes(101)), True),
    ],
)
def test_an_account_for_a_token_is_there_or_has_to_be_made(
    found: AccountInfo | None, *, is_there: bool
) -> None:
    wallet, token = solana_address(WALLET), solana_address(TOKEN)
    assert keeps_token(found, wallet=wallet, token_address=token) == is_there


@pytest.mark.parametrize(
    "content", [TOKEN + OTHER + bytes(101), OTHER + WALLET + bytes(101), TOKEN, b"", "§"]
)
def test_an_account_that_is_not_the_recipients_own_is_not_paid_to(content: bytes | str) -> None:
    wallet, token = solana_address(WALLET), solana_address(TOKEN)
    with pytest.raises(NoToken, match=f"account of {wallet} for token {token} is somebody else's"):
        keeps_token(account(content), wallet=wallet, token_address=token)
