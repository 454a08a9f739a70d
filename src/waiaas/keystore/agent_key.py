"""An agent's signing key: one kind for each chain, in guarded memory, never handed out."""

from typing import Protocol

from waiaas.domain.enums import ChainType
from waiaas.keystore.ed25519 import Ed25519Key
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.secp256k1 import Secp256k1Key


class AgentKey(Protocol):
    """Signs, and says which address it signs for."""

    @property
    def address(self) -> str:
        """The public key as the chain spells it."""

    def sign(self, payload: bytes) -> bytes:
        """Return the signature over *payload*.

        Raises:
            PayloadRefused: this kind of key signs something else.
            KeystoreLocked: it was freed.
        """

    def prove(self) -> None:
        """Sign something that is no transaction, and verify the signature with the address.

        Raises:
            KeyRefused: it does not verify.
        """

    def free(self) -> None:
        """Zero the key."""


def open_key(seed: Guarded, *, chain: ChainType) -> AgentKey:
    """Return the key that *seed* gives; it keeps a copy.

    Raises:
        KeyRefused: *seed* is no secret of that chain's curve.
    """
    match chain:
        case ChainType.SOLANA:
            return Ed25519Key(seed)
        case ChainType.ETHEREUM:
            return Secp256k1Key(seed)
