"""The file keystore.json: one random keystore key, sealed under a password. Owns format version 1.

A JSON object (`waiaas.keystore.documents` says how it is spelled: base64, two spaces, one newline)
with these fields, in this order:

    format         the text "waiaas keystore"
    version        the number 1
    kdf            how the password becomes keys:
      algorithm      the text "argon2id" (version 0x13, RFC 9106)
      memory_kib     memory, KiB: 65536 to 1048576
      passes         iterations: 3 to 10
      lanes          parallelism: 4 to 16
      salt           16 bytes
    commitment     32 bytes
    keystore_key   the sealed keystore key:
      nonce          12 bytes
      ciphertext     48 bytes: 32 of AES-256-GCM ciphertext, then the 16-byte tag
    checksum       32 bytes

To open it with a password P (bytes, used as they are):

    root          = Argon2id(P, salt, memory_kib, passes, lanes), 32 bytes
    commitment    = HKDF-Expand-SHA256(root, "waiaas keystore 1 commitment"), 32 bytes;
                    if it is not the one in the file, the password is wrong
    wrapping key  = HKDF-Expand-SHA256(root, "waiaas keystore 1 wrapping"), 32 bytes
    keystore key  = AES-256-GCM open of keystore_key under the wrapping key; associated data:
                    frame("waiaas keystore key", version, algorithm, memory_kib, passes, lanes,
                          salt, commitment)

What the ledger knows a keystore by is not in the file:

    identity      = HKDF-Expand-SHA256(keystore key, "waiaas keystore 1 identity"), 32 bytes

`frame` is `waiaas.keystore.sealing.frame`: each fact as its length (4 bytes, big-endian) and its
bytes; numbers as decimal digits.

The checksum is SHA-256 of the whole file as it would be with an empty checksum (`"checksum": ""`).
It is no protection against an attacker, who can compute it too; it tells a wrong password from a
damaged salt, which nothing else could. The commitment, the seal and the bounds are the protection.
"""

import hmac
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from waiaas.keystore import documents, kdf
from waiaas.keystore.errors import (
    DamagedKeystore,
    KeystoreMissing,
    WrongPassword,
)
from waiaas.keystore.files import PrivateDirectory
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.keystore_key import KeystoreKey, identity_of
from waiaas.keystore.new_password import PASSWORD_BYTES_MAX, check_new_password
from waiaas.keystore.sealing import SealedKey, SealNotValid, frame, seal, unseal

FILE_NAME: Final = "keystore.json"
VERSION: Final = 1

_Bytes32 = Annotated[bytes, msgspec.Meta(min_length=kdf.KEY_BYTES, max_length=kdf.KEY_BYTES)]


class Vault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of keystore.json; nothing in it is secret without the password."""

    format: Literal["waiaas keystore"]
    version: Literal[1]
    kdf: kdf.Parameters
    commitment: _Bytes32
    keystore_key: SealedKey
    checksum: _Bytes32


def make(password: Guarded | bytes) -> tuple[bytes, str]:
    """Return the content of a new keystore.json, and the identity of the new keystore key in it.

    Raises:
        PasswordRefused: the password is shorter than 12 bytes or longer than 1024.
    """
    check_new_password(password)
    root = Guarded.random(kdf.KEY_BYTES)
    try:
        return wrap(root, password, cost=kdf.CURRENT), identity_of(root)
    finally:
        root.free()


def wrap(root: Guarded, password: Guarded | bytes, *, cost: kdf.Cost) -> bytes:
    """Return the content of a keystore.json with the keystore key *root*, under a fresh salt."""
    parameters = kdf.Parameters.current(salt=secrets.token_bytes(kdf.SALT_BYTES), cost=cost)
    password_keys = kdf.derive(password, parameters=parameters)
    try:
        sealed = seal(
            root,
            sealing_key=password_keys.wrapping_key,
            facts=_facts(parameters, commitment=password_keys.commitment),
        )
    finally:
        password_keys.wrapping_key.free()
    vault = Vault(
        format="waiaas keystore",
        version=VERSION,
        kdf=parameters,
        commitment=password_keys.commitment,
        keystore_key=sealed,
        checksum=b"",
    )
    return documents.encode(msgspec.structs.replace(vault, checksum=_checksum(vault)))


def read(content: bytes, *, path: Path) -> Vault:
    """Return what keystore.json says, after every check that needs no password.

    Raises:
        DamagedKeystore, UnsupportedVersion: it is not a whole keystore.json of this version.
    """
    vault = documents.decode(content, into=Vault, version=VERSION, path=path)
    try:
        kdf.check_bounds(vault.kdf)
    except ValueError as error:
        raise DamagedKeystore(path, problem=str(error)) from None
    if vault.checksum != _checksum(vault):
        raise DamagedKeystore(path, problem="its checksum does not match")
    return vault


def read_in(directory: Path) -> tuple[PrivateDirectory, Vault]:
    """Return the keystore in *directory*: its folder, and what its keystore.json says.

    Raises:
        KeystoreMissing: there is none.
        DamagedKeystore, UnsupportedVersion, KeystoreError: as `read`, or it is unsafe, unreadable.
    """
    private, path = PrivateDirectory(directory), directory / FILE_NAME
    content = private.read(FILE_NAME)
    if content is None:
        raise KeystoreMissing(path)
    return private, read(content, path=path)


def unlock(vault: Vault, password: Guarded | bytes, *, path: Path) -> KeystoreKey:
    """Return the keystore key, for its two uses.

    Raises:
        WrongPassword, DamagedKeystore: as `open_root` says.
    """
    root = open_root(vault, password, path=path)
    try:
        return KeystoreKey(root)
    finally:
        root.free()


def open_root(vault: Vault, password: Guarded | bytes, *, path: Path) -> Guarded:
    """Return the keystore key itself, which only a new wrapping needs; the caller frees it.

    Raises:
        WrongPassword: *password* does not give the commitment.
        DamagedKeystore: it does, and the sealed key still does not open: the file was edited.
    """
    password_keys = _matching_keys(vault, password)
    if password_keys is None:
        raise WrongPassword(path)
    try:
        return unseal(
            vault.keystore_key,
            sealing_key=password_keys.wrapping_key,
            facts=_facts(vault.kdf, commitment=vault.commitment),
        )
    except SealNotValid:
        raise DamagedKeystore(path, problem="the sealed keystore key was changed") from None
    finally:
        password_keys.wrapping_key.free()


def is_password(vault: Vault, password: Guarded | bytes) -> bool:
    """Tell whether *password* is the vault's; takes a whole key derivation."""
    password_keys = _matching_keys(vault, password)
    if password_keys is None:
        return False
    password_keys.wrapping_key.free()
    return True


def _matching_keys(vault: Vault, password: Guarded | bytes) -> kdf.PasswordKeys | None:
    """Return the password's keys if it gives the vault's commitment."""
    if len(password) > PASSWORD_BYTES_MAX:
        return None
    password_keys = kdf.derive(password, parameters=vault.kdf)
    if hmac.compare_digest(password_keys.commitment, vault.commitment):
        return password_keys
    password_keys.wrapping_key.free()
    return None


def _facts(parameters: kdf.Parameters, *, commitment: bytes) -> bytes:
    return frame(
        "waiaas keystore key",
        VERSION,
        parameters.algorithm,
        parameters.memory_kib,
        parameters.passes,
        parameters.lanes,
        parameters.salt,
        commitment,
    )


def _checksum(vault: Vault) -> bytes:
    return sha256(documents.encode(msgspec.structs.replace(vault, checksum=b""))).digest()
