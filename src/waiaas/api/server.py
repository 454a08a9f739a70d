"""The HTTP server: uvicorn, as the daemon wants it."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from waiaas.api.protocol import (
    BoundedProtocol,
    Limits,
    connections_max,
    local_protocol_within,
    protocol_within,
)

_STOP_S_MAX: Final = 10
_ROOT: Final = 0


class Server(uvicorn.Server):
    """uvicorn, with the signals left to us: a stop has work to do after the last request."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.when_listening: Callable[[], None] = _nothing
        self.local: socket.socket | None = None
        """A Unix socket at which it listens, too."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.local is not None:
            self.servers.append(await self._listen_locally(self.local))
        if not self.should_exit:
            self.when_listening()

    async def _listen_locally(self, listener: socket.socket) -> asyncio.Server:
        beside = self.config.http_protocol_class
        assert issubclass(beside, BoundedProtocol), "as `server_config` has it"
        users = frozenset({os.geteuid(), _ROOT})
        protocol = local_protocol_within(beside.limits, users=users)
        return await asyncio.get_running_loop().create_unix_server(
            lambda: protocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            ),
            sock=listener,
            backlog=self.config.backlog,
        )


def server_config() -> uvicorn.Config:
    """Return the settings; the application is set when there is one."""
    descriptors_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return uvicorn.Config(
        app=_not_yet,
        http=protocol_within(Limits(connections_max=connections_max(descriptors_max))),
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_S_MAX,
    )


def listen(host: str, port: int) -> socket.socket:
    """Take the daemon's port. Without IPPROTO_TCP asyncio would leave Nagle's delay on.

    It listens at once, because two may bind one port and only one may listen at it. Who connects
    waits for the server.

    Raises:
        OSError: it cannot be used; the message says what to do.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise OSError(
            f"port {port} of {host} cannot be used ({error.strerror}): choose another with --port"
        ) from error
    return listener


async def _not_yet(*_: object) -> None:
    raise AssertionError("the application is set before the server is started")


def _nothing() -> None:
    pass
