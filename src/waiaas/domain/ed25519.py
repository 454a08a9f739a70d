"""Which 32 bytes are a public key of ed25519 that somebody can hold (RFC 8032, 5.1 and 5.1.3).

A Solana address may be any 32 bytes: programs own addresses that are no point of the curve, so
that nobody can sign for them. Points of small order have no key either; the System program's
address, all zeros, is one. All numbers here are public, so they need not all take the same time.
"""

from typing import Final

_PRIME: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _PRIME) % _PRIME
_ROOT_OF_MINUS_ONE: Final = pow(2, (_PRIME - 1) // 4, _PRIME)
_COFACTOR_DOUBLINGS: Final = 3
_IDENTITY: Final = (0, 1)


def is_public_key(encoded: bytes) -> bool:
    """Tell whether *encoded*, 32 bytes, is a point of the curve that is not of small order."""
    number = int.from_bytes(encoded, "little")
    x_is_odd, y = number >> 255, number & (2**255 - 1)
    if y >= _PRIME:
        return False
    x = _x_of(y)
    if x is None or (x == 0 and x_is_odd):
        return False
    point = (x, y)  # The other x of this y has the same order.
    for _ in range(_COFACTOR_DOUBLINGS):
        point = _doubled(point)
    return point != _IDENTITY


def _x_of(y: int) -> int | None:
    """Return an x with -x^2 + y^2 = 1 + d x^2 y^2; None if there is none."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME
    root = pow(square, (_PRIME + 3) // 8, _PRIME)
    for candidate in (root, root * _ROOT_OF_MINUS_ONE % _PRIME):
        if candidate * candidate % _PRIME == square:
            return candidate
    return None


def _doubled(point: tuple[int, int]) -> tuple[int, int]:
    x, y = point
    product = _D * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, _PRIME) % _PRIME,
        (y * y + x * x) * pow(1 - product, -1, _PRIME) % _PRIME,
    )
