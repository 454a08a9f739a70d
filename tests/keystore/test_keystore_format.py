"""The files as their documentation describes them, to somebody who has only that.

The decoder and writer below share no code with the program: another Argon2 (OpenSSL's), another
AES-GCM (libsodium's), HKDF by hand, another JSON library. What they read and write proves the
documentation; what they forge proves the protections.
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import coincurve
import msgspec
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_aes256gcm_decrypt, crypto_aead_aes256gcm_encrypt
from nacl.exceptions import CryptoError
from solders.keypair import Keypair

from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.evm_address import evm_address
from waiaas.domain.ids import AgentId
from waiaas.keystore import documents, kdf, keyfile, vault
from waiaas.keystore.errors import (
    DamagedKeystore,
    DuplicateKey,
    KeystoreError,
    UnsupportedVersion,
    WrongPassword,
)
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.keystore_key import KeystoreKey
from waiaas.keystore.sealing import frame
from waiaas.keystore.signer import FileKeystore, open_keystore

Agents = tuple[AgentId, AgentId]
Addresses = dict[AgentId, str]
Fields = dict[str, Any]
Edit = Callable[[Fields], object]

# ── a stranger's implementation ────────────────────────────────────────────────────────────────


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def spelled(fields: Fields) -> bytes:
    return json.dumps(fields, indent=2, ensure_ascii=False).encode() + b"\n"


def expanded(key: bytes, label: str) -> bytes:
    return hmac.digest(key, label.encode() + b"\x01", "sha256")


def framed(*facts: object) -> bytes:
    contents = [fact if isinstance(fact, bytes) else str(fact).encode() for fact in facts]
    return b"".join(len(content).to_bytes(4, "big") + content for content in contents)


def opened(sealed: Fields, *, key: bytes, facts: bytes) -> bytes:
    nonce, ciphertext = unb64(sealed["nonce"]), unb64(sealed["ciphertext"])
    return crypto_aead_aes256gcm_decrypt(ciphertext, facts, nonce, key)


def sealed(secret: bytes, *, key: bytes, facts: bytes) -> Fields:
    nonce = secrets.token_bytes(12)
    ciphertext = crypto_aead_aes256gcm_encrypt(secret, facts, nonce, key)
    return {"nonce": b64(nonce), "ciphertext": b64(ciphertext)}


def with_checksum(fields: Fields) -> Fields:
    digest = hashlib.sha256(spelled({**fields, "checksum": ""})).digest()
    return {**fields, "checksum": b64(digest)}


def keystore_root(fields: Fields, password: bytes) -> bytes:
    """Return the keystore key inside keystore.json."""
    assert with_checksum(fields) == fields
    kdf = fields["kdf"]
    root = Argon2id(
        salt=unb64(kdf["salt"]),
        length=32,
        iterations=kdf["passes"],
        lanes=kdf["lanes"],
        memory_cost=kdf["memory_kib"],
    ).derive(password)
    commitment = expanded(root, "waiaas keystore 1 commitment")
    assert b64(commitment) == fields["commitment"]
    facts = framed("waiaas keystore key", fields["version"], *list(kdf.values())[:-1])
    facts += framed(unb64(kdf["salt"]), commitment)
    wrapping = expanded(root, "waiaas keystore 1 wrapping")
    return opened(fields["keystore_key"], key=wrapping, facts=facts)


def described(fields: Fields, label: str) -> bytes:
    names = ("version", "agent_id", "chain", "network", "public_key")
    return framed(label, *(fields[name] for name in names))


def no_facts(_fields: Fields, _label: str) -> bytes:
    """What a naive keystore binds its keys to."""
    return b""


def seed_in(fields: Fields, root: bytes, *, facts: Callable[[Fields, str], bytes]) -> bytes:
    data_keys_key = expanded(root, "waiaas keystore 1 agent data keys")
    data_key = opened(
        fields["data_key"], key=data_keys_key, facts=facts(fields, "waiaas agent data key")
    )
    return opened(fields["seed"], key=data_key, facts=facts(fields, "waiaas agent seed"))


def agent_file(
    agent_id: AgentId,
    seed: bytes,
    root: bytes,
    *,
    facts: Callable[[Fields, str], bytes] = described,
    **changed: object,
) -> Fields:
    fields: Fields = {
        "format": "waiaas agent key",
        "version": 1,
        "agent_id": agent_id,
        "chain": "solana",
        "network": "localnet",
        "public_key": str(Keypair.from_seed(seed).pubkey()),
        **changed,
    }
    data_key = secrets.token_bytes(32)
    data_keys_key = expanded(root, "waiaas keystore 1 agent data keys")
    return {
        **fields,
        "data_key": sealed(
            data_key, key=data_keys_key, facts=facts(fields, "waiaas agent data key")
        ),
        "seed": sealed(seed, key=data_key, facts=facts(fields, "waiaas agent seed")),
    }


@pytest.fixture(scope="session")
def root(original: tuple[Path, Addresses], password: bytes) -> bytes:
    """The keystore key of the files every test copies, as the stranger finds it."""
    return keystore_root(json.loads((original[0] / "keystore.json").read_bytes()), password)


def edited(path: Path, edit: Edit, *, finish: Callable[[Fields], Fields] = lambda f: f) -> None:
    fields = json.loads(path.read_bytes())
    edit(fields)
    path.write_bytes(spelled(finish(fields)))


# ── the documentation is enough ────────────────────────────────────────────────────────────────


def test_a_stranger_reads_what_we_write(
    home: Path, root: bytes, keystore: FileKeystore, agents: Agents, addresses: Addresses
) -> None:
    for agent_id in agents:
        fields = json.loads((home / f"{agent_id}.json").read_bytes())
        pair = Keypair.from_seed(seed_in(fields, root, facts=described))
        assert str(pair.pubkey()) == fields["public_key"] == addresses[agent_id]
        assert bytes(pair.sign_message(b"pay")) == keystore.sign(agent_id, b"pay")


def test_no_file_shares_a_key_or_a_nonce_with_another(home: Path, root: bytes) -> None:
    nonces, secrets_found = [], [root]
    for path in home.glob("0*.json"):
        fields = json.loads(path.read_bytes())
        nonces += [fields["data_key"]["nonce"], fields["seed"]["nonce"]]
        secrets_found.append(seed_in(fields, root, facts=described))
        key = expanded(root, "waiaas keystore 1 agent data keys")
        facts = described(fields, "waiaas agent data key")
        secrets_found.append(opened(fields["data_key"], key=key, facts=facts))
    assert len(set(nonces)) == 4
    assert len(set(secrets_found)) == 5


RFC_8032: Final = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        hashlib.sha512(b"abc").hexdigest(),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
            "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
]
"""Section 7.1, tests 1, 2, 3 and SHA(abc): seed, message, signature."""


def test_a_key_that_a_stranger_sealed_signs_as_rfc_8032_says(
    home: Path, keystore: FileKeystore, root: bytes, new_agent: Callable[[], AgentId]
) -> None:
    for seed, message, signature in RFC_8032:
        agent_id = new_agent()
        path = home / f"{agent_id}.json"
        path.write_bytes(spelled(agent_file(agent_id, bytes.fromhex(seed), root)))
        path.chmod(0o600)
        assert keystore.sign(agent_id, bytes.fromhex(message)).hex() == signature


# ── damage ─────────────────────────────────────────────────────────────────────────────────────


def flips(content: bytes) -> Iterator[bytes]:
    """Yield *content* with each byte damaged in turn: one low bit, the case bit, all bits."""
    for position in range(len(content)):
        for mask in (0x01, 0x20, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= mask
            yield bytes(damaged)


def test_no_damaged_byte_of_keystore_json_passes_for_a_wrong_password(
    home: Path, password: bytes
) -> None:
    path = home / "keystore.json"
    count = 0
    for damaged in flips(path.read_bytes()):
        path.write_bytes(damaged)
        for attempt in (password, b"wrong password"):
            with pytest.raises((DamagedKeystore, UnsupportedVersion)):
                open_keystore(home, attempt)
        count += 1
    assert count > 1000


def test_no_damaged_byte_of_an_agents_file_gives_a_signature(
    home: Path, keystore: FileKeystore, agents: Agents, addresses: Addresses
) -> None:
    path = home / f"{agents[0]}.json"
    for damaged in flips(path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises((DamagedKeystore, UnsupportedVersion)) as caught:
            keystore.sign(agents[0], b"pay")
        if caught.type is DamagedKeystore:
            assert not keystore.holds(agents[0], public_key=addresses[agents[0]])


@given(length=st.integers(0, 2000))
def test_a_file_cut_short_is_damaged(
    original: tuple[Path, Addresses], root: bytes, agents: Agents, length: int
) -> None:
    path = original[0] / "keystore.json"
    content = path.read_bytes()
    with pytest.raises(DamagedKeystore):
        vault.read(content[: min(length, len(content) - 1)], path=path)
    path = original[0] / f"{agents[0]}.json"
    content = path.read_bytes()
    with pytest.raises(DamagedKeystore):
        keyfile.read(
            content[: min(length, len(content) - 1)],
            agent_id=agents[0],
            keystore_key=KeystoreKey(Guarded.copy_of(root)),
            path=path,
        )


anything = st.one_of(
    st.binary(max_size=300),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"[" * 100_000, b'{"version":' * 50_000, b'{"version": 1e999}', b"\xff\xfe"]),
    st.sampled_from([b'{"version": 1, "format": "\xff"}', b'{"version": 1, "\\ud800": 1}']),
)


@given(content=anything)
def test_no_content_whatsoever_raises_anything_but_an_error_of_ours(content: bytes) -> None:
    with pytest.raises(KeystoreError):
        vault.read(content, path=Path("keystore.json"))
    with pytest.raises(KeystoreError):
        documents.decode(content, into=keyfile.KeyFile, version=1, path=Path("agent.json"))


def test_one_value_has_one_spelling(home: Path, password: bytes) -> None:
    path = home / "keystore.json"
    content = path.read_text()
    others = [
        content.replace('"passes": 3', '"passes": 3.0'),
        content.replace('"passes": 3', '"passes": 3, "passes": 3'),
        content.replace('"passes": 3', '"passes": 9, "passes": 3'),
        content.replace('"passes": 3', '"passes":  3'),
        content.replace('"passes": 3', '"passes": 3, "comment": ""'),
        content.replace('    "passes": 3,\n', ""),
        content.replace('"passes"', '"\\u0070asses"'),
        content.replace('=="\n', '"\n'),
        content.replace("\n", "\r\n"),
        content.replace("\n", ""),
        content + "\n",
        "\ufeff" + content,
        spelled(dict(reversed(json.loads(content).items()))).decode(),
    ]
    assert content not in others
    for other in others:
        path.write_text(other, newline="")
        with pytest.raises(DamagedKeystore):
            open_keystore(home, password)
    path.write_text(content)
    open_keystore(home, password)


@pytest.mark.parametrize("version", [0, 2, -1, 2**70])
def test_another_version_is_named_and_not_called_damage(
    home: Path, password: bytes, version: int
) -> None:
    path = home / "keystore.json"
    edited(path, lambda fields: fields.update(version=version), finish=with_checksum)
    with pytest.raises(UnsupportedVersion, match=f"has format version {version}; .* version 1"):
        open_keystore(home, password)


# ── an attacker who can write ──────────────────────────────────────────────────────────────────


@contextmanager
def watching_argon2() -> Iterator[set[str]]:
    """Collect the functions of argon2's module that are entered."""
    entered: set[str] = set()

    def watch(running: FrameType, event: str, _argument: object) -> None:
        if event == "call" and "argon2" in running.f_code.co_filename:
            entered.add(running.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield entered
    finally:
        sys.setprofile(before)


@pytest.mark.usefixtures("computed_anew")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory_kib", 8),
        ("memory_kib", 65_535),
        ("memory_kib", 1_048_577),
        ("memory_kib", 2**32),
        ("memory_kib", 2**64),
        ("memory_kib", -65_536),
        ("passes", 0),
        ("passes", 2),
        ("passes", 11),
        ("passes", 2**32 - 1),
        ("lanes", 0),
        ("lanes", 3),
        ("lanes", 17),
        ("salt", ""),
        ("salt", b64(bytes(15))),
        ("salt", b64(bytes(4096))),
    ],
)
def test_absurd_costs_are_refused_before_argon2_is_reached(
    home: Path, password: bytes, name: str, value: object
) -> None:
    path = home / "keystore.json"
    edited(path, lambda fields: fields["kdf"].update({name: value}), finish=with_checksum)
    with watching_argon2() as entered, pytest.raises(DamagedKeystore, match=f"Argon2id.* {name} "):
        open_keystore(home, password)
    assert not entered


