"""Modules: each opens by saying what it is for, stays small enough to read, and has a real name."""

import ast
from pathlib import Path
from typing import Any, Final

import pytest

LINES_PER_FILE_MAX: Final = 500
LINES_PER_FUNCTION_MAX: Final = 70

NAMES_THAT_NAME_NOTHING: Final = frozenset(
    {"base", "common", "helper", "helpers", "manager", "misc", "service", "util", "utils"}
)
"""A thing without a name has no home yet; it stays next to its only caller."""


def long_functions(tree: ast.Module) -> list[str]:
    return [
        f"{node.name} (line {node.lineno}) has {length} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LINES_PER_FUNCTION_MAX
    ]


def relative_imports(tree: ast.Module) -> list[int]:
    return [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level
    ]


def nameless_parts(path: Path) -> set[str]:
    words = {word for part in path.parts for word in Path(part).stem.strip("_").split("_")}
    return words & NAMES_THAT_NAME_NOTHING


def says_what_it_is_for(tree: ast.Module) -> bool:
    return bool(ast.get_docstring(tree))


def is_too_long(source: str) -> bool:
    return len(source.splitlines()) > LINES_PER_FILE_MAX


def test_control_a_rule_names_every_file_that_breaks_it(source_files: Any, root: Path) -> None:
    modules = {str(path.relative_to(root)) for path in (root / "src").rglob("*.py")}
    assert set(source_files.whose_path(lambda _: True)) == modules
    assert set(source_files.whose_text(lambda text: text)) == modules
    assert set(source_files.whose_code(ast.get_docstring)) == modules


def test_control_no_kind_of_files_has_shrunk(request: Any, root: Path) -> None:
    def below(*folders: str, ending: str) -> set[Path]:
        found = {path for folder in folders for path in (root / folder).rglob(f"*{ending}")}
        return {path for path in found if not path.relative_to(root).parts[0].startswith(".")}

    source = root / "src/waiaas"
    core = below(*(f"src/waiaas/{name}" for name in ("domain", "policy", "pipeline", "database")),
                 ending=".py")  # fmt: skip
    pure = below("src/waiaas/domain", "src/waiaas/policy", ending=".py")
    wanted = {
        "core_files": core,
        "pure_files": pure | {source / "pipeline/advance.py"},
        "database_files": below("src/waiaas/database", ending=".py"),
        "other_source_files": below("src", ending=".py")
        - below("src/waiaas/database", ending=".py"),
        "program_files": below("src", "tools", "benchmarks", ending=".py"),
        "test_files": below("tests", ending=".py"),
        "markdown_files": below("docs", ending=".md") | set(root.glob("*.md")),
        "requirements_files": set((root / "requirements").glob("*.txt")),
    }
    for kind, files in wanted.items():
        assert files <= set(request.getfixturevalue(kind)), kind
    python = set(request.getfixturevalue("python_files"))
    assert wanted["program_files"] | wanted["test_files"] <= python
    assert python | wanted["markdown_files"] | {root / "LICENSE", root / "Makefile"} <= set(
        request.getfixturevalue("any_files")
    )


def test_every_module_of_the_program_opens_with_a_docstring(program_files: Any) -> None:
    assert not program_files.whose_code(lambda tree: not says_what_it_is_for(tree))


@pytest.mark.parametrize("bad", ["", "# a comment\nx = 1", "x = 1\n'too late'", "''"])
def test_control_a_module_that_opens_with_something_else_is_noticed(bad: str) -> None:
    assert not says_what_it_is_for(ast.parse(bad))


def test_no_source_file_is_too_long_to_read(source_files: Any) -> None:
    assert not source_files.whose_text(is_too_long)


def test_control_a_long_file_is_noticed() -> None:
    assert not is_too_long("x = 1\n" * LINES_PER_FILE_MAX)
    assert is_too_long("x = 1\n" * LINES_PER_FILE_MAX + "x = 1")


def test_no_function_of_the_core_is_too_long_to_read(core_files: Any) -> None:
    assert not core_files.whose_code(long_functions)


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_control_a_long_function_is_noticed(keyword: str) -> None:
    body = "    pass\n" * (LINES_PER_FUNCTION_MAX - 1)
    assert not long_functions(ast.parse(f"{keyword} f():\n{body}"))
    assert long_functions(ast.parse(f"class C:\n  {keyword} f():\n{body}    pass\n"))


def test_every_source_module_is_named_after_what_it_holds(source_files: Any) -> None:
    assert not source_files.whose_path(nameless_parts)


@pytest.mark.parametrize("bad", ["utils.py", "base/tables.py", "key_manager.py", "_helpers.py"])
def test_control_a_name_that_names_nothing_is_noticed(bad: str) -> None:
    assert nameless_parts(Path("src/waiaas") / bad)
    assert not nameless_parts(Path("src/waiaas/database.py"))


def test_every_import_is_absolute(source_files: Any) -> None:
    assert not source_files.whose_code(relative_imports)


@pytest.mark.parametrize("bad", ["from . import a", "from .a import b", "from ..a import b"])
def test_control_a_relative_import_is_noticed(bad: str) -> None:
    assert relative_imports(ast.parse(bad))
