"""Web3 Secret Storage: files of other programs are read, and what is refused is refused in time.

`web3_vectors.json` has the two examples of the Ethereum wiki, and three files that eth-keyfile
0.10.0, the library of eth-account, wrote. What is written here was read by that one, too.
"""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waiaas.domain.enums import ImportProblem
from waiaas.domain.keccak import keccak256
from waiaas.keystore import web3_storage
from waiaas.keystore.errors import DerivationFailed, ImportRefused, KeyRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.secp256k1 import Secp256k1Key
from waiaas.keystore.web3_storage import (
    GETH,
    ROUNDS_MAX,
    SCRYPT_BYTES_MAX,
    SCRYPT_P_MAX,
    SCRYPT_R_MAX,
    Scrypt,
    read,
    write,
)

VECTORS: Final[list[Any]] = json.loads(
    (Path(__file__).parent / "web3_vectors.json").read_text(encoding="ascii")
)
QUICK: Final = next(each for each in VECTORS if each["file"]["crypto"]["kdfparams"].get("n") == 2)
SLOW: Final = next(each for each in VECTORS if each["file"]["crypto"]["kdfparams"].get("c"))
CHEAP: Final = Scrypt(n=2, r=1, p=1)
PASSWORD: Final = "the password of the file, not ours"


def guarded(content: str | bytes) -> Guarded:
    return Guarded.copy_of(content.encode() if isinstance(content, str) else content)


def plain(secret: Guarded) -> bytes:
    with secret.readable() as view:
        return bytes(view)


def opened(document: object, password: str = QUICK["password"]) -> str:
    return plain(read(guarded(json.dumps(document)), guarded(password))).hex()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["source"])
def test_what_others_wrote_is_read(vector: Any) -> None:
    assert opened(vector["file"], vector["password"]) == vector["secret"]


def test_what_is_written_is_what_geth_would_write() -> None:
    secret = guarded(bytes.fromhex(QUICK["secret"]))
    document = json.loads(write(secret, guarded(PASSWORD), cost=CHEAP))
    crypto = document["crypto"]
    assert opened(document, PASSWORD) == QUICK["secret"]
    assert list(document) == ["address", "crypto", "id", "version"]
    assert document["address"] == QUICK["file"]["address"].lower()
    assert (document["version"], document["id"][14], len(document["id"])) == (3, "4", 36)
    assert (crypto["kdf"], crypto["cipher"]) == ("scrypt", "aes-128-ctr")
    assert GETH.written == {"n": 262144, "r": 8, "p": 1}
    assert len(crypto["kdfparams"]["salt"]) == 64
    again = json.loads(write(secret, guarded(PASSWORD), cost=CHEAP))
    for one, other in (
        (document["id"], again["id"]),
        (crypto["cipherparams"], again["crypto"]["cipherparams"]),
        (crypto["kdfparams"]["salt"], again["crypto"]["kdfparams"]["salt"]),
        (crypto["ciphertext"], again["crypto"]["ciphertext"]),
    ):
        assert one != other, "nothing random is used twice"


@settings(max_examples=20)
@given(secret=st.binary(min_size=31, max_size=31), password=st.text(max_size=20))
def test_every_key_comes_back_with_its_password_and_with_no_other(
    secret: bytes, password: str
) -> None:
    key, typed = guarded(b"\x01" + secret), password.encode("utf-8", "surrogatepass")
    content = write(key, guarded(typed), cost=CHEAP)
    assert plain(read(guarded(content), guarded(typed))) == b"\x01" + secret
    with pytest.raises(ImportRefused) as refused:
        read(guarded(content), guarded(typed + b"x"))
    assert refused.value.why is ImportProblem.WRONG_PASSWORD


def shortened(secret: bytes, **members: str) -> dict[str, Any]:
    """Return a file as old programs wrote it; nothing of ours takes part but the hash."""
    salt, iv, crypto = b"salt" * 8, bytes(16), copy.deepcopy(QUICK["file"]["crypto"])
    derived = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=2, r=8, p=1, dklen=32)
    ciphertext = Cipher(AES(derived[:16]), CTR(iv)).encryptor().update(secret)
    crypto["cipherparams"], crypto["ciphertext"] = {"iv": iv.hex()}, ciphertext.hex()
    crypto["kdfparams"]["salt"] = salt.hex()
    crypto["mac"] = keccak256(derived[16:] + ciphertext).hex()
    return {"crypto": crypto, "version": 3, **members}