@pytest.mark.usefixtures("computed_anew")
def test_control_argon2_would_have_been_noticed(home: Path, password: bytes) -> None:
    with watching_argon2() as entered:
        open_keystore(home, password)
    assert "core" in entered


@pytest.mark.usefixtures("computed_anew")
def test_a_password_longer_than_any_is_wrong_without_a_derivation(
    home: Path, keystore: FileKeystore
) -> None:
    with watching_argon2() as entered:
        with pytest.raises(WrongPassword):
            open_keystore(home, b"x" * 1025)
        assert not keystore.verify_password(b"x" * 2**20)
    assert not entered


def test_the_derivation_itself_refuses_absurd_costs_too() -> None:
    """Whoever calls it next cannot forget the check."""
    sane = kdf.Parameters.current(salt=bytes(16))
    for change in ({"memory_kib": 8}, {"memory_kib": 2**32}, {"passes": 1}, {"salt": b""}):
        with watching_argon2() as entered, pytest.raises(ValueError, match="is not between"):
            kdf.derive(b"password", parameters=msgspec.structs.replace(sane, **change))
        assert not entered


@pytest.mark.parametrize("algorithm", ["argon2i", "pbkdf2", "none", ""])
def test_another_algorithm_is_refused(home: Path, password: bytes, algorithm: str) -> None:
    path = home / "keystore.json"
    edited(path, lambda f: f["kdf"].update(algorithm=algorithm), finish=with_checksum)
    with pytest.raises(DamagedKeystore, match=r"at \$\.kdf\.algorithm"):
        open_keystore(home, password)


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        # What goes into the derivation cannot be told from a wrong password by anyone who does
        # not know the right one; with the checksum repaired this is the honest answer.
        ("kdf.salt", b64(bytes(16)), WrongPassword),
        ("kdf.passes", 4, WrongPassword),
        ("kdf.lanes", 5, WrongPassword),
        ("kdf.memory_kib", 65_540, WrongPassword),
        ("commitment", b64(bytes(32)), WrongPassword),
        # The commitment is intact, so the password is known to be right: this is damage.
        ("keystore_key.nonce", b64(bytes(12)), DamagedKeystore),
        ("keystore_key.ciphertext", b64(bytes(48)), DamagedKeystore),
    ],
)
def test_an_edit_with_a_repaired_checksum_opens_nothing(
    home: Path, password: bytes, place: str, value: object, expected: type[KeystoreError]
) -> None:
    def edit(fields: Fields) -> None:
        *parents, name = place.split(".")
        (fields[parents[0]] if parents else fields)[name] = value

    edited(home / "keystore.json", edit, finish=with_checksum)
    with pytest.raises(KeystoreError) as caught:
        open_keystore(home, password)
    assert type(caught.value) is expected


