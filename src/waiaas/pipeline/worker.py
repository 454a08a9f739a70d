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

LIVE: Final = (
    TransactionStatus.PENDING,
    TransactionStatus.EXECUTING,
    TransactionStatus.SUBMITTED,
)
"""Statuses in which there is something for the worker to do at once."""


class SignerShut(Exception):  # noqa: N818 -- a state of the world, named as one
    """Bytes of this agent are older than the start, and the chain has not answered for them yet."""


class Report(Protocol):
    """Tells the operator's log of a step that failed and will be tried again."""

    def __call__(self, tx_id: TransactionId, step: Step, error: Exception, /) -> None: ...


class Worker:
    """Runs until cancelled; `wake` hands it a transaction."""

    def __init__(self, world: World, *, report: Report) -> None:
        self._world = world
        self._report = report
        self._woken: asyncio.Queue[tuple[TransactionRecord, Context]] = asyncio.Queue()
        self._some_wait = asyncio.Event()
        self._driven: set[TransactionId] = set()
        self._blocked: set[TransactionId] = set()
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
        self._woken.put_nowait((transaction, copy_context()))

    def count_blocked(self) -> int:
        """Return how many transactions failed their last step, and wait for the next try."""
        return len(self._blocked)

    def count_shut(self) -> int:
        """Return how many agents sign nothing until the chain answers for what they signed."""
        return self._gate.count_shut()

    def resume(self) -> None:
        """Take up again what was held, now that the keystore was unlocked."""
        self._blocked -= self._held  # Some may have ended meanwhile.
        for transaction in self._world.ledger.read(_unfinished):
            self.wake(transaction)
        self._some_wait.set()

    async def run(self) -> None:
        """Take over everything unfinished, then whatever is woken.

        May be run again after it failed: what it was doing then is unfinished like anything else.
        """
        self._driven.clear()
        self._blocked.clear()
        found, unfinished, waiting = self._world.ledger.read(
            lambda tx: (read_unfinished(tx), _unfinished(tx), tx.waits.count_open())
        )
        self._gate.shut_for(found)
        for transaction in unfinished:
            self.wake(transaction)
        if waiting:
            self._some_wait.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_waits())
            while True:
                transaction, context = await self._woken.get()
                if transaction.id not in self._driven:
                    self._driven.add(transaction.id)
                    group.create_task(self._drive(transaction), context=context)

    async def _watch_waits(self) -> None:
        """Wake each transaction whose wait is over, for as long as any still waits."""
        while True:
            await self._some_wait.wait()
            due, still_waiting = self._look_at_waits()
            for transaction in due:
                self.wake(transaction)
            if still_waiting:
                await self._world.clock.sleep(WAIT_INTERVAL_MS / 1000)
            else:
                self._some_wait.clear()

    async def _drive(self, transaction: TransactionRecord) -> None:
        """Do step after step until there is none left."""
        retry_ms = RETRY_MS_MIN
        looks = 0
        while True:
            standing = self._look(transaction)
            step = standing.step
            if step is None:
                self._driven.discard(transaction.id)
                self._blocked.discard(transaction.id)
                self._held.discard(transaction.id)
                self._gate.answered(transaction.agent_id, transaction.id)
                if standing.transaction.status is TransactionStatus.QUEUED:
                    self._some_wait.set()
                return
            try:
                if step in {Step.WATCH, Step.HOLD}:
                    looks += 1
                    await self._watch(standing, looks)
                    self._gate.answered(transaction.agent_id, transaction.id)
                elif step is Step.PREPARE:
                    async with self._preparing[transaction.agent_id]:
                        self._require_open(standing)
                        await perform(standing, self._world)
                else:
                    self._require_open(standing)
                    await perform(standing, self._world)
            except (LedgerRestored, SignerLocked) as error:
                # Trying again would change nothing; reconciling, or unlocking, hands it over anew.
                if isinstance(error, SignerLocked):
                    self._blocked.add(transaction.id)
                self._tell(transaction.id, step, error)
                self._driven.discard(transaction.id)
                return
            except Exception as error:  # noqa: BLE001 -- one payment's trouble must not stop others
                self._blocked.add(transaction.id)
                self._tell(transaction.id, step, error)
                await self._world.clock.sleep(retry_ms / 1000)
                retry_ms = min(2 * retry_ms, RETRY_MS_MAX)
            else:
                self._blocked.discard(transaction.id)
                self._held.discard(transaction.id)
                retry_ms = RETRY_MS_MIN

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

    def _look(self, transaction: TransactionRecord) -> Standing:
        wall_s = self._world.clock.now_s()
        return self._world.ledger.read(lambda tx: read_standing(tx, transaction, wall_s=wall_s))

    def _look_at_waits(self) -> tuple[list[TransactionRecord], int]:
        """Return the transactions that need wait no more, and how many still have to."""
        wall_s = self._world.clock.now_s()
        return self._world.ledger.read(lambda tx: _waiting(tx, wall_s=wall_s))

    async def _watch(self, standing: Standing, looks: int) -> None:
        """Wait a little, look, and now and then send again, unless nothing may go out."""
        await self._world.clock.sleep(WATCH_INTERVAL_MS / 1000)
        if looks % LOOKS_PER_RESEND == 0 and not standing.is_forbidden:
            await resend(standing, self._world)
        await perform(standing, self._world)


def _unfinished(tx: LedgerTransaction) -> list[TransactionRecord]:
    return [found for status in LIVE for found in tx.transactions.with_status(status)]


def _waiting(tx: LedgerTransaction, *, wall_s: int) -> tuple[list[TransactionRecord], int]:
    due = tx.waits.due(now_s=ledger_time(tx, wall_s=wall_s))
    found = [tx.transactions.get(tx_id) for tx_id in due]
    return [each for each in found if each is not None], tx.waits.count_open() - len(due)


def count_unfinished(tx: LedgerTransaction) -> int:
    """Return how many transactions the worker still has to carry to their end."""
    return len(_unfinished(tx))
