"""The application behind the server that the daemon uses, spoken to in raw bytes."""

import socket
from typing import TYPE_CHECKING

import pytest

from waiaas.api import app

if TYPE_CHECKING:
    from tests.api.conftest import Served

GET = b"GET /health HTTP/1.1\r\n"
LOGIN = b"POST /v1/admin/login HTTP/1.1\r\n"
JSON = b"Content-Type: application/json\r\n"
WRONG = b'{"password": "wr0ng"}'
MAX = 64 * 1024


@pytest.fixture
def host(served: "Served") -> bytes:
    """Return the right Host header."""
    served.desk.clock.advance(10**4)  # Whatever delay the last test brought is over.
    return b"Host: 127.0.0.1:%d\r\n" % served.port


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def login(host: bytes, body: bytes, *more: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return LOGIN + host + JSON + length + b"".join(more) + b"\r\n" + body


# ── host ───────────────────────────────────────────────────────────────────────────────────────


def test_the_right_host_is_answered(served: "Served", host: bytes) -> None:
    status, headers, body = served.exchange(GET + host + b"\r\n")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body.startswith(b'{"status":"ok"')
    assert "server" not in headers


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"Host:\r\n",
        b"Host: evil.example\r\n",
        b"Host: 127.0.0.1\r\n",
        b"Host: 127.0.0.1:PORT\r\nHost: evil.example\r\n",
        b"Host: evil.example\r\nHost: 127.0.0.1:PORT\r\n",
        b"Host: 127.0.0.1:PORT\r\nHost: 127.0.0.1:PORT\r\n",
        b"HOST: 127.0.0.1:PORT\r\nhost: 127.0.0.1:PORT\r\n",
        b"Host: \xff\r\n",
    ],
)
def test_another_host_none_or_two_are_refused(served: "Served", lines: bytes) -> None:
    lines = lines.replace(b"PORT", str(served.port).encode())
    status, headers, body = served.exchange(GET + lines + b"\r\n")
    assert (status, headers["content-type"]) == (421, "application/problem+json")
    assert b"HOST_REFUSED" in body


def test_http_1_0_without_a_host_is_refused(served: "Served") -> None:
    assert served.exchange(b"GET /health HTTP/1.0\r\n\r\n")[0] == 421


def test_a_request_for_a_proxy_is_judged_by_its_host_header(served: "Served", host: bytes) -> None:
    line = b"GET http://evil.example/health HTTP/1.1\r\n"
    assert served.exchange(line + b"Host: evil.example\r\n\r\n")[0] == 421
    # The server hands on no more than the path; no browser sends this to us.
    assert served.exchange(line + host + b"\r\n")[0] == 200


# ── lines ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /v1/transactions/%73end HTTP/1.1", 401),
        (b"GET /%68ealth HTTP/1.1", 404),
        (b"GET /health%2f HTTP/1.1", 404),
        (b"GET /health%00 HTTP/1.1", 404),
        (b"GET /v1%2fagents HTTP/1.1", 404),
        (b"GET /%ff%fe HTTP/1.1", 404),
        (b"GET /%zz HTTP/1.1", 404),
        (b"GET /health/../health HTTP/1.1", 404),
        (b"GET /health/ HTTP/1.1", 404),
        (b"GET /health? HTTP/1.1", 200),
        (b"GET /health?x HTTP/1.1", 400),
        (b"HEAD /health HTTP/1.1", 405),
        (b"TRACE /health HTTP/1.1", 405),
        (b"OPTIONS /health HTTP/1.1", 405),
        (b"OPTIONS * HTTP/1.1", 404),
        (b"CONNECT 127.0.0.1:1 HTTP/1.1", 400),
        (b"BREW /health HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET /health HTTP/3.0", 400),
        (b"GET  /health HTTP/1.1", 200),
        (b"GET /health", 200),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
)
def test_a_strange_request_line_is_answered_and_not_redirected(
    served: "Served", host: bytes, line: bytes, status: int
) -> None:
    with served.connect() as connection:
        connection.sendall(line + b"\r\n" + host + b"Connection: close\r\n\r\n")
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nlocation:" not in received.lower()


def test_the_answer_to_head_has_no_body_and_the_connection_goes_on(
    served: "Served", host: bytes
) -> None:
    with served.connect() as connection:
        connection.sendall(b"HEAD /health HTTP/1.1\r\n" + host + b"\r\n")
        connection.sendall(GET + host + b"Connection: close\r\n\r\n")
        received = read_all(connection)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert rest.startswith(b"HTTP/1.1 200 ")


def test_a_websocket_is_not_opened(served: "Served", host: bytes) -> None:
    lines = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    lines += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    assert served.exchange(b"GET /ws HTTP/1.1\r\n" + host + lines + b"\r\n")[0] == 404


