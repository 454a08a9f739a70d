"""The file <agent id>.json: the secret of one agent's key, sealed. Owns format version 1.

A JSON object (`waiaas.keystore.documents` says how it is spelled: base64, two spaces, one newline)
with these fields, in this order:

    format         the text "waiaas agent key"
    version        the number 1
    agent_id       the agent's UUID, canonical lower-case text; also the file's name
    chain          the text "solana" or "ethereum"
    network        "mainnet", "devnet", "testnet" or "localnet"
    public_key     the address: on Solana base58 of the 32-byte ed25519 public key, on Ethereum
                   the last 20 bytes of the Keccak-256 of the point, spelled as EIP-55 says
    data_key       a random key of this file only, sealed under the keystore's:
      nonce          12 bytes
      ciphertext     48 bytes: 32 of AES-256-GCM ciphertext, then the 16-byte tag
    seed           32 bytes, sealed under data_key: on Solana the ed25519 seed (RFC 8032's private
                   key), on Ethereum the secp256k1 secret scalar, big-endian (SEC 1, section 3.2)
      nonce          12 bytes
      ciphertext     48 bytes, likewise

To open it with the keystore key (`waiaas.keystore.vault`):

    facts(label)   = frame(label, version, agent_id, chain, network, public_key)
    data keys key  = HKDF-Expand-SHA256(keystore key, "waiaas keystore 1 agent data keys"), 32 bytes
    data key       = AES-256-GCM open of data_key under the data keys key;
                     associated data: facts("waiaas agent data key")
    seed           = AES-256-GCM open of seed under the data key;
                     associated data: facts("waiaas agent seed")

The public key that the seed gives must then be the one in the file. `frame` is
`waiaas.keystore.sealing.frame`. The file is written once and never again: a new password rewrites
only keystore.json.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId, is_id
from waiaas.keystore import documents, kdf
from waiaas.keystore.agent_key import AgentKey, open_key
from waiaas.keystore.errors import DamagedKeystore, KeyRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.keystore_key import KeystoreKey
from waiaas.keystore.sealing import SealedKey, SealNotValid, frame, seal, unseal

VERSION: Final = 1


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of an agent's key file; nothing in it is secret without the keystore key."""

    format: Literal["waiaas agent key"]
    version: Literal[1]
    agent_id: str
    chain: ChainType
    network: NetworkType
    public_key: str
    data_key: SealedKey
    seed: SealedKey


def file_name(agent_id: AgentId) -> str:
    """Return the name of an agent's key file.

    Raises:
        ValueError: *agent_id* is no id, and might name a file somewhere else.
    """
    if not is_id(agent_id):
        raise ValueError("an agent's id is the canonical text of a UUID")
    return f"{agent_id}.json"


def is_file_name(name: str) -> bool:
    """Tell whether a file of this name would be an agent's key file."""
    return name.endswith(".json") and is_id(name.removesuffix(".json"))


def make(
    *, agent_id: AgentId, chain: ChainType, network: NetworkType, keystore_key: KeystoreKey
) -> tuple[str, bytes]:
    """Make a new key; return its address and the content of its file, where alone it now is."""
    seed = Guarded.random(kdf.KEY_BYTES)
    try:
        return seal_seed(
            seed, agent_id=agent_id, chain=chain, network=network, keystore_key=keystore_key
        )
    finally:
        seed.free()


def seal_seed(
    seed: Guarded,
    *,
    agent_id: AgentId,
    chain: ChainType,
    network: NetworkType,
    keystore_key: KeystoreKey,
) -> tuple[str, bytes]:
    """Return the address that *seed* gives, and the content of its agent's file.

    The key has signed once before, and the signature was right.

    Raises:
        KeyRefused: *seed* is no secret of that chain's curve.
    """
    key = open_key(seed, chain=chain)
    try:
        key.prove()
        public_key = key.address
    finally:
        key.free()
    described = (VERSION, agent_id, chain, network, public_key)
    data_key = Guarded.random(kdf.KEY_BYTES)
    try:
        file = KeyFile(
            format="waiaas agent key",
            version=VERSION,
            agent_id=agent_id,
            chain=chain,
            network=network,
            public_key=public_key,
            data_key=keystore_key.seal_data_key(
                data_key, facts=frame("waiaas agent data key", *described)
            ),
            seed=seal(seed, sealing_key=data_key, facts=frame("waiaas agent seed", *described)),
        )
    finally:
        data_key.free()
    return public_key, documents.encode(file)


def described(content: bytes, *, path: Path) -> KeyFile:
    """Return what a key file says of itself, which needs no password and proves nothing.

    Raises:
        DamagedKeystore, UnsupportedVersion: it is not a whole key file of this version.
    """
    return documents.decode(content, into=KeyFile, version=VERSION, path=path)


def read(content: bytes, *, agent_id: AgentId, keystore_key: KeystoreKey, path: Path) -> AgentKey:
    """Return the key in a file that must be this agent's; its owner frees it.

    Raises:
        DamagedKeystore: it is not a whole key file, not this agent's or not this keystore's, or
            its key does not give its public key.
        UnsupportedVersion: it is of another version.
    """
    file = described(content, path=path)
    if file.agent_id != agent_id:
        raise DamagedKeystore(path, problem="it is the key file of another agent")
    seed = _unseal_seed(file, keystore_key=keystore_key, path=path)
    try:
        key = open_key(seed, chain=file.chain)
    except KeyRefused:
        raise DamagedKeystore(path, problem="what it holds is no key") from None
    finally:
        seed.free()
    if key.address != file.public_key:
        key.free()
        raise DamagedKeystore(path, problem="its key does not give its public key")
    return key


def read_seed(
    content: bytes, *, agent_id: AgentId, keystore_key: KeystoreKey, path: Path
) -> Guarded:
    """Return the secret itself, which only an export needs; the caller frees it.

    Raises:
        DamagedKeystore, UnsupportedVersion: as `read` does, which looks at all of it first.
    """
    read(content, agent_id=agent_id, keystore_key=keystore_key, path=path).free()
    return _unseal_seed(described(content, path=path), keystore_key=keystore_key, path=path)


def _unseal_seed(file: KeyFile, *, keystore_key: KeystoreKey, path: Path) -> Guarded:
    described = (file.version, file.agent_id, file.chain, file.network, file.public_key)
    try:
        data_key = keystore_key.unseal_data_key(
            file.data_key, facts=frame("waiaas agent data key", *described)
        )
        try:
            return unseal(
                file.seed, sealing_key=data_key, facts=frame("waiaas agent seed", *described)
            )
        finally:
            data_key.free()
    except SealNotValid:
        raise DamagedKeystore(
            path, problem="it was changed, or it belongs to another keystore"
        ) from None
