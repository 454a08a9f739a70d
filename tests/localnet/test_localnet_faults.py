"""Each fault does what it says, and what it does not say stays as it is."""

import asyncio
import base64
import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest
from httpx2 import ReadTimeout
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Processed
from solana.rpc.models import TxOpts
from solders.errors import SerdeJSONError
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from waiaas.chains.localnet.faults import FAULTS_MAX, Fault, Reply
from waiaas.chains.localnet.server import RunningLocalnet, running

LAMPORTS = 10**8
NOW = {"encoding": "base64", "preflightCommitment": "processed"}


class Sender:
    """Has one payment to make, and looks at the chain afterwards."""

    def __init__(self, net: RunningLocalnet, payment: VersionedTransaction, to: Pubkey) -> None:
        self.net = net
        self.payment = payment
        self._to = to

    @property
    def moved(self) -> int:
        return self.net.network.balance(self._to)


@pytest.fixture
def sender(
    net: RunningLocalnet, payer: Keypair, pay: Callable[..., VersionedTransaction]
) -> Sender:
    to = Pubkey.new_unique()
    payment = pay(payer, to, lamports=LAMPORTS, blockhash=net.network.tip.blockhash)
    return Sender(net, payment, to)


@pytest.fixture
def send(ask: Callable[..., Any], sender: Sender) -> Callable[[], Any]:
    text = base64.b64encode(bytes(sender.payment)).decode()
    return lambda: ask(sender.net.url, "sendTransaction", text, NOW)


def test_executed_but_the_answer_was_an_error(sender: Sender, send: Callable[[], Any]) -> None:
    sender.net.faults.install(
        Fault(method="sendTransaction", reply=Reply.ERROR, code=-32005, message="behind")
    )
    assert send()["error"] == {"code": -32005, "message": "behind"}
    assert sender.moved == LAMPORTS


def test_refused(sender: Sender, send: Callable[[], Any]) -> None:
    sender.net.faults.install(Fault(method="sendTransaction", reply=Reply.ERROR, executes=False))
    assert send()["error"]["code"] == -32603
    assert sender.moved == 0


def test_executed_but_the_answer_is_to_another_question(
    sender: Sender, send: Callable[[], Any]
) -> None:
    sender.net.faults.install(Fault(reply=Reply.WRONG_ID))
    answer = send()
    assert answer["result"] == str(sender.payment.signatures[0])
    assert answer["id"] != 1
    assert sender.moved == LAMPORTS


@pytest.mark.parametrize("executes", [True, False])
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply.GARBAGE, SerdeJSONError),
        (Reply.UNAVAILABLE, SolanaRpcException),
        (Reply.CUT_OFF, SolanaRpcException),
        (Reply.HANG, SolanaRpcException),
    ],
)
def test_the_answer_never_arrives_whether_or_not_it_was_executed(
    sender: Sender, *, reply: Reply, error: type[Exception], executes: bool
) -> None:
    sender.net.faults.install(Fault(method="sendTransaction", reply=reply, executes=executes))

    async def session() -> None:
        async with AsyncClient(sender.net.url, timeout=0.2, max_transport_retries=0) as client:
            with pytest.raises(error) as raised:
                await client.send_raw_transaction(
                    bytes(sender.payment), TxOpts(preflight_commitment=Processed)
                )
        assert isinstance(raised.value.__cause__, ReadTimeout) == (reply is Reply.HANG)

    asyncio.run(session())
    assert sender.moved == (LAMPORTS if executes else 0)


def test_a_cut_off_answer_breaks_in_the_middle(net: RunningLocalnet, ask: Any) -> None:
    net.faults.install(Fault(reply=Reply.CUT_OFF))
    with pytest.raises(http.client.IncompleteRead) as raised:
        ask(net.url, "getHealth")
    assert raised.value.partial


def test_accepted_and_never_seen_again(sender: Sender, send: Callable[[], Any]) -> None:
    sender.net.faults.install(Fault(method="sendTransaction", drops=True, times=1))
    assert send()["result"] == str(sender.payment.signatures[0])
    sender.net.network.advance_blocks(10)
    assert sender.moved == 0
    assert "result" in send()
    assert sender.moved == LAMPORTS


def test_what_is_dropped_was_checked_all_the_same(sender: Sender, send: Callable[[], Any]) -> None:
    sender.net.faults.install(Fault(method="sendTransaction", drops=True))
    sender.net.network.advance_blocks(151)
    assert send()["error"]["data"]["err"] == "BlockhashNotFound"


def test_landing_is_delayed_by_exactly_so_many_blocks(
    sender: Sender, send: Callable[[], Any]
) -> None:
    sender.net.faults.install(Fault(method="sendTransaction", delay_blocks=3))
    send()
    sender.net.network.advance_blocks(2)
    assert sender.moved == 0
    sender.net.network.advance_block()
    assert sender.moved == LAMPORTS
    landing = sender.net.network.landing(sender.payment.signatures[0])
    assert landing is not None
    assert landing.block == sender.net.network.tip


