"""Words left lying about: unfinished work without an issue, suppressions without a reason.

The marker words are put together from pieces, or this file would break its own rule.
"""

import io
import re
import tokenize
from functools import partial
from typing import Any, Final

import pytest

MARKERS: Final = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
UNFINISHED: Final = re.compile(rf"\b({'|'.join(MARKERS)})\b(?!\(#\d+\))")
"""A marker may stand with the number of the issue that will remove it, `(#12)`, right behind it."""

NO_CODE: Final = re.compile(r"noqa(?!: [A-Z]+\d+(, [A-Z]+\d+)*( |$))|type: *ignore(?!\[[a-z-]+)")
REASON: Final = re.compile(r" -- \S")


def unfinished_work(text: str) -> list[str]:
    if not any(marker in text for marker in MARKERS):
        return []
    return [line.strip() for line in text.splitlines() if UNFINISHED.search(line)]


def unexplained(source: str, *, marks: str) -> list[str]:
    """Return the comments that suppress a check without naming it or without saying why."""
    if not re.search(rf"#\s*({marks})", source):
        return []
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        f"line {token.start[0]}: {token.string}"
        for token in tokens
        if token.type == tokenize.COMMENT
        and re.search(rf"#\s*({marks})", token.string)
        and (NO_CODE.search(token.string) or not REASON.search(token.string))
    ]


def test_unfinished_work_names_its_issue(any_files: Any) -> None:
    assert not any_files.whose_text(unfinished_work)


@pytest.mark.parametrize("marker", MARKERS)
def test_control_unfinished_work_without_an_issue_is_noticed(marker: str) -> None:
    assert unfinished_work(f"x = 1  # {marker}: later")
    assert unfinished_work(f"# {marker}(someone): later")
    assert not unfinished_work(f"# {marker}(#12): later")
    assert not unfinished_work(f"{marker}LIST")


def test_every_suppression_in_the_program_has_a_code_and_a_reason(program_files: Any) -> None:
    every = partial(unexplained, marks="noqa|type: *ignore|pragma: *no")
    assert not program_files.whose_text(every)


def test_every_ignored_type_error_in_the_tests_has_a_code_and_a_reason(test_files: Any) -> None:
    assert not test_files.whose_text(partial(unexplained, marks="type: *ignore"))


@pytest.mark.parametrize(
    "bad",
    [
        "noqa",
        "noqa -- no code",
        "noqa: S603",
        "noqa: S603 no dashes",
        "type: ignore",
        "type: ignore[arg-type]",
        "type: ignore  # -- no code",
        "pragma: no cover",
        "pragma: no branch",
    ],
)
def test_control_a_suppression_without_code_or_reason_is_noticed(bad: str) -> None:
    assert unexplained(f"x = 1  # {bad}\n", marks="noqa|type: *ignore|pragma: *no")


@pytest.mark.parametrize(
    "good",
    [
        "noqa: S603 -- our own program",
        "noqa: BLE001, S110 -- the last resort",
        "type: ignore[arg-type]  # -- the wrong type is the point",
        "type: ignore[arg-type]  # noqa: PGH003 -- the wrong type is the point",
        "pragma: no cover -- runs on another platform only",
        "fmt: skip",
    ],
)
def test_control_an_explained_suppression_is_accepted(good: str) -> None:
    assert not unexplained(f"x = 1  # {good}\n", marks="noqa|type: *ignore|pragma: *no")
