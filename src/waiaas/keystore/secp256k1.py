"""ECDSA over secp256k1 by the libsecp256k1 that coincurve ships, on a scalar in guarded memory.

Through its C functions, because coincurve's own objects keep the secret as `bytes`. Nonces are
deterministic (RFC 6979), the library's default; of the two values of s it gives the lower one.
"""

from importlib import import_module
from typing import Any, Final

import coincurve
from coincurve.context import GLOBAL_CONTEXT

from waiaas.domain.enums import ChainType
from waiaas.domain.evm_address import evm_address
from waiaas.domain.keccak import keccak256
from waiaas.keystore.errors import KeyRefused, PayloadRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.secrecy import SecretHolder

SECRET_BYTES: Final = 32
DIGEST_BYTES: Final = 32
_COMPACT_BYTES: Final = 64
_COMPRESSED_BYTES: Final = 33
"""A compressed point: the byte 2 or 3, then one coordinate."""
_POINT_BYTES: Final = 65
"""An uncompressed point: the byte 4, then two coordinates (SEC 1, section 2.3.3)."""

_bindings: Final = import_module("coincurve._libsecp256k1")  # Compiled, and without types.
ffi: Final[Any] = _bindings.ffi
lib: Final[Any] = _bindings.lib

_NO_TRANSACTION: Final = b"waiaas: a new key signs once, to be verified"


class Secp256k1Key(SecretHolder):
    """A key of an agent on Ethereum (`waiaas.keystore.agent_key.AgentKey`)."""

    __slots__ = ("_secret", "address")

    def __init__(self, secret: Guarded) -> None:
        assert len(secret) == SECRET_BYTES
        point = ffi.new("secp256k1_pubkey *")
        with secret.readable() as view:
            made = lib.secp256k1_ec_pubkey_create(GLOBAL_CONTEXT.ctx, point, _pointer(secret))
            if not made:
                raise KeyRefused(ChainType.ETHEREUM, problem="it is 0, or past the curve's order")
            self._secret: Final = Guarded.copy_of(view)
        self.address: Final = _address(point)

    def sign(self, payload: bytes) -> bytes:
        if len(payload) != DIGEST_BYTES:
            raise PayloadRefused(expected="a digest of 32 bytes")
        signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        with self._secret.readable():
            signed = lib.secp256k1_ecdsa_sign_recoverable(
                GLOBAL_CONTEXT.ctx, signature, payload, _pointer(self._secret), ffi.NULL, ffi.NULL
            )
        assert signed, "the scalar was in range when it came here"
        compact, recovery_id = ffi.new("unsigned char [64]"), ffi.new("int *")
        lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(
            GLOBAL_CONTEXT.ctx, compact, recovery_id, signature
        )
        return bytes(ffi.buffer(compact, _COMPACT_BYTES)) + bytes([recovery_id[0]])

    def prove(self) -> None:
        digest = keccak256(_NO_TRANSACTION)
        signer = coincurve.PublicKey.from_signature_and_message(
            self.sign(digest), digest, hasher=None
        )
        if evm_address(signer.format(compressed=False)[1:]) != self.address:
            raise KeyRefused(ChainType.ETHEREUM, problem="its signature does not verify")

    def free(self) -> None:
        self._secret.free()


def is_secret(secret: Guarded) -> bool:
    """Tell whether the first 32 bytes are a scalar that is a key: not 0, and below the order."""
    with secret.readable():
        return bool(lib.secp256k1_ec_seckey_verify(GLOBAL_CONTEXT.ctx, _pointer(secret)))


def add(secret: Guarded, other: Guarded) -> bool:
    """Add the scalar in the first 32 bytes of *other* to the one in *secret*, modulo the order.

    Returns False, and leaves no key there, if the other is past the order or the sum is 0.
    """
    with other.readable(), secret.writable():
        return bool(
            lib.secp256k1_ec_seckey_tweak_add(GLOBAL_CONTEXT.ctx, _pointer(secret), _pointer(other))
        )


def compressed_point(secret: Guarded) -> bytes:
    """Return the public key of a secret that `is_secret`, in 33 bytes (SEC 1, section 2.3.3)."""
    point = ffi.new("secp256k1_pubkey *")
    with secret.readable():
        made = lib.secp256k1_ec_pubkey_create(GLOBAL_CONTEXT.ctx, point, _pointer(secret))
    assert made, "who calls knows that it is a key"
    return _serialized(point, _COMPRESSED_BYTES, lib.SECP256K1_EC_COMPRESSED)


def _pointer(secret: Guarded) -> object:
    return ffi.cast("unsigned char *", secret.address)


def _address(point: object) -> str:
    return evm_address(_serialized(point, _POINT_BYTES, lib.SECP256K1_EC_UNCOMPRESSED)[1:])


def _serialized(point: object, size: int, form: object) -> bytes:
    serialized = ffi.new("unsigned char []", size)
    length = ffi.new("size_t *", size)
    lib.secp256k1_ec_pubkey_serialize(GLOBAL_CONTEXT.ctx, serialized, length, point, form)
    return bytes(ffi.buffer(serialized, size))
