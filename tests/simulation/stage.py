"""Where everything stops and is let go: the one place that decides what happens next.

A coroutine of the pipeline that asks the chain, writes or sleeps may be held there, and goes on
when the simulation says so, or never. All of it depends on one source of randomness.
"""

import asyncio
import random  # noqa: TID251 -- reproducible cases, not secrets
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from waiaas.database import Ledger
from waiaas.domain.clock import ClockDoubt
from waiaas.ports import GuardedClock, LedgerTransaction

Value = TypeVar("Value")


class _Turn:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def until_nothing_moves() -> None:
    """Return when every task waits for something that only the simulation can give it."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # -- deterministic
    await _Turn()
    while ready:
        await _Turn()


@dataclass
class Stage:
    """One process's."""

    source: random.Random
    likelihood: float
    """Of being held."""
    is_frozen: bool = False
    """Whether nobody goes on: the process is stopped and will be woken."""
    has_slept: bool = False
    """Whether it was stopped once."""
    held: list[asyncio.Future[None]] = field(default_factory=list)

    async def pause(self, _call: str = "") -> None:
        if self.is_frozen or self.source.random() < self.likelihood:
            here = asyncio.get_running_loop().create_future()
            self.held.append(here)
            await here

    def let_one_go(self) -> None:
        if self.held and not self.is_frozen:
            here = self.held.pop(self.source.randrange(len(self.held)))
            if not here.done():
                here.set_result(None)


STAGE: ContextVar[Stage] = ContextVar("stage")
"""Of the process whose task runs."""


async def pause(call: str) -> None:
    """Wait on the stage of whoever calls."""
    await STAGE.get().pause(call)


@dataclass(frozen=True)
class SteppedLedger:
    """The real ledger; the world may stop before a unit runs and before its answer is heard."""

    ledger: Ledger
    seen_as: Callable[[LedgerTransaction], LedgerTransaction]

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        return self.ledger.write(lambda tx: unit(self.seen_as(tx)))

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        await pause("write")
        value = self.write(unit)
        await pause("written")
        return value

    async def write_from_reserve(
        self,
        unit: Callable[[LedgerTransaction], Value],
        *,
        smaller: Callable[[LedgerTransaction], Value],
    ) -> Value:
        await pause("write")
        # Another loop on another thread, waited for here: nothing else moves meanwhile.
        with ThreadPoolExecutor(1) as thread:
            value = thread.submit(
                lambda: asyncio.run(self.ledger.write_from_reserve(unit, smaller=smaller))
            ).result()
        await pause("written")
        return value

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        return self.ledger.read(lambda tx: query(self.seen_as(tx)))


@dataclass(frozen=True)
class SteppedClock:
    """The simulation's clock; who has slept enough may still be kept from going on."""

    clock: GuardedClock

    def now_s(self) -> int:
        return self.clock.now_s()

    def monotonic_s(self) -> float:
        return self.clock.monotonic_s()

    def doubt(self) -> ClockDoubt | None:
        return self.clock.doubt()

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        await pause("slept")
