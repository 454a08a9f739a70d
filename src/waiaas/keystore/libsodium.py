"""The C library under the keystore: found once, with every function it needs, or refused.

PyNaCl ships libsodium inside its extension module, with all functions exported, though the guarded
memory is no part of PyNaCl's own interface. So each name is looked for before the first use; if
PyNaCl no longer exports one, the system's libsodium is tried; without either nothing starts.
"""

import ctypes
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Final

from waiaas.keystore.errors import GuardedMemoryUnavailable

_FUNCTIONS: Final[dict[str, tuple[type | None, tuple[type, ...]]]] = {
    "sodium_init": (ctypes.c_int, ()),
    "sodium_malloc": (ctypes.c_void_p, (ctypes.c_size_t,)),
    "sodium_free": (None, (ctypes.c_void_p,)),
    "sodium_mlock": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t)),
    "sodium_mprotect_noaccess": (ctypes.c_int, (ctypes.c_void_p,)),
    "sodium_mprotect_readonly": (ctypes.c_int, (ctypes.c_void_p,)),
    "sodium_mprotect_readwrite": (ctypes.c_int, (ctypes.c_void_p,)),
    "randombytes_buf": (None, (ctypes.c_void_p, ctypes.c_size_t)),
    "crypto_hash_sha512": (
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulonglong),
    ),
    "crypto_pwhash_scryptsalsa208sha256_ll": (
        ctypes.c_int,
        (
            *(ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_char_p, ctypes.c_size_t),
            *(ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32),
            *(ctypes.c_void_p, ctypes.c_size_t),
        ),
    ),
    "crypto_sign_seed_keypair": (
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    ),
    "crypto_sign_detached": (
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_void_p),
    ),
    "crypto_sign_verify_detached": (
        ctypes.c_int,
        (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_char_p),
    ),
}
"""What is called, with the types of result and arguments (libsodium 1.0.18, sodium/*.h)."""

_SYSTEM: Final = ("libsodium.so.26", "libsodium.so.23", "libsodium.dylib")


def load(candidates: Iterable[str]) -> ctypes.CDLL:
    """Return the first library that has every function, ready for use.

    Raises:
        GuardedMemoryUnavailable: none has.
    """
    for candidate in candidates:
        try:
            library = ctypes.CDLL(candidate)
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        if library.sodium_init() >= 0:  # 1: it was initialised before.
            return library
    raise GuardedMemoryUnavailable


@cache
def libsodium() -> ctypes.CDLL:
    """Return the library; raises as `load` does, each time."""
    found = find_spec("nacl._sodium")
    shipped = [] if found is None or found.origin is None else [found.origin]
    return load([*shipped, *_SYSTEM])
