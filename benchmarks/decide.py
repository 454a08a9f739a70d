"""What a decision costs: alone, beside small and large ledgers, and as a durable admission.

    python benchmarks/decide.py [--seconds 30] [--rows 1000000] [--directory DIR]

*alone*: the pure evaluation of a payment under 20 rules, in one thread.

*beside*: everything a decision reads, and its evaluation, in a read of the ledger: rules, money in
flight, four windows, the number of requests. Once it allows, once it denies and has to say from
when there is room. Two ledgers take turns: one of 10^4 rows, and one of `--rows` in which the agent
has up to 100,000 payments in the window of a month.

*admissions*: `admit` in process, from 1, 16 and 64 tasks of one event loop, every one durable
before it is answered; *driver* executes the statements of one such admission on a bare apsw cursor,
in as many commits as the ledger needed. Both begin a round with nothing under way and end it with
320 payments that are: an agent has few, and at most 1,000. Ratios are of one round; medians of all
are printed. *CPU* is the processor time of the process, which others on the machine do not take.

The files are made in a directory of their own below --directory (the repository by default).
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import uvloop

from waiaas.database import DatabaseConnection, Ledger, create_database, open_ledger, push_schema
from waiaas.database.audit import Tail
from waiaas.database.ids import generate_id
from waiaas.database.remembered import Remembered
from waiaas.database.statements import Parameters, Statement
from waiaas.database.tables import Tables
from waiaas.domain.assets import Network
from waiaas.domain.clock import ClockDoubt
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType, PolicyType
from waiaas.domain.ids import AgentId, PolicyId, SessionId
from waiaas.domain.money import NATIVE
from waiaas.domain.records import (
    UNUSED_SESSION,
    AgentRecord,
    PolicyRecord,
    SessionRecord,
    SessionUse,
)
from waiaas.domain.request import Transfer
from waiaas.pipeline.admit import AdmissionRules, Caller, admit
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.usage import LedgerUsage
from waiaas.policy.evaluate import evaluate
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.usage import InFlight
from waiaas.policy.verdict import Allow, Deny
from waiaas.ports import Ledger as LedgerPort
from waiaas.ports import LedgerTransaction, Value

NOW_S: Final = 1_760_000_000
SMALL_ROWS: Final = 10_000
ROWS_DEFAULT: Final = 1_000_000
SECONDS_DEFAULT: Final = 30.0
IN_WINDOW: Final = 100_000
EACH_S: Final = 20
"""So many seconds lie between two payments of an agent: 100,000 fit into a month."""
TABLES_OF_A_PAYMENT: Final = 4
DECISIONS_PER_TURN: Final = 200
ROUNDS_MIN: Final = 3
CALLERS: Final = (1, 16, 64)
ADMISSIONS: Final = {1: 100, 16: 320, 64: 320}

RECIPIENT: Final = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
OTHERS: Final = tuple(f"So{digit}1111111111111111111111111111111111111112" for digit in "1234")
LOCALNET: Final = Network(ChainType.SOLANA, NetworkType.LOCALNET)
WAITS: Final = WaitDefaults()
HUGE: Final = str(2**256 - 1)


def agent_id(number: int) -> AgentId:
    """Return the id of one of the agents of this benchmark."""
    return AgentId(f"01990000-0000-7000-8000-{number:012x}")


AGENT: Final = agent_id(0)
SESSION: Final = SessionId("01990000-0000-7000-9000-000000000000")


def policy(kind: PolicyType, rules: dict[str, Any]) -> PolicyRecord:
    """Return a stored rule of the agent."""
    return PolicyRecord(PolicyId(generate_id()), AGENT, kind, json.dumps(rules), 0, 1, 1, 1)


def limit(**bounds: str) -> PolicyRecord:
    """Return a SPENDING_LIMIT of the native coin."""
    return policy(PolicyType.SPENDING_LIMIT, {"asset": NATIVE, "instant_max": HUGE, **bounds})


WINDOWS: Final = dict.fromkeys(("hourly_max", "daily_max", "weekly_max", "monthly_max"), HUGE)
RULES: Final = (
    limit(**WINDOWS),
    policy(PolicyType.RATE_LIMIT, {"max_requests": 1000, "window_seconds": 3600}),
    policy(PolicyType.WHITELIST, {"addresses": [RECIPIENT]}),
)
TWENTY_RULES: Final = (
    *(limit(**WINDOWS) for _ in range(5)),
    *(
        policy(PolicyType.RATE_LIMIT, {"max_requests": 1000, "window_seconds": 3600 + n})
        for n in range(5)
    ),
    *(policy(PolicyType.WHITELIST, {"addresses": [RECIPIENT, *OTHERS[:n]]}) for n in range(5)),
    *(
        policy(
            PolicyType.TIME_RESTRICTION,
            {
                "timezone": "Europe/Berlin",
                "windows": [{"days": [day], "start": "00:00", "end": "24:00"} for day in DAYS],
            },
        )
        for DAYS in [("mon", "tue", "wed", "thu", "fri", "sat", "sun")] * 5
    ),
)


# ── alone ──────────────────────────────────────────────────────────────────────────────────────


class Unused:
    """The usage of an agent that has done nothing: `waiaas.policy.usage.Usage`."""

    def in_flight(self, asset: str) -> InFlight:
        """Nothing is."""
        del asset
        return InFlight(0, 0)

    def spent_after(self, asset: str, since_s: int) -> int:
        """Nothing was."""
        del asset, since_s
        return 0

    def spent_so_far(self, asset: str, since_s: int, base_units: int) -> int:
        """Never asked, for nothing was spent."""
        raise AssertionError((asset, since_s, base_units))

    def admitted_after(self, since_s: int) -> int:
        """None were."""
        del since_s
        return 0

    def admitted_at(self, place: int) -> int | None:
        """None was."""
        del place
        return None

    def session(self) -> SessionUse:
        """It did nothing either."""
        return UNUSED_SESSION


def evaluations_per_second() -> float:
    """Return how often a payment is evaluated under 20 rules."""
    count = 500
    start = time.perf_counter()
    for _ in range(count):
        verdict = evaluate(
            Transfer(RECIPIENT, 1),
            network=LOCALNET,
            policies=TWENTY_RULES,
            usage=Unused(),
            waits=WAITS,
            now_s=NOW_S,
        )
        assert isinstance(verdict, Allow)
    return count / (time.perf_counter() - start)


# ── beside a ledger ────────────────────────────────────────────────────────────────────────────

FILL: Final = (
    "DELETE FROM temp.payments",
    """INSERT INTO temp.payments (i, id, at)
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)
    SELECT i, printf('01990000-%04x-7000-8%03x-%012x', :agent / 4096, :agent % 4096, i),
        :now - (:count - 1 - i) * :each FROM n""",
    """INSERT INTO transactions (id, agent_id, chain, type, amount, to_address, status, tier,
    created_at, tx_hash)
    SELECT id, :agent_id, 'solana', 'TRANSFER', '1000', 'to', 'CONFIRMED', 'INSTANT', at, id
    FROM temp.payments""",
    """INSERT INTO requests (tx_id, agent_id, request, request_sha256, admitted_at)
    SELECT id, :agent_id, '{}', 'sha', at FROM temp.payments""",
    """INSERT INTO reservations (tx_id, agent_id, asset, amount, state, created_at, settled_at)
    SELECT id, :agent_id, 'native', '1000', 'SPENT', at, at FROM temp.payments""",
    """INSERT INTO spent_totals (agent_id, asset, settled_at, total)
    SELECT :agent_id, 'native', at, (i + 1) * 1000 || '' FROM temp.payments""",
)


def insert_agent(tables: LedgerTransaction, number: int) -> None:
    """Insert an agent."""
    tables.agents.insert(
        AgentRecord(
            agent_id(number), "bench", ChainType.SOLANA, NetworkType.LOCALNET, f"key {number}",
            AgentStatus.ACTIVE, NOW_S, suspended_at=None, suspension_reason=None)
    )  # fmt: skip


def insert_first_agent(tables: LedgerTransaction, rules: Sequence[PolicyRecord]) -> None:
    """Insert the agent that asks, with its session and its rules."""
    insert_agent(tables, 0)
    far_s = NOW_S + 10**8
    tables.sessions.insert(SessionRecord(SESSION, AGENT, "hash", far_s, None, far_s, NOW_S, None))
    for rule in rules:
        tables.policies.insert(rule)


def fill(path: Path, *, rows: int) -> None:
    """Write a ledger of so many rows; up to 100,000 payments are the first agent's."""
    payments = rows // TABLES_OF_A_PAYMENT
    with create_database(path) as connection:
        push_schema(connection)
        connection.sqlite.execute("PRAGMA synchronous=OFF")
        connection.sqlite.execute("CREATE TEMP TABLE payments (i INTEGER, id TEXT, at INTEGER)")
        tables = Tables(connection.db.execute)
        with connection.db.transaction():
            insert_first_agent(tables, RULES)
            number = 0
            while payments > 0:
                count = min(payments, IN_WINDOW)
                if number:
                    insert_agent(tables, number)
                given = {
                    "agent": number,
                    "agent_id": agent_id(number),
                    "count": count,
                    "now": NOW_S,
                    "each": EACH_S,
                }
                for sql in FILL:
                    connection.sqlite.execute(sql, given)
                payments -= count
                number += 1


