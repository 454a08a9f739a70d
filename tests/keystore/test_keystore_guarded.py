"""Guarded memory: closed unless in use, by any number of threads; zeroed, locked, and not shown."""

import copy
import pickle
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from waiaas.keystore import libsodium
from waiaas.keystore.errors import GuardedMemoryUnavailable, KeystoreLocked
from waiaas.keystore.guarded import Guarded

SECRET = bytes(range(200, 232))

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="no /proc: that pages are closed is not seen here"
)


def permissions(address: int) -> str:
    """Return what may be done with the page at *address*, as the kernel says it: `rw-p`."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, allowed, *_ = line.split()
        first, last = (int(end, 16) for end in span.split("-"))
        if first <= address < last:
            return allowed
    return "none"


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50
    )


def test_memory_is_closed_but_for_the_block_that_uses_it() -> None:
    secret = Guarded.copy_of(SECRET)
    assert permissions(secret.address) == "---p"
    with secret.readable() as view:
        assert permissions(secret.address) == "r--p"
        assert view == SECRET
        assert view.readonly
    assert permissions(secret.address) == "---p"
    with secret.writable() as view:
        assert permissions(secret.address) == "rw-p"
        view[0] = 7
    assert permissions(secret.address) == "---p"
    with secret.readable() as view:
        assert view[0] == 7


def test_memory_is_closed_after_a_block_that_failed() -> None:
    secret = Guarded(32)
    for opened in (secret.readable, secret.writable):
        with pytest.raises(ZeroDivisionError), opened():
            _ = 1 / 0
        assert permissions(secret.address) == "---p"


def test_memory_has_the_rights_of_whoever_is_still_using_it() -> None:
    secret = Guarded(32)
    with secret.readable():
        with secret.writable(), secret.readable():
            assert permissions(secret.address) == "rw-p"
        assert permissions(secret.address) == "r--p"
    assert permissions(secret.address) == "---p"


def test_a_view_that_was_kept_shows_nothing() -> None:
    secret = Guarded.copy_of(SECRET)
    with secret.readable() as kept:
        pass
    with pytest.raises(ValueError, match="released"):
        _ = kept[0]


def test_new_memory_is_zero_and_random_memory_is_not() -> None:
    with Guarded(32).readable() as view:
        assert view == bytes(32)
    with Guarded.random(32).readable() as one, Guarded.random(32).readable() as other:
        assert bytes(32) != one != other != bytes(32)


def test_freed_memory_cannot_be_opened() -> None:
    secret = Guarded.copy_of(SECRET)
    secret.free()
    secret.free()
    for opened in (secret.readable, secret.writable):
        with pytest.raises(KeystoreLocked), opened():
            pass
    assert permissions(secret.address) in {"none", "---p"}


def test_memory_freed_while_in_use_stays_until_the_last_has_finished() -> None:
    secret = Guarded.copy_of(SECRET)
    with secret.readable() as view:
        secret.free()
        assert view == SECRET
        with pytest.raises(KeystoreLocked), secret.readable():
            pass
    assert not secret._release.alive


def test_nobody_is_shown_the_bytes() -> None:
    secret = Guarded.copy_of(SECRET)
    assert repr(secret) == str(secret) == "<Guarded: contents withheld>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="holds secrets"):
            pickle.dumps(secret, protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds secrets"):
            duplicate(secret)
    with pytest.raises(TypeError):
        bytes(secret)  # type: ignore[call-overload]  # -- the point
    with pytest.raises(TypeError):
        _ = secret[:4]  # type: ignore[index]  # -- the point
    with secret.readable() as view:
        assert "memory at 0x" in repr(view)


def test_a_stray_read_of_closed_memory_ends_the_process() -> None:
    found = run("""
