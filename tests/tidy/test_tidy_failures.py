"""Failures: an error is returned, raised or handled; it is never made to disappear."""

import ast
import re
from typing import Any, Final

import pytest

EVERYTHING: Final = frozenset({"Exception", "BaseException"})
SAID: Final = r"Exception|except\s*:"
"""What is in the text of every module that catches everything."""


def _names(node: ast.expr | None) -> set[str]:
    match node:
        case None:
            return {"BaseException"}
        case ast.Tuple(elts=elements):
            return set().union(*map(_names, elements))
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return {name}
        case _:
            return set()


def _does_nothing(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(statement, ast.Pass | ast.Continue)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in body
    )


def swallowed_errors(tree: ast.Module) -> list[int]:
    """Return the lines where every kind of error is caught and nothing is done about it."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.ExceptHandler)
            and _names(node.type) & EVERYTHING
            and _does_nothing(node.body)
        )
        or (
            isinstance(node, ast.Call)
            and _names(node.func) == {"suppress"}
            and any(_names(argument) & EVERYTHING for argument in node.args)
        )
    ]


def test_no_error_is_made_to_disappear(python_files: Any) -> None:
    assert not python_files.whose_code(swallowed_errors, saying=SAID)


@pytest.mark.parametrize(
    "bad",
    [
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept BaseException as error: ...",
        "try: f()\nexcept (ValueError, Exception): 'nothing'",
        "try: f()\nexcept: pass",
        "while True:\n  try: f()\n  except Exception: continue",
        "with contextlib.suppress(Exception): f()",
        "with suppress(ValueError, BaseException): f()",
    ],
)
def test_control_a_swallowed_error_is_noticed(bad: str) -> None:
    assert re.search(SAID, bad)
    assert swallowed_errors(ast.parse(bad))


@pytest.mark.parametrize(
    "good",
    [
        "try: f()\nexcept ValueError: pass",
        "try: f()\nexcept Exception: raise",
        "with suppress(FileNotFoundError): f()",
    ],
)
def test_control_a_handled_error_is_accepted(good: str) -> None:
    assert not swallowed_errors(ast.parse(good))
