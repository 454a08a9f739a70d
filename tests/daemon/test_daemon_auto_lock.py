"""The keystore is locked when nothing was signed for as long as was said, and not before."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest

from waiaas.auto_lock import CHECK_INTERVAL_S, lock_when_damaged, lock_when_idle
from waiaas.database.errors import DatabaseError
from waiaas.pipeline.locking import Locking
from waiaas.ports import Keystore, LedgerWithReserve


class Minutes:
    """A clock on which an hour goes by, in steps of those who wait."""

    def __init__(self, on_wait: Callable[[float], None] = lambda _: None) -> None:
        self.passed_s = 0.0
        self._on_wait = on_wait

    def now_s(self) -> int:
        return int(self.passed_s)

    def monotonic_s(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.passed_s += seconds
        self._on_wait(self.passed_s)
        if self.passed_s > 3600:
            raise asyncio.CancelledError


class Keys:
    def __init__(self) -> None:
        self.is_locked = False
        self.uses = 0

    def lock(self) -> None:
        self.is_locked = True


class NoLedger:
    """It takes no writes, which keeps nothing open."""

    async def write_from_reserve(self, _unit: object, **_: object) -> None:
        raise DatabaseError("the disk is full")


def locked_at(
    keys: Keys, *, idle_s: int, on_wait: Callable[[float], None] = lambda _: None
) -> list[float]:
    """Let an hour pass; return the seconds at which it was found locked for the first time."""
    seconds: list[float] = []

    def forget_logins() -> None:
        seconds.append(clock.passed_s)

    clock = Minutes(on_wait)
    locking = Locking(
        cast("Keystore", keys),
        cast("LedgerWithReserve", NoLedger()),
        clock,
        forget_logins,
        lambda: None,
    )
    with suppress(asyncio.CancelledError):
        asyncio.run(lock_when_idle(locking, clock, count_uses=lambda: keys.uses, idle_s=idle_s))
    return seconds


@pytest.mark.parametrize("idle_s", [1, 7, 10, 300])
def test_it_is_locked_after_the_seconds_that_were_said(idle_s: int) -> None:
    keys = Keys()
    assert locked_at(keys, idle_s=idle_s) == [idle_s]
    assert keys.is_locked


def test_it_stays_open_for_no_longer_than_a_look_more() -> None:
    assert locked_at(Keys(), idle_s=12) == [20]


def test_nought_seconds_are_never() -> None:
    keys = Keys()
    assert locked_at(keys, idle_s=0) == []
    assert not keys.is_locked


def test_each_use_begins_the_time_anew() -> None:
    keys = Keys()

    def sign_for_half_an_hour(now_s: float) -> None:
        keys.uses += now_s <= 1800

    assert locked_at(keys, idle_s=300, on_wait=sign_for_half_an_hour) == [2100]


def test_control_without_counting_uses_it_would_lock_in_between() -> None:
    assert locked_at(Keys(), idle_s=300, on_wait=lambda _: None) == [300]


def test_once_unlocked_it_is_locked_again_after_as_long() -> None:
    keys = Keys()

    def unlock(now_s: float) -> None:
        if now_s == 1000:
            keys.is_locked = False
            keys.uses += 1

    assert locked_at(keys, idle_s=300, on_wait=unlock) == [300, 1300]
    assert CHECK_INTERVAL_S == 10


def test_a_damaged_ledger_leaves_no_keys_in_memory_however_long_they_may_idle() -> None:
    keys, told = Keys(), list[float]()

    def is_damaged() -> bool:
        assert keys.is_locked or clock.passed_s <= 1000, "within one look"
        return clock.passed_s >= 1000

    clock = Minutes(lambda _: None)
    locking = Locking(
        cast("Keystore", keys),
        cast("LedgerWithReserve", NoLedger()),
        clock,
        lambda: told.append(clock.passed_s),
        lambda: None,
    )
    with suppress(asyncio.CancelledError):
        asyncio.run(lock_when_damaged(locking, clock, is_damaged=is_damaged))
    assert told == [1000]
