"""What the core asks of each family of the ledger's tables; `waiaas.ports` puts them together.

Each protocol's docstring is its contract; the tables of `waiaas.database` keep it.
"""

from collections.abc import Sequence
from typing import Protocol

from waiaas.domain.audit import AuditEvent, EventCount
from waiaas.domain.enums import AgentStatus, TransactionStatus
from waiaas.domain.ids import AgentId, PolicyId, SessionId, TransactionId
from waiaas.domain.notification import Notification
from waiaas.domain.owner import Challenge, Owner, OwnerAction
from waiaas.domain.records import (
    AcceptedRequest,
    AgentRecord,
    ApprovalRecord,
    AttemptRecord,
    DecisionRecord,
    ForeignMovement,
    Held,
    KillSwitch,
    OutboxRecord,
    PolicyRecord,
    SessionRecord,
    SessionUse,
    Sums,
    TransactionRecord,
)
from waiaas.domain.transaction import AttemptState, ReservationState


class AgentTable(Protocol):
    """Agents."""

    def insert(self, agent: AgentRecord) -> None: ...
    def get(self, agent_id: AgentId) -> AgentRecord | None: ...
    def with_status(self, status: AgentStatus) -> list[AgentRecord]: ...
    def terminated_since(self, since_s: int) -> list[AgentRecord]:
        """Return those whose end came in that second or later: nothing changes them any more."""

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

    def set_refusals(self, nonce: str, *, refusals: str) -> None: ...


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

    def get(self, tx_id: TransactionId) -> TransactionRecord | None:
        """Return a transaction; a part of a batch is none by itself."""

    def parts(self, tx_id: TransactionId) -> list[TransactionRecord]:
        """Return the parts of a batch in their order, and nothing for whatever is no batch."""

    def ids_with_status(self, status: TransactionStatus) -> list[tuple[TransactionId, AgentId]]:
        """Return those with this status and their agents, oldest first, without parts of batches.

        Nothing else of their rows is read, so that one that cannot be read hides no other.
        """

    def count_with_status(self, status: TransactionStatus) -> int:
        """Return how many `ids_with_status` would return."""

    def of_agent(self, agent_id: AgentId, *, status: TransactionStatus) -> list[TransactionRecord]:
        """Return an agent's with this status, oldest first, without the parts of batches."""

    def are_fewer(
        self, agent_id: AgentId, *, statuses: Sequence[TransactionStatus], most: int
    ) -> bool:
        """Tell whether an agent has fewer than *most* in one to four states.

        A part of a batch is none by itself.
        """

    def newest(
        self, *, agent_id: AgentId | None, before: str | None, most: int
    ) -> list[TransactionRecord]:
        """Return those of an agent, or of all, with an id before that one, the newest first.

        Without the parts of batches. Of an agent all that it ever had are looked at.
        """

    def has_confirmed(self, agent_id: AgentId, *, before_s: int) -> bool:
        """Tell whether any of an agent's was found CONFIRMED before a second."""

    def compare_and_set_status(
        self, tx_id: TransactionId, *, old: TransactionStatus, new: TransactionStatus
    ) -> bool:
        """Move from exactly *old* to *new*; return False, changing nothing, if it is not *old*."""

    def set_status_of_parts(
        self, tx_id: TransactionId, *, old: TransactionStatus, new: TransactionStatus
    ) -> int:
        """Move the parts of a batch from exactly *old* to *new*; return how many did."""

    def set_hash(self, tx_id: TransactionId, *, tx_hash: str) -> None: ...
    def set_error(self, tx_id: TransactionId, *, error: str) -> None: ...
    def set_executed_at(self, tx_id: TransactionId, *, executed_at: int) -> None: ...


