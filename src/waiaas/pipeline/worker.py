"""The worker: carries every admitted transaction to its end, one task each.

What to do is read from the ledger before every step, so a restart goes on from the last thing that
was certainly true. Tasks exist for speed only; losing all of them loses nothing.
"""

import asyncio
from collections import defaultdict
from typing import Final, Protocol

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import TransactionRecord
from waiaas.pipeline.advance import Step
from waiaas.pipeline.perform import (
    LedgerRestored,
    Standing,
    World,
    perform,
    read_standing,
    resend,
)
from waiaas.ports import LedgerTransaction

WATCH_INTERVAL_MS: Final = 250
"""Between two looks at the chain."""

LOOKS_PER_RESEND: Final = 8
"""After so many looks that showed nothing, the same bytes are sent again."""

RETRY_MS_MIN: Final = 250
RETRY_MS_MAX: Final = 8000
"""Between two tries of a step that failed; doubled each time."""

LIVE: Final = (
    TransactionStatus.PENDING,
    TransactionStatus.EXECUTING,
    TransactionStatus.SUBMITTED,
)
"""Statuses in which there is something for the worker to do."""


class Report(Protocol):
    """Tells the operator's log of a step that failed and will be tried again."""

    def __call__(self, tx_id: TransactionId, step: Step, error: Exception, /) -> None: ...


class Worker:
    """Runs until cancelled; `wake` hands it a transaction."""

    def __init__(self, world: World, *, report: Report) -> None:
        self._world = world
        self._report = report
        self._woken: asyncio.Queue[TransactionRecord] = asyncio.Queue()
        self._driven: set[TransactionId] = set()
        self._blocked: set[TransactionId] = set()
        # Equal payments of one agent are told apart by a price that follows the newest recorded
        # one, so one agent's payments are prepared one after the other.
        self._preparing: defaultdict[AgentId, asyncio.Lock] = defaultdict(asyncio.Lock)

    def wake(self, transaction: TransactionRecord) -> None:
        """Take over a transaction that was just admitted."""
        self._woken.put_nowait(transaction)

    def count_blocked(self) -> int:
        """Return how many transactions failed their last step, and wait for the next try."""
        return len(self._blocked)

    async def run(self) -> None:
        """Take over everything unfinished, then whatever is woken."""
        for transaction in self._world.ledger.read(_unfinished):
            self.wake(transaction)
        async with asyncio.TaskGroup() as group:
            while True:
                transaction = await self._woken.get()
                if transaction.id not in self._driven:
                    self._driven.add(transaction.id)
                    group.create_task(self._drive(transaction))

    async def _drive(self, transaction: TransactionRecord) -> None:
        """Do step after step until there is none left."""
        retry_ms = RETRY_MS_MIN
        looks = 0
        while True:
            standing = self._world.ledger.read(lambda tx: read_standing(tx, transaction))
            step = standing.step
            if step is None:
                self._driven.discard(transaction.id)
                self._blocked.discard(transaction.id)
                return
            try:
                if step is Step.WATCH:
                    looks += 1
                    await self._watch(standing, looks)
                elif step is Step.PREPARE:
                    async with self._preparing[transaction.agent_id]:
                        await perform(standing, self._world)
                else:
                    await perform(standing, self._world)
            except LedgerRestored as error:
                # Trying again would change nothing; reconciliation hands it over anew.
                self._report(transaction.id, step, error)
                self._driven.discard(transaction.id)
                return
            except Exception as error:  # noqa: BLE001 -- one payment's trouble must not stop others
                self._blocked.add(transaction.id)
                self._report(transaction.id, step, error)
                await self._world.clock.sleep(retry_ms / 1000)
                retry_ms = min(2 * retry_ms, RETRY_MS_MAX)
            else:
                self._blocked.discard(transaction.id)
                retry_ms = RETRY_MS_MIN

    async def _watch(self, standing: Standing, looks: int) -> None:
        """Wait a little, look, and now and then send again."""
        await self._world.clock.sleep(WATCH_INTERVAL_MS / 1000)
        if looks % LOOKS_PER_RESEND == 0:
            await resend(standing, self._world)
        await perform(standing, self._world)


def _unfinished(tx: LedgerTransaction) -> list[TransactionRecord]:
    return [found for status in LIVE for found in tx.transactions.with_status(status)]


def count_unfinished(tx: LedgerTransaction) -> int:
    """Return how many transactions the worker still has to carry to their end."""
    return len(_unfinished(tx))
