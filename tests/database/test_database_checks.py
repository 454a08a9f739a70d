"""A column refuses what it must, through the library with column and value, past it too."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, CheckConstraint, Column, MetaData, Table, Text, insert
from sqlalchemy.schema import CreateTable

from waiaas.database import DatabaseConnection, build_check_sql, generate_id
from waiaas.database.errors import ValueRefused
from waiaas.database.schema import SEVEN_TABLES, metadata
from waiaas.domain import enums

Row = dict[str, Any]
Required = Callable[[DatabaseConnection, str], Row]

# Transcribed from the design. Whether NULL is allowed stands last.
ENUM_COLUMNS: Final = [
    ("agents", "chain", "solana ethereum", False),
    ("agents", "network", "mainnet devnet testnet localnet", False),
    ("agents", "status", "CREATING ACTIVE SUSPENDED TERMINATING TERMINATED", False),
    ("transactions", "type", "TRANSFER TOKEN_TRANSFER CONTRACT_CALL APPROVE BATCH", False),
    (
        "transactions",
        "status",
        "PENDING QUEUED EXECUTING SUBMITTED CONFIRMED FAILED CANCELLED EXPIRED PARTIAL_FAILURE",
        False,
    ),
    ("transactions", "tier", "INSTANT NOTIFY DELAY APPROVAL", True),
    (
        "policies",
        "type",
        (
            "SPENDING_LIMIT WHITELIST TIME_RESTRICTION RATE_LIMIT ALLOWED_TOKENS CONTRACT_WHITELIST"
            " METHOD_WHITELIST APPROVED_SPENDERS APPROVE_AMOUNT_LIMIT APPROVE_TIER_OVERRIDE"
        ),
        False,
    ),
    ("audit_log", "severity", "info warning critical", False),
]
ENUM_OF: Final = {
    ("agents", "chain"): enums.ChainType,
    ("agents", "network"): enums.NetworkType,
    ("agents", "status"): enums.AgentStatus,
    ("transactions", "type"): enums.TransactionType,
    ("transactions", "status"): enums.TransactionStatus,
    ("transactions", "tier"): enums.PolicyTier,
    ("policies", "type"): enums.PolicyType,
    ("audit_log", "severity"): enums.AuditSeverity,
}
UUID_TABLES: Final = ["agents", "sessions", "transactions", "policies", "pending_approvals"]
AMOUNTS: Final = [("transactions", "amount"), ("transactions", "approved_amount")]
JSONS: Final = [
    ("sessions", "constraints", True),
    ("sessions", "usage_stats", True),
    ("transactions", "metadata", True),
    ("policies", "rules", False),
    ("audit_log", "details", False),
]
FLAGS: Final = [("agents", "owner_verified"), ("policies", "enabled")]
UNCHECKED: Final = [
    ("agents", "name"),
    ("agents", "public_key"),
    ("agents", "owner_address"),
    ("agents", "suspension_reason"),
    ("sessions", "token_hash"),
    ("transactions", "chain"),
    ("transactions", "tx_hash"),
    ("transactions", "to_address"),
    ("transactions", "token_mint"),
    ("transactions", "contract_address"),
    ("transactions", "method_signature"),
    ("transactions", "spender_address"),
    ("transactions", "error"),
    ("pending_approvals", "owner_signature"),
    ("audit_log", "event_type"),
    ("audit_log", "actor"),
    ("audit_log", "agent_id"),
    ("audit_log", "session_id"),
    ("audit_log", "tx_id"),
    ("audit_log", "ip_address"),
    ("key_value_store", "key"),
    ("key_value_store", "value"),
]
"""Nothing is checked on hashes, addresses, names, or ids of the audit log's subjects."""


def _write_past_the_library(connection: DatabaseConnection, table: str, row: Row) -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    connection.sqlite.execute(
        f"INSERT INTO {table} ({names}) VALUES ({values})",  # noqa: S608 -- names of ours
        row,
    )


