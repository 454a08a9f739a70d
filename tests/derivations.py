"""Argon2id is computed once for the same password, salt and cost in each process of the tests.

It is a function of those alone, and takes a fifth of a second of the processor on purpose. Tests
open copies of one keystore under one password again and again: the second derivation and those
behind it are remembered. What is remembered was computed in full before, by the same library, in
the same process. A test of Argon2id itself has it `computed_anew`.
"""

from hashlib import sha256
from typing import Any, Final

import pytest
from argon2 import low_level

_compute: Final = low_level.core
_known: Final[dict[bytes, bytes]] = {}


def _remembered(context: Any, type: int) -> int:  # noqa: A002 -- its name there
    """Be `argon2.low_level.core`: fill what *context* wants filled, and return 0."""
    ffi = low_level.ffi
    password = bytes(ffi.buffer(context.pwd, context.pwdlen))
    costs = (context.t_cost, context.m_cost, context.lanes, context.version, context.flags, type)
    question = sha256(repr((password, bytes(ffi.buffer(context.salt, context.saltlen)))).encode())
    question.update(repr((costs, context.outlen)).encode())
    asked = question.digest()
    if asked not in _known:
        failure = int(_compute(context, type))
        if failure:
            return failure
        _known[asked] = bytes(ffi.buffer(context.out, context.outlen))
    ffi.memmove(context.out, _known[asked], context.outlen)
    return 0


@pytest.fixture
def computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each derivation computed, also one that was seen before."""
    monkeypatch.setattr(low_level, "core", _compute)


def remember() -> None:
    """Remember derivations from now on."""
    low_level.core = _remembered


def pytest_configure() -> None:
    remember()
