"""How fast the ledger is beside the bare driver, as ratios from one interleaved run.

A unit of work inserts a transaction, appends an audit row, reads the transaction back and moves its
status by compare-and-set. The ledger does it through `write` or `write_async`; the driver (apsw, in
one thread, with one cursor) then does as many units, with the SQL text and the parameters that the
ledger's unit was seen to execute, the same PRAGMAs, and as many commits as the ledger needed. Only
the audit row's link is made for every unit, for there is one that fits; its hash is a made-up one.

    python benchmarks/ledger.py [--seconds 30] [--directory DIR]

The files must be on a real disk: on tmpfs a durable commit costs nothing and the figures mean
nothing. The default is a temporary folder in the repository.
"""

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import uvloop

from waiaas.database import (
    DatabaseConnection,
    Ledger,
    create_database,
    generate_id,
    open_ledger,
    push_schema,
)
from waiaas.database.run import Run
from waiaas.database.statements import Parameters, Statement
from waiaas.database.tables import Tables
from waiaas.domain.audit import AuditEvent, agent_actor
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    ChainType,
    NetworkType,
    PolicyTier,
    TransactionStatus,
    TransactionType,
)
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import AgentRecord, TransactionRecord
from waiaas.ports import LedgerTransaction

NOW_S: Final = 1_800_000_000
CALLERS: Final = 16
ROUNDS_MIN: Final = 3
SECONDS_DEFAULT: Final = 30.0
IDS_PER_ROUND: Final = 20_000
UNITS_ALONE: Final = 500
UNITS_TOGETHER: Final = 3_200

AGENT: Final = AgentRecord(
    id=AgentId("01990000-0000-7000-8000-000000000001"),
    name="bench",
    chain=ChainType.SOLANA,
    network=NetworkType.LOCALNET,
    public_key="9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
    status=AgentStatus.ACTIVE,
    created_at=NOW_S,
    suspended_at=None,
    suspension_reason=None,
)


def unit_of_work(tx_id: TransactionId, tx: LedgerTransaction) -> None:
    """Do what every unit does."""
    tx.transactions.insert(
        TransactionRecord(
            id=tx_id,
            agent_id=AGENT.id,
            session_id=None,
            chain=ChainType.SOLANA,
            type=TransactionType.TRANSFER,
            amount="1000000",
            to_address="4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T",
            token_mint=None,
            contract_address=None,
            method_signature=None,
            spender_address=None,
            approved_amount=None,
            parent_id=None,
            batch_index=None,
            status=TransactionStatus.PENDING,
            tier=PolicyTier.INSTANT,
            tx_hash=None,
            created_at=NOW_S,
            executed_at=None,
            error=None,
            queued_at=None,
        )
    )
    tx.audit.append(
        AuditEvent(
            action=AuditAction.TX_REQUESTED,
            actor=agent_actor(AGENT.id),
            agent_id=AGENT.id,
            tx_id=tx_id,
            details={"type": "TRANSFER", "tier": "INSTANT", "amount": "1000000", "to": "1" * 32},
        ),
        now_s=NOW_S,
    )
    found = tx.transactions.get(tx_id)
    assert found is not None
    moved = tx.transactions.compare_and_set_status(
        tx_id, old=TransactionStatus.PENDING, new=TransactionStatus.EXECUTING
    )
    assert moved


def next_unit() -> Callable[[LedgerTransaction], None]:
    """Return a unit with a new id."""
    return partial(unit_of_work, TransactionId(generate_id()))


class Measured(NamedTuple):
    """One run of one side."""

    units: int
    commits: int
    seconds: float

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.units / self.seconds


# ── our side ───────────────────────────────────────────────────────────────────────────────────


