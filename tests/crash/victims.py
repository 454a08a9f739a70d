"""The processes that are to die, each a function of a directory and of a way to report.

A victim runs in a process of its own, forked by the nursery, and is killed somewhere; what it
reported until then is all that anybody knows of it. A new case is one function here and one line
in `VICTIMS` at the end: `victim(directory, report, **options)`, with options that fit into JSON.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import apsw
from tests.crash.disks import DISK_NAME, Disk, Strike
from tests.fakes.payments import payment_row

from waiaas.database import (
    CommitUnknown,
    DatabaseError,
    Ledger,
    create_database,
    generate_id,
    open_ledger,
)
from waiaas.database import connection as connection_module
from waiaas.database import writer as writer_module
from waiaas.database.errors import LedgerFull
from waiaas.database.ledger import LEDGER_NAME
from waiaas.database.push import schema_sql
from waiaas.database.snapshot import copy_database
from waiaas.domain.audit import AuditEvent, agent_actor
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    ChainType,
    NetworkType,
)
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import AcceptedRequest, AgentRecord
from waiaas.ports import LedgerTransaction

EVENTS: Final = (
    *("born", "opened", "not opened", "closing", "closed"),
    *("acknowledged", "refused", "rolled back", "full", "unknown"),
    *("told", "stopped", "misread"),
    *("open", "read", "write", "truncate", "sync", "delete"),
)
"""What a victim may report: its stages, what it was told of each unit, what its disk was asked."""

CHANGES: Final = ("open", "write", "truncate", "sync", "delete")
"""What may change a disk."""

RECORD_BYTES: Final = 17
"""One report: the number of its event, and the id of the unit it is about or zeros."""

AGENT: Final = AgentId("01900000-0000-7000-8000-000000000001")
COUNT: Final = "payments"
"""The key of the number of payments, which every unit raises by one."""

THREADS: Final = 3
TASKS: Final = 4
CALLERS: Final = THREADS + TASKS

Unit = Callable[[LedgerTransaction], None]


class Report:
    """Tells the nursery something with one `write`, which a kill cannot cut in two."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, event: str, unit_id: str | None = None) -> None:
        about = bytes(16) if unit_id is None else UUID(unit_id).bytes
        os.write(self._descriptor, bytes([EVENTS.index(event)]) + about)


def reported(record: bytes) -> tuple[str, str]:
    """Return the event of a record, and the id it is about."""
    return EVENTS[record[0]], str(UUID(bytes=record[1:]))


# ── what is written ────────────────────────────────────────────────────────────────────────────


class RefusedByItself(Exception):  # noqa: N818 -- says what happened
    """A unit changed its mind."""


def amount_of(tx_id: str) -> str:
    """Return what a payment is over: it follows from the id, so that rows can be checked."""
    return str(int(tx_id[-8:], 16))


def hire(tx: LedgerTransaction) -> None:
    """Make the one agent, unless there is one."""
    if tx.agents.get(AGENT) is None:
        chain, network = ChainType.SOLANA, NetworkType.LOCALNET
        tx.agents.insert(
            AgentRecord(
                AGENT,
                "a",
                chain,
                network,
                "key",
                AgentStatus.ACTIVE,
                1,
                suspended_at=None,
                suspension_reason=None,
            )
        )


def payment(tx_id: str) -> Unit:
    """Return one unit of work as the pipeline admits one: five rows in as many tables."""
    first, second = halves_of_payment(tx_id)

    def unit(tx: LedgerTransaction) -> None:
        first(tx)
        second(tx)

    return unit


def halves_of_payment(tx_id: str) -> tuple[Unit, Unit]:
    payment_id, amount = TransactionId(tx_id), amount_of(tx_id)

    def first(tx: LedgerTransaction) -> None:
        tx.transactions.insert(payment_row(payment_id, AGENT, amount=amount))
        tx.requests.insert(
            AcceptedRequest(payment_id, AGENT, tx_id, "{}", "hash", None, None, None)
        )

    def second(tx: LedgerTransaction) -> None:
        tx.reservations.hold(payment_id, agent_id=AGENT, asset="native", amount=amount, now_s=1)
        tx.audit.append(
            AuditEvent(
                AuditAction.TX_SIGNED,
                agent_actor(AGENT),
                agent_id=AGENT,
                tx_id=payment_id,
                details={"txHash": "1" * 64},
            ),
            now_s=1,
        )
        tx.key_values.put(COUNT, str(int(tx.key_values.get(COUNT) or 0) + 1), now_s=1)

    return first, second


def refused_payment(tx_id: str) -> Unit:
    """Return a unit that writes all of its rows and then refuses."""

    def unit(tx: LedgerTransaction) -> None:
        payment(tx_id)(tx)
        raise RefusedByItself

    return unit


