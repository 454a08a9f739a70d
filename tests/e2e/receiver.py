"""A server that takes one password as the daemon's does, while somebody looks into its memory.

python receiver.py [naive]        prints its port
"""

import asyncio
import sys

import uvloop
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from waiaas.api import app, locking, strict_json
from waiaas.api.server import Server, listen, server_config

UNLOCK = next(route for route in locking.ROUTES if route.body is not None)
HEADERS: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", b"2")],
}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    async with app._message(Request(scope, receive), UNLOCK):
        await send(HEADERS)
    await send({"type": "http.response.body", "body": b"{}"})


def main() -> None:
    """Serve; *naive*: with uvicorn's own protocol, and what the application made of it stays."""
    server = Server(server_config())
    server.config.app = answer
    if sys.argv[1:] == ["naive"]:
        server.config.http = HttpToolsProtocol
        for module in (app, strict_json):
            vars(module)["overwrite"] = lambda _: None
    listener = listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)  # noqa: T201 -- to whoever asks
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
