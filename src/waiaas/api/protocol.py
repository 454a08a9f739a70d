"""What one connection may take of the daemon before anybody has said who he is.

uvicorn's protocol keeps headers of any size and waits for ever for a request to begin or to end.
Here a connection that asks for too much, or takes too long, is closed: long before memory or file
descriptors run out, which would stop payments too. Time between two requests is uvicorn's own
affair (`timeout_keep_alive`), and so is a body, whose size `waiaas.api.app` bounds.

What came in may be a password, so it is overwritten as soon as the parser has seen it.
"""

import asyncio
import os
import resource
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Final, Self, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from waiaas.api.overwriting import overwrite

CONNECTIONS_MAX: Final = 512
LOCAL_RESERVE: Final = 16
"""Connections that the Unix socket takes when strangers hold all that the port may have."""

_BUFFER_BYTES: Final = 64 * 1024
"""What is taken from the kernel at once."""

_CREDENTIALS: Final = struct.Struct("iII")
"""`struct ucred` of unix(7): pid, uid, gid."""

_TOO_LARGE: Final = b"the headers of a request may have %d bytes\n"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may take."""

    head_bytes_max: int = 32 * 1024
    """For request line, headers and trailers together."""
    head_s_max: float = 10
    """From the connection, or the first byte of its next request, to the end of the headers."""
    body_s_max: float = 15
    """From there to the last byte. The application gives up sooner, and has time to say so."""
    unread_s_max: float = 15
    """For taking answers that lie ready."""
    connections_max: int = CONNECTIONS_MAX
    """Open at once; another one is closed at once."""


class _HeadTooLarge(Exception):  # noqa: N818 -- a state of the request, named as one
    """Stops the parser, which turns it into an error of its own."""


class _Body(bytearray):
    """What the application has not taken yet; overwritten when it has, and whenever it moves."""

    def __iadd__(self, more: bytes) -> Self:  # type: ignore[override, misc]  # -- all that it is given
        longer = type(self)(len(self) + len(more))
        with memoryview(longer) as place:  # Assigning to it, unlike to `longer`, makes no copy.
            place[: len(self)] = self
            place[len(self) :] = more
        return longer

    def __del__(self) -> None:
        memoryview(self)[:] = bytes(len(self))


class _Receiver(asyncio.BufferedProtocol):
    """Gives a connection what comes in, and then overwrites it.

    The event loop's own buffer is one for all connections, and keeps what came in until as much has
    come in again.
    """

    def __init__(self, connection: "BoundedProtocol", buffer: memoryview) -> None:
        self._connection = connection
        self._buffer = buffer

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size_bytes: int) -> None:
        received = self._buffer[:size_bytes]
        try:
            # Like bytes, to a parser that makes copies of all that it tells.
            self._connection.data_received(cast("bytes", received))
        finally:
            received[:] = bytes(size_bytes)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()


class BoundedProtocol(HttpToolsProtocol):
    """A connection within limits."""

    limits: ClassVar[Limits] = Limits()
    buffer: ClassVar[memoryview] = memoryview(bytearray(_BUFFER_BYTES))
    """For what comes in, of every connection: it is read and overwritten in one go."""

    _head_bytes = 0
    """What the parser has told us of the head of this request."""
    _held_bytes = 0
    """What came in since the parser last told us anything: all it can have kept to itself."""
    _is_heard = False
    """Whether the parser has told us anything since the last bytes came in."""
    _is_too_large = False
    _deadline: asyncio.TimerHandle | None = None
    _reader_deadline: asyncio.TimerHandle | None = None

    # ── the connection ──

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # -- as uvicorn does
        super().connection_made(transport)
        transport.set_protocol(_Receiver(self, self.buffer))
        if len(self.connections) > self.limits.connections_max:
            transport.close()
        else:
            self._expect(self.limits.head_s_max)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self.resume_writing()
        if self.cycle is not None:
            self.cycle.body = bytearray()  # As in `_answered`.
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._deadline is None and self._is_idle():
            self._expect(self.limits.head_s_max)
        self._is_heard = False
        super().data_received(data)
        self._held_bytes = 0 if self._is_heard else self._held_bytes + len(data)
        if self._held_bytes > self.limits.head_bytes_max and not self.transport.is_closing():
            self._is_too_large = True
            self.send_400_response("")

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader_deadline is None:
            self._reader_deadline = self.loop.call_later(
                self.limits.unread_s_max, self.transport.abort
            )

    def resume_writing(self) -> None:
        if self._reader_deadline is not None:
            self._reader_deadline.cancel()
            self._reader_deadline = None
        super().resume_writing()

    # ── the request, as the parser tells of it ──

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._is_heard = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_heard = True
        self._expect(self.limits.body_s_max)
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.on_response = partial(_answered, self.cycle, self.cycle.on_response)

    def on_body(self, body: bytes) -> None:
        self._is_heard = True
        if not isinstance(self.cycle.body, _Body):  # The first piece, or since it was taken.
            self.cycle.body = _Body()
        super().on_body(body)
        overwrite(body)

    def on_message_complete(self) -> None:
        self._is_heard = True
        self._expect_nothing()
        super().on_message_complete()
        if self._is_idle():  # It was answered before it had come whole.
            self._expect(self.limits.head_s_max)

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be understood, or is too large, and hang up."""
        if not self._is_too_large:
            super().send_400_response(msg)
            return
        text = _TOO_LARGE % self.limits.head_bytes_max
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            b"content-type: text/plain; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(text), text)
        )
        self.transport.close()

    def _count(self, size: int) -> None:
        self._is_heard = True
        self._head_bytes += size
        if self._head_bytes > self.limits.head_bytes_max:
            self._is_too_large = True
            raise _HeadTooLarge

    # ── time ──

    def _is_idle(self) -> bool:
        """Tell whether every request that has begun was answered."""
        return getattr(self.cycle, "response_complete", True)  # There is none before the first.

    def _expect(self, seconds: float) -> None:
        """Hang up unless more has come in so many seconds."""
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._give_up, seconds)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self, seconds: float) -> None:
        if self.flow.read_paused:  # It is we who do not listen: another request comes first.
            self._expect(seconds)
        else:
            self._deadline = None
            self.transport.close()