# ── under load ─────────────────────────────────────────────────────────────────────────────────


def pays(
    directory: Path, report: Report, *, units: int, wal_pages: int, is_copied: bool = False
) -> None:
    """Pay from threads and from tasks at once, close, and wait for the end.

    If *is_copied*, a backup of the ledger is made meanwhile, and another one, and so on.
    """
    _copy_wal_after(wal_pages)
    report("born")
    ledger = open_ledger(directory)
    report("opened")
    ledger.write(hire)
    if is_copied:
        _thread(_copy_again_and_again, directory)
    numbers = iter(range(units))
    callers = [_thread(_pay_and_look, ledger, report, numbers) for _ in range(THREADS)]
    callers.append(
        _thread(lambda *given: asyncio.run(_pay_in_tasks(*given)), ledger, report, numbers)
    )
    for caller in callers:
        caller.join()
    report("closing")
    ledger.close()
    report("closed")
    signal.pause()


def _copy_wal_after(pages: int) -> None:
    """Have the WAL copied after fewer pages than usual: a short life then sees it too."""
    vars(writer_module)["WAL_PAGES_MAX"] = pages


def _thread(target: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments)
    thread.start()
    return thread


def _copy_again_and_again(directory: Path) -> None:
    copy = directory / "copy.db"
    while True:
        copy.unlink(missing_ok=True)
        copy_database(directory / LEDGER_NAME, copy)


def _pay_and_look(ledger: Ledger, report: Report, numbers: Iterator[int]) -> None:
    for number in numbers:
        tx_id = generate_id()
        if number % 8 == 0:
            try:
                ledger.write(refused_payment(tx_id))
            except RefusedByItself:
                report("refused", tx_id)
            continue
        ledger.write(payment(tx_id))
        report("acknowledged", tx_id)
        if number % 8 == 1 and not _can_be_read(ledger, tx_id):
            report("misread", tx_id)


def _can_be_read(ledger: Ledger, tx_id: str) -> bool:
    return ledger.read(lambda tx: tx.transactions.get(TransactionId(tx_id))) is not None


async def _pay_in_tasks(ledger: Ledger, report: Report, numbers: Iterator[int]) -> None:
    async def pay() -> None:
        for _ in numbers:
            tx_id = generate_id()
            await ledger.write_async(payment(tx_id))
            report("acknowledged", tx_id)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(TASKS):
            tasks.create_task(pay())


# ── controls: the same load, by callers who do it wrong ────────────────────────────────────────


def acknowledges_early(directory: Path, report: Report) -> None:
    """Acknowledge inside the unit, before COMMIT."""

    def pay(ledger: Ledger) -> None:
        tx_id = generate_id()

        def unit(tx: LedgerTransaction) -> None:
            payment(tx_id)(tx)
            report("acknowledged", tx_id)

        ledger.write(unit)

    _pay_wrongly(directory, pay)


def commits_twice(directory: Path, report: Report) -> None:
    """Write one payment in two units."""

    def pay(ledger: Ledger) -> None:
        tx_id = generate_id()
        for half in halves_of_payment(tx_id):
            ledger.write(half)
        report("acknowledged", tx_id)

    _pay_wrongly(directory, pay)


def _pay_wrongly(directory: Path, pay: Callable[[Ledger], None]) -> None:
    def go_on(ledger: Ledger) -> None:
        while True:
            pay(ledger)

    ledger = open_ledger(directory)
    ledger.write(hire)
    for _ in range(CALLERS):
        _thread(go_on, ledger)
    signal.pause()


def makes_it_in_steps(directory: Path, report: Report, *, call: int, moment: str) -> None:
    """Make the schema with one commit for each statement, and die on the way."""
    directory.mkdir()
    with Disk(_death(call, moment), on_call=None):
        with create_database(directory / LEDGER_NAME, vfs=DISK_NAME) as connection:
            for statement in schema_sql():
                connection.sqlite.execute(statement)
        report("closed")


# ── opening, on a disk that kills ──────────────────────────────────────────────────────────────


def opens(directory: Path, report: Report) -> None:
    """Open what there is, or make it, and wait for the end."""
    report("born")
    open_ledger(directory)
    report("opened")
    signal.pause()


def opens_and_closes(
    directory: Path, report: Report, *, call: int, moment: str, listing: bool = False
) -> None:
    """Open, pay once and close; die at the disk's *call*-th call that changes something."""
    disk = Disk(_death(call, moment), on_call=report if listing else None)
    with disk, open_ledger(directory, vfs=DISK_NAME) as ledger:
        report("opened")
        ledger.write(hire)
        tx_id = generate_id()
        ledger.write(payment(tx_id))
        report("acknowledged", tx_id)
    report("closed")


def _death(call: int, moment: str) -> Strike:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return Strike(kinds=CHANGES, call=call, moment=moment, act=die)


