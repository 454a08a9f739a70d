"""What a payment, or the operator, asks of the ledger takes no longer because the ledger is large.

Asked is SQLite itself: how it would answer each statement of the table families. What reads a table
from one end to the other on purpose (checks, exports, back-tests) is in none of them.
"""

import sys
from typing import Final

from waiaas.database import DatabaseConnection, create_database, push_schema
from waiaas.database.statements import Statement
from waiaas.database.tables import Tables

GROWING: Final = frozenset(
    {
        "attempts",
        "audit_log",
        "decisions",
        "live_references",
        "pending_approvals",
        "requests",
        "reservations",
        "spent_totals",
        "terms",
        "transactions",
    }
)
"""Tables that get rows with every payment. `audit_chain` is asked for its maximum only."""

PARTS: Final = "idx_transactions_parent_id (parent_id=?)"
"""In this index nearly all transactions have the same place: they are no parts of a batch."""


def _statements() -> list[Statement]:
    with create_database(":memory:") as connection:
        tables = Tables(connection.db.execute)
    modules = {type(getattr(tables, name)).__module__ for name in Tables.__slots__}
    found = [each for name in modules for each in vars(sys.modules[name]).values()]
    return [each for each in found if isinstance(each, Statement)]


def _reads_all(connection: DatabaseConnection) -> list[str]:
    """Return the steps in which a table that grows would be read whole, or nearly so."""
    found = list[str]()
    statements = _statements()
    assert len(statements) > 80
    for text in (statement.compiled for statement in statements):
        given = {name: "x" if kind is str else 1 for name, kind, _ in text.kinds}
        plan = connection.sqlite.execute(f"EXPLAIN QUERY PLAN {text.sql}", given)
        found += [
            step
            for *_, step in plan
            if (step.startswith("SCAN") and step.split()[1] in GROWING)
            or (PARTS in step and "parent_id IS NULL" in text.sql)
        ]
    return found


def test_no_statement_reads_a_table_that_grows_from_one_end_to_the_other() -> None:
    with create_database(":memory:") as connection:
        push_schema(connection)
        assert _reads_all(connection) == []


def test_control_without_an_index_some_do() -> None:
    with create_database(":memory:") as connection:
        push_schema(connection)
        connection.sqlite.execute("DROP INDEX idx_attempts_tx_id")
        assert {step.split()[1] for step in _reads_all(connection)} == {"attempts"}
