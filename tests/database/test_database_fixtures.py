"""The databases of past releases: each becomes today's, and today's has everything in it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from waiaas.database import create_database, push_schema
from waiaas.database.definitions import differences, fingerprint, stored_schema
from waiaas.database.errors import SchemaMismatch
from waiaas.database.migrations import STEPS
from waiaas.database.push import Release, current_release, push_release
from waiaas.database.schema import SCHEMA_VERSION, metadata

TOOL: Final = Path(__file__).parents[2] / "tools/make_ledger_fixture.py"

CHANGED: Final = (
    "the schema changed: write a step, or before 0.1.0 regenerate "
    "(python tools/make_ledger_fixture.py)"
)

Contents = Callable[[apsw.Connection], dict[str, list[tuple[Any, ...]]]]


@pytest.fixture
def stored(old: Path) -> apsw.Connection:
    """Return a plain connection to the newest of them."""
    return apsw.Connection(str(old))


def test_the_newest_has_the_schema_of_today(stored: apsw.Connection) -> None:
    with create_database(":memory:") as fresh:
        push_schema(fresh)
        expected = stored_schema(fresh.sqlite)
    found = differences(stored_schema(stored), expected)
    assert stored.pragma("user_version") == SCHEMA_VERSION, CHANGED
    assert not found, f"{CHANGED}: {found}"


def test_each_is_brought_to_exactly_the_schema_of_a_fresh_database_and_keeps_its_rows(
    tmp_path: Path, fixtures: tuple[Path, ...], contents: Contents
) -> None:
    assert [file.stem for file in fixtures] == [
        f"ledger-v{n}" for n in range(1, SCHEMA_VERSION + 1)
    ]
    with create_database(":memory:") as fresh:
        push_schema(fresh)
        expected = stored_schema(fresh.sqlite)
    for fixture in fixtures:
        path = Path(shutil.copyfile(fixture, tmp_path / fixture.name))
        with create_database(path) as connection:
            before = {name: len(rows) for name, rows in contents(connection.sqlite).items()}
            push_schema(connection)
            after = {name: len(rows) for name, rows in contents(connection.sqlite).items()}
            assert differences(stored_schema(connection.sqlite), expected) == [], CHANGED
            assert connection.sqlite.pragma("user_version") == SCHEMA_VERSION
            assert before.items() <= after.items()


def test_the_steps_lead_from_each_version_to_the_next_and_end_at_todays() -> None:
    assert [step.version for step in STEPS] == list(range(2, SCHEMA_VERSION + 1))


def test_the_newest_has_rows_in_every_table_and_every_value_of_every_vocabulary(
    stored: apsw.Connection, vocabularies: dict[tuple[str, str], tuple[str, ...]]
) -> None:
    empty = [
        table
        for table in metadata.tables
        if not stored.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]  # noqa: S608 -- a table's name
    ]
    assert empty == []
    for (table, column), values in vocabularies.items():
        found = {value for (value,) in stored.execute(f"SELECT {column} FROM {table}")}  # noqa: S608 -- names
        assert found >= set(values), f"{table}.{column} lacks {set(values) - found}"
    assert {table for table, _ in vocabularies} > {"agents", "attempts", "audit_log"}


def test_the_newest_is_sound(stored: apsw.Connection) -> None:
    assert list(stored.execute("PRAGMA integrity_check")) == [("ok",)]
    assert list(stored.execute("PRAGMA foreign_key_check")) == []


def test_the_list_names_each_with_the_fingerprint_of_its_schema(
    tmp_path: Path, fixtures: tuple[Path, ...]
) -> None:
    lines = (fixtures[0].parent / "README.md").read_text(encoding="utf-8").splitlines()
    for fixture in fixtures:
        copy = shutil.copyfile(fixture, tmp_path / fixture.name)
        mark = fingerprint(stored_schema(apsw.Connection(str(copy))))
        assert f"| `{fixture.name}` | `{mark}` |" in lines


def test_control_a_vocabulary_that_changes_without_its_step_is_noticed(
    old: Path,
    later: Callable[..., Release],
    vocabularies: dict[tuple[str, str], tuple[str, ...]],
) -> None:
    with create_database(old) as connection:
        for table, column in vocabularies:
            changed = later(current_release(), (table, column))
            forgotten = Release(SCHEMA_VERSION, changed.definitions, STEPS)
            with pytest.raises(SchemaMismatch) as refused:
                push_release(connection, forgotten)
            assert refused.value.differences == [f"table {table} is different"]


def test_the_tool_makes_the_same_bytes_every_time_and_lists_them(tmp_path: Path) -> None:
    made = []
    (tmp_path / "README.md").write_text("# Files\n", encoding="utf-8")
    for _ in range(2):
        subprocess.run([sys.executable, TOOL, tmp_path], check=True, capture_output=True)
        names = sorted(file.name for file in tmp_path.iterdir())
        assert names == ["README.md", f"ledger-v{SCHEMA_VERSION}.db"]
        made.append([(tmp_path / name).read_bytes() for name in names])
    assert made[0] == made[1]
    assert made[0][0].count(b"ledger-v") == 1
