"""From a seed to a key: what the standards' own examples give, and where there is no key.

The examples of SLIP-10 and BIP-32 are those in their texts; the third and fourth of BIP-32 have
keys that begin with zeros. Paths are compared with the Solana SDK's own derivation, and with the
addresses that Ethereum's wallets are known to show for two mnemonics that everybody has.
"""

import hmac
from hashlib import sha256, sha512
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from waiaas.domain.addresses import base58_bytes, solana_address
from waiaas.domain.enums import ChainType
from waiaas.keystore import derivation, secp256k1
from waiaas.keystore.agent_key import open_key
from waiaas.keystore.derivation import HARDENED, derive, hmac_sha512, path_of
from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.mnemonic import seed_of

WORDS: Final = "legal winner thank year wave sausage worth useful legal winner thank yellow"
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def guarded(content: str | bytes) -> Guarded:
    return Guarded.copy_of(content.encode() if isinstance(content, str) else content)


def plain(secret: Guarded) -> bytes:
    with secret.readable() as view:
        return bytes(view)


def scalar(number: int) -> Guarded:
    return guarded(number.to_bytes(32, "big"))


LONG: Final = (
    "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2"
    "9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542"
)
SLIP_10: Final = [
    ("000102030405060708090a0b0c0d0e0f", (),
     "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7"),
    ("000102030405060708090a0b0c0d0e0f", (0,),
     "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3"),
    ("000102030405060708090a0b0c0d0e0f", (0, 1),
     "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2"),
    ("000102030405060708090a0b0c0d0e0f", (0, 1, 2, 2, 1_000_000_000),
     "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793"),
    (LONG, (),
     "171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012"),
    (LONG, (0, 2_147_483_647),
     "ea4f5bfe8694d8bb74b7b59404632fd5968b774ed545e810de9c32a4fb4192f4"),
]  # fmt: skip


@pytest.mark.parametrize(("seed", "path", "key"), SLIP_10)
def test_the_examples_of_slip_10_give_what_it_says(
    seed: str, path: tuple[int, ...], key: str
) -> None:
    hardened = [HARDENED + index for index in path]
    assert (
        plain(derive(guarded(bytes.fromhex(seed)), hardened, chain=ChainType.SOLANA)).hex() == key
    )


H: Final = HARDENED
THIRD: Final = (
    "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4ac"
    "ba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be"
)
FOURTH: Final = "3ddd5602285899a946114506157c7997e5444528f3003f6134712147db19b678"
BIP_32: Final = [
    ("000102030405060708090a0b0c0d0e0f", (),
     "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"),
    ("000102030405060708090a0b0c0d0e0f", (H,),
     "xprv9uHRZZhk6KAJC1avXpDAp4MDc3sQKNxDiPvvkX8Br5ngLNv1TxvUxt4cV1rGL5hj6KCesnDYUhd7oWgT11eZG7XnxHrnYeSvkzY7d2bhkJ7"),
    ("000102030405060708090a0b0c0d0e0f", (H, 1),
     "xprv9wTYmMFdV23N2TdNG573QoEsfRrWKQgWeibmLntzniatZvR9BmLnvSxqu53Kw1UmYPxLgboyZQaXwTCg8MSY3H2EU4pWcQDnRnrVA1xe8fs"),
    ("000102030405060708090a0b0c0d0e0f", (H, 1, H + 2, 2, 1_000_000_000),
     "xprvA41z7zogVVwxVSgdKUHDy1SKmdb533PjDz7J6N6mV6uS3ze1ai8FHa8kmHScGpWmj4WggLyQjgPie1rFSruoUihUZREPSL39UNdE3BBDu76"),
    (LONG, (),
     "xprv9s21ZrQH143K31xYSDQpPDxsXRTUcvj2iNHm5NUtrGiGG5e2DtALGdso3pGz6ssrdK4PFmM8NSpSBHNqPqm55Qn3LqFtT2emdEXVYsCzC2U"),
    (LONG, (0,),
     "xprv9vHkqa6EV4sPZHYqZznhT2NPtPCjKuDKGY38FBWLvgaDx45zo9WQRUT3dKYnjwih2yJD9mkrocEZXo1ex8G81dwSM1fwqWpWkeS3v86pgKt"),
    (LONG, (0, H + 2_147_483_647, 1, H + 2_147_483_646, 2),
     "xprvA2nrNbFZABcdryreWet9Ea4LvTJcGsqrMzxHx98MMrotbir7yrKCEXw7nadnHM8Dq38EGfSh6dqA9QWTyefMLEcBYJUuekgW4BYPJcr9E7j"),
    (THIRD, (),
     "xprv9s21ZrQH143K25QhxbucbDDuQ4naNntJRi4KUfWT7xo4EKsHt2QJDu7KXp1A3u7Bi1j8ph3EGsZ9Xvz9dGuVrtHHs7pXeTzjuxBrCmmhgC6"),
    (THIRD, (H,),
     "xprv9uPDJpEQgRQfDcW7BkF7eTya6RPxXeJCqCJGHuCJ4GiRVLzkTXBAJMu2qaMWPrS7AANYqdq6vcBcBUdJCVVFceUvJFjaPdGZ2y9WACViL4L"),
    (FOURTH, (H,),
     "xprv9vB7xEWwNp9kh1wQRfCCQMnZUEG21LpbR9NPCNN1dwhiZkjjeGRnaALmPXCX7SgjFTiCTT6bXes17boXtjq3xLpcDjzEuGLQBM5ohqkao9G"),
    (FOURTH, (H, H + 1),
     "xprv9xJocDuwtYCMNAo3Zw76WENQeAS6WGXQ55RCy7tDJ8oALr4FWkuVoHJeHVAcAqiZLE7Je3vZJHxspZdFHfnBEjHqU5hG1Jaj32dVoS6XLT1"),
]  # fmt: skip


