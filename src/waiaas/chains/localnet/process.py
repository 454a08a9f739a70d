"""A localnet that outlives whoever started it: find it again, or start it.

A daemon that is killed and started again finds the chain where it left it; a chain that went back
in time would be a lie about every payment. A localnet is recognized by its random instance, which
it tells to whoever asks: a port may have been taken over, a process id be another's by now.
"""

import http.client
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from waiaas.chains.localnet import state
from waiaas.chains.localnet.state import SLOT_MS

START_S_MAX: Final = 15
"""How long a start may take; it takes about 0.3 s."""

END_S_MAX: Final = 10
"""How long an end may take; it takes about 0.2 s."""

ANSWER_S_MAX: Final = 2
"""How long a localnet may think about who it is."""

_ANSWER_BYTES_MAX: Final = 4096
_POLL_S: Final = 0.02
_LOG_CHARACTERS_SHOWN: Final = 300


class LocalnetError(Exception):
    """The localnet could not be started, or not be stopped; the message says why."""


@dataclass(frozen=True, slots=True)
class LocalnetProcess:
    """A localnet that answered."""

    url: str
    pid: int
    instance: str
    is_new: bool = field(default=False, compare=False)
    """Whether it was started for this answer; otherwise it lived before."""
    is_replacement: bool = field(default=False, compare=False)
    """Whether it was started where another had been, whose chain is gone."""


class _Identity(msgspec.Struct):
    instance: str
    pid: int


class _Response(msgspec.Struct):
    result: _Identity


def find_or_start(
    directory: Path, *, slot_ms: int | None = SLOT_MS, faults_enabled: bool = False
) -> LocalnetProcess:
    """Return the localnet of *directory*, started if there is none; the settings are for a start.

    Raises:
        LocalnetError: it does not start, or one that lives does not answer.
        OSError: the directory cannot be used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = _state_file(directory)
    with state.one_at_a_time(file):
        # One that lives and does not answer is on its way in or out.
        _wait(lambda: _find(file) is not None or not state.is_alive(file), seconds=END_S_MAX)
        found = _find(file)
        if found is not None:
            return found
        if state.is_alive(file):
            raise LocalnetError(f"the localnet of {directory} is alive but does not answer")
        return _start(file, slot_ms=slot_ms, faults_enabled=faults_enabled)


def stop(directory: Path) -> bool:
    """End the localnet of *directory* and wait until it is gone; False if there is none.

    Raises:
        LocalnetError: one lives that does not answer or does not end. It is left alone: what does
            not answer cannot be told from a stranger.
    """
    file = _state_file(directory)
    if not directory.is_dir():
        return False
    with state.one_at_a_time(file):
        found = _find(file)
        if found is None:
            if state.is_alive(file):
                raise LocalnetError(f"the localnet of {directory} is alive but does not answer")
            file.unlink(missing_ok=True)
            return False
        os.kill(found.pid, signal.SIGTERM)
        if not _wait(lambda: not state.is_alive(file), seconds=END_S_MAX):
            raise LocalnetError(f"the localnet of {directory} did not end in {END_S_MAX} s")
        with suppress(ChildProcessError):  # Nobody's child, or another's.
            os.waitpid(found.pid, 0)
        file.unlink(missing_ok=True)
        return True


def lives(directory: Path) -> bool:
    """Tell whether there is a localnet of *directory*, which has to be there."""
    return state.is_alive(_state_file(directory))


def _state_file(directory: Path) -> Path:
    return directory / "localnet.json"


def _find(file: Path) -> LocalnetProcess | None:
    """Return what the file speaks of, if it is there and says so itself."""
    recorded = state.read(file)
    if recorded is None:
        return None
    identity = _ask(recorded.url)
    if identity is None or (identity.instance, identity.pid) != (recorded.instance, recorded.pid):
        return None
    return LocalnetProcess(recorded.url, recorded.pid, recorded.instance)


def _ask(url: str) -> _Identity | None:
    """Return who answers at *url*; None if nobody does who could be a localnet."""
    try:
        address = urlsplit(url)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=ANSWER_S_MAX
        )
        try:
            connection.request(
                "POST",
                "/",
                '{"jsonrpc": "2.0", "id": 1, "method": "localnet_identity"}',
                {"Content-Type": "application/json"},
            )
            answer = connection.getresponse().read(_ANSWER_BYTES_MAX)
        finally:
            connection.close()
        return msgspec.json.decode(answer, type=_Response).result
    except (OSError, http.client.HTTPException, ValueError):  # msgspec's errors are ValueErrors
        return None


def _start(file: Path, *, slot_ms: int | None, faults_enabled: bool) -> LocalnetProcess:
    arguments = [
        # Safe path: what lies in the current directory is not imported.
        *(sys.executable, "-P", "-m", "waiaas.chains.localnet"),
        *("--state", str(file), "--port", "0", "--slot-ms", str(slot_ms or 0)),
        *(["--faults"] if faults_enabled else []),
    ]
    log_file = file.with_suffix(".log")
    is_replacement = log_file.exists()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    log = os.open(log_file, flags, mode=0o600)  # No pipe is waited for, should one be there.
    reading, writing = os.pipe()
    try:
        # Not subprocess, which insists that a child be waited for; this one is to outlive us.
        pid = os.posix_spawn(
            sys.executable,
            arguments,
            os.environ,  # noqa: TID251 -- handed on, not read
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
        )
        os.close(writing)
        writing = -1
        line = _first_line(reading, seconds=START_S_MAX)
    finally:
        for descriptor in (log, reading, writing):
            if descriptor >= 0:
                os.close(descriptor)
    found = _find(file) if line else None
    if found is None or found.pid != pid:
        os.kill(pid, signal.SIGKILL)  # Our child, not yet waited for: the number is still its own.
        os.waitpid(pid, 0)
        raise LocalnetError(f"the localnet did not start; {log_file} ends: {_end_of(log_file)}")
    return replace(found, is_new=True, is_replacement=is_replacement)


def _first_line(descriptor: int, *, seconds: int) -> bytes:
    """Return the first line, or nothing if it does not come in time or the writer is gone."""
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        readable, _, _ = select.select([descriptor], [], [], max(left, 0))
        piece = os.read(descriptor, _ANSWER_BYTES_MAX) if readable else b""
        if not piece:
            return b""
        line += piece
    return line


def _end_of(log_file: Path) -> str:
    return log_file.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS_SHOWN:].strip()


def _wait(condition: Callable[[], bool], *, seconds: int) -> bool:
    """Return whether *condition* came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)  # noqa: TID251 -- a lock cannot be waited for with a deadline
    return True
