"""Keys that are no secret: what people make up, and what tools print as examples."""

import hmac
from typing import Final

from waiaas.domain.enums import ImportProblem
from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded

_DIFFERENT_BYTES_MIN: Final = 8
"""A random key of 128 bits or more has fewer once in 10^9 times; what people make up often does."""

_PUBLISHED: Final = tuple(
    bytes.fromhex(known)
    for known in (
        "df9bf37e6fcdf9bf37e6fcdf9bf37e3c",
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    )
)
"""What the words "test test … junk" stand for, with which Hardhat and anvil begin, and the keys of
its first two accounts, which both print: on a real network they are emptied at once."""


def require_unguessable(secret: Guarded) -> None:
    """Return unless *secret* is what people try first: a few bytes repeated, or a known example.

    Args:
        secret: a seed, a scalar, or the number that a mnemonic spells; freed if it is refused.

    Raises:
        ImportRefused: GUESSABLE.
    """
    with secret.readable() as view:
        is_repeated = len(set(view)) < _DIFFERENT_BYTES_MIN
        is_published = any(hmac.compare_digest(view, known) for known in _PUBLISHED)
    if is_repeated or is_published:
        secret.free()
        raise ImportRefused(
            "This key is known to everybody: tools print it as an example."
            if is_published
            else "This key is guessed easily: it repeats a few bytes.",
            remedy="Money on it is taken by whoever tries. Use a key that was made at random.",
            why=ImportProblem.GUESSABLE,
        )
