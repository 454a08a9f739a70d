"""Verifying owners' signatures: `waiaas.ports.OwnerSignatures`.

ed25519 (RFC 8032) by libsodium, which refuses a scalar past the group's order and keys of small
order. secp256k1 as wallets' `personal_sign` makes it (EIP-191, version 0x45): the key is recovered
from the signature (libsecp256k1) and its address compared; only the lower of the two equivalent `s`
is taken (EIP-2), so that no second signature can be made from a first.
"""

import base64
import binascii
from typing import Final

import coincurve
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from waiaas.domain.addresses import base58_bytes
from waiaas.domain.enums import ChainType
from waiaas.domain.evm_address import evm_address
from waiaas.domain.keccak import keccak256
from waiaas.domain.owner import wallet_chain

_ED25519_BYTES: Final = 64
_SECP256K1_BYTES: Final = 65
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half of the order of secp256k1 (SEC 2, section 2.4.1)."""
_RECOVERY_IDS: Final = {0: 0, 1: 1, 27: 0, 28: 1}
"""By the last byte; 27 and 28 come from Bitcoin, and some wallets leave them out."""


class WalletSignatures:
    """Both kinds of wallet, told apart by the address."""

    def verify(self, address: str, message: str, signature: str) -> bool:
        content = message.encode("utf-8")
        match wallet_chain(address):
            case ChainType.ETHEREUM:
                return _verify_personal_sign(address, content, signature)
            case ChainType.SOLANA:
                return _verify_ed25519(address, content, signature)
            case None:
                return False


def _verify_ed25519(address: str, message: bytes, signature: str) -> bool:
    raw, key = _base58_or_base64(signature), base58_bytes(address)
    if raw is None or key is None or len(raw) != _ED25519_BYTES:
        return False
    try:
        VerifyKey(key).verify(message, raw)
    except BadSignatureError:
        return False
    return True


def _verify_personal_sign(address: str, message: bytes, signature: str) -> bool:
    try:
        raw = binascii.unhexlify(signature.removeprefix("0x"))
    except ValueError:
        return False
    if len(raw) != _SECP256K1_BYTES or raw[-1] not in _RECOVERY_IDS:
        return False
    if int.from_bytes(raw[32:64], "big") > _HALF_ORDER:
        return False
    digest = keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)
    compact = raw[:64] + bytes([_RECOVERY_IDS[raw[-1]]])
    try:
        key = coincurve.PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except Exception:  # noqa: BLE001 -- coincurve raises plain ones for what is no point
        return False
    return evm_address(key.format(compressed=False)[1:]) == address


def _base58_or_base64(text: str) -> bytes | None:
    """Decode 64 bytes: base64 of them ends with `==`, which base58 does not have."""
    if not text.endswith("=="):
        return base58_bytes(text)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
