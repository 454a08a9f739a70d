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
from waiaas.database.statements import CompiledStatement, Parameters

_CHECKED_COLUMN: Final[Mapping[str, str]] = {
    str(constraint.name): str(constraint.name).removeprefix(f"ck_{table.name}_")
    for table in metadata.tables.values()
    for constraint in table.constraints
    if isinstance(constraint, CheckConstraint)
}
"""Each CHECK is named after the one column it guards."""

_WRONG_TYPE: Final = re.compile(r"cannot store (\w+) value in (\w+) column \w+\.(\w+)")

_INTEGER_BITS: Final = 63


def translated(  # noqa: PLR0911 -- one row per kind of error
    error: BaseException, values: Parameters, path: str, *, text: CompiledStatement | None = None
) -> DatabaseError:
    """Return our error for one of the driver's; *values* are what was bound in *text*, by name."""
    columns = {} if text is None else text.columns
    match error:
        case UnicodeEncodeError() | OverflowError():
            return _unstorable(values, columns)
        case apsw.ConstraintError():
            return _refused(error, values, columns)
        case apsw.TooBigError():
            return _too_long(values, columns)
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


def _other(error: BaseException, path: str) -> DatabaseError:
    if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:
        return LedgerFull()  # There is no room for the index of the WAL.
    if isinstance(error, apsw.CantOpenError):
        return DatabaseError(
            f"{path} cannot be opened; check that it and its folder exist and may be written"
        )
    if isinstance(error, UnicodeDecodeError):
        return DatabaseError(f"{path} holds text that is not UTF-8; restore a backup")
    return DatabaseError(f"{path}: SQLite reports: {error}")


def _refused(
    error: apsw.ConstraintError, values: Parameters, columns: Mapping[str, str]
) -> DatabaseError:
    message = str(error)
    subject = message.rpartition(": ")[2]
    match getattr(error, "extendedresult", None):
        case apsw.SQLITE_CONSTRAINT_CHECK:
            column = _CHECKED_COLUMN.get(subject, subject)
            return _value_refused(column, values, columns, reason="not an allowed value")
        case apsw.SQLITE_CONSTRAINT_NOTNULL:
            column = subject.rpartition(".")[2]
            return ValueRefused(column, None, reason="a value is required")
        case apsw.SQLITE_CONSTRAINT_DATATYPE:
            found = _WRONG_TYPE.match(message)
            column = found[3] if found else subject
            return _value_refused(column, values, columns, reason=message)
        case _:
            return ConstraintViolated(message)


def _value_refused(
    column: str, values: Parameters, columns: Mapping[str, str], *, reason: str
) -> ValueRefused:
    """Name the column and the value; of several rows SQLite does not say which it was."""
    stored = [value for name, value in values.items() if columns.get(name) == column]
    if len(stored) > 1:
        return ValueRefused(column, stored, reason=f"{reason}, in one of the rows")
    return ValueRefused(column, stored[0] if stored else None, reason=reason)


def _unstorable(values: Parameters, columns: Mapping[str, str]) -> ValueRefused:
    """Name the value that has no form in the file: a lone surrogate, or too large an integer."""
    for parameter, value in values.items():
        name = columns.get(parameter, parameter)
        if isinstance(value, int) and not -(1 << _INTEGER_BITS) <= value < 1 << _INTEGER_BITS:
            return ValueRefused(name, value, reason="past 64 bits")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            return ValueRefused(name, value, reason="text with a lone surrogate")
    return ValueRefused("statement", "its text", reason="text with a lone surrogate")


def _too_long(values: Parameters, columns: Mapping[str, str]) -> ValueRefused:
    texts = [(name, value) for name, value in values.items() if isinstance(value, str | bytes)]
    name, value = max(texts, key=lambda item: len(item[1]), default=("statement", "its text"))
    return ValueRefused(columns.get(name, name), value, reason="too long")
