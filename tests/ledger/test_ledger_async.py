"""Awaited writes: the unit is done whatever becomes of its caller, and no caller waits for ever."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from waiaas.database import Ledger
from waiaas.database.errors import Closed, ValueRefused
from waiaas.database.ledger import _AwaitingUnit, _WaitingUnit
from waiaas.ports import LedgerTransaction

Value = TypeVar("Value")


def put(key: str) -> Callable[[LedgerTransaction], str]:
    def unit(tx: LedgerTransaction) -> str:
        tx.key_values.put(key, key, now_s=1)
        return key

    return unit


def has(ledger: Ledger, key: str) -> bool:
    return ledger.read(lambda tx: tx.key_values.get(key)) is not None


@contextmanager
def held(ledger: Ledger) -> Iterator[None]:
    """Keep the writer inside a unit during the block."""
    running, go_on = threading.Event(), threading.Event()

    def wait(_tx: LedgerTransaction) -> None:
        running.set()
        go_on.wait()

    unit = _WaitingUnit(wait)
    ledger._writer.submit(unit)
    running.wait()
    try:
        yield
    finally:
        go_on.set()
        unit.done.acquire()


async def queued(ledger: Ledger, unit: Callable[[LedgerTransaction], Value]) -> asyncio.Task[Value]:
    """Start a caller; return once its unit is in the writer's queue."""
    started = asyncio.Event()

    async def call() -> Value:
        started.set()
        return await ledger.write_async(unit)  # Queues before it first gives way.

    task = asyncio.ensure_future(call())
    await started.wait()
    return task


def test_the_value_of_a_unit_is_awaited(ledger: Ledger) -> None:
    assert asyncio.run(ledger.write_async(put("a"))) == "a"
    assert has(ledger, "a")


def test_the_exception_of_a_unit_is_raised_where_it_is_awaited(ledger: Ledger) -> None:
    own = ZeroDivisionError("mine")

    def unit(tx: LedgerTransaction) -> None:
        put("a")(tx)
        raise own

    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(ledger.write_async(unit))
    assert caught.value is own
    assert not has(ledger, "a")


@pytest.mark.parametrize(
    ("error", "met"),
    [
        (StopIteration(), RuntimeError),  # A coroutine cannot raise StopIteration.
        (asyncio.CancelledError(), asyncio.CancelledError),
        (asyncio.InvalidStateError(), asyncio.InvalidStateError),
    ],
)
def test_an_exception_that_futures_cannot_hold_does_not_hurt_the_neighbours(
    ledger: Ledger, error: BaseException, met: type[BaseException]
) -> None:
    def unit(_tx: LedgerTransaction) -> None:
        raise error

    async def call() -> None:
        with held(ledger):
            tasks = [await queued(ledger, each) for each in (put("a"), unit, put("b"))]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[0] == "a"
        assert type(outcomes[1]) is met
        assert outcomes[2] == "b"

    asyncio.run(call())


def test_a_unit_whose_caller_is_cancelled_while_it_waits_is_done(ledger: Ledger) -> None:
    async def call() -> None:
        with held(ledger):
            cancelled = await queued(ledger, put("a"))
            neighbour = await queued(ledger, put("b"))
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        assert await neighbour == "b"

    asyncio.run(call())
    assert has(ledger, "a")
    assert has(ledger, "b")


def test_a_unit_whose_caller_is_cancelled_while_it_runs_is_done(ledger: Ledger) -> None:
    running, go_on = threading.Event(), threading.Event()

    def unit(tx: LedgerTransaction) -> None:
        put("a")(tx)
        running.set()
        go_on.wait()

    async def call() -> None:
        task = await queued(ledger, unit)
        await asyncio.to_thread(running.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await ledger.write_async(put("b")) == "b"

    asyncio.run(call())
    assert has(ledger, "a")


def test_a_refused_unit_whose_caller_is_cancelled_is_nobody_s_unretrieved_exception(
    ledger: Ledger,
) -> None:
    complaints: list[dict[str, Any]] = []

    async def call() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: complaints.append(context)
        )
        with held(ledger):
            task = await queued(
                ledger,
                lambda tx: tx.key_values.put("a", "\ud800", now_s=1),
            )
            task.cancel()
        await ledger.write_async(put("b"))
        with pytest.raises((asyncio.CancelledError, ValueRefused)):
            await task
        del task
        gc.collect()

    asyncio.run(call())
    assert not complaints


def test_several_event_loops_share_one_group(ledger: Ledger) -> None:
    start = threading.Barrier(4)
    results: list[list[str]] = []

    async def write_many(loop: int) -> list[str]:
        return await asyncio.gather(*(ledger.write_async(put(f"{loop}-{n}")) for n in range(25)))

    def run(loop: int) -> None:
        start.wait()
        results.append(asyncio.run(write_many(loop)))

    threads = [threading.Thread(target=run, args=(loop,)) for loop in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    written = [key for keys in results for key in keys]
    assert sorted(written) == sorted(f"{loop}-{n}" for loop in range(4) for n in range(25))
    assert all(has(ledger, key) for key in written)


def test_a_loop_closed_meanwhile_loses_no_unit_and_harms_no_neighbour(ledger: Ledger) -> None:
    loop = asyncio.new_event_loop()
    orphan, neighbour = _AwaitingUnit(put("a"), loop), _WaitingUnit(put("b"))
    with held(ledger):
        ledger._writer.submit(orphan)
        ledger._writer.submit(neighbour)
        loop.close()
    neighbour.done.acquire()

    assert neighbour.outcome() == "b"
    assert has(ledger, "a")
    assert asyncio.run(ledger.write_async(put("c"))) == "c"


def test_a_loop_that_closes_between_a_look_at_it_and_the_answer_harms_nobody(
    ledger: Ledger,
) -> None:
    loop = asyncio.new_event_loop()
    loop.is_closed = lambda: False  # type: ignore[method-assign]  # -- it lies
    with held(ledger):
        ledger._writer.submit(_AwaitingUnit(put("a"), loop))
        loop.close()
    assert ledger.write(put("b")) == "b"
    assert has(ledger, "a")
    del loop.is_closed


def test_an_awaited_write_after_close_is_refused(ledger: Ledger) -> None:
    ledger.close()
    with pytest.raises(Closed):
        asyncio.run(ledger.write_async(put("a")))


def test_units_awaited_when_the_ledger_is_closed_are_done_first(ledger: Ledger) -> None:
    async def call() -> list[str]:
        with held(ledger):
            tasks = [await queued(ledger, put(f"{n}")) for n in range(5)]
            closing = asyncio.ensure_future(asyncio.to_thread(ledger.close))
        assert await closing
        return await asyncio.gather(*tasks)

    assert asyncio.run(call()) == [f"{n}" for n in range(5)]
