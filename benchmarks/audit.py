"""What the audit chain costs, as ratios from one interleaved run.

Verifying: rows verified a second, beside the bare cost of what no verifier can do without: reading
both tables through the same driver, and one SHA-256 over as many bytes as are hashed per row.

Appending: audit rows a second with their links, beside the same rows without, in one transaction
each round, so that no commit hides the cost.

Times are those of this process on its processor, so that a busy machine disturbs them less.

    python benchmarks/audit.py [--rows 200000] [--rounds 7]
"""

import argparse
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
from sqlalchemy import bindparam, insert, select

from waiaas.database import DatabaseConnection, create_database, generate_id, push_schema
from waiaas.database.audit import AuditLog
from waiaas.database.audit_verify import audit_snapshot, verify_audit
from waiaas.database.chain import GENESIS, canonical, link_hash
from waiaas.database.schema import audit_chain, audit_log
from waiaas.database.statements import Statement, compiled
from waiaas.domain.audit import AuditEvent, agent_actor
from waiaas.domain.enums import AuditAction
from waiaas.domain.ids import AgentId, SessionId, TransactionId

NOW_S: Final = 1_800_000_000
ROWS_DEFAULT: Final = 200_000
ROUNDS_DEFAULT: Final = 7
APPENDED_PER_ROUND: Final = 5_000
FRAME_BYTES: Final = len(b"waiaas-audit-v1\n") + len(GENESIS) + len(b"\n258\n")
GOAL_PER_S: Final = 400_000

UNLINKED: Final = Statement(
    insert(audit_log).values(
        {column.name: bindparam(column.name) for column in audit_log.columns if column.name != "id"}
    )
)
"""The insert of an audit row as it was before there was a chain."""


def event() -> AuditEvent:
    """Return an event like those that most rows hold."""
    agent_id = AgentId("01990000-0000-7000-8000-000000000001")
    return AuditEvent(
        AuditAction.TX_REQUESTED,
        agent_actor(agent_id),
        agent_id=agent_id,
        session_id=SessionId("01990000-0000-7000-8000-000000000002"),
        tx_id=TransactionId(generate_id()),
        details={"type": "TRANSFER", "tier": "INSTANT", "amount": "1000000", "to": "1" * 32},
        ip_address="127.0.0.1",
    )


class Pair(NamedTuple):
    """Rows a second on both sides, from one round."""

    ours: float
    bare: float


def rate(work: Callable[[], object], rows: int) -> float:
    """Return rows a second of this process's time."""
    start = time.process_time()
    work()
    return rows / (time.process_time() - start)


# ── verifying ──────────────────────────────────────────────────────────────────────────────────


def fill(connection: DatabaseConnection, rows: int) -> int:
    """Append rows; return how many bytes are hashed for the last."""
    log = AuditLog(connection.db.execute)
    with connection.db.transaction():
        for _ in range(rows):
            log.append(event(), now_s=NOW_S)
    [last] = connection.db.execute(select(audit_log).where(audit_log.c.id == rows))
    return FRAME_BYTES + len(canonical(tuple(last)))


def read_and_hash(sqlite: apsw.Connection, hashed: bytes) -> None:
    """Read every row of both tables, and hash as much as a verifier does."""
    for table in (audit_chain, audit_log):
        text = compiled(select(table).order_by(*table.primary_key), {})
        deque(sqlite.execute(text.sql), 0)
    [[rows]] = sqlite.execute("SELECT max(id) FROM audit_log")
    for _ in range(rows):
        sha256(hashed).hexdigest()


def verifying(path: Path, rows: int, rounds: int) -> list[Pair]:
    """Measure both sides in turn."""
    with create_database(path) as connection:
        push_schema(connection)
        hashed = b"x" * fill(connection, rows)
    pairs = []
    with audit_snapshot(path) as connection:
        for _ in range(rounds):
            ours = rate(lambda: verify_whole(connection, rows), rows)
            pairs.append(Pair(ours, rate(lambda: read_and_hash(connection.sqlite, hashed), rows)))
    return pairs


