"""The real clock and real randomness: the one place that touches them."""

import secrets
import time
from typing import Final

SECRET_BYTES: Final = 32
"""256 bits: 43 URL-safe characters."""


class SystemClock:
    """`waiaas.ports.Clock` of this machine."""

    def now_s(self) -> int:
        return int(time.time())

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # noqa: PLC0415 -- commands load this module, and no event loop

        await asyncio.sleep(seconds)


def generate_secret() -> str:
    """Return 256 bits of the operating system's randomness as 43 URL-safe characters."""
    return secrets.token_urlsafe(SECRET_BYTES)
