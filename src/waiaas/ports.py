"""Everything the core asks of the world, on one page.

The pipeline takes these as arguments and imports no adapter;
`waiaas.daemon` hands the real ones in.
Each protocol's docstring is its contract; where there is a fake, it passes the same contract tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType, TransactionStatus
from waiaas.domain.ids import AgentId, PolicyId, SessionId, TransactionId
from waiaas.domain.notification import Notification
from waiaas.domain.owner import Challenge, Owner, OwnerAction
from waiaas.domain.records import (
    AcceptedRequest,
    AgentRecord,
    ApprovalRecord,
    AttemptRecord,
    Held,
    KillSwitch,
    OutboxRecord,
    PolicyRecord,
    SessionRecord,
    SessionUse,
    TransactionRecord,
)
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import AttemptState, ReservationState

Value = TypeVar("Value")

# ── time, ids, randomness ──────────────────────────────────────────────────────────────────────


class Clock(Protocol):
    """Time, and waiting for it."""

    def now_s(self) -> int:
        """Return the wall clock in Unix epoch seconds. It may jump; ledger time does not."""

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""


GenerateId = Callable[[], str]
"""Makes a new UUID v7; later ids sort later."""

GenerateSecret = Callable[[], str]
"""Makes 256 bits of randomness as 43 URL-safe characters."""

# ── the ledger ─────────────────────────────────────────────────────────────────────────────────


class AgentTable(Protocol):
    """Agents."""

    def insert(self, agent: AgentRecord) -> None: ...
    def get(self, agent_id: AgentId) -> AgentRecord | None: ...
    def with_status(self, status: AgentStatus) -> list[AgentRecord]: ...
    def count(self) -> int: ...

    def compare_and_set_status(
        self, agent_id: AgentId, *, old: AgentStatus, new: AgentStatus, now_s: int
    ) -> bool:
        """Move from exactly *old* to *new*; return False, changing nothing, if it is not *old*."""

    def suspend(self, agent_id: AgentId, *, reason: str, now_s: int) -> bool:
        """Move from ACTIVE to SUSPENDED, and say why; False, changing nothing, if not ACTIVE."""

    def resume(self, agent_id: AgentId, *, now_s: int) -> bool:
        """Move from SUSPENDED to ACTIVE; False, changing nothing, if it is not SUSPENDED."""


class OwnerTable(Protocol):
    """Who the agents belong to."""

    def of_agent(self, agent_id: AgentId) -> Owner | None:
        """Return what is registered for the agent; None if there is no such agent."""

    def compare_and_set(self, agent_id: AgentId, *, old: Owner, new: Owner, now_s: int) -> bool:
        """Register *new* in place of exactly *old*; False, changing nothing, if it is not *old*."""


class ChallengeTable(Protocol):
    """Messages written for owners to sign."""

    def insert(self, challenge: Challenge) -> None: ...
    def get(self, nonce: str) -> Challenge | None: ...

    def unused(
        self, action: OwnerAction, *, agent_id: AgentId, tx_id: TransactionId | None, now_s: int
    ) -> list[Challenge]:
        """Return those of this action that did not take effect and have not expired."""

    def used_for(self, action: OwnerAction, *, tx_id: TransactionId) -> Challenge | None:
        """Return the one by whose signature this was done; None if it was not, or otherwise."""

    def use(self, nonce: str, *, now_s: int) -> bool:
        """Record that it took effect; False, changing nothing, if it did before."""

    def set_refusal_count(self, nonce: str, *, refusal_count: int) -> None: ...


class SessionTable(Protocol):
    """Sessions."""

    def insert(self, session: SessionRecord) -> None: ...
    def get(self, session_id: SessionId) -> SessionRecord | None: ...
    def by_token_hash(self, token_hash: str) -> SessionRecord | None: ...
    def count_live(self, agent_id: AgentId, *, now_s: int) -> int: ...

    def used(self, session_id: SessionId) -> SessionUse: ...

    def add_use(self, session_id: SessionId, *, transactions: int, base_units: int) -> None:
        """Change what a session has used; what turns out not to move is taken back."""

    def live(self, *, now_s: int) -> list[SessionRecord]:
        """Return the sessions of all agents that are good for something, oldest first."""

    def live_of(self, agent_id: AgentId, *, now_s: int) -> list[SessionRecord]: ...

    def revoke(self, session_id: SessionId, *, now_s: int) -> bool:
        """Revoke it for good; False, changing nothing, if it is not there or was revoked before."""


class TransactionTable(Protocol):
    """Transactions."""

    def insert(self, transaction: TransactionRecord) -> None: ...
    def get(self, tx_id: TransactionId) -> TransactionRecord | None: ...
    def with_status(self, status: TransactionStatus) -> list[TransactionRecord]: ...

    def of_agent(
        self, agent_id: AgentId, *, status: TransactionStatus
    ) -> list[TransactionRecord]: ...

    def compare_and_set_status(
        self, tx_id: TransactionId, *, old: TransactionStatus, new: TransactionStatus
    ) -> bool:
        """Move from exactly *old* to *new*; return False, changing nothing, if it is not *old*."""

    def set_hash(self, tx_id: TransactionId, *, tx_hash: str) -> None: ...
    def set_error(self, tx_id: TransactionId, *, error: str) -> None: ...
    def set_executed_at(self, tx_id: TransactionId, *, executed_at: int) -> None: ...


class RequestTable(Protocol):
    """Requests as they were admitted."""

    def insert(self, request: AcceptedRequest) -> None: ...
    def by_key(self, agent_id: AgentId, *, idempotency_key: str) -> AcceptedRequest | None: ...

    def of_transaction(self, tx_id: TransactionId) -> AcceptedRequest | None: ...

    def count_admitted(self, agent_id: AgentId, *, since_s: int, most: int) -> int:
        """Return how many were admitted after *since_s*; counting ends at *most*."""

    def admitted_at(self, agent_id: AgentId, *, place: int) -> int | None:
        """Return when the one in this place was admitted, 1 being the newest; None if none was."""


class AttemptTable(Protocol):
    """Signing attempts; a transaction has at most one that may still land."""

    def insert(self, attempt: AttemptRecord) -> None: ...
    def of_transaction(self, tx_id: TransactionId) -> AttemptRecord | None: ...

    def latest_unit_price(self, agent_id: AgentId) -> int:
        """Return the compute-unit price of the agent's newest attempt, or 0."""

    def compare_and_set_state(
        self, tx_id: TransactionId, *, old: AttemptState, new: AttemptState
    ) -> bool:
        """Move the attempt from exactly *old* to *new*; False, changing nothing, if not *old*."""

    def record_signature(self, tx_id: TransactionId, *, signed: str, tx_hash: str) -> bool:
        """Store the signed bytes and move RECORDED to SIGNED; False if it is not RECORDED."""