def test_bytes_past_ascii_in_a_token_are_a_wrong_token(served: "Served", host: bytes) -> None:
    lines = b"GET /v1/admin/status HTTP/1.1\r\n" + host + b"Authorization: Bearer \xff\xe9\r\n\r\n"
    assert served.exchange(lines)[0] == 401


# ── bodies ─────────────────────────────────────────────────────────────────────────────────────


def test_a_body_in_chunks_is_a_body(served: "Served", host: bytes) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in WRONG) + b"0\r\n\r\n"
    sent = LOGIN + host + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    status, _, body = served.exchange(sent)
    assert (status, b"INVALID_MASTER_PASSWORD" in body) == (401, True)


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 21\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 21\r\n",
        b"Content-Length: 21\r\nContent-Length: 21\r\n",
        b"Content-Length: 21\r\nContent-Length: 22\r\n",
        b"Content-Length: 21, 21\r\n",
        b"Content-Length: +21\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x15\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: identity, chunked\r\nContent-Length: 21\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length : 21\r\n",
        b" Content-Length: 21\r\n",
    ],
)
def test_a_length_that_two_parsers_may_read_in_two_ways_is_refused(
    served: "Served", host: bytes, lines: bytes
) -> None:
    derivations = served.desk.keystore.derivations
    with served.connect() as connection:
        connection.sendall(LOGIN + host + JSON + lines + b"\r\n" + WRONG)
        connection.shutdown(socket.SHUT_WR)
        received = read_all(connection)
    assert not received or received.startswith(b"HTTP/1.1 400 ")
    assert served.desk.keystore.derivations == derivations


def test_the_largest_body_is_read_and_a_larger_one_is_refused(
    served: "Served", host: bytes
) -> None:
    assert served.exchange(login(host, WRONG.ljust(MAX)))[0] == 401
    status, _, body = served.exchange(login(host, WRONG.ljust(MAX + 1)))
    assert (status, b"BODY_TOO_LARGE" in body) == (413, True)


def test_what_is_left_of_a_refused_body_is_not_taken_for_a_request(
    served: "Served", host: bytes
) -> None:
    hidden = GET + host + b"\r\n"
    body = b" " * (2 * MAX) + hidden * 20
    with served.connect() as connection:
        connection.sendall(login(host, body))
        connection.sendall(GET + host + b"Connection: close\r\n\r\n")
        received = read_all(connection)
    assert received.count(b"HTTP/1.1 413 ") == 1
    assert received.count(b"HTTP/1.1 200 ") == 1
    assert received.count(b"HTTP/1.1 ") == 2


def test_a_body_that_does_not_come_is_given_up(
    served: "Served", host: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BODY_S_MAX", 0.05)
    status, _, body = served.exchange(login(host, WRONG)[:-1])
    assert (status, b"did not arrive" in body) == (400, True)


def test_whoever_waits_to_be_asked_for_the_body_is_asked(served: "Served", host: bytes) -> None:
    sent = login(host, WRONG, b"Expect: 100-continue\r\n")
    with served.connect() as connection:
        connection.sendall(sent[: -len(WRONG)])
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(WRONG)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_a_wrong_token_is_refused_without_asking_for_the_body(
    served: "Served", host: bytes
) -> None:
    lines = b"Content-Length: 9999\r\nExpect: 100-continue\r\n\r\n"
    status, _, _ = served.exchange(b"POST /v1/agents HTTP/1.1\r\n" + host + JSON + lines)
    assert status == 401


def test_whoever_hangs_up_in_the_middle_hurts_nobody(served: "Served", host: bytes) -> None:
    for cut in (5, 60, len(login(host, WRONG)) - 3):
        with served.connect() as connection:
            connection.sendall(login(host, WRONG)[:cut])
    assert served.exchange(GET + host + b"\r\n")[0] == 200
    assert served.desk.defects == []


def test_requests_in_a_row_are_answered_in_their_order(served: "Served", host: bytes) -> None:
    sent = (GET + host + b"\r\n") + login(host, b"{}") + (b"GET /x HTTP/1.1\r\n" + host)
    with served.connect() as connection:
        connection.sendall(sent + b"Connection: close\r\n\r\n")
        received = read_all(connection)
    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"400", b"404"]


# ── who asks ───────────────────────────────────────────────────────────────────────────────────


def test_whoever_says_that_he_speaks_for_another_is_written_down_as_himself(
    served: "Served", host: bytes
) -> None:
    forged = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\n"
    assert served.exchange(login(host, WRONG, forged))[0] == 401
    assert served.desk.rows("audit_log")[-1].ip_address == "127.0.0.1"
