"""What the tidy rules look at: the files of this repository, sorted into kinds.

A rule is a test that names a kind of files as its argument and asserts that none of them breaks
it. A file that is not committed yet counts too: a rule speaks before the commit.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
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


class Files:
    """The files of one kind; a rule is held against each, and those that break it are named."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths: Final = tuple(paths)
        assert self._paths, "no file is of this kind"

    def __iter__(self) -> Iterator[Path]:
        return iter(self._paths)

    def whose_path(self, breaks: Callable[[Path], object]) -> dict[str, object]:
        """Return what a rule finds in paths below the top, by path, where it finds anything."""
        return {
            str(path): found
            for path in (path.relative_to(ROOT) for path in self._paths)
            if (found := breaks(path))
        }

    def whose_text(self, breaks: Callable[[str], object]) -> dict[str, object]:
        """Return what a rule finds in texts, by path, where it finds anything."""
        return self.whose_path(lambda path: breaks(_text(ROOT / path)))

    def whose_code(
        self, breaks: Callable[[ast.Module], object], *, saying: str = ""
    ) -> dict[str, object]:
        """Return what a rule finds in parsed modules, by path, where it finds anything.

        Those that do not say what the rule is about (a pattern) need not be parsed.
        """
        return self.whose_path(
            lambda path: re.search(saying, _text(ROOT / path)) and breaks(_tree(ROOT / path))
        )


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def _python(*folders: str) -> Files:
    return Files(p for p in _files() if p.suffix == ".py" and _under(p, *folders))


@pytest.fixture(scope="session")
def any_files() -> Files:
    return Files(_files())


@pytest.fixture(scope="session")
def python_files() -> Files:
    return _python(".")


@pytest.fixture(scope="session")
def program_files() -> Files:
    return _python("src", "tools", "benchmarks")


@pytest.fixture(scope="session")
def source_files() -> Files:
    return _python("src")


@pytest.fixture(scope="session")
def core_files() -> Files:
    return _python(*(f"src/waiaas/{name}" for name in CORE))


@pytest.fixture(scope="session")
def pure_files() -> Files:
    return _python(*(f"src/waiaas/{name}" for name in PURE))


@pytest.fixture(scope="session")
def database_files() -> Files:
    return _python("src/waiaas/database")


@pytest.fixture(scope="session")
def other_source_files() -> Files:
    return Files(p for p in _python("src") if not _under(p, "src/waiaas/database"))


@pytest.fixture(scope="session")
def test_files() -> Files:
    return _python("tests")


@pytest.fixture(scope="session")
def markdown_files() -> Files:
    return Files(p for p in _files() if p.suffix == ".md")


@pytest.fixture(scope="session")
def requirements_files() -> Files:
    return Files(p for p in _files() if _under(p, "requirements") and p.suffix == ".txt")


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def repository_files() -> tuple[Path, ...]:
    """Return every file of the repository, for rules about the whole of it."""
    return _files()
