"""Everything the core asks of the world, on one page.

The pipeline takes these as arguments and imports no adapter;
`waiaas.daemon` hands the real ones in.
Each protocol's docstring is its contract; where there is a fake, it passes the same contract tests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from waiaas.domain.assets import Network
from waiaas.domain.clock import ClockDoubt
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.request import Request
from waiaas.table_ports import (
    AgentTable,
    ApprovalTable,
    AttemptTable,
    AuditTable,
    ChallengeTable,
    DecisionTable,
    KeyValueTable,
    KillSwitchTable,
    MovementTable,
    OutboxTable,
    OwnerTable,
    PolicyTable,
    RequestTable,
    ReservationTable,
    SessionTable,
    TransactionTable,
    WaitTable,
)

Value = TypeVar("Value")

# ── time, ids, randomness ──────────────────────────────────────────────────────────────────────


class Clock(Protocol):
    """Time, and waiting for it."""

    def now_s(self) -> int:
        """Return the wall clock in Unix epoch seconds. It may jump; ledger time does not."""

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary start, those of sleep too; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""


class GuardedClock(Clock, Protocol):
    """A clock that knows whether its wall clock may be believed.

    While it may not, `now_s` is the earlier one of what it shows and what it should show.
    """

    def doubt(self) -> ClockDoubt | None:
        """Return what is wrong with the wall clock now, or None."""


GenerateId = Callable[[], str]
"""Makes a new UUID v7; later ids sort later."""

GenerateSecret = Callable[[], str]
"""Makes 256 bits of randomness as 43 URL-safe characters."""

# ── the ledger ─────────────────────────────────────────────────────────────────────────────────


class LedgerTransaction(Protocol):
    """One transaction on the ledger, seen through its table families.

    Everything done through one `tx` is committed together or not at all. Inside `Ledger.read`
    the writing methods raise.
    """

    @property
    def agents(self) -> AgentTable: ...
    @property
    def owners(self) -> OwnerTable: ...
    @property
    def challenges(self) -> ChallengeTable: ...
    @property
    def decisions(self) -> DecisionTable: ...
    @property
    def sessions(self) -> SessionTable: ...
    @property
    def transactions(self) -> TransactionTable: ...
    @property
    def requests(self) -> RequestTable: ...
    @property
    def attempts(self) -> AttemptTable: ...
    @property
    def reservations(self) -> ReservationTable: ...
    @property
    def movements(self) -> MovementTable: ...
    @property
    def waits(self) -> WaitTable: ...
    @property
    def approvals(self) -> ApprovalTable: ...
    @property
    def kill_switch(self) -> KillSwitchTable: ...
    @property
    def policies(self) -> PolicyTable: ...
    @property
    def audit(self) -> AuditTable: ...
    @property
    def outbox(self) -> OutboxTable: ...
    @property
    def key_values(self) -> KeyValueTable: ...


@dataclass(frozen=True, slots=True)
class LedgerCondition:
    """How the ledger is."""

    problem: str | None
    """Why nothing is written at present, in one sentence; None if writes are accepted."""
    wal_pages: int
    """How long the write-ahead log was after the last commit, in pages of 4 KiB."""


class Ledger(Protocol):
    """The one record of what was asked, decided and done.

    A function given to `write` runs inside one transaction on the writer's thread; its value is
    returned after COMMIT, so what was returned is durable. It must not keep `tx`
    and must not wait.
    """

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value: ...
    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value: ...
    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value: ...


class LedgerWithReserve(Ledger, Protocol):
    """A ledger that keeps some space back for what must be written on a full disk."""

    async def write_from_reserve(
        self,
        unit: Callable[[LedgerTransaction], Value],
        *,
        smaller: Callable[[LedgerTransaction], Value],
    ) -> Value:
        """`write_async`, which on a full disk goes on in the space that was kept back.

        If even that is too little, *smaller* is done instead: alone, and in one transaction too.
        """


# ── keys ───────────────────────────────────────────────────────────────────────────────────────


class Signer(Protocol):
    """Keys in, signatures out: there is no way to ask for a key."""

    @property
    def is_locked(self) -> bool:
        """Whether its keys were dropped, so that it signs nothing."""

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        """Return the agent's signature over *payload*.

        On Solana ed25519 (RFC 8032): 64 bytes. On Ethereum, of a digest of 32 bytes, ECDSA over
        secp256k1: r, s and the recovery id, 65 bytes.
        """


class KeyMaker(Protocol):
    """Where an agent's key comes from.

    `generate` then `store` are two steps because the agent's row, with its public key, is
    committed between them: no key file can exist that the ledger does not know.
    """

    def generate(self, agent_id: AgentId, *, chain: ChainType, network: NetworkType) -> str:
        """Make a key in memory and return its address."""

    def store(self, agent_id: AgentId) -> None:
        """Write the generated key to its sealed file, read the file back, and keep it usable."""


class KeystoreFacts(NamedTuple):
    """Which keystore it is. Nothing in it is secret."""

    identity: str | None
    """Made of the keystore key, so the same under every password; None: it was not opened yet."""
    file_sha256: str
    """Of keystore.json as it was read, in hexadecimal."""


class Keystore(Signer, KeyMaker, Protocol):
    """The signer, and what the operator needs to make keys."""

    def holds(self, agent_id: AgentId, *, public_key: str) -> bool:
        """Tell whether a readable key file of this agent exists and gives this address."""

    def verify_password(self, password: bytes) -> bool:
        """Tell whether *password* unlocks this keystore. Takes a full key derivation (~0.1 s)."""

    def lock(self) -> None:
        """Zero every key; what only waits for `store` is lost. May be repeated."""

    def unlock(self, password: bytes) -> None:
        """Open it again; raises if *password* is not the one. Takes a full key derivation."""


class OwnerSignatures(Protocol):
    """What owners' wallets sign."""

    def verify(self, address: str, message: str, signature: str) -> bool:
        """Tell whether *signature* is that of *address*'s key over exactly *message*, in UTF-8.

        The address says which kind of wallet it is. Anything malformed is False, never an error.
        """


