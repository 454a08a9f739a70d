"""What a transaction would do is said of the block that was asked about, and leaves no trace."""

import base64
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_PROGRAM_ID as TOKENS

from waiaas.chains.localnet.network import Block, Commitment, Localnet, Outcome
from waiaas.chains.localnet.server import RunningLocalnet

SOL: Final = 10**9
PAYER, MINT = (Keypair.from_seed(bytes([n]) * 32) for n in (1, 2))
NEW: Final = [Keypair.from_seed(bytes([n]) * 32).pubkey() for n in (3, 4)]

Simulate = Callable[[Localnet, VersionedTransaction, Block], Outcome]
Act = tuple[int, int]
"""A number of `instructions`, and an amount in tenths of what the wallet has at first."""


def instructions(act: Act) -> list[Instruction]:
    """Pay lamports or tokens to an address that may be new, or close the tokens' account."""
    what, tenths = act
    payer, mint, to = PAYER.pubkey(), MINT.pubkey(), NEW[what % 2]
    source, dest = (spl.get_associated_token_address(each, mint) for each in (payer, to))
    match what:
        case 0 | 1:
            lamports = tenths * SOL
            return [transfer(TransferParams(from_pubkey=payer, to_pubkey=to, lamports=lamports))]
        case 2 | 3:
            moved = models.TransferParams(
                program_id=TOKENS, source=source, dest=dest, owner=payer, amount=tenths * 10
            )
            account = spl.create_idempotent_associated_token_account(payer, to, mint)
            return [account, spl.transfer(moved)]
        case _:
            closed = models.CloseAccountParams(
                program_id=TOKENS, account=source, dest=payer, owner=payer
            )
            return [spl.close_account(closed)]


def signed(network: Localnet, act: Act) -> VersionedTransaction:
    blockhash = network.tip.blockhash
    message = MessageV0.try_compile(PAYER.pubkey(), instructions(act), [], blockhash)
    return VersionedTransaction(message, [PAYER])


def on_top_of(network: Localnet, transaction: VersionedTransaction, block: Block) -> Outcome:
    return network.simulate(transaction, at=block)


def on_the_tip(network: Localnet, transaction: VersionedTransaction, _block: Block) -> Outcome:
    return network.simulate(transaction)


class History:
    """Blocks with payments of one wallet, and what each probe would have done at the end of each.

    Attributes:
        network: at the end of it.
        told: by block and probe, by a network whose tip the block was.
    """

    def __init__(self, blocks: list[list[Act]], issue_token: Callable[..., bytes]) -> None:
        self.network = network = Localnet(genesis=b"views")
        self.told: list[tuple[Block, VersionedTransaction, Outcome]] = []
        network.airdrop(PAYER.pubkey(), lamports=10 * SOL)
        raw = issue_token(
            *(PAYER, MINT),
            to=str(PAYER.pubkey()),
            amount=100,
            decimals=0,
            blockhash=str(network.tip.blockhash),
        )
        network.submit(VersionedTransaction.from_bytes(raw))
        probes = [signed(network, act) for act in ((0, 3), (1, 9), (2, 2), (3, 9), (4, 0))]
        for acts in blocks:
            network.advance_block()
            for act in acts:
                network.submit(signed(network, act))
            self.told += [(network.tip, each, network.simulate(each)) for each in probes]

    def contradictions(self, simulate: Simulate) -> int:
        """Count what is said of a block otherwise now than when it was the tip."""
        return sum(
            simulate(self.network, probe, block) != outcome for block, probe, outcome in self.told
        )

    def accounts(self) -> list[object]:
        """Return all accounts there are."""
        touched = {key for block in self.network._blocks for key in block.accounts_before}
        return [self.network.account(key) for key in sorted(touched, key=bytes)]


ACTS: Final = st.tuples(st.integers(0, 4), st.integers(1, 10))


