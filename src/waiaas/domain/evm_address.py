"""Ethereum's addresses: 20 bytes in hexadecimal, with EIP-55's checksum in the case of letters.

A spelling without the checksum, all lower case, is refused: it cannot show a slip of the pen.
"""

import re
from typing import Final

from waiaas.domain.keccak import keccak256

_HEX_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_UPPER_FROM: Final = 8


def is_evm_address(text: str) -> bool:
    """Tell whether *text* is an address in the one spelling that EIP-55 gives it."""
    return _HEX_ADDRESS.fullmatch(text) is not None and text == _checksummed(text[2:].lower())


def evm_address(public_key: bytes) -> str:
    """Return the address of a public key: the 64 bytes of its point, without a prefix."""
    if len(public_key) != 64:  # noqa: PLR2004 -- two coordinates of 32 bytes
        raise ValueError("a secp256k1 point has 64 bytes")
    return _checksummed(keccak256(public_key)[-20:].hex())


def _checksummed(digits: str) -> str:
    """A letter stands in upper case where the hash of the lower-case text has 8 or more."""
    hashed = keccak256(digits.encode("ascii")).hex()
    pairs = zip(digits, hashed, strict=False)
    return "0x" + "".join(d.upper() if int(h, 16) >= _UPPER_FROM else d for d, h in pairs)
