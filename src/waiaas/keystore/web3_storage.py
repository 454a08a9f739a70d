"""Web3 Secret Storage, version 3: Ethereum's wallets keep one key under a password in such a file.

The format is that of the Ethereum wiki's "Web3 Secret Storage Definition", as geth writes it:

    derived     32 bytes: scrypt (RFC 7914) or PBKDF2-HMAC-SHA256 (RFC 8018) of the password
    ciphertext  the secret, AES-128 in counter mode under derived[:16]
    mac         keccak256(derived[16:] || ciphertext): whether the password is right

Old programs left leading zeros of the secret out, one key in 256 has some. They are put back, if
the file names the address of its key: nothing else would show that it is whole.

A file may be anybody's: what it asks of the machine is bounded before anything is derived, and the
MAC is compared before anything is decrypted. The MAC cannot tell a wrong password from a changed
file. The `id` is not looked at, nor is what other programs add.
"""

import hmac
import json
import re
import secrets
import uuid
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from waiaas.domain.enums import ChainType, ImportProblem
from waiaas.domain.keccak import keccak256
from waiaas.keystore.errors import DerivationFailed, ImportRefused, KeyRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.libsodium import libsodium
from waiaas.keystore.secp256k1 import SECRET_BYTES, Secp256k1Key

VERSION: Final = 3
CIPHER: Final = "aes-128-ctr"
DERIVED_BYTES: Final = 32
_SECRET_BYTES_MIN: Final = SECRET_BYTES - 2
"""One key in 65,536 has two leading zeros; nobody has to bring one with more."""
_CIPHER_KEY_BYTES: Final = 16
_IV_BYTES: Final = 16
_MAC_BYTES: Final = 32
_SALT_BYTES: Final = 32
_SALT_BYTES_MIN: Final = 8
_SALT_BYTES_MAX: Final = 64

SCRYPT_BYTES_MAX: Final = 2**30
"""Bound on 128·n·r·p, which is scrypt's work: four times what geth asks. Its memory is that of
128·r·(n + p + 2), and the time of a step grows with a small r: hence the next two."""
SCRYPT_R_MAX: Final = 32
SCRYPT_P_MAX: Final = 16
"""Of what wallets write r is 1 or 8, and p is 1 to 8. The dearest that is left took 1,024 MiB, and
with r = 1 5 s of a loaded machine; without these two n = 2 and r = 2^22 took 2,560 MiB and 11 s."""
ROUNDS_MAX: Final = 10**7
"""Bound on PBKDF2's rounds: some seconds."""

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")
_ADDRESS: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{40})")
_REMEDY: Final = "Give the file that the wallet wrote, unchanged."


@dataclass(frozen=True, slots=True)
class Scrypt:
    """What a derivation by scrypt costs; its bounds are `problem`'s."""

    n: int
    r: int
    p: int

    @property
    def problem(self) -> str | None:
        """Why nothing is derived with this, or None."""
        if min(self.n - 1, self.r, self.p) < 1 or self.n & (self.n - 1):
            return "its scrypt wants an n that is a power of two, and r and p from 1 on"
        if self.r > SCRYPT_R_MAX or self.p > SCRYPT_P_MAX:
            return f"its scrypt asks too much: r may be {SCRYPT_R_MAX} at most, p {SCRYPT_P_MAX}"
        if 128 * self.n * self.r * self.p > SCRYPT_BYTES_MAX:
            return "its scrypt asks too much: 128·n·r·p may be 2^30 at most"
        return None

    @property
    def written(self) -> dict[str, int]:
        """The parameters as a file has them."""
        return {"n": self.n, "p": self.p, "r": self.r}


GETH: Final = Scrypt(n=2**18, r=8, p=1)
"""What geth writes: 256 MiB and about a second."""


@dataclass(frozen=True, slots=True)
class _Pbkdf2:
    rounds: int

    @property
    def problem(self) -> str | None:
        if not 1 <= self.rounds <= ROUNDS_MAX:
            return f"its PBKDF2 has no number of rounds from 1 to {ROUNDS_MAX}"
        return None


@dataclass(frozen=True, slots=True)
class _File:
    """What a file says; none of it is secret without the password."""

    kdf: Scrypt | _Pbkdf2
    salt: bytes
    iv: bytes
    ciphertext: bytes
    mac: bytes
    address: str | None
    """40 digits, if it is there."""