def test_a_wrong_password_for_a_file_with_a_forged_key_is_a_wrong_password(home: Path) -> None:
    edited(
        home / "keystore.json",
        lambda fields: fields["keystore_key"].update(ciphertext=b64(bytes(48))),
        finish=with_checksum,
    )
    with pytest.raises(WrongPassword):
        open_keystore(home, b"wrong password")


def test_two_agents_files_cannot_be_exchanged(
    home: Path, keystore: FileKeystore, agents: Agents, addresses: Addresses
) -> None:
    one, other = (home / f"{agent_id}.json" for agent_id in agents)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    for agent_id in agents:
        with pytest.raises(DamagedKeystore, match="another agent"):
            keystore.sign(agent_id, b"pay")
        assert not keystore.holds(agent_id, public_key=addresses[agent_id])


OTHER_SEED: Final = bytes(range(32))

EDITS: Final[list[Fields]] = [
    {"agent_id": "0198c0de-0000-7000-8000-00000000000a"},
    {"network": "mainnet"},
    {"public_key": str(Keypair.from_seed(OTHER_SEED).pubkey())},
]


@pytest.mark.parametrize("change", EDITS, ids=lambda change: next(iter(change)))
def test_no_described_fact_of_a_key_can_be_changed(
    home: Path,
    keystore: FileKeystore,
    root: bytes,
    agents: Agents,
    change: Fields,
) -> None:
    one, other = agents
    victim = one if "agent_id" in change else other
    fields = json.loads((home / f"{other}.json").read_bytes())
    (home / f"{victim}.json").write_bytes(spelled({**fields, **change}))
    with pytest.raises(DamagedKeystore, match="was changed, or it belongs to another keystore"):
        keystore.sign(victim, b"pay")

    # Control: sealed without these facts, the same edit opens. Another agent's key would sign.
    naive = agent_file(other, OTHER_SEED, root, facts=no_facts)
    assert seed_in({**naive, **change}, root, facts=no_facts) == OTHER_SEED
    bound = agent_file(other, OTHER_SEED, root)
    assert seed_in(bound, root, facts=described) == OTHER_SEED
    if any(bound[name] != value for name, value in change.items()):
        with pytest.raises(CryptoError):
            seed_in({**bound, **change}, root, facts=described)


