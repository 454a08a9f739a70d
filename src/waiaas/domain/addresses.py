"""Addresses: what each chain accepts as one, decided before anything is stored.

A Solana address is a 32-byte key in base58 (the Bitcoin alphabet). Decoding is exact: the text
must be the one that encoding the 32 bytes gives, so one account has one spelling.
"""

from functools import lru_cache
from typing import Final

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT: Final = {character: value for value, character in enumerate(_ALPHABET)}

SOLANA_ADDRESS_BYTES: Final = 32
SOLANA_ADDRESS_CHARACTERS_MIN: Final = 32
SOLANA_ADDRESS_CHARACTERS_MAX: Final = 44
ANSWERS_KEPT_MAX: Final = 1024
"""How many texts are kept with what they are; the least used makes room."""


def is_solana_address(text: str) -> bool:
    """Tell whether *text* is the base58 spelling of exactly 32 bytes."""
    if not SOLANA_ADDRESS_CHARACTERS_MIN <= len(text) <= SOLANA_ADDRESS_CHARACTERS_MAX:
        return False
    return _spells_an_address(text)


@lru_cache(maxsize=ANSWERS_KEPT_MAX)  # The same few are paid again and again.
def _spells_an_address(text: str) -> bool:
    decoded = base58_bytes(text)
    return decoded is not None and len(decoded) == SOLANA_ADDRESS_BYTES


def base58_bytes(text: str) -> bytes | None:
    """Return what *text* spells in base58; None if it does not. Time grows with its square."""
    number = 0
    for character in text:
        digit = _DIGIT.get(character)
        if digit is None:
            return None
        number = number * 58 + digit
    leading_zero_bytes = len(text) - len(text.lstrip("1"))
    significant_bytes = (number.bit_length() + 7) // 8
    return number.to_bytes(leading_zero_bytes + significant_bytes, "big")


def solana_address(public_key: bytes) -> str:
    """Return the address of a 32-byte public key."""
    if len(public_key) != SOLANA_ADDRESS_BYTES:
        raise ValueError("a Solana public key has 32 bytes")
    number = int.from_bytes(public_key, "big")
    characters = ""
    while number:
        number, digit = divmod(number, 58)
        characters = _ALPHABET[digit] + characters
    return "1" * (len(public_key) - len(public_key.lstrip(b"\0"))) + characters
