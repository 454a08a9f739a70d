"""Locking the keystore when nothing was signed for a while."""

from collections.abc import Callable
from typing import Final

import structlog

from waiaas.database.errors import DatabaseError
from waiaas.domain.audit import SYSTEM
from waiaas.pipeline.locking import Locking
from waiaas.ports import Clock

CHECK_INTERVAL_S: Final = 10
"""Between two looks at the most; so much longer than asked for it may stay open."""

log = structlog.get_logger()


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
            try:
                await locking.lock(actor=SYSTEM)
            except DatabaseError as error:
                log.warning("the locking could not be recorded", reason=str(error))
