"""The daemon's log: one JSON object per line, on stderr."""

import contextlib
import logging
import os
from typing import Final

import structlog

_STDERR: Final = 2


class Stderr:
    """What structlog writes lines with. A log that nobody reads any more stops nothing."""

    def msg(self, line: str) -> None:
        # Past Python's buffer, which would be tried again at the end and spoil the exit status.
        with contextlib.suppress(OSError):
            os.write(_STDERR, f"{line}\n".encode("utf-8", "backslashreplace"))

    info = warning = error = critical = msg


def end_process(sentence: str, *, status: int) -> None:
    """Say why, and end the process at once, whatever its other threads do: no clean-up, no exit."""
    Stderr().msg(f"waiaas: {sentence}")
    os._exit(status)


def log_to_stderr() -> None:
    """Have every log line be one JSON object on stderr."""
    # uvicorn says in plain text, at any caller's will, that a request was malformed.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_: Stderr(),
    )
