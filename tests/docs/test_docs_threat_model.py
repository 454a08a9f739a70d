"""The threat model leaves nothing out, and names no test that does not exist."""

import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")

IDS: Final = [
    f"{kind}{number}"
    for kind, last in (("I", 45), ("A", 50), ("H", 28))
    for number in range(1, last + 1)
]
"""Invariants, attacks, and holes of an earlier wallet."""

ROW: Final = re.compile(r"^\| ([A-Z][0-9]+) \| (.+) \| (.+) \| (.*) \|$", re.MULTILINE)
NAMED: Final = re.compile(r"`(tests/[^`\s]+\.py)::(test_\w+)`")
TEST: Final = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
UNPROVED: Final = re.compile(r"does not apply: \S|open: (issue [0-9]|later)")


@cache
def names_in(path: str) -> frozenset[str]:
    if not (ROOT / path).is_file():
        return frozenset()
    return frozenset(TEST.findall((ROOT / path).read_text(encoding="utf-8")))


def missing(text: str) -> list[str]:
    """Return the tests that *text* names and that are not there."""
    return [f"{path}::{name}" for path, name in NAMED.findall(text) if name not in names_in(path)]


def test_everything_is_told_exactly_once_and_in_order() -> None:
    assert [found[0] for found in ROW.findall(PAGE)] == IDS


def test_each_is_shown_by_a_test_or_says_why_not() -> None:
    for name, _, prevented, shown in ROW.findall(PAGE):
        assert bool(shown) is not bool(UNPROVED.match(prevented)), name
        assert all(NAMED.fullmatch(each) for each in shown.split("<br>") if each), name


def test_every_test_that_it_names_exists() -> None:
    assert NAMED.search(PAGE)
    assert not missing(PAGE)


def test_control_a_test_that_does_not_exist_is_noticed() -> None:
    here = "tests/docs/test_docs_threat_model.py"
    assert not missing(f"`{here}::test_every_test_that_it_names_exists`")
    assert missing(f"`{here}::test_of_nothing`") == [f"{here}::test_of_nothing"]
    assert missing("`tests/gone.py::test_x`") == ["tests/gone.py::test_x"]
