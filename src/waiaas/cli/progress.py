"""A sign of life while something takes long: one line on a terminal, nothing anywhere else."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from waiaas.cli.context import Form, form_asked_for

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

_PATIENCE_S: Final = 0.5
"""What is done by then needs no line."""

_ERASED: Final = "\r\x1b[K"


class Line:
    """The line, if there is one; a question amid the work has the terminal for itself."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._seconds = 0.0
        self._terminal = threading.Lock()

    def pausing(self, ask: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
        """Return *ask*, during which the line is gone; behind it the time begins anew."""

        def asked(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
            with self._terminal:
                self._erase()
                answer = ask(*args, **kwargs)
                self._seconds = 0
                return answer

        return asked

    def tick(self, done: threading.Event, *, patience_s: float) -> None:
        """Show the line again and again, until *done*."""
        while not done.wait(patience_s):
            if not self._terminal.acquire(blocking=False):
                continue  # Somebody is being asked.
            self._seconds += patience_s
            sys.stderr.write(f"{_ERASED}{self._doing} … {self._seconds:.0f} s")
            sys.stderr.flush()
            self._terminal.release()
        self._erase()

    def _erase(self) -> None:
        if self._seconds:
            sys.stderr.write(_ERASED)
            sys.stderr.flush()


@contextmanager
def working(doing: str, *, patience_s: float = _PATIENCE_S) -> Iterator[Line]:
    """Say what is being done, and for how long, if the block takes long and a person waits.

    Nobody waits with --json or --quiet. Whoever is asked something in the block is asked through
    `Line.pausing`: the question would be written over.
    """
    line = Line(doing)
    if not sys.stderr.isatty() or form_asked_for() is not Form.PEOPLE:
        yield line
        return
    done = threading.Event()
    ticking = threading.Thread(
        target=line.tick, args=(done,), kwargs={"patience_s": patience_s}, daemon=True
    )
    ticking.start()
    try:
        yield line
    finally:
        done.set()
        ticking.join()
