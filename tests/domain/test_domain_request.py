"""Requests: a value that exists was valid when it was made."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import ChainType, TransactionType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.request import (
    Approve,
    Batch,
    CallAccount,
    ContractCall,
    Part,
    TokenTransfer,
    Transfer,
    is_unlimited,
    limited_max,
    outflows,
    parts_of,
    require_expressible,
)

RECIPIENT = "So11111111111111111111111111111111111111112"


@pytest.mark.parametrize("base_units", [1, 5_000, 2**63, 2**256 - 1])
def test_a_transfer_keeps_what_was_asked(base_units: int) -> None:
    transfer = Transfer(to_address=RECIPIENT, base_units=base_units)
    assert (transfer.to_address, transfer.base_units) == (RECIPIENT, base_units)
    assert transfer.type is TransactionType.TRANSFER
    assert transfer.asset == "native"


@pytest.mark.parametrize("base_units", [0, -1, -(2**256), 2**256])
def test_an_amount_that_moves_nothing_or_cannot_exist_is_refused(base_units: int) -> None:
    with pytest.raises(Refusal) as refusal:
        Transfer(to_address=RECIPIENT, base_units=base_units)
    assert refusal.value.code is ErrorCode.INVALID_AMOUNT
    assert refusal.value.hint


@pytest.mark.parametrize(
    "to_address", ["", "alice", RECIPIENT[:-1], RECIPIENT + " ", "0x" + "0" * 40]
)
def test_a_recipient_that_is_no_address_is_refused(to_address: str) -> None:
    with pytest.raises(Refusal) as refusal:
        Transfer(to_address=to_address, base_units=1)
    assert refusal.value.code is ErrorCode.INVALID_ADDRESS
    assert refusal.value.hint


def test_what_the_caller_typed_is_not_repeated_in_the_message() -> None:
    with pytest.raises(Refusal) as refusal:
        Transfer(to_address="a secret pasted by mistake", base_units=1)
    assert "secret" not in str(refusal.value)


def test_of_two_wrongs_the_code_that_stands_first_is_the_answer() -> None:
    with pytest.raises(Refusal) as refusal:
        Transfer(to_address="alice", base_units=0)
    first = min(ErrorCode.INVALID_ADDRESS, ErrorCode.INVALID_AMOUNT, key=[*ErrorCode].index)
    assert refusal.value.code is first


def test_a_transfer_cannot_be_changed_after_it_was_checked() -> None:
    transfer = Transfer(to_address=RECIPIENT, base_units=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        transfer.base_units = 0  # type: ignore[misc]  # -- the refusal is what is tested


# ── other kinds ────────────────────────────────────────────────────────────────────────────────

TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
NOBODY = "alice"
PARTS: tuple[Part, ...] = (
    Transfer(RECIPIENT, 1),
    TokenTransfer(TOKEN, RECIPIENT, 2**256 - 1),
    ContractCall(RECIPIENT, b"x" * 1232, 0),
    Approve(TOKEN, RECIPIENT, 0),  # takes an earlier approval back
)


def test_every_kind_of_request_says_what_it_is() -> None:
    assert [each.type for each in PARTS] == [
        TransactionType.TRANSFER,
        TransactionType.TOKEN_TRANSFER,
        TransactionType.CONTRACT_CALL,
        TransactionType.APPROVE,
    ]
    assert Batch(PARTS).type is TransactionType.BATCH
    assert TokenTransfer(TOKEN, RECIPIENT, 1).asset == TOKEN


@pytest.mark.parametrize("count", [2, 3, 20])
def test_a_batch_has_parts(count: int) -> None:
    batch = Batch(PARTS[:1] * count)
    assert parts_of(batch) == batch.parts == PARTS[:1] * count
    assert parts_of(PARTS[1]) == (PARTS[1],)


IMPOSSIBLE: list[tuple[Callable[[], object], ErrorCode]] = [
    (lambda: TokenTransfer(NOBODY, RECIPIENT, 1), ErrorCode.INVALID_ADDRESS),
    (lambda: TokenTransfer(TOKEN, NOBODY, 1), ErrorCode.INVALID_ADDRESS),
    (lambda: TokenTransfer(TOKEN, RECIPIENT, 0), ErrorCode.INVALID_AMOUNT),
    (lambda: TokenTransfer(TOKEN, RECIPIENT, 2**256), ErrorCode.INVALID_AMOUNT),
    (lambda: ContractCall(NOBODY, b""), ErrorCode.INVALID_ADDRESS),
    (lambda: ContractCall(RECIPIENT, b"", -1), ErrorCode.INVALID_AMOUNT),
    (lambda: ContractCall(RECIPIENT, b"", 2**256), ErrorCode.INVALID_AMOUNT),
    (lambda: ContractCall(RECIPIENT, b"x" * 1233), ErrorCode.VALIDATION_FAILED),
    (lambda: Approve(NOBODY, RECIPIENT, 1), ErrorCode.INVALID_ADDRESS),
    (lambda: Approve(TOKEN, NOBODY, 1), ErrorCode.INVALID_ADDRESS),
    (lambda: Approve(TOKEN, RECIPIENT, -1), ErrorCode.INVALID_AMOUNT),
    (lambda: Approve(TOKEN, RECIPIENT, 2**256), ErrorCode.INVALID_AMOUNT),
    (lambda: Batch(()), ErrorCode.VALIDATION_FAILED),
    (lambda: Batch(PARTS[:1]), ErrorCode.VALIDATION_FAILED),
    (lambda: Batch(PARTS[:1] * 21), ErrorCode.VALIDATION_FAILED),
]


@pytest.mark.parametrize(("make", "code"), IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_what_cannot_be_asked_for_cannot_be_built(
    make: Callable[[], object], code: ErrorCode
) -> None:
    with pytest.raises(Refusal) as refusal:
        make()
    assert refusal.value.code is code
    assert refusal.value.hint
    assert NOBODY not in str(refusal.value)


@pytest.mark.parametrize(
    ("chain", "most"), [(ChainType.SOLANA, 2**64 - 1), (ChainType.ETHEREUM, 2**256 - 1)]
)
def test_more_than_half_of_all_there_can_be_is_unlimited(chain: ChainType, most: int) -> None:
    limits = {0: False, most // 2: False, most // 2 + 1: True, most - 1: True, most: True}
    assert {amount: is_unlimited(amount, chain=chain) for amount in limits} == limits
    assert limited_max(chain) == most // 2


A, B, C = (solana_address(bytes([n]) * 32) for n in (1, 2, 3))


def test_what_leaves_is_added_up_by_asset_and_an_approval_moves_nothing() -> None:
    batch = Batch(
        (Transfer(A, 1), TokenTransfer(C, A, 2), Approve(C, B, 4), ContractCall(B, b"", 8))
    )
    assert outflows(batch) == {"native": 9, C: 2}
    assert outflows(Approve(C, B, 4)) == outflows(ContractCall(B, b"")) == {}


@pytest.mark.parametrize("kind", [TokenTransfer, Approve])
def test_a_token_amount_is_held_against_what_its_chain_can_express(kind: Any) -> None:
    fits, too_much = kind(C, A, 2**64 - 1), kind(C, A, 2**64)
    require_expressible(fits, chain=ChainType.SOLANA)
    require_expressible(too_much, chain=ChainType.ETHEREUM)
    require_expressible(Transfer(A, 2**64 - 1), chain=ChainType.SOLANA)
    require_expressible(Transfer(A, 2**256 - 1), chain=ChainType.ETHEREUM)
    for refused in (
        too_much,
        Batch((fits, too_much)),
        Transfer(A, 2**64),
        Transfer(A, 2**256 - 1),
        ContractCall(A, b"", 2**64),
    ):
        with pytest.raises(Refusal, match="18446744073709551615") as refusal:
            require_expressible(refused, chain=ChainType.SOLANA)
        assert refusal.value.code is ErrorCode.INVALID_AMOUNT


def test_a_call_names_valid_accounts_and_not_too_many() -> None:
    account = CallAccount(A, is_signer=False, is_writable=False)
    assert len(ContractCall(B, b"", 0, (account,) * 64).accounts) == 64
    with pytest.raises(Refusal, match="more than 64"):
        ContractCall(B, b"", 0, (account,) * 65)
    with pytest.raises(Refusal, match="`accounts`"):
        CallAccount("alice", is_signer=False, is_writable=False)
