"""The file backup.json: the key of unattended backups, sealed. Owns format version 1.

A backup that nobody types a password for is protected by this key, which the unlocked keystore can
use. A JSON object (`waiaas.keystore.documents` says how it is spelled) with these fields, in this
order:

    format         the text "waiaas backup key"
    version        the number 1
    backup_key     32 random bytes, sealed under the keystore's:
      nonce          12 bytes
      ciphertext     48 bytes: 32 of AES-256-GCM ciphertext, then the 16-byte tag

To open it with the keystore key (`waiaas.keystore.vault`):

    backup keys key = HKDF-Expand-SHA256(keystore key, "waiaas keystore 1 backup keys"), 32 bytes
    backup key      = AES-256-GCM open of backup_key under the backup keys key;
                      associated data: frame("waiaas backup key", version)

The file is made when it is first needed and never changed: backups that exist depend on it.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from waiaas.keystore import documents, kdf
from waiaas.keystore.errors import DamagedKeystore
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.keystore_key import KeystoreKey
from waiaas.keystore.sealing import SealedKey, SealNotValid, frame

FILE_NAME: Final = "backup.json"
VERSION: Final = 1

_FACTS: Final = frame("waiaas backup key", VERSION)


class BackupKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of backup.json; nothing in it is secret without the keystore key."""

    format: Literal["waiaas backup key"]
    version: Literal[1]
    backup_key: SealedKey


def make(keystore_key: KeystoreKey) -> bytes:
    """Return the content of a backup.json with a new key, which is nowhere else."""
    backup_key = Guarded.random(kdf.KEY_BYTES)
    try:
        sealed = keystore_key.seal_backup_key(backup_key, facts=_FACTS)
    finally:
        backup_key.free()
    return documents.encode(
        BackupKeyFile(format="waiaas backup key", version=VERSION, backup_key=sealed)
    )


def read(content: bytes, *, keystore_key: KeystoreKey, path: Path) -> Guarded:
    """Return the backup key in a file that must be this keystore's; the caller frees it.

    Raises:
        DamagedKeystore: it is not a whole backup.json, or another keystore's.
        UnsupportedVersion: it is of another version.
    """
    file = documents.decode(content, into=BackupKeyFile, version=VERSION, path=path)
    try:
        return keystore_key.unseal_backup_key(file.backup_key, facts=_FACTS)
    except SealNotValid:
        raise DamagedKeystore(
            path, problem="it was changed, or it belongs to another keystore"
        ) from None
