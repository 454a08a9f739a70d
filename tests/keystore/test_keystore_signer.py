"""The port as the daemon sees it: generate, store, sign, holds, verify_password, lock."""

import hmac
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Lock
from types import FrameType

import pytest
from coincurve import PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from solders.signature import Signature

from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.evm_address import evm_address
from waiaas.domain.ids import AgentId
from waiaas.keystore import vault
from waiaas.keystore.agent_key import open_key
from waiaas.keystore.errors import (
    AgentKeyExists,
    DamagedKeystore,
    DuplicateKey,
    GuardedMemoryUnavailable,
    KeyRefused,
    KeystoreError,
    KeystoreLocked,
    KeystoreMissing,
    NothingToStore,
    PayloadRefused,
    UnknownAgent,
    UnsafeFile,
    WrongPassword,
)
from waiaas.keystore.files import PrivateDirectory
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.signer import (
    FileKeystore,
    create_keystore,
    open_keystore,
    open_locked,
)
from waiaas.ports import Keystore, KeystoreFacts

Agents = tuple[AgentId, AgentId]
Addresses = dict[AgentId, str]


def is_signature(signature: bytes, *, address: str, payload: bytes) -> bool:
    """Ask a library that had no part in the signing."""
    return Signature.from_bytes(signature).verify(Pubkey.from_string(address), payload)


def test_a_file_keystore_is_the_keystore_of_the_ports(keystore: FileKeystore) -> None:
    port: Keystore = keystore
    assert port is keystore


def test_a_stored_key_signs_after_the_keystore_is_opened_again(
    home: Path, password: bytes, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    first = open_keystore(home, password)
    address = first.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.DEVNET)
    first.store(agent_id)
    before = first.sign(agent_id, b"pay")
    second = open_keystore(home, password)
    assert second.sign(agent_id, b"pay") == before
    assert is_signature(before, address=address, payload=b"pay")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(payload=st.binary(max_size=2000), other=st.binary(max_size=64))
def test_a_signature_is_over_exactly_this_payload_with_exactly_this_key(
    keystore: FileKeystore, agents: Agents, addresses: Addresses, payload: bytes, other: bytes
) -> None:
    signature = keystore.sign(agents[0], payload)
    assert len(signature) == 64
    assert is_signature(signature, address=addresses[agents[0]], payload=payload)
    assert not is_signature(signature, address=addresses[agents[1]], payload=payload)
    assert (other == payload) == is_signature(
        signature, address=addresses[agents[0]], payload=other
    )


