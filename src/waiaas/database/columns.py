"""What columns are made of: integers of 64 bits, and checks named after their columns."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Integer

from waiaas.database.checks import build_check_sql, json_check_sql

INTEGER: Final = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both engines: plain `Integer` has 32 on PostgreSQL, `BIGINT` is illegal in STRICT."""


def named_check(table: str, column: str, condition: str) -> CheckConstraint:
    """Name a condition after its column, so that a refusal tells which one it was."""
    return CheckConstraint(condition, name=f"ck_{table}_{column}")


def enum_check(
    table: str, column: str, values: Iterable[str], *, nullable: bool = False
) -> CheckConstraint:
    """Allow the values of a vocabulary only."""
    return named_check(table, column, build_check_sql(column, values, nullable=nullable))


def json_check(table: str, column: str) -> CheckConstraint:
    """Allow JSON only; PostgreSQL has no such function for text."""
    return named_check(table, column, json_check_sql(column)).ddl_if(dialect="sqlite")
