"""Migrations are frozen: a step that read today's code would build something else every year."""

import ast
import sys
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = "waiaas.database.migrations"

ALLOWED: Final = frozenset({*sys.stdlib_module_names, "apsw"})


def imported(tree: ast.Module) -> list[str]:
    """Return every module that is imported anywhere in *tree*."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or ".")
    return names


def of_today(tree: ast.Module) -> list[str]:
    return [
        name
        for name in imported(tree)
        if name.split(".")[0] not in ALLOWED and not f"{name}.".startswith(f"{FOLDER}.")
    ]


def test_no_migration_imports_anything_of_today(root: Path) -> None:
    files = sorted((root / "src" / FOLDER.replace(".", "/")).rglob("*.py"))
    assert files
    found = {str(file): of_today(ast.parse(file.read_bytes())) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "bad",
    [
        "from waiaas.database.schema import metadata",
        "import waiaas.domain.enums",
        "from waiaas.database import migrations_of_today",
        "def apply(sqlite):\n    from waiaas.domain.enums import AgentStatus",
        "import sqlalchemy",
        "from waiaas import database",
        "from waiaas.database.migrationsofmine import x",
    ],
)
def test_control_an_import_of_today_is_noticed(bad: str) -> None:
    assert of_today(ast.parse(bad))


@pytest.mark.parametrize(
    "good",
    [
        "import re\nimport apsw",
        "from collections.abc import Callable",
        "from waiaas.database.migrations.rebuild import rebuild_table",
        "from waiaas.database.migrations import rebuild",
    ],
)
def test_control_what_is_frozen_too_may_be_imported(good: str) -> None:
    assert not of_today(ast.parse(good))
