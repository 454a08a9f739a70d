"""Decisions: each is recorded in the same form, and no dependency comes without one."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

SECTIONS: Final = ("## Context", "## Decision", "## Alternatives considered", "## Consequences")


@pytest.fixture(scope="module")
def records(root: Path) -> dict[str, str]:
    paths = sorted((root / "docs/decisions").glob("[0-9]*.md"))
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def unrecorded(dependencies: list[str], *, records: str) -> list[str]:
    """Return the requirements whose package no record names."""
    names = [re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in dependencies]
    return [
        name
        for name in names
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", records, re.IGNORECASE)
    ]


def sections(record: str) -> tuple[str, ...]:
    return tuple(line for line in record.splitlines() if line.startswith("## "))


def unlisted(records: dict[str, str], *, index: str) -> list[str]:
    """Return the records that *index* does not link to under their own title."""
    return [
        name
        for name, text in records.items()
        if f"[{text.splitlines()[0].removeprefix('# ')}]({name})" not in index
    ]


def test_every_runtime_dependency_has_a_record(root: Path, records: dict[str, str]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    everything = "\n".join(records.values())
    assert not unrecorded(project["dependencies"] + extras, records=everything)


def test_control_a_dependency_without_a_record_is_noticed() -> None:
    wanted = ["apsw>=3.54", "mcp[cli]>=2.3", "typer"]
    assert unrecorded(wanted, records="We use `apsw`, and httpx-typer.") == ["mcp", "typer"]


def test_records_are_numbered_without_a_gap(records: dict[str, str]) -> None:
    numbers = [int(name.split("-")[0]) for name in records]
    assert numbers == list(range(1, len(records) + 1))


def test_every_record_has_the_same_sections_in_the_same_order(records: dict[str, str]) -> None:
    assert {name for name, text in records.items() if sections(text) != SECTIONS} == set()


def test_the_index_lists_every_record_under_its_title(root: Path, records: dict[str, str]) -> None:
    index = (root / "docs/decisions/README.md").read_text(encoding="utf-8")
    assert not unlisted(records, index=index)


def test_control_a_missing_section_and_an_unlisted_record_are_noticed() -> None:
    record = "# 1. Title\n\n## Context\n\n## Decision\n\n## Consequences\n"
    assert sections(record) != SECTIONS
    assert unlisted({"0001-title.md": record}, index="1. [2. Title](0001-title.md)")
    assert not unlisted({"0001-title.md": record}, index="1. [1. Title](0001-title.md)")