@settings(max_examples=20)
@given(blocks=st.lists(st.lists(ACTS, max_size=3), min_size=2, max_size=6))
def test_of_a_block_is_said_what_was_said_when_it_was_the_tip_and_nothing_changes(
    issue_token: Callable[..., bytes], blocks: list[list[Act]]
) -> None:
    history = History(blocks, issue_token)
    before = history.accounts()
    assert history.contradictions(on_top_of) == 0
    assert history.accounts() == before
    assert history.contradictions(on_top_of) == 0


FULL_OF_CHANGE: Final[list[list[Act]]] = [[], [(0, 1), (2, 9)], [(1, 8), (3, 1)], [(4, 0)]]
"""Both addresses appear and have tokens, and the account these came from is closed."""


def test_control_said_of_the_tip_it_is_another_answer(issue_token: Callable[..., bytes]) -> None:
    assert History(FULL_OF_CHANGE, issue_token).contradictions(on_the_tip) > 0


def test_accounts_are_put_back_whatever_happens(issue_token: Callable[..., bytes]) -> None:
    network = (history := History(FULL_OF_CHANGE, issue_token)).network
    first, before = history.told[0][0], history.accounts()
    assert None in before  # the closed one
    everyone = {key for block in network._blocks for key in block.accounts_before}

    def fail_in_the_past() -> None:
        with network._rewound(everyone, to=first):
            assert history.accounts() != before
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_past()
    assert history.accounts() == before


@pytest.mark.parametrize("replaces", [True, False], ids=["any blockhash", "its own"])
def test_a_simulation_shows_the_accounts_of_the_commitment_it_was_asked_for(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    ask: Callable[..., Any],
    *,
    replaces: bool,
) -> None:
    bystander, to, network = Pubkey.new_unique(), Pubkey.new_unique(), net.network
    blockhash = network.block(Commitment.FINALIZED).blockhash
    probe = pay(payer, to, lamports=SOL // 2, blockhash=blockhash)

    def told(commitment: str) -> tuple[object, object]:
        config = {
            "encoding": "base64",
            "commitment": commitment,
            "replaceRecentBlockhash": replaces,
            "accounts": {"addresses": [str(bystander), str(to)]},
        }
        text = base64.b64encode(bytes(probe)).decode()
        value = ask(net.url, "simulateTransaction", text, config)["result"]["value"]
        return value["err"] is None, value["accounts"] and [
            each and each["lamports"] for each in value["accounts"]
        ]

    network.airdrop(bystander, lamports=SOL)
    assert told("processed") == (True, [SOL, SOL // 2])
    assert told("confirmed") == (True, [None, SOL // 2])
    network.submit(pay(payer, bystander, lamports=SOL * 9 // 10, blockhash=blockhash))
    assert told("processed") == (False, None)
    assert told("confirmed") == (True, [None, SOL // 2])
    network.advance_block()
    assert told("confirmed") == (False, None)
    assert told("finalized") == (True, [None, SOL // 2])
    assert network.balance(bystander) == SOL + SOL * 9 // 10


def test_a_preflight_judges_by_the_accounts_of_its_commitment(
    net: RunningLocalnet, pay: Callable[..., VersionedTransaction], ask: Callable[..., Any]
) -> None:
    network, newcomer = net.network, Keypair()
    payment = pay(
        newcomer,
        Pubkey.new_unique(),
        lamports=SOL // 2,
        blockhash=network.block(Commitment.FINALIZED).blockhash,
    )
    network.airdrop(newcomer.pubkey(), lamports=SOL)
    text = base64.b64encode(bytes(payment)).decode()

    def sent(commitment: str) -> object:
        config = {"encoding": "base64", "preflightCommitment": commitment}
        answer = ask(net.url, "sendTransaction", text, config)
        return answer["error"]["data"]["err"] if "error" in answer else "accepted"

    assert sent("confirmed") == "AccountNotFound"
    network.advance_block()
    assert sent("finalized") == "AccountNotFound"
    assert sent("confirmed") == "accepted"