def _is_accepted(
    connection: DatabaseConnection, required: Required, table: str, column: str, value: object
) -> bool:
    """Try *value* both ways; they must agree, and a refusal must name the column and the value."""
    refused = _refusal(connection, table, required(connection, table) | {column: value})
    if refused is not None:
        assert (refused.column, refused.value) == (column, value)
        assert type(refused.value) is type(value)
        assert str(refused).startswith(f"{column} refuses {value!r}"[:60])
    past = required(connection, table) | {column: value}
    if refused is not None:
        with pytest.raises(apsw.ConstraintError):
            _write_past_the_library(connection, table, past)
    elif column != "id":  # The same id again would be refused for another reason.
        _write_past_the_library(connection, table, past)
    return refused is None


def _refusal(connection: DatabaseConnection, table: str, row: Row) -> ValueRefused | None:
    try:
        connection.db.execute(insert(metadata.tables[table]), row)
    except ValueRefused as refused:
        return refused
    return None


# ── enums ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [(table, column, v) for table, column, values, _ in ENUM_COLUMNS for v in values.split()],
)
def test_an_enum_column_takes_every_one_of_its_values(
    shared: DatabaseConnection, required: Required, table: str, column: str, value: str
) -> None:
    assert _is_accepted(shared, required, table, column, value)


@pytest.mark.parametrize(("table", "column", "values", "nullable"), ENUM_COLUMNS)
def test_an_enum_column_refuses_everything_that_is_nearly_a_value(  # noqa: PLR0917 -- a row
    shared: DatabaseConnection,
    required: Required,
    table: str,
    column: str,
    values: str,
    nullable: bool,  # noqa: FBT001 -- a row of the table above
) -> None:
    for value in values.split():
        for wrong in (
            value.swapcase(),
            value.title(),
            f"{value} ",
            f" {value}",
            f"{value}\n",
            f"{value}\0",
            f"{value}\0x",
            f"\0{value}",
            value[:-1],
            value + value[-1],
            value.replace("i", "\u0131").replace("I", "\u0130").replace("E", "\u0415") + "\u200b",
            f"'{value}'",
        ):
            assert not _is_accepted(shared, required, table, column, wrong)
    for wrong in ("", " ", "\0", "nosuch", "NULL", "0", values, "\N{PILE OF POO}"):
        assert not _is_accepted(shared, required, table, column, wrong)
    assert _is_accepted(shared, required, table, column, None) == nullable


@pytest.mark.parametrize(("table", "column", "values", "nullable"), ENUM_COLUMNS)
def test_the_check_list_in_the_real_schema_is_exactly_the_enum(
    shared: DatabaseConnection,
    table: str,
    column: str,
    values: str,
    nullable: bool,  # noqa: FBT001 -- a row of the table above
) -> None:
    [(sql,)] = shared.sqlite.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,))
    found = re.search(rf"CONSTRAINT ck_{table}_{column} CHECK \((.*)\)", sql)
    assert found
    listed = ", ".join(f"'{value}'" for value in ENUM_OF[table, column])
    null = f"{column} IS NULL OR " if nullable else ""
    assert found[1] == f"{null}{column} IN ({listed})"
    assert [*ENUM_OF[table, column]] == values.split()


def test_no_enum_list_in_the_real_schema_is_unknown_to_these_tests(
    shared: DatabaseConnection,
) -> None:
    seven = {table.name for table in SEVEN_TABLES}
    rows = shared.sqlite.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
    lists = {
        (name, column)
        for name, sql in rows
        if name in seven
        for column in re.findall(r"(\w+) IN \('", sql)
    }
    assert lists == {(table, column) for table, column, _, _ in ENUM_COLUMNS} == ENUM_OF.keys()


# ── ids ────────────────────────────────────────────────────────────────────────────────────────

GOOD_ID: Final = "0198c0de-0000-7000-8000-00000000000a"


