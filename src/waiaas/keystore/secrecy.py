"""How objects with secrets inside behave when something looks at them.

Best effort, and not more: these rules stop accidents (a log line, a debugger's repr, a pickle in a
cache), not code in this process that wants the bytes. Python may also have copied a secret before
`wipe` overwrites the buffer it was given, and immutable `bytes`, such as the password and what
Argon2 returns, cannot be overwritten at all.
"""

from typing import NoReturn


class SecretHolder:
    """Base of classes that hold secrets: says nothing of itself and cannot be copied out."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: contents withheld>"

    def __reduce__(self) -> NoReturn:  # `pickle` and `copy` both ask this
        raise TypeError(f"{type(self).__name__} holds secrets: it is not pickled or copied")


def wipe(buffer: bytearray) -> None:
    """Overwrite *buffer* with zeros, in place."""
    buffer[:] = bytes(len(buffer))