def key_in(extended_key: str) -> bytes:
    """Return the private key in what BIP-32 writes for people: 78 bytes, and 4 that check them."""
    decoded = base58_bytes(extended_key)
    assert decoded is not None
    assert sha256(sha256(decoded[:-4]).digest()).digest()[:4] == decoded[-4:]
    return decoded[46:78]


@pytest.mark.parametrize(("seed", "path", "extended_key"), BIP_32)
def test_the_examples_of_bip_32_give_what_it_says(
    seed: str, path: tuple[int, ...], extended_key: str
) -> None:
    derived = derive(guarded(bytes.fromhex(seed)), path, chain=ChainType.ETHEREUM)
    assert plain(derived) == key_in(extended_key)


@pytest.mark.parametrize("account", [0, 1, 2**31 - 1])
@pytest.mark.parametrize("passphrase", ["", "caf\u00e9", "cafe\u0301", "\ufb01 \u2167"])
def test_an_account_is_the_one_that_the_solana_sdk_derives(account: int, passphrase: str) -> None:
    seed = seed_of(guarded(WORDS), guarded(passphrase))
    theirs = Keypair.from_seed_and_derivation_path(plain(seed), f"m/44'/501'/{account}'/0'")
    path = path_of(ChainType.SOLANA, account)
    assert plain(derive(seed, path, chain=ChainType.SOLANA)) == theirs.secret()
    master = Keypair.from_seed_phrase_and_passphrase(WORDS, "")
    assert solana_address(bytes(theirs.pubkey())) != str(master.pubkey()), "no path is no account"


@pytest.mark.parametrize(
    ("words", "account", "address"),
    [
        ("abandon " * 11 + "about", 0, "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"),
        ("abandon " * 11 + "about", 1, "0x6Fac4D18c912343BF86fa7049364Dd4E424Ab9C0"),
        ("test " * 11 + "junk", 0, "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        ("test " * 11 + "junk", 1, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        ("test " * 11 + "junk", 9, "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"),
    ],
)
def test_an_account_is_the_one_that_ethereums_wallets_show(
    words: str, account: int, address: str
) -> None:
    seed = seed_of(guarded(words), Guarded(0))
    path = path_of(ChainType.ETHEREUM, account)
    secret = derive(seed, path, chain=ChainType.ETHEREUM)
    assert open_key(secret, chain=ChainType.ETHEREUM).address == address


@given(st.binary(max_size=128), st.lists(st.binary(max_size=200), max_size=3))
def test_the_hmac_is_that_of_the_standard_library(key: bytes, parts: list[bytes]) -> None:
    assert plain(hmac_sha512(key, *parts)) == hmac.new(key, b"".join(parts), sha512).digest()


# What no seed that anybody has leads to: the sum is looked at by itself.


@given(st.integers(1, ORDER - 1), st.integers(0, ORDER - 1))
def test_a_childs_key_is_the_sum_of_two_modulo_the_order(one: int, other: int) -> None:
    secret = scalar(one)
    assert secp256k1.add(secret, scalar(other)) is ((one + other) % ORDER != 0)
    assert plain(secret) == ((one + other) % ORDER).to_bytes(32, "big")


@pytest.mark.parametrize("other", [ORDER - 7, ORDER, ORDER + 1, 2**256 - 1])
def test_a_sum_that_is_0_and_a_part_past_the_order_are_no_key(other: int) -> None:
    assert not secp256k1.add(scalar(7), scalar(other))
    assert secp256k1.add(scalar(8), scalar(ORDER - 7))


@pytest.mark.parametrize("number", [0, ORDER, 2**256 - 1])
def test_a_scalar_that_is_0_or_past_the_order_is_no_key(number: int) -> None:
    assert not secp256k1.is_secret(scalar(number))
    assert secp256k1.is_secret(scalar(ORDER - 1))


@pytest.mark.parametrize(
    ("left", "path"),
    [(ORDER, ()), (0, ()), (2**256 - 1, (0,)), (ORDER, (H,)), (ORDER - 1, (0,))],
)
def test_where_there_is_no_key_the_derivation_says_so(
    monkeypatch: pytest.MonkeyPatch, left: int, path: tuple[int, ...]
) -> None:
    """The hash is replaced: with the real one nobody could come here."""
    first = 1 if path else left

    def chosen(_key: object, *parts: object) -> Guarded:
        number = first if len(parts) == 1 else left
        return guarded(number.to_bytes(32, "big") + bytes(32))

    monkeypatch.setattr(derivation, "hmac_sha512", chosen)
    with pytest.raises(ImportRefused, match="There is no key at this place"):
        derive(guarded(bytes(64)), path, chain=ChainType.ETHEREUM)
