"""Databases to try things on, and rows that name only the columns they must."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from sqlalchemy import insert

from waiaas.database import (
    DatabaseConnection,
    close_database,
    create_database,
    generate_id,
    push_schema,
)
from waiaas.database.definitions import fingerprint, stored_schema
from waiaas.database.migrations.rebuild import rebuild_table
from waiaas.database.migrations.step import Step
from waiaas.database.push import Release, push_release
from waiaas.database.schema import metadata

Row = dict[str, Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a database may be made; nothing is there."""
    return tmp_path / "ledger.db"


@pytest.fixture
def database(path: Path) -> Iterator[DatabaseConnection]:
    """Yield a pushed database on a file."""
    connection = create_database(path)
    push_schema(connection)
    yield connection
    close_database(connection)


@pytest.fixture(scope="module")
def shared() -> Iterator[DatabaseConnection]:
    """Yield one pushed database in memory for a whole module: tests only add rows of their own."""
    connection = create_database(":memory:")
    push_schema(connection)
    yield connection
    close_database(connection)


def _required(connection: DatabaseConnection, table: str, **columns: Any) -> Row:
    def parent(name: str, *, column: str) -> str:
        if column in columns:
            return str(columns[column])
        row = _required(connection, name)
        connection.db.execute(insert(metadata.tables[name]), row)
        return str(row["id"])

    new = generate_id()
    rows: dict[str, Callable[[], Row]] = {
        "agents": lambda: {
            "id": new,
            "name": "trader",
            "chain": "solana",
            "network": "devnet",
            "public_key": f"key of {new}",
            "created_at": 1,
            "updated_at": 2,
        },
        "sessions": lambda: {
            "id": new,
            "agent_id": parent("agents", column="agent_id"),
            "token_hash": f"hash of {new}",
            "expires_at": 3,
            "absolute_expires_at": 4,
            "created_at": 1,
        },
        "transactions": lambda: {
            "id": new,
            "agent_id": parent("agents", column="agent_id"),
            "chain": "solana",
            "type": "TRANSFER",
            "created_at": 1,
        },
        "policies": lambda: {
            "id": new,
            "type": "WHITELIST",
            "rules": "{}",
            "created_at": 1,
            "updated_at": 2,
        },
        "pending_approvals": lambda: {
            "id": new,
            "tx_id": parent("transactions", column="tx_id"),
            "required_by": 3,
            "expires_at": 4,
            "created_at": 1,
        },
        "audit_log": lambda: {
            "timestamp": 1,
            "event_type": "TX_REQUESTED",
            "actor": "operator",
            "details": "{}",
        },
        "key_value_store": lambda: {"key": f"key {new}", "value": "", "updated_at": 1},
    }
    return rows[table]() | columns


@pytest.fixture(scope="session")
def required() -> Callable[[DatabaseConnection, str], Row]:
    """Return a function that gives a new row with exactly the NOT NULL columns without a default.

    The rows it refers to are inserted.
    """
    return _required


@pytest.fixture(scope="session")
def put() -> Callable[..., Row]:
    """Return a function that inserts such a row, with some columns given, and returns it."""

    def insert_row(connection: DatabaseConnection, table: str, /, **columns: Any) -> Row:
        row = _required(connection, table, **columns)
        connection.db.execute(insert(metadata.tables[table]), row)
        return row

    return insert_row


@pytest.fixture(scope="session")
def digests() -> Callable[[Path], dict[str, str]]:
    """Return a function that gives the SHA-256 of a database's files, by name; not the index's.

    Only for databases that no connection of this process has open: reading ends SQLite's locks.
    """

    def read(path: Path) -> dict[str, str]:
        return {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(path.parent.glob(f"{path.name}*"))
            if file.is_file() and not file.name.endswith("-shm")
        }

    return read


FIXTURES: Final = Path(__file__).parent / "fixtures"

NEW_VALUE: Final = "NEWLY_ALLOWED"
"""What a column of a later release takes and today's refuses."""


@pytest.fixture(scope="session")
def fixtures() -> tuple[Path, ...]:
    """Return the databases of every release, oldest first; to be copied, never opened in place."""
    return tuple(sorted(FIXTURES.glob("*.db"), key=lambda file: int(file.stem.split("-v")[1])))


@pytest.fixture
def old(path: Path, fixtures: tuple[Path, ...]) -> Path:
    """Return the path of a database that today's release left, with rows in every table."""
    shutil.copyfile(fixtures[-1], path)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def vocabularies() -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the values of every column that takes only listed ones, by table and column."""
    found = {}
    for table in metadata.tables.values():
        for constraint in table.constraints:
            text = str(getattr(constraint, "sqltext", ""))
            if listed := re.fullmatch(r"(?:\w+ IS NULL OR )?(\w+) IN \(('[^()]*')\)", text):
                found[table.name, listed[1]] = tuple(re.findall(r"'([^']*)'", listed[2]))
    return found


def _later(release: Release, *widened: tuple[str, str], added: str = "") -> Release:
    """Return the release after *release*: *widened* columns take `NEW_VALUE`, *added* is new."""
    definitions = list(release.definitions)
    for table, column in widened:
        head = re.compile(rf"(CONSTRAINT ck_{table}_{column} CHECK \([^()]*IN \()")
        definitions = [head.sub(rf"\1'{NEW_VALUE}', ", sql) for sql in definitions]
    rebuilt = sorted(set(definitions) - set(release.definitions))
    assert len(rebuilt) == len({table for table, _ in widened})

    def apply(sqlite: apsw.Connection) -> None:
        for definition in rebuilt:
            rebuild_table(sqlite, definition)
        sqlite.execute(added)

    with create_database(":memory:") as connection:
        push_release(connection, release)
        before = fingerprint(stored_schema(connection.sqlite))
    step = Step(release.version + 1, before, apply)
    new = (*definitions, added) if added else tuple(definitions)
    return Release(release.version + 1, new, (*release.steps, step))


@pytest.fixture(scope="session")
def later() -> Callable[..., Release]:
    """Return a function that gives the release after one, with lists widened and a table added."""
    return _later


@pytest.fixture
def contents() -> Callable[[apsw.Connection], dict[str, list[tuple[Any, ...]]]]:
    """Return a function that gives every row of every table, and the numbering, in order."""

    def read(sqlite: apsw.Connection) -> dict[str, list[tuple[Any, ...]]]:
        found = {
            name: list(sqlite.execute(f'SELECT rowid, * FROM "{name}" ORDER BY rowid'))  # noqa: S608 -- a table's name
            for kind, name in stored_schema(sqlite)
            if kind == "table"
        }
        return found | {"numbering": sorted(sqlite.execute("SELECT * FROM sqlite_sequence"))}

    return read
