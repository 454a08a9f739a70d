"""Whoever has not said who he is takes little memory, few descriptors and no time of ours."""

import asyncio
import resource
import socket
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from waiaas.api.protocol import BoundedProtocol, Limits, connections_max
from waiaas.api.server import server_config

if TYPE_CHECKING:
    from tests.api.conftest import Served

Serve = Callable[[Limits], AbstractContextManager["Served"]]

GET = b"GET /health HTTP/1.1\r\n"
MAX = 32 * 1024
SOON_S = 0.05
CHUNKED = b"POST /v1/admin/login HTTP/1.1\r\nContent-Type: application/json\r\n"
CHUNKED += b"Transfer-Encoding: chunked\r\n"


@pytest.fixture
def host(served: "Served") -> bytes:
    return b"Host: 127.0.0.1:%d\r\n" % served.port


def host_of(served: "Served") -> bytes:
    return b"Host: 127.0.0.1:%d\r\n" % served.port


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side hangs up, however it does; it has to."""
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def flood(connection: socket.socket, piece: bytes, *, bytes_max: int) -> int:
    """Send the same piece again and again; return how many bytes went out before the end."""
    sent = 0
    try:
        while sent < bytes_max:
            sent += connection.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


# ── size ───────────────────────────────────────────────────────────────────────────────────────


def test_headers_up_to_the_bound_are_read_and_larger_ones_refused(
    served: "Served", host: bytes
) -> None:
    start = len(b"/health") + len(host) + len(b"X: \r\n")
    fits = GET + host + b"X: " + b"x" * (MAX - start) + b"\r\n\r\n"
    assert served.exchange(fits)[0] == 200
    too_large = GET + host + b"X: " + b"x" * (MAX - start + 1) + b"\r\n\r\n"
    status, headers, body = served.exchange(too_large)
    assert (status, headers["connection"]) == (431, "close")
    assert body == b"the headers of a request may have 32768 bytes\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"GET /", b"x"),
        (GET + b"X: ", b"x"),
        (GET + b"X", b"x"),
        (b"", b"\r\n"),
        (GET, b"X: 1\r\n"),
    ],
    ids=["path", "value", "name", "empty lines", "many"],
)
def test_a_head_without_an_end_is_cut_off_long_before_it_fills_memory(
    served: "Served", head: bytes, piece: bytes
) -> None:
    with served.connect() as connection:
        connection.sendall(head)
        # What the kernels of both sides hold in their buffers is not ours.
        assert flood(connection, piece * 10_000, bytes_max=2**27) < 2**26
        assert read_all(connection)[:13] in (b"HTTP/1.1 431 ", b"")
    assert served.desk.defects == []


def test_without_the_bound_a_head_of_any_size_is_kept(serve_within: Serve) -> None:
    """The control: what uvicorn does by itself."""
    with serve_within(Limits(head_bytes_max=2**40)) as served, served.connect() as connection:
        connection.sendall(GET + host_of(served) + b"X: " + b"x" * 2**21 + b"\r\n\r\n")
        assert connection.recv(13) == b"HTTP/1.1 200 "


@pytest.mark.parametrize(
    "end", [b"0\r\nX: ", b"1;x=", b"0\r\n" + b"X: 1\r\n" * 6000], ids=["trailer", "chunk", "many"]
)
def test_what_goes_with_a_body_in_chunks_is_bounded_too(
    served: "Served", host: bytes, end: bytes
) -> None:
    with served.connect() as connection:
        connection.sendall(CHUNKED + host + b"\r\n" + end)
        assert flood(connection, b"x" * 60_000, bytes_max=2**27) < 2**26


def test_the_next_request_has_the_whole_bound_again(served: "Served", host: bytes) -> None:
    request = GET + host + b"X: " + b"x" * (MAX - 200) + b"\r\n\r\n"
    with served.connect() as connection:
        for _ in range(3):
            connection.sendall(request)
            assert served.answer(connection)[0] == 200
        connection.sendall(request * 3 + GET + host + b"Connection: close\r\n\r\n")
        assert read_all(connection).count(b"HTTP/1.1 200 ") == 4


# ── time ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("said", [b"", b"GET", GET + b"X: y\r\n", b"\r\n"])
def test_whoever_does_not_finish_the_headers_is_hung_up_on(
    serve_within: Serve, said: bytes
) -> None:
    with serve_within(Limits(head_s_max=SOON_S)) as served, served.connect() as connection:
        connection.sendall(said)
        assert read_all(connection) == b""


def test_the_second_request_of_a_connection_has_a_deadline_too(serve_within: Serve) -> None:
    with serve_within(Limits(head_s_max=SOON_S)) as served, served.connect() as connection:
        connection.sendall(GET + host_of(served) + b"\r\n")
        assert served.answer(connection)[0] == 200
        connection.sendall(GET)  # This stops uvicorn's own clock for ever.
        assert read_all(connection) == b""


def test_a_drip_does_not_extend_a_deadline(serve_within: Serve) -> None:
    with serve_within(Limits(head_s_max=SOON_S)) as served, served.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(GET + b"X: ")
        connection.settimeout(SOON_S / 20)
        received: bytes | None = None
        while received is None:
            try:
                connection.send(b"x")
                received = connection.recv(1)
            except TimeoutError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                received = b""
        assert received == b""


def test_a_body_that_was_answered_and_does_not_end_is_hung_up_on(serve_within: Serve) -> None:
    with serve_within(Limits(body_s_max=SOON_S)) as served, served.connect() as connection:
        head = b"POST /v1/agents HTTP/1.1\r\nContent-Length: 9999\r\n" + host_of(served) + b"\r\n"
        connection.sendall(head)
        assert served.answer(connection)[0] == 401
        connection.sendall(b"x")  # This stops uvicorn's own clock for ever.
        assert read_all(connection) == b""


def test_a_body_that_was_answered_and_then_ended_starts_the_next_deadline(
    serve_within: Serve,
) -> None:
    with serve_within(Limits(head_s_max=SOON_S)) as served, served.connect() as connection:
        head = b"POST /v1/agents HTTP/1.1\r\nContent-Length: 1\r\n" + host_of(served) + b"\r\n"
        connection.sendall(head)
        assert served.answer(connection)[0] == 401
        connection.sendall(b"x")
        assert read_all(connection) == b""


def test_a_body_that_does_not_come_whole_is_hung_up_on(serve_within: Serve) -> None:
    with serve_within(Limits(body_s_max=SOON_S)) as served, served.connect() as connection:
        connection.sendall(CHUNKED + host_of(served) + b"\r\n1\r\n{\r\n")
        assert read_all(connection) == b""
        assert served.desk.keystore.derivations == 0


class Timer:
    """What a loop gives for a call that is to come."""

    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self.seconds = seconds
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class StillLoop:
    """A loop on which time passes when a test says so, and no task ever gets its turn."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, seconds: float, call: Callable[..., object], *given: object) -> Timer:
        self.timers.append(Timer(seconds, lambda: call(*given)))
        return self.timers[-1]

    def create_task(self, task: Coroutine[Any, Any, None], **_: object) -> asyncio.Future[None]:
        task.close()
        return cast("asyncio.Future[None]", Done())

    def waiting(self) -> list[float]:
        return [timer.seconds for timer in self.timers if not timer.is_cancelled]


