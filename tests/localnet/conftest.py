"""A node on a thread of the test, asked by real solana-py or in raw JSON; time stands still."""

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from solana.rpc.async_api import AsyncClient
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from waiaas.chains.localnet.server import RunningLocalnet, running


@pytest.fixture
def net() -> Iterator[RunningLocalnet]:
    with running() as localnet:
        yield localnet


@pytest.fixture
def payer(net: RunningLocalnet) -> Keypair:
    """Someone with one SOL, finalized."""
    keypair = Keypair()
    net.network.airdrop(keypair.pubkey(), lamports=10**9)
    net.network.advance_blocks(32)
    return keypair


@pytest.fixture
def pay() -> Callable[..., VersionedTransaction]:
    """Sign a transfer with a limit of 1,000 compute units."""

    def sign(
        payer: Keypair,
        to: Pubkey,
        *,
        lamports: int,
        blockhash: Hash,
        unit_price: int = 0,
        legacy: bool = False,
    ) -> VersionedTransaction:
        instructions = [
            set_compute_unit_limit(1_000),
            set_compute_unit_price(unit_price),
            transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports)),
        ]
        if legacy:
            message = Message.new_with_blockhash(instructions, payer.pubkey(), blockhash)
            return VersionedTransaction(message, [payer])
        v0 = MessageV0.try_compile(payer.pubkey(), instructions, [], blockhash)
        return VersionedTransaction(v0, [payer])

    return sign


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Ask one question in raw JSON and return the whole answer."""

    def question(url: str, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(body), headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    return question


@pytest.fixture
def with_client(net: RunningLocalnet) -> Callable[[Callable[[AsyncClient], Awaitable[Any]]], Any]:
    """Run a coroutine function with a real client, which does not retry by itself."""

    def run(act: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
        async def session() -> Any:
            async with AsyncClient(net.url, timeout=10, max_transport_retries=0) as client:
                return await act(client)

        return asyncio.run(session())

    return run
