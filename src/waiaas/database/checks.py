"""CHECK conditions: what the database itself refuses, whoever writes.

They are the only definition of what a column holds. The library does not repeat them in Python; it
lets the database refuse and translates the refusal into `ValueRefused(column, value)`.
The text is portable between SQLite and PostgreSQL unless said otherwise.
"""

from collections.abc import Iterable

from waiaas.domain.money import BASE_UNITS_MAX, DIGITS_MAX


def build_check_sql(column: str, values: Iterable[str], *, nullable: bool = False) -> str:
    """Return the condition that *column* holds one of *values*, without the word CHECK.

    `build_check_sql("status", ["A", "B"])` is `status IN ('A', 'B')`; with *nullable*,
    `status IS NULL OR status IN ('A', 'B')`.

    Raises:
        ValueError: there is no list or an empty one, the column is not an identifier, or a value
            holds a colon or a per cent sign, which SQLAlchemy silently rewrites inside SQL text.
    """
    if isinstance(values, str):
        raise ValueError(f"{values!r} is one text, not a list of values")  # noqa: TRY004 -- as below
    allowed = list(values)
    if not allowed:
        raise ValueError(f"an empty list would let {column} hold nothing at all")
    if not (column.isidentifier() and column.isascii()):
        raise ValueError(f"{column!r} is not a column name")
    for value in allowed:
        if any(character in value for character in ":%\0"):
            raise ValueError(f"{value!r} holds a colon, a per cent sign or a NUL")
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in allowed)
    condition = f"{column} IN ({quoted})"
    return f"{column} IS NULL OR {condition}" if nullable else condition


def flag_check_sql(column: str) -> str:
    """Return the condition that *column* is 0 or 1."""
    return f"{column} IN (0, 1)"


def uuid_check_sql(column: str) -> str:
    """Return the condition that *column* has the canonical lower-case form of a UUID.

    `ltrim` counts bytes where `length` stops at a NUL, so nothing hides behind one.
    """
    dashes = " AND ".join(f"substr({column}, {place}, 1) = '-'" for place in (9, 14, 19, 24))
    return (
        f"length({column}) = 36 AND {dashes} AND length(replace({column}, '-', '')) = 32 "
        f"AND ltrim(replace({column}, '-', ''), '0123456789abcdef') = ''"
    )


def amount_check_sql(column: str) -> str:
    """Return the condition that *column* is NULL or canonical digits up to 2^256-1.

    Digits of equal length compare as numbers do, so the bound is a comparison of text. GLOB would
    let `'1' || char(0)` pass.
    """
    return (
        f"{column} IS NULL OR ({column} <> '' AND ltrim({column}, '0123456789') = '' "
        f"AND (substr({column}, 1, 1) <> '0' OR {column} = '0') "
        f"AND (length({column}) < {DIGITS_MAX} OR "
        f"(length({column}) = {DIGITS_MAX} AND {column} <= '{BASE_UNITS_MAX}')))"
    )


def total_check_sql(column: str) -> str:
    """Return the condition that *column* is canonical digits: a sum of amounts has no bound."""
    return (
        f"{column} <> '' AND ltrim({column}, '0123456789') = '' "
        f"AND (substr({column}, 1, 1) <> '0' OR {column} = '0')"
    )


def hash_check_sql(column: str) -> str:
    """Return the condition that a column holds a SHA-256 in lower-case hex."""
    return f"length({column}) = 64 AND ltrim({column}, '0123456789abcdef') = ''"


def json_check_sql(column: str) -> str:
    """Return the condition (SQLite only) that *column* is NULL or RFC 8259 JSON.

    `json_valid` reads up to a NUL and ignores the rest; `instr` does not.
    """
    return f"{column} IS NULL OR (json_valid({column}) AND instr({column}, char(0)) = 0)"
