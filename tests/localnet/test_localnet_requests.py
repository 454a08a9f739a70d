"""Whatever is sent, an error object comes back; never a traceback, never silence."""

import base64
import http.client
import json
import random  # noqa: TID251 -- seeded noise, no secrets
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from waiaas.chains.localnet.app import BODY_BYTES_MAX
from waiaas.chains.localnet.methods import METHODS
from waiaas.chains.localnet.rpc import BATCH_MAX
from waiaas.chains.localnet.server import RunningLocalnet, running

ADDRESS: Final = "11111111111111111111111111111112"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running() as localnet:
        yield localnet.url


def post(url: str, body: bytes, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("POST", "/", body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 40_000, -32700),
        (b"[]", -32600),
        (b"[" + b",".join([b"1"] * (BATCH_MAX + 1)) + b"]", -32600),
        (b"1", -32600),
        (b"null", -32600),
        (b'"getSlot"', -32600),
        (b"{}", -32600),
        (b'{"method": "getSlot", "id": 1}', -32600),
        (b'{"jsonrpc": "1.0", "method": "getSlot", "id": 1}', -32600),
        (b'{"jsonrpc": "2.0", "method": 1, "id": 1}', -32600),
        (b'{"jsonrpc": "2.0", "method": "getSlot", "id": {}}', -32600),
        (b'{"jsonrpc": "2.0", "method": "getSlot", "id": 1.5}', -32600),
        (b'{"jsonrpc": "2.0", "method": "getSlots", "id": 1}', -32601),
        (b'{"jsonrpc": "2.0", "method": "localnet_setFaults", "params": [[]], "id": 1}', -32601),
        (b'{"jsonrpc": "2.0", "method": "localnet_advanceBlocks", "params": [1], "id": 1}', -32601),
        (b'{"jsonrpc": "2.0", "method": "getSlot", "params": {}, "id": 1}', -32602),
        (b'{"jsonrpc": "2.0", "method": "getSlot", "params": "x", "id": 1}', -32602),
        (b'{"jsonrpc": "2.0", "method": "getSlot", "params": ' + b"[" * 20_000 + b"]" * 20_000
         + b', "id": 1}', -32700),
        (b'{"jsonrpc": "2.0", "method": "getNothing", "id": "\\ud800"}', -32700),
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_with_its_error(url: str, body: bytes, code: int) -> None:
    status, answer = post(url, body)
    assert (status, answer["error"]["code"]) == (200, code)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("getSlot", [1]),
        ("getSlot", [{"commitment": "certain"}]),
        ("getSlot", [{"comitment": "confirmed"}]),
        ("getSlot", [{"minContextSlot": -1}]),
        ("getSlot", [{}, {}]),
        ("getBalance", []),
        ("getBalance", [1]),
        ("getBalance", [None]),
        ("getBalance", ["not base58: 0OIl"]),
        ("getBalance", ["1" * 31]),
        ("getBalance", ["1" * 40_000]),
        ("getAccountInfo", [ADDRESS, {"encoding": "base64+zstd"}]),
        ("getAccountInfo", [ADDRESS, {"dataSlice": {"offset": 0}}]),
        ("getMultipleAccounts", [ADDRESS]),
        ("getMultipleAccounts", [[ADDRESS] * 101]),
        ("getMultipleAccounts", [["?"]]),
        ("simulateTransaction", ["AA==", {"accounts": {"addresses": ["?"]}}]),
        ("simulateTransaction", ["AA==", {"accounts": {"encoding": "jsonParsed"}}]),
        ("getMinimumBalanceForRentExemption", [-1]),
        ("getMinimumBalanceForRentExemption", [2**64]),
        ("getMinimumBalanceForRentExemption", [1.5]),
        ("isBlockhashValid", ["?"]),
        ("getFeeForMessage", ["AAAA"]),
        ("getFeeForMessage", ["="]),
        ("requestAirdrop", [ADDRESS]),
        ("requestAirdrop", [ADDRESS, 0]),
        ("requestAirdrop", [ADDRESS, "1"]),
        ("requestAirdrop", [ADDRESS, 10**40]),
        ("requestAirdrop", [ADDRESS, True]),
        ("sendTransaction", [""]),
        ("sendTransaction", ["", {"encoding": "base64"}]),
        ("sendTransaction", ["AQ==", {"encoding": "base64"}]),
        ("sendTransaction", ["ä", {"encoding": "base64"}]),
        ("sendTransaction", ["AQ==", {"encoding": "hex"}]),
        ("sendTransaction", ["A" * 1684, {"encoding": "base64"}]),
        ("sendTransaction", [base64.b64encode(bytes(1233)).decode(), {"encoding": "base64"}]),
        ("sendTransaction", ["0OIl"]),
        ("simulateTransaction", ["AQ==", {"accounts": {"addresses": []}}]),
        ("getSignatureStatuses", ["x"]),
        ("getSignatureStatuses", [["x"]]),
        ("getSignatureStatuses", [[str(Signature.default())] * 257]),
        ("getTransaction", ["x"]),
        ("getTransaction", [str(Signature.default()), {"encoding": "jsonParsed"}]),
        ("getTransaction", [str(Signature.default()), {"commitment": "processed"}]),
    ],
)
def test_what_does_not_fit_the_parameters_is_an_error_that_says_so(
    url: str, ask: Callable[..., Any], method: str, params: list[object]
) -> None:
    answer = ask(url, method, *params)
    assert answer["error"]["code"] == -32602
    assert answer["error"]["message"].startswith("Invalid params: ")
    assert answer["id"] == 1


