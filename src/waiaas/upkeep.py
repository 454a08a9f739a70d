"""What the daemon does for its ledger: start and stop in it, keep checking it, say how it is."""

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import structlog

from waiaas.database import Ledger, LedgerDamaged, LedgerFull, generate_id
from waiaas.database.errors import DatabaseError
from waiaas.database.integrity import CheckKind, check_integrity
from waiaas.database.key_value import DAEMON_ID
from waiaas.database.notices import Notice, Notices
from waiaas.domain.assets import Network
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.clock import ClockDoubt
from waiaas.domain.enums import AgentStatus, AuditAction
from waiaas.domain.records import AgentRecord
from waiaas.domain.workers import WorkerName
from waiaas.pipeline.clock_guard import ClockGuard, note
from waiaas.pipeline.own_keystore import keep_facts, require_own
from waiaas.pipeline.record import ledger_time
from waiaas.ports import (
    Chain,
    ChainUnavailable,
    Clock,
    GuardedClock,
    KeystoreFacts,
    LedgerTransaction,
)
from waiaas.supervision import TurnFailed, Work

CHECK_INTERVAL_S: Final = 24 * 60 * 60
"""Between two full checks of the ledger; a restart in between does not begin it anew."""

CLOCK_INTERVAL_S: Final = 5
"""Between two looks whether the wall clock has jumped; whoever spends looks for himself."""

CHAIN_ANSWER_S: Final = 3
"""So long a node has to say what time it is; at a start nothing is dated before."""

KEYS_TOLD_MAX: Final = 10
"""Of lost keys, at a start."""

CHECK_RETRY_S: Final = 60 * 60
"""After one that could not be made, or not be recorded."""

CHECKED_AT: Final = "ledger.checked_at"
"""The key of the second in which the ledger was last checked fully, and nothing was found."""

log = structlog.get_logger()


def notices(clock: Clock) -> Notices:
    """Return what the daemon records and logs of what its ledger notices."""

    def record(action: AuditAction) -> Callable[[LedgerTransaction], None]:
        def unit(tx: LedgerTransaction) -> None:
            event = AuditEvent(action, SYSTEM)
            tx.audit.append(event, now_s=ledger_time(tx, wall_s=clock.now_s()))

        return unit

    return Notices(
        full=record(AuditAction.LEDGER_FULL),
        resumed=record(AuditAction.LEDGER_RESUMED),
        report=_report,
    )


def _report(notice: Notice, sentence: str) -> None:
    match notice:
        case Notice.RESUMED | Notice.WAL_BOUNDED:
            log.info("ledger", notice=notice, reason=sentence)
        case Notice.WAL_LARGE:
            log.warning("ledger", notice=notice, reason=sentence)
        case Notice.FULL | Notice.FULL_UNRECORDED | Notice.DAMAGED:
            log.critical("ledger", notice=notice, reason=sentence)


def report_opening(ledger: Ledger) -> None:
    """Log how the last stop was, and what the check before the opening found."""
    log.info(
        "ledger opened",
        last_stop="clean" if ledger.was_stopped_cleanly else "not clean",
        checked=ledger.was_checked,
    )
    if ledger.damage is not None:
        log.critical("ledger", notice=Notice.DAMAGED, reason=str(ledger.damage))


def start_clock(ledger: Ledger, clock: ClockGuard) -> None:
    """Let *clock* know what the ledger knows of time; in what is written next it is believed."""
    clock.start(ledger)
    try:
        ledger.write(clock.keep)
    except (LedgerFull, LedgerDamaged) as error:
        log.warning("the clock could not be recorded", reason=str(error))