# ── on a disk that fails ───────────────────────────────────────────────────────────────────────

GROUPS: Final = 2
UNITS_PER_GROUP: Final = 3
PAGES_IN_MEMORY: Final = 10
"""So few that a group does not fit: SQLite then writes to the WAL before COMMIT too."""


def lives_twice(
    directory: Path,
    report: Report,
    *,
    kind: str,
    call: int,
    moment: str,
    error: str,
    for_ever: bool,
    spills: bool,
    listing: bool = False,
) -> None:
    """Open, push, write in groups, copy the WAL, close, and all of it again, without the close.

    One call fails, or all from it on. What each caller was told is reported. An unknown commit
    ends everything at once, as it ends the daemon.
    """
    strike = Strike(
        kinds=(kind,), call=call, moment=moment, act=lambda: _fail(error), for_ever=for_ever
    )
    _copy_wal_after(20)
    if spills:
        _keep_few_pages_in_memory()
    with Disk(strike, on_call=report if listing else None):
        if _live_and_close(directory, report):
            _live_and_close(directory, report, closes=False)


def _fail(error: str) -> None:
    raise {"io": apsw.IOError, "full": apsw.FullError, "cannot open": apsw.CantOpenError}[error](
        "the cable came off"
    )


def _keep_few_pages_in_memory() -> None:
    vars(connection_module)["PRAGMAS"] = tuple(
        (name, str(PAGES_IN_MEMORY), PAGES_IN_MEMORY)
        if name == "cache_size"
        else (name, text, value)
        for name, text, value in connection_module.PRAGMAS
    )


def _live_and_close(directory: Path, report: Report, *, closes: bool = True) -> bool:
    """Return False if that was the end."""
    try:
        ledger = open_ledger(directory, vfs=DISK_NAME)
    except DatabaseError:
        report("not opened")
        return True
    report("opened")
    ledger.add_failure_callback(lambda _failure: report("told"))
    if not _live(ledger, report):
        _report_whether_it_stopped(ledger, report)
        return False
    if closes:
        report("closing")
        ledger.close()
        report("closed")
    return True


def _live(ledger: Ledger, report: Report) -> bool:
    """Write, and look at what was acknowledged; return False once a commit is unknown."""
    try:
        ledger.write(hire)
    except CommitUnknown:
        return False
    except DatabaseError:
        return True  # Nobody to pay for in this life.
    for _ in range(GROUPS):
        told = asyncio.run(_pay_together(ledger, report))
        if "unknown" in told.values():
            return False
        for tx_id, event in told.items():
            _look(ledger, report, tx_id, is_expected=event == "acknowledged")
    return True


async def _pay_together(ledger: Ledger, report: Report) -> dict[str, str]:
    """Have several units in one group, one of which refuses; return what each was told."""
    all_wait = threading.Event()

    async def pay(tx_id: str, unit: Unit) -> tuple[str, str]:
        try:
            await ledger.write_async(unit)
        except RefusedByItself:
            event = "refused"
        except CommitUnknown:
            event = "unknown"
        except LedgerFull:
            event = "full"
        except DatabaseError:
            event = "rolled back"
        else:
            event = "acknowledged"
        report(event, tx_id)
        return tx_id, event

    async def hold_the_writer() -> None:
        with suppress(DatabaseError):
            await ledger.write_async(lambda _tx: all_wait.wait())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hold_the_writer())
        paying = []
        for number in range(UNITS_PER_GROUP):
            tx_id = generate_id()
            unit = (refused_payment if number == 1 else payment)(tx_id)
            paying.append(tasks.create_task(pay(tx_id, unit)))
        asyncio.get_running_loop().call_soon(all_wait.set)  # Behind the first step of each task.
    return dict(task.result() for task in paying)


def _look(ledger: Ledger, report: Report, tx_id: str, *, is_expected: bool) -> None:
    """Read back: an error is an answer, something else than what was told is not."""
    try:
        found = _can_be_read(ledger, tx_id)
    except DatabaseError:
        return
    if found is not is_expected:
        report("misread", tx_id)


def _report_whether_it_stopped(ledger: Ledger, report: Report) -> None:
    tx_id = generate_id()
    try:
        ledger.write(payment(tx_id))
    except CommitUnknown:
        report("stopped", tx_id)


VICTIMS: Final[dict[str, Callable[..., None]]] = {
    "pays": pays,
    "acknowledges early": acknowledges_early,
    "commits twice": commits_twice,
    "makes it in steps": makes_it_in_steps,
    "opens": opens,
    "opens and closes": opens_and_closes,
    "lives twice": lives_twice,
}
"""Everything the nursery can bring up, by name; one line for each case.

An upgrade needs none: it is `opens`, or `opens and closes`, on the directory of an older release
(`begin` in `test_crash_opening.py`).
"""
