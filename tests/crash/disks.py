"""A disk that strikes at its n-th call: it kills the process there, or lets the call fail.

An APSW VFS over the system's. Calls are counted by kind over all files together; the shared memory
that indexes the WAL does not come by here.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import apsw

DISK_NAME: Final = "striking"


@dataclass
class Strike:
    """What happens at which call."""

    kinds: Sequence[str]
    """Which calls count: of open, read, write, truncate, sync and delete."""
    call: int
    """The number of the call, from 1; 0 never comes."""
    moment: str
    """`before` the call, `during` it (half of a write is done) or `behind` it."""
    act: Callable[[], None]
    """Does not return, one way or another."""
    for_ever: bool = False
    """Whether every later call is struck too."""
    counted: int = 0

    def is_due(self, kind: str) -> bool:
        """Count a call of *kind*; tell whether it is to be struck."""
        if kind not in self.kinds:
            return False
        self.counted += 1
        return self.counted == self.call or (self.for_ever and 0 < self.call < self.counted)


class Disk(apsw.VFS):
    """The system's disk, but for the strike; unregistered at the end of its `with` block."""

    def __init__(self, strike: Strike, *, on_call: Callable[[str], None] | None) -> None:
        super().__init__(DISK_NAME, "")
        self._strike = strike
        self._on_call = on_call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unregister()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return DiskFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802
        self.ask("delete", lambda: super(Disk, self).xDelete(filename, syncdir))

    def ask(
        self, kind: str, call: Callable[[], Any], half: Callable[[], Any] = lambda: None
    ) -> Any:
        """Make *call*, unless it is struck."""
        if self._on_call is not None:
            self._on_call(kind)
        if not self._strike.is_due(kind):
            return call()
        with ExitStack() as stack:
            stack.callback(self._strike.act)
            if self._strike.moment == "during":
                half()
            elif self._strike.moment == "behind":
                call()
        return None


class DiskFile(apsw.VFSFile):
    """One file on the disk."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._ask = disk.ask
        self._ask("open", lambda: super(DiskFile, self).__init__("", name, flags))

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        data: bytes = self._ask("read", lambda: super(DiskFile, self).xRead(amount, offset))
        return data

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        write = super().xWrite
        half = bytes(data[: len(data) // 2])
        self._ask("write", lambda: write(data, offset), lambda: write(half, offset))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._ask("truncate", lambda: super(DiskFile, self).xTruncate(newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._ask("sync", lambda: super(DiskFile, self).xSync(flags))
