"""A node on loopback that answers as a test tells it to."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

Respond = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def _node(respond: Respond) -> AsyncIterator[int]:
    """Serve on a loopback port; *respond* is given each request's body, then hung up on."""
    conversations: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            assert length is not None
            await respond(await reader.readexactly(int(length[1])), writer)
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has hung up first
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    for conversation in filter(None, conversations):
        conversation.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await conversation


@pytest.fixture(scope="session")
def node() -> Callable[[Respond], AbstractAsyncContextManager[int]]:
    """Return the context manager: given how to respond, it serves, and yields the port."""
    return _node
