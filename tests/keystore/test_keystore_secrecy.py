"""Canaries: neither the password nor a seed shows where somebody might look or log."""

import base64
import copy
import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey
from solders.keypair import Keypair

from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.keystore import documents, kdf, keyfile
from waiaas.keystore.ed25519 import Ed25519Key
from waiaas.keystore.errors import KeystoreError
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.keystore_key import KeystoreKey
from waiaas.keystore.sealing import frame, seal
from waiaas.keystore.secp256k1 import Secp256k1Key
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore

SEED = bytes(range(200, 232))


def spellings(secret: bytes) -> list[str]:
    """Return how *secret* would look if it leaked into a text."""
    return [
        repr(secret)[2:-1],
        repr(bytearray(secret))[12:-2],
        secret.decode("utf-8", "replace"),
        secret.hex(),
        base64.b64encode(secret).decode(),
        str(list(secret)),
    ]


def holders(keystore: FileKeystore) -> Iterator[object]:
    yield keystore
    yield KeystoreKey(Guarded.copy_of(SEED))
    yield Ed25519Key(Guarded.copy_of(SEED))
    yield Secp256k1Key(Guarded.copy_of(SEED))
    yield kdf.PasswordKeys(commitment=bytes(32), wrapping_key=Guarded.copy_of(SEED))


def test_what_holds_secrets_does_not_show_them(keystore: FileKeystore) -> None:
    for holder in holders(keystore):
        for text in (repr(holder), str(holder), f"{holder}", f"{[holder]}"):
            assert text.strip("[]") == f"<{type(holder).__name__}: contents withheld>"


def test_what_holds_secrets_is_not_copied_out(keystore: FileKeystore) -> None:
    for holder in holders(keystore):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="holds secrets"):
                pickle.dumps(holder, protocol)
        for duplicate in (copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="holds secrets"):
                duplicate(holder)


def test_control_a_signing_key_of_the_library_shows_its_seed() -> None:
    assert any(text in str(SigningKey(SEED)) for text in spellings(SEED))


def test_the_keystore_has_no_method_that_returns_a_key() -> None:
    public = {name for name in dir(FileKeystore) if not name.startswith("_")}
    assert public == {
        *("generate", "holds", "lock", "sign", "store", "unlock", "verify_password"),
        *("count_uses", "is_locked", "has_file"),
        "facts",  # by which the keystore is known again, and no more
        "adopt",  # takes a key, and gives its address back
        "protect_file_key",  # takes the key of a backup, and gives it back sealed
    }


def test_no_file_of_a_keystore_contains_its_password(home: Path, password: bytes) -> None:
    for path in home.iterdir():
        text = path.read_text()
        assert not any(spelling in text for spelling in spellings(password))


def every_error(
    home: Path, keystore: FileKeystore, password: bytes, agents: tuple[AgentId, AgentId]
) -> Iterator[Callable[[], object]]:
    """Yield calls that fail, each with a secret in reach."""
    path = home / "keystore.json"
    content = path.read_bytes()
    yield lambda: create_keystore(home, password)
    yield lambda: create_keystore(home.parent / "short", password[:11])
    yield lambda: create_keystore(home.parent / "no/such/place", password)
    yield lambda: open_keystore(home.parent / "nowhere", password)
    yield lambda: open_keystore(home, password + b"!")
    # A careless person's keystore.json, with the password written into every place.
    leaked = password.decode()
    for text in (
        leaked,
        json.dumps(leaked),
        json.dumps({"version": leaked}),
        json.dumps({"version": 1, leaked: leaked}),
        content.decode().replace("argon2id", leaked),
        content.decode().replace('"passes"', f'"{leaked}"'),
        content.decode().replace('"format"', f'"{leaked}": 1, "format"'),
    ):
        path.write_text(text)
        yield lambda: open_keystore(home, password)
    path.write_bytes(content)
    path.chmod(0o644)
    yield lambda: open_keystore(home, password)
    path.chmod(0o600)
    yield lambda: keystore.store(agents[0])
    yield lambda: keystore.generate(agents[0], chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    leaking = home / f"{agents[0]}.json"
    leaking.write_text(json.dumps({"version": 1, "seed": leaked}))
    yield lambda: keystore.sign(agents[0], b"pay")
    leaking.unlink()  # No run leaves a secret behind (tests/canaries.py).
    keystore.lock()
    yield lambda: keystore.sign(agents[1], b"pay")


def test_no_error_shows_the_password(
    home: Path, keystore: FileKeystore, password: bytes, agents: tuple[AgentId, AgentId]
) -> None:
    count = 0
    for call in every_error(home, keystore, password, agents):
        with pytest.raises(KeystoreError) as caught:
            call()
        error = caught.value
        text = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        assert b"pa55word" in password
        assert "pa55word" not in text
        assert not any(spelling in text for spelling in spellings(password)), text
        count += 1
    assert count == 17


def test_no_error_after_decrypting_shows_the_seed_not_even_with_locals(
    home: Path, keystore: FileKeystore, agents: tuple[AgentId, AgentId]
) -> None:
    """A tool that logs the variables of every frame finds what says nothing of itself."""
    keystore_key = keystore._keystore_key
    assert keystore_key is not None
    wrong = str(Keypair.from_seed(bytes(32)).pubkey())
    facts = (1, agents[0], "solana", "localnet", wrong)
    data_key = Guarded.copy_of(bytes(range(100, 132)))
    file = keyfile.KeyFile(
        format="waiaas agent key",
        version=1,
        agent_id=agents[0],
        chain=ChainType.SOLANA,
        network=NetworkType.LOCALNET,
        public_key=wrong,
        data_key=keystore_key.seal_data_key(data_key, facts=frame("waiaas agent data key", *facts)),
        seed=seal(
            Guarded.copy_of(SEED), sealing_key=data_key, facts=frame("waiaas agent seed", *facts)
        ),
    )
    (home / f"{agents[0]}.json").write_bytes(documents.encode(file))
    with pytest.raises(KeystoreError, match="does not give its public key") as caught:
        keystore.sign(agents[0], b"pay")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [step for step in shown.stack if "waiaas/keystore" in step.filename]
    assert {step.name for step in ours} >= {"sign", "_load", "read"}
    text = "\n".join(value for step in ours for value in (step.locals or {}).values())
    assert "<Guarded: contents withheld>" in text  # the seed
    for secret in (SEED, bytes(range(100, 132))):
        assert not any(spelling in text for spelling in spellings(secret))
