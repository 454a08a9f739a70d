"""What a start finds unfinished, by the ledger alone, and which agents wait for the chain.

Bytes that were signed before the start may have landed, may still land, or never will: until the
chain has said something about each of them, nothing else of that agent is signed. What it says may
be that it has not seen them (yet): that proves nothing, and their money stays set aside; but a node
that says nothing at all would let one payment after the other be signed into the dark.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.transaction import AttemptState, is_terminal
from waiaas.pipeline.end import is_unsigned
from waiaas.ports import LedgerTransaction


class Found(StrEnum):
    """How far an unfinished transaction had got."""

    WAITING = "WAITING"
    """It is QUEUED: its time or its approval has not come, or was not noticed."""
    UNSIGNED = "UNSIGNED"
    """It was admitted; nothing of it was signed."""
    SIGNED = "SIGNED"
    """There are signed bytes, which may have been sent."""
    SENT = "SENT"
    """Its bytes were given to a node."""
    UNCLEAR = "UNCLEAR"
    """The ledger contradicts itself about it, so nothing is done and its money stays set aside."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One transaction that a start has to carry on."""

    tx_id: TransactionId
    agent_id: AgentId
    found: Found


def classify(status: TransactionStatus, attempt: AttemptState | None) -> Found:
    """Return how far a transaction that has not ended had got.

    Args:
        status: of the transaction; not a terminal one.
        attempt: the state of its newest attempt, if it has one.
    """
    if status is TransactionStatus.QUEUED:
        return Found.WAITING
    if is_unsigned(status, attempt):
        return Found.UNSIGNED
    match status, attempt:
        case TransactionStatus.EXECUTING, AttemptState.SIGNED:
            return Found.SIGNED
        case TransactionStatus.SUBMITTED, AttemptState.SENT:
            return Found.SENT
        case _:
            return Found.UNCLEAR


def read_unfinished(tx: LedgerTransaction) -> list[Unfinished]:
    """Return every transaction that has not ended, with how far it had got.

    No more is read of them than that takes: one that cannot be read keeps no other from going on.
    """
    found = list[Unfinished]()
    for status in TransactionStatus:
        if not is_terminal(status):
            for tx_id, agent_id in tx.transactions.ids_with_status(status):
                state = classify(status, tx.attempts.state_of(tx_id))
                found.append(Unfinished(tx_id, agent_id, state))
    return found


def count_found(unfinished: Iterable[Unfinished]) -> dict[Found, int]:
    """Return how many there are of each class, none left out."""
    counts = dict.fromkeys(Found, 0)
    for each in unfinished:
        counts[each.found] += 1
    return counts


class Gate:
    """Which agents' signers are shut, because the chain has yet to answer for older bytes."""

    def __init__(self) -> None:
        self._unanswered: defaultdict[AgentId, set[TransactionId]] = defaultdict(set)

    def shut_for(self, unfinished: Iterable[Unfinished]) -> None:
        """Let agents wait until the chain has answered for each of theirs that was signed."""
        for each in unfinished:
            if each.found in {Found.SIGNED, Found.SENT}:
                self._unanswered[each.agent_id].add(each.tx_id)

    def answered(self, agent_id: AgentId, tx_id: TransactionId) -> None:
        """Note that the chain has said something about a transaction, or that it has ended."""
        if agent_id in self._unanswered:
            self._unanswered[agent_id].discard(tx_id)
            if not self._unanswered[agent_id]:
                del self._unanswered[agent_id]

    def is_shut(self, agent_id: AgentId) -> bool:
        """Tell whether nothing of this agent may be signed yet."""
        return agent_id in self._unanswered

    def count_shut(self) -> int:
        """Return how many agents have to wait."""
        return len(self._unanswered)
