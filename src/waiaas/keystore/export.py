"""The one way out for a key: offline, with the master password, past the signer that has none."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from waiaas.domain.ids import AgentId
from waiaas.keystore import documents, keyfile, vault
from waiaas.keystore.errors import UnknownAgent
from waiaas.keystore.guarded import Guarded
from waiaas.ports import KeystoreFacts


def read_seed(
    directory: Path,
    agent_id: AgentId,
    password: Guarded | bytes,
    *,
    require_own: Callable[[KeystoreFacts], None],
) -> Guarded:
    """Return the secret of an agent's key, in guarded memory; the caller frees it.

    Args:
        directory: the keystore's.
        agent_id: whose key.
        password: the master password.
        require_own: raises if this is not the keystore that it should be, which it can tell once
            the password was right; nothing is decrypted then.

    Raises:
        KeystoreMissing, WrongPassword, DamagedKeystore, KeystoreError: as `open_keystore` does.
        UnknownAgent: the agent has no key file.
    """
    private, sealed = vault.read_in(directory)
    name = keyfile.file_name(agent_id)
    keystore_key = vault.unlock(sealed, password, path=directory / vault.FILE_NAME)
    try:
        file_sha256 = sha256(documents.encode(sealed)).hexdigest()
        require_own(KeystoreFacts(keystore_key.identity, file_sha256))
        content = private.read(name)
        if content is None:
            raise UnknownAgent(agent_id)
        return keyfile.read_seed(
            content, agent_id=agent_id, keystore_key=keystore_key, path=directory / name
        )
    finally:
        keystore_key.free()
