"""An agent's signing key in memory.

For now that is ordinary memory inside PyNaCl, which cannot be wiped: dropping the object is all
that can be done. Guarded memory will replace the inside of this class and nothing else.
"""

from nacl.signing import SigningKey

from waiaas.domain.addresses import solana_address
from waiaas.keystore.secrecy import SecretHolder


class AgentKey(SecretHolder):
    """Signs, and says which address it signs for."""

    __slots__ = ("_signing_key", "address")

    def __init__(self, seed: bytearray) -> None:
        self._signing_key = SigningKey(bytes(seed))
        self.address = solana_address(bytes(self._signing_key.verify_key))

    def sign(self, payload: bytes) -> bytes:
        """Return the 64-byte ed25519 signature (RFC 8032) over *payload*."""
        return self._signing_key.sign(payload).signature
