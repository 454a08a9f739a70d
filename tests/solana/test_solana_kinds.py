"""Tokens, approvals, calls and batches on a chain that nobody here scripted."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.token.state import TokenAccount
from solders.transaction import VersionedTransaction
from spl.token.constants import TOKEN_PROGRAM_ID as TOKENS
from spl.token.instructions import set_authority
from spl.token.models import AuthorityType, SetAuthorityParams

from waiaas.chains.localnet.network import Localnet
from waiaas.chains.localnet.server import running
from waiaas.chains.solana.chain import SolanaChain
from waiaas.chains.solana.instructions import token_account
from waiaas.domain.enums import NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.programs import (
    ASSOCIATED_TOKEN_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
)
from waiaas.domain.request import (
    Approve,
    Batch,
    CallAccount,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
)
from waiaas.ports import Payload, SimulationRefused
from waiaas.system import SystemClock

AGENT: Final = Keypair.from_seed(bytes([1]) * 32)
ADDRESS: Final = str(AGENT.pubkey())
MINT: Final = Keypair.from_seed(bytes([2]) * 32)
TOKEN: Final = str(MINT.pubkey())
ISSUER: Final = Keypair.from_seed(bytes([3]) * 32)
MEMO: Final = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
ISSUED: Final = 1_000_000
SOL: Final = 10**9
RENT: Final = 2_039_280
"""Of a token account, in lamports."""


class World:
    """A network on which the agent has SOL and tokens."""

    def __init__(self, network: Localnet, url: str, issue_token: Callable[..., bytes]) -> None:
        self.network = network
        self.url = url
        for who in (AGENT, ISSUER):
            network.airdrop(who.pubkey(), lamports=10 * SOL)
        raw = issue_token(
            *(ISSUER, MINT),
            to=ADDRESS,
            amount=ISSUED,
            decimals=6,
            blockhash=str(network.tip.blockhash),
        )
        network.submit(VersionedTransaction.from_bytes(raw))
        network.advance_block()

    def ask(self, ask: Callable[[SolanaChain], Any]) -> Any:
        async def run() -> Any:
            chain = SolanaChain(self.url, network=NetworkType.LOCALNET, clock=SystemClock())
            try:
                return await ask(chain)
            finally:
                await chain.aclose()

        return asyncio.run(run())

    def build(self, request: Request) -> Payload | SimulationRefused:
        built = self.ask(lambda chain: chain.build(request, from_address=ADDRESS, unit_price=1))
        assert isinstance(built, Payload | SimulationRefused)
        return built

    def do(self, request: Request) -> None:
        """Build, sign and land it."""
        built = self.build(request)
        assert isinstance(built, Payload), built

        async def send(chain: SolanaChain) -> bool:
            chain.check(built.message, request, from_address=ADDRESS, rent=built.rent)
            signature = bytes(AGENT.sign_message(built.message))
            signed = chain.assemble(built.message, signature=signature, from_address=ADDRESS)
            return await chain.send(signed.raw)

        assert self.ask(send)
        self.network.advance_block()

    def tokens(self, owner: str) -> int:
        account = self.token_account(owner)
        return 0 if account is None else account.amount

    def token_account(self, owner: str) -> TokenAccount | None:
        found = self.network.account(Pubkey.from_string(token_account(owner, TOKEN)))
        return None if found is None else TokenAccount.from_bytes(found.data)

    def balance(self, owner: str) -> int:
        return self.network.balance(Pubkey.from_string(owner))


@pytest.fixture(scope="module")
def world(issue_token: Callable[..., bytes]) -> Iterator[World]:
    with running() as localnet:
        yield World(localnet.network, localnet.url, issue_token)


def new_address() -> str:
    return str(Keypair().pubkey())


def memo(text: bytes = b"paid") -> ContractCall:
    return ContractCall(MEMO, text, 0, (CallAccount(ADDRESS, is_signer=True, is_writable=False),))


def test_tokens_reach_a_wallet_that_never_had_any_and_again(world: World) -> None:
    to, before = new_address(), world.tokens(ADDRESS)
    for sent in (300, 301):
        world.do(TokenTransfer(TOKEN, to, sent))
    assert (world.tokens(to), world.tokens(ADDRESS)) == (601, before - 601)


def test_an_approval_names_a_delegate_and_how_much_and_zero_takes_it_back(world: World) -> None:
    spender = new_address()
    world.do(Approve(TOKEN, spender, 77))
    account = world.token_account(ADDRESS)
    assert account is not None
    assert (str(account.delegate), account.delegated_amount) == (spender, 77)
    world.do(Approve(TOKEN, spender, 0))
    account = world.token_account(ADDRESS)
    assert account is not None
    assert account.delegated_amount == 0


def test_a_program_is_called_with_what_was_given(world: World) -> None:
    world.do(memo())


def test_what_cannot_be_paid_for_is_named_whether_the_account_is_there_or_not(
    world: World,
) -> None:
    to = new_address()
    for _ in range(2):
        refused = world.build(TokenTransfer(TOKEN, to, ISSUED + 1))
        assert isinstance(refused, SimulationRefused)
        assert "holds less of the token" in refused.reason
        world.do(TokenTransfer(TOKEN, to, 5))


def test_a_batch_is_done_whole(world: World) -> None:
    to, other = new_address(), new_address()
    world.do(Batch((Transfer(to, SOL), TokenTransfer(TOKEN, to, 5), memo(), Transfer(other, SOL))))
    assert (world.balance(to), world.tokens(to), world.balance(other)) == (SOL, 5, SOL)


def test_a_batch_of_which_one_part_fails_is_not_done_at_all(world: World) -> None:
    to = new_address()
    refused = world.build(Batch((Transfer(to, SOL), TokenTransfer(TOKEN, to, ISSUED + 1))))
    assert isinstance(refused, SimulationRefused)
    assert (world.balance(to), world.tokens(to)) == (0, 0)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (TokenTransfer(TOKEN, new_address(), ISSUED + 1), "holds less of the token"),
        (TokenTransfer(new_address(), new_address(), 1), "the chain has no token"),
        (TokenTransfer(ADDRESS, new_address(), 1), "the chain has no token"),
        (TokenTransfer(token_account(ADDRESS, TOKEN), new_address(), 1), "but no token"),
        (TokenTransfer(TOKEN, ADDRESS, 1), "the paying wallet itself"),
        (TokenTransfer(TOKEN, token_account(ADDRESS, TOKEN), 1), "pay to the wallet"),
        (TokenTransfer(TOKEN, TOKEN, 1), "pay to the wallet"),
        (TokenTransfer(TOKEN, TOKEN_2022_PROGRAM, 1), "a program of the chain"),
        (TokenTransfer(TOKEN, new_address(), 2**64), "at most 18446744073709551615"),
        (Approve(TOKEN, new_address(), 2**64), "at most 18446744073709551615"),
        (ContractCall(ADDRESS, b""), "no program"),
        (ContractCall(MEMO, b"", 2**64), "at most 18446744073709551615 lamports"),
        (ContractCall(MEMO, bytes(1232)), "a transaction has room for 1167"),
        (
            Batch(tuple(TokenTransfer(TOKEN, new_address(), 1) for _ in range(20))),
            "no room for 46 accounts",
        ),
        (
            ContractCall(
                MEMO, b"", 0, (CallAccount(new_address(), is_signer=True, is_writable=False),)
            ),
            "only the agent's own account can sign",
        ),
        (ContractCall(new_address(), b""), "the chain reports"),
    ],
)
def test_what_the_chain_cannot_do_is_refused_in_words(
    world: World, request_: Request, words: str
) -> None:
    refused = world.build(request_)
    assert isinstance(refused, SimulationRefused)
    assert words in refused.reason


def test_an_account_that_was_given_away_is_not_paid_to(world: World) -> None:
    """Tokens would reach somebody else: on the chain nothing but making the account checks that."""
    owner, other = Keypair(), Keypair().pubkey()
    to = str(owner.pubkey())
    world.network.airdrop(owner.pubkey(), lamports=SOL)
    world.do(TokenTransfer(TOKEN, to, 5))
    params = SetAuthorityParams(
        program_id=TOKENS,
        account=Pubkey.from_string(token_account(to, TOKEN)),
        authority=AuthorityType.ACCOUNT_OWNER,
        current_authority=owner.pubkey(),
        new_authority=other,
    )
    blockhash = Hash.from_string(str(world.network.tip.blockhash))
    message = MessageV0.try_compile(owner.pubkey(), [set_authority(params)], [], blockhash)
    world.network.submit(VersionedTransaction(message, [owner]))
    world.network.advance_block()
    refused = world.build(TokenTransfer(TOKEN, to, 5))
    assert isinstance(refused, SimulationRefused)
    assert "is somebody else's" in refused.reason


# ── what a call takes ──────────────────────────────────────────────────────────────────────────

TAKER: Final = Keypair.from_seed(bytes([9]) * 32).pubkey()
"""The Associated Token Account program at an address of nobody's: called, it lets the System
program move the rent of a new account out of its caller's wallet."""