class Done:
    """A task that is never done."""

    def add_done_callback(self, _: object) -> None:
        pass


class Wire:
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        self.is_closed = False
        self.is_paused = False
        self.protocol: Any = None

    def get_extra_info(self, _: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None:
        self.is_paused = True

    def write(self, _: bytes) -> None:
        pass

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


def connected(kind: type[HttpToolsProtocol]) -> tuple[HttpToolsProtocol, StillLoop, Wire]:
    """Return a new connection of this kind, and what is at its two ends."""
    loop, wire = StillLoop(), Wire()
    config = uvicorn.Config(app=lambda *_: None, log_config=None, lifespan="off")
    protocol = kind(
        config=config, server_state=ServerState(), app_state={}, _loop=cast("Any", loop)
    )
    protocol.connection_made(cast("Any", wire))
    return protocol, loop, wire


def test_ten_seconds_are_given_where_uvicorn_by_itself_waits_for_ever() -> None:
    assert connected(BoundedProtocol)[1].waiting() == [10]
    assert connected(HttpToolsProtocol)[1].waiting() == []  # The control.


def test_a_request_that_waits_for_the_one_before_it_is_not_late() -> None:
    protocol, loop, wire = connected(BoundedProtocol)
    protocol.data_received(GET + b"\r\n" + b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    assert wire.is_paused, "uvicorn reads no further before the first one is answered"
    assert loop.waiting() == [15]
    loop.timers[-1].call()
    assert not wire.is_closed
    assert loop.waiting()[-1] == 15


def test_whoever_does_not_take_his_answers_is_hung_up_on() -> None:
    protocol, loop, wire = connected(BoundedProtocol)
    protocol.pause_writing()
    assert loop.waiting() == [10, 15]
    protocol.resume_writing()
    assert loop.waiting() == [10]
    protocol.pause_writing()
    loop.timers[-1].call()
    assert wire.is_closed


def test_a_connection_that_is_lost_leaves_no_timer() -> None:
    protocol, loop, _ = connected(BoundedProtocol)
    protocol.pause_writing()
    protocol.connection_lost(None)
    assert loop.waiting() == []


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────


def receive(wire: Wire, text: bytes) -> memoryview:
    """Let *text* come in; return the buffer in which it came."""
    buffer = memoryview(wire.protocol.get_buffer(-1))
    buffer[: len(text)] = text
    wire.protocol.buffer_updated(len(text))
    return buffer


def test_what_came_in_is_overwritten_once_the_parser_has_seen_it() -> None:
    protocol, _, wire = connected(BoundedProtocol)
    head = b"POST / HTTP/1.1\r\nContent-Length: 44\r\n\r\n"
    assert not any(receive(wire, head + b"a password in two pieces"))
    assert not any(receive(wire, b", each too long to l"))
    assert protocol.cycle.body == b"a password in two pieces, each too long to l"


def test_a_piece_of_a_body_is_overwritten_once_it_is_in_the_body() -> None:
    protocol, _, wire = connected(BoundedProtocol)
    receive(wire, b"POST / HTTP/1.1\r\nContent-Length: 44\r\n\r\n")
    piece = bytes(bytearray(b"a password, as the parser copied it"))
    protocol.on_body(piece)
    assert protocol.cycle.body == b"a password, as the parser copied it"
    assert not any(piece)


def test_a_body_that_grows_is_moved_by_us_and_overwritten_when_it_is_dropped() -> None:
    protocol, _, wire = connected(BoundedProtocol)
    receive(wire, b"POST / HTTP/1.1\r\nContent-Length: 44\r\n\r\n" + b"a password in two pieces")
    before = protocol.cycle.body
    receive(wire, b", each too long to l")
    assert protocol.cycle.body is not before, (
        "it was not grown by the allocator, which leaves copies"
    )
    before.__del__()  # type: ignore[attr-defined]  # -- as when nobody refers to it.
    assert before == bytes(24)


@pytest.mark.parametrize("ended_by", ["an answer", "the connection's end"])
def test_a_body_that_nobody_took_is_dropped_with_what_ends_the_request(ended_by: str) -> None:
    """Its path or its credential was wrong; the garbage collector would come some time."""
    protocol, _, wire = connected(BoundedProtocol)
    receive(wire, b"POST / HTTP/1.1\r\nContent-Length: 24\r\n\r\n" + b"a password in two pieces")
    assert protocol.cycle.body == b"a password in two pieces"
    if ended_by == "an answer":
        protocol.cycle.on_response()
    else:
        protocol.connection_lost(None)
    assert protocol.cycle.body == b""


def test_a_connection_that_fails_to_parse_leaves_nothing_either() -> None:
    _, _, wire = connected(BoundedProtocol)
    assert not any(receive(wire, b"a password, and no HTTP\n"))
    assert wire.is_closed


# ── number ─────────────────────────────────────────────────────────────────────────────────────


def test_one_connection_too_many_is_closed_at_once_and_its_place_can_be_had_again(
    serve_within: Serve,
) -> None:
    with serve_within(Limits(connections_max=2)) as served:
        request = GET + host_of(served) + b"\r\n"
        with served.connect() as first, served.connect() as second:
            for connection in (first, second):
                connection.sendall(request)
                assert served.answer(connection)[0] == 200
            with served.connect() as third:
                assert read_all(third) == b""
            second.sendall(request)
            assert served.answer(second)[0] == 200
            second.sendall(GET + host_of(served) + b"Connection: close\r\n\r\n")
            assert read_all(second).startswith(b"HTTP/1.1 200 ")
            assert served.exchange(request)[0] == 200


@pytest.mark.parametrize(
    ("descriptors_max", "wanted"),
    [(256, 128), (1024, 512), (10**6, 512), (resource.RLIM_INFINITY, 512)],
)
def test_half_of_the_descriptors_stay_for_ledger_keystore_and_chain(
    descriptors_max: int, wanted: int
) -> None:
    assert connections_max(descriptors_max) == wanted


def test_the_daemon_decides_by_the_limit_it_was_started_with() -> None:
    kind = server_config().http
    assert isinstance(kind, type)
    assert issubclass(kind, BoundedProtocol)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert kind.limits == Limits(connections_max=connections_max(soft))
