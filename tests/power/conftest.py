"""Power loss: what a disk may hold after the power went, at any moment of a ledger's life.

Three parts. `Recorder` is an APSW VFS over the system's on which the real `Ledger` runs: it logs,
in order, what SQLite asks of the disk, and beside it what the ledger told its callers. `Disk`
replays such a log up to any event and says what could be on a disk cut off there. `Bench` lays
those files out, opens them through the library, and reports what is wrong with them.

The directory is modelled as SQLite treats it: a file's name is durable after the next sync of the
directory, which SQLite's unix VFS does at the first sync of a new journal or WAL and after a
deletion that asks for it (seen with strace). Until then a new file may be missing and a deleted
one may be back.
"""

import asyncio
import json
import random  # noqa: TID251 -- reproducible cases, not secrets
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import pytest
from sqlalchemy import select
from tests.fakes.payments import payment_row

from waiaas.database import (
    DatabaseError,
    Ledger,
    agents,
    close_database,
    create_database,
    open_ledger,
    push_schema,
)
from waiaas.database import writer as writer_module
from waiaas.database.connection import open_reader, set_pragma
from waiaas.database.ledger import LEDGER_NAME, _WaitingUnit
from waiaas.database.units import Unit
from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    ChainType,
    NetworkType,
    TransactionStatus,
)
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import AcceptedRequest, AgentRecord
from waiaas.domain.transaction import ReservationState
from waiaas.ports import LedgerTransaction

SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all."""

# ── what happened ──────────────────────────────────────────────────────────────────────────────


class Created(NamedTuple):
    """A new file got a name."""

    name: str
    file: int


class Deleted(NamedTuple):
    """A name was taken away."""

    name: str
    is_durable: bool
    """Whether the directory was synced at once."""


class Wrote(NamedTuple):
    """Bytes were written into a file."""

    file: int
    offset: int
    data: bytes


class Truncated(NamedTuple):
    """A file was cut to a size in bytes."""

    file: int
    size: int


class Synced(NamedTuple):
    """A file's content was made durable."""

    file: int


class Committed(NamedTuple):
    """COMMIT returned for a group; its callers are about to be told."""

    units: frozenset[str]


class Acknowledged(NamedTuple):
    """A caller was told that its unit is in the ledger."""

    unit: str


Event = Created | Deleted | Wrote | Truncated | Synced | Committed | Acknowledged


class Recorder(apsw.VFS):
    """The system's VFS, logging; events of one file are those of one thread at a time."""

    def __init__(self, name: str, *, lies: bool) -> None:
        super().__init__(name, "")
        self.name: Final = name
        self.lies: Final = lies
        """Whether syncs are reported as done, and not done."""
        self.log: list[Event] = []
        self.names: dict[str, int] = {}
        self.made = 0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return RecordedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001
        super().xDelete(filename, syncdir)
        name = Path(filename).name
        self.names.pop(name)
        self.log.append(Deleted(name, bool(syncdir)))


