"""A localnet on a loopback port: `running` embeds one in this process, `serve` is one.

The socket is bound before anything else is started, so a port chosen by the system is known, and
whoever connects early waits in the queue instead of being refused.
"""

import asyncio
import ipaddress
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Self

import uvicorn
import uvloop

from waiaas.chains.localnet.app import create_app
from waiaas.chains.localnet.faults import Faults
from waiaas.chains.localnet.methods import Identity
from waiaas.chains.localnet.network import Localnet
from waiaas.chains.localnet.rpc import Node
from waiaas.chains.localnet.state import SLOT_MS, Recorded, live, remove, write

HOST: Final = "127.0.0.1"

_BACKLOG: Final = 1024
_LINGER_S: Final = 1
"""How long requests in flight may hold up the end."""


@dataclass(frozen=True, slots=True)
class RunningLocalnet:
    """An embedded localnet."""

    url: str
    network: Localnet
    faults: Faults
    identity: Identity


@contextmanager
def running(
    *, slot_ms: int | None = None, faults_enabled: bool = False, genesis: bytes | None = None
) -> Iterator[RunningLocalnet]:
    """Serve a localnet on a thread of this process while the context lasts.

    Args:
        slot_ms: time between blocks; None: they advance only by `network.advance_block()`.
        faults_enabled: whether faults can be installed over JSON-RPC too.
        genesis: 32 bytes, to have the same blockhashes again; random unless given.
    """
    with _Service(
        host=HOST, port=0, slot_ms=slot_ms, faults_enabled=faults_enabled, genesis=genesis
    ) as service:
        thread = threading.Thread(target=service.run, name="localnet", daemon=True)
        thread.start()
        try:
            yield service.running
        finally:
            service.stop()
            thread.join()


def serve(
    *,
    host: str,
    port: int,
    slot_ms: int | None,
    faults_enabled: bool,
    ready: Callable[[RunningLocalnet], None],
) -> None:
    """Be a localnet until SIGTERM or SIGINT, which end the process with status 0.

    Args:
        host: a loopback address.
        port: 0 lets the system choose.
        slot_ms: time between blocks; None: they advance only when a caller says so.
        faults_enabled: whether callers may install faults and advance blocks.
        ready: called once, when the address is known and connections are taken.

    Raises:
        ValueError: *host* is not a loopback address.
        OSError: the address cannot be bound.
    """
    # uvicorn raises the signal again when it has stopped; before and after that, this is the end.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    with _Service(
        host=host, port=port, slot_ms=slot_ms, faults_enabled=faults_enabled, genesis=None
    ) as service:
        ready(service.running)
        service.run()


def main(
    *,
    state_file: Path | None = None,
    host: str = HOST,
    port: int = 0,
    slot_ms: int | None = SLOT_MS,
    faults_enabled: bool = False,
    announce: Callable[[Recorded], None],
) -> None:
    """Be a localnet that can be found by its file.

    Args:
        state_file: written when connections are taken, removed at a clean end; None: neither.
        host: a loopback address.
        port: 0 lets the system choose.
        slot_ms: time between blocks; None: they advance only when a caller says so.
        faults_enabled: whether callers may install faults and advance blocks.
        announce: told once, after the file is written, where the localnet is.

    Raises:
        AlreadyAlive: another one lives under the same file.
        ValueError: *host* is not a loopback address.
        OSError: the address cannot be bound, or the file not be written.
    """
    if state_file is not None:
        live(state_file)
    recorded: Recorded | None = None

    def ready(served: RunningLocalnet) -> None:
        nonlocal recorded
        identity = served.identity
        recorded = Recorded(url=served.url, pid=identity.pid, instance=identity.instance)
        if state_file is not None:
            write(state_file, recorded)
        announce(recorded)

    try:
        serve(host=host, port=port, slot_ms=slot_ms, faults_enabled=faults_enabled, ready=ready)
    finally:
        if state_file is not None and recorded is not None:
            remove(state_file, instance=recorded.instance)


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


class _Service:
    """A bound socket, the chain behind it, and the server between them."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        slot_ms: int | None,
        faults_enabled: bool,
        genesis: bytes | None,
    ) -> None:
        address = ipaddress.IPv4Address(host)
        if not address.is_loopback:
            raise ValueError(f"a localnet listens on a loopback address, which {address} is not")
        network = Localnet(genesis=genesis or secrets.token_bytes(32))
        faults = Faults()
        identity = Identity(instance=secrets.token_hex(16), pid=os.getpid())
        node = Node(network, identity=identity, faults=faults, faults_enabled=faults_enabled)
        self._slot_ms = slot_ms
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(node),
                http="httptools",
                ws="none",
                loop="uvloop",
                lifespan="off",
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=_LINGER_S,
            )
        )
        self._socket = _listening_socket(host, port)
        bound_host, bound_port = self._socket.getsockname()
        self.running: Final = RunningLocalnet(
            f"http://{bound_host}:{bound_port}", network, faults, identity
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def run(self) -> None:
        """Serve until stopped."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run())

    def stop(self) -> None:
        """Let `run` return soon; from any thread."""
        self._server.should_exit = True

    async def _run(self) -> None:
        if self._slot_ms is not None:
            self._tick(asyncio.get_running_loop(), self._slot_ms / 1000)
        await self._server.serve(sockets=[self._socket])

    def _tick(self, loop: asyncio.AbstractEventLoop, slot_s: float) -> None:
        """Open a block in every slot, as long as the loop runs."""

        def next_block() -> None:
            loop.call_later(slot_s, next_block)
            self.running.network.advance_block()

        loop.call_later(slot_s, next_block)


def _listening_socket(host: str, port: int) -> socket.socket:
    # Without the protocol's name asyncio leaves Nagle's algorithm on: 22 answers a second.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound
