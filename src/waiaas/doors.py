"""Where the daemon listens, how its clients find it, and how it answers until it is to end.

It listens at a port of 127.0.0.1, which every user of the machine can reach, and at a Unix socket
in the data directory, which its own user alone can. Both are held from an early stage of the start
on: who calls then waits, and is answered when the daemon is ready.
"""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from waiaas.api.server import listen
from waiaas.directory import (
    ADDRESS_NAME,
    COOKIE_NAME,
    SOCKET_NAME,
    Address,
    DaemonError,
    sentence,
    write_locked,
    write_private,
)
from waiaas.life import Life
from waiaas.local_socket import listen_at
from waiaas.readiness import tell_ready
from waiaas.stages import Stage, Start

DESCRIPTORS_MIN: Final = 128
"""A daemon that does nothing has 26 open, and half of what it may have are for connections."""

log = structlog.get_logger()


class Doors(NamedTuple):
    """What the daemon listens at."""

    host: str
    port: int
    tcp: socket.socket
    local: socket.socket | None
    """None where there cannot be a Unix socket."""

    def address(self) -> Address:
        return Address(
            url=f"http://{self.host}:{self.port}",
            pid=os.getpid(),
            socket=None if self.local is None else SOCKET_NAME,
        )


def require_room(*, descriptors_max: int | None = None) -> None:
    """Return if the daemon can open as many files as it must.

    With too few file descriptors, libraries end the process wherever they happen to be.

    Args:
        descriptors_max: how many there may be; else this process's limit.

    Raises:
        DaemonError: says how to raise the limit.
    """
    if descriptors_max is None:
        descriptors_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors_max != resource.RLIM_INFINITY and descriptors_max < DESCRIPTORS_MIN:
        raise DaemonError(
            f"only {descriptors_max} files may be open at once, and it needs {DESCRIPTORS_MIN}:"
            " raise the limit (`ulimit -n 1024`, LimitNOFILE= of a systemd unit) and start again"
        )


@contextlib.contextmanager
def open_doors(directory: Path, host: str, port: int) -> Iterator[Doors]:
    """Take the port and the socket; only for who holds the lock of *directory*.

    Args:
        directory: where the socket's file is made.
        host: the address that *port* is of.
        port: 0 for any that is free.

    Raises:
        OSError: the port cannot be used; the message says what to do.
    """
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(listen(host, port))
        local = None
        try:
            local = stack.enter_context(listen_at(directory / SOCKET_NAME))
        except OSError as error:  # Not every file system has them.
            reason = sentence(error)
            log.warning("no Unix socket: clients on this machine use the port", reason=reason)
        yield Doors(host, tcp.getsockname()[1], tcp, local)


async def answer(
    doors: Doors,
    directory: Path,
    cookie: str,
    *,
    works: Sequence[Callable[[], Awaitable[object]]],
    announce: Callable[[Address], None],
    start: Start,
    life: Life,
) -> None:
    """Answer, be found and work, until *life* ends.

    Args:
        doors: where it is called.
        directory: where its clients look for it.
        cookie: what proves to it that a client is its own user.
        works: what it does besides.
        announce: is told when it is ready.
        start: the start that this ends.
        life: how it is told to end, and what it says went wrong.
    """
    server = life.server
    server.local = doors.local

    async def serve() -> None:
        try:
            with contextlib.ExitStack() as beginning:
                beginning.enter_context(start.stage(Stage.SERVING))
                server.when_listening = partial(be_found, beginning)
                await server.serve(sockets=[doors.tcp])
        except OSError as error:
            if start.failed is None:
                raise
            life.end_by_failure(error)

    def be_found(beginning: contextlib.ExitStack) -> None:
        address = doors.address()
        write_private(directory / COOKIE_NAME, cookie.encode())
        # Left open on purpose: the kernel gives the lock up, when the process is gone.
        write_locked(directory / ADDRESS_NAME, msgspec.json.encode(address))
        beginning.close()
        life.begin()
        announce(address)
        tell_ready()
        ms = round(1000 * start.since_s())
        log.info("ready", url=address.url, socket=address.socket, pid=address.pid, ms=ms)

    try:
        async with asyncio.TaskGroup() as group:
            besides = [group.create_task(life.last(work)) for work in works]
            await life.last(serve)
            for task in besides:
                task.cancel()
    finally:
        for name in (ADDRESS_NAME, COOKIE_NAME):
            with contextlib.suppress(OSError):  # What is left is believed by nobody.
                (directory / name).unlink()
