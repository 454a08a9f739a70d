"""From a password to keys: Argon2id, its parameters, and the bounds they must keep.

The parameters come out of a file that anybody with write access can edit, so they are checked
before any memory is asked for: too little would give the password away to guessing, too much would
stop the daemon with one edited number.
"""

from typing import Final, Literal, NamedTuple, Self

import msgspec
from argon2 import low_level
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from waiaas.keystore.errors import DerivationFailed
from waiaas.keystore.guarded import Guarded, guarded_copy
from waiaas.keystore.secrecy import SecretHolder

KEY_BYTES: Final = 32
"""Every key here, and the commitment, has 256 bits."""

SALT_BYTES: Final = 16

MEMORY_KIB: Final = 64 * 1024
"""What a new keystore costs per guess: 64 MiB, 0.1 s on four cores (RFC 9106, second choice)."""
PASSES: Final = 3
LANES: Final = 4


class Cost(NamedTuple):
    """What one guess at a password costs, in Argon2's numbers."""

    memory_kib: int
    passes: int
    lanes: int


CURRENT: Final = Cost(MEMORY_KIB, PASSES, LANES)
"""What this release asks of a password."""

MEMORY_KIB_MAX: Final = 1024 * 1024
"""1 GiB: room to grow by a factor of 16, and no more than a small machine survives."""
PASSES_MAX: Final = 10
LANES_MAX: Final = 16

_COMMITMENT_LABEL: Final = b"waiaas keystore 1 commitment"
_WRAPPING_LABEL: Final = b"waiaas keystore 1 wrapping"


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one keystore's password becomes its keys; stored in the clear."""

    algorithm: Literal["argon2id"]
    """Argon2id version 0x13 (RFC 9106), 32 bytes out."""
    memory_kib: int
    passes: int
    lanes: int
    salt: bytes
    """16 random bytes, made anew whenever a password is set."""

    @classmethod
    def current(cls, *, salt: bytes, cost: Cost = CURRENT) -> Self:
        """Return what this release chooses for a new password."""
        return cls(algorithm="argon2id", **cost._asdict(), salt=salt)

    def raised_to(self, cost: Cost) -> Cost:
        """Return a cost that is in no number lower than *cost*, nor than what there is already."""
        return Cost(*map(max, zip(self.cost, cost, strict=True)))

    @property
    def cost(self) -> Cost:
        """What a guess costs."""
        return Cost(self.memory_kib, self.passes, self.lanes)


class PasswordKeys(SecretHolder):
    """What a password gives: a value that proves it, and the key it stands for."""

    __slots__ = ("commitment", "wrapping_key")

    def __init__(self, *, commitment: bytes, wrapping_key: Guarded) -> None:
        self.commitment = commitment
        """Stored in the clear. Only this password, salt and cost give it, so comparing it decides
        whether the password is right, and ties the file to one wrapping key: AES-GCM alone would
        let a crafted file open under several."""
        self.wrapping_key = wrapping_key
        """Seals the keystore key. Its owner frees it."""


def check_bounds(parameters: Parameters) -> None:
    """Return if *parameters* are neither weaker nor dearer than this release accepts.

    The least that is accepted is what the first release wrote: no keystore was ever weaker, so a
    weaker one was edited.

    Raises:
        ValueError: they are; the message names the number and its bounds.
    """
    for name, value, least, most in (
        ("memory_kib", parameters.memory_kib, MEMORY_KIB, MEMORY_KIB_MAX),
        ("passes", parameters.passes, PASSES, PASSES_MAX),
        ("lanes", parameters.lanes, LANES, LANES_MAX),
        ("the length of salt", len(parameters.salt), SALT_BYTES, SALT_BYTES),
    ):
        if not least <= value <= most:
            raise ValueError(f"its Argon2id {name} is not between {least} and {most}")


def derive(password: Guarded | bytes, *, parameters: Parameters) -> PasswordKeys:
    """Return the keys that *password* gives; takes about 0.1 s and 64 MiB, without the GIL.

    Raises:
        ValueError: the parameters are out of bounds; Argon2 was not started.
        DerivationFailed: Argon2 could not get its memory or its threads.
    """
    check_bounds(parameters)
    root = Guarded(KEY_BYTES)
    try:
        with guarded_copy(password) as guarded:
            _argon2id(guarded, root, parameters=parameters)
        proof = expand(root, label=_COMMITMENT_LABEL)
        with proof.readable() as view:
            commitment = bytes(view)  # It is stored in the clear.
        return PasswordKeys(commitment=commitment, wrapping_key=expand(root, label=_WRAPPING_LABEL))
    finally:
        root.free()


def _argon2id(password: Guarded, root: Guarded, *, parameters: Parameters) -> None:
    """Fill *root*, through pointers: argon2-cffi's own functions want and return `bytes`.

    Argon2 overwrites its working memory before it gives it back, as is its default.
    """
    ffi = low_level.ffi
    salt = ffi.from_buffer("uint8_t[]", parameters.salt)
    with password.readable(), root.writable():
        context = ffi.new(
            "argon2_context *",
            {
                "out": ffi.cast("uint8_t *", root.address),
                "outlen": len(root),
                "pwd": ffi.cast("uint8_t *", password.address),
                "pwdlen": len(password),
                "salt": salt,
                "saltlen": len(parameters.salt),
                "t_cost": parameters.passes,
                "m_cost": parameters.memory_kib,
                "lanes": parameters.lanes,
                "threads": parameters.lanes,
                "version": 0x13,
                "flags": 0,
            },
        )
        failure = low_level.core(context, low_level.Type.ID.value)
    if failure:
        raise DerivationFailed(memory_kib=parameters.memory_kib)


def expand(key: Guarded, *, label: bytes) -> Guarded:
    """Return the key for one use of *key*: HKDF-Expand with SHA-256 (RFC 5869).

    One key is never put to two uses: each use has its own label, and knowing the key of one use
    says nothing about another's.
    """
    expanded = Guarded(KEY_BYTES)
    expand_with_sha256 = HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=label)
    with key.readable() as source, expanded.writable() as target:
        expand_with_sha256.derive_into(source, target)
    return expanded
