"""Payments on a chain that nobody here scripted: the embedded network, with a real SVM runtime."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from waiaas.chains.localnet.faults import Fault, Reply
from waiaas.chains.localnet.server import RunningLocalnet, running
from waiaas.chains.solana.chain import SolanaChain, WrongNetwork
from waiaas.chains.solana.messages import fee_lamports
from waiaas.domain.enums import NetworkType
from waiaas.domain.request import Transfer
from waiaas.ports import (
    ChainUnavailable,
    Landed,
    Payload,
    ProvablyExpired,
    SignedTransaction,
    SimulationRefused,
    Unseen,
)

PAYER: Final = Keypair.from_seed(bytes([1]) * 32)
RECIPIENT: Final = Keypair.from_seed(bytes([2]) * 32).pubkey()
FROM: Final = str(PAYER.pubkey())
FUNDS: Final = 10_000_000_000
AMOUNT: Final = 1_000_000_000

TIMEOUT_S: Final = 0.5
"""Only a node that hangs is waited for so long."""

Do = Callable[[SolanaChain], Awaitable[Any]]


class World:
    """The network, and a clock on which waiting lets blocks pass."""

    def __init__(self, localnet: RunningLocalnet, runner: asyncio.Runner) -> None:
        self.url = localnet.url
        self.network = localnet.network
        self.faults = localnet.faults
        self._runner = runner
        self.chain = SolanaChain(
            self.url, network=NetworkType.LOCALNET, clock=self, timeout_s=TIMEOUT_S
        )
        self.network.airdrop(PAYER.pubkey(), lamports=FUNDS)
        self.network.advance_block()

    def now_s(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.network.advance_block()

    def do(self, do: Do) -> Any:
        async def run() -> Any:
            return await do(self.chain)

        return self._runner.run(run())

    def build(
        self, base_units: int = AMOUNT, *, unit_price: int = 0, to: Pubkey = RECIPIENT
    ) -> Payload | SimulationRefused:
        transfer = Transfer(to_address=str(to), base_units=base_units)
        built = self.do(
            lambda chain: chain.build(transfer, from_address=FROM, unit_price=unit_price)
        )
        assert isinstance(built, Payload | SimulationRefused)
        return built

    def payment(
        self, base_units: int = AMOUNT, *, unit_price: int = 0
    ) -> tuple[SignedTransaction, int]:
        """Build, assemble and return a payment, with the last height at which it can land."""
        payload = self.build(base_units, unit_price=unit_price)
        assert isinstance(payload, Payload)
        signature = bytes(PAYER.sign_message(payload.message))
        signed = self.chain.assemble(payload.message, signature=signature, from_address=FROM)
        return signed, payload.last_valid_block_height

    def send(self, signed: SignedTransaction) -> Any:
        return self.do(lambda chain: chain.send(signed.raw))

    def look_up(self, signed: SignedTransaction, last_valid: int) -> Any:
        return self.do(
            lambda chain: chain.look_up(signed.tx_hash, last_valid_block_height=last_valid)
        )

    def pass_blocks_until(self, *, finalized_height: int) -> None:
        self.network.advance_blocks(finalized_height + 32 - self.network.tip.height)

    def balance_by_another_client(self, address: Pubkey) -> int:
        async def read() -> int:
            async with AsyncClient(self.url) as client:
                return (await client.get_balance(address, commitment=Confirmed)).value

        return self._runner.run(read())


@pytest.fixture
def world() -> Iterator[World]:
    with running() as localnet, asyncio.Runner() as runner:
        world = World(localnet, runner)
        yield world
        runner.run(world.chain.aclose())


# ── paying ─────────────────────────────────────────────────────────────────────────────────────


def test_a_payment_arrives_and_costs_its_fee(world: World) -> None:
    signed, last_valid = world.payment(unit_price=1000)
    assert world.look_up(signed, last_valid) == Unseen()
    assert world.send(signed) is True
    assert world.look_up(signed, last_valid) == Unseen()  # in an open block: processed only
    world.network.advance_block()
    assert world.look_up(signed, last_valid) == Landed(error=None)
    assert world.balance_by_another_client(RECIPIENT) == AMOUNT
    left = FUNDS - AMOUNT - fee_lamports(1000, units=600)
    assert world.do(lambda chain: chain.balance(FROM)) == left
    world.pass_blocks_until(finalized_height=last_valid + 1)
    assert world.look_up(signed, last_valid) == Landed(error=None)


def test_two_identical_payments_both_arrive(world: World) -> None:
    first, second = (world.payment(unit_price=price) for price in (0, 1))
    assert first[1] == second[1]  # the same blockhash: nothing but the price keeps them apart
    assert first[0].tx_hash != second[0].tx_hash
    assert [world.send(signed) for signed, _ in (first, second)] == [True, True]
    world.network.advance_block()
    assert [world.look_up(*payment) for payment in (first, second)] == [Landed(error=None)] * 2
    assert world.balance_by_another_client(RECIPIENT) == 2 * AMOUNT


def test_control_two_identical_payments_with_one_unit_price_are_one(world: World) -> None:
    first, second = (world.payment(unit_price=0) for _ in range(2))
    assert first == second
    assert [world.send(signed) for signed, _ in (first, second)] == [True, True]
    world.network.advance_block()
    assert world.balance_by_another_client(RECIPIENT) == AMOUNT


def test_sending_the_same_bytes_again_changes_nothing(world: World) -> None:
    signed, last_valid = world.payment()
    for _ in range(3):
        assert world.send(signed) is True
        world.network.advance_block()
    assert world.look_up(signed, last_valid) == Landed(error=None)
    assert world.balance_by_another_client(RECIPIENT) == AMOUNT


def test_a_payment_that_fails_on_chain_has_landed_with_its_reason(world: World) -> None:
    most = FUNDS * 6 // 10
    (first, _), (second, last_valid) = (world.payment(most, unit_price=n) for n in (0, 1))
    assert [world.send(signed) for signed in (first, second)] == [True, True]
    world.network.advance_blocks(31)
    assert world.look_up(second, last_valid) == Unseen()
    world.network.advance_block()
    assert world.look_up(second, last_valid) == Landed(
        error="its first instruction failed with code 1: in a payment, "
        "the paying wallet holds less than the amount and the fee together"
    )
    assert world.balance_by_another_client(RECIPIENT) == most
    left = FUNDS - most - fee_lamports(0, units=600) - fee_lamports(1, units=600)
    assert world.do(lambda chain: chain.balance(FROM)) == left


# ── refusing ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("base_units", "words"),
    [
        (FUNDS - 5000 + 1, "less than the amount and the fee together"),
        (2**64 - 1, "less than the amount and the fee together"),
        (2**64, "moves 1 to 18446744073709551615 lamports"),
        (FUNDS - 5000 - 1, "the paying wallet would keep too little"),
        (1, "the recipient would hold too little"),
    ],
)
def test_a_payment_that_would_fail_is_refused_in_words(
    base_units: int, words: str, world: World
) -> None:
    refusal = world.build(base_units)
    assert isinstance(refusal, SimulationRefused)
    assert words in refusal.reason


def test_a_wallet_that_holds_nothing_cannot_pay(world: World) -> None:
    empty = str(Keypair.from_seed(bytes([3]) * 32).pubkey())
    transfer = Transfer(to_address=str(RECIPIENT), base_units=AMOUNT)
    refusal = world.do(lambda chain: chain.build(transfer, from_address=empty, unit_price=0))
    assert isinstance(refusal, SimulationRefused)
    assert "the paying wallet holds nothing" in refusal.reason


def test_a_wallet_can_be_emptied_to_the_last_lamport(world: World) -> None:
    signed, last_valid = world.payment(FUNDS - fee_lamports(0, units=600))
    world.send(signed)
    world.network.advance_block()
    assert world.look_up(signed, last_valid) == Landed(error=None)
    assert world.do(lambda chain: chain.balance(FROM)) == 0


# ── not knowing ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reply", [reply for reply in Reply if reply is not Reply.HONEST])
def test_a_payment_whose_answer_was_lost_is_found_on_the_chain(reply: Reply, world: World) -> None:
    signed, last_valid = world.payment()
    world.faults.install(Fault(method="sendTransaction", times=1, reply=reply))
    with contextlib.suppress(ChainUnavailable):  # unknown, as False is
        assert world.send(signed) is False
    world.network.advance_block()
    assert world.look_up(signed, last_valid) == Landed(error=None)
    assert world.send(signed) is True
    assert world.balance_by_another_client(RECIPIENT) == AMOUNT


def test_a_dropped_payment_expires_after_its_last_block_is_final_and_not_before(
    world: World,
) -> None:
    signed, last_valid = world.payment()
    world.faults.install(Fault(method="sendTransaction", drops=True))
    assert world.send(signed) is True
    while world.network.tip.height < last_valid + 32:
        assert world.look_up(signed, last_valid) == Unseen()
        world.network.advance_blocks(min(25, last_valid + 32 - world.network.tip.height))
    assert world.look_up(signed, last_valid) == Unseen()
    world.network.advance_block()
    assert world.look_up(signed, last_valid) == ProvablyExpired()
    world.faults.clear()
    world.send(signed)
    world.network.advance_blocks(40)
    assert world.balance_by_another_client(RECIPIENT) == 0


def test_a_payment_in_its_very_last_block_is_not_called_expired(world: World) -> None:
    signed, last_valid = world.payment()
    delay = last_valid - world.network.tip.height
    world.faults.install(Fault(method="sendTransaction", delay_blocks=delay))
    world.send(signed)
    world.network.advance_blocks(delay)
    assert world.network.tip.height == last_valid
    for _ in range(40):
        world.network.advance_block()
        assert world.look_up(signed, last_valid) == Landed(error=None)


def test_skipped_slots_do_not_age_a_payment(world: World) -> None:
    signed, last_valid = world.payment()
    for _ in range(500):
        world.network.skip_slot()
    world.network.advance_blocks(100)
    assert world.look_up(signed, last_valid) == Unseen()
    assert world.send(signed) is True
    world.network.advance_block()
    assert world.look_up(signed, last_valid) == Landed(error=None)


@pytest.mark.parametrize("lag_blocks", [33, 60, 200])
def test_a_node_that_lags_behind_the_end_proves_no_expiry(lag_blocks: int, world: World) -> None:
    signed, last_valid = world.payment()
    delay = last_valid - world.network.tip.height
    world.faults.install(Fault(method="sendTransaction", delay_blocks=delay))
    world.send(signed)
    world.pass_blocks_until(finalized_height=last_valid + 1)
    world.faults.install(Fault(method="getSignatureStatuses", lag_blocks=lag_blocks))
    assert world.look_up(signed, last_valid) == Unseen()
    world.faults.clear()
    assert world.look_up(signed, last_valid) == Landed(error=None)


def test_a_height_that_goes_back_is_not_believed(world: World) -> None:
    signed, last_valid = world.payment()
    world.pass_blocks_until(finalized_height=last_valid + 1)
    world.faults.install(Fault(method="getLatestBlockhash", lag_blocks=1))
    with pytest.raises(ChainUnavailable, match="went back"):
        world.look_up(signed, last_valid)
    world.faults.clear()
    assert world.look_up(signed, last_valid) == ProvablyExpired()


def test_a_stale_blockhash_from_a_lagging_node_is_not_built_on(world: World) -> None:
    world.network.advance_blocks(100)
    world.faults.install(Fault(method="getLatestBlockhash", lag_blocks=60))
    with pytest.raises(ChainUnavailable, match="90 blocks to live"):
        world.build()


def test_a_simulation_that_does_not_know_the_blockhash_yet_refuses_nothing(world: World) -> None:
    world.network.advance_blocks(10)
    world.faults.install(Fault(method="simulateTransaction", lag_blocks=5))
    with pytest.raises(ChainUnavailable, match="cannot judge the payment now"):
        world.build()


# ── the network and the faucet ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("network", [NetworkType.MAINNET, NetworkType.DEVNET, NetworkType.TESTNET])
def test_the_local_network_is_none_of_the_public_ones(network: NetworkType, world: World) -> None:
    async def ask() -> None:
        chain = SolanaChain(world.url, network=network, clock=world)
        try:
            await chain.balance(FROM)
        finally:
            await chain.aclose()

    with pytest.raises(WrongNetwork, match=f"not on the {network}"):
        asyncio.run(ask())


def test_an_airdrop_is_confirmed_when_its_hash_is_returned(world: World) -> None:
    tx_hash = world.do(lambda chain: chain.airdrop(str(RECIPIENT), base_units=AMOUNT))
    assert world.balance_by_another_client(RECIPIENT) == AMOUNT
    sighting = world.do(lambda chain: chain.look_up(tx_hash, last_valid_block_height=2**62))
    assert sighting == Landed(error=None)