class OurSide:
    """A ledger whose commits are counted, durable or not."""

    def __init__(self, ledger: Ledger, *, durable: bool) -> None:
        self._ledger = ledger
        self._commits = 0
        # There is no production switch for either; the writer is idle, so its connection is ours.
        sqlite = ledger._writer._sqlite  # noqa: SLF001 -- see above
        if not durable:
            sqlite.execute("PRAGMA synchronous=NORMAL")
        sqlite.set_commit_hook(self._count)
        ledger.write(lambda tx: tx.agents.insert(AGENT))

    def _count(self) -> bool:
        self._commits += 1
        return False

    def measure(self, work: Callable[[Ledger, int], float], units: int) -> Measured:
        """Run *work*, which returns the seconds it took."""
        commits = self._commits
        seconds = work(self._ledger, units)
        return Measured(units, self._commits - commits, seconds)


def one_thread(ledger: Ledger, units: int) -> float:
    """Write from the calling thread."""
    start = time.perf_counter()
    for _ in range(units):
        ledger.write(next_unit())
    return time.perf_counter() - start


def many_threads(ledger: Ledger, units: int) -> float:
    """Write from CALLERS threads."""
    ready = threading.Barrier(CALLERS + 1)

    def call() -> None:
        ready.wait()
        for _ in range(units // CALLERS):
            ledger.write(next_unit())

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def many_tasks(ledger: Ledger, units: int) -> float:
    """Write from CALLERS tasks on one event loop, the daemon's."""

    async def call() -> None:
        for _ in range(units // CALLERS):
            await ledger.write_async(next_unit())

    async def call_together() -> float:
        start = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CALLERS):
                tasks.create_task(call())
        return time.perf_counter() - start

    return uvloop.run(call_together())


# ── the driver's side ──────────────────────────────────────────────────────────────────────────


class Seen(NamedTuple):
    """A statement as the ledger executed it, and which of its parameters were the unit's id."""

    sql: str
    parameters: Parameters
    id_names: tuple[str, ...]

    @property
    def is_link(self) -> bool:
        """Whether it adds a link of the audit chain, which must continue the one before."""
        return "previous_hash" in self.parameters


MADE_UP_HASH: Final = "a" * 64


class DriverSide:
    """The same statements on a bare cursor."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.connection: Final[DatabaseConnection] = create_database(path)
        push_schema(self.connection)
        if durable:
            self.connection.sqlite.execute("PRAGMA synchronous=FULL")
        Tables(self._run).agents.insert(AGENT)
        self._statements = _statements_of_a_unit(self._run)
        self._cursor: apsw.Cursor = self.connection.sqlite.cursor()

    def _run(self, statement: Statement, parameters: Parameters | None = None, /) -> list[Any]:
        return self.connection.db.execute(statement, parameters)

    def measure(self, units: int, commits: int) -> Measured:
        """Do *units* in *commits* groups of nearly the same size."""
        execute = self._cursor.execute
        statements = self._statements
        start = time.perf_counter()
        for group in range(commits):
            execute("BEGIN IMMEDIATE")
            for _ in range(group * units // commits, (group + 1) * units // commits):
                tx_id = generate_id()
                rows: list[Any] = []
                for seen in statements:
                    given = {**seen.parameters, **dict.fromkeys(seen.id_names, tx_id)}
                    if seen.is_link:
                        given |= _link_after(*rows[0])
                    rows = execute(seen.sql, given).fetchall()
            execute("COMMIT")
        return Measured(units, commits, time.perf_counter() - start)


def _link_after(audit_id: int, sequence: int, head: str) -> dict[str, str | int]:
    """Return the link of an audit row, from what its insert returned."""
    return {
        "sequence": sequence + 1,
        "audit_id": audit_id,
        "previous_hash": head,
        "hash": MADE_UP_HASH,
    }


def _statements_of_a_unit(run: Run) -> list[Seen]:
    """Run one unit and note the statements it executes."""
    tx_id = TransactionId(generate_id())
    seen: list[Seen] = []

    def note(statement: Statement, parameters: Parameters | None = None, /) -> list[Any]:
        given = {} if parameters is None else parameters
        names = tuple(name for name, value in given.items() if value == tx_id)
        seen.append(Seen(statement.compiled.sql, given, names))
        return run(statement, parameters)

    unit_of_work(tx_id, Tables(note))
    return seen


# ── the run ────────────────────────────────────────────────────────────────────────────────────


class Pair(NamedTuple):
    """Both sides of one row, from one round."""

    ours: Measured
    driver: Measured


WORK: Final = (
    ("1 caller, write", one_thread, UNITS_ALONE),
    (f"{CALLERS} threads, write", many_threads, UNITS_TOGETHER),
    (f"{CALLERS} tasks, write_async", many_tasks, UNITS_TOGETHER),
)


@contextmanager
def sides(folder: Path, *, durable: bool) -> Iterator[tuple[OurSide, DriverSide]]:
    """Open both sides in *folder*."""
    folder.mkdir()
    with open_ledger(folder / "ours") as ledger:
        driver = DriverSide(folder / "driver.db", durable=durable)
        with driver.connection:
            yield OurSide(ledger, durable=durable), driver


def run(folder: Path, *, seconds: float) -> tuple[dict[tuple[str, bool], list[Pair]], int]:
    """Measure every row in turn, round after round, until the time is up."""
    found: dict[tuple[str, bool], list[Pair]] = {}
    end = time.perf_counter() + seconds
    rounds = 0
    with (
        sides(folder / "durable", durable=True) as durable,
        sides(folder / "not-durable", durable=False) as not_durable,
    ):
        while rounds < ROUNDS_MIN or time.perf_counter() < end:
            for is_durable, (ours, driver) in ((True, durable), (False, not_durable)):
                for name, work, units in WORK:
                    done = ours.measure(work, units)
                    pair = Pair(done, driver.measure(units, done.commits))
                    found.setdefault((name, is_durable), []).append(pair)
            rounds += 1
    return found, rounds


def id_rates() -> tuple[float, float]:
    """Return how many of our ids, and of uuid4's, are made in a second."""

    def rate(make: Callable[[], str]) -> float:
        start = time.perf_counter()
        for _ in range(IDS_PER_ROUND):
            make()
        return IDS_PER_ROUND / (time.perf_counter() - start)

    pairs = [
        (rate(generate_id), rate(lambda: str(uuid.uuid4())))  # noqa: TID251 -- to compare with
        for _ in range(ROUNDS_MIN * 2)
    ]
    return statistics.median(ours for ours, _ in pairs), statistics.median(v4 for _, v4 in pairs)


def file_system(path: Path) -> str:
    """Return the type of the file system that *path* is on."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    inside = [(len(at), kind) for _, at, kind, *_ in mounts if path.is_relative_to(at)]
    return max(inside)[1]


def print_table(found: dict[tuple[str, bool], list[Pair]]) -> None:
    """Print the medians of all rounds; the ratio is the median of the rounds' ratios."""
    print(f"{'':26}{'commit':>12}{'units/commit':>14}{'ledger/s':>11}{'driver/s':>11}{'ratio':>8}")
    for (name, is_durable), pairs in found.items():
        grouping = statistics.median(pair.ours.units / pair.ours.commits for pair in pairs)
        ours = statistics.median(pair.ours.rate for pair in pairs)
        driver = statistics.median(pair.driver.rate for pair in pairs)
        ratio = statistics.median(pair.ours.rate / pair.driver.rate for pair in pairs)
        commit = "durable" if is_durable else "not durable"
        print(f"{name:26}{commit:>12}{grouping:>14.1f}{ours:>11,.0f}{driver:>11,.0f}{ratio:>8.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The ledger's rate beside the bare driver's.")
    parser.add_argument("--seconds", type=float, default=SECONDS_DEFAULT)
    parser.add_argument("--directory", type=Path, default=Path(__file__).resolve().parents[1])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waiaas-bench-", dir=options.directory) as name:
        folder = Path(name)
        found, rounds = run(folder, seconds=options.seconds)
        kind = file_system(folder)
        print(f"{rounds} rounds on {kind}, SQLite {apsw.SQLITE_VERSION_NUMBER}, apsw, medians\n")
        print_table(found)
    ours, uuid4 = id_rates()
    print(f"\n{'generate_id':26}{ours:>12,.0f}/s   {ours / uuid4:.1f} times uuid4 ({uuid4:,.0f}/s)")


if __name__ == "__main__":
    main()