def test_the_parts_of_two_files_cannot_be_mixed(
    home: Path, keystore: FileKeystore, agents: Agents
) -> None:
    one, other = (home / f"{agent_id}.json" for agent_id in agents)
    theirs = json.loads(other.read_bytes())
    content = one.read_bytes()
    for part in ("data_key", "seed"):
        one.write_bytes(content)
        one.write_bytes(spelled({**json.loads(content), part: theirs[part]}))
        with pytest.raises(DamagedKeystore):
            keystore.sign(agents[0], b"pay")
    one.write_bytes(content)
    edited(one, lambda fields: fields.update(data_key=theirs["data_key"], seed=theirs["seed"]))
    with pytest.raises(DamagedKeystore):
        keystore.sign(agents[0], b"pay")
    one.write_bytes(content)
    edited(one, lambda fields: fields.update(data_key=fields["seed"], seed=fields["data_key"]))
    with pytest.raises(DamagedKeystore):
        keystore.sign(agents[0], b"pay")


def test_a_key_that_does_not_give_its_public_key_is_refused(
    home: Path, keystore: FileKeystore, root: bytes, agents: Agents
) -> None:
    """Sealed by somebody who has the keystore key, so that only the last check is left."""
    wrong = str(Keypair.from_seed(bytes(32)).pubkey())
    fields = agent_file(agents[0], OTHER_SEED, root, public_key=wrong)
    assert seed_in(fields, root, facts=described) == OTHER_SEED
    (home / f"{agents[0]}.json").write_bytes(spelled(fields))
    with pytest.raises(DamagedKeystore, match="does not give its public key"):
        keystore.sign(agents[0], b"pay")