def decide(tx: LedgerTransaction, *, rules: Sequence[PolicyRecord] | None) -> Allow | Deny:
    """Do what an admission does to come to its verdict; with *rules* in place of the stored."""
    stored = tx.policies.applying_to(AGENT)
    return evaluate(
        Transfer(RECIPIENT, 1),
        network=LOCALNET,
        policies=stored if rules is None else rules,
        usage=LedgerUsage(tx, AGENT),
        waits=WAITS,
        now_s=NOW_S,
    )


TIGHT: Final = (limit(monthly_max="1000"),)
"""So little that nearly all of the window has to leave first."""


class Beside(NamedTuple):
    """One kind of decision beside one ledger."""

    name: str
    ledger: Ledger
    rules: Sequence[PolicyRecord] | None
    expected: type[Allow] | type[Deny]
    taken_s: list[float]
    cpu_s: list[float]
    """Of this thread alone: what others do on the machine does not count."""

    def turn(self) -> None:
        """Decide many times, and note how long each took."""
        for _ in range(DECISIONS_PER_TURN):
            start, cpu_start = time.perf_counter(), time.thread_time()
            verdict = self.ledger.read(partial(decide, rules=self.rules))
            self.cpu_s.append(time.thread_time() - cpu_start)
            self.taken_s.append(time.perf_counter() - start)
            assert isinstance(verdict, self.expected)

    def figures(self) -> tuple[float, float, float]:
        """Return the columns of its row."""
        taken, cpu = self.taken_s, self.cpu_s
        return percentile_us(taken, 50), percentile_us(taken, 99), percentile_us(cpu, 99)