def address_of(secret: bytes) -> str:
    key = Secp256k1Key(guarded(secret))
    key.free()
    return key.address.removeprefix("0x")


@pytest.mark.parametrize("size", [30, 31, 32])
def test_leading_zeros_that_were_left_out_are_put_back_if_the_address_shows_it(size: int) -> None:
    """The controls: without the address nothing is opened, and with zeros behind it is another."""
    written = bytes(range(7, 7 + size))
    secret, other = written.rjust(32, b"\0"), written.ljust(32, b"\0")
    assert opened(shortened(written, address=address_of(secret)), PASSWORD) == secret.hex()
    if size < 32:
        with pytest.raises(ImportRefused, match=f"has {size} bytes of 32") as refused:
            opened(shortened(written), PASSWORD)
        assert "the program that wrote it" in refused.value.remedy
        with pytest.raises(ImportRefused, match="says that its key is that of"):
            opened(shortened(written, address=address_of(other)), PASSWORD)


# ── what is refused ────────────────────────────────────────────────────────────────────────────

REMOVED: Final = "(removed)"
NO_FILES: Final = [
    ("version", REMOVED, "version is not 3"),
    ("version", 4, "version is not 3"),
    ("version", "3", "version is not 3"),
    ("version", 3.0, "version is not 3"),
    ("crypto", REMOVED, "no `crypto`"),
    ("Crypto", {}, "no `crypto`"),
    ("crypto", [], "no `crypto`"),
    ("crypto.cipher", "aes-128-cbc", "cipher is not aes-128-ctr"),
    ("crypto.cipher", ["aes-128-ctr"], "cipher is not aes-128-ctr"),
    ("crypto.cipherparams", None, "no `cipherparams`"),
    ("crypto.kdfparams", "", "no `kdfparams`"),
    ("crypto.kdf", "argon2id", "neither scrypt nor pbkdf2"),
    ("crypto.kdf", REMOVED, "neither scrypt nor pbkdf2"),
    ("crypto.kdf", "pbkdf2", "not with hmac-sha256"),
    ("crypto.cipherparams.iv", "00" * 15, "`iv` has not 16 bytes"),
    ("crypto.cipherparams.iv", "0x" + "00" * 16, "`iv` is not hexadecimal"),
    ("crypto.cipherparams.iv", 7, "`iv` is not hexadecimal"),
    ("crypto.ciphertext", "00" * 29, "`ciphertext` has not 30 to 32 bytes"),
    ("crypto.ciphertext", "00" * 33, "`ciphertext` has not 30 to 32 bytes"),
    ("crypto.ciphertext", "0" * 63, "`ciphertext` is not hexadecimal"),
    ("crypto.mac", "00" * 31, "`mac` has not 32 bytes"),
    ("crypto.mac", "zz" * 32, "`mac` is not hexadecimal"),
    ("crypto.kdfparams.salt", "", "`salt` has not 8 to 64 bytes"),
    ("crypto.kdfparams.salt", "00" * 65, "`salt` has not 8 to 64 bytes"),
    ("crypto.kdfparams.dklen", 16, "dklen is not 32"),
    ("crypto.kdfparams.dklen", 64, "dklen is not 32"),
    ("crypto.kdfparams.dklen", REMOVED, "`dklen` is not a whole number"),
    ("crypto.kdfparams.n", "2", "`n` is not a whole number"),
    ("crypto.kdfparams.r", None, "`r` is not a whole number"),
    ("crypto.kdfparams.p", {}, "`p` is not a whole number"),
    ("crypto.kdfparams.p", 2.0, "`p` is not a whole number"),
    ("crypto.kdfparams.n", 0, "power of two"),
    ("crypto.kdfparams.n", 1, "power of two"),
    ("crypto.kdfparams.n", -2, "power of two"),
    ("crypto.kdfparams.n", 3, "power of two"),
    ("crypto.kdfparams.r", 0, "from 1 on"),
    ("crypto.kdfparams.p", -1, "from 1 on"),
    ("crypto.kdfparams.n", 2**21, "asks too much"),
    ("crypto.kdfparams.n", 2**63, "asks too much"),
    ("crypto.kdfparams.n", 2**200, "asks too much"),
    ("crypto.kdfparams.r", 33, "r may be 32 at most"),
    ("crypto.kdfparams.p", 17, "p 16"),
    ("crypto.kdfparams.r", 2**22, "r may be 32 at most"),
    ("crypto.kdfparams.r", 2**31, "asks too much"),
    ("crypto.kdfparams.p", 2**31, "asks too much"),
    ("address", "0x00", "40 hexadecimal digits"),
    ("address", None, "40 hexadecimal digits"),
]