def test_a_secret_is_a_key_of_the_chain_in_its_file_and_of_no_other(
    home: Path, keystore: FileKeystore, root: bytes, agents: Agents
) -> None:
    file = home / f"{agents[0]}.json"
    file.write_bytes(spelled(agent_file(agents[0], OTHER_SEED, root, chain="ethereum")))
    with pytest.raises(DamagedKeystore, match="does not give its public key"):
        keystore.sign(agents[0], bytes(32))
    point = coincurve.PrivateKey(OTHER_SEED).public_key.format(compressed=False)[1:]
    ethereum = agent_file(
        agents[0], OTHER_SEED, root, chain="ethereum", public_key=evm_address(point)
    )
    file.write_bytes(spelled(ethereum))
    assert keystore.sign(agents[0], bytes(32)) == coincurve.PrivateKey(OTHER_SEED).sign_recoverable(
        bytes(32), hasher=None
    )


def test_a_file_with_a_number_that_is_no_key_is_damaged(
    home: Path, keystore: FileKeystore, root: bytes, agents: Agents
) -> None:
    fields = agent_file(agents[0], bytes(32), root, chain="ethereum")
    (home / f"{agents[0]}.json").write_bytes(spelled(fields))
    with pytest.raises(DamagedKeystore, match="what it holds is no key"):
        keystore.sign(agents[0], bytes(32))


