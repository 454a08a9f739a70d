"""A chain under test, fake or real: the same things can be done to either.

The real one is the daemon's Solana client before the embedded network, whose runtime nobody here
wrote; both are asked through `waiaas.ports.Chain` alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Protocol

import pytest
from nacl.signing import SigningKey
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from tests.fakes.chain import FakeChain, Manners
from tests.fakes.clock import FakeClock

from waiaas.chains.localnet.faults import Fault, Reply
from waiaas.chains.localnet.server import RunningLocalnet, running
from waiaas.chains.solana.chain import SolanaChain
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import NetworkType
from waiaas.domain.request import Request, Transfer
from waiaas.ports import Chain, Payload, Sighting, SignedTransaction, SimulationRefused

FUNDS: Final = 10**10
AMOUNT: Final = 10**9
TOKENS: Final = 1000

_seeds = count(1)


class Network(Protocol):
    """What is behind the chain under test."""

    chain: Chain

    def fund(self, address: str) -> None: ...
    def issue(self, address: str) -> str:
        """Make a token of which *address* has TOKENS, and all others nothing."""

    def close(self, key: SigningKey, token: str, *, amount: int) -> None:
        """Let somebody give up his account for a token, with the amount that is in it."""

    def pass_blocks(self, blocks: int) -> None: ...
    def lose_requests(self) -> None:
        """Let nothing that is asked arrive."""

    def lose_answers(self) -> None:
        """Do what is asked, and answer nothing."""

    def drop(self) -> None:
        """Take what is sent, and forget it."""

    def delay(self, blocks: int) -> None:
        """Let what is sent land so many blocks later."""

    def lag(self, blocks: int) -> None:
        """Say what became of a transaction as of so many blocks ago."""

    def behave(self) -> None: ...


class FakeNetwork:
    """The fake, misbehaving as told."""

    def __init__(self) -> None:
        self._fake = FakeChain()
        self.chain: Chain = self._fake

    def fund(self, address: str) -> None:
        self._fake.fund(address, base_units=FUNDS)

    def issue(self, address: str) -> str:
        token = solana_address(bytes(_new_key().verify_key))
        self._fake.fund(address, base_units=TOKENS, asset=token)
        return token

    def close(self, key: SigningKey, token: str, *, amount: int) -> None:
        del amount
        assert self._fake.close_account(solana_address(bytes(key.verify_key)), token)

    def pass_blocks(self, blocks: int) -> None:
        self._fake.pass_blocks(blocks)

    def lose_requests(self) -> None:
        self._misbehave(Manners(reaches=False))

    def lose_answers(self) -> None:
        self._misbehave(Manners(answers=False))

    def drop(self) -> None:
        self._misbehave(Manners(drops=True))

    def delay(self, blocks: int) -> None:
        self._misbehave(Manners(delay_blocks=blocks))

    def lag(self, blocks: int) -> None:
        self._misbehave(Manners(lag_blocks=blocks))

    def behave(self) -> None:
        self._misbehave(Manners())

    def _misbehave(self, manners: Manners) -> None:
        self._fake.manners = lambda _call: manners


class RealNetwork:
    """The real client before the embedded network."""

    def __init__(
        self,
        localnet: RunningLocalnet,
        chain: SolanaChain,
        issue_token: Callable[..., bytes],
        close_account: Callable[..., bytes],
    ) -> None:
        self.chain: Chain = chain
        self._localnet = localnet
        self._issue_token = issue_token
        self._close_account = close_account

    def fund(self, address: str) -> None:
        self._localnet.network.airdrop(Pubkey.from_string(address), lamports=FUNDS)
        self.pass_blocks(1)

    def issue(self, address: str) -> str:
        network, issuer, mint = self._localnet.network, Keypair(), Keypair()
        network.airdrop(issuer.pubkey(), lamports=FUNDS)
        raw = self._issue_token(
            *(issuer, mint),
            to=address,
            amount=TOKENS,
            decimals=6,
            blockhash=str(network.tip.blockhash),
        )
        network.submit(VersionedTransaction.from_bytes(raw))
        self.pass_blocks(1)
        return str(mint.pubkey())

    def close(self, key: SigningKey, token: str, *, amount: int) -> None:
        network, owner = self._localnet.network, Keypair.from_seed(bytes(key))
        network.airdrop(owner.pubkey(), lamports=FUNDS)
        blockhash = str(network.tip.blockhash)
        raw = self._close_account(owner, token=token, amount=amount, blockhash=blockhash)
        network.submit(VersionedTransaction.from_bytes(raw))
        self.pass_blocks(1)

    def pass_blocks(self, blocks: int) -> None:
        self._localnet.network.advance_blocks(blocks)

    def lose_requests(self) -> None:
        self._localnet.faults.replace([Fault(executes=False, reply=Reply.UNAVAILABLE)])

    def lose_answers(self) -> None:
        self._localnet.faults.replace([Fault(reply=Reply.CUT_OFF)])

    def drop(self) -> None:
        self._localnet.faults.replace([Fault(method="sendTransaction", drops=True)])

    def delay(self, blocks: int) -> None:
        self._localnet.faults.replace([Fault(method="sendTransaction", delay_blocks=blocks)])

    def lag(self, blocks: int) -> None:
        self._localnet.faults.replace([Fault(method="getSignatureStatuses", lag_blocks=blocks)])

    def behave(self) -> None:
        self._localnet.faults.clear()


def _new_key() -> SigningKey:
    return SigningKey(next(_seeds).to_bytes(32, "big"))


@dataclass
class Payer:
    """Somebody with money on the network, and a recipient of his own."""

    network: Network
    runner: asyncio.Runner
    key: SigningKey = field(default_factory=_new_key)
    key_of_recipient: SigningKey = field(default_factory=_new_key)

    @property
    def address(self) -> str:
        return solana_address(bytes(self.key.verify_key))

    @property
    def to(self) -> str:
        return solana_address(bytes(self.key_of_recipient.verify_key))

    def do(self, call: Callable[[Chain], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await call(self.network.chain)

        return self.runner.run(run())

    def transfer(self, base_units: int) -> Transfer:
        return Transfer(self.to, base_units)

    def build(self, wanted: Request | int = AMOUNT, *, unit_price: int = 1) -> Any:
        request = self.transfer(wanted) if isinstance(wanted, int) else wanted
        built = self.do(
            lambda chain: chain.build(request, from_address=self.address, unit_price=unit_price)
        )
        assert isinstance(built, Payload | SimulationRefused)
        return built

    def payment(self, wanted: Request | int = AMOUNT, *, unit_price: int = 1) -> "Payment":
        payload = self.build(wanted, unit_price=unit_price)
        assert isinstance(payload, Payload), payload
        signature = self.key.sign(payload.message).signature
        signed = self.network.chain.assemble(
            payload.message, signature=signature, from_address=self.address
        )
        return Payment(self, payload, signed)

    def moved(self, address: str | None = None) -> tuple[dict[str, Any], list[str]]:
        """Return what left an address, by transaction, and all that its history lists."""
        address = address or self.address

        async def read(chain: Chain) -> tuple[dict[str, Any], list[str]]:
            found, listed = {}, list[str]()
            page = await chain.history(address, before=None)
            while True:
                listed += page.tx_hashes
                for tx_hash in page.tx_hashes:
                    movement = await chain.movement(tx_hash, address=address)
                    if movement is not None:
                        found[movement.tx_hash] = dict(movement.outflows)
                if page.earlier is None:
                    return found, listed
                page = await chain.history(address, before=page.earlier)

        found: tuple[dict[str, Any], list[str]] = self.do(read)
        return found

    def balance(self, address: str) -> int:
        balance = self.do(lambda chain: chain.balance(address))
        assert isinstance(balance, int)
        return balance


@dataclass(frozen=True)
class Payment:
    """Signed bytes of a payer."""

    payer: Payer
    payload: Payload
    signed: SignedTransaction

    @property
    def last_valid(self) -> int:
        return self.payload.last_valid_block_height

    def send(self) -> Any:
        return self.payer.do(lambda chain: chain.send(self.signed.raw))

    def look_up(self) -> Sighting:
        sighting: Sighting = self.payer.do(
            lambda chain: chain.look_up(
                self.signed.tx_hash, last_valid_block_height=self.last_valid
            )
        )
        return sighting


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def real_network(
    runner: asyncio.Runner,
    issue_token: Callable[..., bytes],
    close_account: Callable[..., bytes],
) -> Iterator[RealNetwork]:
    """One network for all tests; each has a payer of its own."""
    with running() as localnet:
        chain = SolanaChain(localnet.url, network=NetworkType.LOCALNET, clock=FakeClock())
        yield RealNetwork(localnet, chain, issue_token, close_account)
        runner.run(chain.aclose())


@pytest.fixture(params=["fake", "real"])
def payer(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[Payer]:
    """Somebody with money, before the fake chain and before the real one."""
    network: Network = (
        FakeNetwork() if request.param == "fake" else request.getfixturevalue("real_network")
    )
    payer = Payer(network, runner)
    network.fund(payer.address)
    network.pass_blocks(1)
    yield payer
    network.behave()