def test_a_thousand_signatures_change_no_file(
    keystore: FileKeystore, home: Path, agents: Agents
) -> None:
    def seen() -> dict[str, tuple[bytes, int, int]]:
        return {
            path.name: (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
            for path in home.iterdir()
        }

    before = seen()
    for number in range(1000):
        keystore.sign(agents[number % 2], number.to_bytes(4, "big"))
    assert seen() == before


def test_after_the_first_signature_the_file_is_not_read_again(
    keystore: FileKeystore, home: Path, agents: Agents
) -> None:
    before = keystore.sign(agents[0], b"pay")
    (home / f"{agents[0]}.json").unlink()
    assert keystore.sign(agents[0], b"pay") == before


def test_an_agent_without_a_key_cannot_sign(
    keystore: FileKeystore, new_agent: Callable[[], AgentId]
) -> None:
    with pytest.raises(UnknownAgent, match="holds no key of agent"):
        keystore.sign(new_agent(), b"pay")


def test_a_generated_key_signs_only_once_it_is_stored(
    keystore: FileKeystore, home: Path, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    address = keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    assert not (home / f"{agent_id}.json").exists()
    assert not keystore.holds(agent_id, public_key=address)
    with pytest.raises(UnknownAgent):
        keystore.sign(agent_id, b"pay")
    keystore.store(agent_id)
    assert keystore.holds(agent_id, public_key=address)
    assert is_signature(keystore.sign(agent_id, b"pay"), address=address, payload=b"pay")


class Spoiling(PrivateDirectory):
    """A disk that keeps something else than it was given, and does not say so."""

    def write_new(self, name: str, content: bytes) -> None:
        super().write_new(name, content)
        (self.path / name).write_bytes(content.replace(b"a", b"b"))


def test_a_key_that_does_not_read_back_is_not_stored_and_does_not_sign(
    keystore: FileKeystore, home: Path, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    address = keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    keystore._directory = Spoiling(home)
    with pytest.raises(DamagedKeystore):
        keystore.store(agent_id)
    assert not keystore.holds(agent_id, public_key=address)
    with pytest.raises(DamagedKeystore):
        keystore.sign(agent_id, b"pay")


def test_a_new_keystore_that_does_not_read_back_is_told(
    tmp_path: Path, password: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waiaas.keystore.signer.PrivateDirectory", Spoiling)
    with pytest.raises(DamagedKeystore, match="does not read back"):
        create_keystore(tmp_path / "keystore", password)


@pytest.mark.parametrize("chain", ChainType)
def test_a_key_that_signs_wrongly_gets_no_file_and_its_address_is_not_told(
    chain: ChainType,
    keystore: FileKeystore,
    new_agent: Callable[[], AgentId],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds = [Guarded.copy_of(bytes([number]) * 32) for number in (1, 2)]
    mine, other = (open_key(seed, chain=chain) for seed in seeds)
    sign = type(other).sign
    monkeypatch.setattr(type(mine), "sign", lambda _self, payload: sign(other, payload))
    agent_id = new_agent()
    if chain is ChainType.SOLANA:
        with pytest.raises(KeyRefused, match="does not verify"):
            keystore.generate(agent_id, chain=chain, network=NetworkType.LOCALNET)
    with pytest.raises(KeyRefused, match="does not verify"):
        keystore.adopt(agent_id, seeds[0], chain=chain, network=NetworkType.TESTNET)
    with pytest.raises(NothingToStore):
        keystore.store(agent_id)


def test_a_key_that_another_agents_file_holds_is_not_adopted(
    keystore: FileKeystore, new_agent: Callable[[], AgentId]
) -> None:
    seed, first, second = Guarded.random(32), new_agent(), new_agent()

    def adopt(agent_id: AgentId) -> None:
        keystore.adopt(agent_id, seed, chain=ChainType.SOLANA, network=NetworkType.DEVNET)

    adopt(first)
    keystore.store(first)
    with pytest.raises(DuplicateKey) as refused:
        adopt(second)
    assert refused.value.holder == first
    with pytest.raises(NothingToStore):
        keystore.store(second)


@pytest.mark.parametrize("bad", ["", "..", "../keystore", "keystore", "0198C0DE", "a/b", "x\0y"])
def test_an_id_that_is_no_id_never_becomes_a_file_name(keystore: FileKeystore, bad: str) -> None:
    agent_id = AgentId(bad)
    with pytest.raises(ValueError, match="canonical text of a UUID"):
        keystore.sign(agent_id, b"pay")
    with pytest.raises(ValueError, match="canonical text of a UUID"):
        keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    with pytest.raises(ValueError, match="canonical text of a UUID"):
        keystore.store(agent_id)
    with pytest.raises(ValueError, match="canonical text of a UUID"):
        keystore.holds(agent_id, public_key="")


def test_an_agent_has_one_key_for_life(
    keystore: FileKeystore, home: Path, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    with pytest.raises(AgentKeyExists):
        keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    keystore.store(agent_id)
    content = (home / f"{agent_id}.json").read_bytes()
    with pytest.raises(AgentKeyExists):
        keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    with pytest.raises(NothingToStore):
        keystore.store(agent_id)
    assert (home / f"{agent_id}.json").read_bytes() == content


def test_storing_overwrites_no_file_that_appeared_meanwhile(
    keystore: FileKeystore, home: Path, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    (home / f"{agent_id}.json").write_bytes(b"somebody else's")
    with pytest.raises(AgentKeyExists):
        keystore.store(agent_id)
    assert (home / f"{agent_id}.json").read_bytes() == b"somebody else's"


def test_an_ethereum_key_signs_digests_for_its_address(
    keystore: FileKeystore, home: Path, password: bytes, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    address = keystore.generate(agent_id, chain=ChainType.ETHEREUM, network=NetworkType.MAINNET)
    keystore.store(agent_id)
    digest = bytes(range(32))
    signature = keystore.sign(agent_id, digest)
    signer = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    assert evm_address(signer.format(compressed=False)[1:]) == address
    assert keystore.holds(agent_id, public_key=address)
    assert open_keystore(home, password).sign(agent_id, digest) == signature


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_an_ethereum_key_signs_nothing_but_digests(
    length: int, keystore: FileKeystore, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    keystore.generate(agent_id, chain=ChainType.ETHEREUM, network=NetworkType.MAINNET)
    keystore.store(agent_id)
    with pytest.raises(PayloadRefused, match="32 bytes"):
        keystore.sign(agent_id, bytes(length))


def test_holds_is_about_this_agent_and_this_address(
    keystore: FileKeystore,
    home: Path,
    agents: Agents,
    addresses: Addresses,
    new_agent: Callable[[], AgentId],
) -> None:
    one, other = agents
    assert keystore.holds(one, public_key=addresses[one])
    assert not keystore.holds(one, public_key=addresses[other])
    assert not keystore.holds(new_agent(), public_key=addresses[one])
    (home / f"{one}.json").write_bytes(b"{}")
    assert not keystore.holds(one, public_key=addresses[one])


def test_holds_does_not_call_a_key_lost_because_it_may_not_look(
    keystore: FileKeystore, home: Path, agents: Agents, addresses: Addresses
) -> None:
    (home / f"{agents[0]}.json").chmod(0o644)
    with pytest.raises(UnsafeFile):
        keystore.holds(agents[0], public_key=addresses[agents[0]])


def test_a_locked_keystore_signs_nothing_and_still_knows_its_password(
    keystore: FileKeystore, password: bytes, agents: Agents, new_agent: Callable[[], AgentId]
) -> None:
    waiting = new_agent()
    keystore.generate(waiting, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    keystore.sign(agents[0], b"pay")
    keystore.lock()
    keystore.lock()
    for agent_id in (*agents, new_agent()):
        with pytest.raises(KeystoreLocked):
            keystore.sign(agent_id, b"pay")
        with pytest.raises(KeystoreLocked):
            keystore.holds(agent_id, public_key="")
    with pytest.raises(KeystoreLocked):
        keystore.store(waiting)
    with pytest.raises(KeystoreLocked):
        keystore.generate(new_agent(), chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    assert keystore.verify_password(password)


def test_locking_zeroes_every_key(keystore: FileKeystore, agents: Agents) -> None:
    keystore.sign(agents[0], b"pay")
    agent_key, keystore_key = keystore._agent_keys[agents[0]], keystore._keystore_key
    assert keystore_key is not None
    keystore.lock()
    secrets = (keystore_key._data_keys_key, keystore_key._backup_keys_key)
    for secret in secrets:
        with pytest.raises(KeystoreLocked), secret.readable():
            pass
    with pytest.raises(KeystoreLocked):
        agent_key.sign(b"pay")


def test_locking_keeps_no_agents_key(
    keystore: FileKeystore, agents: Agents, new_agent: Callable[[], AgentId]
) -> None:
    keystore.sign(agents[0], b"pay")
    keystore.generate(new_agent(), chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    assert keystore._agent_keys
    assert keystore._unstored
    keystore.lock()
    assert not keystore._agent_keys
    assert not keystore._unstored


def test_the_password_is_verified_and_nothing_else_is(
    keystore: FileKeystore, password: bytes
) -> None:
    assert keystore.verify_password(password)
    for wrong in (b"", password[:-1], password + b"\0", password * 100):
        assert not keystore.verify_password(wrong)


def test_replacing_the_file_of_a_running_keystore_makes_nobody_an_operator(
    keystore: FileKeystore, home: Path, tmp_path: Path, password: bytes
) -> None:
    create_keystore(tmp_path / "theirs", b"the attacker's password")
    (tmp_path / "theirs/keystore.json").replace(home / "keystore.json")
    assert not keystore.verify_password(b"the attacker's password")
    assert keystore.verify_password(password)


def most_derivations_at_once(verify: Callable[[bytes], bool]) -> int:
    """Verify four passwords in four threads; return how many were inside Argon2 together."""
    start, counting = Barrier(4), Lock()
    inside, most = 0, 0

    def count(running: FrameType, event: str, _argument: object) -> None:
        nonlocal inside, most
        if running.f_code.co_name == "_argon2id" and event in {"call", "return"}:
            with counting:
                inside += 1 if event == "call" else -1
                most = max(most, inside)

    def work(number: int) -> None:
        start.wait()
        sys.setprofile(count)
        try:
            verify(f"wrong password {number}".encode())
        finally:
            sys.setprofile(None)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    return most


@pytest.mark.usefixtures("computed_anew")
def test_passwords_are_verified_one_at_a_time(keystore: FileKeystore) -> None:
    assert most_derivations_at_once(keystore.verify_password) == 1


@pytest.mark.usefixtures("computed_anew")
def test_control_derivations_at_once_would_be_noticed(keystore: FileKeystore) -> None:
    assert most_derivations_at_once(partial(vault.is_password, keystore._vault)) > 1


def test_signing_does_not_wait_for_a_password_check(keystore: FileKeystore, agents: Agents) -> None:
    with ThreadPoolExecutor() as pool, keystore._derivation:
        assert len(pool.submit(keystore.sign, agents[0], b"pay").result(timeout=10)) == 64


def test_threads_share_a_keystore(
    keystore: FileKeystore, agents: Agents, addresses: Addresses, new_agent: Callable[[], AgentId]
) -> None:
    def work(number: int) -> None:
        agent_id = new_agent()
        address = keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.TESTNET)
        keystore.store(agent_id)
        for payload in (number.to_bytes(8, "big") + bytes([i]) for i in range(50)):
            for signer, of in ((agent_id, address), (agents[0], addresses[agents[0]])):
                assert is_signature(keystore.sign(signer, payload), address=of, payload=payload)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))


def test_two_threads_that_want_a_key_for_one_agent_get_one_key(
    keystore: FileKeystore, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()

    def make(_: int) -> bool:
        try:
            keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
            keystore.store(agent_id)
        except KeystoreError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(8))) == 1


def test_a_locked_keystore_signs_again_once_it_is_unlocked(
    keystore: FileKeystore, agents: Agents, password: bytes
) -> None:
    before, seen = keystore.sign(agents[0], b"pay"), [keystore.is_locked]
    keystore.lock()
    seen.append(keystore.is_locked)
    with pytest.raises(WrongPassword):
        keystore.unlock(password + b"x")
    seen.append(keystore.is_locked)
    uses = keystore.count_uses()
    keystore.unlock(password)
    keystore.unlock(password)  # While it is open: nothing changes.
    seen.append(keystore.is_locked)
    assert seen == [False, True, True, False]
    assert keystore.sign(agents[0], b"pay") == before
    assert keystore.count_uses() == uses + 3


class Interrupted:
    """A place in the line of derivations, where somebody locks the keystore meanwhile."""

    def __init__(self, keystore: FileKeystore) -> None:
        self._keystore = keystore

    def __enter__(self) -> None:
        self._keystore.lock()

    def __exit__(self, *_: object) -> None:
        pass


def test_who_locks_while_the_password_is_tried_wins(
    keystore: FileKeystore, password: bytes
) -> None:
    keystore.lock()
    keystore._derivation = Interrupted(keystore)  # type: ignore[assignment]  # -- enters and leaves
    with pytest.raises(KeystoreLocked):
        keystore.unlock(password)
    assert keystore.is_locked


def test_a_keystore_that_is_opened_without_its_password_has_no_key_until_it_is_unlocked(
    keystore: FileKeystore, home: Path, agents: Agents, password: bytes
) -> None:
    before = keystore.sign(agents[0], b"pay")
    locked = open_locked(home)
    seen = [locked.is_locked]
    with pytest.raises(KeystoreLocked):
        locked.sign(agents[0], b"pay")
    with pytest.raises(WrongPassword):
        locked.unlock(password + b"x")
    seen.append(locked.is_locked)
    assert locked.verify_password(password)
    identity = keystore.facts().identity
    assert locked.facts().identity is None
    locked.unlock(password)
    assert locked.facts().identity == identity
    seen.append(locked.is_locked)
    assert seen == [True, True, False]
    assert locked.sign(agents[0], b"pay") == before
    locked.lock()


def test_a_keystore_is_known_again_by_what_its_key_gives_and_by_its_file(
    keystore: FileKeystore, home: Path, key_of_original: Guarded
) -> None:
    with key_of_original.readable() as root:
        expanded = hmac.digest(root, b"waiaas keystore 1 identity\x01", "sha256")
    file = sha256((home / "keystore.json").read_bytes()).hexdigest()
    assert keystore.facts() == KeystoreFacts(expanded.hex(), file)
    assert open_locked(home).facts() == KeystoreFacts(None, file)


def test_without_guarded_memory_no_keystore_is_opened_not_even_a_locked_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise GuardedMemoryUnavailable

    monkeypatch.setattr("waiaas.keystore.signer.libsodium", missing)
    with pytest.raises(GuardedMemoryUnavailable):
        open_locked(home)


def test_whether_a_key_file_is_whole_is_told_without_the_password(
    home: Path, agents: Agents, addresses: dict[AgentId, str]
) -> None:
    locked = open_locked(home)
    first, second = agents
    for agent_id in agents:
        assert locked.has_file(agent_id, public_key=addresses[agent_id])
    assert not locked.has_file(first, public_key=addresses[second])
    file = home / f"{first}.json"
    content = file.read_bytes()
    file.write_bytes((home / f"{second}.json").read_bytes())
    assert not locked.has_file(first, public_key=addresses[first]), "it is another agent's"
    file.write_bytes(content[:-20])
    assert not locked.has_file(first, public_key=addresses[first])
    file.write_bytes(content)
    file.chmod(0o644)
    assert not locked.has_file(first, public_key=addresses[first]), "it is not used like that"
    file.unlink()
    assert not locked.has_file(first, public_key=addresses[first])


def test_a_keystore_that_is_damaged_or_missing_is_refused_without_a_password_too(
    home: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeystoreMissing):
        open_locked(tmp_path / "none")
    place = home / "keystore.json"
    content = place.read_bytes()
    place.write_bytes(content[:-20])
    try:
        with pytest.raises(DamagedKeystore):
            open_locked(home)
    finally:
        place.write_bytes(content)