@pytest.mark.parametrize("table", UUID_TABLES)
def test_an_id_has_the_canonical_form_of_a_uuid(
    shared: DatabaseConnection, required: Required, table: str
) -> None:
    assert _is_accepted(shared, required, table, "id", generate_id())
    for wrong in (
        "",
        "1",
        GOOD_ID.upper(),
        GOOD_ID.replace("-", ""),
        "{" + GOOD_ID + "}",
        f"urn:uuid:{GOOD_ID}",
        f"{GOOD_ID} ",
        f" {GOOD_ID}",
        f"{GOOD_ID}\0",
        f"{GOOD_ID}\0{GOOD_ID}",
        GOOD_ID[:-1],
        f"{GOOD_ID[:-1]}\0",
        GOOD_ID[:-1] + "g",
        GOOD_ID[:-1] + "-",
        GOOD_ID[:-1] + "\u0661",
        GOOD_ID[:-1] + "\uff11",
        GOOD_ID + "0",
        "0198c0de0-000-7000-8000-00000000000a",
        "0198c0de-0000-7000-8000-0000-000000a",
        "-" * 36,
        "0" * 36,
        "a" * 32 + "----",
    ):
        assert not _is_accepted(shared, required, table, "id", wrong), wrong


@given(
    text=st.one_of(
        st.text(),
        st.from_regex(r"[0-9a-f-]{36}", fullmatch=True),
        st.from_regex(r"[0-9a-fA-F]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", fullmatch=True),
        st.builds(
            lambda place, character: GOOD_ID[:place] + character + GOOD_ID[place + 1 :],
            st.integers(0, 35),
            st.characters(),
        ),
    )
)
def test_an_id_is_accepted_exactly_when_it_has_the_form(
    shared: DatabaseConnection, required: Required, text: str
) -> None:
    form = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    wanted = re.fullmatch(form, text, re.ASCII) is not None
    row = required(shared, "agents") | {"id": text}
    shared.sqlite.execute("SAVEPOINT one")
    refused = _refusal(shared, "agents", row)
    shared.sqlite.execute("ROLLBACK TO one; RELEASE one")
    assert (refused is None) == wanted
    if refused is not None:
        assert (refused.column, refused.value) == ("id", text)


# ── amounts ────────────────────────────────────────────────────────────────────────────────────

MAX: Final = 2**256 - 1


def _is_amount(text: str) -> bool:
    return re.fullmatch("0|[1-9][0-9]*", text) is not None and len(text) < 99 and int(text) <= MAX


@pytest.mark.parametrize(("table", "column"), AMOUNTS)
def test_an_amount_is_canonical_digits_up_to_2_256_less_one(
    shared: DatabaseConnection, required: Required, table: str, column: str
) -> None:
    for good in (None, "0", "1", "9", "10", "18446744073709551616", "9" * 77, str(MAX)):
        assert _is_accepted(shared, required, table, column, good), good
    for wrong in (
        "",
        " ",
        "00",
        "01",
        "007",
        "0" * 78,
        "+1",
        "-1",
        "-0",
        "1_0",
        "1.0",
        "1e3",
        "0x1",
        "1,000",
        " 1",
        "1 ",
        "1\n",
        "1\0",
        "1\x000",
        "\x001",
        "\u0661\u0662",
        "\uff11",
        "\u00b2",
        "1\u0660",
        "NaN",
        str(MAX + 1),
        str(MAX)[:-1] + "6",
        "9" * 78,
        "1" + "0" * 78,
        "1" * 79,
        str(MAX) + "\0",
        "1" * 77 + "\0",
        "9" * 500,
    ):
        assert not _is_accepted(shared, required, table, column, wrong), wrong


def test_the_oracle_of_amounts_knows_the_bound() -> None:
    assert len(str(MAX)) == 78
    assert _is_amount(str(MAX))
    assert not _is_amount(str(MAX + 1))


