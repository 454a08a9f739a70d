"""Addresses: the answer that Solana's own library gives, for any text and any key."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from waiaas.domain.addresses import is_solana_address, solana_address

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

WRAPPED_SOL = "So11111111111111111111111111111111111111112"
TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
SYSTEM_PROGRAM = "1" * 32
LARGEST = "JEKNVnkbo3jma5nREBBJCDoXFVeKkD56V3xKrvRmWxFG"
"""The address of 32 bytes of 0xff; the next number needs 33 bytes."""

# fmt: off
REFUSED = {
    "empty":                        "",
    "a word":                       "alice",
    "31 zero bytes":                "1" * 31,
    "33 zero bytes":                "1" * 33,
    "44 zero bytes":                "1" * 44,
    "one character cut":            TOKEN_PROGRAM[:-1],
    "one character more":           TOKEN_PROGRAM + "A",
    "one past the largest":         LARGEST[:-1] + "H",
    "44 of the last letter":        "z" * 44,
    "45 characters":                "1" + "z" * 44,
    "another leading zero byte":    "1" + TOKEN_PROGRAM,
    "zero for o":                   "S0" + WRAPPED_SOL[2:],
    "capital O for o":              "SO" + WRAPPED_SOL[2:],
    "capital I for 1":              WRAPPED_SOL[:-2] + "I2",
    "small l for 1":                WRAPPED_SOL[:-2] + "l2",
    "Cyrillic o":                   "S\u043e" + WRAPPED_SOL[2:],
    "full-width 1":                 WRAPPED_SOL[:-2] + "\uff112",
    "Arabic-Indic digit":           WRAPPED_SOL[:-1] + "٢",
    "a space before":               " " + WRAPPED_SOL,
    "a space behind":               WRAPPED_SOL + " ",
    "a newline behind":             WRAPPED_SOL + "\n",
    "a zero byte behind":           WRAPPED_SOL + "\0",
    "a zero-width space inside":    WRAPPED_SOL[:9] + "\u200b" + WRAPPED_SOL[9:],
    "a lone surrogate":             WRAPPED_SOL[:-1] + "\ud800",
    "an Ethereum address":          "0x" + "52908400098527886E0F7030069857D2E4169EE7",
    "hexadecimal":                  "00" * 32,
}
# fmt: on


def solders_accepts(text: str) -> bool:
    """Return whether the oracle reads *text* as a key and writes the key as *text* again."""
    try:
        return str(Pubkey.from_string(text)) == text
    except ValueError:
        return False


@pytest.mark.parametrize("text", [WRAPPED_SOL, TOKEN_PROGRAM, SYSTEM_PROGRAM, LARGEST])
def test_a_well_known_address_is_accepted_and_spelled_the_same(text: str) -> None:
    assert is_solana_address(text)
    assert solana_address(bytes(Pubkey.from_string(text))) == text


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_only_looks_like_an_address_is_refused(text: str) -> None:
    assert not is_solana_address(text)


def test_a_text_of_megabytes_is_refused_without_being_decoded() -> None:
    assert not is_solana_address("z" * 5_000_000)  # decoding it would take longer than any test may


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_of_another_size_has_no_address(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        solana_address(bytes(size))


def with_leading_zeros(zeros: int, rest: bytes) -> bytes:
    return (bytes(zeros) + rest)[:32].ljust(32, b"\0")


KEYS = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(
        with_leading_zeros,
        st.integers(min_value=0, max_value=32),
        st.binary(min_size=32, max_size=32),
    ),
)


@given(KEYS)
@example(bytes(32))
@example(b"\xff" * 32)
@example(bytes(31) + b"\x01")
def test_a_key_is_spelled_as_the_oracle_spells_it(key: bytes) -> None:
    text = solana_address(key)
    assert text == str(Pubkey.from_bytes(key))
    assert is_solana_address(text)


@given(
    st.one_of(
        st.text(alphabet=ALPHABET, min_size=30, max_size=46),
        st.builds(str.__add__, st.from_regex(r"1{0,34}", fullmatch=True), st.text(ALPHABET)),
        st.text(alphabet=ALPHABET + "0OIl \n", min_size=31, max_size=45),
    )
)
@example(SYSTEM_PROGRAM)
@example(LARGEST)
def test_a_text_is_an_address_exactly_if_the_oracle_reads_it(text: str) -> None:
    assert is_solana_address(text) == solders_accepts(text)


@given(KEYS, st.integers(min_value=0, max_value=43), st.sampled_from(ALPHABET))
def test_a_changed_character_never_spells_the_same_key(key: bytes, at: int, other: str) -> None:
    text = solana_address(key)
    changed = text[:at] + other + text[at + 1 :]
    if is_solana_address(changed):
        assert (bytes(Pubkey.from_string(changed)) == key) == (changed == text)
