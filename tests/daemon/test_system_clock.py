"""The real clock keeps the contract of `waiaas.ports.Clock`; secrets are long and differ."""

import asyncio
import re
import time

from waiaas.ports import Clock
from waiaas.system import SystemClock, generate_secret


def test_the_wall_clock_is_whole_seconds_of_the_unix_epoch() -> None:
    clock: Clock = SystemClock()
    before = time.time_ns() // 10**9
    now_s = clock.now_s()
    assert isinstance(now_s, int)
    assert before <= now_s <= time.time_ns() // 10**9


def test_monotonic_time_never_goes_back_and_sleeping_takes_at_least_what_was_asked() -> None:
    clock = SystemClock()
    seen = [clock.monotonic_s() for _ in range(1000)]
    assert seen == sorted(seen)
    begun_s = clock.monotonic_s()
    asyncio.run(clock.sleep(0.02))
    assert clock.monotonic_s() - begun_s >= 0.019


def test_a_secret_is_256_bits_in_43_url_safe_characters_and_never_the_same() -> None:
    secrets = {generate_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in secrets)
