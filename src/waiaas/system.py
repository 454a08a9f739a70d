"""The real clock and real randomness: the one place that touches them."""

import secrets
import sys
import time
from pathlib import Path
from typing import Final

SECRET_BYTES: Final = 32
"""256 bits: 43 URL-safe characters."""


_COUNTS_SLEEP: Final = sys.platform == "linux"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux makes a new one at every start of the machine."""


class SystemClock:
    """`waiaas.ports.Clock` of this machine."""

    def now_s(self) -> int:
        return int(time.time())

    def monotonic_s(self) -> float:
        # A laptop that slept has come further; the monotonic clock of Linux would not say so.
        return time.clock_gettime(time.CLOCK_BOOTTIME) if _COUNTS_SLEEP else time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # noqa: PLC0415 -- commands load this module, and no event loop

        await asyncio.sleep(seconds)


def generate_secret() -> str:
    """Return 256 bits of the operating system's randomness as 43 URL-safe characters."""
    return secrets.token_urlsafe(SECRET_BYTES)


def random_share() -> float:
    """Return a number from 0 to 1: how much of a jitter a pause gets."""
    return secrets.randbelow(1001) / 1000


def read_boot_id() -> str:
    """Return what names this start of the machine; something new where it has no name."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return generate_secret()
