"""What becomes of children when a parent goes: CASCADE, RESTRICT and SET NULL, each by its rows."""

from collections.abc import Callable
from typing import Any, Final

import apsw
import pytest
from sqlalchemy import delete, insert, update

from waiaas.database import DatabaseConnection, generate_id
from waiaas.database.errors import ConstraintViolated, DatabaseError
from waiaas.database.schema import SEVEN_TABLES, metadata

Put = Callable[..., dict[str, Any]]
Required = Callable[[DatabaseConnection, str], dict[str, Any]]

KEYS: Final = [
    ("sessions", "agent_id", "agents", "CASCADE"),
    ("transactions", "agent_id", "agents", "RESTRICT"),
    ("transactions", "session_id", "sessions", "SET NULL"),
    ("transactions", "parent_id", "transactions", "CASCADE"),
    ("policies", "agent_id", "agents", "CASCADE"),
    ("pending_approvals", "tx_id", "transactions", "CASCADE"),
]


def _pair(
    connection: DatabaseConnection, put: Put, key: tuple[str, str, str, str]
) -> tuple[str, str]:
    """Insert a parent and a child of it, and one more of each that must never be touched."""
    child_table, column, parent_table, _ = key
    ids = []
    for _ in range(2):
        parent = put(connection, parent_table)
        child = put(connection, child_table, **{column: parent["id"]})
        ids.append((parent["id"], child["id"]))
    return ids[0]


def _rows(connection: DatabaseConnection, table: str) -> dict[str, tuple[Any, ...]]:
    rows = connection.sqlite.execute(f"SELECT * FROM {table}")  # noqa: S608 -- a name of ours
    return {row[0]: row for row in rows}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key[0]}.{key[1]}")
def test_deleting_a_parent_does_to_its_children_what_the_design_says(
    database: DatabaseConnection, put: Put, key: tuple[str, str, str, str]
) -> None:
    child_table, column, parent_table, action = key
    parent, child = _pair(database, put, key)
    before = _rows(database, child_table)
    table = metadata.tables[parent_table]
    statement = delete(table).where(table.c.id == parent)

    if action == "RESTRICT":
        with pytest.raises(ConstraintViolated, match="FOREIGN KEY"):
            database.db.execute(statement)
        assert parent in _rows(database, parent_table)
        assert _rows(database, child_table) == before
    else:
        database.db.execute(statement)
        after = _rows(database, child_table)
        gone = before.keys() - after.keys()
        place = [c.name for c in metadata.tables[child_table].columns].index(column)
        if action == "CASCADE":
            assert gone - {parent} == {child}
        else:
            assert gone == set()
            assert after[child][place] is None
            assert after[child][:place] == before[child][:place]
            assert after[child][place + 1 :] == before[child][place + 1 :]
        assert all(after[other] == before[other] for other in after.keys() - {child})
    assert list(database.sqlite.execute("PRAGMA foreign_key_check")) == []


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key[0]}.{key[1]}")
def test_a_child_without_its_parent_is_refused(
    shared: DatabaseConnection, required: Required, key: tuple[str, str, str, str]
) -> None:
    child_table, column, _, _ = key
    row = required(shared, child_table) | {column: generate_id()}
    with pytest.raises(ConstraintViolated, match="FOREIGN KEY"):
        shared.db.execute(insert(metadata.tables[child_table]), row)
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    with pytest.raises(apsw.ConstraintError, match="FOREIGN KEY"):
        shared.sqlite.execute(
            f"INSERT INTO {child_table} ({names}) VALUES ({values})",  # noqa: S608 -- names of ours
            row,
        )


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key[0]}.{key[1]}")
def test_the_id_of_a_parent_cannot_be_changed_under_its_children(
    shared: DatabaseConnection, put: Put, key: tuple[str, str, str, str]
) -> None:
    parent, _ = _pair(shared, put, key)
    table = metadata.tables[key[2]]
    with pytest.raises(ConstraintViolated, match="FOREIGN KEY"):
        shared.db.execute(update(table).where(table.c.id == parent).values(id=generate_id()))


def test_these_are_all_foreign_keys_of_the_seven() -> None:
    found = {
        (table.name, key.parent.name, key.column.table.name, key.ondelete)
        for table in SEVEN_TABLES
        for key in table.foreign_keys
    }
    assert found == set(KEYS)


def test_a_deferred_restriction_still_keeps_the_parent(
    database: DatabaseConnection, put: Put
) -> None:
    """SQLite lets one transaction put its foreign keys off; the commit then fails."""
    transaction = put(database, "transactions")
    agents = metadata.tables["agents"]

    def delete_the_parent_first() -> None:
        with database.db.transaction():
            database.sqlite.execute("PRAGMA defer_foreign_keys=ON").fetchall()
            database.db.execute(delete(agents).where(agents.c.id == transaction["agent_id"]))

    with pytest.raises(DatabaseError):
        delete_the_parent_first()
    assert [*_rows(database, "agents")] == [transaction["agent_id"]]
    assert [*_rows(database, "transactions")] == [transaction["id"]]


def test_a_session_with_transactions_goes_and_the_transactions_stay(
    database: DatabaseConnection, put: Put
) -> None:
    session = put(database, "sessions")
    row = put(database, "transactions", agent_id=session["agent_id"], session_id=session["id"])
    sessions = metadata.tables["sessions"]
    database.db.execute(delete(sessions).where(sessions.c.id == session["id"]))
    assert _rows(database, "transactions")[row["id"]][1:3] == (session["agent_id"], None)


def test_an_agent_without_transactions_takes_its_sessions_and_policies_along(
    database: DatabaseConnection, put: Put
) -> None:
    agent = put(database, "agents")
    for table in ("sessions", "policies"):
        put(database, table, agent_id=agent["id"])
    everywhere = put(database, "policies")
    agents = metadata.tables["agents"]
    database.db.execute(delete(agents).where(agents.c.id == agent["id"]))
    assert _rows(database, "sessions") == {}
    assert [*_rows(database, "policies")] == [everywhere["id"]]


def test_a_batch_takes_its_parts_and_their_approvals_along(
    database: DatabaseConnection, put: Put
) -> None:
    batch = put(database, "transactions")
    part = put(database, "transactions", parent_id=batch["id"])
    part_of_part = put(database, "transactions", parent_id=part["id"])
    put(database, "pending_approvals", tx_id=part_of_part["id"])
    transactions = metadata.tables["transactions"]
    database.db.execute(delete(transactions).where(transactions.c.id == batch["id"]))
    assert _rows(database, "transactions") == {}
    assert _rows(database, "pending_approvals") == {}


def test_rows_of_the_audit_log_outlive_their_subjects(
    database: DatabaseConnection, put: Put
) -> None:
    session = put(database, "sessions")
    agent = session["agent_id"]
    tx = put(database, "transactions", session_id=session["id"])
    subjects = {"agent_id": agent, "session_id": session["id"], "tx_id": tx["id"]}
    put(database, "audit_log", **subjects)
    for table, gone in (("transactions", tx["id"]), ("sessions", session["id"]), ("agents", agent)):
        place = metadata.tables[table]
        database.db.execute(delete(place).where(place.c.id == gone))
    query = "SELECT agent_id, session_id, tx_id FROM audit_log"
    assert list(database.sqlite.execute(query)) == [tuple(subjects.values())]


def test_the_audit_log_tells_of_things_that_never_were(
    database: DatabaseConnection, put: Put
) -> None:
    put(database, "audit_log", agent_id="nobody", session_id=generate_id(), tx_id="")