class ReservationTable(Protocol):
    """Money set aside against limits, and exact sums of it at a cost that does not grow.

    Seconds are of ledger time: what is settled is settled at or after everything before it.
    """

    def hold(
        self, tx_id: TransactionId, *, agent_id: AgentId, asset: str, amount: str, now_s: int
    ) -> None: ...

    def settle(self, tx_id: TransactionId, *, state: ReservationState, now_s: int) -> bool:
        """End a HELD reservation as SPENT or RELEASED; False if it is not HELD (any more)."""

    def amount_of(self, tx_id: TransactionId, *, asset: str) -> int:
        """Return the base units of an asset that a transaction set aside, whatever came of them."""

    def held(self, agent_id: AgentId, *, asset: str) -> list[Held]:
        """Return all that is still in flight, whatever its age, one sum for each tier."""

    def spent_until(self, agent_id: AgentId, *, asset: str, until_s: int) -> int:
        """Return the base units ever recorded as moved, up to and with the second *until_s*."""

    def spent_reaches(
        self, agent_id: AgentId, *, asset: str, base_units: int, after_s: int
    ) -> int | None:
        """Return the first second later than *after_s* up to which so many have ever moved.

        None if not so many have.
        """


class WaitTable(Protocol):
    """How long queued transactions wait; one wait for each, open while it is QUEUED."""

    def begin(self, tx_id: TransactionId, *, until_at: int) -> None: ...

    def until(self, tx_id: TransactionId) -> int | None:
        """Return the second in which the open wait ends; None if there is none (any more)."""

    def due(self, *, now_s: int) -> list[TransactionId]:
        """Return those whose open wait ends at *now_s* or before, the earliest first."""

    def count_open(self) -> int: ...

    def hasten(self, tx_id: TransactionId, *, until_at: int) -> None:
        """Let the open wait end at another second."""

    def end(self, tx_id: TransactionId, *, now_s: int) -> None:
        """Close the open wait, if there is one."""


