"""An address's history on a chain nobody here scripted, and a node's lies about it, one by one."""

import asyncio
import base64
import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from waiaas.chains.localnet.server import running
from waiaas.chains.solana.chain import SolanaChain
from waiaas.chains.solana.history import read_movement, read_page
from waiaas.chains.solana.rpc import JsonRpc
from waiaas.domain.enums import NetworkType
from waiaas.ports import ChainUnavailable, HistoryPage
from waiaas.system import SystemClock

Respond = Callable[[bytes, asyncio.StreamWriter], Any]
Node = Callable[[Respond], AbstractAsyncContextManager[int]]

AGENT: Final = Keypair.from_seed(bytes([1]) * 32)
MINT: Final = Keypair.from_seed(bytes([2]) * 32)
OTHER: Final = Keypair.from_seed(bytes([3]) * 32).pubkey()
ADDRESS: Final = str(AGENT.pubkey())
TOKEN: Final = str(MINT.pubkey())
PAYMENT: Final = VersionedTransaction(
    MessageV0.try_compile(
        AGENT.pubkey(),
        [transfer(TransferParams(from_pubkey=AGENT.pubkey(), to_pubkey=OTHER, lamports=7))],
        [],
        Hash.default(),
    ),
    [AGENT],
)
TX_HASH: Final = str(PAYMENT.signatures[0])
HONEST: Final[dict[str, Any]] = {
    "slot": 5,
    "blockTime": 1_700_000_000,
    "transaction": [base64.b64encode(bytes(PAYMENT)).decode(), "base64"],
    "meta": {
        "err": None,
        "fee": 5000,
        "preBalances": [10_000, 0, 1],
        "postBalances": [4993, 7, 1],
        "preTokenBalances": [],
        "postTokenBalances": [],
        "loadedAddresses": {"writable": [], "readonly": []},
    },
}


def holding(amount: str, *, owner: str = ADDRESS, mint: str = TOKEN) -> dict[str, Any]:
    return {"mint": mint, "owner": owner, "uiTokenAmount": {"amount": amount, "decimals": 0}}


def with_(*path: Any, value: Any) -> Any:
    answer = copy.deepcopy(HONEST)
    inner = answer
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return answer


@asynccontextmanager
async def asked(node: Node, answer: Any) -> AsyncIterator[JsonRpc]:
    """Yield a client of a node that gives one answer."""

    async def respond(body: bytes, writer: asyncio.StreamWriter) -> None:
        text = json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "result": answer})
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + text.encode())
        await writer.drain()

    async with node(respond) as port:
        rpc = JsonRpc(f"http://127.0.0.1:{port}", timeout_s=2)
        try:
            yield rpc
        finally:
            await rpc.aclose()


def movement_of(node: Node, answer: Any) -> dict[str, int] | None:
    async def ask() -> dict[str, int] | None:
        async with asked(node, answer) as rpc:
            found = await read_movement(rpc, TX_HASH, address=ADDRESS)
            return None if found is None else dict(found.outflows)

    return asyncio.run(ask())


def page_of(node: Node, answer: Any, *, before: str | None = None) -> HistoryPage:
    async def ask() -> HistoryPage:
        async with asked(node, answer) as rpc:
            return await read_page(rpc, ADDRESS, before=before, height=9, slot=9)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("answer", "outflows"),
    [
        (HONEST, {"native": 7}),
        (with_("meta", "err", value="AccountInUse"), None),
        (with_("meta", "postBalances", value=[5000, 0, 1]), None),
        (with_("meta", "postBalances", value=[20_000, 0, 1]), None),
        (with_("meta", "preTokenBalances", value=[holding("9")]), {"native": 7, TOKEN: 9}),
        (
            {
                **HONEST,
                "meta": {
                    **HONEST["meta"],
                    "preTokenBalances": [holding("9"), holding("5"), holding("3", owner="X")],
                    "postTokenBalances": [holding("8"), holding("14", owner="X")],
                },
            },
            {"native": 7, TOKEN: 6},
        ),
    ],
    ids=["paid", "failed", "fee only", "came in", "account gone", "tokens"],
)
def test_what_left_is_added_up_by_asset_without_the_fee(
    answer: Any, outflows: Any, node: Node
) -> None:
    assert movement_of(node, answer) == outflows


@pytest.mark.parametrize(
    "answer",
    [
        None,
        with_("transaction", value=["AAAA", "base64"]),
        with_("transaction", value=["!", "base64"]),
        with_("transaction", value=[HONEST["transaction"][0], "base58"]),
        with_("transaction", value=[base64.b64encode(b"\x01" + bytes(64)).decode(), "base64"]),
        with_("meta", value=None),
        with_("meta", "preBalances", value=[1]),
        with_("meta", "preBalances", value=[-1, 0, 0]),
        with_("meta", "fee", value=2**63),
        with_("meta", "loadedAddresses", value={"writable": ["x"], "readonly": []}),
        with_("meta", "preTokenBalances", value=[holding("-1")]),
        with_("meta", "preTokenBalances", value=[holding("9" * 21)]),
        with_("meta", "preTokenBalances", value=None),
        with_("meta", "preTokenBalances", value=[holding("9", mint="native")]),
        with_("meta", "preTokenBalances", value=[holding("9", mint="M" * 1000)]),
    ],
)
def test_a_transaction_that_is_not_what_was_listed_is_no_answer(answer: Any, node: Node) -> None:
    with pytest.raises(ChainUnavailable):
        movement_of(node, answer)


def listed(*signatures_and_slots: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"signature": name, "slot": slot, "err": None} for name, slot in signatures_and_slots]


def test_a_page_names_what_did_not_fail_and_where_the_next_begins(node: Node) -> None:
    answer = listed(("b", 5), ("a", 5), ("z", 4))
    answer[2]["err"] = "AccountInUse"
    assert page_of(node, answer) == HistoryPage(("b", "a"), "z", 9)
    assert page_of(node, []) == HistoryPage((), None, 9)


@pytest.mark.parametrize(
    "answer",
    [
        listed(("a", 4), ("b", 5)),
        listed(("a", 4), ("a", 4)),
        listed(("before", 4)),
        listed(*((str(number), 1) for number in range(1001))),
        [{"signature": "a", "slot": 1}],
        {},
    ],
    ids=["order", "twice", "itself", "too much", "no verdict", "shape"],
)
def test_a_history_that_goes_in_circles_is_no_answer(answer: Any, node: Node) -> None:
    with pytest.raises(ChainUnavailable):
        page_of(node, answer, before="before")


def test_tokens_that_left_on_a_real_runtime_are_found(issue_token: Callable[..., bytes]) -> None:
    with running() as localnet:
        network = localnet.network
        network.airdrop(AGENT.pubkey(), lamports=10**10)
        raw = issue_token(
            *(AGENT, MINT),
            to=ADDRESS,
            amount=1000,
            decimals=6,
            blockhash=str(network.tip.blockhash),
        )
        network.submit(VersionedTransaction.from_bytes(raw))

        async def look() -> list[Any]:
            chain = SolanaChain(localnet.url, network=NetworkType.LOCALNET, clock=SystemClock())
            try:
                network.advance_blocks(33)
                page = await chain.history(ADDRESS, before=None)
                return [await chain.movement(each, address=ADDRESS) for each in page.tx_hashes]
            finally:
                await chain.aclose()

        [issued, funded] = asyncio.run(look())
        # What is bought for lamports are the rents of mint and account; what comes in is nothing.
        assert set(issued.outflows) == {"native"}
        assert funded is None
        assert network.balance(Pubkey.from_string(ADDRESS)) < 10**10
