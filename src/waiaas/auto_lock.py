"""Locking the keystore without being told: when nothing was signed for a while, or never will be.

Why the kill switch and a clock in doubt do not lock is told in docs/keystore.md.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from waiaas.domain.audit import SYSTEM
from waiaas.pipeline.locking import Locking
from waiaas.ports import Clock

CHECK_INTERVAL_S: Final = 10
"""Between two looks at the most; so much longer than asked for it may stay open."""

log = structlog.get_logger()


async def lock_unasked(
    locking: Locking,
    clock: Clock,
    *,
    count_uses: Callable[[], int],
    idle_s: int,
    is_damaged: Callable[[], bool],
) -> None:
    """Do both of what follows, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(lock_when_idle(locking, clock, count_uses=count_uses, idle_s=idle_s))
        group.create_task(lock_when_damaged(locking, clock, is_damaged=is_damaged))


async def lock_when_idle(
    locking: Locking, clock: Clock, *, count_uses: Callable[[], int], idle_s: int
) -> None:
    """Lock after *idle_s* without a use, again and again, until cancelled; 0: return at once.

    A use is a signature or an unlocking. Reading is none, and neither is a login.
    """
    seen, since_s = count_uses(), clock.monotonic_s()
    while idle_s:
        await clock.sleep(min(CHECK_INTERVAL_S, idle_s))
        now_s, count = clock.monotonic_s(), count_uses()
        if count != seen or locking.keystore.is_locked:
            seen, since_s = count, now_s
        elif now_s - since_s >= idle_s:
            log.info("the keystore is locked: nothing was signed for a while", idle_s=idle_s)
            problem = await locking.lock(actor=SYSTEM)
            if problem is not None:
                log.warning("the locking could not be recorded yet", reason=problem)


async def lock_when_damaged(
    locking: Locking, clock: Clock, *, is_damaged: Callable[[], bool]
) -> None:
    """Lock once the ledger is damaged, and write down lockings that were missed, until cancelled.

    A damaged ledger takes no writes until the next start, which asks for the password: till then
    there is nothing that the keys are good for.
    """
    while True:
        await clock.sleep(CHECK_INTERVAL_S)
        if is_damaged() and not locking.keystore.is_locked:
            log.critical("the keystore is locked: the ledger is damaged, and nothing is signed")
            await locking.lock(actor=SYSTEM)
        await locking.write_missed()