class RecordedFile(apsw.VFSFile):
    """One open file."""

    def __init__(
        self, recorder: Recorder, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        is_new = not path.exists()
        super().__init__("", name, flags)
        if is_new:
            file = recorder.names[path.name] = recorder.made
            recorder.made += 1
            recorder.log.append(Created(path.name, file))
        self._recorder = recorder
        self._file = recorder.names[path.name]

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._recorder.log.append(Wrote(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._recorder.log.append(Truncated(self._file, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._recorder.lies:
            return
        super().xSync(flags)
        self._recorder.log.append(Synced(self._file))


# ── what units of work do ──────────────────────────────────────────────────────────────────────

Function = Callable[[LedgerTransaction], object]

Fact = tuple[str, str]
"""A row, or a state of one, that a unit leaves behind: kind and key."""

_FACTS: Final = """
    SELECT 'agent', id FROM agents
    UNION ALL SELECT 'transaction', id FROM transactions
    UNION ALL SELECT 'cancelled', id FROM transactions WHERE status = 'CANCELLED'
    UNION ALL SELECT 'request', tx_id FROM requests
    UNION ALL SELECT 'reservation', tx_id FROM reservations
    UNION ALL SELECT 'released', tx_id FROM reservations WHERE state = 'RELEASED'
    UNION ALL SELECT 'audit', details FROM audit_log
    UNION ALL SELECT 'value', key FROM key_value_store
"""


class Refused(Exception):  # noqa: N818 -- what a unit raises to be undone
    """Raised by a unit that changes its mind after it has written."""


@dataclass(frozen=True)
class Work:
    """A unit of work: what it does, and everything that must be there if any of it is."""

    name: str
    parts: tuple[Function, ...]
    """Done one after the other, in one transaction."""
    facts: frozenset[Fact]

    def __call__(self, tx: LedgerTransaction) -> None:
        for part in self.parts:
            part(tx)


class Author:
    """Makes units like the pipeline's, always the same ones for one seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._made = 0
        self._agent = AgentId("")
        self._pending: list[TransactionId] = []
        self.units: dict[str, Work] = {}

    def any(self) -> Work:
        """Make a payment mostly, at times an agent, a cancellation or a large value."""
        kinds = [self.payment] * 5 + [self.agent, self.large_value, self.cancellation]
        if not self._agent:
            return self.agent()
        if not self._pending:
            return self.payment()
        return self._rng.choice(kinds)()

    def agent(self) -> Work:
        name, agent_id = self._name("agent"), AgentId(self._id())
        self._agent = agent_id
        record = AgentRecord(
            id=agent_id,
            name=name,
            chain=ChainType.SOLANA,
            network=NetworkType.LOCALNET,
            public_key=f"key of {agent_id}",
            status=AgentStatus.ACTIVE,
            created_at=1,
            suspended_at=None,
            suspension_reason=None,
        )

        def insert(tx: LedgerTransaction) -> None:
            tx.agents.insert(record)

        return self._work(name, insert, facts={("agent", agent_id)})

    def payment(self) -> Work:
        work, tx_id = self._payment()
        self._pending.append(tx_id)
        return work

    def refused_payment(self) -> Work:
        """Make a payment that is undone after it was written."""
        work, _ = self._payment()

        def refuse(_tx: LedgerTransaction) -> None:
            raise Refused

        refused = self.units[work.name] = replace(work, parts=(*work.parts, refuse))
        return refused

    def cancellation(self) -> Work:
        name = self._name("cancellation")
        tx_id = self._pending.pop(self._rng.randrange(len(self._pending)))

        def cancel(tx: LedgerTransaction) -> None:
            tx.transactions.compare_and_set_status(
                tx_id, old=TransactionStatus.PENDING, new=TransactionStatus.CANCELLED
            )

        def release(tx: LedgerTransaction) -> None:
            tx.reservations.settle(tx_id, state=ReservationState.RELEASED, now_s=2)

        facts = {("cancelled", tx_id), ("released", tx_id)}
        return self._work(name, cancel, release, facts=facts)

    def large_value(self) -> Work:
        """Make a unit of a few pages that no other table shares."""
        name = self._name("value")
        value = self._rng.randbytes(self._rng.randrange(3_000, 12_000)).hex()
        keys = (f"{name} first", f"{name} second")

        def put(tx: LedgerTransaction) -> None:
            for key in keys:
                tx.key_values.put(key, value, now_s=1)

        return self._work(name, put, facts={("value", key) for key in keys})

    def _payment(self) -> tuple[Work, TransactionId]:
        name, tx_id, agent_id = self._name("payment"), TransactionId(self._id()), self._agent
        record = payment_row(
            tx_id, agent_id, amount="1000", to_address=self._rng.randbytes(16).hex()
        )
        request = AcceptedRequest(
            tx_id=tx_id,
            agent_id=agent_id,
            idempotency_key=name,
            request="{}",
            request_sha256=self._rng.randbytes(32).hex(),
            reference=None,
            refusal=None,
            admitted_at=1,
        )

        def insert(tx: LedgerTransaction) -> None:
            tx.transactions.insert(record)
            tx.requests.insert(request)

        def hold(tx: LedgerTransaction) -> None:
            tx.reservations.hold(tx_id, agent_id=agent_id, asset="native", amount="1000", now_s=1)

        facts = {("transaction", tx_id), ("request", tx_id), ("reservation", tx_id)}
        return self._work(name, insert, hold, facts=facts), tx_id

    def _work(self, name: str, *parts: Function, facts: Iterable[Fact]) -> Work:
        """Put an audit row before the first part and one behind the last."""

        def audit(row: int) -> Function:
            event = AuditEvent(
                AuditAction.DAEMON_STARTED, "system", details={"version": f"{name}/{row}"}
            )
            return lambda tx: tx.audit.append(event, now_s=1)

        rows = {
            ("audit", json.dumps({"version": f"{name}/{row}"}, separators=(",", ":")))
            for row in (1, 2)
        }
        work = self.units[name] = Work(
            name, (audit(1), *parts, audit(2)), frozenset(rows.union(facts))
        )
        return work

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind} {self._made}"

    def _id(self) -> str:
        """Return an id that sorts like those of the library, but is the same in every run."""
        end = self._rng.getrandbits(62)
        text = f"{self._made:012x}7000{0x8000_0000_0000_0000 | end:016x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


# ── a recorded run ─────────────────────────────────────────────────────────────────────────────


class Recording(NamedTuple):
    """What happened in one run, and what its units left behind."""

    log: list[Event]
    units: dict[str, Work]


class Office:
    """Callers of one ledger, recorded; one seed gives one order of events.

    To that end a group is held open until all its units wait, and the writer goes on (to copy the
    WAL, say) only when the callers have noted what they were told. No acknowledgement is noted
    later than it could have been.
    """

    def __init__(self, directory: Path, recorder: Recorder, author: Author) -> None:
        self._directory = directory
        self._recorder = recorder
        self.author = author
        self._ledger: Ledger
        self._noted = threading.Semaphore(0)

    @contextmanager
    def open(self, *, synchronous: str | None = None, cache_pages: int = 1000) -> Iterator[Ledger]:
        """Open the ledger as it is; for a control its writer is made to sync less."""
        with open_ledger(self._directory, vfs=self._recorder.name) as ledger:
            self._ledger = ledger
            writer = ledger._writer
            if synchronous is not None:
                level = ("OFF", "NORMAL").index(synchronous)
                set_pragma(writer._sqlite, "synchronous", synchronous, level)
            # So few pages in memory that a large group reaches the WAL before it commits.
            set_pragma(writer._sqlite, "cache_size", str(cache_pages), cache_pages)
            # Closing must not wait for a visitor that will not go.
            writer._sqlite.set_busy_timeout(0)
            tell = writer._answer

            def answer(group: list[Unit]) -> None:
                done = [unit.function for unit in group if unit.error is None]
                units = frozenset(work.name for work in done if isinstance(work, Work))
                self._recorder.log.append(Committed(units))
                tell(group)
                for _ in group:
                    self._noted.acquire()

            writer._answer = answer
            yield ledger

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the writer inside a unit, where it copies nothing: a reader may come or go."""
        begun, may_go = threading.Event(), threading.Event()

        def hold(_tx: LedgerTransaction) -> None:
            begun.set()
            may_go.wait()

        unit = _WaitingUnit(hold)
        self._ledger._writer.submit(unit)
        begun.wait()
        yield
        may_go.set()
        unit.done.acquire()
        self._noted.release()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Keep a reader's snapshot open; closed from without, as by another program."""
        with self._held():
            reader = open_reader(self._directory / LEDGER_NAME, vfs=self._recorder.name)
            reader.db.begin("DEFERRED")
            reader.db.execute(select(agents.c.id))
        yield
        with nullcontext() if self._ledger._closed else self._held():
            close_database(reader)

    def call(self, work: Function) -> None:
        """Have one unit written from this thread."""
        try:
            self._ledger.write(work)
            self.note(work)
        finally:
            self._noted.release()

    def call_together(self, works: Sequence[Function]) -> None:
        """Have units written in one group, while a reader reads."""
        asyncio.run(self._together(works))

    async def _together(self, works: Sequence[Function]) -> None:
        begun, may_go = threading.Event(), threading.Event()

        def hold(_tx: LedgerTransaction) -> None:
            begun.set()
            may_go.wait()

        async def let_go() -> None:
            begun.wait()  # Until then the writer may be copying the WAL of the group before.
            self._ledger.read(lambda tx: tx.agents.count())
            may_go.set()

        async with asyncio.TaskGroup() as callers:
            for work in (hold, *works):
                callers.create_task(self._call_async(work))
            callers.create_task(let_go())

    async def _call_async(self, work: Function) -> None:
        try:
            await self._ledger.write_async(work)
            self.note(work)
        except Refused:
            pass
        finally:
            self._noted.release()

    def note(self, work: Function) -> None:
        if isinstance(work, Work):
            self._recorder.log.append(Acknowledged(work.name))


def _life(office: Office, rng: random.Random, *, groups: int, synchronous: str | None) -> None:
    """Live a ledger's life: made, written, closed, opened again, left with its WAL, recovered."""
    author = office.author

    def work(turns: int) -> None:
        for turn in range(turns):
            if turn % 3 == 0:
                office.call(author.any())
                continue
            works = [author.any() for _ in range(rng.randrange(1, 4))]
            if turn % 3 == 1:
                works.append(author.refused_payment())
                works.append(author.any())
            office.call_together(works)

    with office.open(synchronous=synchronous):
        work(groups // 3)
    with ExitStack() as visit, office.open(synchronous=synchronous, cache_pages=10):
        with office.snapshot():  # Meanwhile the WAL cannot start over.
            work(groups // 4)
        work(groups // 6)
        # A visitor stays behind and keeps the WAL from being emptied.
        visit.enter_context(office.snapshot())
        work(groups // 12)
    with office.open(synchronous=synchronous):  # Begins with recovery.
        work(groups // 6)


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Recording]]:
    """Return a function that records a ledger's life, or the *life* it is given."""
    # Copied into the main file every few commits, not every few hundred.
    monkeypatch.setattr(writer_module, "WAL_PAGES_MAX", 60)
    # Whoever waits for a reader waits by the wall clock; nobody waits in a recorded life.
    monkeypatch.setattr(writer_module, "WAL_WAIT_MS", 0)
    monkeypatch.setattr(writer_module, "BUSY_TIMEOUT_MS", 0)
    recorders: list[Recorder] = []

    def run(
        seed: int,
        *,
        groups: int = 48,
        synchronous: str | None = None,
        lies: bool = False,
        life: Callable[[Office], None] | None = None,
    ) -> Recording:
        rng = random.Random(seed)  # noqa: S311 -- a reproducible run
        recorder = Recorder(f"recorder {len(recorders)}", lies=lies)
        recorders.append(recorder)
        office = Office(tmp_path / recorder.name, recorder, Author(rng))
        if life is None:
            _life(office, rng, groups=groups, synchronous=synchronous)
        else:
            life(office)
        return Recording(recorder.log, office.author.units)

    yield run
    for recorder in recorders:
        recorder.unregister()


# ── what a disk may hold ───────────────────────────────────────────────────────────────────────


class Survival(StrEnum):
    """What becomes of that which was not synced when the power went."""

    DROP = "drop"
    """Nothing of it reached the disk."""
    PREFIX = "prefix"
    """Of each file a random first part did, in order."""
    SECTORS = "sectors"
    """Any sectors did, in no order; a file may have grown by zeros."""
    ALL = "all"
    """All of it did: the program was killed, the machine was not."""


Change = Wrote | Truncated


class Disk:
    """The content of every file as last synced, and what was done since; names likewise."""

    def __init__(self) -> None:
        self._contents: dict[int, bytearray] = {}
        self._changes: dict[int, list[Change]] = defaultdict(list)
        self._names: dict[str, int] = {}
        self._name_changes: list[Created | Deleted] = []
        self._unnamed: set[int] = set()

    def apply(self, event: Event) -> None:
        """Let *event* happen."""
        match event:
            case Created(name, file):
                self._contents[file] = bytearray()
                self._name_changes.append(event)
                if name.endswith(("-journal", "-wal")):
                    self._unnamed.add(file)
            case Deleted(_, is_durable):
                self._name_changes.append(event)
                if is_durable:
                    self._sync_names()
            case Wrote(file) | Truncated(file):
                self._changes[file].append(event)
            case Synced(file):
                for change in self._changes.pop(file, []):
                    _change(self._contents[file], change)
                if file in self._unnamed:
                    self._unnamed.remove(file)
                    self._sync_names()
            case Committed() | Acknowledged():
                pass  # What callers are told changes no disk.

    def after_power_loss(self, survival: Survival, rng: random.Random) -> dict[str, bytearray]:
        """Return the files found afterwards: name and content."""
        names = dict(self._names)
        for change in _surviving(self._name_changes, survival, rng):
            _rename(names, change)
        return {name: self._content(file, survival, rng) for name, file in names.items()}

    def _content(self, file: int, survival: Survival, rng: random.Random) -> bytearray:
        content = bytearray(self._contents[file])
        changes: Sequence[Change] = self._changes.get(file, [])
        if survival is Survival.SECTORS:
            changes = [piece for change in changes for piece in _sectors(change)]
            ends = [piece.offset + len(piece.data) for piece in changes if isinstance(piece, Wrote)]
            if rng.random() < 1 / 4:
                content.extend(bytes(max(0, max(ends, default=0) - len(content))))
        for change in _surviving(changes, survival, rng):
            _change(content, change)
        return content

    def _sync_names(self) -> None:
        for change in self._name_changes:
            _rename(self._names, change)
        self._name_changes.clear()


def _surviving(changes: Sequence[Any], survival: Survival, rng: random.Random) -> Sequence[Any]:
    match survival:
        case Survival.DROP:
            return ()
        case Survival.PREFIX:
            return changes[: rng.randint(0, len(changes))]
        case Survival.SECTORS:
            share = rng.choice((0.1, 0.5, 0.9))
            return [change for change in changes if rng.random() < share]
        case Survival.ALL:
            return changes


def _sectors(change: Change) -> Iterator[Change]:
    """Cut a write where sectors of the disk end."""
    if isinstance(change, Truncated):
        yield change
        return
    file, offset, data = change
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES)
        yield Wrote(file, offset + start, data[start:end])
        start = end


def _change(content: bytearray, change: Change) -> None:
    if isinstance(change, Truncated):
        del content[change.size :]
    start = change.size if isinstance(change, Truncated) else change.offset
    content.extend(bytes(max(0, start - len(content))))
    if isinstance(change, Wrote):
        content[start : start + len(change.data)] = change.data


def _rename(names: dict[str, int], change: Created | Deleted) -> None:
    if isinstance(change, Created):
        names[change.name] = change.file
    else:
        names.pop(change.name, None)


# ── a moment, and what must be true if the power goes then ─────────────────────────────────────


@dataclass
class Moment:
    """A place in a log: what was promised by then, and the disk."""

    event: int
    disk: Disk
    acknowledged: set[str]
    committed: set[str]
    next_group: frozenset[str]
    """The group whose COMMIT had not returned: all of it may be there, or nothing."""


def moments(log: Sequence[Event], *, first: int, step: int) -> Iterator[Moment]:
    """Yield every *step*-th moment of *log*, from after its event number *first* on."""
    groups = iter([event.units for event in log if isinstance(event, Committed)])
    moment = Moment(0, Disk(), set(), set(), next(groups, frozenset()))
    for number, event in enumerate(log):
        moment.event = number
        moment.disk.apply(event)
        if isinstance(event, Acknowledged):
            moment.acknowledged.add(event.unit)
        elif isinstance(event, Committed):
            moment.committed |= event.units
            moment.next_group = next(groups, frozenset())
        if number % step == first:
            yield moment


class Problem(NamedTuple):
    """What is wrong with a ledger after power loss: `lost`, `half`, `extra` or `corrupt`."""

    kind: str
    what: str


def promises_broken(
    facts: frozenset[Fact], moment: Moment, units: dict[str, Work]
) -> list[Problem]:
    """Compare what is in a ledger with what was promised before *moment*."""
    whole = {name for name, work in units.items() if work.facts <= facts}
    begun = {name for name, work in units.items() if not work.facts.isdisjoint(facts)}
    problems = [Problem("lost", name) for name in sorted(moment.acknowledged - whole)]
    problems += [Problem("half", name) for name in sorted(begun - whole)]
    if whole - moment.committed not in (set(), moment.next_group):
        problems.append(Problem("extra", f"{sorted(whole - moment.committed)}"))
    return problems


# ── the files, laid out and opened ─────────────────────────────────────────────────────────────


class Image(NamedTuple):
    """Files that a power cut may have left, and what is wrong with them."""

    event: int
    survival: Survival
    problems: list[Problem]


class Bench:
    """A folder in which files are laid out, opened through the library, and looked at."""

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory
        self.path: Final = directory / LEDGER_NAME

    def images(self, recording: Recording, *, seed: int, first: int, step: int) -> Iterator[Image]:
        """Cut the power after every *step*-th event, once for each way to survive."""
        for moment in moments(recording.log, first=first, step=step):
            for survival in Survival:
                rng = random.Random(f"{seed}:{moment.event}:{survival}")  # noqa: S311
                problems = self._examine(moment, survival, recording.units, rng)
                yield Image(moment.event, survival, problems)

    def _examine(
        self, moment: Moment, survival: Survival, units: dict[str, Work], rng: random.Random
    ) -> list[Problem]:
        for old in self.directory.iterdir():
            old.unlink()
        for name, content in moment.disk.after_power_loss(survival, rng).items():
            (self.directory / name).write_bytes(content)
        try:
            facts = self._open(with_reader=bool(moment.committed) and rng.random() < 1 / 4)
        except (DatabaseError, apsw.Error, NotSound) as error:
            return [Problem("corrupt", f"{type(error).__name__}: {error}")]
        return promises_broken(facts, moment, units)

    def _open(self, *, with_reader: bool) -> frozenset[Fact]:
        """Open as the daemon does; a reader may come first, and again when the WAL is empty."""
        looks = []
        if with_reader:
            with open_reader(self.path) as reader:
                looks.append(_facts(reader.sqlite))
        with create_database(self.path) as connection:
            push_schema(connection)
            looks.append(_facts(connection.sqlite))
        if with_reader:
            with open_reader(self.path) as reader:
                looks.append(_facts(reader.sqlite))
        if len(set(looks)) > 1:
            raise NotSound("readers and writer see different ledgers")
        return looks[0]


class NotSound(Exception):  # noqa: N818 -- a finding
    """A ledger that opens, and is damaged."""


def _facts(sqlite: apsw.Connection) -> frozenset[Fact]:
    """Return everything that units left in a sound ledger."""
    problems = [text for (text,) in sqlite.execute("PRAGMA integrity_check") if text != "ok"]
    problems += [f"{row} is an orphan" for row in sqlite.execute("PRAGMA foreign_key_check")]
    ids = [number for (number,) in sqlite.execute("SELECT id FROM audit_log ORDER BY id")]
    if ids != [*range(1, len(ids) + 1)]:
        problems.append("audit_log has gaps")
    if sqlite.table_exists("main", "audit_chain"):
        chain: Any = sqlite.execute(
            "SELECT audit_id, sequence, previous_hash, hash FROM audit_chain ORDER BY sequence"
        )
        problems += chain_problems(ids, list(chain))
    if problems:
        raise NotSound("; ".join(problems))
    found: Any = sqlite.execute(_FACTS)
    return frozenset(found)


def chain_problems(ids: list[int], links: list[tuple[int, int, Any, Any]]) -> list[str]:
    """Return where a chain (audit_id, sequence, previous_hash, hash) does not follow its rows."""
    problems = []
    if [link[0] for link in links] != ids:
        problems.append("the chain does not name every audit row once, in order")
    for (_, before, _, hashed), (_, sequence, previous, _) in pairwise(links):
        if sequence != before + 1 or previous != hashed:
            problems.append(f"the chain is broken at {sequence}")
    return problems


_EVENTS: Final[dict[str, Callable[..., Event]]] = {
    kind.__name__: kind for kind in (Created, Deleted, Wrote, Truncated, Synced)
}


@pytest.fixture
def after_power_loss() -> Callable[..., dict[str, bytes]]:
    """Return a function that says what a disk may hold after some events, each a tuple."""

    def run(survival: str, *events: tuple[Any, ...], seed: int = 1) -> dict[str, bytes]:
        disk = Disk()
        for kind, *values in events:
            disk.apply(_EVENTS[kind](*values))
        rng = random.Random(seed)  # noqa: S311 -- reproducible cases
        files = disk.after_power_loss(Survival(survival), rng)
        return {name: bytes(content) for name, content in files.items()}

    return run


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Yield an empty bench: in memory if may be, for nothing here has to be durable."""
    shared_memory = Path("/dev/shm")  # noqa: S108 -- made by mkdtemp, mode 0700
    home = shared_memory if shared_memory.is_dir() else tmp_path
    directory = Path(tempfile.mkdtemp(prefix="waiaas-", dir=home))
    yield Bench(directory)
    shutil.rmtree(directory)


@pytest.fixture(name="chain_problems")
def _chain_problems() -> Callable[..., list[str]]:
    return chain_problems
