"""Text that stands for bytes, as a node accepts it in parameters."""

import base64
import binascii
from enum import StrEnum
from typing import Final

from solders.hash import Hash
from solders.message import from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import SanitizeError, VersionedTransaction

from waiaas.chains.localnet.network import AnyMessage

PACKET_BYTES_MAX: Final = 1232
"""The largest transaction that fits a packet of the network."""

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {character: digit for digit, character in enumerate(_BASE58)}

_TEXT_CHARACTERS_MAX: Final = 1683
"""The longest spelling of a packet, which is the one in base58."""


class Encoding(StrEnum):
    """How a transaction is spelled."""

    BASE58 = "base58"
    BASE64 = "base64"


def parsed(kind: type, text: object) -> object:
    """Make a signature, hash or address of its base58 text: a decoding hook for msgspec.

    Raises:
        ValueError: it is not the text of one.
    """
    if not isinstance(text, str):
        raise ValueError("base58 text is expected")  # noqa: TRY004 -- msgspec wants a ValueError
    if kind is Signature:
        return Signature.from_string(text)
    address = Pubkey.from_string(text)
    # A hash is 32 bytes too, and solders' own complaint about its text is not a ValueError.
    return Hash(bytes(address)) if kind is Hash else address


def transaction(text: str, *, encoding: Encoding) -> VersionedTransaction:
    """Read a transaction that is well-formed, whether or not its signatures are right.

    Raises:
        ValueError: it is not one.
    """
    raw = _decoded(text, encoding=encoding)
    found = VersionedTransaction.from_bytes(raw)
    if bytes(found) != raw:
        raise ValueError("there are more bytes than the transaction has")
    try:
        found.sanitize()
    except SanitizeError as error:
        raise ValueError(f"the transaction contradicts itself: {error}") from None
    if not found.signatures:
        raise ValueError("the transaction has no room for a signature")
    return found


def message(text: str) -> AnyMessage:
    """Read a transaction's message from base64.

    Raises:
        ValueError: it is not one.
    """
    found = from_bytes_versioned(_decoded(text, encoding=Encoding.BASE64))
    # One with accounts that are not there would end the process in the runtime.
    blank = [Signature.default()] * found.header.num_required_signatures
    return transaction(
        base64.b64encode(bytes(VersionedTransaction.populate(found, blank))).decode(),
        encoding=Encoding.BASE64,
    ).message


def _decoded(text: str, *, encoding: Encoding) -> bytes:
    if len(text) > _TEXT_CHARACTERS_MAX:
        raise ValueError(f"{len(text)} characters are more than any transaction has")
    raw = _from_base58(text) if encoding is Encoding.BASE58 else _from_base64(text)
    if len(raw) > PACKET_BYTES_MAX:
        raise ValueError(f"{len(raw)} bytes do not fit a packet of {PACKET_BYTES_MAX}")
    return raw


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"it is not base64: {error}") from None


def _from_base58(text: str) -> bytes:
    number = 0
    for character in text:
        digit = _DIGITS.get(character)
        if digit is None:
            raise ValueError("it is not base58")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