def start_in_ledger(ledger: Ledger, clock: Clock, *, version: str, is_locked: bool = False) -> str:
    """Record the start, and the unlocking if there was one; return this daemon's id.

    The id is made at the first start.

    A ledger that takes no writes still knows the id; then the start is recorded nowhere.

    Raises:
        LedgerFull, LedgerDamaged: it takes no writes and knows no id.
    """
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> str:
        now_s = ledger_time(tx, wall_s=wall_s)
        daemon_id = tx.key_values.get(DAEMON_ID)
        if daemon_id is None:
            daemon_id = generate_id()
            tx.key_values.put(DAEMON_ID, daemon_id, now_s=now_s)
        started = AuditEvent(AuditAction.DAEMON_STARTED, SYSTEM, details={"version": version})
        tx.audit.append(started, now_s=now_s)
        if not is_locked:
            tx.audit.append(AuditEvent(AuditAction.KEYSTORE_UNLOCKED, SYSTEM), now_s=now_s)
        return daemon_id

    try:
        return ledger.write(unit)
    except (LedgerFull, LedgerDamaged) as error:
        daemon_id = ledger.read(lambda tx: tx.key_values.get(DAEMON_ID))
        if daemon_id is None:
            raise
        log.warning("the start could not be recorded", reason=str(error))
        return daemon_id


def stop_in_ledger(ledger: Ledger, clock: Clock) -> None:
    """Record a clean stop. A crash records none, and loses nothing by it; so may a full disk."""
    wall_s = clock.now_s()
    stopped = AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM)
    try:
        ledger.write(lambda tx: tx.audit.append(stopped, now_s=ledger_time(tx, wall_s=wall_s)))
    except DatabaseError as error:
        log.warning("the stop could not be recorded", reason=str(error))


def clock_watch(ledger: Ledger, clock: GuardedClock) -> Work:
    """Return the worker that watches the clock."""
    return Work(
        WorkerName.CLOCK,
        lambda: watch_clock(ledger, clock),
        retry_s_min=CLOCK_INTERVAL_S,
        retry_s_max=CLOCK_INTERVAL_S,
    )


async def watch_clock(ledger: Ledger, clock: GuardedClock) -> float:
    """Write down and log whether the wall clock got into doubt, or out of it; one turn."""
    try:
        doubt, is_new = await ledger.write_async(lambda tx: _judge(tx, clock))
    except DatabaseError as error:
        raise TurnFailed(f"the state of the clock could not be recorded: {error}") from error
    if is_new:
        _tell_of_clock(doubt)
    return CLOCK_INTERVAL_S


async def hear_chains(clock: ClockGuard, chains: Collection[Chain]) -> list[Chain]:
    """Hold the clock of a new boot against what time chains have; return those still to answer."""
    if not clock.wants_chains or not chains:
        return []
    answers = await asyncio.gather(*(_chain_time(chain) for chain in chains))
    silent = [chain for chain, answer in zip(chains, answers, strict=True) if answer is None]
    known = [answer for answer in answers if answer is not None]
    if known:
        try:
            await clock.hear(known, are_all=not silent)
        except DatabaseError as error:  # They are heard all the same, until the next start.
            log.warning("the chain's time could not be recorded", reason=str(error))
    return silent


def report_silent(chains: Mapping[Network, Chain], silent: Collection[Chain]) -> None:
    """Log whose node a start waited for in vain; the clock is believed until it answers."""
    waited_for = [f"{chain}:{network}" for (chain, network), one in chains.items() if one in silent]
    if waited_for:
        log.warning("nodes did not say what time it is", nodes=waited_for, waited_s=CHAIN_ANSWER_S)


async def _chain_time(chain: Chain) -> int | None:
    try:
        async with asyncio.timeout(CHAIN_ANSWER_S):
            return await chain.chain_time()
    except (ChainUnavailable, TimeoutError):
        return None


def require_own_opened(
    facts: KeystoreFacts, *, operation: str, ledger: Ledger, clock: Clock
) -> None:
    """Return if a keystore that was opened is the ledger's own, which knows its file from then on.

    Raises:
        OtherKeystore: it is not, and nothing may be done with it.
    """
    require_own(facts, operation=operation, ledger=ledger, clock=clock)
    try:
        keep_facts(facts, ledger=ledger, clock=clock)
    except (LedgerFull, LedgerDamaged) as error:
        log.warning("what is known of the keystore could not be recorded", reason=str(error))


def agents_without_key(
    ledger: Ledger, has_file: Callable[[AgentRecord], bool]
) -> list[AgentRecord]:
    """Return who should have a key and has none that could be used, as far as its file tells.

    Terminated agents are left out: some never had one, and none pays any more.
    """
    if ledger.damage is not None:  # What it says of agents may be anything.
        return []
    statuses = (AgentStatus.ACTIVE, AgentStatus.SUSPENDED, AgentStatus.TERMINATING)
    found = ledger.read(
        lambda tx: [each for one in statuses for each in tx.agents.with_status(one)]
    )
    return [agent for agent in found if not has_file(agent)]