def verify_whole(connection: DatabaseConnection, rows: int) -> None:
    """Verify, and make sure that it was all of it."""
    found = verify_audit(connection)
    assert (found.rows, found.fault) == (rows, None)


# ── appending ──────────────────────────────────────────────────────────────────────────────────


def append_without_links(connection: DatabaseConnection) -> None:
    """Append rows as if there were no chain."""
    for _ in range(APPENDED_PER_ROUND):
        one = event()
        connection.db.execute(
            UNLINKED,
            {
                "timestamp": NOW_S,
                "event_type": one.action,
                "actor": one.actor,
                "agent_id": one.agent_id,
                "session_id": one.session_id,
                "tx_id": one.tx_id,
                "details": '{"amount":"1000000","asset":"native"}',
                "severity": one.severity,
                "ip_address": one.ip_address,
            },
        )


def append_with_links(connection: DatabaseConnection) -> None:
    """Append rows as the ledger does."""
    log = AuditLog(connection.db.execute)
    for _ in range(APPENDED_PER_ROUND):
        log.append(event(), now_s=NOW_S)


def appending(path: Path, rounds: int) -> list[Pair]:
    """Measure both sides in turn; each round is rolled back, so all of them find the same log."""
    pairs = []
    with create_database(path) as connection:
        push_schema(connection)
        for _ in range(rounds):
            sides = []
            for append in (append_with_links, append_without_links):
                connection.db.begin("IMMEDIATE")
                sides.append(rate(partial(append, connection), APPENDED_PER_ROUND))
                connection.db.rollback()
            pairs.append(Pair(*sides))
    return pairs


def hashing(rounds: int) -> float:
    """Return how many links are computed in a second, without any database."""
    row: tuple[Any, ...] = (1, NOW_S, "TX_REQUESTED", "agent", "a" * 36, "b" * 36, "c" * 36)
    row += ('{"amount":"1000000","asset":"native"}', "info", "127.0.0.1")

    def work() -> None:
        for _ in range(APPENDED_PER_ROUND):
            link_hash(GENESIS, canonical(row))

    return statistics.median(rate(work, APPENDED_PER_ROUND) for _ in range(rounds))


# ── the run ────────────────────────────────────────────────────────────────────────────────────


def print_pairs(name: str, pairs: list[Pair], *, bare: str) -> None:
    """Print the medians of all rounds; the ratio is the median of the rounds' ratios."""
    ours = statistics.median(pair.ours for pair in pairs)
    other = statistics.median(pair.bare for pair in pairs)
    ratio = statistics.median(pair.ours / pair.bare for pair in pairs)
    print(f"{name:18}{ours:>11,.0f}/s   {bare:30}{other:>11,.0f}/s   ratio {ratio:.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the audit chain costs.")
    parser.add_argument("--rows", type=int, default=ROWS_DEFAULT)
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT)
    parser.add_argument("--directory", type=Path, default=Path(__file__).resolve().parents[1])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waiaas-bench-", dir=options.directory) as name:
        verified = verifying(Path(name) / "verified.db", options.rows, options.rounds)
        appended = appending(Path(name) / "appended.db", options.rounds)
    print(f"audit chain, {options.rows:,} rows, {options.rounds} rounds, medians\n")
    print_pairs("rows verified", verified, bare="reading and SHA-256 alone")
    print_pairs("rows appended", appended, bare="without their links")
    with_links = statistics.median(1e6 / pair.ours for pair in appended)
    without = statistics.median(1e6 / pair.bare for pair in appended)
    print(f"a link costs {with_links - without:.1f} µs, of which hashing {1e6 / hashing(7):.1f}")
    best = max(pair.ours for pair in verified)
    print(f"goal {GOAL_PER_S:,} rows verified/s: best round {best:,.0f}")


if __name__ == "__main__":
    main()