@example(text=str(MAX))
@example(text=str(MAX + 1))
@given(
    text=st.one_of(
        st.integers(0, 2**257).map(str),
        st.integers(MAX - 10**6, MAX + 10**6).map(str),
        st.integers(-5, 10**20).map(str),
        st.from_regex(r"[0-9]{76,80}", fullmatch=True),
        st.text(alphabet="0123456789+-_. eE\0\n\u0660\u0663\uff11", max_size=90),
        st.text(max_size=20),
    )
)
def test_an_amount_is_accepted_exactly_when_it_is_canonical(
    shared: DatabaseConnection, text: str
) -> None:
    """Evaluated by SQLite as the CHECK of a STRICT table, by the library, and by Python."""
    row: Row = {"agent_id": generate_id(), "chain": "solana", "type": "TRANSFER", "created_at": 1}
    shared.sqlite.execute("PRAGMA foreign_keys=OFF").fetchall()
    try:
        for column in ("amount", "approved_amount"):
            whole = row | {"id": generate_id(), column: text}
            refused = _refusal(shared, "transactions", whole)
            assert (refused is None) == _is_amount(text)
            past = whole | {"id": generate_id()}
            if refused is None:
                _write_past_the_library(shared, "transactions", past)
            else:
                assert (refused.column, refused.value) == (column, text)
                with pytest.raises(apsw.ConstraintError):
                    _write_past_the_library(shared, "transactions", past)
        shared.sqlite.execute("DELETE FROM transactions")
    finally:
        shared.sqlite.execute("PRAGMA foreign_keys=ON").fetchall()


# ── JSON and flags ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("table", "column", "nullable"), JSONS)
def test_a_json_column_holds_rfc_8259_json_or_null_where_it_may(
    shared: DatabaseConnection,
    required: Required,
    table: str,
    column: str,
    nullable: bool,  # noqa: FBT001 -- a row of the table above
) -> None:
    for good in (
        "{}",
        "[]",
        "null",
        "0",
        '"text"',
        ' {"a": [1, 2.5e3, null, true]} ',
        '{"\u00e9": "\U0001f600"}',
        '"\\u0000"',
    ):
        assert _is_accepted(shared, required, table, column, good), good
    for wrong in (
        "",
        " ",
        "{",
        "{}}",
        "{} {}",
        "{a: 1}",
        "{'a': 1}",
        '{"a": 1,}',
        "[1,]",
        "01",
        "+1",
        ".5",
        "0x10",
        "NaN",
        "Infinity",
        "nul",
        "undefined",
        "// comment\n{}",
        "/* comment */ {}",
        "{}\0",
        "{}\0{}",
        "\0{}",
        '"\0"',
        '"\n"',
        "\ufeff{}",
        "{}\u00a0",
    ):
        assert not _is_accepted(shared, required, table, column, wrong), wrong
    assert _is_accepted(shared, required, table, column, None) == nullable


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    ascii_only=st.booleans(),
)  # fmt: skip
def test_whatever_python_writes_as_json_is_accepted_and_comes_back(
    shared: DatabaseConnection,
    value: object,
    ascii_only: bool,  # noqa: FBT001 -- drawn
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    key = generate_id()
    row: Row = {"id": key, "type": "WHITELIST", "rules": text, "created_at": 1, "updated_at": 1}
    shared.db.execute(insert(metadata.tables["policies"]), row)
    [(stored,)] = shared.sqlite.execute("SELECT rules FROM policies WHERE id = ?", (key,))
    assert stored == text


@pytest.mark.parametrize(("table", "column"), FLAGS)
def test_a_flag_is_0_or_1(
    shared: DatabaseConnection, required: Required, table: str, column: str
) -> None:
    for good in (0, 1):
        assert _is_accepted(shared, required, table, column, good)
    for wrong in (2, -1, 10, 2**63 - 1, -(2**63), None):
        assert not _is_accepted(shared, required, table, column, wrong)


# ── what is not checked, and what is refused everywhere ────────────────────────────────────────


@pytest.mark.parametrize(("table", "column"), UNCHECKED)
def test_names_hashes_and_addresses_are_kept_as_they_are(
    shared: DatabaseConnection, required: Required, table: str, column: str
) -> None:
    for value in ("", " ", "\0", f"a\0{generate_id()}", "%s :x ?1 'quoted\" \U0001f600\n"):
        row = required(shared, table) | {column: value}
        shared.db.execute(insert(metadata.tables[table]), row)
        query = f"SELECT count(*) FROM {table} WHERE {column} = ?"  # noqa: S608 -- names of ours
        [(count,)] = shared.sqlite.execute(query, (value,))
        assert count >= 1
        shared.sqlite.execute(
            f"UPDATE {table} SET {column} = {column} || hex(randomblob(8))"  # noqa: S608 -- ditto
            if table != "audit_log"
            else "SELECT 1"
        )


COLUMNS: Final = [
    (table.name, column.name, isinstance(column.type, Text))
    for table in SEVEN_TABLES
    for column in table.columns
]


@pytest.mark.parametrize(("table", "column", "is_text"), COLUMNS)
def test_a_column_refuses_values_of_another_type(
    shared: DatabaseConnection,
    required: Required,
    table: str,
    column: str,
    is_text: bool,  # noqa: FBT001 -- a row of the table above
) -> None:
    of_text = (5, 0, 1.5, b"bytes", True, False, "\ud800", "a\udfffb", ["a"])
    of_integers = (
        "5",
        "",
        1.5,
        1.0,
        b"\x01",
        True,
        False,
        2**63,
        -(2**63) - 1,
        2**200,
        float("nan"),
    )
    for wrong in of_text if is_text else of_integers:
        row = required(shared, table) | {column: wrong}
        with pytest.raises(ValueRefused) as refused:
            shared.db.execute(insert(metadata.tables[table]), row)
        assert refused.value.column == column
        assert refused.value.value is wrong
        assert str(refused.value).startswith(f"{column} refuses {wrong!r}")


@pytest.mark.parametrize(("table", "column", "is_text"), COLUMNS)
def test_a_strict_table_refuses_other_types_past_the_library(
    shared: DatabaseConnection,
    required: Required,
    table: str,
    column: str,
    is_text: bool,  # noqa: FBT001 -- a row of the table above
) -> None:
    for wrong in (b"bytes",) if is_text else (b"1", "five", "", 1.5):
        row = required(shared, table) | {column: wrong}
        with pytest.raises(apsw.Error, match=r"cannot store|datatype mismatch"):
            _write_past_the_library(shared, table, row)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0, -1])
