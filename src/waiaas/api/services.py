"""What the handlers are given: the pipeline's world, and the few things only the edge needs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from waiaas.api.allowance import Allowance
from waiaas.api.operator import OperatorAccess
from waiaas.domain.backup import Backup, ScheduleCondition
from waiaas.domain.profile import Profile, ProfileName
from waiaas.domain.readiness import Unready
from waiaas.domain.records import AgentRecord, TransactionRecord
from waiaas.domain.workers import WorkerCondition
from waiaas.pipeline.admit import AdmissionRules
from waiaas.pipeline.locking import Locking
from waiaas.pipeline.owner import Reception
from waiaas.pipeline.recover import Found
from waiaas.pipeline.sessions import SessionRules
from waiaas.ports import (
    Chains,
    Faucet,
    GenerateId,
    GenerateSecret,
    GuardedClock,
    Keystore,
    LedgerCondition,
    LedgerWithReserve,
)


@dataclass(frozen=True, slots=True)
class About:
    """Facts about this daemon."""

    version: str
    daemon_id: str
    localnet_url: str | None


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may use. All of it is required: nothing is switched off by absence."""

    ledger: LedgerWithReserve
    keystore: Keystore
    chains: Chains
    faucet: Faucet | None
    """There on the local network only; without one, funding is refused."""
    clock: GuardedClock
    accept_clock: Callable[[int, str | None], Awaitable[object]]
    """Believes the wall clock as it is, if it is as far off as somebody at an address has seen."""
    generate_id: GenerateId
    generate_secret: GenerateSecret
    admission: AdmissionRules
    sessions: SessionRules
    profiles: Mapping[ProfileName, Profile]
    """What an agent may begin with."""
    operator: OperatorAccess
    allowance: Allowance
    """How often each credential may be refused and leave rows."""
    reception: Reception
    locking: Locking
    count_swappable: Callable[[], int]
    """Tells how many secrets the kernel would swap out, if it swapped."""
    agents_without_key: Callable[[], Sequence[AgentRecord]]
    """Tells whose key file is missing or damaged; reads every one."""
    wake: Callable[[TransactionRecord], None]
    """Hands an admitted transaction to the worker."""
    count_blocked: Callable[[], int]
    """Tells how many transactions failed their last step."""
    count_unreadable: Callable[[], int]
    """Tells how many transactions are set aside, because their rows cannot be read."""
    count_shut: Callable[[], int]
    """Tells how many agents sign nothing until the chain has answered for older bytes."""
    found_at_start: Mapping[Found, int]
    """What this start found unfinished."""
    recovery_wait_s: int
    """How long the kill switch is RECOVERING before it can be turned off."""
    back_up: Callable[[bytes | None], Awaitable[Backup]]
    """Makes a backup under a password, or with None under the keystore's backup key."""
    backup_condition: Callable[[], ScheduleCondition]
    """Tells how it stands with the backups that the daemon makes by itself."""
    worker_conditions: Callable[[], Sequence[WorkerCondition]]
    """Tells how it stands with everything that the daemon does besides answering."""
    render_figures: Callable[[Sequence[Unready]], str]
    """Tells the daemon's figures, given why it is not ready, in Prometheus' text format."""
    shut_down: Callable[[], None]
    about: About
    ledger_condition: Callable[[], LedgerCondition]
    started_at_monotonic_s: float
