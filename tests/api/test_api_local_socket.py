"""The application at its Unix socket: as at the port, but for users who are let in."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from waiaas.api.protocol import LOCAL_RESERVE, Limits, local_protocol_within
from waiaas.api.server import server_config
from waiaas.local_socket import listen_at

if TYPE_CHECKING:
    from tests.api.conftest import Served

GET: Final = b"GET /livez HTTP/1.1\r\n"
MINE: Final = os.geteuid()
ANSWER: Final = {"type": "http.response.start", "status": 204}


def host_of(served: "Served") -> bytes:
    return b"Host: localhost:%d\r\n\r\n" % served.port


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GET + b"Host: localhost:PORT\r\n", 200),
        (GET + b"Host: localhost\r\n", 421),
        (GET + b"Host: localhost:PORT\r\nOrigin: http://evil.example\r\n", 403),
        (b"GET /v1/admin/status HTTP/1.1\r\nHost: localhost:PORT\r\n", 401),
    ],
)
def test_a_request_is_answered_as_it_is_at_the_port(
    served: "Served", head: bytes, status: int
) -> None:
    head = head.replace(b"PORT", b"%d" % served.port)
    with served.connect_locally() as local:
        local.sendall(head + b"\r\n")
        assert served.answer(local)[0] == status
    assert served.exchange(head + b"\r\n")[0] == status


def test_who_is_refused_there_has_no_address_in_the_audit_log(served: "Served") -> None:
    """The control is the same refusal at the port."""
    body = json.dumps({"password": "wr0ng"}).encode()
    login = b"POST /v1/admin/login HTTP/1.1\r\nContent-Type: application/json\r\n"
    sent = login + b"Content-Length: %d\r\n" % len(body) + host_of(served) + body
    for connection in (served.connect_locally(), served.connect()):
        served.desk.clock.advance(10**4)  # Whatever delay there is is over.
        with connection:
            connection.sendall(sent)
            assert served.answer(connection)[0] == 401
    rows = served.desk.rows("audit_log")[-2:]
    assert [row.ip_address for row in rows] == [None, "127.0.0.1"]


def test_it_has_room_when_strangers_hold_every_connection_of_the_port(
    serve_within: Callable[[Limits], AbstractContextManager["Served"]],
) -> None:
    with serve_within(Limits(connections_max=1)) as served:
        request = GET + host_of(served)
        held = served.connect()
        with held, served.connect_locally() as local:
            held.sendall(request)
            assert served.answer(held)[0] == 200
            local.sendall(request)
            assert served.answer(local)[0] == 200
            with served.connect() as other:  # The control: at the port there is none.
                assert other.recv(1) == b""
    kind = local_protocol_within(Limits(connections_max=1), users=frozenset())
    assert kind.limits == Limits(connections_max=1 + LOCAL_RESERVE)


async def say_nothing(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(ANSWER)
    await send({"type": "http.response.body"})


async def ask_twice(path: Path, users: frozenset[int]) -> list[bytes]:
    """Return the first line that each of two requests gets from who lets *users* in."""
    config = server_config()
    config.app = say_nothing
    config.load()
    kind = local_protocol_within(Limits(), users=users)

    def connection() -> asyncio.Protocol:
        return kind(config=config, server_state=ServerState(), app_state={})

    lines = []
    with listen_at(path) as listener:
        server = await asyncio.get_running_loop().create_unix_server(connection, sock=listener)
        for _ in range(2):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(GET + b"\r\n")
            try:
                lines.append(await reader.readline())
            except ConnectionError:
                lines.append(b"")
            writer.close()
        server.close()
    return lines


@pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
@pytest.mark.parametrize(
    ("let_in", "first_line", "told"),
    [({MINE}, b"HTTP/1.1 204 No Content\r\n", []), ({MINE + 1}, b"", [MINE])],
    ids=["control: ours", "another"],
)
def test_another_user_is_hung_up_on_whatever_the_modes_are(
    tmp_path: Path,
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    let_in: set[int],
    first_line: bytes,
    told: list[int],
) -> None:
    with capture_logs() as logs, asyncio.Runner(loop_factory=loop_factory) as runner:
        lines = runner.run(ask_twice(tmp_path / "daemon.sock", frozenset(let_in)))
    assert lines == [first_line] * 2
    assert [line["uid"] for line in logs] == told, "once, however often he tries"