def percentile_us(taken_s: Sequence[float], hundredths: int) -> float:
    """Return a percentile in microseconds."""
    return sorted(taken_s)[len(taken_s) * hundredths // 100] * 1e6


def sizes_in_bytes(path: Path) -> tuple[int, int]:
    """Return the size of a ledger's file, and of that what `spent_totals` and its index take."""
    sqlite = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    [(totals,)] = sqlite.execute(
        """SELECT sum(pgsize) FROM dbstat
        WHERE name IN ('spent_totals', 'sqlite_autoindex_spent_totals_1')"""
    )
    sqlite.close()
    return path.stat().st_size, totals


def print_beside(folder: Path, *, rows: int, seconds: float) -> None:
    """Measure decisions beside a small and a large ledger, in turns, and print them."""
    start = time.perf_counter()
    for name, count in (("small", SMALL_ROWS), ("large", rows)):
        (folder / name).mkdir()
        fill(folder / name / "ledger.db", rows=count)
    filled_s = time.perf_counter() - start
    size, totals = sizes_in_bytes(folder / "large" / "ledger.db")
    print(f"\nfilled in {filled_s:.0f} s; the large file has {size / 1e6:,.0f} MB")
    payments = rows // TABLES_OF_A_PAYMENT
    print(f"spent_totals: {totals / payments:.0f} of {size / payments:.0f} bytes for a payment")
    with open_ledger(folder / "small") as small, open_ledger(folder / "large") as large:
        kinds = [
            Beside(name, ledger, rules, expected, [], [])
            for name, rules, expected in (("allowed", None, Allow), ("denied", TIGHT, Deny))
            for ledger in (small, large)
        ]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for kind in kinds:
                kind.turn()
        print(f"{'a decision, µs':18}{'p50':>10}{'p99':>10}{'p99 CPU':>10}   beside")
        for kind in kinds:
            of = SMALL_ROWS if kind.ledger is small else rows
            shown = "".join(f"{each:>10.0f}" for each in kind.figures())
            print(f"{kind.name:18}{shown}   {of:,} rows")
        for near, far in (kinds[:2], kinds[2:]):
            pairs = zip(far.figures(), near.figures(), strict=True)
            shown = "".join(f"{large_us / small_us:>10.2f}" for large_us, small_us in pairs)
            print(f"{'ratio, ' + near.name:18}{shown}")


# ── admissions ─────────────────────────────────────────────────────────────────────────────────


class Clock:
    """A clock that stands still: `waiaas.ports.GuardedClock`."""

    def now_s(self) -> int:
        """Return the second of this benchmark."""
        return NOW_S

    def monotonic_s(self) -> float:
        """Return the real one; nobody asks."""
        return time.perf_counter()

    def doubt(self) -> ClockDoubt | None:
        """Believe it."""
        return None

    async def sleep(self, seconds: float) -> None:
        """Return at once; nobody waits."""
        del seconds


async def admit_one(ledger: LedgerPort, tx_id: str) -> None:
    """Admit a payment whose id is its idempotency key, too, so that a driver can replace both."""
    admission = await admit(
        Asked(Transfer(RECIPIENT, 1000), tx_id),
        caller=Caller(AGENT, SESSION, "127.0.0.1"),
        ledger=ledger,
        clock=Clock(),
        generate_id=lambda: tx_id,
        rules=AdmissionRules(WAITS),
    )
    assert admission.refusal is None


def admissions_s(ledger: Ledger, *, callers: int, count: int) -> float:
    """Return how many seconds *count* admissions by so many tasks take."""

    async def call() -> None:
        for _ in range(count // callers):
            await admit_one(ledger, generate_id())

    async def all_callers() -> float:
        start = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(call())
        return time.perf_counter() - start

    return uvloop.run(all_callers())


class Inline:
    """A ledger that runs a unit where it is called, noting the statements that reach the driver."""

    def __init__(self, run: Callable[..., list[Any]]) -> None:
        self._run = run
        self._remembered = Remembered(self._note, lambda: 0)
        self._tables = Tables(self._remembered, Tail())
        self.seen: list[tuple[str, Parameters]] = []

    def _note(self, statement: Statement, parameters: Parameters | None = None, /) -> list[Any]:
        text = statement.compiled
        self.seen.append((text.sql, text.values(parameters or {})))
        return self._run(statement, parameters)

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        """Run *unit*."""
        self._remembered.begin()
        return unit(self._tables)

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        """Run *unit*."""
        return self.write(unit)

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        """Run *query*."""
        return self.write(query)


class DriverSide:
    """The statements of one admission, again and again, on a bare cursor."""

    def __init__(self, connection: DatabaseConnection) -> None:
        push_schema(connection)
        connection.sqlite.execute("PRAGMA synchronous=FULL")
        insert_first_agent(Tables(connection.db.execute), RULES_OF_ADMISSIONS)
        inline = Inline(connection.db.execute)
        for _ in range(2):  # What only the first one writes is there, and the rest remembered.
            asyncio.run(admit_one(inline, generate_id()))
        inline.seen.clear()
        first = generate_id()
        asyncio.run(admit_one(inline, first))
        self._statements = [
            (
                sql,
                dict[str, Any](given),
                tuple(name for name, value in given.items() if value == first),
            )
            for sql, given in inline.seen
        ]
        self.statement_count: Final = len(self._statements)
        self._links = 0
        """How many were written since the one that was noted."""
        self._cursor: apsw.Cursor = connection.sqlite.cursor()

    def seconds(self, *, count: int, commits: int) -> float:
        """Return how long *count* of them take in so many commits."""
        execute = self._cursor.execute
        start = time.perf_counter()
        for group in range(commits):
            execute("BEGIN IMMEDIATE")
            for _ in range(group * count // commits, (group + 1) * count // commits):
                tx_id = generate_id()
                rows: list[Any] = []
                for sql, parameters, id_names in self._statements:
                    given = {**parameters, **dict.fromkeys(id_names, tx_id)}
                    if "previous_hash" in given:  # the next link of the audit chain
                        self._links += 1
                        given["sequence"] += self._links
                        given["audit_id"] = rows[0][0]
                        given["previous_hash"] = given["hash"]  # It is the same of each.
                    rows = execute(sql, given).fetchall()
            execute("COMMIT")
        return time.perf_counter() - start


RULES_OF_ADMISSIONS: Final = (limit(daily_max=HUGE),)


def end_all(sqlite: apsw.Connection) -> None:
    """End all transactions, as payments do in life: nobody has thousands under way."""
    sqlite.execute("UPDATE transactions SET status = 'CONFIRMED' WHERE status = 'PENDING'")


class Taken(NamedTuple):
    """What a number of admissions took, each."""

    wall_us: float
    cpu_us: float


def taken(run: Callable[[], float], *, count: int) -> Taken:
    """Return what each of *count* took that *run* does; it returns how many seconds all took."""
    start = time.process_time()
    wall_s = run()
    return Taken(wall_s / count * 1e6, (time.process_time() - start) / count * 1e6)


@contextmanager
def counted(sqlite: apsw.Connection) -> Iterator[Callable[[], int]]:
    """Count the commits of a connection."""
    commits = 0

    def count() -> bool:
        nonlocal commits
        commits += 1
        return False

    sqlite.set_commit_hook(count)
    yield lambda: commits


def print_admissions(folder: Path, *, seconds: float) -> None:
    """Measure admissions beside the driver, round after round, and print them."""
    found: dict[int, list[tuple[float, ...]]] = {callers: [] for callers in CALLERS}
    with (
        open_ledger(folder / "ours") as ledger,
        create_database(folder / "driver.db") as connection,
    ):
        ledger.write(lambda tx: insert_first_agent(tx, RULES_OF_ADMISSIONS))
        driver = DriverSide(connection)
        # There is no production switch; between rounds the writer is idle, its connection ours.
        sqlite = ledger._writer._sqlite  # noqa: SLF001 -- see above
        end = time.perf_counter() + seconds
        rounds = 0
        with counted(sqlite) as commits:
            while rounds < ROUNDS_MIN or time.perf_counter() < end:
                for callers, count in ADMISSIONS.items():
                    end_all(sqlite)
                    end_all(connection.sqlite)
                    before = commits()
                    run = partial(admissions_s, ledger, callers=callers, count=count)
                    ours = taken(run, count=count)
                    groups = commits() - before
                    repeat = partial(driver.seconds, count=count, commits=groups)
                    theirs = taken(repeat, count=count)
                    found[callers].append((count / groups, *ours, *theirs))
                rounds += 1
    print(f"\n{rounds} rounds, {driver.statement_count} statements in an admission, medians")
    print(
        f"{'callers':>18}{'units/commit':>14}{'admissions/s':>14}{'driver/s':>11}{'ratio':>8}"
        f"{'CPU µs':>9}{'driver':>8}{'ratio':>8}"
    )
    for callers, measured in found.items():
        grouped, ours_us, ours_cpu_us, theirs_us, theirs_cpu_us = map(
            statistics.median, zip(*measured, strict=True)
        )
        ratio = statistics.median(row[3] / row[1] for row in measured)
        cpu_ratio = statistics.median(row[4] / row[2] for row in measured)
        print(
            f"{callers:>18}{grouped:>14.1f}{1e6 / ours_us:>14,.0f}{1e6 / theirs_us:>11,.0f}"
            f"{ratio:>8.2f}{ours_cpu_us:>9.0f}{theirs_cpu_us:>8.0f}{cpu_ratio:>8.2f}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a decision costs.")
    parser.add_argument("--seconds", type=float, default=SECONDS_DEFAULT)
    parser.add_argument("--rows", type=int, default=ROWS_DEFAULT, help="10000000 for the goal")
    parser.add_argument("--directory", type=Path, default=Path(__file__).resolve().parents[1])
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    rates = [evaluations_per_second() for _ in range(ROUNDS_MIN * 3)]
    print(f"\n{'evaluate, 20 rules':18}{statistics.median(rates):>10,.0f}/s")
    with tempfile.TemporaryDirectory(prefix="waiaas-bench-", dir=options.directory) as name:
        folder = Path(name)
        print_admissions(folder, seconds=options.seconds / 2)
        print_beside(folder, rows=options.rows, seconds=options.seconds / 2)


if __name__ == "__main__":
    main()
