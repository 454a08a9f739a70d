"""Starts daemons by forking: half of what a start takes is loading the same modules once more.

It has the program loaded, one thread, and nothing open. A child of it gets the arguments, the
environment, the folder and the streams that a new process would have had, runs the program's `main`
and ends as Python ends. For tests of what a daemon does once it runs; those of starting, of a
process's command line, memory or hardening, and of the first run start one as a person does.
"""

import base64
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from tests import derivations

ROOT: Final = Path(__file__).resolve().parents[2]
ORDER_BYTES_MAX: Final = 200_000
_STREAMS: Final = 3
_DESCRIPTORS: Final = 4
"""Of an order: standard input, output and error, and where the child's end is told."""


class Forked:
    """A child of the nursery, as far as `subprocess.Popen` is asked for by these tests."""

    stdin: Final = None
    stderr: Final = None

    def __init__(self, pid: int, end: int, stdout: IO[str]) -> None:
        self.pid: Final = pid
        self.stdout: Final = stdout
        self.returncode: int | None = None
        self._end: Final = end

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        ended = self._look(timeout)
        if ended is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return ended

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # It is reaped only once its end is told.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._end], [], [], timeout)[0]:
            told = os.read(self._end, 16)
            assert told, "the nursery is gone"
            os.close(self._end)
            self.returncode = int(told)
        return self.returncode


class Nursery:
    """The nursery's other end."""

    def __init__(self, initialised: Path, password: str) -> None:
        """Start it; it derives the keys of the keystore of *initialised* once for all children."""
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.nursery", str(theirs.fileno()), str(initialised)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )
        assert self._process.stdin is not None
        self._process.stdin.write(password.encode())
        self._process.stdin.close()

    def start(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, stderr: IO[bytes]
    ) -> Forked:
        """Start `waiaas` with *arguments*; what it prints can be read from the answer's stdout."""
        assert "LD_PRELOAD" not in env, "nothing is loaded in front of a child"
        reading, writing = os.pipe()
        end, telling = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        order = {"arguments": [*arguments], "env": {**env}, "cwd": str(cwd)}
        given = [nothing, writing, stderr.fileno(), telling]
        socket.send_fds(self._orders, [json.dumps(order).encode(), b"\n"], given)
        for descriptor in (nothing, writing, telling):
            os.close(descriptor)
        pid = int(self._orders.recv(16))
        return Forked(pid, end, os.fdopen(reading, encoding="utf-8"))

    def close(self) -> None:
        self._orders.close()
        self._process.wait()


def _orders(control: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Yield each order until there are no more; meanwhile tell of every child that ends."""
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([control.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 512)
            _tell_of_the_dead()
        if control.fileno() in ready:
            content, descriptors, _, _ = socket.recv_fds(control, ORDER_BYTES_MAX, _DESCRIPTORS)
            if not content:
                return
            while not content.endswith(b"\n"):
                content += control.recv(ORDER_BYTES_MAX)
            yield json.loads(content), descriptors


_telling: Final[dict[int, int]] = {}
"""Where the end of each living child is told."""


def _tell_of_the_dead() -> None:
    while _telling:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        telling = _telling.pop(pid)
        with suppress(BrokenPipeError):  # The test is over, too.
            os.write(telling, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(telling)


def _be(order: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Be in a child what a new process is, and run the program."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for stream in range(_STREAMS):
        os.dup2(descriptors[stream], stream)
    # What these were has asked them whether they are terminals, and can be wound back.
    sys.stdin, sys.stdout, sys.stderr = (
        open(stream, mode, closefd=False, encoding="utf-8", errors=errors)  # noqa: SIM115 -- numbers, to the end
        for stream, (mode, errors) in enumerate(
            [("r", "strict"), ("w", "strict"), ("w", "backslashreplace")]
        )
    )
    os.closerange(_STREAMS, os.sysconf("SC_OPEN_MAX"))
    os.umask(0o022)
    os.chdir(order["cwd"])
    os.environ.clear()  # noqa: TID251 -- as a new process finds it
    os.environ.update(order["env"])  # noqa: TID251 -- as above
    sys.argv[:] = ["waiaas", *order["arguments"]]
    from waiaas.cli.app import main as program  # noqa: PLC0415 -- it is loaded

    program()


def _warm_up(initialised: Path, password: bytes) -> None:
    """Load the program, and remember what the password of every child's keystore gives."""
    from waiaas import daemon  # noqa: F401, PLC0415 -- what a start loads
    from waiaas.cli import app, secret  # noqa: F401, PLC0415 -- as above
    from waiaas.config import reading  # noqa: F401, PLC0415 -- as above
    from waiaas.database.statements import DEFINED  # noqa: PLC0415 -- as above
    from waiaas.keystore.kdf import Parameters, derive  # noqa: PLC0415 -- as above

    for statement in DEFINED:
        _ = statement.compiled
    cost = json.loads((initialised / "keystore" / "keystore.json").read_bytes())["kdf"]
    derivations.remember()
    salt = base64.b64decode(cost.pop("salt"))
    derive(password, parameters=Parameters(**cost, salt=salt)).wrapping_key.free()
    gc.collect()
    gc.freeze()


def main() -> None:
    """Serve orders from the socket whose number is the first argument."""
    _warm_up(Path(sys.argv[2]), sys.stdin.buffer.read())
    with socket.socket(fileno=int(sys.argv[1])) as control:
        for order, descriptors in _orders(control):
            assert threading.active_count() == 1
            pid = os.fork()
            if pid == 0:
                control.detach()
                return _be(order, descriptors)
            _telling[pid] = descriptors.pop()
            for descriptor in descriptors:
                os.close(descriptor)
            control.send(b"%d" % pid)
    return None


if __name__ == "__main__":
    main()
