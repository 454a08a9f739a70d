"""ed25519 (RFC 8032) by libsodium, on an expanded key in guarded memory."""

import ctypes
from typing import Final

from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import ChainType
from waiaas.keystore.errors import KeyRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.libsodium import libsodium
from waiaas.keystore.secrecy import SecretHolder

SEED_BYTES: Final = 32
_EXPANDED_BYTES: Final = 64
"""libsodium's form of a secret key: the seed, then the public key."""
_PUBLIC_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64

_NO_TRANSACTION: Final = b"waiaas: a new key signs once, to be verified"


class Ed25519Key(SecretHolder):
    """A key of an agent on Solana (`waiaas.keystore.agent_key.AgentKey`)."""

    __slots__ = ("_expanded", "_public_key", "address")

    def __init__(self, seed: Guarded) -> None:
        assert len(seed) == SEED_BYTES
        self._expanded: Final = Guarded(_EXPANDED_BYTES)
        public_key = ctypes.create_string_buffer(_PUBLIC_BYTES)
        with seed.readable(), self._expanded.writable():
            libsodium().crypto_sign_seed_keypair(public_key, self._expanded.address, seed.address)
        self._public_key: Final = public_key.raw
        self.address: Final = solana_address(self._public_key)

    def sign(self, payload: bytes) -> bytes:
        signature = ctypes.create_string_buffer(_SIGNATURE_BYTES)
        with self._expanded.readable():
            libsodium().crypto_sign_detached(
                signature, None, payload, len(payload), self._expanded.address
            )
        return signature.raw

    def prove(self) -> None:
        signature = self.sign(_NO_TRANSACTION)
        if libsodium().crypto_sign_verify_detached(
            signature, _NO_TRANSACTION, len(_NO_TRANSACTION), self._public_key
        ):
            raise KeyRefused(ChainType.SOLANA, problem="its signature does not verify")

    def free(self) -> None:
        self._expanded.free()
