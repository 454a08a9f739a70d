"""A sign of life while something takes long: one line on a terminal, nothing anywhere else."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_PATIENCE_S: Final = 0.5
"""What is done by then needs no line."""

_ERASED: Final = "\r\x1b[K"


@contextmanager
def working(doing: str, *, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Say what is being done, and for how long, if the block takes long and a person waits.

    Nobody may be asked anything in the block: the question would be written over.
    """
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def tick() -> None:
        seconds = 0.0
        while not done.wait(patience_s):
            seconds += patience_s
            sys.stderr.write(f"{_ERASED}{doing} … {seconds:.0f} s")
            sys.stderr.flush()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield
    finally:
        done.set()
        ticking.join()
        sys.stderr.write(_ERASED)
        sys.stderr.flush()