def test_an_integer_column_holds_64_bits(
    shared: DatabaseConnection, required: Required, value: int
) -> None:
    row = required(shared, "key_value_store") | {"updated_at": value}
    shared.db.execute(insert(metadata.tables["key_value_store"]), row)
    query = "SELECT updated_at FROM key_value_store WHERE key = ?"
    assert list(shared.sqlite.execute(query, (row["key"],))) == [(value,)]


def test_a_refusal_repeats_only_the_beginning_of_a_long_value(
    shared: DatabaseConnection, required: Required
) -> None:
    row = required(shared, "transactions") | {"amount": "x" * 10_000}
    with pytest.raises(ValueRefused) as refused:
        shared.db.execute(insert(metadata.tables["transactions"]), row)
    assert len(str(refused.value)) < 200
    assert refused.value.value == "x" * 10_000


def test_a_value_past_the_limit_of_a_row_is_refused_by_name(
    shared: DatabaseConnection, required: Required
) -> None:
    row = required(shared, "key_value_store") | {"value": "x" * (16 * 1024 * 1024 + 1)}
    with pytest.raises(ValueRefused, match=r"value refuses .* too long"):
        shared.db.execute(insert(metadata.tables["key_value_store"]), row)


def test_a_refused_update_changes_nothing(
    shared: DatabaseConnection, put: Callable[..., Row]
) -> None:
    agent = put(shared, "agents")
    table = metadata.tables["agents"]
    with pytest.raises(ValueRefused) as refused:
        shared.db.execute(table.update().where(table.c.id == agent["id"]).values(status="active"))
    assert (refused.value.column, refused.value.value) == ("status", "active")
    query = "SELECT status, updated_at FROM agents WHERE id = ?"
    assert list(shared.sqlite.execute(query, (agent["id"],))) == [("CREATING", 2)]


# ── build_check_sql ────────────────────────────────────────────────────────────────────────────


class _Letters(StrEnum):
    A = "A"
    B = "B"


