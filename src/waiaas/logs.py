"""The daemon's log on stderr: one JSON object per line, or on a terminal a line to be read.

What a request causes bears its `request_id`, also where a worker does it later. No part of the
program logs a secret; should one be about to, what it looks like is withheld here.
"""

import logging
import os
import re
import select
import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import structlog

_PATIENCE_MS: Final = 50
"""For a reader that is only slow; one that let a line be lost is not waited for again."""

_WITHHELD: Final = "[withheld]"

_NAMES: Final = "password|passphrase|mnemonic|seed|secret|private_?key|authorization|cookie"
_SECRET_NAME: Final = re.compile(_NAMES, re.IGNORECASE)
_NAMED_IN_TEXT: Final = re.compile(
    rf"""\b({_NAMES})(\\?["']?\s*[:=]\s*)"""
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:Bearer\s+)?[^\s,;)}\]]+)""",
    re.IGNORECASE,
)
_TOKEN: Final = re.compile(r"\b(wai_(?:sess|op)_)[\w-]+")
_KEYPAIR: Final = re.compile(r"\[\s*(?:\d{1,3}\s*,\s*){31,}\d{1,3}\s*\]")
"""A key as `solana-keygen` writes it: a list of its bytes."""


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Stream:
    """An output of this process; one that nobody reads, or reads on, stops nothing.

    A write to a full pipe, or to a terminal that Ctrl-S has stopped, would wait for its reader, and
    with it whoever logs: the event loop too. So a line is written only where there is room for it.
    Others are lost, and counted.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor: Final = descriptor
        self._lock: Final = threading.Lock()
        self._is_cut = False
        self._lost = 0

    def msg(self, line: str) -> None:
        """Write a line, if there is a reader with room for it, who is waited for a moment."""
        with self._lock:
            if not self._write(("\n" if self._is_cut else "") + line + "\n"):
                self._lost += 1
                return
            lost, self._lost = self._lost, 0
        if lost:
            structlog.get_logger().error("log lines were lost: nobody read them", lines=lost)

    debug = info = warning = error = critical = msg

    def _write(self, text: str) -> bool:
        # Past Python's buffer, which would be tried again at the end and spoil the exit status.
        content = text.encode("utf-8", "backslashreplace")
        room = select.poll()
        room.register(self.descriptor, select.POLLOUT)
        try:
            for begin in range(0, len(content), select.PIPE_BUF):
                if not room.poll(0 if self._lost else _PATIENCE_MS):
                    return False
                os.write(self.descriptor, content[begin : begin + select.PIPE_BUF])
                self._is_cut = True
        except BlockingIOError:  # Somebody else set it so; there was no room after all.
            return False
        except OSError:  # The reader is gone: nothing is lost on it.
            return True
        self._is_cut = False
        return True


STDERR: Final = Stream(2)
STDOUT: Final = Stream(1)


def end_process(sentence: str, *, status: int) -> None:
    """Say why, and end the process at once, whatever its other threads do: no clean-up, no exit."""
    STDERR.msg(f"waiaas: {logged(sentence)}")
    os._exit(status)


def logged(sentence: str) -> str:
    """Return what ends the daemon, for a last line to a person; a log for programs has it, too."""
    if structlog.is_configured() and not os.isatty(STDERR.descriptor):
        structlog.get_logger().critical("the daemon ends", reason=sentence)
    return sentence


class _Libraries(logging.Handler):
    """Puts what libraries have to say (asyncio, of a task that failed) into the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


_LIBRARIES: Final = _Libraries()


def log_to_stderr(level: str = LogLevel.INFO) -> None:
    """Log what is at least of *level*: JSON for programs, lines where a terminal shows them."""
    # uvicorn says, at any caller's will, that a request was malformed.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger().addHandler(_LIBRARIES)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            withhold,
            for_people if os.isatty(STDERR.descriptor) else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[LogLevel(level).name]
        ),
        logger_factory=lambda *_: STDERR,
    )


def withhold(_logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Replace whatever has the name or the shape of a secret; a net, no licence to log one."""
    return {name: _without_secrets(name, value) for name, value in event.items()}


def _without_secrets(name: str, value: object) -> object:
    if _SECRET_NAME.search(name):
        return _WITHHELD
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {f"{each}": _without_secrets(f"{each}", inner) for each, inner in value.items()}
    if isinstance(value, list | tuple):
        if _KEYPAIR.fullmatch(str(list(value))):
            return _WITHHELD
        return [_without_secrets("", each) for each in value]
    text = value if isinstance(value, str) else repr(value)
    text = _TOKEN.sub(rf"\1{_WITHHELD}", text)
    text = _KEYPAIR.sub(_WITHHELD, text)
    return _NAMED_IN_TEXT.sub(rf"\1\2{_WITHHELD}", text)


def for_people(_logger: object, _method: str, event: Mapping[str, Any]) -> str:
    """Return a line for a terminal: time, what happened, and the facts; a traceback below it."""
    facts = dict(event)
    time, level = str(facts.pop("timestamp")), facts.pop("level")
    what, exception = facts.pop("event"), facts.pop("exception", None)
    told = [time[11:19], *([] if level == LogLevel.INFO else [f"{level}:".upper()]), f"{what}"]
    told += [f"{name}={value}" for name, value in facts.items()]
    below = [] if exception is None else str(exception).splitlines()
    return "\n".join(map(_printable, (" ".join(told), *below)))


def _printable(line: str) -> str:
    """Escape what could steer a terminal: a node's own words may hold anything."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
