"""Requests: a value that exists was valid when it was made."""

import dataclasses

import pytest

from waiaas.domain.enums import TransactionType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.request import Transfer

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