import ctypes
from waiaas.keystore.guarded import Guarded
secret = Guarded(32)
ctypes.string_at(secret.address, 1)
""")
    assert found.returncode == -signal.SIGSEGV


END_AND_LOOK = """
import ctypes, struct
from waiaas.keystore.guarded import Guarded
libc = ctypes.CDLL(None)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
secret = Guarded.copy_of(bytes(range(200, 232)))
address = secret.address
# From now on munmap (system call 11) fails, so what is given back can still be looked at.
steps = ((0x20, 0, 0, 0), (0x15, 0, 1, 11), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 == libc.prctl(22, 2, program, 0, 0)
{end}
libc.mprotect(address & ~4095, 4096, 1)
found = ctypes.string_at(address, 32)
print({{bytes(32): "zeros", bytes(range(200, 232)): "secret"}}[found])
"""


@pytest.mark.skipif(
    platform.machine() != "x86_64",
    reason="blocks a system call by its number on x86_64: that memory is zeroed is not seen here",
)
@pytest.mark.parametrize(
    ("end", "left"),
    [
        ("secret.free()", "zeros"),
        ("del secret", "zeros"),
        ("libc.munmap(ctypes.c_void_p(address & ~4095), 4096)", "secret"),  # the control
    ],
)
def test_memory_is_zeroed_before_it_is_given_back(end: str, left: str) -> None:
    found = run(END_AND_LOOK.format(end=end))
    assert (found.stdout, found.stderr) == (f"{left}\n", "")


RACE = """
import ctypes, sys, threading
from waiaas.keystore import guarded
from waiaas.keystore.libsodium import libsodium
{variant}
sys.setswitchinterval(1e-6)
library = libsodium()
secret = guarded.Guarded(64)
def use():
    signature = (ctypes.c_ubyte * 64)()
    for _ in range({times}):
        with secret.readable():
            library.crypto_sign_detached(signature, None, b"pay", 3, secret.address)
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done")
"""
WITHOUT_COUNT = """
def close(self, view, *, readers, writers):
    view.release()
    with self._lock:
        self._readers = self._writers = 0
        self._protect()
guarded.Guarded._close = close
"""


def test_eight_threads_use_one_secret_at_once() -> None:
    found = run(RACE.format(variant="", times=300))
    assert (found.returncode, found.stdout) == (0, "done\n")


def test_control_without_a_count_of_users_the_first_to_finish_ends_the_process() -> None:
    assert run(RACE.format(variant=WITHOUT_COUNT, times=100_000)).returncode == -signal.SIGSEGV


NO_LIMIT_LEFT = """
import os, resource
from waiaas.keystore import guarded
from waiaas.keystore.libsodium import libsodium
class Swaps:
    def read_text(self):
        content = {swaps!r}
        if content is None:
            raise OSError
        return content
guarded._SWAPS = Swaps()
libsodium()
if os.getuid() == 0:  # Whom no limit holds.
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
try:
    secret = guarded.Guarded(32)
except guarded.MemoryNotLocked as error:
    print("refused:", error.remedy[:9])
else:
    print("warned of", guarded.count_unlocked())
    del secret
    print("left", guarded.count_unlocked())
"""
HEADING = "Filename  Type  Size  Used  Priority\n"


@pytest.mark.parametrize(
    ("swaps", "outcome"),
    [
        (HEADING, "warned of 1\nleft 0\n"),
        (f"{HEADING}/dev/dm-1  partition  1048572  0  -2\n", "refused: Raise the\n"),
        (None, "refused: Raise the\n"),  # It cannot be learnt.
    ],
    ids=["no swap", "swap", "unknown"],
)
def test_memory_that_cannot_be_locked_is_refused_if_there_is_swap_and_counted_if_not(
    swaps: str | None, outcome: str
) -> None:
    found = run(NO_LIMIT_LEFT.format(swaps=swaps))
    assert (found.stdout, found.stderr) == (outcome, "")


def test_a_library_without_the_functions_is_passed_over() -> None:
    shipped = libsodium.libsodium()._name
    assert libsodium.load(["libsodium.so.none", "libc.so.6", shipped])._name == shipped


@pytest.mark.parametrize("candidates", [[], ["libsodium.so.none"], ["libc.so.6"]])
def test_without_a_library_that_has_the_functions_nothing_starts(candidates: list[str]) -> None:
    with pytest.raises(GuardedMemoryUnavailable, match="apt install libsodium23"):
        libsodium.load(candidates)
