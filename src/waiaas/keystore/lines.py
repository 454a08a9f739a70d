"""Reading a secret from a descriptor straight into guarded memory, past Python's buffers."""

import os
from typing import Final

from waiaas.keystore.guarded import Guarded

LINE_BYTES_MAX: Final = 4096

SECRET_BYTES_MAX: Final = 4096
"""No secret key in text comes near it."""

_NEWLINE: Final = 0x0A
_RETURN: Final = 0x0D


def read_line(descriptor: int) -> Guarded | None:
    """Return the first line, without its end; None if there is nothing more to read.

    Whoever writes it need not close his end. Of a longer line the first 4096 bytes are returned.

    Raises:
        OSError: the descriptor cannot be read.
    """
    buffer = Guarded(LINE_BYTES_MAX)
    try:
        with buffer.writable() as view:
            filled, end = 0, None
            while end is None and filled < LINE_BYTES_MAX:
                count = os.readv(descriptor, [view[filled:]])
                if not count:
                    break
                read = range(filled, filled + count)
                end = next((place for place in read if view[place] == _NEWLINE), None)
                filled += count
            if not filled:
                return None
            size = filled if end is None else end
            if size and view[size - 1] == _RETURN:
                size -= 1
            return Guarded.copy_of(view[:size])
    finally:
        buffer.free()


def read_secret(descriptor: int) -> Guarded | None:
    """Return everything there is, to the end; None if that is more than 4096 bytes.

    Raises:
        OSError: the descriptor cannot be read.
    """
    buffer = Guarded(SECRET_BYTES_MAX + 1)
    try:
        with buffer.writable() as view:
            filled = 0
            while filled < len(view) and (count := os.readv(descriptor, [view[filled:]])):
                filled += count
            return None if filled > SECRET_BYTES_MAX else Guarded.copy_of(view[:filled])
    finally:
        buffer.free()
