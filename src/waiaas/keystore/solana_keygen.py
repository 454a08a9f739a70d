"""The file of `solana-keygen`: a JSON array of 64 numbers, the ed25519 seed and the public key.

Read and written byte for byte in guarded memory: a JSON library would make objects of the numbers.
"""

import ctypes
from typing import Final

from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import ImportProblem
from waiaas.keystore.ed25519 import SEED_BYTES, Ed25519Key
from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.libsodium import libsodium

_NUMBERS: Final = 64
_BYTE_MAX: Final = 255
_DIGITS_MAX: Final = 3
_SPACES: Final = (b" ", b"\t", b"\r", b"\n")
_REMEDY: Final = "Give the file that `solana-keygen` wrote, unchanged."


def seed_of(text: Guarded) -> Guarded:
    """Return the seed in such a file; the caller frees it.

    Raises:
        ImportRefused: it is not such a file, or its public half is not its seed's.
    """
    both = Guarded(_NUMBERS)
    try:
        with text.readable() as source, both.writable() as target:
            if not _read_numbers(source, target):
                raise ImportRefused(
                    "This is no array of 64 numbers from 0 to 255.",
                    remedy=_REMEDY,
                    why=ImportProblem.NOT_THE_FORMAT,
                )
        with both.readable() as view:
            seed = Guarded.copy_of(view[:SEED_BYTES])
            written = solana_address(bytes(view[SEED_BYTES:]))
    finally:
        both.free()
    key = Ed25519Key(seed)
    key.free()
    if key.address != written:
        seed.free()
        raise ImportRefused(
            f"The public half of this key is {written}, which is not what its secret half gives.",
            remedy=_REMEDY,
            why=ImportProblem.CHECKSUM,
        )
    return seed


def text_of(seed: Guarded) -> Guarded:
    """Return what `solana-keygen` would write of *seed*; the caller frees it."""
    both = Guarded(_NUMBERS)
    with seed.readable(), both.writable() as view:
        public_key = ctypes.create_string_buffer(_NUMBERS - SEED_BYTES)
        libsodium().crypto_sign_seed_keypair(public_key, both.address, seed.address)
        assert bytes(view[SEED_BYTES:]) == public_key.raw
    try:
        with both.readable() as numbers:
            size = 1 + sum(len(str(number)) + 1 for number in numbers)
            text = Guarded(size)
            with text.writable() as target:
                place = 0
                for number in numbers:
                    piece = (b"," if place else b"[") + str(number).encode()
                    target[place : place + len(piece)] = piece
                    place += len(piece)
                target[place:] = b"]"
    finally:
        both.free()
    return text


def _read_numbers(source: memoryview, target: memoryview) -> bool:
    """Fill *target* with the numbers of a JSON array; tell whether that is all there is."""
    place = 0
    for count in range(len(target)):
        start = _past(source, place, b"," if count else b"[")
        if start == place:
            return False
        place = start
        number = 0
        while place - start < _DIGITS_MAX and source[place : place + 1].tobytes().isdigit():
            number = 10 * number + source[place] - ord("0")
            place += 1
        has_leading_zero = place - start > 1 and source[start] == ord("0")  # JSON has none.
        if place == start or has_leading_zero or number > _BYTE_MAX:
            return False
        target[count] = number
    end = _past(source, place, b"]")
    return place < end == len(source)


def _past(source: memoryview, place: int, mark: bytes) -> int:
    """Return where it goes on behind *mark* and white space; *place* itself if it is not there."""
    at = _past_space(source, place)
    return _past_space(source, at + 1) if source[at : at + 1] == mark else place


def _past_space(source: memoryview, place: int) -> int:
    while source[place : place + 1].tobytes() in _SPACES:
        place += 1
    return place
