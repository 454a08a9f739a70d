"""Closing: what was queued is done or refused, never lost; afterwards every use is refused."""

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from waiaas.database import Ledger, open_ledger
from waiaas.database.errors import Closed, DatabaseError
from waiaas.database.ledger import _WaitingUnit
from waiaas.ports import LedgerTransaction

ROUNDS = 50
CALLERS = 16


def put(key: str) -> Callable[[LedgerTransaction], str]:
    def unit(tx: LedgerTransaction) -> str:
        tx.key_values.put(key, key, now_s=1)
        return key

    return unit


def test_after_close_every_use_is_refused(ledger: Ledger) -> None:
    ledger.close()
    ran: list[str] = []
    with pytest.raises(Closed):
        ledger.write(lambda _tx: ran.append("ran"))
    with pytest.raises(Closed):
        ledger.read(lambda _tx: ran.append("ran"))
    assert not ran


def test_close_leaves_an_empty_wal(ledger: Ledger) -> None:
    ledger.write(put("a"))
    assert ledger.close()
    wal = Path(f"{ledger.path}-wal")
    assert not wal.exists() or wal.stat().st_size == 0


def test_closing_twice_is_harmless_and_answers_alike(ledger: Ledger) -> None:
    assert ledger.close()
    assert ledger.close()


def test_the_second_of_two_closers_returns_when_the_ledger_is_closed(
    ledger: Ledger, directory: Path
) -> None:
    start = threading.Barrier(4)
    reopened: list[bool] = []

    def close() -> None:
        start.wait()
        ledger.close()
        reopened.append(not ledger._writer._thread.is_alive())

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reopened == [True] * 4
    with open_ledger(directory):
        pass


