"""Files of `solana-keygen`: 64 numbers of which one half must give the other."""

import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.solana_keygen import seed_of, text_of

PAIR: Final = Keypair.from_seed(bytes(range(32)))
NUMBERS: Final = list(bytes(PAIR))
TEXT: Final = PAIR.to_json()


def read(text: str | bytes) -> bytes:
    secret = Guarded.copy_of(text.encode() if isinstance(text, str) else text)
    with seed_of(secret).readable() as view:
        return bytes(view)


@given(seed=st.binary(min_size=32, max_size=32))
def test_what_the_solana_sdk_writes_is_read(seed: bytes) -> None:
    assert read(Keypair.from_seed(seed).to_json()) == seed


@given(seed=st.binary(min_size=32, max_size=32))
def test_what_is_written_is_what_the_solana_sdk_writes(seed: bytes) -> None:
    with text_of(Guarded.copy_of(seed)).readable() as view:
        assert bytes(view).decode() == Keypair.from_seed(seed).to_json()


@pytest.mark.parametrize(
    "text", [json.dumps(NUMBERS), json.dumps(NUMBERS, indent=2), f" \t{TEXT}\r\n"]
)
def test_white_space_is_no_part_of_it(text: str) -> None:
    assert read(text) == bytes(range(32))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", TEXT[1:], TEXT[:-1], TEXT + "]", TEXT + "x", "[" + TEXT,
        json.dumps(NUMBERS[:63]), json.dumps([*NUMBERS, 0]), json.dumps(NUMBERS[:32]),
        json.dumps([256, *NUMBERS[1:]]), json.dumps([-1, *NUMBERS[1:]]),
        json.dumps([0.0, *NUMBERS[1:]]), json.dumps([1000, *NUMBERS[1:]]),
        json.dumps(["0", *NUMBERS[1:]]),
        TEXT.replace("[0,", "[00,"), TEXT.replace("[0,", "[,"), TEXT.replace("[0,1,", "[0 1,"),
        TEXT.replace("]", ",]"), json.dumps({"key": NUMBERS}), b"\xff" + TEXT.encode(), "[" * 4000,
    ],
)  # fmt: skip
def test_whatever_else_is_no_such_file_and_is_not_repeated(text: str | bytes) -> None:
    with pytest.raises(ImportRefused, match="no array of 64 numbers") as refused:
        read(text)
    assert not str(text) or str(text) not in str(refused.value)


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_a_half_that_was_changed_does_not_fit_the_other(place: int) -> None:
    numbers = list(NUMBERS)
    numbers[place] ^= 1
    with pytest.raises(ImportRefused, match="public half"):
        read(json.dumps(numbers))


@given(text=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with pytest.raises(ImportRefused):
        read(text)
