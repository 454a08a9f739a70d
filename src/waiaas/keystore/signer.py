"""The keystore the daemon holds: made once, opened with the password, then it signs.

It knows nothing of transactions, limits or the ledger; who may ask for a signature is decided
before it is asked. It has no method that returns a key.
"""

import threading
from hashlib import sha256
from pathlib import Path

from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.keystore import backup_key, documents, keyfile, vault
from waiaas.keystore.agent_key import AgentKey
from waiaas.keystore.errors import (
    AgentKeyExists,
    DamagedKeystore,
    DuplicateKey,
    FileAlreadyExists,
    KeystoreError,
    KeystoreExists,
    KeystoreLocked,
    NothingToStore,
    UnknownAgent,
)
from waiaas.keystore.files import PrivateDirectory
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.keystore_key import KeystoreKey
from waiaas.keystore.libsodium import libsodium
from waiaas.keystore.protection import UnderKeystore
from waiaas.keystore.sealed_files import is_whole_key_file
from waiaas.keystore.sealing import seal
from waiaas.keystore.secrecy import SecretHolder
from waiaas.ports import KeystoreFacts


def create_keystore(directory: Path, password: Guarded | bytes) -> KeystoreFacts:
    """Make a keystore in *directory*, which is made too if only its parent exists.

    Returns:
        By what it is known again.

    Raises:
        PasswordRefused: the password is shorter than 12 bytes or longer than 1024.
        KeystoreExists: there is a keystore, or agents' keys whose keystore.json was lost: under a
            new one nobody would notice until they are needed.
        KeystoreError: the directory is not private, or could not be written.
    """
    private = PrivateDirectory(directory)
    path = directory / vault.FILE_NAME
    if any(name == vault.FILE_NAME or keyfile.is_file_name(name) for name in private.names()):
        raise KeystoreExists(path)
    content, identity = vault.make(password)
    private.create()
    try:
        private.write_new(vault.FILE_NAME, content)
    except FileAlreadyExists:
        raise KeystoreExists(path) from None
    if private.read(vault.FILE_NAME) != content:
        raise DamagedKeystore(path, problem="it does not read back as it was written")
    return KeystoreFacts(identity, sha256(content).hexdigest())


def open_keystore(directory: Path, password: Guarded | bytes) -> "FileKeystore":
    """Unlock the keystore in *directory*; takes one key derivation, the only one it ever needs.

    Also removes what interrupted writes left behind: no second process may be writing here.

    Raises:
        KeystoreMissing: there is none.
        WrongPassword: the file is whole and the password is not its.
        DamagedKeystore: the file is not whole, whatever the password.
        KeystoreError: it is unsafe, unreadable or of another version, or there is no memory.
    """
    private, opened = vault.read_in(directory)
    keystore_key = vault.unlock(opened, password, path=directory / vault.FILE_NAME)
    private.remove_leftovers()
    return FileKeystore(directory=private, opened=opened, keystore_key=keystore_key)


def open_locked(directory: Path) -> "FileKeystore":
    """Open the keystore in *directory* without its password: it has no key until `unlock`.

    Raises:
        KeystoreMissing, DamagedKeystore, KeystoreError: as `open_keystore`; also if there is no
            guarded memory for the keys to come.
    """
    libsodium()
    private, opened = vault.read_in(directory)
    private.remove_leftovers()
    return FileKeystore(directory=private, opened=opened, keystore_key=None)