def read(content: Guarded, password: Guarded) -> Guarded:
    """Return the secret in a file, the scalar of 32 bytes; the caller frees it.

    Raises:
        ImportRefused: it is no such file, asks too much, is not opened by *password*, was changed,
            or holds another key than it says.
        DerivationFailed: there is no memory.
    """
    with content.readable() as view:
        file = _parsed(bytes(view))
    derived = _derived(password, file)
    try:
        if not hmac.compare_digest(_mac(derived, file.ciphertext), file.mac):
            raise ImportRefused(
                "The password does not open this file, or the file was changed: its check value"
                " tells no more.",
                remedy="Type the password of the file, not the master password; or take the file"
                " from where it was first.",
                why=ImportProblem.WRONG_PASSWORD,
            )
        secret = _crypted(derived, file.iv, file.ciphertext)
    finally:
        derived.free()
    try:
        _require_own_address(secret, file.address)
    except BaseException:
        secret.free()
        raise
    return secret


def write(secret: Guarded, password: Guarded, *, cost: Scrypt = GETH) -> bytes:
    """Return the content of a new file that holds *secret*, a scalar, under *password*.

    It was read back, and gave the same. Salt, iv and id are random.

    Raises:
        KeyRefused: it did not.
        DerivationFailed: there is no memory.
    """
    assert cost.problem is None
    salt, iv = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_IV_BYTES)
    key = Secp256k1Key(secret)
    key.free()
    plain = _File(cost, salt, iv, b"", b"", key.address)
    derived = _derived(password, plain)
    try:
        with secret.readable() as view:
            sealed = _crypted(derived, iv, view)
        with sealed.readable() as view:
            ciphertext = bytes(view)  # No secret any more.
        sealed.free()
        mac = _mac(derived, ciphertext)
    finally:
        derived.free()
    document = {
        "address": key.address.removeprefix("0x").lower(),
        "crypto": {
            "cipher": CIPHER,
            "ciphertext": ciphertext.hex(),
            "cipherparams": {"iv": iv.hex()},
            "kdf": "scrypt",
            "kdfparams": {"dklen": DERIVED_BYTES, **cost.written, "salt": salt.hex()},
            "mac": mac.hex(),
        },
        "id": str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
        "version": VERSION,
    }
    content = json.dumps(document, separators=(",", ":")).encode()
    try:
        read(Guarded.copy_of(content), password).free()  # It sees whether its key is the address's.
    except ImportRefused:
        raise KeyRefused(
            ChainType.ETHEREUM, problem="what was written is not what is read"
        ) from None
    return content


# ── what the file says ─────────────────────────────────────────────────────────────────────────


