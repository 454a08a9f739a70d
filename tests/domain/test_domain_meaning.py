"""A request as text: read back exactly, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.addresses import solana_address
from waiaas.domain.meaning import read_request, write_request
from waiaas.domain.programs import COVERED_PROGRAMS
from waiaas.domain.request import (
    Approve,
    Batch,
    CallAccount,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
)

A, B, C = (solana_address(bytes([n]) * 32) for n in (1, 2, 3))

addresses = (
    st.binary(min_size=32, max_size=32)
    .map(solana_address)
    .filter(lambda text: text not in COVERED_PROGRAMS)
)
amounts = st.integers(1, 2**256 - 1)
parts = st.one_of(
    st.builds(Transfer, addresses, amounts),
    st.builds(TokenTransfer, addresses, addresses, amounts),
    st.builds(Approve, addresses, addresses, st.integers(0, 2**256 - 1)),
    st.builds(
        ContractCall,
        addresses,
        st.binary(max_size=40),
        st.integers(0, 2**256 - 1),
        st.lists(st.builds(CallAccount, addresses, st.booleans(), st.booleans()), max_size=3).map(
            tuple
        ),
    ),
)
requests = st.one_of(
    parts, st.builds(Batch, st.lists(parts, min_size=2, max_size=4).map(lambda found: (*found,)))
)


@given(requests)
def test_what_is_written_reads_back_as_the_same_request(request: Request) -> None:
    assert read_request(write_request(request)) == request


@given(requests, requests)
def test_requests_have_one_text_exactly_if_they_are_equal(one: Request, other: Request) -> None:
    assert (write_request(one) == write_request(other)) is (one == other)


TRANSFER = write_request(Transfer(A, 5))
CALL = ContractCall(A, b"x", 0, (CallAccount(B, is_signer=False, is_writable=True),))


def test_the_text_is_canonical_and_named_as_the_api_names_it() -> None:
    assert TRANSFER == '{"amount":"5","to":"' + A + '","type":"TRANSFER"}'
    assert json.loads(write_request(CALL)) == {
        "type": "CONTRACT_CALL",
        "programId": A,
        "instructionData": "eA==",
        "value": "0",
        "accounts": [{"pubkey": B, "isSigner": False, "isWritable": True}],
    }


def changed(text: str, **members: Any) -> str:
    return json.dumps({**json.loads(text), **members}, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        TRANSFER + " ",
        changed(TRANSFER, type="PAY"),
        changed(TRANSFER, type="BATCH"),
        changed(TRANSFER, amount="05"),
        changed(TRANSFER, amount=5),
        changed(TRANSFER, amount="0"),
        changed(TRANSFER, to=None),
        changed(TRANSFER, to="alice"),
        changed(TRANSFER, memo="hi"),
        changed(write_request(CALL), instructionData="eA="),
        changed(write_request(CALL), accounts=[{}]),
        changed(write_request(CALL), accounts=5),
        changed(write_request(Batch((Transfer(A, 1), CALL))), instructions=[]),
        changed(
            write_request(Batch((Transfer(A, 1), CALL))),
            instructions=[{"type": "BATCH", "instructions": []}] * 2,
        ),
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the text is not"):
        read_request(text)
