"""Rent: at most one account for each recipient and token, and what it costs."""

import pytest

from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import ChainType
from waiaas.domain.rent import TOKEN_ACCOUNT_RENT, leaving_assets, paid_accounts, rent_max
from waiaas.domain.request import (
    Approve,
    Batch,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
    parts_of,
)

A, B, ONE, TWO, MEMO = (solana_address(bytes([n]) * 32) for n in range(1, 6))
RENT = 2_039_280
SENDS = TokenTransfer(ONE, A, 5)
CALL = ContractCall(MEMO, b"", 3)


@pytest.mark.parametrize(
    ("request_", "accounts", "assets"),
    [
        (Transfer(A, 5), [], ["native"]),
        (Approve(ONE, A, 5), [], []),
        (CALL, [], ["native"]),
        (ContractCall(MEMO, b""), [], []),
        (SENDS, [(A, ONE)], [ONE, "native"]),
        (Batch((SENDS, TokenTransfer(ONE, A, 6))), [(A, ONE)], [ONE, "native"]),
        (Batch((SENDS, TokenTransfer(ONE, B, 5))), [(A, ONE), (B, ONE)], [ONE, "native"]),
        (Batch((SENDS, TokenTransfer(TWO, A, 5))), [(A, ONE), (A, TWO)], [ONE, TWO, "native"]),
        (Batch((CALL, SENDS, Approve(TWO, B, 5))), [(A, ONE)], ["native", ONE]),
    ],
)
def test_each_recipient_may_need_an_account_for_each_token_once(
    request_: Request, accounts: list[tuple[str, str]], assets: list[str]
) -> None:
    parts = parts_of(request_)
    assert [tuple(each) for each in paid_accounts(parts)] == accounts
    assert rent_max(parts, chain=ChainType.SOLANA) == RENT * len(accounts)
    assert rent_max(parts, chain=ChainType.ETHEREUM) == 0
    assert list(leaving_assets(request_)) == assets


def test_every_chain_has_its_rent() -> None:
    assert TOKEN_ACCOUNT_RENT.keys() == set(ChainType)
    years, lamports_a_year, bytes_ = 2, 3480, 165 + 128
    assert TOKEN_ACCOUNT_RENT[ChainType.SOLANA] == years * lamports_a_year * bytes_ == RENT
