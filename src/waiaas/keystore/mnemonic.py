"""BIP-39: English words to a seed; `waiaas.keystore.derivation` goes on to keys.

The words are checked before anything is derived from them: they are in the list, of a number that
stands for 128 bits or more, and their checksum is right. English words are ASCII, which NFKD leaves
as it is; a passphrase may be anything, and is normalised.

    entropy    what the words spell, 11 bits each, without the checksum: entropy bits / 32 bits
    seed       64 bytes: PBKDF2-HMAC-SHA512(words, one space between, "mnemonic" + passphrase, 2048)
"""

import unicodedata
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from waiaas.domain.enums import ImportProblem
from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded

WORD_BITS: Final = 11
WORD_COUNTS: Final = (12, 15, 18, 21, 24)
"""Of 128, 160, 192, 224 and 256 bits."""

SEED_BYTES: Final = 64
_ROUNDS: Final = 2048
_CHECKSUM_OF_BITS: Final = 33
"""Of so many bits one is the checksum's."""


def entropy_of(mnemonic: Guarded) -> Guarded:
    """Return the 16 to 32 bytes that the words spell; the caller frees them.

    Raises:
        ImportRefused: a word is not in the list, there are too few or too many, or the checksum
            is wrong.
    """
    with mnemonic.readable() as view:
        words = bytes(view).split()
    if len(words) not in WORD_COUNTS:
        raise ImportRefused(
            f"A mnemonic has 12, 15, 18, 21 or 24 words; these are {len(words)}.",
            remedy="Give all of them, in their order. Fewer than 12 are too easily guessed.",
            why=ImportProblem.NOT_THE_FORMAT,
        )
    places = _english()
    number = 0
    for place, word in enumerate(words, start=1):
        if word not in places:
            raise ImportRefused(
                f"Word {place} of the mnemonic is not in the English list of BIP-39.",
                remedy="Look at how it is spelled: small letters, no accents.",
                why=ImportProblem.CHECKSUM,
            )
        number = number << WORD_BITS | places[word]
    checksum_bits = len(words) * WORD_BITS // _CHECKSUM_OF_BITS
    entropy = (number >> checksum_bits).to_bytes(checksum_bits * 4, "big")
    expected = sha256(entropy).digest()[0] >> 8 - checksum_bits
    if number & (1 << checksum_bits) - 1 != expected:
        raise ImportRefused(
            "The words of the mnemonic do not belong together: their checksum is wrong.",
            remedy="Look for a word in the wrong place, or for another word of the list.",
            why=ImportProblem.CHECKSUM,
        )
    return Guarded.copy_of(entropy)


def seed_of(mnemonic: Guarded, passphrase: Guarded) -> Guarded:
    """Return the seed of words that `entropy_of` has accepted; the caller frees it.

    Args:
        mnemonic: the words, with any white space between them.
        passphrase: UTF-8; empty if there is none. Every passphrase gives some seed.

    Raises:
        ImportRefused: the passphrase is not UTF-8.
    """
    with mnemonic.readable() as view:
        words = Guarded.copy_of(b" ".join(bytes(view).split()))
    seed = Guarded(SEED_BYTES)
    try:
        derivation = PBKDF2HMAC(SHA512(), SEED_BYTES, _salt(passphrase), _ROUNDS)
        with words.readable() as source, seed.writable() as target:
            derivation.derive_into(source, target)
    except BaseException:
        seed.free()
        raise
    finally:
        words.free()
    return seed


def _salt(passphrase: Guarded) -> bytes:
    with passphrase.readable() as view:
        try:
            text = str(view, "utf-8")
        except UnicodeDecodeError:
            text = None
    if text is None:
        raise ImportRefused(
            "The passphrase is not UTF-8 text.",
            remedy="Write it in a UTF-8 terminal or file.",
            why=ImportProblem.NOT_THE_FORMAT,
        )
    return ("mnemonic" + unicodedata.normalize("NFKD", text)).encode()


@cache
def _english() -> dict[bytes, int]:
    """Return the places of the 2048 words (bips/bip-0039/english.txt, MIT licence)."""
    listed = (files(__package__) / "bip39_english.txt").read_bytes().split()
    return {word: place for place, word in enumerate(listed)}
