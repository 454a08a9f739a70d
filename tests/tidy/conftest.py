"""What the tidy rules look at: the files of this repository, sorted into kinds.

A rule is a test that names a kind of file as its argument and is then run once for each file of
that kind. A file that is not committed yet counts too: a rule speaks before the commit.
"""

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]

PURE: Final = ("domain", "policy", "pipeline/advance.py")
"""Functions of values: no clock, no waiting. (Ports only declare what adapters may wait for.)"""

CORE: Final = ("domain", "policy", "pipeline", "database")
"""Where money is decided and written down; size limits and the ban on floats hold here."""


@cache
def _files() -> tuple[Path, ...]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout
    names = sorted({name for name in listing.split("\0") if name})
    return tuple(path for name in names if (path := ROOT / name).is_file())


def _under(path: Path, *folders: str) -> bool:
    return any(path.is_relative_to(ROOT / folder) for folder in folders)


def _of_kind(kind: str) -> list[Path]:
    python = [path for path in _files() if path.suffix == ".py"]
    source = [path for path in python if _under(path, "src")]
    kinds = {
        "any_file": list(_files()),
        "python_file": python,
        "source_file": source,
        "program_file": [path for path in python if _under(path, "src", "tools", "benchmarks")],
        "core_file": [path for path in source if _under(path, *(f"src/waiaas/{p}" for p in CORE))],
        "pure_file": [path for path in source if _under(path, *(f"src/waiaas/{p}" for p in PURE))],
        "database_file": [path for path in source if _under(path, "src/waiaas/database")],
        "other_source_file": [path for path in source if not _under(path, "src/waiaas/database")],
        "test_file": [path for path in python if _under(path, "tests")],
        "markdown_file": [path for path in _files() if path.suffix == ".md"],
        "requirements_file": [
            path for path in _files() if _under(path, "requirements") and path.suffix == ".txt"
        ],
    }
    return kinds.get(kind, [])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a rule once for each file of the kind that its argument names."""
    for argument in metafunc.fixturenames:
        if argument.endswith("_file"):
            paths = _of_kind(argument)
            assert paths, f"no such kind of file, or none of that kind: {argument}"
            metafunc.parametrize(argument, paths, ids=[str(p.relative_to(ROOT)) for p in paths])


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def repository_files() -> tuple[Path, ...]:
    """Return every file of the repository, for rules about the whole of it."""
    return _files()