class RequestTable(Protocol):
    """Requests as they were admitted."""

    def insert(self, request: AcceptedRequest) -> None: ...
    def get(self, tx_id: TransactionId) -> AcceptedRequest | None: ...
    def by_key(self, agent_id: AgentId, *, idempotency_key: str) -> AcceptedRequest | None: ...

    def admitted_like(
        self, agent_id: AgentId, *, request_sha256: str, reference: str | None, since_s: int
    ) -> TransactionId | None:
        """Return the newest equal one admitted after *since_s* that has not moved nothing.

        Equal is: the same text and the same reference, or none.
        """

    def claim_reference(self, tx_id: TransactionId, *, agent_id: AgentId, reference: str) -> None:
        """Take a reference for a transaction; the ledger refuses one that is taken."""

    def claimed_by(self, agent_id: AgentId, *, reference: str) -> TransactionId | None:
        """Return the transaction for which the agent's reference is taken."""

    def free_reference(self, tx_id: TransactionId) -> None:
        """Let the reference of a transaction, if it has one, be taken again."""

    def count_admitted(self, agent_id: AgentId, *, since_s: int, most: int) -> int:
        """Return how many were admitted after *since_s*; counting ends at *most*."""

    def admitted_at(self, agent_id: AgentId, *, place: int) -> int | None:
        """Return when the one in this place was admitted, 1 being the newest; None if none was."""


class DecisionTable(Protocol):
    """What each verdict rested on."""

    def insert(self, decision: DecisionRecord, *, terms: str) -> None:
        """Write a decision down, and the document of its terms if that is not there yet."""

    def get(self, tx_id: TransactionId) -> DecisionRecord | None: ...

    def terms(self, sha256: str) -> str:
        """Return the document with this hash; there is one for every decision."""

    def terms_of(self, tx_id: TransactionId) -> str:
        """Return the document of the terms a transaction was decided under, or the empty text."""

    def admitted_before(self, decision: DecisionRecord, *, most: int) -> list[int]:
        """Return when the agent's requests were admitted that were decided on before, in order.

        So many at most, the newest.
        """


class AttemptTable(Protocol):
    """Signing attempts; a transaction has at most one that may still land."""

    def insert(self, attempt: AttemptRecord) -> None: ...
    def of_transaction(self, tx_id: TransactionId) -> AttemptRecord | None: ...

    def state_of(self, tx_id: TransactionId) -> AttemptState | None:
        """Return how far the newest attempt had got, reading nothing else of it."""

    def by_hash(self, tx_hash: str) -> AttemptRecord | None: ...

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
    ) -> None:
        """Set one asset aside; a transaction holds each that it moves."""

    def settle(self, tx_id: TransactionId, *, state: ReservationState, now_s: int) -> bool:
        """End what a transaction HELD as SPENT or RELEASED; False if nothing is HELD (any more)."""

    def lower(self, tx_id: TransactionId, *, asset: str, amount: str) -> None:
        """Set aside less than before of an asset that a transaction holds."""

    def amount_of(self, tx_id: TransactionId, *, asset: str) -> int:
        """Return the base units of an asset that a transaction set aside, whatever came of them."""

    def held(self, agent_id: AgentId, *, asset: str) -> list[Held]:
        """Return all that is still in flight, whatever its age, one sum for each tier."""

    def sums(self, agent_id: AgentId, *, asset: str) -> Sums:
        """Return what is in flight and what ever moved, in one question."""

    def signed(self, agent_id: AgentId, *, asset: str) -> int:
        """Return the base units in flight of transactions that are signed, maybe sent."""

    def spent_until(self, agent_id: AgentId, *, asset: str, until_s: int) -> int:
        """Return the base units ever recorded as moved, up to and with the second *until_s*."""

    def spent_reaches(
        self, agent_id: AgentId, *, asset: str, base_units: int, after_s: int
    ) -> int | None:
        """Return the first second later than *after_s* up to which so many have ever moved.

        None if not so many have.
        """


class MovementTable(Protocol):
    """Money that left with transactions that the ledger does not know."""

    def insert(self, movement: ForeignMovement) -> None:
        """Record it, and count it as moved from its second on, once for a transaction and asset."""

    def has(self, agent_id: AgentId, *, tx_hash: str) -> bool: ...

    def counted_since(self, since_s: int) -> list[ForeignMovement]:
        """Return those that were recorded in the second *since_s* or later."""


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

    def last_id(self) -> int:
        """Return the id of the last row; 0 if there is none."""

    def count_after(self, audit_id: int, *, most: int) -> list[EventCount]:
        """Count the rows of the *most* ids after *audit_id*, by event and transaction's tier."""

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
