"""The one way out for a key: offline, with the master password, past the signer that has none."""

from pathlib import Path

from waiaas.domain.ids import AgentId
from waiaas.keystore import keyfile, vault
from waiaas.keystore.errors import UnknownAgent
from waiaas.keystore.guarded import Guarded


def read_seed(directory: Path, agent_id: AgentId, password: Guarded | bytes) -> Guarded:
    """Return the secret of an agent's key, in guarded memory; the caller frees it.

    Raises:
        KeystoreMissing, WrongPassword, DamagedKeystore, KeystoreError: as `open_keystore` does.
        UnknownAgent: the agent has no key file.
    """
    private, sealed = vault.read_in(directory)
    name = keyfile.file_name(agent_id)
    content = private.read(name)
    if content is None:
        raise UnknownAgent(agent_id)
    keystore_key = vault.unlock(sealed, password, path=directory / vault.FILE_NAME)
    try:
        return keyfile.read_seed(
            content, agent_id=agent_id, keystore_key=keystore_key, path=directory / name
        )
    finally:
        keystore_key.free()