def report_keys(lost: Sequence[AgentRecord]) -> None:
    """Log whose key is gone: nothing but a backup brings it back."""
    for agent in lost[:KEYS_TOLD_MAX]:
        log.error(
            "an agent's key file is missing or damaged",
            agent_id=agent.id,
            name=agent.name,
            address=agent.public_key,
        )
    if len(lost) > KEYS_TOLD_MAX:
        log.error("and more", agents=len(lost) - KEYS_TOLD_MAX)


class ChainAsking:
    """Asks chains for their time until each has answered: a machine may start before its network.

    Args:
        silent: those that did not answer yet.
    """

    def __init__(self, clock: ClockGuard, silent: Collection[Chain]) -> None:
        self._clock = clock
        self._silent = silent

    def work(self) -> Work:
        return Work(WorkerName.CHAIN_TIME, self.turn, first_pause_s=CLOCK_INTERVAL_S)

    async def turn(self) -> float | None:
        """Ask once more."""
        self._silent = await hear_chains(self._clock, self._silent)
        return CLOCK_INTERVAL_S if self._silent else None


def _judge(tx: LedgerTransaction, clock: GuardedClock) -> tuple[ClockDoubt | None, bool]:
    """Return how it stands with the clock, and whether that is new."""
    doubt = clock.doubt()
    return doubt, note(tx, doubt, now_s=ledger_time(tx, wall_s=clock.now_s()))


def _tell_of_clock(doubt: ClockDoubt | None) -> None:
    if doubt is None:
        log.info("the clock shows what it should again")
    else:
        log.critical("the clock is in doubt: nothing is paid", **doubt._asdict())


class LedgerChecks:
    """Checks the ledger at once if that was put off at the opening, and fully once a day."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._was_checked = ledger.was_checked

    def work(self) -> Work:
        return Work(
            WorkerName.LEDGER_CHECK, self.turn, retry_s_min=CHECK_RETRY_S, retry_s_max=CHECK_RETRY_S
        )

    async def turn(self) -> float | None:
        """Make the check that is due, if one is."""
        if not self._was_checked:
            await _check(self._ledger, CheckKind.QUICK)
            self._was_checked = True
        elif not self._seconds_to_next():
            await _check(self._ledger, CheckKind.FULL)
            if self._ledger.damage is None:
                await _record_check(self._ledger, self._clock.now_s())
        return None if self._ledger.damage else self._seconds_to_next()

    def _seconds_to_next(self) -> int:
        last_s = int(self._ledger.read(lambda tx: tx.key_values.get(CHECKED_AT)) or 0)
        return seconds_to_next_check(last_s=last_s, now_s=self._clock.now_s())


def seconds_to_next_check(*, last_s: int, now_s: int) -> int:
    """Return how long to wait. A check from the future was dated by a wrong clock: it is due."""
    return max(last_s + CHECK_INTERVAL_S - now_s, 0) if last_s <= now_s else 0


async def _check(ledger: Ledger, kind: CheckKind) -> None:
    """Check in a thread, beside everything else. A cancelled caller stops the check.

    Raises:
        TurnFailed: it did not come to its end.
    """
    stop = threading.Event()
    try:
        findings = await asyncio.to_thread(
            check_integrity, ledger.path, kind=kind, is_stopped=stop.is_set
        )
    except DatabaseError as error:
        raise TurnFailed(f"the ledger could not be checked: {error}") from error
    finally:
        stop.set()
    log.info("ledger checked", kind=kind, findings=len(findings))
    if findings:
        ledger.stop_writing([str(finding) for finding in findings])


async def _record_check(ledger: Ledger, wall_s: int) -> None:
    try:
        await ledger.write_async(
            lambda tx: tx.key_values.put(CHECKED_AT, f"{wall_s}", now_s=wall_s)
        )
    except DatabaseError as error:
        raise TurnFailed(f"the check could not be recorded: {error}") from error