@pytest.mark.parametrize(
    ("column", "values", "nullable", "wanted"),
    [
        ("status", ["A", "B"], False, "status IN ('A', 'B')"),
        ("status", ["A", "B"], True, "status IS NULL OR status IN ('A', 'B')"),
        ("tier", ["A"], False, "tier IN ('A')"),
        ("s", ["it's", "''"], False, "s IN ('it''s', '''''')"),
        ("s", _Letters, False, "s IN ('A', 'B')"),
        ("s", (letter for letter in "AB"), True, "s IS NULL OR s IN ('A', 'B')"),
        ("s", ["", " ", "\u00e9"], False, "s IN ('', ' ', '\u00e9')"),
    ],
)
def test_build_check_sql_writes_exactly_this(
    column: str,
    values: Any,
    nullable: bool,  # noqa: FBT001 -- a row of the table above
    wanted: str,
) -> None:
    assert build_check_sql(column, values, nullable=nullable) == wanted


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("s", []),
        ("s", "AB"),
        ("s", iter(())),
        ("s", ["a:b"]),
        ("s", ["A", ":x"]),
        ("s", ["50%"]),
        ("s", ["%s"]),
        ("s", ["a\0"]),
        ("", ["A"]),
        ("a b", ["A"]),
        ("s) --", ["A"]),
        ('"s"', ["A"]),
        ("1s", ["A"]),
        ("stat\u00fcs", ["A"]),
        ("s:x", ["A"]),
    ],
)
def test_build_check_sql_refuses(column: str, values: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        build_check_sql(column, values)


@given(
    values=st.lists(
        st.text(st.characters(exclude_characters=":%\0", exclude_categories=["Cs"])), min_size=1
    )
)
def test_sqlite_reads_back_the_list_that_build_check_sql_wrote(values: list[str]) -> None:
    """Through SQLAlchemy, whose rewriting of text is why some characters are refused."""
    table = Table(
        "t",
        MetaData(),
        Column("v", Text),
        CheckConstraint(build_check_sql("v", values)),
        sqlite_strict=True,
    )
    sqlite = apsw.Connection(":memory:")
    sqlite.execute(str(CreateTable(table).compile(dialect=_sqlite_dialect())))
    for value in values:
        sqlite.execute("INSERT INTO t VALUES (?)", (value,))
    for value in {f"{value}x" for value in values} - set(values):
        with pytest.raises(apsw.ConstraintError):
            sqlite.execute("INSERT INTO t VALUES (?)", (value,))


def _sqlite_dialect() -> Any:
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 -- the name is taken above

    return sqlite.dialect()


CHANGED: Final = """
import enum, sys
from waiaas.domain import enums
name = sys.argv[1]
old = getattr(enums, name)
setattr(enums, name, enum.StrEnum(name, [*((e.name, e.value) for e in old), ("NEW", "brand-new")]))
from waiaas.database import create_database, push_schema
table, column = sys.argv[2:]
with create_database(":memory:") as connection:
    push_schema(connection)
    [(sql,)] = connection.sqlite.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,))
    print(sql)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), ENUM_OF)
def test_adding_a_value_to_an_enum_changes_the_constraint(table: str, column: str) -> None:
    enum = ENUM_OF[table, column]
    command = [sys.executable, "-c", CHANGED, enum.__name__, table, column]
    sql = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    listed = ", ".join(f"'{value}'" for value in [*enum, "brand-new"])
    assert f"{column} IN ({listed})" in sql


def test_a_table_built_from_a_longer_list_takes_the_new_value() -> None:
    for extra in ([], ["TERMINATED_TWICE"]):
        table = Table(
            "agents",
            MetaData(),
            Column("status", Text),
            Column("at", BigInteger),
            CheckConstraint(build_check_sql("status", [*enums.AgentStatus, *extra])),
        )
        sqlite = apsw.Connection(":memory:")
        sqlite.execute(str(CreateTable(table).compile(dialect=_sqlite_dialect())))
        if extra:
            sqlite.execute("INSERT INTO agents VALUES ('TERMINATED_TWICE', 1)")
        else:
            with pytest.raises(apsw.ConstraintError):
                sqlite.execute("INSERT INTO agents VALUES ('TERMINATED_TWICE', 1)")
