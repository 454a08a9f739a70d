"""What the audit log tells, row by row: the whole state of the ledger, and who had permitted what.

The log is the order in which things were committed. So whether a signature was permitted is asked
of the state that the log had told until then, and of nothing else; what the other tables say is
compared with it afterwards.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from waiaas.domain.transaction import TRANSITIONS


class Broken(AssertionError):  # noqa: N818 -- says what a promise is
    """A promise is broken."""


def require(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


class Row(NamedTuple):
    """Of the audit log; `told` are its details."""

    id: int
    second: int
    event: str
    actor: str
    agent_id: str
    session_id: str
    tx_id: str
    told: Mapping[str, Any]


ROWS: Final = (
    "SELECT id, timestamp, event_type, actor, agent_id, session_id, tx_id, details FROM audit_log"
    " WHERE id > ? ORDER BY id"
)


@dataclass
class Told:
    """Everything that was told so far, in the order in which it happened."""

    wallets: Mapping[str, SigningKey]
    """By address, those of all who may be owners."""
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often it was told that something was done, and by what kind of actor."""
    last_id: int = 0
    last_second: int = 0
    statuses: dict[str, str] = field(default_factory=dict)
    """By transaction, but for those of which nothing was told but that they were asked for."""
    agents: dict[str, str] = field(default_factory=dict)
    """By agent, its status; whoever is not in it is ACTIVE."""
    owners: dict[str, tuple[str | None, bool]] = field(default_factory=dict)
    """By agent, the owner's address and whether it is proved."""
    revoked: set[str] = field(default_factory=set)
    switch: str = "NORMAL"
    is_quarantined: bool = False
    tiers: dict[str, str | None] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    """By transaction, the one that asked for it."""
    until: dict[str, int] = field(default_factory=dict)
    decisions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By transaction, what a person decided, and who it was."""
    signatures: Counter[str] = field(default_factory=Counter)
    """By transaction."""

    def hear(self, row: Row) -> None:
        """Take in the next row of the log."""
        require(row.id == self.last_id + 1, "an audit row is missing")
        require(row.second >= self.last_second, "the time of the audit log went back")
        self.last_id, self.last_second = row.id, row.second
        self.events[row.event, row.actor.partition(":")[0]] += 1
        if "from" in row.told and "to" in row.told:
            self._move(row)
        heard = HEARD.get(row.event)
        if heard is not None:
            heard(self, row)

    def _move(self, row: Row) -> None:
        before, after = row.told["from"], row.told["to"]
        require(self.statuses.get(row.tx_id, "PENDING") == before, "a change was not told")
        require(after in TRANSITIONS[before], f"{before} became {after}")
        self.statuses[row.tx_id] = after

    def _requested(self, row: Row) -> None:
        self.tiers[row.tx_id] = row.told["tier"]
        self.sessions[row.tx_id] = row.session_id

    def _queued(self, row: Row) -> None:
        self.until[row.tx_id] = row.told["until"]

    def _decided(self, row: Row) -> None:
        """A decision is one, in time, and of whoever may decide."""
        require(row.tx_id not in self.decisions, "an approval was decided twice")
        require(row.second < self.until[row.tx_id], "an approval was decided too late")
        is_stopped = self.switch != "NORMAL" or self.is_quarantined
        require(not (is_stopped and row.event == "TX_APPROVED"), "approved what is stopped")
        self.decisions[row.tx_id] = (row.event, row.actor)
        address, is_verified = self.owners.get(row.agent_id, (None, False))
        if row.actor == "operator":
            is_approval = row.event == "TX_APPROVED"
            require(not (is_verified and is_approval), "the operator approved in the owner's place")
        else:
            require(row.actor == f"owner:{address}", "somebody who is no owner decided")
            verb = {"TX_APPROVED": "approve", "TX_REJECTED": "reject"}[row.event]
            self._require_signed(row, f"urn:waiaas:action:{verb}", f":transaction:{row.tx_id}")

    def _require_signed(self, row: Row, *words: str) -> None:
        message, wallet = row.told["message"], self.wallets[row.told["ownerAddress"]]
        require(row.actor == f"owner:{row.told['ownerAddress']}", "another owner signed")
        for each in (*words, f":agent:{row.agent_id}"):
            require(each in message, f"what was signed does not say {each}")
        try:
            wallet.verify_key.verify(message.encode(), base64.b64decode(row.told["signature"]))
        except BadSignatureError:
            raise Broken("a wrong signature was taken for the owner's") from None

    def _signed(self, row: Row) -> None:
        """Nothing is signed that is not permitted in the moment in which that is recorded."""
        self.signatures[row.tx_id] += 1
        require(self.signatures[row.tx_id] == 1, "one request was signed twice")
        require(self.switch == "NORMAL", "something was signed behind the kill switch")
        require(not self.is_quarantined, "something was signed on a restored ledger")
        status = self.agents.get(row.agent_id, "ACTIVE")
        require(status == "ACTIVE", f"something was signed for an agent that is {status}")
        require(self.sessions[row.tx_id] not in self.revoked, "signed for a revoked session")
        require(self.statuses.get(row.tx_id) == "EXECUTING", "signed what is not under way")
        if self.tiers[row.tx_id] == "DELAY":
            require(row.second >= self.until[row.tx_id], "a payment was signed before its time")
        if self.tiers[row.tx_id] == "APPROVAL":
            self._require_approved(row)

    def _require_approved(self, row: Row) -> None:
        event, actor = self.decisions.get(row.tx_id, ("", ""))
        require(event == "TX_APPROVED", "a payment was signed without the approval that it needs")
        if actor != "operator":
            address, _ = self.owners.get(row.agent_id, (None, False))
            require(actor == f"owner:{address}", "signed for an owner who is one no more")

    def _agent(self, row: Row) -> None:
        self.agents[row.agent_id] = row.event.removeprefix("AGENT_").replace("RESUMED", "ACTIVE")

    def _session(self, row: Row) -> None:
        require(row.session_id not in self.revoked, "a session was revoked twice")
        self.revoked.add(row.session_id)

    def _owner(self, row: Row) -> None:
        before, is_verified = self.owners.get(row.agent_id, (None, False))
        match row.event, row.actor:
            case "OWNER_SET", _:
                require(not is_verified, "an owner who had proved his key was replaced")
                self.owners[row.agent_id] = (row.told["after"], False)
            case "OWNER_VERIFIED", _:
                require(row.told["ownerAddress"] == before, "somebody else was verified")
                self._require_signed(row)
                self.owners[row.agent_id] = (before, True)
            case _, actor:
                require(not (is_verified and actor == "operator"), "an owner was taken away")
                if actor != "operator":
                    self._require_signed(row, "urn:waiaas:action:remove")
                self.owners[row.agent_id] = (None, False)

    def _switch(self, row: Row) -> None:
        after = row.event.removeprefix("KILL_SWITCH_").replace("RECOVERED", "NORMAL")
        allowed = {"NORMAL": "ACTIVATED", "RECOVERING": "ACTIVATED NORMAL"}
        require(
            after in allowed.get(self.switch, "ACTIVATED RECOVERING").split(),
            f"the kill switch was {self.switch} and became {after}",
        )
        self.switch = after

    def _quarantine(self, row: Row) -> None:
        self.is_quarantined = row.event == "BACKUP_RESTORED"


HEARD: Final[Mapping[str, Callable[[Told, Row], None]]] = {
    "TX_REQUESTED": Told._requested,
    "TX_QUEUED": Told._queued,
    "TX_APPROVED": Told._decided,
    "TX_REJECTED": Told._decided,
    "TX_SIGNED": Told._signed,
    "AGENT_SUSPENDED": Told._agent,
    "AGENT_RESUMED": Told._agent,
    "AGENT_TERMINATING": Told._agent,
    "AGENT_TERMINATED": Told._agent,
    "SESSION_REVOKED": Told._session,
    "OWNER_SET": Told._owner,
    "OWNER_VERIFIED": Told._owner,
    "OWNER_REMOVED": Told._owner,
    "KILL_SWITCH_ACTIVATED": Told._switch,
    "KILL_SWITCH_RECOVERING": Told._switch,
    "KILL_SWITCH_RECOVERED": Told._switch,
    "BACKUP_RESTORED": Told._quarantine,
    "LEDGER_RECONCILED": Told._quarantine,
}
"""What each kind of row changes, and what must have been so before."""


def read_row(columns: tuple[Any, ...]) -> Row:
    return Row._make((*columns[:-1], json.loads(columns[-1])))
