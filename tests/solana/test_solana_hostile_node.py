"""A node is hostile: whatever it answers, a caller gets a short plain error, in bounded time."""

import asyncio
import base64
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waiaas.chains.solana.rpc import REASON_CHARACTERS_MAX, JsonRpc, RpcError, plain_text
from waiaas.ports import ChainUnavailable

TIMEOUT_S: Final = 0.3
BODY_BYTES_MAX: Final = 10_000
PATIENCE_S: Final = 2
"""Far above the time-out, far below for ever."""

SECRET: Final = "s3cr3t-api-key"

Respond = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
Node = Callable[[Respond], AbstractAsyncContextManager[int]]


class Ask(Protocol):
    """Ask a node that responds so, once, and return its answer or raise."""

    def __call__(
        self, respond: Respond, *, url: str = ..., returns: type[Any] = ..., timeout_s: float = ...
    ) -> Any: ...


def says(answer: bytes) -> Respond:
    """Answer with *answer*, in which ID stands for the request's id, and hang up."""

    async def respond(body: bytes, writer: asyncio.StreamWriter) -> None:
        request_id = str(json.loads(body)["id"]).encode()
        writer.write(answer.replace(b"ID", request_id))
        await writer.drain()

    return respond


def http(body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\n" + body


async def never(_body: bytes, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(_body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(http(b""))
    while True:
        writer.write(b" ")
        await writer.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S / 20):
                await asyncio.Event().wait()


async def flood(_body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(http(b""))
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def flood_of_headers(_body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: and more\r\n" * 1000)
        await writer.drain()


@pytest.fixture(scope="session")
def asked(node: Node) -> Ask:
    def asked(
        respond: Respond,
        *,
        url: str = "http://127.0.0.1:{port}/",
        returns: type[Any] = int,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        async def ask() -> Any:
            async with node(respond) as port:
                rpc = JsonRpc(
                    url.format(port=port), timeout_s=timeout_s, body_bytes_max=BODY_BYTES_MAX
                )
                try:
                    return await rpc.call("getSlot", [], returns=returns)
                finally:
                    await rpc.aclose()

        started_s = time.monotonic()
        try:
            return asyncio.run(ask())
        finally:
            assert time.monotonic() - started_s < PATIENCE_S

    return asked


GOOD: Final = http(b'{"jsonrpc":"2.0","id":ID,"result":7}')

BAD: Final[dict[str, tuple[Respond, str]]] = {
    "silence": (never, "no complete answer within 0.3 s"),
    "slow drip": (drip, "no complete answer within 0.3 s"),
    "endless body": (flood, "more than 10000 bytes"),
    "endless headers": (flood_of_headers, "could not be spoken to"),
    "hang up": (says(b""), "could not be spoken to"),
    "hang up in the body": (
        says(http(b'{"id"', headers=b"content-length: 99\r\n")),
        "could not be spoken to",
    ),
    "not http": (says(b"\x16\x03\x01\x02\x00"), "could not be spoken to"),
    "bad chunk": (
        says(http(b"zz\r\n", headers=b"transfer-encoding: chunked\r\n")),
        "could not be spoken to",
    ),
    "bad length": (says(http(b"7", headers=b"content-length: -1\r\n")), "could not be spoken to"),
    "body over the bound": (
        says(http(b'{"jsonrpc":"2.0","id":ID,"result":7' + b" " * BODY_BYTES_MAX + b"}")),
        "more than 10000 bytes",
    ),
    "status 500": (says(http(b"oh", status=b"500 Oh")), "HTTP status 500"),
    "status 429": (says(http(GOOD, status=b"429 Slow down")), "HTTP status 429"),
    "status 204": (says(http(b"", status=b"204 Nothing")), "HTTP status 204"),
    "redirect": (
        says(http(b"", status=b"307 There", headers=b"location: http://127.0.0.1:1/\r\n")),
        "HTTP status 307",
    ),
    "redirect to nonsense": (
        says(http(b"", status=b"301 There", headers=b"location: http://[\r\n")),
        "HTTP status 301",
    ),
    "empty body": (says(http(b"")), "wrong shape"),
    "html": (says(http(b"<html>Welcome</html>")), "wrong shape"),
    "compressed": (
        says(http(b"\x1f\x8b\x08\x00", headers=b"content-encoding: gzip\r\n")),
        "wrong shape",
    ),
    "null": (says(http(b"null")), "wrong shape"),
    "a batch": (says(http(b'[{"jsonrpc":"2.0","id":ID,"result":7}]')), "wrong shape"),
    "no id": (says(http(b'{"jsonrpc":"2.0","result":7}')), "wrong shape"),
    "null id": (says(http(b'{"jsonrpc":"2.0","id":null,"result":7}')), "wrong shape"),
    "id as text": (says(http(b'{"jsonrpc":"2.0","id":"ID","result":7}')), "wrong shape"),
    "another id": (says(http(b'{"jsonrpc":"2.0","id":ID9,"result":7}')), "not asked"),
    "another id's error": (
        says(http(b'{"jsonrpc":"2.0","id":ID9,"error":{"code":1,"message":"no"}}')),
        "not asked",
    ),
    "no result": (says(http(b'{"jsonrpc":"2.0","id":ID}')), "neither a result nor an error"),
    "null result": (says(http(b'{"jsonrpc":"2.0","id":ID,"result":null}')), "wrong shape"),
    "result as text": (says(http(b'{"jsonrpc":"2.0","id":ID,"result":"7"}')), "wrong shape"),
    "fraction": (says(http(b'{"jsonrpc":"2.0","id":ID,"result":7.5}')), "wrong shape"),
    "NaN": (says(http(b'{"jsonrpc":"2.0","id":ID,"result":NaN}')), "wrong shape"),
    "Infinity": (says(http(b'{"jsonrpc":"2.0","id":ID,"result":Infinity}')), "wrong shape"),
    "1e400": (says(http(b'{"jsonrpc":"2.0","id":ID,"result":1e400}')), "wrong shape"),
    "number without end": (
        says(http(b'{"jsonrpc":"2.0","id":ID,"result":' + b"9" * 9000 + b"}")),
        "wrong shape",
    ),
    "text after the end": (says(http(b'{"jsonrpc":"2.0","id":ID,"result":7}7')), "wrong shape"),
    "lone surrogate": (
        says(http(b'{"jsonrpc":"2.0","id":ID,"error":{"code":1,"message":"\\ud800"}}')),
        "wrong shape",
    ),
    "not utf-8": (
        says(http(b'{"jsonrpc":"2.0","id":ID,"error":{"code":1,"message":"\xff"}}')),
        "wrong shape",
    ),
    "too deep": (
        says(http(b'{"jsonrpc":"2.0","id":ID,"result":' + b"[" * 4000 + b"]" * 4000 + b"}")),
        "wrong shape",
    ),
    "too deep, unclosed": (says(http(b'{"jsonrpc":"2.0","x":' + b"[" * 9000)), "wrong shape"),
    "error as text": (says(http(b'{"jsonrpc":"2.0","id":ID,"error":"no"}')), "wrong shape"),
    "error without a code": (
        says(http(b'{"jsonrpc":"2.0","id":ID,"error":{"message":"no"}}')),
        "wrong shape",
    ),
    "error code without end": (
        says(http(b'{"jsonrpc":"2.0","id":ID,"error":{"code":' + b"9" * 4000 + b',"message":""}}')),
        "wrong shape",
    ),
    "words that would mislead a terminal": (
        says(http(b'{"jsonrpc":"2.0","id":ID,"result":{"\\u001b[2J\\u202e":1}}')),
        "wrong shape",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_an_unavailable_chain_in_plain_words_and_soon(
    asked: Ask, name: str
) -> None:
    respond, words = BAD[name]
    with pytest.raises(ChainUnavailable, match=words) as caught:
        asked(respond)
    assert not isinstance(caught.value, RpcError)
    text = str(caught.value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 2 * REASON_CHARACTERS_MAX
    assert caught.value.__context__ is None


def test_control_a_good_answer_is_returned(asked: Ask) -> None:
    assert asked(says(GOOD)) == 7


def test_an_answer_at_the_bound_is_read(asked: Ask) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"result":7}'
    assert asked(says(http(body + b" " * (BODY_BYTES_MAX - len(body))))) == 7


def test_a_refused_connection_is_an_unavailable_chain(node: Node) -> None:
    async def ask() -> None:
        async with node(never) as port:
            pass
        await JsonRpc(f"http://127.0.0.1:{port}/").call("getSlot", [], returns=int)

    with pytest.raises(ChainUnavailable, match=r"could not be spoken to \(ConnectError\)"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("respond", "gave"),
    [(says(GOOD), True), (BAD["status 500"][0], False), (BAD["hang up"][0], False)],
    ids=["good", "status 500", "hang up"],
)
def test_it_is_known_whether_a_node_gave_its_last_answer(
    node: Node, respond: Respond, *, gave: bool
) -> None:
    async def ask() -> None:
        async with node(respond) as port:
            rpc = JsonRpc(f"http://127.0.0.1:{port}/", timeout_s=TIMEOUT_S)
            seen = [rpc.gave_answer]
            with contextlib.suppress(ChainUnavailable):
                await rpc.call("getSlot", [], returns=int)
            seen.append(rpc.gave_answer)
            await rpc.aclose()
        assert seen == [None, gave]

    asyncio.run(ask())


@pytest.mark.parametrize("name", ["silence", "hang up", "hang up in the body", "status 500"])
def test_a_node_is_asked_once_whatever_becomes_of_the_question(name: str, asked: Ask) -> None:
    questions: list[bytes] = []

    async def respond(body: bytes, writer: asyncio.StreamWriter) -> None:
        questions.append(body)
        await BAD[name][0](body, writer)

    # On a busy machine the node may be long in hearing the question at all.
    with pytest.raises(ChainUnavailable):
        asked(respond, timeout_s=PATIENCE_S / 2)
    assert len(questions) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.binary(max_size=60), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", http(b""), http(b"{")])
)
def test_no_bytes_of_a_node_raise_anything_but_an_unavailable_chain(
    asked: Ask, noise: bytes, opening: bytes
) -> None:
    async def respond(_body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(opening + noise)
        await writer.drain()

    with pytest.raises(ChainUnavailable):
        asked(respond)


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_error_object_raises_anything_but_an_unavailable_chain(asked: Ask, thing: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": thing, "result": thing}).encode()
    with pytest.raises(ChainUnavailable):
        asked(says(http(body)), returns=dict)


def test_an_error_object_keeps_its_code_words_and_data(asked: Ask) -> None:
    body = b'{"jsonrpc":"2.0","id":ID,"error":{"code":-32005,"message":"behind","data":{"n":42}}}'
    with pytest.raises(RpcError) as caught:
        asked(says(http(body)))
    assert caught.value.code == -32005
    assert caught.value.message == "behind"
    assert caught.value.data == b'{"n":42}'


@pytest.mark.parametrize("code", [-32002, -32005, -32016, -32429, 429, 0])
def test_an_error_object_without_data_is_only_an_error_object(asked: Ask, code: int) -> None:
    body = b'{"jsonrpc":"2.0","id":ID,"error":{"code":%d,"message":"no"}}' % code
    with pytest.raises(RpcError, match="no") as caught:
        asked(says(http(body)))
    assert caught.value.code == code
    assert caught.value.data is None


def test_a_nodes_words_are_repeated_plain_and_short(asked: Ask) -> None:
    message = json.dumps("\x1b[31mred\n\u202e" + "x" * 5000).encode()
    body = b'{"jsonrpc":"2.0","id":ID,"error":{"code":1,"message":%s}}' % message
    with pytest.raises(RpcError) as caught:
        asked(says(http(body)))
    assert caught.value.message.startswith("?[31mred??xxx")
    assert caught.value.message == plain_text(caught.value.message[:REASON_CHARACTERS_MAX] + "xx")


@pytest.mark.parametrize("name", [*BAD, "an error object"])
def test_the_api_key_in_the_url_is_in_no_error_and_no_log(
    name: str, asked: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://{SECRET}:{SECRET}@127.0.0.1:{{port}}/{SECRET}?api-key={SECRET}"
    error = b'{"jsonrpc":"2.0","id":ID,"error":{"code":1,"message":"no"}}'
    respond, _ = BAD.get(name, (says(http(error)), ""))
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ChainUnavailable) as caught:
        asked(respond, url=url)
    assert SECRET not in repr(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text
    assert "http://127.0.0.1:" in str(caught.value)


ECHOES: Final = (
    f"no such path: /{SECRET}?api-key={SECRET}",
    f"no such path: /{SECRET.upper()}",
    f"project {SECRET} is unknown",
    f"user someone:{SECRET} is unknown",
    "key with a blank is unknown",
    "key+with%20a%20blank is unknown",
    "x" * (REASON_CHARACTERS_MAX - 5) + SECRET,
)


@pytest.mark.parametrize("words", ECHOES)
def test_a_node_that_repeats_our_url_is_not_repeated(asked: Ask, words: str) -> None:
    url = f"http://someone:{SECRET}@127.0.0.1:{{port}}/v2/{SECRET}?api-key={SECRET}&b=key+with%20a%20blank"
    error = json.dumps({"code": 1, "message": words}).encode()
    with pytest.raises(RpcError) as caught:
        asked(says(http(b'{"jsonrpc":"2.0","id":ID,"error":%s}' % error)), url=url)
    told = f"{caught.value!r} {caught.value} {caught.value.message}".lower()
    assert "(with" in told
    for part in (SECRET[:5], "blank"):
        assert part not in told


def test_of_a_node_without_a_key_every_word_is_told(asked: Ask) -> None:
    error = b'{"jsonrpc":"2.0","id":ID,"error":{"code":1,"message":"no v2 / of this"}}'
    with pytest.raises(RpcError, match="no v2 / of this"):
        asked(says(http(error)), url="http://127.0.0.1:{port}/v2/?x=1")


def test_a_name_and_a_password_in_the_url_are_sent_as_basic_credentials() -> None:
    heads: list[bytes] = []

    async def ask() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await JsonRpc(f"http://me:p%40ss@127.0.0.1:{port}/x?y=z").call(
                "getSlot", [], returns=int
            )

    with pytest.raises(ChainUnavailable):
        asyncio.run(ask())
    assert heads[0].startswith(b"POST /x?y=z HTTP/1.1\r\n")
    assert b"Authorization: Basic " + base64.b64encode(b"me:p@ss") in heads[0]


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        f"ftp://{SECRET}/",
        f"http:///{SECRET}",
        f"http://host:{SECRET}/",
        f"http://host/{SECRET}\n",
        f"http://host/{SECRET}\ud800",
        "",
    ],
)
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="starts with http") as caught:
        JsonRpc(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_environments_proxy_is_not_used(
    asked: Ask, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert asked(says(GOOD)) == 7

    async def heed() -> None:
        async with node(says(GOOD)) as port, httpx2.AsyncClient() as client:
            await client.post(f"http://127.0.0.1:{port}/", json={"id": 1})

    with pytest.raises(httpx2.ConnectError):  # The control: a client that heeds it.
        asyncio.run(heed())


def test_connections_are_closed_twice_without_harm() -> None:
    async def close() -> None:
        rpc = JsonRpc("https://example.invalid/")
        await rpc.aclose()
        await rpc.aclose()

    asyncio.run(close())