class LocalProtocol(BoundedProtocol):
    """A connection to the Unix socket, from users who are let in.

    The modes of socket and directory keep all others out. This is for the day on which somebody
    has loosened them, or has handed an open socket on.
    """

    users: ClassVar[frozenset[int]]
    _turned_away: ClassVar[set[int]]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # -- as above
        super().connection_made(transport)
        user = _user_of(transport)
        if user is None or user in self.users:
            return
        transport.abort()
        if user not in self._turned_away:  # A line for each, or they could fill the log.
            self._turned_away.add(user)
            log.warning("another user was turned away from the Unix socket", uid=user)


def _answered(cycle: RequestResponseCycle, then: Callable[[], None]) -> None:
    """Drop, and so overwrite, a body that nobody took: its path or its credential was wrong.

    Dropped with the connection it would wait for the garbage collector.
    """
    cycle.body = bytearray()
    then()


def _user_of(transport: asyncio.Transport) -> int | None:
    """Return who connected, by the kernel's word; None where it does not say."""
    if not hasattr(socket, "SO_PEERCRED"):  # Linux has it.
        return None
    # A copy, because uvloop's own sockets tell no options.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as peer:
        told = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(told)
    return int(user)


def protocol_within(limits: Limits) -> type[BoundedProtocol]:
    """Return the class of connections within *limits*."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits, "buffer": _buffer()})


def local_protocol_within(limits: Limits, *, users: frozenset[int]) -> type[LocalProtocol]:
    """Return the class of connections to the Unix socket, beside a port's within *limits*.

    Args:
        limits: of the port; both count each other's connections.
        users: ids of those who are let in.
    """
    more = replace(limits, connections_max=limits.connections_max + LOCAL_RESERVE)
    return type(
        "LocalProtocol",
        (LocalProtocol,),
        {"limits": more, "buffer": _buffer(), "users": users, "_turned_away": set()},
    )


def _buffer() -> memoryview:
    return memoryview(bytearray(_BUFFER_BYTES))


def connections_max(descriptors_max: int) -> int:
    """Return how many connections leave room for ledger, keystore and chain.

    Args:
        descriptors_max: the process's soft limit of open files, as `resource` gives it.
    """
    if descriptors_max == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return min(CONNECTIONS_MAX, descriptors_max // 2)
