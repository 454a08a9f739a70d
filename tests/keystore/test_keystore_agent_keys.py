"""Both kinds of key: the signatures of other programs, from memory that nobody else can read."""

import coincurve
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from waiaas.domain.enums import ChainType
from waiaas.keystore.agent_key import AgentKey, open_key
from waiaas.keystore.errors import KeyRefused, KeystoreLocked
from waiaas.keystore.guarded import Guarded

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2, section 2.4.1)."""

seeds = st.binary(min_size=32, max_size=32)
CHAINS = list(ChainType)


def key_of(seed: bytes, chain: ChainType) -> AgentKey:
    return open_key(Guarded.copy_of(seed), chain=chain)


@given(seed=seeds, payload=st.binary(max_size=2000))
def test_ed25519_signs_as_another_library_does(seed: bytes, payload: bytes) -> None:
    key, theirs = key_of(seed, ChainType.SOLANA), Keypair.from_seed(seed)
    assert key.address == str(theirs.pubkey())
    assert key.sign(payload) == bytes(theirs.sign_message(payload))


@given(number=st.integers(1, ORDER - 1), digest=seeds)
def test_secp256k1_signs_as_another_library_does(number: int, digest: bytes) -> None:
    key = key_of(number.to_bytes(32, "big"), ChainType.ETHEREUM)
    theirs = coincurve.PrivateKey.from_int(number)
    signature = key.sign(digest)
    assert signature == theirs.sign_recoverable(digest, hasher=None)
    assert int.from_bytes(signature[32:64], "big") <= ORDER // 2  # EIP-2
    assert signature[64] in {0, 1}


def test_the_address_of_an_ethereum_key_is_that_of_the_standard() -> None:
    """The example of EIP-155."""
    key = key_of(b"\x46" * 32, ChainType.ETHEREUM)
    assert key.address == "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"


@pytest.mark.parametrize("number", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_a_number_that_is_no_scalar_of_the_curve_is_refused(number: int) -> None:
    with pytest.raises(KeyRefused, match="past the curve's order"):
        key_of(number.to_bytes(32, "big"), ChainType.ETHEREUM)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_new_key_proves_itself_and_one_that_signs_wrongly_is_refused(
    chain: ChainType, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = key_of(b"\x01" * 32, chain), key_of(b"\x02" * 32, chain)
    key.prove()
    sign = type(key).sign
    monkeypatch.setattr(type(key), "sign", lambda _self, payload: sign(other, payload))
    with pytest.raises(KeyRefused, match="does not verify"):
        key.prove()


@pytest.mark.parametrize("chain", CHAINS)
def test_a_freed_key_signs_nothing(chain: ChainType) -> None:
    key = key_of(b"\x01" * 32, chain)
    key.sign(bytes(32))
    key.free()
    with pytest.raises(KeystoreLocked):
        key.sign(bytes(32))
