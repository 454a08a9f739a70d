"""What the ledger remembers of each thing, as immutable values with the ledger's column names.

Times are Unix epoch seconds (UTC). Amounts are canonical digits (`waiaas.domain.money`).
"""

from typing import Final, NamedTuple

from waiaas.domain.assets import Network
from waiaas.domain.enums import (
    AgentStatus,
    ChainType,
    KillSwitchState,
    NetworkType,
    NotificationEventType,
    PolicyTier,
    PolicyType,
    TransactionStatus,
    TransactionType,
)
from waiaas.domain.ids import AgentId, AttemptId, PolicyId, SessionId, TransactionId
from waiaas.domain.transaction import AttemptState


class AgentRecord(NamedTuple):
    """A wallet for one agent: its key's address and whether it may spend."""

    id: AgentId
    name: str
    chain: ChainType
    network: NetworkType
    public_key: str
    status: AgentStatus
    created_at: int
    suspended_at: int | None
    """When it was suspended, and why; None once it was resumed."""
    suspension_reason: str | None

    @property
    def lives_on(self) -> Network:
        """The one network on which its address is used."""
        return Network(self.chain, self.network)


class KillSwitch(NamedTuple):
    """Whether the daemon may sign at all, and since when."""

    state: KillSwitchState = KillSwitchState.NORMAL
    since_at: int | None = None
    """When it came into this state; None if it was never touched."""
    reason: str | None = None
    """Why it was turned on, in the operator's words."""
    recoverable_at: int | None = None
    """While RECOVERING: the second from which it may be turned off."""


class SessionRecord(NamedTuple):
    """An agent's permission to ask, until it expires or is revoked."""

    id: SessionId
    agent_id: AgentId
    token_hash: str
    """SHA-256 of the whole token, hex; the token itself is never stored."""
    expires_at: int
    revoked_at: int | None
    absolute_expires_at: int
    created_at: int
    constraints: str | None
    """JSON of what it may do, beside the policies of its agent; None: whatever they allow."""


class SessionUse(NamedTuple):
    """What a session with constraints has used of them."""

    transactions: int
    """Requests that were admitted, whatever became of them."""
    base_units: int
    """Of the network's own asset: what moved, and what is in flight."""


UNUSED_SESSION: Final = SessionUse(0, 0)


class TransactionRecord(NamedTuple):
    """One request of an agent, or one part of a batch, and what became of it."""

    id: TransactionId
    agent_id: AgentId
    session_id: SessionId | None
    chain: ChainType
    type: TransactionType
    amount: str | None
    """What is sent, or goes along with a call; None for an approval and for a whole batch."""
    to_address: str | None
    token_mint: str | None
    contract_address: str | None
    method_signature: str | None
    """What a call's data opens with, in hexadecimal digits behind 0x."""
    spender_address: str | None
    approved_amount: str | None
    parent_id: TransactionId | None
    """The batch of which it is a part."""
    batch_index: int | None
    """Which part of it, counted from 0."""
    status: TransactionStatus
    tier: PolicyTier | None
    tx_hash: str | None
    created_at: int
    executed_at: int | None
    error: str | None
    queued_at: int | None
    """When it began to wait; None if it never did."""


class AcceptedRequest(NamedTuple):
    """The request as admitted: what makes a retry recognisable."""

    tx_id: TransactionId
    agent_id: AgentId
    idempotency_key: str | None
    request: str
    """What was asked, in the text of `waiaas.domain.meaning`; what is signed is made from it."""
    request_sha256: str
    """Of that text; the same key with another hash is another request."""
    reference: str | None
    """What it is for, in the agent's words; the same key with another one is another request."""
    refusal: str | None
    """The JSON of the denial the caller was given, or None: a retry gets the same answer."""
    admitted_at: int | None
    """When it was admitted, by which limits on their number count requests; None: it was denied."""


class ApprovalRecord(NamedTuple):
    """A person's decision on one transaction, waited for until it expires."""

    id: str
    tx_id: TransactionId
    required_by: int
    """The deadline, as the approval was asked for."""
    expires_at: int
    """From this second on nobody can decide any more."""
    approved_at: int | None
    rejected_at: int | None
    created_at: int


class AttemptRecord(NamedTuple):
    """Exact bytes that may move a transaction's money, and what is known of them."""

    id: AttemptId
    tx_id: TransactionId
    agent_id: AgentId
    state: AttemptState
    message: str
    """The payload to be signed, base64."""
    message_sha256: str
    """Hex; unique in the ledger: no two requests ever share bytes."""
    unit_price: int
    """Compute-unit price in micro-lamports: the part that keeps equal payments apart."""
    last_valid_block_height: int
    signed: str | None
    """The whole signed transaction, base64, from SIGNED on."""
    tx_hash: str | None
    created_at: int


class Sums(NamedTuple):
    """What counts of one asset of an agent, as it stands."""

    held: list["Held"]
    """In flight, one sum for each tier."""
    moved: int
    """Base units ever recorded as moved; may be past 2^256-1."""
    moved_at: int
    """The last second in which some were; -1: never."""


class Held(NamedTuple):
    """Money in flight, as limits count it."""

    tier: PolicyTier
    """Of its transactions: what goes out by itself counts differently from what waits."""
    base_units: int
    """May be past 2^256-1: it is a sum."""


PRIORITY_MIN: Final = -1000
PRIORITY_MAX: Final = 1000


class PolicyRecord(NamedTuple):
    """One rule as stored; `rules` is JSON text that `waiaas.policy` parses at every read."""

    id: PolicyId
    agent_id: AgentId | None
    type: PolicyType
    rules: str
    priority: int
    enabled: int
    created_at: int
    updated_at: int


class OutboxRecord(NamedTuple):
    """Something an owner is told, as stored."""

    number: int
    """Rises in the order in which things happened."""
    event: NotificationEventType
    agent_id: AgentId | None
    tx_id: TransactionId | None
    details: str
    """JSON."""
    created_at: int


class DecisionRecord(NamedTuple):
    """What a verdict rested on, as stored; `waiaas.pipeline.decisions` says what the texts mean."""

    tx_id: TransactionId
    agent_id: AgentId
    decided_at: int
    terms_sha256: str
    """Of the terms, which are stored once: rules, constraints, defaults and network in force."""
    usage: str
    """JSON of what was asked of `waiaas.policy.usage.Usage`, and answered."""
    tier: PolicyTier | None
    """None: it was denied."""
    verdict: str
    """JSON of the verdict with every violation and escalation."""


class ForeignMovement(NamedTuple):
    """Money that left an agent with a transaction that the ledger does not know."""

    agent_id: AgentId
    tx_hash: str
    asset: str
    amount: str
    landed_at: int | None
    """By the chain's word; None if it has none."""
    counted_at: int
    """From when on it counts against limits."""