def test_leaving_the_block_closes_also_when_something_was_raised(directory: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_ledger(directory) as ledger:
        raise ZeroDivisionError
    with pytest.raises(Closed):
        ledger.write(put("a"))
    with open_ledger(directory):
        pass


def test_units_queued_before_close_are_done(ledger: Ledger, directory: Path) -> None:
    running, go_on = threading.Event(), threading.Event()

    def wait(_tx: LedgerTransaction) -> None:
        running.set()
        go_on.wait()

    units = [_WaitingUnit(wait), *[_WaitingUnit(put(f"{n}")) for n in range(200)]]
    for unit in units:
        ledger._writer.submit(unit)
    running.wait()
    closing = threading.Thread(target=ledger.close)
    closing.start()
    go_on.set()
    closing.join()

    assert [unit.outcome() for unit in units[1:]] == [f"{n}" for n in range(200)]
    with open_ledger(directory) as reopened:
        _assert_stored(reopened, [f"{n}" for n in range(200)], wanted=True)


def test_once_closing_has_begun_no_more_units_are_taken(ledger: Ledger) -> None:
    running, go_on = threading.Event(), threading.Event()

    def wait(_tx: LedgerTransaction) -> None:
        running.set()
        go_on.wait()

    unit = _WaitingUnit(wait)
    ledger._writer.submit(unit)
    running.wait()
    closing = threading.Thread(target=ledger.close)
    closing.start()
    while ledger._writer._queue.empty():  # Until the request to stop is in it.
        closing.join(timeout=0.001)
    with pytest.raises(Closed):
        ledger._writer.submit(_WaitingUnit(put("a")))
    go_on.set()
    closing.join()
    assert unit.outcome() is None


def test_close_ends_although_callers_never_stop_writing(ledger: Ledger) -> None:
    start = threading.Barrier(CALLERS + 1)

    def write_for_ever() -> None:
        start.wait()
        while True:
            try:
                ledger.write(put("a"))
            except Closed:
                return

    threads = [threading.Thread(target=write_for_ever) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    start.wait()
    ledger.write(put("b"))
    assert ledger.close()
    for thread in threads:
        thread.join()


def _write_until_closed(
    ledger: Ledger, start: threading.Barrier, name: str, done: list[str], refused: list[str]
) -> None:
    start.wait()
    n = 0
    while not refused:
        key = f"{name}-{n}"
        try:
            done.append(ledger.write(put(key)))
        except Closed:
            refused.append(key)
        n += 1


def test_a_unit_written_while_the_ledger_closes_is_done_or_refused_and_never_lost(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "data"
    for turn in range(ROUNDS):
        done: list[list[str]] = [[] for _ in range(CALLERS)]
        refused: list[list[str]] = [[] for _ in range(CALLERS)]
        ledger = open_ledger(directory)
        start = threading.Barrier(CALLERS + 1)
        threads = [
            threading.Thread(
                target=_write_until_closed,
                args=(ledger, start, f"{turn}-{caller}", done[caller], refused[caller]),
            )
            for caller in range(CALLERS)
        ]
        for thread in threads:
            thread.start()
        start.wait()
        if turn % 2:
            ledger.write(put("somewhere in the middle"))
        ledger.close()
        for thread in threads:
            thread.join()

        assert all(len(keys) == 1 for keys in refused)
        with open_ledger(directory) as reopened:
            _assert_stored(reopened, [key for keys in done for key in keys], wanted=True)
            _assert_stored(reopened, [key for keys in refused for key in keys], wanted=False)


def _assert_stored(ledger: Ledger, keys: list[str], *, wanted: bool) -> None:
    found = ledger.read(lambda tx: [tx.key_values.get(key) is not None for key in keys])
    assert found == [wanted] * len(keys)


# ── interrupted ────────────────────────────────────────────────────────────────────────────────

INTERRUPTED_CLOSE = """
import _thread, sys, threading
from waiaas.database import AlreadyOpen, open_ledger
ledger = open_ledger(sys.argv[1])
begun, may_end = threading.Event(), threading.Event()

def slow(tx):
    begun.set()
    may_end.wait()
    tx.key_values.put("slow", "done", now_s=1)

threading.Thread(target=ledger.write, args=(slow,)).start()
begun.wait()
closing = ledger._writer._ended.wait
def interrupted():
    ledger._writer._ended.wait = closing
    raise KeyboardInterrupt
ledger._writer._ended.wait = interrupted
try:
    ledger.close()
except KeyboardInterrupt:
    print("interrupted")
try:
    open_ledger(sys.argv[1])
except AlreadyOpen:
    print("still owned")
may_end.set()
print(ledger.close())
with open_ledger(sys.argv[1]) as again:
    print(again.read(lambda tx: tx.key_values.get("slow")))
"""


def test_an_interrupted_close_keeps_the_directory_until_the_writer_has_ended(
    directory: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_CLOSE, str(directory)],
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )
    assert done.stdout.split("\n") == ["interrupted", "still owned", "True", "done", ""]


def test_an_interrupted_opening_leaves_neither_a_thread_nor_a_lock(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = threading.active_count()
    get = queue.SimpleQueue.get

    class Interrupted(queue.SimpleQueue):  # type: ignore[type-arg]  # -- stands for the opener's
        def get(self, *arguments: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            return get(self, *arguments)

    monkeypatch.setattr("waiaas.database.writer.queue.SimpleQueue", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_ledger(directory)
    monkeypatch.undo()
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.key_values.put("a", "b", now_s=1))
    assert threading.active_count() == threads


def test_a_reader_whose_close_fails_does_not_keep_the_writer_open(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(directory)
    ledger.read(lambda tx: tx.agents.count())

    def fail(_connection: object) -> bool:
        raise DatabaseError("no")

    monkeypatch.setattr("waiaas.database.ledger.close_database", fail)
    with pytest.raises(DatabaseError, match="no"):
        ledger.close()
    monkeypatch.undo()
    with open_ledger(directory):
        pass


# ── misuse ─────────────────────────────────────────────────────────────────────────────────────


async def _asynchronous(tx: LedgerTransaction) -> None:
    tx.key_values.put("a", "b", now_s=1)


def _generating(tx: LedgerTransaction) -> Iterator[None]:
    tx.key_values.put("a", "b", now_s=1)
    yield


@pytest.mark.parametrize("function", [_asynchronous, _generating])
def test_what_only_makes_a_coroutine_or_generator_is_refused(
    ledger: Ledger, function: Callable[[LedgerTransaction], object]
) -> None:
    for use in (ledger.write, ledger.read):
        with pytest.raises(DatabaseError, match="plain function"):
            use(function)


def test_a_transaction_kept_from_a_read_is_of_no_use(ledger: Ledger) -> None:
    kept = ledger.read(lambda tx: tx)
    with pytest.raises(DatabaseError, match="must not be kept"):
        kept.agents.count()


FORKED = """
import os, sys
from waiaas.database import DatabaseError, open_ledger
ledger = open_ledger(sys.argv[1])
uses = (lambda: ledger.write(lambda tx: None), lambda: ledger.read(lambda tx: None), ledger.close)
told_r, told_w = os.pipe()
end_r, end_w = os.pipe()
child = os.fork()
if not child:
    os.close(end_w)
    for use in uses:
        try:
            use()
        except DatabaseError as error:
            os.write(told_w, b"refused ")
    os.write(told_w, b"|")
    os.read(end_r, 1)
    os._exit(0)
told = b""
while not told.endswith(b"|"):
    told += os.read(told_r, 100)
print(told.decode())
ledger.close()
with open_ledger(sys.argv[1]):
    print("opened again, though the child lives")
os.close(end_w)
os.waitpid(child, 0)
"""


def test_a_forked_process_can_neither_use_the_ledger_nor_keep_its_directory(
    directory: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(directory)],
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )
    lines = ["refused refused refused |", "opened again, though the child lives", ""]
    assert done.stdout.split("\n") == lines