def changed(place: str, value: object) -> Any:
    """Return a file with another value somewhere."""
    document = copy.deepcopy(QUICK["file"])
    *path, name = place.split(".")
    members = document
    for step in path:
        members = members[step]
    if value is REMOVED:
        del members[name]
    else:
        members[name] = value
    return document


@pytest.fixture
def underived(monkeypatch: pytest.MonkeyPatch) -> None:
    """See to it that nothing is derived: what a hostile file asks must be known before."""

    def derive(*_: object) -> Guarded:
        raise AssertionError("it was derived")

    monkeypatch.setattr(web3_storage, "_derived", derive)


@pytest.mark.usefixtures("underived")
@pytest.mark.parametrize(("place", "value", "why"), NO_FILES)
def test_what_is_no_such_file_or_asks_too_much_is_refused_before_anything_is_derived(
    place: str, value: object, why: str
) -> None:
    with pytest.raises(ImportRefused, match=why) as refused:
        opened(changed(place, value))
    assert refused.value.why is ImportProblem.NOT_THE_FORMAT
    assert refused.value.remedy


@given(
    n=st.integers(min_value=1, max_value=40).map(lambda exponent: 1 << exponent),
    r=st.integers(min_value=1, max_value=2**25),
    p=st.integers(min_value=1, max_value=2**25),
)
def test_what_is_derived_takes_a_gibibyte_and_hardly_more(n: int, r: int, p: int) -> None:
    """RFC 7914: V is 128·r·n bytes, B 128·r·p, and what libsodium works in 256·r and 64."""
    for cost in (Scrypt(n, r, p), Scrypt(n, min(r, SCRYPT_R_MAX), min(p, SCRYPT_P_MAX))):
        if cost.problem is None:
            assert 128 * cost.r * (cost.n + cost.p + 2) + 64 <= SCRYPT_BYTES_MAX + 2**17


@pytest.mark.parametrize(
    "cost", [GETH, Scrypt(2**12, 8, 6), Scrypt(2**18, 1, 8), Scrypt(2**20, 8, 1), Scrypt(2, 32, 16)]
)
def test_what_wallets_write_is_within_the_bounds(cost: Scrypt) -> None:
    assert cost.problem is None


@pytest.mark.usefixtures("underived")
@pytest.mark.parametrize("rounds", [0, -1, ROUNDS_MAX + 1, 2**64])
def test_rounds_are_bounded(rounds: int) -> None:
    document = copy.deepcopy(SLOW["file"])
    document["crypto"]["kdfparams"]["c"] = rounds
    with pytest.raises(ImportRefused, match="no number of rounds"):
        opened(document)


@pytest.mark.usefixtures("underived")
def test_control_a_file_that_is_in_order_is_derived() -> None:
    for vector in (QUICK, SLOW):
        with pytest.raises(AssertionError, match="it was derived"):
            opened(vector["file"])


@pytest.mark.usefixtures("underived")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        "{",
        "[" * 4000,
        '{"version": 3, "version": 3}',
        '{"version": 3, "crypto": {"mac": "", "mac": ""}}',
        '{"version": ' + "9" * 4090 + "}",
        b'{"a": "\xff"}',
        '{"version": NaN}',
    ],
)
def test_what_is_not_json_or_says_something_twice_is_refused(text: str | bytes) -> None:
    with pytest.raises(ImportRefused, match="This is no file of Web3 Secret Storage") as refused:
        read(guarded(text), guarded(PASSWORD))
    assert refused.value.__context__ is None, "the parser's own error quotes the file"


@pytest.mark.parametrize("name", ["version", "crypto", "mac", "n", "iv", "address", "id"])
def test_a_member_that_is_there_twice_is_refused_even_if_it_says_the_same(name: str) -> None:
    text = json.dumps(QUICK["file"])
    start = text.index(f'"{name}": ')
    _, end = json.JSONDecoder().raw_decode(text, start + len(f'"{name}": '))
    member = text[start:end]
    assert plain(read(guarded(text), guarded(QUICK["password"]))).hex() == QUICK["secret"]
    with pytest.raises(ImportRefused, match="has a member twice"):
        read(guarded(text.replace(member, f"{member}, {member}")), guarded(QUICK["password"]))


