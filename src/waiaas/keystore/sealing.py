"""Sealing 32-byte keys: AES-256-GCM, bound to facts that may be read but not changed.

A sealed box opens only under the same key and with the same facts. The facts are framed, so that
no two lists of facts give the same bytes: each is preceded by its length, 4 bytes, big-endian.
"""

import secrets
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from waiaas.keystore.guarded import Guarded
from waiaas.keystore.kdf import KEY_BYTES

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class SealNotValid(Exception):  # noqa: N818 -- a finding, which callers turn into an error
    """The box was not sealed with this key and these facts, or was changed since."""


class SealedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A 32-byte key nobody can read or change without another key."""

    nonce: Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    """Random: no sealing key seals often enough (2^32 times) for two to meet."""
    ciphertext: Annotated[
        bytes, msgspec.Meta(min_length=KEY_BYTES + TAG_BYTES, max_length=KEY_BYTES + TAG_BYTES)
    ]
    """32 bytes of ciphertext, then GCM's 16-byte tag."""


def frame(*facts: str | int | bytes) -> bytes:
    """Return *facts* as one byte string from which they could be told apart again.

    Text is UTF-8, a number its decimal digits.
    """
    framed = b""
    for fact in facts:
        content = fact if isinstance(fact, bytes) else str(fact).encode()
        framed += len(content).to_bytes(4, "big") + content
    return framed


def seal(secret: Guarded | bytearray, *, sealing_key: Guarded, facts: bytes) -> SealedKey:
    """Return *secret* sealed under *sealing_key* and bound to framed *facts*."""
    assert len(secret) == len(sealing_key) == KEY_BYTES
    nonce = secrets.token_bytes(NONCE_BYTES)
    with sealing_key.readable() as key, _readable(secret) as plain:
        ciphertext = AESGCM(key).encrypt(nonce, plain, facts)
    _overwrite_traces()
    return SealedKey(nonce=nonce, ciphertext=ciphertext)


def unseal(sealed: SealedKey, *, sealing_key: Guarded, facts: bytes) -> Guarded:
    """Return the secret; its owner frees it.

    Raises:
        SealNotValid: the key, the facts or the box are not those of the sealing.
    """
    secret = Guarded(KEY_BYTES)
    try:
        with sealing_key.readable() as key, secret.writable() as plain:
            AESGCM(key).decrypt_into(sealed.nonce, sealed.ciphertext, facts, plain)
    except InvalidTag:
        secret.free()
        raise SealNotValid from None
    finally:
        _overwrite_traces()
    return secret


_NO_SECRET: Final = bytes(KEY_BYTES)
_NO_NONCE: Final = bytes(NONCE_BYTES)
_NO_BOX: Final = AESGCM(_NO_SECRET).encrypt(_NO_NONCE, _NO_SECRET, None)


def _overwrite_traces() -> None:
    """Do the same again with what is no secret: what it leaves lies where the secret's lay.

    AES leaves round keys on the stack and half of the secret in a register that little else uses.
    The next thread to be started inherits registers, and puts them on its own stack.
    """
    AESGCM(_NO_SECRET).decrypt_into(_NO_NONCE, _NO_BOX, None, bytearray(KEY_BYTES))


def _readable(secret: Guarded | bytearray) -> AbstractContextManager[memoryview | bytearray]:
    return secret.readable() if isinstance(secret, Guarded) else nullcontext(secret)
