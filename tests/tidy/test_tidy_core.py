"""The core: money is integers, and deciding never waits."""

import ast
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

FLOATS_ALLOWED: Final[Mapping[str, str]] = MappingProxyType(
    {"src/waiaas/database/connection.py": "seconds between two tries at the switch to WAL"}
)
"""Files of the core that may write a float, and why: seconds to wait, never money. Only shrinks."""

WAITING_ALLOWED: Final = frozenset({"write_async", "write_from_reserve"})
"""The asynchronous functions of `waiaas.database`: the doors through which a coroutine hands a
unit of work to the writer thread. What runs inside a transaction is a plain function."""


def float_literals(tree: ast.Module) -> list[int]:
    """Return the lines that write a float, or make one from a literal or a text."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "float"
        )
    ]


def functions_that_wait(tree: ast.Module) -> list[str]:
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]


def test_the_core_writes_no_floats(core_files: Any) -> None:
    found = core_files.whose_code(float_literals)
    assert found.keys() == FLOATS_ALLOWED.keys(), "an exception no longer needed is struck off"


def test_every_exception_for_floats_is_of_a_file_that_exists(root: Path) -> None:
    assert all((root / name).is_file() for name in FLOATS_ALLOWED)


@pytest.mark.parametrize("bad", ["x = 0.5", "x = 1e18", "x = 2j", "x = float('1')", "f(-.1)"])
def test_control_a_float_is_noticed(bad: str) -> None:
    assert float_literals(ast.parse(bad))
    assert not float_literals(ast.parse("seconds: float\nx = 10**18"))


def test_the_pure_core_never_waits(pure_files: Any) -> None:
    assert not pure_files.whose_code(functions_that_wait)


def test_no_function_of_the_ledger_waits_but_the_door_to_the_writer(database_files: Any) -> None:
    waiting = database_files.whose_code(functions_that_wait)
    assert set().union(*waiting.values()) <= WAITING_ALLOWED, waiting


def test_control_a_function_that_waits_is_noticed() -> None:
    tree = ast.parse("class C:\n    async def f(self): ...\ndef g():\n    async def h(): ...")
    assert functions_that_wait(tree) == ["f", "h"]
