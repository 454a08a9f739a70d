"""Tests: they wait on conditions, not on clocks, and every module of the core has its own."""

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

CLOCKS: Final = frozenset(
    {"time.sleep", "asyncio.sleep", "time.time", "datetime.now", "datetime.utcnow", "date.today"}
)
SAID: Final = rf"\b({'|'.join(sorted(name.rpartition('.')[2] for name in CLOCKS))})\b"
"""What is in the text of every test that asks one of them."""

TESTED_BY_MODULE: Final = ("domain", "policy", "pipeline")
"""Packages whose module `m` is tested by `tests/<package>/test_<package>_<m>.py`."""

UNTESTED: Final[frozenset[str]] = frozenset()
"""Modules of those packages without a test file of their own: `package.module`. Only shrinks."""


def clock_uses(tree: ast.Module) -> list[str]:
    """Return where a test reads or waits for the wall clock."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            uses = [f"{name}.{node.attr}"]
        elif isinstance(node, ast.ImportFrom):
            uses = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [f"line {node.lineno}: {use}" for use in uses if use in CLOCKS]
    return found


def untested(modules: set[str], *, test_files: set[str]) -> set[str]:
    """Return the modules (`package.module`) without a test file of the name that is theirs."""
    return {name for name in modules if f"test_{name.replace('.', '_')}" not in test_files}


def orphaned(test_files: set[str], *, modules: set[str]) -> set[str]:
    """Return the test files named after no module; one may have more, `…_<module>_<what>`."""
    stems = tuple(f"test_{name.replace('.', '_')}_" for name in modules)
    return {name for name in test_files if not f"{name}_".startswith(stems)}


def repeated(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


@pytest.fixture
def modules(root: Path) -> set[str]:
    return {
        f"{package}.{path.stem}"
        for package in TESTED_BY_MODULE
        for path in (root / "src/waiaas" / package).glob("*.py")
        if path.stem != "__init__"
    }


@pytest.fixture
def core_tests(root: Path) -> set[str]:
    """Return the names of the test files of the packages above."""
    found = (root.glob(f"tests/{package}/test_*.py") for package in TESTED_BY_MODULE)
    return {path.stem for paths in found for path in paths}


def test_no_test_reads_or_waits_for_the_wall_clock(test_files: Any) -> None:
    assert not test_files.whose_code(clock_uses, saying=SAID)


@pytest.mark.parametrize(
    "bad",
    [
        "import time\ntime.sleep(1)",
        "import asyncio\nasync def f(): await asyncio.sleep(1)",
        "import datetime\ndatetime.datetime.now(tz)",
        "from datetime import datetime\ndatetime.utcnow()",
        "from time import sleep, time",
        "import time\nclock = time.time",
    ],
)
def test_control_a_wall_clock_is_noticed(bad: str) -> None:
    assert clock_uses(ast.parse(bad))
    assert re.search(SAID, bad)
    assert not clock_uses(ast.parse("import time\ntime.monotonic()\nclock.sleep(1)"))


def test_no_two_test_files_share_a_name(repository_files: tuple[Path, ...]) -> None:
    assert not repeated([path.name for path in repository_files if path.name.startswith("test_")])


def test_every_module_of_the_core_has_its_test_file(
    modules: set[str], core_tests: set[str]
) -> None:
    assert untested(modules, test_files=core_tests) == UNTESTED


def test_every_test_file_of_the_core_tests_a_module_that_exists(
    modules: set[str], core_tests: set[str]
) -> None:
    assert not orphaned(core_tests, modules=modules)


def test_control_a_missing_an_orphaned_and_a_repeated_test_file_are_noticed() -> None:
    modules = {"domain.money", "policy.rules"}
    files = {"test_domain_money", "test_domain_money_traps", "test_domain_moneys"}
    assert untested(modules, test_files=files) == {"policy.rules"}
    assert orphaned(files, modules=modules) == {"test_domain_moneys"}
    assert repeated(["test_a.py", "test_b.py", "test_a.py"]) == ["test_a.py"]
