"""The unlocked keystore key: it seals and opens data keys, and is never handed out."""

from typing import Final

from waiaas.keystore import kdf
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.sealing import SealedKey, seal, unseal
from waiaas.keystore.secrecy import SecretHolder

_DATA_KEYS_LABEL: Final = b"waiaas keystore 1 agent data keys"
_BACKUP_KEYS_LABEL: Final = b"waiaas keystore 1 backup keys"
_IDENTITY_LABEL: Final = b"waiaas keystore 1 identity"


def identity_of(root: Guarded) -> str:
    """Return by what the keystore key *root* is known again, in hexadecimal; it is no secret.

    Nothing can be learnt from it of the key, nor of the keys made of it: each has its own label.
    """
    expanded = kdf.expand(root, label=_IDENTITY_LABEL)
    try:
        with expanded.readable() as view:
            return view.hex()
    finally:
        expanded.free()


class KeystoreKey(SecretHolder):
    """What unlocking gives. Holds one key for each of its two uses, not the root of them."""

    __slots__ = ("_backup_keys_key", "_data_keys_key", "identity")

    def __init__(self, root: Guarded) -> None:
        self.identity: Final = identity_of(root)
        self._data_keys_key = kdf.expand(root, label=_DATA_KEYS_LABEL)
        self._backup_keys_key = kdf.expand(root, label=_BACKUP_KEYS_LABEL)

    def seal_data_key(self, data_key: Guarded, *, facts: bytes) -> SealedKey:
        """Return *data_key*, sealed and bound to *facts*."""
        return seal(data_key, sealing_key=self._data_keys_key, facts=facts)

    def unseal_data_key(self, sealed: SealedKey, *, facts: bytes) -> Guarded:
        """Return a data key; the caller frees it.

        Raises:
            SealNotValid: it was sealed by another keystore or with other facts, or changed since.
        """
        return unseal(sealed, sealing_key=self._data_keys_key, facts=facts)

    def seal_backup_key(self, backup_key: Guarded, *, facts: bytes) -> SealedKey:
        """Return *backup_key*, sealed and bound to *facts*."""
        return seal(backup_key, sealing_key=self._backup_keys_key, facts=facts)

    def unseal_backup_key(self, sealed: SealedKey, *, facts: bytes) -> Guarded:
        """Return the backup key; the caller frees it.

        Raises:
            SealNotValid: it was sealed by another keystore or with other facts, or changed since.
        """
        return unseal(sealed, sealing_key=self._backup_keys_key, facts=facts)

    def free(self) -> None:
        """Zero the keys; whatever is asked of the object afterwards raises KeystoreLocked."""
        self._data_keys_key.free()
        self._backup_keys_key.free()
