"""Mnemonics: what the standards' own examples give, and which words are no key.

The examples of BIP-39 are those of trezor/python-mnemonic (vectors.json, passphrase "TREZOR"), of
SLIP-10 those in its text. Paths and passphrases are compared with the Solana SDK's own derivation.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from solders.keypair import Keypair

from waiaas.domain.addresses import solana_address
from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.mnemonic import _english, derive_ed25519, entropy_of, seed_of, solana_path

VECTORS: Final[list[Any]] = json.loads(
    (Path(__file__).parent / "bip39_vectors.json").read_text(encoding="ascii")
)
WORDS: Final = "legal winner thank year wave sausage worth useful legal winner thank yellow"


def guarded(content: str | bytes) -> Guarded:
    return Guarded.copy_of(content.encode() if isinstance(content, str) else content)


def plain(secret: Guarded) -> bytes:
    with secret.readable() as view:
        return bytes(view)


@pytest.mark.parametrize(("entropy", "words", "seed"), VECTORS)
def test_the_examples_of_bip_39_give_what_it_says(entropy: str, words: str, seed: str) -> None:
    assert plain(entropy_of(guarded(words))).hex() == entropy
    assert plain(seed_of(guarded(words), guarded("TREZOR"))).hex() == seed


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
    assert plain(derive_ed25519(guarded(bytes.fromhex(seed)), path)).hex() == key


@pytest.mark.parametrize("account", [0, 1, 2**31 - 1])
@pytest.mark.parametrize("passphrase", ["", "caf\u00e9", "cafe\u0301", "\ufb01 \u2167"])
def test_an_account_is_the_one_that_the_solana_sdk_derives(account: int, passphrase: str) -> None:
    seed = seed_of(guarded(WORDS), guarded(passphrase))
    theirs = Keypair.from_seed_and_derivation_path(plain(seed), f"m/44'/501'/{account}'/0'")
    ours = plain(derive_ed25519(seed, solana_path(account)))
    assert ours == theirs.secret()
    master = Keypair.from_seed_phrase_and_passphrase(WORDS, "")
    assert solana_address(bytes(theirs.pubkey())) != str(master.pubkey()), "no path is no account"


def test_two_spellings_of_a_passphrase_are_one() -> None:
    one, other = (seed_of(guarded(WORDS), guarded(word)) for word in ("caf\u00e9", "cafe\u0301"))
    assert plain(one) == plain(other)


def test_white_space_between_words_is_no_part_of_them() -> None:
    spread = f"  {WORDS.replace(' ', chr(10), 3).replace(' ', '   ', 2)}\r\n"
    assert plain(entropy_of(guarded(spread))) == plain(entropy_of(guarded(WORDS)))
    assert plain(seed_of(guarded(spread), Guarded(0))) == plain(seed_of(guarded(WORDS), Guarded(0)))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "these are 0"),
        ("legal winner thank", "these are 3"),
        (" ".join(["zoo"] * 9), "these are 9"),
        (" ".join(["zoo"] * 13), "these are 13"),
        (" ".join(["zoo"] * 27), "these are 27"),
        (WORDS.replace("yellow", "zoo"), "checksum is wrong"),
        (WORDS.replace("legal winner", "winner legal", 1), "checksum is wrong"),
        (WORDS.replace("wave", "wawe"), "Word 5 of the mnemonic"),
        (WORDS.replace("legal", "Legal", 1), "Word 1 of the mnemonic"),
        (WORDS.replace("year", "ye\u00e1r"), "Word 4 of the mnemonic"),
    ],
)
def test_words_that_are_no_mnemonic_are_refused_and_not_repeated(words: str, why: str) -> None:
    with pytest.raises(ImportRefused, match=why) as refused:
        entropy_of(guarded(words))
    assert not {"zoo", "wawe", "winner"} & set(str(refused.value).split())
    assert refused.value.remedy


def test_of_all_words_in_one_place_the_checksum_lets_one_in_sixteen_pass() -> None:
    accepted = 0
    for word in _english():
        try:
            entropy_of(guarded(" ".join([word.decode(), *WORDS.split()[1:]]))).free()
        except ImportRefused:
            continue
        accepted += 1
    assert 0.5 < accepted / (2048 / 16) < 2


def test_a_passphrase_is_text() -> None:
    with pytest.raises(ImportRefused, match="not UTF-8"):
        seed_of(guarded(WORDS), guarded(b"\xff"))
