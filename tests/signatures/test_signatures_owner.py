"""Owners' signatures: vectors of the standards and of other programs; nothing else is taken."""

import base64

import coincurve
import pytest
from nacl.signing import SigningKey

from waiaas.domain.addresses import solana_address
from waiaas.domain.evm_address import evm_address
from waiaas.domain.keccak import keccak256
from waiaas.owner_signatures import WalletSignatures

verify = WalletSignatures().verify

# RFC 8032, section 7.1, tests 1 and 2: public key, message, signature.
ED25519 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
            "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "r",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
            "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

# The example of web3.js's documentation of `accounts.sign`, made by another library than ours.
ETHEREUM = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
SIGNATURE = (
    "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd"
    "6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a029"
)
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def base58(raw: bytes) -> str:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


@pytest.mark.parametrize(("public_key", "message", "signature"), ED25519)
def test_a_solana_wallets_signature_is_taken_in_base58_and_base64(
    public_key: str, message: str, signature: str
) -> None:
    address, raw = solana_address(bytes.fromhex(public_key)), bytes.fromhex(signature)
    for text in (base58(raw), base64.b64encode(raw).decode()):
        assert verify(address, message, text)
        assert not verify(address, message + "x", text)
        assert not verify(ETHEREUM, message, text)


@pytest.mark.parametrize("last", ["1c", "01", "1C"])
@pytest.mark.parametrize("prefix", ["0x", ""])
def test_an_ethereum_wallets_signature_is_taken_with_either_recovery_byte(
    prefix: str, last: str
) -> None:
    assert verify(ETHEREUM, "Some data", prefix + SIGNATURE + last)
    assert not verify(ETHEREUM, "Some datA", prefix + SIGNATURE + last)
    assert not verify("0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf", "Some data", SIGNATURE + last)


@pytest.mark.parametrize("last", ["00", "1b", "02", "1d", "25", "ff"])
def test_another_recovery_byte_is_another_key_or_none(last: str) -> None:
    assert not verify(ETHEREUM, "Some data", SIGNATURE + last)


def test_the_second_signature_that_anybody_can_make_of_a_first_is_refused() -> None:
    public_key, message, signature = ED25519[1]
    raw = bytes.fromhex(signature)
    scalar = int.from_bytes(raw[32:], "little") + ED25519_ORDER
    bent = base58(raw[:32] + scalar.to_bytes(32, "little"))
    assert not verify(solana_address(bytes.fromhex(public_key)), message, bent)

    raw = bytes.fromhex(SIGNATURE)
    negated = (SECP256K1_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert not verify(ETHEREUM, "Some data", (raw[:32] + negated + b"\x1b").hex())


def test_control_without_the_rule_about_s_that_second_signature_recovers_the_same_key() -> None:
    raw = bytes.fromhex(SIGNATURE)
    negated = (SECP256K1_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    digest = keccak256(b"\x19Ethereum Signed Message:\n9Some data")
    bent = raw[:32] + negated + b"\x00"
    key = coincurve.PublicKey.from_signature_and_message(bent, digest, hasher=None)
    assert evm_address(key.format(compressed=False)[1:]) == ETHEREUM


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_key_of_small_order_signs_nothing(key: bytes) -> None:
    """For such a key, R = identity and s = 0 would be a signature over every message."""
    identity = b"\x01" + bytes(31)
    for first in (identity, key, bytes(32)):
        assert not verify(solana_address(key), "anything", base58(first + bytes(32)))


@pytest.mark.parametrize(
    "signature",
    ["", "0", "0x", "x" * 200, "é", "==", "A==", "1" * 64, "1" * 88, "A" * 86 + "==",
     "0x" + "0" * 130,     "0x" + "f" * 128 + "1b",
     "0x" + "z" * 130, SIGNATURE, SIGNATURE + "1c00", "0x0x" + SIGNATURE,
     "=" * 88, " " * 88, "\0" * 88],
)  # fmt: skip
@pytest.mark.parametrize(
    "address",
    [ETHEREUM, "So11111111111111111111111111111111111111112", "", "nobody", ETHEREUM.lower()],
)
def test_what_is_malformed_is_no_signature_and_no_error(address: str, signature: str) -> None:
    assert not verify(address, "Some data", signature)


def test_a_signature_over_the_text_with_another_end_of_line_is_another() -> None:
    key = SigningKey(bytes(32))
    signature = base58(key.sign(b"a\nb").signature)
    address = solana_address(bytes(key.verify_key))
    assert verify(address, "a\nb", signature)
    assert not verify(address, "a\r\nb", signature)
    assert not verify(address, "a\nb\n", signature)
