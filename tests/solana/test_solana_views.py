"""A call that is judged while another payment of the same agent lands, by whatever nodes.

The agent's accounts are read, the call is simulated, the accounts are read again. Between any two
of these an approval may land that the operator gave; and a node that answers may be behind the one
that answered before it. The call takes nothing, so it is never refused: it is signed, or judged
again later.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import product
from typing import Final

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from waiaas.chains.localnet.faults import Fault
from waiaas.chains.localnet.network import Block, Localnet, Outcome
from waiaas.chains.localnet.server import RunningLocalnet, running
from waiaas.chains.solana.chain import SolanaChain
from waiaas.chains.solana.messages import signed_transaction
from waiaas.chains.solana.outflow import View
from waiaas.domain.enums import NetworkType
from waiaas.domain.request import Approve, Batch, ContractCall, Request, TokenTransfer, Transfer
from waiaas.ports import ChainUnavailable, Payload, SimulationRefused
from waiaas.system import SystemClock

AGENT: Final = Keypair.from_seed(bytes([1]) * 32)
ADDRESS: Final = str(AGENT.pubkey())
MINT: Final = Keypair.from_seed(bytes([2]) * 32)
TOKEN: Final = str(MINT.pubkey())
ISSUER: Final = Keypair.from_seed(bytes([3]) * 32)
OTHER: Final = str(Keypair.from_seed(bytes([4]) * 32).pubkey())
SOL: Final = 10**9
CALL: Final = Batch(
    (
        TokenTransfer(TOKEN, OTHER, 1),  # so that the agent's token account is written
        ContractCall("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", b"paid"),
    )
)
APPROVAL: Final = Approve(TOKEN, OTHER, 5)
LAGS: Final = range(3)


class World:
    """An agent with SOL and tokens; each of its payments goes by one price, so none is another."""

    def __init__(self, localnet: RunningLocalnet, issue_token: Callable[..., bytes]) -> None:
        self.network: Localnet = localnet.network
        self.faults = localnet.faults
        self._url = localnet.url
        self._unit_price = 0
        for who in (AGENT, ISSUER):
            self.network.airdrop(who.pubkey(), lamports=10 * SOL)
        blockhash = str(self.network.tip.blockhash)
        raw = issue_token(*(ISSUER, MINT), to=ADDRESS, amount=1000, decimals=6, blockhash=blockhash)
        self.network.submit(VersionedTransaction.from_bytes(raw))
        self.network.advance_blocks(len(LAGS) + 1)

    def build(self, request: Request) -> Payload | SimulationRefused:
        self._unit_price += 1

        async def run() -> Payload | SimulationRefused:
            chain = SolanaChain(self._url, network=NetworkType.LOCALNET, clock=SystemClock())
            try:
                return await chain.build(request, from_address=ADDRESS, unit_price=self._unit_price)
            finally:
                await chain.aclose()

        return asyncio.run(run())

    def pay(self, request: Request) -> None:
        """Let it land in the tip."""
        built = self.build(request)
        assert isinstance(built, Payload), built
        raw = signed_transaction(
            built.message, signature=bytes(AGENT.sign_message(built.message))
        ).raw
        self.network.submit(VersionedTransaction.from_bytes(raw))

    def judged_by(self, *lags: int, request: Request = CALL) -> str:
        """Build a batch by nodes that are so many blocks behind in their three answers."""
        before, simulated, after = lags
        accounts = "getMultipleAccounts"
        self.faults.replace(
            [
                Fault(method="getLatestBlockhash", lag_blocks=max(LAGS)),  # which they all know
                Fault(method=accounts, times=1),  # about the mint
                Fault(method=accounts, times=1, lag_blocks=before),
                Fault(method="simulateTransaction", lag_blocks=simulated),
                Fault(method=accounts, times=1, lag_blocks=after),
            ]
        )
        try:
            built = self.build(request)
        except ChainUnavailable:
            return "again"
        finally:
            self.faults.clear()
        return "signed" if isinstance(built, Payload) else built.reason


@pytest.fixture
def world(issue_token: Callable[..., bytes]) -> Iterator[World]:
    with running() as localnet:
        yield World(localnet, issue_token)


def simulated_on_the_tip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the network simulate as if it had one state, whatever commitment is asked for."""
    simulate = Localnet.simulate

    def on_the_tip(
        self: Localnet, transaction: VersionedTransaction, *, at: Block | None = None
    ) -> Outcome:
        assert at is not None
        return simulate(self, transaction)

    monkeypatch.setattr(Localnet, "simulate", on_the_tip)


@pytest.mark.parametrize(
    "other",
    [APPROVAL, TokenTransfer(TOKEN, OTHER, 999), Transfer(OTHER, 9 * SOL)],
    ids=lambda request: type(request).__name__,
)
def test_what_is_processed_and_not_confirmed_changes_no_judgement(
    other: Request, world: World
) -> None:
    world.pay(other)
    assert world.judged_by(0, 0, 0) == "signed"
    assert world.judged_by(0, 0, 0) == "signed"


def test_control_on_a_network_that_simulates_on_its_tip_an_approval_ends_a_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated_on_the_tip(monkeypatch)
    assert world.judged_by(0, 0, 0) == "signed"
    world.pay(APPROVAL)
    assert "it would let somebody else move" in world.judged_by(0, 0, 0)


def landed(world: World) -> None:
    """Let an approval land and be taken back a block later: the last three views all differ."""
    for approval in (APPROVAL, Approve(TOKEN, OTHER, 0)):
        world.pay(approval)
        world.network.advance_block()


def test_a_concurrent_payment_of_the_agent_ends_no_other_whichever_nodes_answer(
    world: World,
) -> None:
    landed(world)
    judged = {lags: world.judged_by(*lags) for lags in product(LAGS, repeat=3)}
    assert set(judged.values()) == {"signed", "again"}
    one_node = {lags for lags in judged if len(set(lags)) == 1}
    assert {judged[lags] for lags in one_node} == {"signed"}


def test_control_who_compares_accounts_alone_refuses_payments_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_alike(before: View, _simulated: View, after: View) -> bool:
        return bool(before.accounts == after.accounts)

    monkeypatch.setattr("waiaas.chains.solana.chain.is_unmoved", look_alike)
    landed(world)
    judged = {lags: world.judged_by(*lags) for lags in product(LAGS, repeat=3)}
    assert any("it would let somebody else move" in each for each in judged.values())


def test_control_who_looks_at_slots_alone_does_not_see_what_landed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_order(before: View, simulated: View, after: View) -> bool:
        return before.slot <= simulated.slot <= after.slot

    monkeypatch.setattr("waiaas.chains.solana.chain.is_unmoved", in_order)
    landed(world)
    assert "it would let somebody else move" in world.judged_by(2, 1, 0)


def test_a_failure_on_a_state_older_than_the_one_shown_is_none_of_the_payment(
    world: World,
) -> None:
    world.network.airdrop(AGENT.pubkey(), lamports=10 * SOL)
    world.network.advance_block()
    large = Batch((Transfer(OTHER, 15 * SOL), *CALL.parts))
    assert world.judged_by(0, 0, 0, request=large) == "signed"
    assert world.judged_by(0, 1, 0, request=large) == "again"
    # Who is behind throughout cannot be told from a chain on which nothing has happened yet.
    assert "failed with code 1" in world.judged_by(1, 1, 1, request=large)
