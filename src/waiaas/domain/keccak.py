"""Keccak-256, the hash that Ethereum's addresses and messages are made with.

It is SHA-3 (FIPS 202) before its last change: the same sponge and permutation, with 0x01 in place
of 0x06 as the first byte of the padding. `hashlib` has only the standard's form, against which the
tests hold this one. Only public text is hashed here, a kilobyte at a time: 4 ms are no matter.
"""

from typing import Final

_LANE: Final = (1 << 64) - 1
_RATE_BYTES: Final = 136
_DIGEST_BYTES: Final = 32
_ROUNDS: Final = 24

KECCAK_SUFFIX: Final = 0x01
SHA3_SUFFIX: Final = 0x06


def keccak256(data: bytes, *, suffix: int = KECCAK_SUFFIX) -> bytes:
    """Return the 32 bytes of the hash; with `SHA3_SUFFIX`, those of SHA3-256."""
    padding = bytearray(_RATE_BYTES - len(data) % _RATE_BYTES)
    padding[0] = suffix
    padding[-1] |= 0x80
    padded = data + padding
    lanes = [0] * 25
    for start in range(0, len(padded), _RATE_BYTES):
        for lane in range(_RATE_BYTES // 8):
            place = start + 8 * lane
            lanes[lane] ^= int.from_bytes(padded[place : place + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes)[:_DIGEST_BYTES]


def _permuted(lanes: list[int]) -> list[int]:
    """Keccak-f[1600]: the lane of column x and row y stands at x + 5y (FIPS 202, section 3)."""
    for constant in _ROUND_CONSTANTS:
        parity = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        mixed = [parity[(x + 4) % 5] ^ _rotated(parity[(x + 1) % 5], 1) for x in range(5)]
        moved = [0] * 25
        for place, (target, offset) in enumerate(_MOVES):
            moved[target] = _rotated(lanes[place] ^ mixed[place % 5], offset)
        lanes = [
            moved[place]
            ^ (
                ~moved[place - place % 5 + (place + 1) % 5]
                & moved[place - place % 5 + (place + 2) % 5]
            )
            for place in range(25)
        ]
        lanes[0] ^= constant
    return lanes


def _rotated(lane: int, bits: int) -> int:
    return ((lane << bits) | (lane >> (64 - bits))) & _LANE


def _moves() -> list[tuple[int, int]]:
    """Return for each lane where it goes (pi), and rotated by how many bits (rho)."""
    moves = [(0, 0)] * 25
    x, y = 1, 0
    for step in range(24):
        target_x, target_y = y, (2 * x + 3 * y) % 5
        moves[x + 5 * y] = (target_x + 5 * target_y, (step + 1) * (step + 2) // 2 % 64)
        x, y = target_x, target_y
    return moves


def _round_constants() -> list[int]:
    """Return what iota adds: bits of a shift register at the places 2^j - 1."""
    constants = []
    register = 1
    for _ in range(_ROUNDS):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << ((1 << j) - 1)
            register <<= 1
            if register & 0x100:
                register ^= 0x171
        constants.append(constant)
    return constants


_MOVES: Final = _moves()
_ROUND_CONSTANTS: Final = _round_constants()
