"""A nursery of victims, and a look at what they left behind.

The nursery is a process of its own (`tests/crash/nursery.py`); it forks the victims, so that
neither pytest's threads nor its databases are inherited. What is left is looked at from here,
with nobody else alive on the directory, through the real library and then row by row.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import pytest
from sqlalchemy import select

from waiaas.database import audit_log, key_value_store, open_ledger, transactions
from waiaas.database.audit_verify import verify_audit
from waiaas.database.connection import DatabaseConnection, close_database, open_reader
from waiaas.database.schema import APPLICATION_ID, SCHEMA_VERSION, requests, reservations

ROOT: Final = Path(__file__).resolve().parents[2]


class End(NamedTuple):
    """How a victim ended, and what it had reported by then."""

    reports: list[tuple[str, str]]
    looks: int
    """How often the nursery looked between the event of the kill and the end."""
    status: int
    """Negative: the signal."""

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL

    def ids(self, *events: str) -> list[str]:
        return [unit_id for event, unit_id in self.reports if event in events]

    def events(self) -> list[str]:
        return [event for event, _ in self.reports]


class Nursery:
    """The nursery's other end."""

    def __init__(self, stderr: Path) -> None:
        self._stderr = stderr
        with stderr.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.nursery"],
                cwd=ROOT,
                env={},  # No coverage either: a killed process would not write any.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                encoding="utf-8",
            )

    def bring_up(
        self,
        victim: str,
        directory: Path,
        *,
        kill: Sequence[object] | None = None,
        **options: object,
    ) -> End:
        """Let *victim* live and, with *kill* (see `nursery.Kill`), die where that says.

        It must end by a kill, its own or the nursery's, or by itself; not by an exception, and
        not by the alarm that ends a victim which hangs.
        """
        order = {
            "victim": victim,
            "directory": str(directory),
            "kill": kill,
            "options": options,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        account = json.loads(self._process.stdout.readline())
        reports = [(event, unit_id) for event, unit_id in account["reports"]]
        end = End(reports, account["looks"], account["status"])
        assert end.status in (0, -signal.SIGKILL), (order, end, self._stderr.read_text("utf-8"))
        return end

    def looks_between(
        self, victim: str, directory: Path, first: str, last: str, **options: object
    ) -> int:
        """Return how often the nursery can look between two events, so as to kill in between."""
        kill = (first, 1, -1, last)  # So many looks there never are.
        end = self.bring_up(victim, directory, kill=kill, **options)
        assert last in end.events()  # A busy machine lets it do more before it is killed.
        return end.looks

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    brought_up = Nursery(tmp_path_factory.mktemp("nursery") / "stderr")
    yield brought_up
    brought_up.close()


class Contents(NamedTuple):
    """What a directory holds, as the real library and then SQLite read it."""

    damage: list[str]
    """What is wrong whatever was acknowledged."""
    payments: set[str]
    """Those with every one of their rows, each as it should be."""
    halves: set[str]
    """Those with some of their rows only, or with wrong ones."""


def _rows(connection: DatabaseConnection, *columns: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.db.execute(select(*columns))]


def _amount_of(tx_id: str) -> str:
    """Return what a payment is over (see `victims.amount_of`)."""
    return str(int(tx_id[-8:], 16))


def _contents(connection: DatabaseConnection, *, thorough: bool) -> Contents:
    sqlite = connection.sqlite
    check = "integrity_check" if thorough else "quick_check"
    damage = [text for (text,) in sqlite.execute(f"PRAGMA {check}") if text != "ok"]
    damage += [f"foreign key: {row}" for row in sqlite.execute("PRAGMA foreign_key_check")]
    fault = verify_audit(connection).fault
    if fault is not None:
        damage.append(f"audit chain: {fault.explanation}")
    identity = (sqlite.pragma("application_id"), sqlite.pragma("user_version"))
    if identity != (APPLICATION_ID, SCHEMA_VERSION):
        damage.append(f"identity {identity}")

    paid = _rows(connection, transactions.c.id, transactions.c.amount)
    asked = _rows(connection, requests.c.tx_id, requests.c.idempotency_key)
    held = _rows(connection, reservations.c.tx_id, reservations.c.amount)
    audit_ids = [row_id for (row_id,) in _rows(connection, audit_log.c.id)]
    audited = [row for row in _rows(connection, audit_log.c.tx_id) if row != (None,)]
    counted = _rows(connection, key_value_store.c.value)
    if len(set(audited)) != len(audited):
        damage.append("a payment was audited twice")
    if sorted(audit_ids) != list(range(1, len(audit_ids) + 1)):
        damage.append("the audit log has a gap")
    if sum(int(value) for (value,) in counted) != len(paid):
        damage.append(f"{counted} payments were counted, {len(paid)} are there")

    families = [
        {tx_id for tx_id, amount in paid if amount == _amount_of(tx_id)},
        {tx_id for tx_id, key in asked if key == tx_id},
        {tx_id for tx_id, amount in held if amount == _amount_of(tx_id)},
        {tx_id for (tx_id,) in audited},
    ]
    whole = set.intersection(*families)
    every = set.union(*families, *({row[0] for row in rows} for rows in (paid, asked, held)))
    return Contents(damage, whole, every - whole)


class Story:
    """One directory through several lives, and what it owes to those who were told something."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lives = 0
        self.acknowledged: list[str] = []
        self.not_done: list[str] = []
        self.misread: list[str] = []

    def add(self, end: End) -> None:
        self.lives += 1
        self.acknowledged += end.ids("acknowledged")
        self.not_done += end.ids("refused", "rolled back", "full")
        self.misread += end.ids("misread")

    def copy(self, name: str) -> "Story":
        """Copy the directory, which nobody has open, and what it owes."""
        copied = Story(self.directory.with_name(name))
        shutil.copytree(self.directory, copied.directory)
        copied.lives = self.lives
        copied.acknowledged = list(self.acknowledged)
        copied.not_done = list(self.not_done)
        return copied

    def end(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def examine(self, *, thorough: bool = False) -> Contents:
        """Open the directory with the real library, and look at every row."""
        with open_ledger(self.directory) as ledger:
            connection = open_reader(ledger.path)
            try:
                return _contents(connection, thorough=thorough)
            finally:
                close_database(connection)

    def faults(self, *, in_flight_max: int, thorough: bool = False) -> list[str]:
        """Return in words everything that is not as it was told; at best nothing.

        Args:
            in_flight_max: how many units a victim may be waiting for when it ends.
            thorough: whether to check every page against its indexes too.
        """
        contents = self.examine(thorough=thorough)
        told = set(self.acknowledged)
        answers = Counter(self.acknowledged + self.not_done)
        faults = [
            *contents.damage,
            *_named("acknowledged and not there", told - contents.payments - contents.halves),
            *_named("half there", contents.halves),
            *_named("told not done, and there", set(self.not_done) & contents.payments),
            *_named("acknowledged and not read", set(self.misread)),
            *_named("used twice", {tx_id for tx_id, count in answers.items() if count > 1}),
        ]
        unanswered = len(contents.payments - told)
        if unanswered > in_flight_max * self.lives:
            faults.append(f"{unanswered} are there that nobody was told of")
        return faults


def _named(what: str, ids: Collection[str]) -> list[str]:
    return [f"{what}: {tx_id}" for tx_id in sorted(ids)]


@pytest.fixture
def story() -> Iterator[Callable[[str], Story]]:
    """Return what begins a story in a new folder, in memory if there is a file system for that.

    Processes die here, not machines: a sync to a real disk would only take its time.
    """
    memory = Path("/dev/shm")  # noqa: S108 -- what is made in it has a private name
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield lambda name: Story(Path(folder) / name)


@pytest.fixture
def story_on_disk(tmp_path: Path) -> Callable[[str], Story]:
    """Return what begins a story in a new folder on a real disk."""
    return lambda name: Story(tmp_path / name)
