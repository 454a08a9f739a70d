"""Rows that nobody can read, as a defect or a foreign program might leave them."""

from typing import TYPE_CHECKING

from waiaas.database import create_database

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOT_TEXT = "UPDATE transactions SET to_address = CAST(x'ff' AS TEXT) WHERE id = ?"
POISONS = {
    "its text is none": NOT_TEXT,
    "its tier is none": "UPDATE transactions SET tier = 'NONE' WHERE id = ?",
    "its request is gone": "DELETE FROM requests WHERE tx_id = ?",
    "its request is no text": "UPDATE requests SET request = CAST(x'ff' AS TEXT) WHERE tx_id = ?",
}
"""What makes a payment unreadable, whose id is the only value."""


def tamper(office: "Office", sql: str, *values: str | None) -> None:
    """Write to the ledger what it would refuse, as a defect or a foreign program might."""
    with create_database(office.ledger.path) as connection:
        for setting in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
            connection.sqlite.execute(f"PRAGMA {setting}")
        connection.sqlite.execute(sql, values)
