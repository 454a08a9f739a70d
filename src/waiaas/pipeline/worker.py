"""The worker: carries every admitted transaction to its end, one task each.

What to do is read from the ledger before every step, so a restart goes on from the last thing that
was certainly true. Tasks exist for speed only; losing all of them loses nothing. What waits has no
task and no timer: the ledger is asked again and again whose time has come.
"""

import asyncio
from collections import defaultdict
from contextvars import Context, copy_context
from typing import Final, Protocol

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import TransactionRecord
from waiaas.pipeline.advance import Step
from waiaas.pipeline.clock_guard import ClockInDoubt
from waiaas.pipeline.kill_switch import is_on
from waiaas.pipeline.locking import SignerLocked, require_unlocked
from waiaas.pipeline.perform import (
    LedgerRestored,
    Standing,
    World,
    perform,
    read_standing,
    resend,
)
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.recover import Gate, read_unfinished
from waiaas.pipeline.restored import restored_at
from waiaas.ports import LedgerTransaction

WATCH_INTERVAL_MS: Final = 250
"""Between two looks at the chain."""

LOOKS_PER_RESEND: Final = 8
"""After so many looks that showed nothing, the same bytes are sent again."""

WAIT_INTERVAL_MS: Final = 1000
"""Between two questions to the ledger whether a wait is over; none while nothing waits."""

RETRY_MS_MIN: Final = 250
RETRY_MS_MAX: Final = 8000
"""Between two tries of a step that failed; doubled each time."""

SET_ASIDE_MS_MAX: Final = 300_000
"""Between two looks at a payment that cannot be read; the first comes as soon as that of a step."""

LIVE: Final = (
    TransactionStatus.PENDING,
    TransactionStatus.EXECUTING,
    TransactionStatus.SUBMITTED,
)
"""Statuses in which there is something for the worker to do at once."""


class SignerShut(Exception):  # noqa: N818 -- a state of the world, named as one
    """Bytes of this agent are older than the start, and the chain has not answered for them yet."""


class Report(Protocol):
    """Tells the operator's log of a step that failed and will be tried again.

    There is no step where what the ledger holds of the payment could not be read.
    """

    def __call__(self, tx_id: TransactionId, step: Step | None, error: Exception, /) -> None: ...


