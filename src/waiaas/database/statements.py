"""Statements: SQLAlchemy Core objects built once, compiled once, then run by the driver.

A module of a table family says `GET = define(select(agents).where(...))` at import. The text for
the dialect in use is compiled on first use and kept; the engine and the ORM are never involved.
`DatabaseConnection.db.execute` takes any other Core statement too, compiled once per statement
object and set of parameter names.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from types import NoneType
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

import apsw
from sqlalchemy import Executable, Integer, String
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Insert, UpdateBase
from sqlalchemy.sql.elements import ClauseElement

from waiaas.database.errors import DatabaseError, ValueRefused
from waiaas.domain.enums import ENUMS
from waiaas.domain.transaction import AttemptState, ReservationState

Parameters = Mapping[str, str | int | None]
"""Values by parameter name; columns hold TEXT, INTEGER or NULL."""

_row_type: Final[Callable[..., Any]] = namedtuple  # noqa: PYI024 -- a query gives the names
_SQLITE: Final = sqlite.dialect(paramstyle="named")


_INSERT: Final = re.compile(
    r"\w+ INTO \S+ \((?P<columns>[^)]*)\) VALUES (?P<values>.*?)"
    r"( ON .*| RETURNING .*)?",
    re.DOTALL,
)
_UPDATE: Final = re.compile(
    r"\w+ \S+ SET (?P<assignments>.*?)( WHERE .*| RETURNING .*)?", re.DOTALL
)
_ASSIGNMENT: Final = re.compile(r'"?(\w+)"?=(.*?)(?=, "?\w+"?=|$)', re.DOTALL)
_PARAMETER: Final = re.compile(r":(\w+)")


def _columns_by_parameter(sql: str) -> dict[str, str]:
    """Return into which column each parameter goes, as far as the compiled text tells."""
    insert = _INSERT.fullmatch(sql)
    if insert is not None:
        names = insert["columns"].replace('"', "").split(", ")
        values = insert["values"].split(", ")
        # A function's own commas would shift the columns: better no name than a wrong one.
        rows = len(values) // len(names) if len(values) % len(names) == 0 else 0
        pairs = list(zip(names * rows, values, strict=False))
    else:
        update = _UPDATE.fullmatch(sql)
        pairs = [] if update is None else _ASSIGNMENT.findall(update["assignments"])
    return {parameter: column for column, value in pairs for parameter in _PARAMETER.findall(value)}


class CompiledStatement:
    """SQL text for SQLite, and what is known of its parameters and rows."""

    made: ClassVar[int] = 0
    """How many were compiled in this process; a warm ledger compiles no more."""

    __slots__ = ("_make_row", "columns", "constants", "kinds", "returns_rows", "sql")

    def __init__(self, core: Executable, names: Iterable[str]) -> None:
        CompiledStatement.made += 1
        compiled = cast("ClauseElement", core).compile(
            dialect=_SQLITE,
            column_keys=list(names) if isinstance(core, Insert) else None,
        )
        assert isinstance(compiled, SQLCompiler)
        given = {name: bind for name, bind in compiled.binds.items() if bind.required}
        if any(bind.expanding for bind in given.values()):
            raise DatabaseError("a list is no parameter; write the values into the statement")
        expanded = compiled.construct_expanded_state(dict.fromkeys(given))
        self.sql: Final = expanded.statement
        """The text, with `:name` parameters."""
        self.columns: Final[Mapping[str, str]] = _columns_by_parameter(self.sql)
        """The column into which a parameter goes; those of a condition go into none."""
        self.constants: Final[dict[str, Any]] = {}
        """Values written into the statement itself; our own statements have none."""
        for name, value in expanded.parameters.items():
            if name not in given:
                self.constants[name] = value
                if name in compiled.binds:
                    kind = _python_type(compiled.binds[name].type)
                    _require_kind(self.columns.get(name, name), value, kind=kind)
        kinds = {name: _python_type(bind.type) for name, bind in given.items()}
        self.kinds: Final = tuple((name, kind, _KNOWN_TYPES[kind]) for name, kind in kinds.items())
        """The parameters to be given, each with its Python type, and the types that surely fit."""
        self.returns_rows: Final = not isinstance(core, UpdateBase) or bool(core.exported_columns)
        self._make_row: Callable[[Iterable[Any]], Any] | None = None

    def values(self, parameters: Parameters) -> Parameters:
        """Return what to bind, after checking names and types.

        SQLite would store 5 as '5' in a TEXT column and '5' as 5 in an INTEGER one; PostgreSQL
        refuses both. So do we, before either sees it.

        Raises:
            ValueRefused: a value is not of its column's type.
            DatabaseError: a parameter is missing, or one is given that the statement does not have.
        """
        if len(parameters) != len(self.kinds):
            self._refuse_names(parameters)
        try:
            for name, kind, known_types in self.kinds:
                if type(parameters[name]) not in known_types:
                    column = self.columns.get(name, name)
                    _require_kind(column, parameters[name], kind=kind)
        except KeyError:
            self._refuse_names(parameters)
            raise
        return {**self.constants, **parameters} if self.constants else parameters

    def rows(self, cursor: apsw.Cursor) -> list[Any]:
        """Return every row the executed *cursor* has, with attributes by column name."""
        if not self.returns_rows:
            return []
        first = cursor.fetchone()
        if first is None:
            return []
        if self._make_row is None:
            names = [column[0] for column in cursor.get_description()]
            row = _row_type("Row", names, rename=True)
            # `row._make` without its check: a row has as many values as columns.
            self._make_row = partial(tuple.__new__, row)
        return [self._make_row(first), *map(self._make_row, cursor)]

    def _refuse_names(self, parameters: Parameters) -> None:
        wanted = {name for name, *_ in self.kinds}
        problems = [f"misses {name!r}" for name in sorted(wanted - parameters.keys())]
        problems += [f"does not have {name!r}" for name in sorted(parameters.keys() - wanted)]
        if problems:
            raise DatabaseError(f"the statement's parameters do not fit: it {', '.join(problems)}")


_ARTICLE: Final[Mapping[type, str]] = {
    str: "text",
    int: "an integer",
    object: "text, a number or bytes",
}

_VOCABULARIES: Final[tuple[type, ...]] = (*ENUMS, AttemptState, ReservationState)

_KNOWN_TYPES: Final[Mapping[type, frozenset[type]]] = {
    str: frozenset({str, NoneType, *_VOCABULARIES}),
    int: frozenset({int, NoneType}),
    object: frozenset({str, int, NoneType}),
}
"""Types that need no closer look, by the kind of parameter."""

PLAIN_TYPES: Final = _KNOWN_TYPES[str] | _KNOWN_TYPES[int]
"""Text, our vocabularies, integers and nothing."""


def _require_kind(column: str, value: object, *, kind: type) -> None:
    wanted = (str, int, float, bytes) if kind is object else kind
    if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
        raise ValueRefused(column, value, reason=f"not {_ARTICLE[kind]}")


def _python_type(kind: object) -> type:
    if isinstance(kind, String):
        return str
    return int if isinstance(kind, Integer) else object


class Statement:
    """A Core statement of ours: named parameters only, compiled once."""

    def __init__(self, core: Executable, *, is_remembered: bool = False) -> None:
        self.core: Final = core
        self.is_remembered: Final = is_remembered
        """Whether the writer may give an answer again: see `waiaas.database.remembered`."""
        self.written: Final = core.table if isinstance(core, UpdateBase) else None
        """The table that it writes, if it writes one."""

    @cached_property
    def compiled(self) -> CompiledStatement:
        """The text for SQLite."""
        return CompiledStatement(self.core, ())


DEFINED: Final[list[Statement]] = []
"""Every statement of every table family; tests compile each for both dialects."""


def define(core: Executable, *, is_remembered: bool = False) -> Statement:
    """Register a statement. All of its values are `bindparam`s with names.

    A query with *is_remembered* reads only tables of `waiaas.database.remembered.RARELY_WRITTEN`.
    """
    statement = Statement(core, is_remembered=is_remembered)
    DEFINED.append(statement)
    return statement


_others: Final[WeakKeyDictionary[Executable, dict[frozenset[str], CompiledStatement]]] = (
    WeakKeyDictionary()
)


def compiled(statement: Statement | Executable, parameters: Parameters) -> CompiledStatement:
    """Return the compiled text of *statement* for these parameter names."""
    if isinstance(statement, Statement):
        return statement.compiled
    if not isinstance(statement, Executable):
        raise DatabaseError("a statement is a SQLAlchemy Core object; wrap SQL text in text()")
    if not isinstance(parameters, Mapping):
        raise DatabaseError("parameters are given by name, in one mapping for one execution")
    by_names = _others.setdefault(statement, {})
    names = frozenset(parameters)
    found = by_names.get(names)
    if found is None:
        found = by_names[names] = CompiledStatement(statement, sorted(names))
    return found
