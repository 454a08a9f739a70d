"""What protects a backup: its one random file key, sealed under a password or the backup key.

The header of a backup carries one of these documents, in the clear. That of the second kind brings
keystore.json and backup.json along, because on the machine that restores there may be no keystore
yet: master password -> keystore key -> backup key -> file key. It gives nothing away that a copy of
the keystore's folder would not: everything in it is sealed, in the end under the master password.

    mode           the text "password"
    kdf            how the password becomes keys, as in keystore.json, with a salt of its own
    commitment     32 bytes, as in keystore.json: tells a wrong password from a damaged file
    file_key       the file key, sealed under the password's wrapping key

    mode           the text "keystore"
    keystore       the content of keystore.json
    backup_key     the content of backup.json
    file_key       the file key, sealed under the backup key

Both seals are bound to facts of the backup (associated data); the caller says which.
"""

import hmac
import secrets
from pathlib import Path
from typing import Annotated

import msgspec

from waiaas.keystore import backup_key, kdf, vault
from waiaas.keystore.errors import DamagedKeystore, WrongPassword
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.new_password import PASSWORD_BYTES_MAX, check_new_password
from waiaas.keystore.sealing import SealedKey, SealNotValid, seal, unseal


class UnderPassword(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="password", tag_field="mode"
):
    """A file key under a password that was chosen for this backup."""

    kdf: kdf.Parameters
    commitment: Annotated[bytes, msgspec.Meta(min_length=kdf.KEY_BYTES, max_length=kdf.KEY_BYTES)]
    file_key: SealedKey


class UnderKeystore(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="keystore", tag_field="mode"
):
    """A file key under the backup key of a keystore."""

    keystore: bytes
    backup_key: bytes
    file_key: SealedKey


Protection = UnderPassword | UnderKeystore


def protect_with_password(
    file_key: bytearray, password: Guarded | bytes, *, facts: bytes
) -> UnderPassword:
    """Return *file_key*, sealed under *password*; takes one key derivation.

    Raises:
        PasswordRefused: the password is shorter than 12 bytes or longer than 1024.
    """
    check_new_password(password)
    parameters = kdf.Parameters.current(salt=secrets.token_bytes(kdf.SALT_BYTES))
    keys = kdf.derive(password, parameters=parameters)
    try:
        sealed = seal(file_key, sealing_key=keys.wrapping_key, facts=facts)
    finally:
        keys.wrapping_key.free()
    return UnderPassword(kdf=parameters, commitment=keys.commitment, file_key=sealed)


def open_file_key(
    protection: Protection, password: Guarded | bytes, *, facts: bytes, path: Path
) -> bytearray:
    """Return the file key; takes one key derivation. The caller wipes the key.

    Args:
        protection: from the header of the backup.
        password: the backup's, or the master password of the keystore in the header.
        facts: those it was sealed with.
        path: of the backup, for messages.

    Raises:
        WrongPassword: *password* is not the one.
        DamagedKeystore: it is, and the file key does not open; or a parameter is out of bounds.
    """
    try:
        if isinstance(protection, UnderPassword):
            opened = _open_with_password(protection, password, facts=facts, path=path)
        else:
            opened = _open_with_keystore(protection, password, facts=facts, path=path)
    except SealNotValid:
        raise DamagedKeystore(path, problem="the sealed key in its header was changed") from None
    try:
        with opened.readable() as view:
            return bytearray(view)
    finally:
        opened.free()


def _open_with_password(
    protection: UnderPassword, password: Guarded | bytes, *, facts: bytes, path: Path
) -> Guarded:
    if len(password) > PASSWORD_BYTES_MAX:
        raise WrongPassword(path)
    try:
        keys = kdf.derive(password, parameters=protection.kdf)
    except ValueError as error:
        raise DamagedKeystore(path, problem=str(error)) from None
    try:
        if not hmac.compare_digest(keys.commitment, protection.commitment):
            raise WrongPassword(path)
        return unseal(protection.file_key, sealing_key=keys.wrapping_key, facts=facts)
    finally:
        keys.wrapping_key.free()


def _open_with_keystore(
    protection: UnderKeystore, password: Guarded | bytes, *, facts: bytes, path: Path
) -> Guarded:
    opened = vault.read(protection.keystore, path=path)
    keystore_key = vault.unlock(opened, password, path=path)
    try:
        key = backup_key.read(protection.backup_key, keystore_key=keystore_key, path=path)
    finally:
        keystore_key.free()
    try:
        return unseal(protection.file_key, sealing_key=key, facts=facts)
    finally:
        key.free()
