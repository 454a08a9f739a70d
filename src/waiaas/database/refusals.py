"""From SQLite's errors to ours: which column refused which value, and what else went wrong."""

import re
from collections.abc import Mapping
from typing import Final

import apsw
from sqlalchemy import CheckConstraint

from waiaas.database.errors import (
    Closed,
    ConstraintViolated,
    DatabaseError,
    LedgerFull,
    NotADatabase,
    ReadOnlyDatabase,
    RolledBack,
    ValueRefused,
)
from waiaas.database.schema import metadata
from waiaas.database.statements import Parameters

_CHECKED_COLUMN: Final[Mapping[str, str]] = {
    str(constraint.name): str(constraint.name).removeprefix(f"ck_{table.name}_")
    for table in metadata.tables.values()
    for constraint in table.constraints
    if isinstance(constraint, CheckConstraint)
}
"""Each CHECK is named after the one column it guards."""

_WRONG_TYPE: Final = re.compile(r"cannot store (\w+) value in (\w+) column \w+\.(\w+)")

_INSERT: Final = re.compile(
    r"\w+ INTO \w+ \((?P<columns>[^)]*)\) VALUES \((?P<values>.*)", re.DOTALL
)
_ASSIGNMENT: Final = re.compile(r'\b(\w+)"?=:(\w+)')
"""Where a compiled statement says which parameter goes into which column."""

_INTEGER_BITS: Final = 63


def translated(  # noqa: PLR0911 -- one row per kind of error
    error: Exception, values: Parameters, path: str, *, sql: str = ""
) -> DatabaseError:
    """Return our error for one of the driver's; *values* are what was bound in *sql*, by name."""
    match error:
        case UnicodeEncodeError() | OverflowError():
            return _unstorable(values)
        case apsw.ConstraintError():
            return _refused(error, values, sql)
        case apsw.TooBigError():
            return _too_long(values)
        case apsw.ReadOnlyError():
            return ReadOnlyDatabase(path)
        case apsw.FullError():
            return LedgerFull()
        case apsw.BusyError() | apsw.LockedError():
            return RolledBack("another connection is writing")
        case apsw.ConnectionClosedError() | apsw.CursorClosedError():
            return Closed()
        case apsw.NotADBError() | apsw.CorruptError():
            return NotADatabase(path, reason=str(error))
        case _:
            return _other(error, path)


def _other(error: Exception, path: str) -> DatabaseError:
    if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:
        return LedgerFull()  # There is no room for the index of the WAL.
    if isinstance(error, apsw.CantOpenError):
        return DatabaseError(
            f"{path} cannot be opened; check that it and its folder exist and may be written"
        )
    if isinstance(error, UnicodeDecodeError):
        return DatabaseError(f"{path} holds text that is not UTF-8; restore a backup")
    return DatabaseError(f"{path}: SQLite reports: {error}")


def _refused(error: apsw.ConstraintError, values: Parameters, sql: str) -> DatabaseError:
    message = str(error)
    subject = message.rpartition(": ")[2]
    match getattr(error, "extendedresult", None):
        case apsw.SQLITE_CONSTRAINT_CHECK:
            column = _CHECKED_COLUMN.get(subject, subject)
            return ValueRefused(column, _stored_value(column, values, sql))
        case apsw.SQLITE_CONSTRAINT_NOTNULL:
            column = subject.rpartition(".")[2]
            return ValueRefused(column, None, reason="a value is required")
        case apsw.SQLITE_CONSTRAINT_DATATYPE:
            found = _WRONG_TYPE.match(message)
            column = found[3] if found else subject
            return ValueRefused(column, _stored_value(column, values, sql), reason=message)
        case _:
            return ConstraintViolated(message)


def _stored_value(column: str, values: Parameters, sql: str) -> str | int | None:
    """Return what *sql* was to store in *column*, or None if it stores several rows.

    A parameter need not have its column's name, and one that does may stand in the condition.
    """
    insert = _INSERT.match(sql)
    if insert is None:
        stored = dict(_ASSIGNMENT.findall(sql.partition("WHERE")[0]))
    elif "), (" in insert["values"]:
        return None
    else:
        names = insert["values"].partition(")")[0].split(", ")
        columns = insert["columns"].replace('"', "").split(", ")
        stored = {
            place: name.removeprefix(":") for place, name in zip(columns, names, strict=False)
        }
    return values.get(stored.get(column, ""))


def _unstorable(values: Parameters) -> ValueRefused:
    """Name the value that has no form in the file: a lone surrogate, or too large an integer."""
    for name, value in values.items():
        if isinstance(value, int) and not -(1 << _INTEGER_BITS) <= value < 1 << _INTEGER_BITS:
            return ValueRefused(name, value, reason="past 64 bits")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            return ValueRefused(name, value, reason="text with a lone surrogate")
    return ValueRefused("statement", "its text", reason="text with a lone surrogate")


def _too_long(values: Parameters) -> ValueRefused:
    texts = [(name, value) for name, value in values.items() if isinstance(value, str | bytes)]
    name, value = max(texts, key=lambda item: len(item[1]), default=("statement", "its text"))
    return ValueRefused(name, value, reason="too long")
