"""What a call would take, against what it says: rows of accounts before and after."""

import base64
from dataclasses import replace

import pytest

from waiaas.chains.solana.instructions import token_account
from waiaas.chains.solana.outflow import WRAPPED_SOL, Accounts, excess, has_calls, owned
from waiaas.chains.solana.tokens import AccountInfo
from waiaas.domain.addresses import solana_address
from waiaas.domain.programs import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from waiaas.domain.request import (
    Approve,
    Batch,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
)

KEYS = {n: bytes([n]) * 32 for n in range(1, 7)}
WALLET, OTHER, MINT, PROGRAM, SPENDER, MORE = (solana_address(key) for key in KEYS.values())
ACCOUNT, SECOND = token_account(WALLET, MINT), solana_address(bytes([7]) * 32)
RENT = 2_039_280
FEE = 5001
FREE = bytes(36)


def key(address: str) -> bytes:
    return next(key for key in KEYS.values() if solana_address(key) == address)


def wallet(lamports: int, *, owner: str = SYSTEM_PROGRAM, data: bytes = b"") -> AccountInfo:
    return AccountInfo(lamports, owner, (base64.b64encode(data).decode(), "base64"))


def holding(
    amount: int,
    *,
    owner: str = WALLET,
    delegate: str | None = None,
    delegated: int = 0,
    closer: str | None = None,
    program: str = TOKEN_PROGRAM,
    lamports: int = RENT,
) -> AccountInfo:
    """Return a token account, field by field as the Token program lays it out."""

    def option(address: str | None) -> bytes:
        return FREE if address is None else bytes([1, 0, 0, 0]) + key(address)

    data = (
        key(MINT)
        + key(owner)
        + amount.to_bytes(8, "little")
        + option(delegate)
        + bytes([1])
        + bytes(12)
        + delegated.to_bytes(8, "little")
        + option(closer)
    )
    assert len(data) == 165
    return wallet(lamports, owner=program, data=data)


CALL = ContractCall(PROGRAM, b"")
BEFORE: Accounts = {WALLET: wallet(1000), ACCOUNT: holding(100), SECOND: holding(50)}


def found(request: Request, **after: AccountInfo | None) -> str | None:
    changed = {
        WALLET: after.get("wallet", wallet(1000)),
        ACCOUNT: after.get("account", holding(100)),
        SECOND: after.get("second", holding(50)),
    }
    return excess(request, BEFORE, changed, wallet=WALLET, fee=FEE, rent=0)


SENDS = Batch((CALL, TokenTransfer(MINT, OTHER, 10)))
APPROVES = Batch((Approve(MINT, OTHER, 9), Approve(MINT, SPENDER, 5), CALL))
APPROVED = holding(100, delegate=SPENDER, delegated=5)


@pytest.mark.parametrize(
    ("request_", "after"),
    [
        (CALL, {}),
        (CALL, {"wallet": wallet(1_000_000)}),
        (CALL, {"account": holding(0), "second": holding(150)}),
        (CALL, {"account": holding(60), "second": holding(90)}),
        (SENDS, {"account": holding(90)}),
        (SENDS, {"second": holding(40)}),
        (APPROVES, {"account": APPROVED}),
        (APPROVES, {"account": holding(100, delegate=SPENDER, delegated=4)}),
        (APPROVES, {}),
    ],
)
def test_what_stays_with_the_agent_or_was_said_is_no_excess(
    request_: Request, after: dict[str, AccountInfo | None]
) -> None:
    assert found(request_, **after) is None


@pytest.mark.parametrize(
    ("request_", "after", "words"),
    [
        (CALL, {"wallet": wallet(1000, owner=PROGRAM)}, "hand the agent's wallet over"),
        (CALL, {"wallet": wallet(1000, data=b"x")}, "hand the agent's wallet over"),
        (CALL, {"account": holding(99)}, f"take 1 of {MINT}, and may take 0"),
        (CALL, {"account": None, "second": holding(149)}, f"take {RENT} of native"),
        (CALL, {"account": holding(0, lamports=0)}, f"take {RENT} of native"),
        (SENDS, {"account": holding(89)}, f"take 11 of {MINT}, and may take 10"),
        (CALL, {"account": holding(100, owner=OTHER)}, "give the agent's account"),
        (CALL, {"account": holding(100, program=PROGRAM)}, "give the agent's account"),
        (CALL, {"account": holding(100, program=TOKEN_2022_PROGRAM)}, "give the agent's account"),
        (CALL, {"account": holding(100, delegate=OTHER, delegated=1)}, "let somebody else"),
        (CALL, {"account": holding(100, closer=OTHER)}, "let somebody else"),
        (APPROVES, {"account": holding(100, delegate=OTHER, delegated=5)}, "let somebody else"),
        (APPROVES, {"account": holding(100, delegate=SPENDER, delegated=6)}, "let somebody else"),
        (APPROVES, {"second": holding(50, delegate=SPENDER, delegated=5)}, "let somebody else"),
    ],
)
def test_whatever_else_leaves_is_told(
    request_: Request, after: dict[str, AccountInfo | None], words: str
) -> None:
    said = found(request_, **after)
    assert said is not None
    assert words in said


@pytest.mark.parametrize(
    ("request_", "rent", "may_leave"),
    [
        (CALL, 0, FEE),
        (replace(CALL, base_units=7), 0, FEE + 7),
        (Batch((CALL, Transfer(OTHER, 9))), 0, FEE + 9),
        (SENDS, 0, FEE),
        (SENDS, RENT, FEE + RENT),
        (Batch((CALL, TokenTransfer(WRAPPED_SOL, OTHER, 3))), RENT, FEE + RENT + 3),
    ],
)
def test_the_wallet_may_lose_what_was_said_and_the_fee_and_not_a_lamport_more(
    request_: Request, rent: int, may_leave: int
) -> None:
    def losing(lamports: int) -> str | None:
        before = {WALLET: wallet(10**9)}
        after = {WALLET: wallet(10**9 - lamports)}
        return excess(request_, before, after, wallet=WALLET, fee=FEE, rent=rent)

    assert losing(may_leave) is None
    assert f"take {may_leave + 1} of native, and may take {may_leave}" in (
        losing(may_leave + 1) or ""
    )


def test_only_the_agents_own_accounts_are_looked_at() -> None:
    accounts: Accounts = {
        WALLET: None,
        ACCOUNT: holding(1),
        SECOND: holding(1, program=TOKEN_2022_PROGRAM),
        OTHER: holding(1, owner=OTHER),
        MINT: wallet(1, owner=TOKEN_PROGRAM, data=bytes(82)),
        PROGRAM: wallet(1),
        MORE: None,
    }
    assert list(owned(accounts, wallet=WALLET)) == [WALLET, ACCOUNT, SECOND]


def test_a_wallet_that_holds_nothing_loses_nothing() -> None:
    nothing: Accounts = {WALLET: None}
    assert excess(CALL, nothing, nothing, wallet=WALLET, fee=FEE, rent=0) is None


def test_only_what_calls_a_program_is_looked_at_so() -> None:
    assert has_calls(CALL)
    assert has_calls(SENDS)
    assert not has_calls(Transfer(OTHER, 1))
    assert not has_calls(Batch((Transfer(OTHER, 1), Approve(MINT, OTHER, 1))))