def take_rent(world: World, *, value: int) -> ContractCall:
    owner = Keypair().pubkey()
    seeds = [bytes(owner), bytes(TOKENS), bytes(MINT.pubkey())]
    made, _ = Pubkey.find_program_address(seeds, TAKER)
    given = [(ADDRESS, True, True), (str(made), False, True), (str(owner), False, False)]
    given += [(each, False, False) for each in (TOKEN, SYSTEM_PROGRAM, TOKEN_PROGRAM)]
    elf = world.network.account(Pubkey.from_string(ASSOCIATED_TOKEN_PROGRAM))
    assert elf is not None
    world.network._svm.add_program(TAKER, elf.data)
    accounts = tuple(CallAccount(who, signs, writes) for who, signs, writes in given)
    return ContractCall(str(TAKER), b"", value, accounts)


def test_a_call_that_takes_more_than_it_says_is_not_signed(world: World) -> None:
    for value in (0, RENT - 1):
        refused = world.build(take_rent(world, value=value))
        assert isinstance(refused, SimulationRefused)
        assert refused.reason.startswith("it would take")
        assert "of native, and may take" in refused.reason


def test_control_a_call_that_says_what_it_takes_is_done(world: World) -> None:
    before = world.balance(ADDRESS)
    world.do(take_rent(world, value=RENT))
    assert before - world.balance(ADDRESS) == RENT + 5000 + 1


def test_what_no_node_is_needed_to_refuse_is_refused_before_admission(world: World) -> None:
    async def look(chain: SolanaChain) -> None:
        chain.require_possible(memo(), from_address=ADDRESS)
        with pytest.raises(Refusal, match="room for 1167") as refusal:
            chain.require_possible(memo(bytes(1200)), from_address=ADDRESS)
        assert refusal.value.code is ErrorCode.VALIDATION_FAILED

    world.ask(look)


def test_decimals_are_the_mints_own(world: World) -> None:
    async def look(chain: SolanaChain) -> None:
        assert await chain.token_decimals(TOKEN) == 6
        with pytest.raises(Refusal, match="no token") as refusal:
            await chain.token_decimals(ADDRESS)
        assert refusal.value.code is ErrorCode.INVALID_ADDRESS

    world.ask(look)
