"""Mnemonics: what the standards' own examples give, and which words are no key.

The examples of BIP-39 are those of trezor/python-mnemonic (vectors.json, passphrase "TREZOR").
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.mnemonic import _english, entropy_of, seed_of

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