def test_one_key_under_two_agents_signs_for_the_first_only(
    home: Path, keystore: FileKeystore, root: bytes, agents: Agents
) -> None:
    """Sealed for each by somebody who has the keystore key: nothing else would notice."""
    for agent_id in agents:
        (home / f"{agent_id}.json").write_bytes(spelled(agent_file(agent_id, OTHER_SEED, root)))
    first, second = agents
    signature = keystore.sign(first, b"pay")
    for _ in range(2):
        with pytest.raises(DuplicateKey, match=f"belongs to agent {first}"):
            keystore.sign(second, b"pay")
    assert keystore.sign(first, b"pay") == signature
    keystore._holders.clear()  # The control: the files alone are as good as each other.
    assert keystore.sign(second, b"pay") == signature


def test_a_file_of_another_keystore_is_refused(
    home: Path, keystore: FileKeystore, agents: Agents
) -> None:
    fields = agent_file(agents[0], OTHER_SEED, bytes(32))
    (home / f"{agents[0]}.json").write_bytes(spelled(fields))
    with pytest.raises(DamagedKeystore, match="belongs to another keystore"):
        keystore.sign(agents[0], b"pay")


def test_what_is_written_for_a_new_agent_is_what_the_stranger_would_write(
    root: bytes, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    address, content = keyfile.make(
        agent_id=agent_id,
        chain=ChainType.SOLANA,
        network=NetworkType.DEVNET,
        keystore_key=KeystoreKey(Guarded.copy_of(root)),
    )
    fields = json.loads(content)
    seed = seed_in(fields, root, facts=described)
    theirs = agent_file(agent_id, seed, root, network="devnet", public_key=address)
    assert content == spelled({**theirs, "data_key": fields["data_key"], "seed": fields["seed"]})


facts_lists = st.lists(st.one_of(st.binary(max_size=6), st.text("ab1\0", max_size=4)), max_size=5)


@given(one=facts_lists, other=facts_lists)
def test_different_facts_never_give_the_same_bytes(
    one: list[bytes | str], other: list[bytes | str]
) -> None:
    contents = [
        [f if isinstance(f, bytes) else f.encode() for f in facts] for facts in (one, other)
    ]
    assert (frame(*one) == frame(*other)) == (contents[0] == contents[1])


def test_control_facts_without_frames_would_be_confused() -> None:
    assert b"".join([b"a", b"bc"]) == b"".join([b"ab", b"c"])
    assert frame(b"a", b"bc") != frame(b"ab", b"c")
