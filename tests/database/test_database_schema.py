"""The schema of a real database is, column by column, the one the design lays down (§4.2)."""

import re
from collections.abc import Callable
from typing import Any, Final

import apsw
import pytest
from sqlalchemy import BigInteger, Text, insert
from sqlalchemy.dialects import postgresql, sqlite

import waiaas.database
from waiaas.database import DatabaseConnection
from waiaas.database.errors import ConstraintViolated, ValueRefused
from waiaas.database.schema import metadata

_dialect: Any = postgresql.dialect
_POSTGRESQL: Final = _dialect()
Required = Callable[[DatabaseConnection, str], dict[str, Any]]

# Transcribed from the design: name, type, PK or NN, default, foreign key with its action.
# fmt: off
COLUMNS: Final = {
    "agents": """
        id TEXT PK
        name TEXT NN
        chain TEXT NN
        network TEXT NN
        public_key TEXT NN
        status TEXT NN ='CREATING'
        owner_address TEXT
        owner_verified INTEGER NN =0
        created_at INTEGER NN
        updated_at INTEGER NN
        suspended_at INTEGER
        suspension_reason TEXT
    """,
    "sessions": """
        id TEXT PK
        agent_id TEXT NN -> agents CASCADE
        token_hash TEXT NN
        expires_at INTEGER NN
        constraints TEXT
        usage_stats TEXT
        revoked_at INTEGER
        renewal_count INTEGER NN =0
        max_renewals INTEGER NN =30
        last_renewed_at INTEGER
        absolute_expires_at INTEGER NN
        created_at INTEGER NN
    """,
    "transactions": """
        id TEXT PK
        agent_id TEXT NN -> agents RESTRICT
        session_id TEXT -> sessions SET NULL
        chain TEXT NN
        tx_hash TEXT
        type TEXT NN
        amount TEXT
        to_address TEXT
        token_mint TEXT
        contract_address TEXT
        method_signature TEXT
        spender_address TEXT
        approved_amount TEXT
        parent_id TEXT -> transactions CASCADE
        batch_index INTEGER
        status TEXT NN ='PENDING'
        tier TEXT
        queued_at INTEGER
        executed_at INTEGER
        created_at INTEGER NN
        error TEXT
        metadata TEXT
    """,
    "policies": """
        id TEXT PK
        agent_id TEXT -> agents CASCADE
        type TEXT NN
        rules TEXT NN
        priority INTEGER NN =0
        enabled INTEGER NN =1
        created_at INTEGER NN
        updated_at INTEGER NN
    """,
    "pending_approvals": """
        id TEXT PK
        tx_id TEXT NN -> transactions CASCADE
        required_by INTEGER NN
        expires_at INTEGER NN
        approved_at INTEGER
        rejected_at INTEGER
        owner_signature TEXT
        created_at INTEGER NN
    """,
    "audit_log": """
        id INTEGER PK
        timestamp INTEGER NN
        event_type TEXT NN
        actor TEXT NN
        agent_id TEXT
        session_id TEXT
        tx_id TEXT
        details TEXT NN
        severity TEXT NN ='info'
        ip_address TEXT
    """,
    "key_value_store": """
        key TEXT PK
        value TEXT NN
        updated_at INTEGER NN
    """,
}

INDEXES: Final = {
    "agents": """
        unique idx_agents_public_key(public_key)
        idx_agents_status(status)
        idx_agents_chain_network(chain, network)
        idx_agents_owner_address(owner_address)
    """,
    "sessions": """
        idx_sessions_agent_id(agent_id)
        idx_sessions_expires_at(expires_at)
        unique idx_sessions_token_hash(token_hash)
    """,
    "transactions": """
        idx_transactions_agent_status(agent_id, status)
        idx_transactions_session_id(session_id)
        unique idx_transactions_tx_hash(tx_hash)
        idx_transactions_queued_at(queued_at)
        idx_transactions_created_at(created_at)
        idx_transactions_type(type)
        idx_transactions_contract_address(contract_address)
        idx_transactions_parent_id(parent_id)
    """,
    "policies": """
        idx_policies_agent_enabled(agent_id, enabled)
        idx_policies_type(type)
    """,
    "pending_approvals": """
        idx_pending_approvals_tx_id(tx_id)
        idx_pending_approvals_expires_at(expires_at)
    """,
    "audit_log": """
        idx_audit_log_timestamp(timestamp)
        idx_audit_log_event_type(event_type)
        idx_audit_log_agent_id(agent_id)
        idx_audit_log_severity(severity)
        idx_audit_log_agent_timestamp(agent_id, timestamp)
    """,
    "key_value_store": "",
}

