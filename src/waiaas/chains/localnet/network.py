"""The chain itself: a real SVM runtime with the blocks, heights and expiry of a real cluster.

LiteSVM executes transactions but has no blocks: one blockhash is valid at a time, its slot never
moves by itself, it forgets a transaction after 32 others, and two fresh instances share their
blockhashes. What is missing is added here, and nothing advances unless it is told to.

The newest block, the *tip*, is open. A transaction is executed the moment it is submitted, in the
tip, where it is *processed*; one block later it is *confirmed*, 32 blocks later *finalized*. There
is one history: blocks are never rolled back. What would happen is said of a block as well: of the
accounts as they were at its end, as a node's bank of that commitment has them. What is not here:
durable nonces, votes, rewards, address lookup tables in the history of accounts, the past of
programs and of the clock. And where a cluster takes the fee of a transaction that breaks the rent
rule or names no program, LiteSVM does not execute it, so it leaves no trace.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from waiaas.chains.localnet.token_balances import (
    TokenBalance,
    decimals_of,
    mint_of,
    token_balances,
)

AnyMessage: TypeAlias = Message | MessageV0 | MessageV1

TransactionError: TypeAlias = str | dict[str, Any]
"""Why a transaction failed, as the JSON that a node writes."""

BLOCKHASH_LIFE_BLOCKS: Final = 150
"""A transaction may name the newest blockhash of a block for so many blocks after it."""

BLOCKS_KEPT: Final = 512
"""The past that can be asked about: a lagging node's finalized block, and the life behind it."""

LAG_BLOCKS_MAX: Final = 256
"""How far behind the tip a view of the chain may be."""

TRANSACTIONS_KEPT: Final = 1_000_000
"""Far more than can land while a blockhash lives, so a replay is always recognized."""

FAUCET_LAMPORTS: Final = 500_000_000 * 10**9
"""What the faucet owns at genesis."""

_FAUCET_UNITS_MIN: Final = 1_000
"""Compute units enough for an airdrop."""

_FAUCET_UNITS_SPAN: Final = 100_000


class Commitment(StrEnum):
    """How settled a block has to be before an answer takes it into account."""

    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


DEPTH: Final[Mapping[Commitment, int]] = MappingProxyType(
    {Commitment.PROCESSED: 0, Commitment.CONFIRMED: 1, Commitment.FINALIZED: 32}
)
"""The number of blocks on top that gives a block its commitment."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block. Slots count time, heights count blocks: a skipped slot has no block."""

    height: int
    slot: int
    blockhash: Hash
    """The newest blockhash a transaction in this block may name."""
    accounts_before: dict[Pubkey, Account | None] = field(
        default_factory=dict, repr=False, compare=False
    )
    """Every account this block touched, as it was before."""

    @property
    def last_valid_block_height(self) -> int:
        """The height of the last block that accepts a transaction naming `blockhash`."""
        return self.height + BLOCKHASH_LIFE_BLOCKS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction that was executed, or would become of it."""

    error: TransactionError | None
    fee: int = 0
    units: int = 0
    logs: tuple[str, ...] = ()
    accounts: Mapping[Pubkey, Account] = field(default_factory=dict)
    """The accounts afterwards; simulations only."""


@dataclass(frozen=True, slots=True)
class Landing:
    """A transaction in a block: executed and paid for, whether it succeeded or failed."""

    transaction: VersionedTransaction
    block: Block
    outcome: Outcome
    balances_before: tuple[int, ...]
    balances_after: tuple[int, ...]
    tokens_before: tuple[TokenBalance, ...]
    tokens_after: tuple[TokenBalance, ...]


class _Failure(msgspec.Struct):
    """The part of a failed transaction's JSON that solders shows as hundreds of types."""

    err: TransactionError