class Worker:
    """Runs until cancelled; `wake` hands it a transaction."""

    def __init__(self, world: World, *, report: Report) -> None:
        self._world = world
        self._report = report
        self._woken: asyncio.Queue[tuple[TransactionId, Context]] = asyncio.Queue()
        self._some_wait = asyncio.Event()
        self._driven: set[TransactionId] = set()
        self._blocked: set[TransactionId] = set()
        self._unreadable: set[TransactionId] = set()
        self._held: set[TransactionId] = set()
        """Those of which it was told that they are held; told again once they went on."""
        self._gate = Gate()
        # Equal payments of one agent are told apart by a price that follows the newest recorded
        # one, so one agent's payments are prepared one after the other.
        self._preparing: defaultdict[AgentId, asyncio.Lock] = defaultdict(asyncio.Lock)

    def wake(self, transaction: TransactionRecord) -> None:
        """Take over a transaction that was just admitted, or may go on.

        What is logged of it bears what the caller's lines bear: the request that caused it.
        """
        self._take_up(transaction.id)

    def count_blocked(self) -> int:
        """Return how many transactions failed their last step, and wait for the next try."""
        return len(self._blocked)

    def count_unreadable(self) -> int:
        """Return how many transactions are set aside, because their rows cannot be read."""
        return len(self._unreadable)

    def count_shut(self) -> int:
        """Return how many agents sign nothing until the chain answers for what they signed."""
        return self._gate.count_shut()

    def resume(self) -> None:
        """Take up again what was held, now that the keystore was unlocked."""
        self._blocked -= self._held  # Some may have ended meanwhile.
        for tx_id in self._world.ledger.read(_unfinished):
            self._take_up(tx_id)
        self._some_wait.set()

    async def run(self) -> None:
        """Take over everything unfinished, then whatever is woken.

        May be run again after it failed: what it was doing then is unfinished like anything else.
        """
        self._driven.clear()
        self._blocked.clear()
        self._unreadable.clear()
        found, unfinished, waiting = self._world.ledger.read(
            lambda tx: (read_unfinished(tx), _unfinished(tx), tx.waits.count_open())
        )
        self._gate.shut_for(found)
        for tx_id in unfinished:
            self._take_up(tx_id)
        if waiting:
            self._some_wait.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_waits())
            while True:
                tx_id, context = await self._woken.get()
                if tx_id not in self._driven:
                    self._driven.add(tx_id)
                    group.create_task(self._drive(tx_id), context=context)

    def _take_up(self, tx_id: TransactionId) -> None:
        self._woken.put_nowait((tx_id, copy_context()))

    async def _watch_waits(self) -> None:
        """Wake each transaction whose wait is over, for as long as any still waits."""
        while True:
            await self._some_wait.wait()
            due, still_waiting = self._look_at_waits()
            for tx_id in due:
                self._take_up(tx_id)
            if still_waiting:
                await self._world.clock.sleep(WAIT_INTERVAL_MS / 1000)
            else:
                self._some_wait.clear()

    async def _drive(self, tx_id: TransactionId) -> None:
        """Do step after step until there is none left."""
        retry_ms = RETRY_MS_MIN
        looks = 0
        while True:
            standing = await self._look(tx_id)
            step, agent_id = standing.step, standing.agent.id
            if step is None:
                self._leave(standing)
                return
            try:
                if step in {Step.WATCH, Step.HOLD}:
                    looks += 1
                    await self._watch(standing, looks)
                    self._gate.answered(agent_id, tx_id)
                elif step is Step.PREPARE:
                    async with self._preparing[agent_id]:
                        self._require_open(standing)
                        await perform(standing, self._world)
                else:
                    self._require_open(standing)
                    await perform(standing, self._world)
            except (LedgerRestored, SignerLocked) as error:
                # Trying again would change nothing; reconciling, or unlocking, hands it over anew.
                if isinstance(error, SignerLocked):
                    self._blocked.add(tx_id)
                self._tell(tx_id, step, error)
                self._driven.discard(tx_id)
                return
            except Exception as error:  # noqa: BLE001 -- one payment's trouble must not stop others
                self._blocked.add(tx_id)
                self._tell(tx_id, step, error)
                await self._world.clock.sleep(retry_ms / 1000)
                retry_ms = min(2 * retry_ms, RETRY_MS_MAX)
            else:
                self._blocked.discard(tx_id)
                self._held.discard(tx_id)
                retry_ms = RETRY_MS_MIN

    def _leave(self, standing: Standing) -> None:
        """Let a transaction go for which there is nothing to do, or not yet."""
        tx_id = standing.transaction.id
        self._driven.discard(tx_id)
        self._blocked.discard(tx_id)
        self._held.discard(tx_id)
        self._gate.answered(standing.agent.id, tx_id)
        if standing.transaction.status is TransactionStatus.QUEUED:
            self._some_wait.set()

    def _tell(self, tx_id: TransactionId, step: Step, error: Exception) -> None:
        """Report an error; of what holds many payments at once, and for long, only the first."""
        if isinstance(error, LedgerRestored | ClockInDoubt | SignerLocked):
            if tx_id in self._held:
                return
            self._held.add(tx_id)
        self._report(tx_id, step, error)

    def _require_open(self, standing: Standing) -> None:
        """Return unless the step leads to a signature that has to wait.

        What is forbidden is not signed in any case, so it may end. The payload is not recorded
        either: it would only grow old.
        """
        leads_to_signature = standing.step in {Step.PREPARE, Step.SIGN}
        may_sign = leads_to_signature and not standing.is_forbidden
        if may_sign and self._gate.is_shut(standing.agent.id):
            raise SignerShut("the chain has not answered yet for what this agent signed before")
        if may_sign:
            require_unlocked(self._world.signer)

    async def _look(self, tx_id: TransactionId) -> Standing:
        """Return where a transaction stands, once that can be read.

        Until then it is set aside, and others go on. What goes wrong with all of them is not looked
        for in one.
        """
        pause_ms = RETRY_MS_MIN
        while True:
            try:
                standing = self._read(tx_id)
            except Exception as error:
                if await self._fails_for_all():
                    raise
                self._unreadable.add(tx_id)
                self._report(tx_id, None, error)
            else:
                self._unreadable.discard(tx_id)
                return standing
            await self._world.clock.sleep(pause_ms / 1000)
            pause_ms = min(2 * pause_ms, SET_ASIDE_MS_MAX)

    def _read(self, tx_id: TransactionId) -> Standing:
        wall_s = self._world.clock.now_s()
        return self._world.ledger.read(lambda tx: read_standing(tx, tx_id, wall_s=wall_s))

    async def _fails_for_all(self) -> bool:
        """Tell whether the ledger fails at what has to do with no payment, or takes no writes."""
        try:
            await self._world.ledger.write_async(lambda tx: (is_on(tx), restored_at(tx)))
        except Exception:  # noqa: BLE001 -- whatever it is, what the caller caught is raised
            return True
        return False

    def _look_at_waits(self) -> tuple[list[TransactionId], int]:
        """Return the transactions that need wait no more, and how many still have to."""
        wall_s = self._world.clock.now_s()
        return self._world.ledger.read(lambda tx: _waiting(tx, wall_s=wall_s))

    async def _watch(self, standing: Standing, looks: int) -> None:
        """Wait a little, look, and now and then send again, unless nothing may go out."""
        await self._world.clock.sleep(WATCH_INTERVAL_MS / 1000)
        if looks % LOOKS_PER_RESEND == 0 and not standing.is_forbidden:
            await resend(standing, self._world)
        await perform(standing, self._world)


def _unfinished(tx: LedgerTransaction) -> list[TransactionId]:
    return [tx_id for status in LIVE for tx_id, _ in tx.transactions.ids_with_status(status)]


def _waiting(tx: LedgerTransaction, *, wall_s: int) -> tuple[list[TransactionId], int]:
    due = tx.waits.due(now_s=ledger_time(tx, wall_s=wall_s))
    return due, tx.waits.count_open() - len(due)


def count_unfinished(tx: LedgerTransaction) -> int:
    """Return how many transactions the worker still has to carry to their end."""
    return sum(tx.transactions.count_with_status(status) for status in LIVE)
