"""SQL: statements are SQLAlchemy objects in `waiaas.database`; text says only what those cannot."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

TEXT_ALLOWED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "schema": "definitions of tables and indexes",
        "triggers": "definitions of triggers",
        "migrations": "frozen steps from one schema to the next",
        "push": "version stamps",
        "definitions": "the stored schema, read back to be compared",
        "upgrade": "version stamps, and what a step left, counted and checked",
        "snapshot": "a copy's check",
        "identity": "what SQLite says of a file before it is ours",
        "copies": "whether a copy away from its place is whole",
        "connection": "settings of a connection",
        "integrity": "SQLite's own checks of a file",
        "writer": "where a transaction, and each unit of work in it, begins and ends",
    }
)
"""Modules or folders of `waiaas.database` with SQL as text, and what it is for: never for rows."""

STATEMENT: Final = re.compile(
    r"""^\s*(
        (SELECT|select)\s.+\s(FROM|from)\s
      | (SELECT|select)\s+\w+\s*\(
      | (?i:INSERT\s+(OR\s+\w+\s+)?INTO\s|REPLACE\s+INTO\s|DELETE\s+FROM\s|UPDATE\s+\S+\s+SET\s)
      | (?i:PRAGMA\s+\w|ATTACH\s+DATABASE\s|VACUUM\s*($|;|INTO))
      | (?i:CREATE\s+(TEMP\s+|TEMPORARY\s+|UNIQUE\s+)?(TABLE|INDEX|TRIGGER|VIEW)\s)
      | (?i:(DROP|ALTER)\s+(TABLE|INDEX|TRIGGER|VIEW)\s)
      | (?i:BEGIN\s+(IMMEDIATE|EXCLUSIVE|DEFERRED)|(ROLLBACK\s+TO|RELEASE|SAVEPOINT)\s+\w+\s*$)
    )""",
    re.VERBOSE | re.DOTALL,
)

UPSERT_TEXT: Final = re.compile(
    r"\b(ON\s+CONFLICT|OR\s+REPLACE|OR\s+IGNORE|REPLACE\s+INTO)\b", re.IGNORECASE
)
UPSERT_METHODS: Final = frozenset({"on_conflict_do_update", "on_conflict_do_nothing"})


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every string a module uses, with its line; a bare string is a docstring and no use."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    pieces = {
        id(value)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for value in node.values
    }
    left_out = prose | pieces
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(v.value) if isinstance(v, ast.Constant) else "x" for v in node.values),
            )


def sql_texts(tree: ast.Module) -> list[str]:
    return [f"line {line}: {text[:60]}" for line, text in texts(tree) if STATEMENT.match(text)]


def upserting_functions(tree: ast.Module) -> list[str]:
    """Return the functions that call an upsert method, by name."""
    return [
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(
            isinstance(node, ast.Attribute) and node.attr in UPSERT_METHODS
            for node in ast.walk(function)
        )
    ]


def test_no_sql_is_written_outside_the_ledger(other_source_files: Any) -> None:
    assert not other_source_files.whose_code(sql_texts)


def test_in_the_ledger_sql_text_is_in_the_modules_that_define_it(database_files: Any) -> None:
    found = database_files.whose_code(sql_texts)
    modules = {Path(name).relative_to("src/waiaas/database").parts[0] for name in found}
    assert {Path(module).stem for module in modules} <= TEXT_ALLOWED.keys(), found


@pytest.mark.parametrize(
    "bad",
    [
        "execute('SELECT id FROM agents WHERE id = ?')",
        "execute('''\n  select *\n  from agents ''')",
        "execute(f'SELECT {column} FROM agents ')",
        "execute('SELECT quote(?)')",
        "execute('INSERT INTO agents VALUES (?)')",
        "execute('insert or replace into agents values (?)')",
        "execute('UPDATE agents SET name = ?')",
        "execute('DELETE FROM agents ' + where)",
        "execute(f'PRAGMA {name}')",
        "execute('BEGIN IMMEDIATE')",
        "execute(f'SAVEPOINT {name}')",
        "execute('CREATE TEMP TABLE t (x)')",
    ],
)
def test_control_sql_text_is_noticed(bad: str) -> None:
    assert sql_texts(ast.parse(bad))


@pytest.mark.parametrize(
    "good",
    [
        "'''SELECT id FROM agents: this is a docstring.'''",
        "print('Select an agent from the list.')",
        "print('Update the policy, then set it again.')",
        "print('Release the money')",
    ],
)
def test_control_prose_is_not_taken_for_sql(good: str) -> None:
    assert not sql_texts(ast.parse(good))


def test_an_upsert_is_never_written_as_text(source_files: Any) -> None:
    assert not source_files.whose_code(
        lambda tree: [line for line, text in texts(tree) if UPSERT_TEXT.search(text)]
    )


def test_at_most_one_function_of_the_whole_program_builds_an_upsert(source_files: Any) -> None:
    helpers = source_files.whose_code(upserting_functions)
    assert sum(map(len, helpers.values())) <= 1, helpers


def test_control_an_upsert_is_noticed() -> None:
    method = "def f(t):\n    return insert(t).on_conflict_do_update(index_elements=['key'])"
    assert upserting_functions(ast.parse(method)) == ["f"]
    assert UPSERT_TEXT.search("INSERT OR REPLACE INTO key_value_store")
    assert UPSERT_TEXT.search("insert into t values (1) on conflict do nothing")