class FileKeystore(SecretHolder):
    """The keystore (`waiaas.ports.Keystore`); `open_keystore` makes it, or `open_locked`.

    Every method may be called from any thread, and raises a `KeystoreError` or, for an agent id
    that is no id, a ValueError.
    """

    def __init__(
        self, *, directory: PrivateDirectory, opened: vault.Vault, keystore_key: KeystoreKey | None
    ) -> None:
        self._directory = directory
        # Kept from the moment of opening: were the file asked again, whoever can replace it
        # could log in with a password of their own.
        self._vault = opened
        self._keystore_key = keystore_key
        self._identity = None if keystore_key is None else keystore_key.identity
        self._agent_keys: dict[AgentId, AgentKey] = {}
        self._holders: dict[str, AgentId] = {}
        """Whose key each address is, of those loaded: a copy under another id is not used."""
        # Generated and not yet stored. Sealed already, so that what `store` makes usable is what
        # came back from the disk and not what happened to be in memory.
        self._unstored: dict[AgentId, bytes] = {}
        self._use_count = 0
        self._lock_count = 0
        self._state = threading.Lock()
        # 64 MiB for each derivation: logins that come all at once wait in line.
        self._derivation = threading.Lock()

    def generate(self, agent_id: AgentId, *, chain: ChainType, network: NetworkType) -> str:
        """Make a key in memory and return its address.

        Raises:
            AgentKeyExists: the agent has a key file, or a key waiting for `store`.
        """
        with self._state:
            keystore_key = self._unlocked()
            self._require_no_key(agent_id)
            address, self._unstored[agent_id] = keyfile.make(
                agent_id=agent_id, chain=chain, network=network, keystore_key=keystore_key
            )
            return address

    def adopt(
        self, agent_id: AgentId, seed: Guarded, *, chain: ChainType, network: NetworkType
    ) -> str:
        """Take a key that was made elsewhere, as `generate` makes one; return its address.

        Raises:
            KeyRefused: *seed* is no secret of that chain's curve.
            DuplicateKey: a key file of another agent has it.
            AgentKeyExists: the agent has a key file, or a key waiting for `store`.
            DamagedKeystore: whose key another file holds cannot be told.
        """
        with self._state:
            keystore_key = self._unlocked()
            self._require_no_key(agent_id)
            address, content = keyfile.seal_seed(
                seed, agent_id=agent_id, chain=chain, network=network, keystore_key=keystore_key
            )
            self._require_no_holder(address)
            self._unstored[agent_id] = content
            return address

    def store(self, agent_id: AgentId) -> None:
        """Write the generated key to its sealed file, read the file back, and keep it usable.

        If this raises, the key is still only generated and `store` may be tried again; but a disk
        that failed at the very last step may have kept the file, and then AgentKeyExists follows.

        Raises:
            NothingToStore: no key was generated, or it was stored before.
            AgentKeyExists: a file by that name appeared in the meantime; it is unchanged.
        """
        name = keyfile.file_name(agent_id)
        with self._state:
            self._unlocked()
            content = self._unstored.get(agent_id)
            if content is None:
                raise NothingToStore(agent_id)
            try:
                self._directory.write_new(name, content)
            except FileAlreadyExists:
                raise AgentKeyExists(agent_id) from None
            self._keep(agent_id)
            del self._unstored[agent_id]

    def holds(self, agent_id: AgentId, *, public_key: str) -> bool:
        """Tell whether a readable key file of this agent exists and gives this address.

        The file is read and opened anew. False means missing, damaged or another key; if nothing
        could be learnt (no permission, a failing disk, a newer version), it raises instead.
        """
        with self._state:
            try:
                key = self._load(agent_id)
            except (UnknownAgent, DamagedKeystore):
                return False
            key.free()
            return key.address == public_key

    def has_file(self, agent_id: AgentId, *, public_key: str) -> bool:
        """Tell whether there is a file that says it holds this agent's key, and is whole.

        Asks for no password, so it cannot tell whether the key opens.
        """
        try:
            content = self._directory.read(keyfile.file_name(agent_id))
        except KeystoreError:  # Unsafe or unreadable: the signer will not have it either.
            return False
        return is_whole_key_file(content, agent_id=agent_id, public_key=public_key)

    def verify_password(self, password: Guarded | bytes) -> bool:
        """Tell whether *password* unlocks this keystore; one key derivation at a time.

        Asks nothing of the disk: the answer is about the password that was used to unlock.
        """
        with self._derivation:
            return vault.is_password(self._vault, password)

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        """Return the agent's signature over *payload*.

        On Solana ed25519 (RFC 8032) over any bytes: 64 bytes. On Ethereum ECDSA over secp256k1 of
        a digest of 32 bytes: r, s (the lower one, EIP-2) and the recovery id 0 or 1, 65 bytes.
        The agent's file is read at the first signature and never again.

        Raises:
            UnknownAgent: there is no key of this agent; a generated one is none until stored.
            DamagedKeystore: its file is not what was written.
            DuplicateKey: another agent's is the same.
            PayloadRefused: it is an Ethereum key and *payload* no digest.
            KeystoreLocked: `lock` was called.
        """
        with self._state:
            self._unlocked()
            self._use_count += 1
            key = self._agent_keys.get(agent_id)
            if key is None:
                key = self._keep(agent_id)
        return key.sign(payload)

    @property
    def is_locked(self) -> bool:
        """Whether its keys were dropped."""
        return self._keystore_key is None

    def facts(self) -> KeystoreFacts:
        """Return by what it is known again."""
        content = documents.encode(self._vault)
        return KeystoreFacts(self._identity, sha256(content).hexdigest())

    def count_uses(self) -> int:
        """Return how many signatures were asked for, and how often it was unlocked."""
        return self._use_count

    def unlock(self, password: Guarded | bytes) -> None:
        """Open it again; takes one key derivation. Nothing happens if it is open already.

        Asks nothing of the disk, like `verify_password`. Whoever locks meanwhile wins.

        Raises:
            WrongPassword: *password* is not the one with which it was opened first.
            KeystoreLocked: it was locked while the key was derived.
            KeystoreError: there is no memory.
        """
        lock_count = self._lock_count
        with self._derivation:
            keystore_key = vault.unlock(
                self._vault, password, path=self._directory.path / vault.FILE_NAME
            )
        with self._state:
            if self._lock_count == lock_count:
                self._use_count += 1
                if self._keystore_key is None:
                    self._keystore_key = keystore_key
                    self._identity = keystore_key.identity
                    return
        keystore_key.free()
        if self._lock_count != lock_count:
            raise KeystoreLocked

    def protect_file_key(self, file_key: bytearray, *, facts: bytes) -> UnderKeystore:
        """Return a backup's *file_key*, sealed under the backup key and bound to *facts*.

        The backup key is made, and its file written, when it is first needed.

        Raises:
            DamagedKeystore: backup.json is not what was written.
            KeystoreLocked: `lock` was called.
        """
        path = self._directory.path / backup_key.FILE_NAME
        with self._state:
            keystore_key = self._unlocked()
            content = self._directory.read(backup_key.FILE_NAME)
            if content is None:
                self._directory.write_new(backup_key.FILE_NAME, backup_key.make(keystore_key))
                content = self._directory.read(backup_key.FILE_NAME)
                assert content is not None, "it was written just now"
            key = backup_key.read(content, keystore_key=keystore_key, path=path)
        try:
            sealed = seal(file_key, sealing_key=key, facts=facts)
        finally:
            key.free()
        return UnderKeystore(
            keystore=documents.encode(self._vault), backup_key=content, file_key=sealed
        )

    def lock(self) -> None:
        """Zero every key, and drop generated ones too; a signature under way still ends."""
        with self._state:
            self._lock_count += 1
            if self._keystore_key is not None:
                self._keystore_key.free()
            self._keystore_key = None
            for key in self._agent_keys.values():
                key.free()
            self._agent_keys.clear()
            self._holders.clear()
            self._unstored.clear()

    def _unlocked(self) -> KeystoreKey:
        if self._keystore_key is None:
            raise KeystoreLocked
        return self._keystore_key

    def _require_no_key(self, agent_id: AgentId) -> None:
        name = keyfile.file_name(agent_id)
        if agent_id in self._unstored or name in self._directory.names():
            raise AgentKeyExists(agent_id)

    def _require_no_holder(self, address: str) -> None:
        """Return if no file says that it holds the key of *address*; its word is enough here."""
        for name in filter(keyfile.is_file_name, self._directory.names()):
            content = self._directory.read(name)
            if content is None:
                continue  # It went meanwhile.
            file = keyfile.described(content, path=self._directory.path / name)
            if file.public_key == address:
                raise DuplicateKey(address, holder=AgentId(file.agent_id))

    def _keep(self, agent_id: AgentId) -> AgentKey:
        """Load an agent's key and keep it; the caller holds the lock."""
        key = self._load(agent_id)
        holder = self._holders.setdefault(key.address, agent_id)
        if holder != agent_id:
            key.free()
            raise DuplicateKey(key.address, holder=holder)
        self._agent_keys[agent_id] = key
        return key

    def _load(self, agent_id: AgentId) -> AgentKey:
        """Read and open an agent's file; the caller holds the lock."""
        keystore_key = self._unlocked()
        name = keyfile.file_name(agent_id)
        content = self._directory.read(name)
        if content is None:
            raise UnknownAgent(agent_id)
        return keyfile.read(
            content,
            agent_id=agent_id,
            keystore_key=keystore_key,
            path=self._directory.path / name,
        )