class ApprovalTable(Protocol):
    """Decisions of a person; at most one for each transaction."""

    def insert(self, approval: ApprovalRecord) -> None: ...
    def of_transaction(self, tx_id: TransactionId) -> ApprovalRecord | None: ...

    def undecided(self, *, now_s: int) -> list[ApprovalRecord]:
        """Return those of QUEUED transactions that can still be decided, most urgent first."""

    def approve(
        self, tx_id: TransactionId, *, now_s: int, owner_signature: str | None = None
    ) -> bool:
        """Record the decision; False, changing nothing, if there is one or nothing to decide."""

    def reject(
        self, tx_id: TransactionId, *, now_s: int, owner_signature: str | None = None
    ) -> bool:
        """Record the decision; False, changing nothing, if there is one or nothing to decide."""


class PolicyTable(Protocol):
    """Policies."""

    def insert(self, policy: PolicyRecord) -> None: ...

    def applying_to(self, agent_id: AgentId) -> list[PolicyRecord]:
        """Return the enabled rules of this agent and the global ones, oldest first."""

    def get(self, policy_id: PolicyId) -> PolicyRecord | None: ...

    def of(self, agent_id: AgentId | None) -> list[PolicyRecord]:
        """Return an agent's own rules, or the global ones; enabled or not, oldest first."""

    def delete(self, policy_id: PolicyId) -> None: ...

    def set_rules(self, policy: PolicyRecord) -> None:
        """Overwrite rules, priority, enabled and updated_at of the row with this id."""


class KillSwitchTable(Protocol):
    """The kill switch, of which there is one."""

    def current(self) -> KillSwitch:
        """Return where it stands; one that was never touched is NORMAL."""

    def move(self, switch: KillSwitch) -> None:
        """Record where it stands from now on."""


class AuditTable(Protocol):
    """The audit log: append only."""

    def append(self, event: AuditEvent, *, now_s: int) -> None: ...

    def head(self) -> tuple[int, str]:
        """Return the newest link's sequence and hash; 0 and 64 zeros before there is one."""

    def hash_at(self, sequence: int) -> str | None:
        """Return the hash of the link with this sequence; None if there is none (any more)."""

    def latest_timestamp(self) -> int:
        """Return the time of the newest row, or 0: no later act may carry an earlier time."""


class OutboxTable(Protocol):
    """What owners are told, numbered in the order in which it happened."""

    def append(self, notification: Notification, *, now_s: int) -> None: ...

    def after(self, number: int, *, most: int) -> list[OutboxRecord]:
        """Return those after a number, the oldest first."""


class KeyValueTable(Protocol):
    """Small facts of the daemon."""

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, value: str, *, now_s: int) -> None: ...


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

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        """Return the agent's signature over *payload* (ed25519: 64 bytes, RFC 8032)."""


class Keystore(Signer, Protocol):
    """The signer, and what the operator needs to make keys.

    `generate` then `store` are two steps because the agent's row, with its public key, is
    committed between them: no key file can exist that the ledger does not know.
    """

    def generate(self, agent_id: AgentId, *, chain: ChainType, network: NetworkType) -> str:
        """Make a key in memory and return its address."""

    def store(self, agent_id: AgentId) -> None:
        """Write the generated key to its sealed file, read the file back, and keep it usable."""

    def holds(self, agent_id: AgentId, *, public_key: str) -> bool:
        """Tell whether a readable key file of this agent exists and gives this address."""

    def verify_password(self, password: bytes) -> bool:
        """Tell whether *password* unlocks this keystore. Takes a full key derivation (~0.1 s)."""


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


class Chain(Protocol):
    """One network. Every answer of a node is evidence, never a verdict, until it is final.

    Every method that talks to the node may raise ChainUnavailable, within a bounded time.
    """

    async def balance(self, address: str) -> int:
        """Return the confirmed balance in base units."""

    async def build_transfer(
        self, transfer: Transfer, *, from_address: str, unit_price: int
    ) -> Payload | SimulationRefused:
        """Compose the payment on a fresh blockhash and simulate exactly those bytes."""

    def check_transfer(self, message: bytes, transfer: Transfer, *, from_address: str) -> None:
        """Return if *message* is this payment and nothing besides.

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


class Faucet(Protocol):
    """Free play money, on the local network only."""

    async def airdrop(self, address: str, *, base_units: int) -> str:
        """Credit *address*; return the hash of the transaction that did it, once confirmed."""