# ── chains ─────────────────────────────────────────────────────────────────────────────────────


class ChainUnavailable(Exception):  # noqa: N818 -- a state of the world, named as one
    """The node gave no usable answer. Nothing is known about what it did."""


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes ready to be signed, and how long they can land."""

    message: bytes
    unit_price: int
    """Compute-unit price in micro-lamports."""
    last_valid_block_height: int
    """Past this height, finalized, the bytes can never land."""
    rent: int
    """What the accounts cost that they make for recipients, in base units of the chain's asset."""


@dataclass(frozen=True, slots=True)
class SimulationRefused:
    """The chain says this payment would fail; nothing was signed."""

    reason: str


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Signed bytes and the hash by which the chain will know them."""

    raw: bytes
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Landed:
    """The chain has included the transaction: *confirmed* if the money moved, *finalized* if not.

    A failure frees the money for other payments, so it counts only when it cannot be undone.
    """

    error: str | None
    """What went wrong on chain; None means that the money moved."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Not (yet) included. It may still land: this proves nothing."""


@dataclass(frozen=True, slots=True)
class ProvablyExpired:
    """A finalized block height past the last valid one was read, and *then* no trace was found."""


Sighting = Landed | Unseen | ProvablyExpired


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of what happened to an address."""

    tx_hashes: tuple[str, ...]
    """Of finalized transactions that did not fail, newest first."""
    earlier: str | None
    """Where the next page begins; None if nothing is earlier."""
    height: int
    """Every block up to this finalized one was looked at."""


@dataclass(frozen=True, slots=True)
class Movement:
    """What left an address with one finalized transaction, in base units by asset, without fees."""

    tx_hash: str
    outflows: Mapping[str, int]
    landed_at: int | None
    """When, in Unix epoch seconds, by the network's own word; None if it has none."""


class Chain(Protocol):
    """One network. Every answer of a node is evidence, never a verdict, until it is final.

    Every method that talks to the node may raise ChainUnavailable, within a bounded time.
    """

    async def balance(self, address: str) -> int:
        """Return the confirmed balance in base units."""

    def require_possible(self, request: Request, *, from_address: str) -> None:
        """Return if a transaction of this chain has room and instructions for *request*.

        Asks no node.

        Raises:
            Refusal: VALIDATION_FAILED.
        """

    async def token_decimals(self, token_address: str) -> int:
        """Return in how many decimals people write the token.

        Raises:
            Refusal: INVALID_ADDRESS, if the chain has no such token, or none that can be sent.
        """

    async def build(
        self, request: Request, *, from_address: str, unit_price: int
    ) -> Payload | SimulationRefused:
        """Compose what is asked for on a fresh blockhash and simulate exactly those bytes.

        Accounts for tokens are made for those recipients only who have none yet.
        """

    def check(self, message: bytes, request: Request, *, from_address: str, rent: int) -> None:
        """Return if *message* does what *request* asks for and nothing besides.

        Besides it may make recipients' accounts for what they are paid, up to *rent* base units.

        Raises:
            ValueError: it is anything else.
        """

    def assemble(self, message: bytes, *, signature: bytes, from_address: str) -> SignedTransaction:
        """Join a payload and its signature, after verifying the one against the other.

        Raises:
            ValueError: the signature is not *from_address*'s over *message*.
        """

    async def send(self, raw: bytes) -> bool:
        """Hand signed bytes to the node; True if it says it took them.

        False, like ChainUnavailable, means *unknown*: the node may have passed them on. Sending
        the same bytes again is harmless.
        """

    async def look_up(self, tx_hash: str, *, last_valid_block_height: int) -> Sighting:
        """Say what the chain knows of a transaction."""

    async def chain_time(self) -> int:
        """Return when the newest final block was made, in Unix epoch seconds, as the node says."""

    async def horizon(self) -> int:
        """Return the height of the last block in which what was signed until now can land."""

    async def history(self, address: str, *, before: str | None) -> HistoryPage:
        """Return the newest part of an address's finalized history, or the one before a page."""

    async def movement(self, tx_hash: str, *, address: str) -> Movement | None:
        """Return what left *address* with a finalized transaction; None if nothing did."""


Chains = Mapping[Network, Chain]
"""The networks that can be talked to. By chain *and* network: each chain has a mainnet."""


class Faucet(Protocol):
    """Free play money, on the local network only."""

    async def airdrop(self, address: str, *, base_units: int) -> str | SimulationRefused:
        """Credit *address*; return the hash of the transaction that did it, once confirmed."""
