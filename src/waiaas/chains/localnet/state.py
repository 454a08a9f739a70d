"""The file by which a localnet is found again, and the lock that says whether it lives.

The file is written by the localnet itself, so it is right even when whoever started it has died.
The lock is held from start to death and released by the kernel, so it cannot be stale.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from waiaas.inputs import read_own_file

SLOT_MS: Final = 400
"""As on mainnet: a payment is confirmed within 0.4 s, final after 13 s."""


_FILE_BYTES_MAX: Final = 4096


class Recorded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a localnet says of itself."""

    url: str
    pid: int
    instance: str


class AlreadyAlive(Exception):  # noqa: N818 -- a state of the world, named as one
    """Another localnet lives under this file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        super().__init__(f"a localnet that keeps its state in {file} is alive already")


def read(file: Path) -> Recorded | None:
    """Return what the file says, or None if there is none that makes sense."""
    try:
        return msgspec.json.decode(read_own_file(file, bytes_max=_FILE_BYTES_MAX), type=Recorded)
    except (FileNotFoundError, ValueError):  # Those of msgspec are among them.
        return None


def write(file: Path, recorded: Recorded) -> None:
    """Replace the file at once, readable by its owner only."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    with open(descriptor, "wb") as opened:  # noqa: PTH123 -- a descriptor has no path
        opened.write(msgspec.json.encode(recorded) + b"\n")
    draft.replace(file)


def remove(file: Path, *, instance: str) -> None:
    """Remove the file, unless it has come to be about another localnet."""
    recorded = read(file)
    if recorded is not None and recorded.instance == instance:
        file.unlink(missing_ok=True)


def live(file: Path) -> None:
    """Hold the lock of *file* for as long as this process lives.

    Raises:
        AlreadyAlive: another process holds it.
    """
    descriptor = _open_lock(file)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyAlive(file) from None
    # Not closed on purpose: that is left to the kernel, when the process is gone.


def is_alive(file: Path) -> bool:
    """Tell whether a localnet lives under *file*, whether or not it answers."""
    descriptor = _open_lock(file)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Let one caller at a time start or stop the localnet of *file*; the others wait."""
    descriptor = os.open(
        file.with_suffix(".starting"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode=0o600
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open_lock(file: Path) -> int:
    return os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode=0o600)
