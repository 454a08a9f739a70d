"""Keccak-256: the standard's sponge, held against `hashlib`, with Ethereum's padding."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.keccak import SHA3_SUFFIX, keccak256


@given(st.binary(max_size=600))
def test_with_the_standards_padding_it_is_sha3(data: bytes) -> None:
    assert keccak256(data, suffix=SHA3_SUFFIX) == hashlib.sha3_256(data).digest()


@pytest.mark.parametrize("length", [0, 1, 134, 135, 136, 137, 271, 272, 273])
def test_it_is_sha3_also_where_the_padding_is_one_byte_or_a_whole_block(length: int) -> None:
    data = b"\xff" * length
    assert keccak256(data, suffix=SHA3_SUFFIX) == hashlib.sha3_256(data).digest()


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        # The empty account's code hash (Ethereum's Yellow Paper, section 4.1).
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        # The event's topic, as every ERC-20 contract has it.
        (
            b"Transfer(address,address,uint256)",
            "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
        ),
    ],
)
def test_known_hashes_of_ethereum(data: bytes, digest: str) -> None:
    assert keccak256(data).hex() == digest


def test_control_sha3_itself_is_another_hash() -> None:
    assert hashlib.sha3_256(b"").digest() != keccak256(b"")