@pytest.mark.parametrize(("delay_blocks", "moved"), [(150, LAMPORTS), (151, 0)])
def test_what_is_delayed_past_its_life_never_lands(
    sender: Sender, send: Callable[[], Any], delay_blocks: int, moved: int
) -> None:
    sender.net.faults.install(Fault(method="sendTransaction", delay_blocks=delay_blocks))
    send()
    sender.net.network.advance_blocks(200)
    assert sender.moved == moved


def test_a_lagging_node_answers_from_the_past(
    sender: Sender, send: Callable[[], Any], ask: Callable[..., Any], payer: Keypair
) -> None:
    net = sender.net
    height = net.network.tip.height
    net.network.advance_blocks(3)
    send()
    net.network.advance_blocks(2)
    signatures = [str(sender.payment.signatures[0])]
    processed = {"commitment": "processed"}

    def seen() -> list[Any]:
        return [
            ask(net.url, "getBlockHeight", processed)["result"],
            ask(net.url, "getLatestBlockhash", processed)["result"]["value"][
                "lastValidBlockHeight"
            ],
            ask(net.url, "getBalance", str(payer.pubkey()), processed)["result"]["value"],
            ask(net.url, "getSignatureStatuses", signatures)["result"]["value"][0] is not None,
        ]

    spent = 10**9 - LAMPORTS - 5000
    assert seen() == [height + 5, height + 155, spent, True]
    net.faults.install(Fault(lag_blocks=2))
    assert seen() == [height + 3, height + 153, spent, True]
    net.faults.replace([Fault(lag_blocks=3)])
    assert seen() == [height + 2, height + 152, 10**9, False]
    net.faults.clear()
    assert seen() == [height + 5, height + 155, spent, True]


def test_a_node_far_behind_says_that_it_is_unhealthy(
    sender: Sender, send: Callable[[], Any], ask: Callable[..., Any]
) -> None:
    sender.net.faults.install(Fault(lag_blocks=128))
    assert ask(sender.net.url, "getHealth")["result"] == "ok"
    sender.net.faults.replace([Fault(lag_blocks=129)])
    assert ask(sender.net.url, "getHealth")["error"]["code"] == -32005
    assert send()["error"]["code"] == -32005


def test_a_hang_within_a_batch_hangs_the_batch_and_an_error_spoils_only_itself(
    net: RunningLocalnet,
) -> None:
    def batch() -> Any:
        body = [{"jsonrpc": "2.0", "id": name, "method": name} for name in ("getSlot", "getHealth")]
        connection = http.client.HTTPConnection(net.url.removeprefix("http://"), timeout=0.2)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(body), headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    net.faults.install(Fault(method="getSlot", reply=Reply.ERROR))
    first, second = batch()
    assert "error" in first
    assert second["result"] == "ok"
    net.faults.install(Fault(method="getHealth", reply=Reply.HANG))
    with pytest.raises(TimeoutError):
        batch()


def test_a_fault_concerns_its_method_and_lasts_its_times(
    net: RunningLocalnet, ask: Callable[..., Any]
) -> None:
    net.faults.install(
        Fault(method="getSlot", reply=Reply.ERROR, code=-1, times=2),
        Fault(method="getSlot", reply=Reply.ERROR, code=-2, times=1),
    )
    assert ask(net.url, "getHealth")["result"] == "ok"
    codes = [ask(net.url, "getSlot").get("error", {}).get("code") for _ in range(4)]
    assert codes == [-1, -1, -2, None]


@pytest.mark.parametrize(
    "parts",
    [
        {"executes": False},
        {"executes": False, "reply": Reply.WRONG_ID},
        {"executes": False, "reply": Reply.ERROR, "lag_blocks": 1},
        {"drops": True},
        {"delay_blocks": 1},
        {"method": "getSlot", "drops": True},
        {"method": "sendTransaction", "drops": True, "delay_blocks": 1},
    ],
)
def test_a_fault_that_contradicts_itself_cannot_be_made(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"what is|only what"):
        Fault(**parts)


def test_faults_are_bounded(net: RunningLocalnet) -> None:
    net.faults.install(*[Fault()] * FAULTS_MAX)
    with pytest.raises(ValueError, match="at most"):
        net.faults.install(Fault())


def test_faults_can_be_installed_from_outside_where_that_was_asked_for(
    ask: Callable[..., Any],
) -> None:
    with running(faults_enabled=True) as net:
        fault = {"method": "getHealth", "reply": "error", "executes": False}
        assert ask(net.url, "localnet_setFaults", [fault]) == {
            "jsonrpc": "2.0",
            "result": None,
            "id": 1,
        }
        assert "error" in ask(net.url, "getHealth")
        everything = {"reply": "error", "executes": False}
        ask(net.url, "localnet_setFaults", [everything])
        height = net.network.tip.height
        assert ask(net.url, "localnet_advanceBlocks", 5)["result"] == height + 5
        assert "error" in ask(net.url, "getHealth")
        ask(net.url, "localnet_setFaults", [])
        assert ask(net.url, "getHealth")["result"] == "ok"
        for wrong in ({"reply": "smile"}, {"drops": True}, {"metod": "getSlot"}):
            assert ask(net.url, "localnet_setFaults", [wrong])["error"]["code"] == -32602