@pytest.mark.parametrize("bit", [0, 77, 255])
def test_a_file_that_does_not_give_back_its_key_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch, bit: int
) -> None:
    crypted = web3_storage._crypted

    def slipping(derived: Guarded, iv: bytes, content: bytes | memoryview) -> Guarded:
        changed = int.from_bytes(content) ^ (isinstance(content, memoryview) << bit)
        return crypted(derived, iv, changed.to_bytes(32))

    monkeypatch.setattr(web3_storage, "_crypted", slipping)
    with pytest.raises(KeyRefused, match="not what is read"):
        write(guarded(bytes.fromhex(QUICK["secret"])), guarded(PASSWORD), cost=CHEAP)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["version", "crypto", "kdf", "kdfparams", "cipherparams", "n", "x"]),
        inner,
        max_size=4,
    ),
    max_leaves=8,
))  # fmt: skip
def test_any_json_is_a_file_or_refused(document: Any) -> None:
    with pytest.raises(ImportRefused):
        opened({"version": 3, **document} if isinstance(document, dict) else document)


@pytest.mark.parametrize("place", ["ciphertext", "mac"])
def test_a_changed_file_is_refused_before_it_is_decrypted(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    document = copy.deepcopy(QUICK["file"])
    text = document["crypto"][place]
    document["crypto"][place] = text[:-1] + ("0" if text[-1] != "0" else "1")

    def crypted(*_: object) -> Guarded:
        raise AssertionError("it was decrypted")

    monkeypatch.setattr(web3_storage, "_crypted", crypted)
    with pytest.raises(ImportRefused, match="or the file was changed") as refused:
        opened(document)
    assert refused.value.why is ImportProblem.WRONG_PASSWORD
    with pytest.raises(AssertionError, match="it was decrypted"):  # The control.
        opened(QUICK["file"])


def test_an_address_has_to_be_the_keys_where_there_is_one() -> None:
    document = copy.deepcopy(QUICK["file"])
    own = document["address"]
    for spelled in (own, own.lower(), f"0x{own}", own.upper()):
        document["address"] = spelled
        assert opened(document) == QUICK["secret"]
    del document["address"]
    assert opened(document) == QUICK["secret"]
    document["address"] = own[:-1] + ("0" if own[-1] != "0" else "1")
    with pytest.raises(ImportRefused, match=f"0x{document['address'].lower()}.*0x{own}") as refused:
        opened(document)
    assert refused.value.why is ImportProblem.OTHER_ADDRESS


def test_a_file_of_old_programs_names_its_crypto_with_a_capital() -> None:
    document = copy.deepcopy(QUICK["file"])
    document["Crypto"] = document.pop("crypto")
    document["gethFilename"] = "what others add does not matter"
    assert opened(document) == QUICK["secret"]


def test_what_a_file_holds_has_to_be_a_key() -> None:
    """The iv is no part of what the MAC covers, so another one decrypts to anything."""
    document = copy.deepcopy(QUICK["file"])
    del document["address"]
    document["crypto"]["cipherparams"]["iv"] = "00" * 16
    assert opened(document) != QUICK["secret"], "only the address shows it"
    with pytest.raises(ImportRefused, match="it is that of"):
        opened({**document, "address": QUICK["file"]["address"]})


def test_without_memory_nothing_is_known_about_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Poor:
        @staticmethod
        def crypto_pwhash_scryptsalsa208sha256_ll(*_: object) -> int:
            return -1

    cost = Scrypt(n=2**18, r=8, p=1)
    file = web3_storage._parsed(json.dumps(QUICK["file"]).encode())
    derived = Guarded(32)
    monkeypatch.setattr(web3_storage, "libsodium", Poor)
    with pytest.raises(DerivationFailed, match="256 MiB"):
        web3_storage._scrypt(guarded(PASSWORD), derived, file.salt, cost)


def test_the_address_of_the_wikis_key_is_the_one_that_it_names() -> None:
    key = Secp256k1Key(guarded(bytes.fromhex(SLOW["secret"])))
    assert key.address.lower() == "0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b"
