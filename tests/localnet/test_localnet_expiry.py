"""A blockhash lives 150 blocks and not one more; what has landed never lands again."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Processed
from solana.rpc.core import RPCException
from solana.rpc.models import TxOpts
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from waiaas.chains.localnet.network import BLOCKHASH_LIFE_BLOCKS, BLOCKS_KEPT, Localnet
from waiaas.chains.localnet.server import RunningLocalnet

NOW = TxOpts(preflight_commitment=Processed)


def test_the_last_valid_height_is_the_last_one_that_is_valid(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
) -> None:
    to = Pubkey.new_unique()

    async def session(client: AsyncClient) -> None:
        latest = (await client.get_latest_blockhash(Processed)).value
        assert latest.last_valid_block_height == net.network.tip.height + BLOCKHASH_LIFE_BLOCKS
        early, late = (
            pay(payer, to, lamports=lamports, blockhash=latest.blockhash)
            for lamports in (10**8, 10**8 + 1)
        )
        net.network.advance_blocks(BLOCKHASH_LIFE_BLOCKS)
        assert (await client.get_block_height(Processed)).value == latest.last_valid_block_height
        await client.send_raw_transaction(bytes(early), NOW)
        net.network.advance_block()
        with pytest.raises(RPCException, match="BlockhashNotFound"):
            await client.send_raw_transaction(bytes(late), NOW)
        await client.send_raw_transaction(bytes(late), TxOpts(skip_preflight=True))
        message = cast("MessageV0", late.message)
        assert (await client.get_fee_for_message(message, Processed)).value is None

    with_client(session)
    assert net.network.balance(to) == 10**8


def test_the_validity_of_a_blockhash_can_be_asked(
    net: RunningLocalnet, ask: Callable[..., Any]
) -> None:
    blockhash = str(net.network.tip.blockhash)

    def valid(commitment: str) -> bool:
        answer = ask(net.url, "isBlockhashValid", blockhash, {"commitment": commitment})
        return bool(answer["result"]["value"])

    assert (valid("processed"), valid("confirmed"), valid("finalized")) == (True, False, False)
    net.network.advance_blocks(BLOCKHASH_LIFE_BLOCKS + 1)
    assert (valid("processed"), valid("confirmed"), valid("finalized")) == (False, True, True)
    net.network.advance_blocks(32)
    assert not valid("finalized")


def test_skipped_slots_do_not_shorten_a_blockhash_life(
    payer: Keypair, pay: Callable[..., VersionedTransaction]
) -> None:
    network = Localnet(genesis=b"skips")
    network.airdrop(payer.pubkey(), lamports=10**9)
    to = Pubkey.new_unique()
    payment = pay(payer, to, lamports=10**8, blockhash=network.tip.blockhash)
    for _ in range(BLOCKHASH_LIFE_BLOCKS):
        network.skip_slot()
        network.advance_block()
    network.submit(payment)
    assert network.balance(to) == 10**8


def test_a_replay_is_refused_however_much_happened_since(
    pay: Callable[..., VersionedTransaction],
) -> None:
    network, payer, to = Localnet(genesis=b"replay"), Keypair(), Pubkey.new_unique()
    network.airdrop(payer.pubkey(), lamports=10**9)
    payment = pay(payer, to, lamports=10**8, blockhash=network.tip.blockhash)
    network.submit(payment)
    for _ in range(100):
        network.airdrop(Pubkey.new_unique(), lamports=10**9)
    network.submit(payment)
    assert network.balance(to) == 10**8


def test_control_a_bare_runtime_accepts_the_replay(
    pay: Callable[..., VersionedTransaction],
) -> None:
    runtime, payer, to = LiteSVM(), Keypair(), Pubkey.new_unique()
    runtime.airdrop(payer.pubkey(), 10**9)
    payment = pay(payer, to, lamports=10**8, blockhash=runtime.latest_blockhash())
    runtime.send_transaction(payment)
    for _ in range(32):
        runtime.airdrop(Pubkey.new_unique(), 10**9)
    assert isinstance(runtime.send_transaction(payment), TransactionMetadata)
    assert runtime.get_balance(to) == 2 * 10**8


def test_control_bare_runtimes_share_their_blockhashes() -> None:
    assert LiteSVM().latest_blockhash() == LiteSVM().latest_blockhash()


def test_old_blocks_are_forgotten_and_their_blockhashes_stay_invalid() -> None:
    network = Localnet(genesis=b"long")
    blockhash = network.tip.blockhash
    network.advance_blocks(2 * BLOCKS_KEPT)
    assert network.block_of_hash(blockhash, seen_from=network.tip) is None
    assert network.block_of_hash(Hash.default(), seen_from=network.tip) is None


def test_the_past_of_an_account_can_be_read_until_its_blocks_are_forgotten() -> None:
    network, address = Localnet(genesis=b"past"), Pubkey.new_unique()
    heights = {}
    for total in (10**9, 2 * 10**9, 3 * 10**9):
        network.airdrop(address, lamports=10**9)
        heights[network.tip] = total
        network.advance_blocks(3)
    for block, total in heights.items():
        assert network.balance(address, at=block) == total