class Localnet:
    """A Solana network in memory.

    Every method may be called from any thread. Hold `lock`, which is re-entrant, to see or change
    several things at once.

    Args:
        genesis: 32 bytes that no other network has; random, unless a run is to be repeated.
    """

    def __init__(self, *, genesis: bytes) -> None:
        self.lock: Final = threading.RLock()
        self.genesis_hash: Final = Hash(hashlib.sha256(b"genesis" + genesis).digest())
        self._svm = (
            LiteSVM()
            .with_transaction_history(TRANSACTIONS_KEPT)
            .with_blockhash_check(check=False)  # it knows one blockhash; we know 150
        )
        self._faucet = Keypair.from_seed(hashlib.sha256(b"faucet" + genesis).digest())
        self._airdrops = count()
        self._svm.set_account(self._faucet.pubkey(), Account(FAUCET_LAMPORTS, b"", SYSTEM_PROGRAM))
        # LiteSVM starts at a mainnet slot. Kept: who takes a slot for a height is found out.
        first = Block(0, self._svm.get_clock().slot, self._next_hash(self.genesis_hash, height=0))
        self._blocks: deque[Block] = deque([first])
        self._by_blockhash = {first.blockhash: first}
        self._skipped_slots = 0
        self._landings: dict[Signature, Landing] = {}
        self._delayed: list[tuple[int, VersionedTransaction]] = []
        # From the start every commitment has a block of its own.
        self.advance_blocks(DEPTH[Commitment.FINALIZED])

    # ── blocks ─────────────────────────────────────────────────────────────────────────────────

    @property
    def tip(self) -> Block:
        """The open block."""
        return self._blocks[-1]

    def block(self, commitment: Commitment, *, lag_blocks: int = 0) -> Block:
        """Return the newest block of a commitment, as seen from *lag_blocks* behind the tip."""
        assert 0 <= lag_blocks <= LAG_BLOCKS_MAX, "the past that is kept has an end"
        with self.lock:
            depth = min(DEPTH[commitment] + lag_blocks, len(self._blocks) - 1)
            return self._blocks[-1 - depth]

    def advance_block(self) -> Block:
        """Close the tip and open the next block; what was delayed until now lands in it."""
        with self.lock:
            height = self.tip.height + 1
            block = Block(
                height,
                self.tip.slot + 1 + self._skipped_slots,
                self._next_hash(self.tip.blockhash, height=height),
            )
            self._skipped_slots = 0
            self._blocks.append(block)
            self._by_blockhash[block.blockhash] = block
            if len(self._blocks) > BLOCKS_KEPT:
                del self._by_blockhash[self._blocks.popleft().blockhash]
            self._svm.warp_to_slot(block.slot)
            due = [sent for at, sent in self._delayed if at <= height]
            self._delayed = [(at, sent) for at, sent in self._delayed if at > height]
            for sent in due:
                self._land(sent)
            return block

    def advance_blocks(self, blocks: int) -> Block:
        """Do it several times; return the new tip."""
        with self.lock:
            for _ in range(blocks):
                self.advance_block()
            return self.tip

    def skip_slot(self) -> None:
        """Let one slot pass without a block: the next one has a gap before it."""
        with self.lock:
            self._skipped_slots += 1

    def block_of_hash(self, blockhash: Hash, *, seen_from: Block) -> Block | None:
        """Return the block that brought *blockhash*, if *seen_from* accepts it in transactions."""
        with self.lock:
            block = self._by_blockhash.get(blockhash)
        if block is None or not block.height <= seen_from.height <= block.last_valid_block_height:
            return None
        return block

    # ── accounts ───────────────────────────────────────────────────────────────────────────────

    def account(self, address: Pubkey, *, at: Block | None = None) -> Account | None:
        """Return an account as it was at the end of a block; of the tip, unless told."""
        with self.lock:
            newer = 0 if at is None else self.tip.height - at.height
            for age in range(newer, 0, -1):
                block = self._blocks[-age]
                if address in block.accounts_before:
                    return block.accounts_before[address]
            return self._svm.get_account(address)

    def balance(self, address: Pubkey, *, at: Block | None = None) -> int:
        """Return the lamports of an account at the end of a block; of the tip, unless told."""
        account = self.account(address, at=at)
        return 0 if account is None else account.lamports

    def rent_exempt_minimum(self, *, data_bytes: int) -> int:
        """Return what an account with so much data has to hold."""
        with self.lock:
            return self._svm.minimum_balance_for_rent_exemption(data_bytes)

    # ── transactions ───────────────────────────────────────────────────────────────────────────

    def landing(self, signature: Signature, *, seen_from: Block | None = None) -> Landing | None:
        """Return what a block and those before it know of a transaction; the tip, unless told."""
        with self.lock:
            landing = self._landings.get(signature)
            seen_from = seen_from or self.tip
        if landing is None or landing.block.height > seen_from.height:
            return None
        return landing

    def landings_of(self, address: Pubkey, *, seen_from: Block) -> list[Landing]:
        """Return what a block and those before it know of an address, newest first."""
        with self.lock:
            landings = list(self._landings.values())
        return [
            landing
            for landing in reversed(landings)
            if landing.block.height <= seen_from.height
            and address in landing.transaction.message.account_keys
        ]

    def fee(self, message: AnyMessage) -> int:
        """Return the lamports that a transaction of *message* costs its payer."""
        return self.simulate(VersionedTransaction.populate(message, [])).fee

    def simulate(self, transaction: VersionedTransaction, *, at: Block | None = None) -> Outcome:
        """Say what would happen on top of a block; of the tip, unless told.

        Signatures, blockhash and history are not looked at.
        """
        blank = [Signature.default()] * transaction.message.header.num_required_signatures
        unsigned = VersionedTransaction.populate(transaction.message, blank)  # so it is new
        with self.lock, self._rewound(transaction.message.account_keys, to=at or self.tip):
            self._svm.with_sigverify(sigverify=False)  # a failed check would hide everything else
            try:
                result = self._svm.simulate_transaction(unsigned)
            finally:
                self._svm.with_sigverify(sigverify=True)
        if isinstance(result, FailedTransactionMetadata):
            return _outcome(result.meta(), failed=result)
        return _outcome(result.meta(), accounts=dict(result.post_accounts()))

    def preflight(self, transaction: VersionedTransaction, *, at: Block) -> Outcome:
        """Say what a node would find that has seen the blocks up to *at*, and nothing since."""
        with self.lock:
            blockhash = transaction.message.recent_blockhash
            if self.block_of_hash(blockhash, seen_from=at) is None:
                return Outcome("BlockhashNotFound")
            if self.landing(transaction.signatures[0], seen_from=at) is not None:
                return Outcome("AlreadyProcessed")
            return self.simulate(transaction, at=at)

    def submit(self, transaction: VersionedTransaction, *, delay_blocks: int = 0) -> Signature:
        """Hand in a transaction, now or so many blocks later; it lands if it then can.

        Like a cluster, the network says nothing: what is invalid, expired or a duplicate when its
        time comes is dropped without a trace.
        """
        with self.lock:
            if delay_blocks:
                self._delayed.append((self.tip.height + delay_blocks, transaction))
            else:
                self._land(transaction)
        return transaction.signatures[0]

    def compose_airdrop(self, address: Pubkey, *, lamports: int) -> VersionedTransaction:
        """Return the faucet's payment to *address*, signed; two are never equal."""
        with self.lock:
            units = _FAUCET_UNITS_MIN + next(self._airdrops) % _FAUCET_UNITS_SPAN
            message = MessageV0.try_compile(
                self._faucet.pubkey(),
                [
                    set_compute_unit_limit(units),
                    transfer(
                        TransferParams(
                            from_pubkey=self._faucet.pubkey(), to_pubkey=address, lamports=lamports
                        )
                    ),
                ],
                [],
                self.tip.blockhash,
            )
        return VersionedTransaction(message, [self._faucet])

    def airdrop(self, address: Pubkey, *, lamports: int) -> Signature:
        """Credit *address* in the tip.

        Raises:
            ValueError: the payment would fail, e.g. below the rent-exempt minimum.
        """
        with self.lock:
            payment = self.compose_airdrop(address, lamports=lamports)
            signature = self.submit(payment)
            landing = self.landing(signature)
        if landing is None or landing.outcome.error is not None:
            raise ValueError(f"an airdrop of {lamports} lamports to {address} cannot land")
        return signature

    @contextmanager
    def _rewound(self, addresses: Iterable[Pubkey], *, to: Block) -> Iterator[None]:
        """Let accounts be as they were at the end of a block, and put them back, whatever happens.

        Programs stay: the runtime keeps them compiled beside their accounts.
        """
        put_back: dict[Pubkey, Account | None] = {}
        try:
            for address in addresses if to is not self.tip else ():
                now, then = self._svm.get_account(address), self.account(address, at=to)
                if now != then and not _is_program(now) and not _is_program(then):
                    put_back[address] = now
                    self._svm.set_account(address, then or _NOTHING)
            yield
        finally:
            for address, account in put_back.items():
                self._svm.set_account(address, account or _NOTHING)

    def _land(self, transaction: VersionedTransaction) -> None:
        """Execute in the tip, and write down what the chain would."""
        signature = transaction.signatures[0]
        blockhash = transaction.message.recent_blockhash
        known = signature in self._landings
        if known or self.block_of_hash(blockhash, seen_from=self.tip) is None:
            return
        before = {key: self._svm.get_account(key) for key in transaction.message.account_keys}
        result = self._svm.send_transaction(transaction)
        if self._svm.get_transaction(signature) is None:
            return  # refused before execution: no fee, no trace
        if isinstance(result, FailedTransactionMetadata):
            outcome = _outcome(result.meta(), failed=result)
        else:
            outcome = _outcome(result)
        after = {key: self._svm.get_account(key) for key in before}
        for key, account in before.items():
            self.tip.accounts_before.setdefault(key, account)
        if len(self._landings) == TRANSACTIONS_KEPT:
            del self._landings[next(iter(self._landings))]
        self._landings[signature] = Landing(
            transaction,
            self.tip,
            outcome,
            balances_before=tuple(map(_lamports, before.values())),
            balances_after=tuple(map(_lamports, after.values())),
            tokens_before=self._token_balances(before),
            tokens_after=self._token_balances(after),
        )

    def _token_balances(
        self, accounts: Mapping[Pubkey, Account | None]
    ) -> tuple[TokenBalance, ...]:
        mints = {mint for mint in map(mint_of, accounts.values()) if mint is not None}
        decimals = {mint: decimals_of(self._svm.get_account(mint)) for mint in mints}
        return token_balances(accounts, decimals=decimals)

    def _next_hash(self, parent: Hash, *, height: int) -> Hash:
        return Hash(hashlib.sha256(bytes(parent) + height.to_bytes(8, "big")).digest())


_NOTHING: Final = Account(0, b"", SYSTEM_PROGRAM)
"""What an account is set to that is not to be there."""


def _is_program(account: Account | None) -> bool:
    return account is not None and account.executable


def _lamports(account: Account | None) -> int:
    return 0 if account is None else account.lamports


def _outcome(
    meta: TransactionMetadata,
    *,
    failed: FailedTransactionMetadata | None = None,
    accounts: Mapping[Pubkey, Account] | None = None,
) -> Outcome:
    error = None if failed is None else msgspec.json.decode(failed.to_json(), type=_Failure).err
    return Outcome(
        error,
        fee=meta.fee(),
        units=meta.compute_units_consumed(),
        logs=tuple(meta.logs()),
        accounts=accounts or {},
    )
