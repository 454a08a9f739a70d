"""Random audit logs in memory, written by the program and tampered with past its triggers."""

import importlib.util
import json
import random  # noqa: TID251 -- reproducible cases, not secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import apsw
import pytest
from tests.fakes.events import unchecked

from waiaas.database import DatabaseConnection, close_database, create_database, push_schema
from waiaas.database.audit_verify import export_lines, read_head, verify_audit
from waiaas.database.chain import Anchor, Verification, canonical, link_hash
from waiaas.database.tables import Tables
from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.ids import AgentId, SessionId, TransactionId

TOOL: Final = Path(__file__).resolve().parents[2] / "tools" / "verify_audit.py"
CHARACTERS: Final = (
    "ab|,;\"'\\/\b\t\n\f\r\x00\x01\x1f\x7f\u00e9\u2028\u2029\ufeff\uffff\U0001f600 01"
)


def text(rng: random.Random) -> str:
    """Return some text, the awkward characters included."""
    return "".join(rng.choices(CHARACTERS, k=rng.randrange(9)))


def event(rng: random.Random) -> AuditEvent:
    """Return an event with anything in its columns that the ledger can hold."""

    def perhaps() -> Any:
        return text(rng) if rng.random() < 0.6 else None

    return unchecked(
        AuditEvent,
        action=rng.choice([*AuditAction]),
        actor=text(rng),
        agent_id=None if (agent := perhaps()) is None else AgentId(agent),
        session_id=None if (session := perhaps()) is None else SessionId(session),
        tx_id=None if (tx := perhaps()) is None else TransactionId(tx),
        details={text(rng): rng.choice([None, text(rng), rng.randrange(-9, 2**70)])},
        ip_address=perhaps(),
    )


class Log:
    """An audit log in a database in memory. What is done to it in `trial` is undone afterwards."""

    def __init__(self, connection: DatabaseConnection) -> None:
        self.connection: Final = connection
        self.sqlite: Final[apsw.Connection] = connection.sqlite
        self._tables: Final = Tables(connection.db.execute)

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Begin with an empty log; leave nothing behind."""
        self.connection.db.begin("IMMEDIATE")
        try:
            yield
        finally:
            self.connection.db.rollback()

    def write(self, rng: random.Random, rows: int) -> None:
        """Append rows as the daemon does."""
        for _ in range(rows):
            now_s = rng.choice([0, 1_800_000_000, 2**53 + 1, -(2**63), 2**63 - 1])
            self._tables.audit.append(event(rng), now_s=now_s)

    def without_triggers(self) -> None:
        """Become what a person with the file and a SQLite shell has before them."""
        for (name,) in self.sqlite.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            self.sqlite.execute(f"DROP TRIGGER {name}")

    def rows(self) -> list[tuple[Any, ...]]:
        return self.sqlite.execute("SELECT * FROM audit_log ORDER BY id").fetchall()

    def links(self) -> list[tuple[Any, ...]]:
        return self.sqlite.execute("SELECT * FROM audit_chain ORDER BY sequence").fetchall()

    def rechain(self) -> None:
        """Make every link anew, as anybody can who has read the page that describes it."""
        self.sqlite.execute("DELETE FROM audit_chain")
        previous = "0" * 64
        for sequence, row in enumerate(self.rows(), start=1):
            link = (sequence, row[0], previous, link_hash(previous, canonical(row)))
            self.sqlite.execute("INSERT INTO audit_chain VALUES (?, ?, ?, ?)", link)
            previous = link[3]

    def head(self) -> Anchor:
        head = read_head(self.connection)
        assert head is not None
        return head

    def verify(self, *anchors: Anchor) -> Verification:
        return verify_audit(self.connection, anchors)

    def export(self) -> list[bytes]:
        return list(export_lines(self.connection))


@pytest.fixture(scope="module")
def log() -> Iterator[Log]:
    """Yield a log on a pushed database in memory."""
    connection = create_database(":memory:")
    push_schema(connection)
    # A forger's connection has no foreign keys to stop it; a transaction cannot turn them off.
    connection.sqlite.execute("PRAGMA foreign_keys=OFF")
    yield Log(connection)
    close_database(connection)


@pytest.fixture
def sources() -> list[random.Random]:
    """Return sources of randomness for some rows."""
    return [random.Random(seed) for seed in range(200)]  # noqa: S311 -- reproducible cases


@pytest.fixture(scope="session")
def tool_path() -> Path:
    """Return the second verifier's file."""
    return TOOL


@pytest.fixture(scope="session")
def tool() -> ModuleType:
    """Return the second verifier; on what these tests hand it, it opens no file of ours."""
    spec = importlib.util.spec_from_file_location("verify_audit", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def second_opinion(tool: ModuleType) -> Callable[..., Any]:
    """Return a function that verifies an export with the second verifier."""

    def verify(lines: list[bytes], *anchors: Anchor) -> Any:
        given = [
            {"sequence": a.sequence, "hash": a.hash, "daemon_id": a.daemon_id} for a in anchors
        ]
        return tool.verify(tool.pairs_of_export(iter(lines)), given, None)

    return verify


@pytest.fixture(scope="session")
def other_value() -> Callable[..., Any]:
    """Return a function that gives a storable value for a column that is not the one it has."""

    def make(rng: random.Random, column: str, value: Any) -> Any:
        while True:
            if column == "timestamp":
                new: Any = value + rng.choice([-1, 1]) if abs(value) < 2**62 else 0
            elif column == "details":
                new = rng.choice([value + " ", " " + value, json.dumps(text(rng))])
            elif column == "severity":
                new = rng.choice(["info", "warning", "critical"])
            elif column in ("event_type", "actor"):
                new = rng.choice([value + "\0", value[:-1], text(rng)])
            else:
                new = rng.choice([None, "", text(rng)])
            if new != value:
                return new

    return make