DEFAULTS: Final[dict[str, dict[str, str | int]]] = {
    "agents": {"status": "CREATING", "owner_verified": 0},
    "sessions": {"renewal_count": 0, "max_renewals": 30},
    "transactions": {"status": "PENDING"},
    "policies": {"priority": 0, "enabled": 1},
    "pending_approvals": {},
    "audit_log": {"severity": "info"},
    "key_value_store": {},
}
# fmt: on


def _lines(table: str) -> list[str]:
    return [line.strip() for line in table.strip().splitlines() if line.strip()]


def _columns(sqlite: apsw.Connection, table: str) -> list[str]:
    """Render a table's columns as the design writes them."""
    keys = {
        column: f"-> {parent} {on_delete}"
        for _, _, parent, column, _, _, on_delete, _ in sqlite.execute(
            f"PRAGMA foreign_key_list({table})"
        )
    }
    lines = []
    for _, name, kind, not_null, default, place_in_key, hidden in sqlite.execute(
        f"PRAGMA table_xinfo({table})"
    ):
        assert hidden == 0
        needed = "PK" if place_in_key else "NN" if not_null else ""
        given = "" if default is None else f"={default}"
        lines.append(" ".join(filter(None, [name, kind, needed, given, keys.get(name, "")])))
    return lines


def _indexes(sqlite: apsw.Connection, table: str) -> set[str]:
    """Render the indexes of a table, those of its primary key excepted, as the design does."""
    found = set()
    for _, name, unique, origin, partial in sqlite.execute(f"PRAGMA index_list({table})"):
        columns = [
            (column, descending, collation)
            for _, _, column, descending, collation, is_key in sqlite.execute(
                f"PRAGMA index_xinfo({name})"
            )
            if is_key
        ]
        assert {(descending, collation) for _, descending, collation in columns} == {(0, "BINARY")}
        assert not partial
        if origin == "c":
            names = ", ".join(column for column, _, _ in columns)
            found.add(f"{'unique ' if unique else ''}{name}({names})")
        else:
            assert origin == "pk"
    return found


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_has_exactly_the_columns_of_the_design_in_order(
    database: DatabaseConnection, table: str
) -> None:
    assert _columns(database.sqlite, table) == _lines(COLUMNS[table])


@pytest.mark.parametrize("table", INDEXES)
def test_a_table_has_exactly_the_indexes_of_the_design(
    database: DatabaseConnection, table: str
) -> None:
    wanted = _lines(INDEXES[table])
    assert _indexes(database.sqlite, table) == set(wanted)
    assert len(wanted) == len(set(wanted))


@pytest.mark.parametrize("table", COLUMNS)
def test_foreign_keys_point_at_ids_and_act_on_delete_only(
    database: DatabaseConnection, table: str
) -> None:
    for row in database.sqlite.execute(f"PRAGMA foreign_key_list({table})"):
        _, place, _, _, target, on_update, _, match = row
        assert (place, target, on_update, match) == (0, "id", "NO ACTION", "NONE")


@pytest.mark.parametrize("table", COLUMNS)
def test_a_primary_key_is_never_null(database: DatabaseConnection, table: str) -> None:
    keys = [
        (name, bool(not_null), place)
        for _, name, _, not_null, _, place, _ in database.sqlite.execute(
            f"PRAGMA table_xinfo({table})"
        )
        if place
    ]
    assert keys == [("key" if table == "key_value_store" else "id", True, 1)]


def test_the_seven_tables_are_strict_and_keep_their_rowid(database: DatabaseConnection) -> None:
    kinds = {
        name: (kind, columns, without_rowid, strict)
        for _, name, kind, columns, without_rowid, strict in database.sqlite.execute(
            "PRAGMA table_list"
        )
    }
    for table, columns in COLUMNS.items():
        assert kinds[table] == ("table", len(_lines(columns)), 0, 1)


def test_every_other_table_is_strict_too(database: DatabaseConnection) -> None:
    loose = {
        name
        for _, name, _, _, _, strict in database.sqlite.execute("PRAGMA table_list")
        if not strict and not name.startswith("sqlite_")
    }
    assert loose == set()