def test_no_method_can_be_made_to_fail_by_odd_parameters(url: str, ask: Callable[..., Any]) -> None:
    odd: list[object] = [None, True, -1, 2**70, 1e300, "", "\ud800", ADDRESS, [], {}, [[]], [None]]
    for method in METHODS:
        for first in odd:
            for params in ([first], [first, first], [ADDRESS, first], [first, None]):
                answer = ask(url, method, *params)
                assert answer.get("error", {}).get("code", 0) != -32603, (method, params)


def test_bytes_that_are_almost_a_transaction_do_no_harm(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    ask: Callable[..., Any],
) -> None:
    raw = bytes(
        pay(payer, Pubkey.new_unique(), lamports=10**8, blockhash=net.network.tip.blockhash)
    )
    noise = random.Random(1)  # noqa: S311 -- as above
    for _ in range(300):
        damaged = bytearray(raw)
        for index in noise.sample(range(len(raw)), noise.randint(1, 3)):
            damaged[index] ^= noise.randint(1, 255)
        text = base64.b64encode(damaged).decode()
        for method, config in (
            ("sendTransaction", {"encoding": "base64", "skipPreflight": True}),
            ("simulateTransaction", {"encoding": "base64", "replaceRecentBlockhash": True}),
        ):
            answer = ask(net.url, method, text, config)
            assert answer.get("error", {}).get("code", 0) != -32603, text
    assert net.network.balance(payer.pubkey()) == 10**9


def test_a_batch_is_answered_in_its_order_and_notifications_are_not(url: str) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": "a", "method": "getHealth"},
        {"jsonrpc": "2.0", "method": "getHealth"},
        7,
        {"jsonrpc": "2.0", "id": 2, "method": "getNothing"},
    ]
    status, answers = post(url, json.dumps(batch).encode())
    assert status == 200
    assert answers[0] == {"jsonrpc": "2.0", "result": "ok", "id": "a"}
    assert [answer["id"] for answer in answers] == ["a", None, 2]
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32600, -32601]
    assert post(url, json.dumps(batch[1:2]).encode()) == (204, None)
    assert post(url, json.dumps(batch[1]).encode()) == (204, None)


def test_a_replaced_blockhash_invalidates_the_signature_so_it_cannot_be_verified_too(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    ask: Callable[..., Any],
) -> None:
    payment = pay(payer, Pubkey.new_unique(), lamports=10**8, blockhash=net.network.tip.blockhash)
    text = base64.b64encode(bytes(payment)).decode()
    config = {"encoding": "base64", "sigVerify": True, "replaceRecentBlockhash": True}
    assert ask(net.url, "simulateTransaction", text, config)["error"]["code"] == -32602
    trailing = base64.b64encode(bytes(payment) + b"\0").decode()
    answer = ask(net.url, "sendTransaction", trailing, {"encoding": "base64"})
    assert answer["error"]["code"] == -32602


def test_params_may_be_left_out_or_null(url: str) -> None:
    for params in (b"", b', "params": null', b', "params": []', b', "params": [null]'):
        _, answer = post(url, b'{"jsonrpc": "2.0", "id": null, "method": "getSlot"' + params + b"}")
        assert isinstance(answer["result"], int)
        assert answer["id"] is None


def test_a_body_has_a_bound(url: str) -> None:
    request = b'{"jsonrpc": "2.0", "id": 1, "method": "getHealth"}'
    assert post(url, request.ljust(BODY_BYTES_MAX))[0] == 200
    status, answer = post(url, request.ljust(BODY_BYTES_MAX + 1))
    assert (status, answer["error"]["code"]) == (413, -32600)


def test_only_json_is_read(url: str) -> None:
    request = b'{"jsonrpc": "2.0", "id": 1, "method": "getHealth"}'
    status, answer = post(url, request, **{"Content-Type": "text/plain"})
    assert (status, answer["error"]["code"]) == (415, -32600)
    assert post(url, request, **{"Content-Type": "application/json; charset=utf-8"})[0] == 200


def test_a_slot_that_is_yet_to_come_is_waited_for_elsewhere(
    net: RunningLocalnet, ask: Callable[..., Any]
) -> None:
    slot = net.network.tip.slot
    config = {"commitment": "processed", "minContextSlot": slot}
    assert ask(net.url, "getBlockHeight", config)["result"] == net.network.tip.height
    answer = ask(net.url, "getBlockHeight", {**config, "minContextSlot": slot + 1})
    assert answer["error"]["code"] == -32016
    assert answer["error"]["data"] == {"contextSlot": slot}