def _parsed(content: bytes) -> _File:
    try:
        document = json.loads(content, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        document = None  # Raised below, for the error may quote the file.
    if not isinstance(document, dict):
        raise _no_file("it is not JSON, or has a member twice")
    if type(document.get("version")) is not int or document["version"] != VERSION:
        raise _no_file("its version is not 3")
    crypto = document.get("crypto", document.get("Crypto"))  # Old programs wrote the capital.
    if not isinstance(crypto, dict) or ("crypto" in document and "Crypto" in document):
        raise _no_file("it has no `crypto`")
    if crypto.get("cipher") != CIPHER:
        raise _no_file(f"its cipher is not {CIPHER}")
    parameters, costs = crypto.get("cipherparams"), crypto.get("kdfparams")
    if not isinstance(parameters, dict) or not isinstance(costs, dict):
        raise _no_file("it has no `cipherparams` or no `kdfparams`")
    ciphertext = _hex(crypto, "ciphertext", least=_SECRET_BYTES_MIN, most=SECRET_BYTES)
    address = _address(document)
    if len(ciphertext) < SECRET_BYTES and address is None:
        raise _no_file(
            f"its key has {len(ciphertext)} bytes of {SECRET_BYTES}, and no address shows that only"
            " zeros were left out",
            remedy="Open it with the program that wrote it, and give what that exports.",
        )
    return _File(
        _kdf(crypto.get("kdf"), costs),
        _hex(costs, "salt", least=_SALT_BYTES_MIN, most=_SALT_BYTES_MAX),
        _hex(parameters, "iv", least=_IV_BYTES, most=_IV_BYTES),
        ciphertext,
        _hex(crypto, "mac", least=_MAC_BYTES, most=_MAC_BYTES),
        address,
    )


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of *members*; json by itself keeps the last of two equal names."""
    document = dict(members)
    if len(document) != len(members):
        raise ValueError("a member is there twice")
    return document


def _kdf(name: object, costs: dict[str, Any]) -> Scrypt | _Pbkdf2:
    """Return how the password is turned into keys, if that is bearable."""
    kdf: Scrypt | _Pbkdf2
    if name == "scrypt":
        kdf = Scrypt(n=_integer(costs, "n"), r=_integer(costs, "r"), p=_integer(costs, "p"))
    elif name == "pbkdf2":
        if costs.get("prf") != "hmac-sha256":
            raise _no_file("its PBKDF2 is not with hmac-sha256")
        kdf = _Pbkdf2(_integer(costs, "c"))
    else:
        raise _no_file("its kdf is neither scrypt nor pbkdf2")
    if kdf.problem is not None:
        raise _no_file(kdf.problem)
    if _integer(costs, "dklen") != DERIVED_BYTES:
        raise _no_file(f"its dklen is not {DERIVED_BYTES}")
    return kdf


def _integer(members: dict[str, Any], name: str) -> int:
    number = members.get(name)
    if type(number) is not int:
        raise _no_file(f"its `{name}` is not a whole number")
    return number


def _hex(members: dict[str, Any], name: str, *, least: int, most: int) -> bytes:
    text = members.get(name)
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise _no_file(f"its `{name}` is not hexadecimal")
    if not least <= len(text) // 2 <= most:
        size = f"{least}" if least == most else f"{least} to {most}"
        raise _no_file(f"its `{name}` has not {size} bytes")
    return bytes.fromhex(text)


def _address(document: dict[str, Any]) -> str | None:
    if "address" not in document:
        return None
    text = document["address"]
    found = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise _no_file("its address is not 40 hexadecimal digits")
    return found[1].lower()


def _no_file(problem: str, *, remedy: str = _REMEDY) -> ImportRefused:
    return ImportRefused(
        f"This is no file of Web3 Secret Storage that is read: {problem}.",
        remedy=remedy,
        why=ImportProblem.NOT_THE_FORMAT,
    )


def _require_own_address(secret: Guarded, address: str | None) -> None:
    try:
        key = Secp256k1Key(secret)
    except KeyRefused:
        raise _no_file("what it holds is no key") from None
    key.free()
    if address is not None and key.address.removeprefix("0x").lower() != address:
        raise ImportRefused(
            f"The file says that its key is that of 0x{address}, and it is that of {key.address}.",
            remedy=_REMEDY,
            why=ImportProblem.OTHER_ADDRESS,
        )


# ── what is done with the password ─────────────────────────────────────────────────────────────


def _derived(password: Guarded, file: _File) -> Guarded:
    derived = Guarded(DERIVED_BYTES)
    try:
        with password.readable() as source, derived.writable() as target:
            match file.kdf:
                case Scrypt():
                    _scrypt(password, derived, file.salt, file.kdf)
                case _Pbkdf2(rounds):
                    PBKDF2HMAC(SHA256(), DERIVED_BYTES, file.salt, rounds).derive_into(
                        source, target
                    )
    except BaseException:
        derived.free()
        raise
    return derived


def _scrypt(password: Guarded, derived: Guarded, salt: bytes, cost: Scrypt) -> None:
    """Fill *derived*; both are open. Its working memory is libsodium's own, and is not cleared."""
    failed = libsodium().crypto_pwhash_scryptsalsa208sha256_ll(
        *(password.address, len(password)),
        *(salt, len(salt)),
        *(cost.n, cost.r, cost.p),
        *(derived.address, len(derived)),
    )
    if failed:
        raise DerivationFailed(memory_kib=cost.n * cost.r // 8)


def _mac(derived: Guarded, ciphertext: bytes) -> bytes:
    """Return the check value; half of what was derived is in ordinary memory, and decrypts nothing.

    It tells whether a password is right, as the file itself does.
    """
    with derived.readable() as view:
        return keccak256(bytes(view[_CIPHER_KEY_BYTES:]) + ciphertext)


def _crypted(derived: Guarded, iv: bytes, content: bytes | memoryview) -> Guarded:
    """Return *content*, of 32 bytes at most, encrypted or, which is the same in this mode, not.

    What is shorter gets zeros in front.
    """
    crypted = Guarded(SECRET_BYTES)
    missing = SECRET_BYTES - len(content)
    with derived.readable() as key, crypted.writable() as target:
        target[:missing] = bytes(missing)
        encryptor = Cipher(AES(key[:_CIPHER_KEY_BYTES]), CTR(iv)).encryptor()
        encryptor.update_into(content, target[missing:])
    return crypted