def test_autoincrement_is_on_what_is_numbered_in_order_only(
    database: DatabaseConnection, put: Callable[..., Any]
) -> None:
    texts = dict(
        database.sqlite.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
    )
    assert {name for name, sql in texts.items() if sql and "AUTOINCREMENT" in sql.upper()} == {
        "audit_log",
        "outbox",
    }
    for table in COLUMNS:
        put(database, table)
    assert list(database.sqlite.execute("SELECT name FROM sqlite_sequence")) == [("audit_log",)]


def test_the_package_re_exports_the_seven_tables_and_its_public_names() -> None:
    for table in COLUMNS:
        assert getattr(waiaas.database, table) is metadata.tables[table]
    functions = {
        "DatabaseConnection",
        "build_check_sql",
        "close_database",
        "create_database",
        "generate_id",
        "open_ledger",
        "push_schema",
    }
    assert {*COLUMNS} | functions <= set(waiaas.database.__all__)
    assert all(hasattr(waiaas.database, name) for name in waiaas.database.__all__)


@pytest.mark.parametrize("table", COLUMNS)
def test_an_insert_of_only_the_not_null_columns_without_a_default_works(
    database: DatabaseConnection, required: Required, table: str
) -> None:
    row = required(database, table)
    wanted = {
        line.split()[0]
        for line in _lines(COLUMNS[table])
        if re.search(r" (PK|NN)\b(?! =)", line) and (table, line) != ("audit_log", "id INTEGER PK")
    }
    assert row.keys() == wanted

    database.db.execute(insert(metadata.tables[table]), row)

    [stored] = database.sqlite.execute(
        f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT 1"  # noqa: S608 -- a name of ours
    )
    names = [line.split()[0] for line in _lines(COLUMNS[table])]
    nothing: dict[str, Any] = dict.fromkeys(names)
    number = {"id": 1} if table == "audit_log" else {}
    assert dict(zip(names, stored, strict=True)) == nothing | DEFAULTS[table] | number | row


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table, line.split()[0])
        for table, lines in COLUMNS.items()
        for line in _lines(lines)
        if re.search(r" (PK|NN)\b", line) and (table, line) != ("audit_log", "id INTEGER PK")
    ],
)
def test_a_not_null_column_refuses_null_and_names_itself(
    shared: DatabaseConnection, required: Required, table: str, column: str
) -> None:
    row = required(shared, table) | {column: None}
    with pytest.raises(ValueRefused) as refused:
        shared.db.execute(insert(metadata.tables[table]), row)
    assert (refused.value.column, refused.value.value) == (column, None)
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    with pytest.raises(apsw.ConstraintError):
        shared.sqlite.execute(
            f"INSERT INTO {table} ({names}) VALUES ({values})",  # noqa: S608 -- names of ours
            row,
        )


def test_the_definitions_use_only_the_two_portable_types() -> None:
    for table in metadata.tables.values():
        for column in table.columns:
            assert type(column.type) in (Text, BigInteger), column
            on_sqlite = column.type.compile(dialect=sqlite.dialect())
            on_postgresql = column.type.compile(dialect=_POSTGRESQL)
            assert (on_sqlite, on_postgresql) in {("TEXT", "TEXT"), ("INTEGER", "BIGINT")}, column


def test_the_schema_is_sound_to_sqlite_itself(database: DatabaseConnection) -> None:
    assert list(database.sqlite.execute("PRAGMA integrity_check")) == [("ok",)]
    assert list(database.sqlite.execute("PRAGMA foreign_key_check")) == []


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("agents", "id"),
        ("agents", "public_key"),
        ("sessions", "id"),
        ("sessions", "token_hash"),
        ("transactions", "id"),
        ("transactions", "tx_hash"),
        ("policies", "id"),
        ("pending_approvals", "id"),
        ("key_value_store", "key"),
    ],
)
def test_a_unique_column_holds_a_value_once(
    shared: DatabaseConnection, put: Callable[..., Any], table: str, column: str
) -> None:
    value = put(shared, table).get(column) or "hash of something"
    if column == "tx_hash":
        put(shared, table)  # NULLs are not equal: many transactions have no hash yet.
        put(shared, table, tx_hash=value)
    with pytest.raises(ConstraintViolated, match=rf"UNIQUE.*{table}\.{column}"):
        put(shared, table, **{column: value})
