"""From the seed of a mnemonic to one of its keys, in guarded memory from end to end.

    SLIP-10   keys of ed25519: hardened steps only, which are all that the curve has
    BIP-32    keys of secp256k1: hardened steps, and such as the parent's public key gives, too
    HMAC      RFC 2104 with SHA-512: PyNaCl's libsodium exports the hash alone, and libraries that
              have the rest return `bytes`, while half of what it gives here is a private key

A node is 64 bytes: the key, then the chain code.
"""

from collections.abc import Sequence
from typing import Final

from waiaas.domain.enums import ChainType, ImportProblem
from waiaas.keystore import secp256k1
from waiaas.keystore.errors import ImportRefused
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.libsodium import libsodium

INDEX_MAX: Final = 2**31 - 1
HARDENED: Final = 2**31
"""Added to the number of a step, makes it hardened, which is written with an apostrophe."""

_ED25519_MASTER: Final = b"ed25519 seed"
_SECP256K1_MASTER: Final = b"Bitcoin seed"
_KEY_BYTES: Final = 32
_NODE_BYTES: Final = 64
_SHA512_BLOCK_BYTES: Final = 128
_INNER_PAD: Final = 0x36
_OUTER_PAD: Final = 0x5C


def path_of(chain: ChainType, account: int) -> tuple[int, ...]:
    """Return where the wallets of a chain keep the key of an account (BIP-44, SLIP-44).

    On Solana m/44'/501'/<account>'/0', on Ethereum m/44'/60'/0'/0/<account>: there it is the last
    step, *address_index*, that most wallets count up.
    """
    assert 0 <= account <= INDEX_MAX
    match chain:
        case ChainType.SOLANA:
            return tuple(HARDENED + index for index in (44, 501, account, 0))
        case ChainType.ETHEREUM:
            return (HARDENED + 44, HARDENED + 60, HARDENED + 0, 0, account)


def derive(seed: Guarded, path: Sequence[int], *, chain: ChainType) -> Guarded:
    """Return the 32 secret bytes of the key of *chain* at *path*; the caller frees them.

    Args:
        seed: 16 to 64 bytes.
        path: the numbers of the steps, from 0 to 2^32 - 1.
        chain: whose curve it is. On Solana every step is hardened.

    Raises:
        ImportRefused: there is no key at this place, which is so once in 2^127 places.
    """
    match chain:
        case ChainType.SOLANA:
            return _derive_ed25519(seed, path)
        case ChainType.ETHEREUM:
            return _derive_secp256k1(seed, path)


def _derive_ed25519(seed: Guarded, path: Sequence[int]) -> Guarded:
    node = _master(_ED25519_MASTER, seed)
    for index in path:
        assert index >= HARDENED
        child = _mixed(node, index)
        node.free()
        node = child
    return _key_of(node)


def _derive_secp256k1(seed: Guarded, path: Sequence[int]) -> Guarded:
    node = _master(_SECP256K1_MASTER, seed)
    if not secp256k1.is_secret(node):
        node.free()
        raise _no_key()
    for index in path:
        child = _child_secp256k1(node, index)
        node.free()
        if child is None:
            raise _no_key()
        node = child
    return _key_of(node)


def _child_secp256k1(node: Guarded, index: int) -> Guarded | None:
    """Return the child of a node (CKDpriv of BIP-32): its key is the sum of two. None: of none."""
    point = None if index >= HARDENED else secp256k1.compressed_point(node)
    mixed = _mixed(node, index, instead_of_key=point)
    child = Guarded(_NODE_BYTES)
    with node.readable() as parent, mixed.readable() as new, child.writable() as view:
        view[:_KEY_BYTES] = parent[:_KEY_BYTES]
        view[_KEY_BYTES:] = new[_KEY_BYTES:]
    has_key = secp256k1.add(child, mixed)
    mixed.free()
    if not has_key:
        child.free()
        return None
    return child


def _master(label: bytes, seed: Guarded) -> Guarded:
    with Guarded.copy_of(label).readable() as key, seed.readable() as view:
        return hmac_sha512(key, view)


def _mixed(node: Guarded, index: int, *, instead_of_key: bytes | None = None) -> Guarded:
    """Return HMAC-SHA512 with the chain code, over the key or what stands in its place."""
    with node.readable() as view:
        step = index.to_bytes(4, "big")
        if instead_of_key is None:
            return hmac_sha512(view[_KEY_BYTES:], b"\0", view[:_KEY_BYTES], step)
        return hmac_sha512(view[_KEY_BYTES:], instead_of_key, step)


def _key_of(node: Guarded) -> Guarded:
    try:
        with node.readable() as view:
            return Guarded.copy_of(view[:_KEY_BYTES])
    finally:
        node.free()


def hmac_sha512(key: bytes | memoryview, *parts: bytes | memoryview) -> Guarded:
    """Return the 64 bytes of HMAC-SHA512 over *parts* one behind the other; the caller frees them.

    *key* is not longer than SHA-512's block, as all are here.
    """
    assert len(key) <= _SHA512_BLOCK_BYTES
    inner = _keyed(key, _INNER_PAD, parts)
    with inner.readable() as message:
        outer = _keyed(key, _OUTER_PAD, [message])
    inner.free()
    return outer


def _keyed(key: bytes | memoryview, pad: int, parts: Sequence[bytes | memoryview]) -> Guarded:
    """Return SHA-512 over the padded key, each byte of it changed, and *parts*."""
    message = Guarded(_SHA512_BLOCK_BYTES + sum(map(len, parts)))
    digest = Guarded(_NODE_BYTES)
    with message.writable() as view:
        for place in range(_SHA512_BLOCK_BYTES):
            view[place] = pad ^ (key[place] if place < len(key) else 0)
        place = _SHA512_BLOCK_BYTES
        for part in parts:
            view[place : place + len(part)] = part
            place += len(part)
    with message.readable(), digest.writable():
        libsodium().crypto_hash_sha512(digest.address, message.address, len(message))
    message.free()
    return digest


def _no_key() -> ImportRefused:
    return ImportRefused(
        "There is no key at this place: the curve has none for what is derived here.",
        remedy="Take another --account. It is so once in 2^127 places, so look twice.",
        why=ImportProblem.NO_KEY,
    )
