"""How objects with secrets inside behave when something looks at them.

Best effort, and not more: these rules stop accidents (a log line, a debugger's repr, a pickle in a
cache), not code in this process that wants the bytes. Those are in `waiaas.keystore.guarded`.
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
    """Overwrite *buffer* with zeros, in place; what Python copied before stays where it is."""
    buffer[:] = bytes(len(buffer))
