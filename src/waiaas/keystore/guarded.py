"""Memory for secrets: closed unless it is being used, not swapped, not dumped, zeroed at the end.

Each secret has pages of its own from libsodium's `sodium_malloc`, between two guard pages. They
are *no-access*: whatever reads or writes them, by accident or by an overflow elsewhere, ends the
process. `readable` and `writable` open them for one block of code.

Protection belongs to the pages, not to a thread, so two signers must not each open and close them
by themselves: the first to finish would close them under the other, which is a SIGSEGV. A lock and
two counts decide: open while anybody uses them.

A view may be handed to a C library, as a buffer or by `address`. Nothing may slice it into `bytes`.
"""

import ctypes
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from waiaas.keystore.errors import GuardedMemoryUnavailable, KeystoreLocked, MemoryNotLocked
from waiaas.keystore.libsodium import libsodium
from waiaas.keystore.secrecy import SecretHolder

_SWAPS: Final = Path("/proc/swaps")
"""A heading, then a line for each swap area in use (proc(5))."""


class Guarded(SecretHolder):
    """A fixed number of secret bytes, zeros at first. Safe to use from any thread.

    `free` ends it; so does dropping the last reference.

    Raises:
        GuardedMemoryUnavailable: there is no libsodium, or no memory.
        MemoryNotLocked: the pages might be written to a swap area.
    """

    __slots__ = (
        "__weakref__",
        "_is_ended",
        "_lock",
        "_readers",
        "_release",
        "_size",
        "_writers",
        "address",
    )

    def __init__(self, size: int) -> None:
        library = libsodium()
        address = library.sodium_malloc(size)
        if address is None:
            raise GuardedMemoryUnavailable
        self.address: Final[int] = address
        """Where it is. To be read or written inside `readable` or `writable` only."""
        self._size: Final = size
        self._lock: Final = threading.Lock()
        self._readers = 0
        self._writers = 0
        self._is_ended = False
        # sodium_free zeroes the pages first. Not at the end of the process: a signature may be
        # under way in another thread, and the kernel zeroes what it takes back.
        self._release: Final = weakref.finalize(self, library.sodium_free, address)
        self._release.atexit = False
        # sodium_malloc has tried already, and says nothing if it failed.
        if library.sodium_mlock(address, size):
            if _has_swap():
                raise MemoryNotLocked
            _unlocked.add(self)
        ctypes.memset(address, 0, size)  # libsodium fills new memory with 0xdb.
        self._protect()

    @classmethod
    def random(cls, size: int) -> Self:
        """Return *size* random bytes, which were never anywhere else."""
        guarded = cls(size)
        with guarded.writable():
            libsodium().randombytes_buf(guarded.address, size)
        return guarded

    @classmethod
    def copy_of(cls, secret: bytes | bytearray | memoryview) -> Self:
        """Return a guarded copy; what becomes of *secret* is its owner's concern."""
        guarded = cls(len(secret))
        with guarded.writable() as view:
            view[:] = secret
        return guarded

    def __len__(self) -> int:
        return self._size

    @contextmanager
    def readable(self) -> Iterator[memoryview]:
        """Open for reading, for one block; its view is of no use afterwards.

        Raises:
            KeystoreLocked: it was freed.
        """
        view = self._open(readers=1, writers=0).toreadonly()
        try:
            yield view
        finally:
            self._close(view, readers=1, writers=0)

    @contextmanager
    def writable(self) -> Iterator[memoryview]:
        """Open for reading and writing, likewise."""
        view = self._open(readers=0, writers=1)
        try:
            yield view
        finally:
            self._close(view, readers=0, writers=1)

    def free(self) -> None:
        """Zero the bytes and give the memory back, once the last who uses them has finished."""
        with self._lock:
            self._is_ended = True
            self._protect()

    def _open(self, *, readers: int, writers: int) -> memoryview:
        with self._lock:
            if self._is_ended:
                raise KeystoreLocked
            self._readers += readers
            self._writers += writers
            self._protect()
        if not self._size:  # Which ctypes has no view of.
            return memoryview(bytearray())
        return memoryview((ctypes.c_ubyte * self._size).from_address(self.address)).cast("B")

    def _close(self, view: memoryview, *, readers: int, writers: int) -> None:
        try:
            view.release()
        finally:
            with self._lock:
                self._readers -= readers
                self._writers -= writers
                self._protect()

    def _protect(self) -> None:
        """Give the pages the protection that their users need; whoever calls has the lock."""
        library = libsodium()
        if self._writers:
            failed = library.sodium_mprotect_readwrite(self.address)
        elif self._readers:
            failed = library.sodium_mprotect_readonly(self.address)
        elif self._is_ended:
            failed = self._release() is not None
        else:
            failed = library.sodium_mprotect_noaccess(self.address)
        assert not failed, "the kernel lets us protect memory of our own"


@contextmanager
def guarded_copy(secret: Guarded | bytes) -> Iterator[Guarded]:
    """Hand over *secret* itself, or, where it was `bytes` before it came here, a copy for a block.

    What comes in a request of HTTP is that: docs/keystore.md says what it means.
    """
    if isinstance(secret, Guarded):
        yield secret
        return
    copy = Guarded.copy_of(secret)
    try:
        yield copy
    finally:
        copy.free()


def forget(secret: Guarded | bytes) -> None:
    """Free *secret*, if it is where that can be done."""
    if isinstance(secret, Guarded):
        secret.free()


def count_unlocked() -> int:
    """Return how many secrets are in memory that the kernel did not lock; not 0 only without swap.

    They are as well protected as others as long as nobody turns a swap area on.
    """
    return len(_unlocked)


_unlocked: Final[weakref.WeakSet[Guarded]] = weakref.WeakSet()


def _has_swap() -> bool:
    """Tell whether memory may be written to a disk; if that cannot be learnt, it may."""
    try:
        return len(_SWAPS.read_text().splitlines()) > 1
    except OSError:
        return True
