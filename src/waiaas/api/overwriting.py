"""Overwriting text and bytes that were a secret, when nobody needs them any more.

A password comes as text in a JSON body, and Python's objects cannot be changed: what is dropped
stays in memory until something else happens to need just that place. So what is known to have held
one is overwritten where it lies. Its owner does that who made it, and has shared it with nobody.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LENGTH_MIN: Final = 12
"""Of what is overwritten. No master password is shorter; the interpreter shares the shortest."""


def _content_offset(sample: str | bytes, content: bytes) -> int:
    """Return how many bytes into an object its content begins, by looking at one.

    Raises:
        ValueError: it is not there, so this interpreter is none that we know.
    """
    return ctypes.string_at(id(sample), sys.getsizeof(sample)).index(content)


_IN_BYTES: Final = _content_offset(b"a sample", b"a sample")
_IN_ASCII: Final = _content_offset("a sample", b"a sample")
_IN_OTHER_TEXT: Final = _content_offset("a sämple", "a sämple".encode("latin-1"))


def overwrite(secret: str | bytes) -> None:
    """Fill *secret* with zeros, in every place that refers to it; shorter ones are left alone."""
    if len(secret) < _LENGTH_MIN:
        return
    if isinstance(secret, bytes):
        ctypes.memset(id(secret) + _IN_BYTES, 0, len(secret))
    elif secret.isascii():
        ctypes.memset(id(secret) + _IN_ASCII, 0, len(secret))
    else:
        ctypes.memset(id(secret) + _IN_OTHER_TEXT, 0, len(secret) * _width(max(secret)))


@contextmanager
def encoded(password: str) -> Iterator[bytes]:
    """Lend *password* as bytes, which are overwritten afterwards."""
    secret = password.encode()
    try:
        yield secret
    finally:
        overwrite(secret)


def _width(highest: str) -> int:
    """Return in how many bytes the interpreter keeps each character of a text (PEP 393)."""
    if ord(highest) < 1 << 8:
        return 1
    return 2 if ord(highest) < 1 << 16 else 4
