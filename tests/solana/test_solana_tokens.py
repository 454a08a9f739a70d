"""What the bytes of an account say about a token."""

import base64

import pytest

from waiaas.chains.solana.tokens import AccountInfo, NoToken, mint_decimals
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
