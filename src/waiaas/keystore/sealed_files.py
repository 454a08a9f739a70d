"""The keystore's files as they lie on the disk: sealed, so they may be copied as they are."""

from pathlib import Path
from typing import Final

from waiaas.domain.ids import AgentId
from waiaas.keystore import backup_key, keyfile, vault
from waiaas.keystore.errors import (
    DamagedKeystore,
    KeystoreMissing,
    UnknownAgent,
    UnsupportedVersion,
)
from waiaas.keystore.files import FILE_BYTES_MAX, PrivateDirectory

VAULT_NAME: Final = vault.FILE_NAME
SEALED_BYTES_MAX: Final = FILE_BYTES_MAX


def is_sealed_file_name(name: str) -> bool:
    """Tell whether a file of this name belongs to a keystore."""
    return name in {vault.FILE_NAME, backup_key.FILE_NAME} or keyfile.is_file_name(name)


def key_file_name(agent_id: AgentId) -> str:
    """Return the name of the file with an agent's key."""
    return keyfile.file_name(agent_id)


def read_sealed_files(directory: Path) -> dict[str, bytes]:
    """Return every file of the keystore in *directory*, by name; needs no password.

    Raises:
        KeystoreMissing: there is no keystore.json.
        DamagedKeystore: keystore.json is not whole: without it the others are worth nothing.
        KeystoreError: a file is unsafe or cannot be read.
    """
    private = PrivateDirectory(directory)
    files = {}
    for name in sorted(private.names()):
        content = private.read(name) if is_sealed_file_name(name) else None
        if content is not None:
            files[name] = content
    if vault.FILE_NAME not in files:
        raise KeystoreMissing(directory / vault.FILE_NAME)
    vault.read(files[vault.FILE_NAME], path=directory / vault.FILE_NAME)
    return files


def check_vault(directory: Path) -> None:
    """Return if keystore.json in *directory* is whole, as far as can be told without a password.

    Raises:
        KeystoreMissing: there is none.
        DamagedKeystore, UnsupportedVersion: no password opens it here.
        UnsafeFile, FileUnavailable: it was not read.
    """
    path = directory / vault.FILE_NAME
    content = PrivateDirectory(directory).read(vault.FILE_NAME)
    if content is None:
        raise KeystoreMissing(path)
    vault.read(content, path=path)


def check_key_file(directory: Path, *, agent_id: AgentId, public_key: str) -> None:
    """Return if an agent's file in *directory* is whole, as far as can be told without a password.

    Raises:
        UnknownAgent: there is none.
        DamagedKeystore, UnsupportedVersion: it is not whole, or holds another key.
        UnsafeFile, FileUnavailable: it was not read.
    """
    name = keyfile.file_name(agent_id)
    content = PrivateDirectory(directory).read(name)
    if content is None:
        raise UnknownAgent(agent_id)
    _check_content(content, agent_id=agent_id, public_key=public_key, path=directory / name)


def is_whole_key_file(content: bytes | None, *, agent_id: AgentId, public_key: str) -> bool:
    """Tell whether a file says it is this agent's, as far as can be told without a password."""
    if content is None:
        return False
    path = Path(keyfile.file_name(agent_id))
    try:
        _check_content(content, agent_id=agent_id, public_key=public_key, path=path)
    except (DamagedKeystore, UnsupportedVersion):
        return False
    return True


def _check_content(content: bytes, *, agent_id: AgentId, public_key: str, path: Path) -> None:
    file = keyfile.described(content, path=path)
    if (file.agent_id, file.public_key) != (agent_id, public_key):
        raise DamagedKeystore(path, problem="it holds the key of another agent")
