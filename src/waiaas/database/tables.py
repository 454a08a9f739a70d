"""All table families on one connection: `waiaas.ports.LedgerTransaction`."""

from waiaas.database.agent import Agents
from waiaas.database.approval import Approvals
from waiaas.database.attempt import Attempts
from waiaas.database.audit import AuditLog, Tail
from waiaas.database.challenge import Challenges
from waiaas.database.decision import Decisions
from waiaas.database.key_value import KeyValues
from waiaas.database.kill_switch import KillSwitches
from waiaas.database.movement import Movements
from waiaas.database.outbox import Outbox
from waiaas.database.owner import Owners
from waiaas.database.policy import Policies
from waiaas.database.request import Requests
from waiaas.database.reservation import Reservations
from waiaas.database.run import Run
from waiaas.database.session import Sessions
from waiaas.database.transaction import Transactions
from waiaas.database.wait import Waits


class Tables:
    """The families share *run*, so everything done through one object is one transaction's."""

    __slots__ = (
        "agents",
        "approvals",
        "attempts",
        "audit",
        "challenges",
        "decisions",
        "key_values",
        "kill_switch",
        "movements",
        "outbox",
        "owners",
        "policies",
        "requests",
        "reservations",
        "sessions",
        "transactions",
        "waits",
    )

    def __init__(self, run: Run, tail: Tail | None = None) -> None:
        """Run statements by *run*; the writer remembers in *tail* where the audit log ends."""
        self.agents = Agents(run)
        self.approvals = Approvals(run)
        self.attempts = Attempts(run)
        self.audit = AuditLog(run, tail)
        self.challenges = Challenges(run)
        self.decisions = Decisions(run)
        self.key_values = KeyValues(run)
        self.outbox = Outbox(run)
        self.kill_switch = KillSwitches(run)
        self.owners = Owners(run)
        self.policies = Policies(run)
        self.requests = Requests(run)
        self.reservations = Reservations(run)
        self.movements = Movements(run)
        self.sessions = Sessions(run)
        self.transactions = Transactions(run)
        self.waits = Waits(run)
