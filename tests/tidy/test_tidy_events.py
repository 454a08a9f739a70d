"""The page of the events says what the table says, and every event in it is made somewhere."""

import re
import runpy
from pathlib import Path
from typing import Any, Final

import pytest

from waiaas.domain.enums import AuditAction, NotificationEventType
from waiaas.domain.transaction import AUDIT_ACTIONS

NOT_THE_MAKERS: Final = {"enums", "events", "audit", "notification", "transaction", "audit_verify"}
"""Modules that name events and make none."""


@pytest.fixture(scope="module")
def tool(root: Path) -> dict[str, Any]:
    return runpy.run_path(str(root / "tools/make_events_page.py"))


def named(source: str) -> set[str]:
    """Return the acts that *source* names."""
    return set(re.findall(r"\bAuditAction\.([A-Z_]+)", source))


def test_the_page_of_the_events_is_the_one_that_the_table_makes(
    root: Path, tool: dict[str, Any]
) -> None:
    assert (root / "docs/events.md").read_text(encoding="utf-8") == tool["events_page"](), (
        "run tools/make_events_page.py"
    )


def test_the_page_says_of_exactly_those_events_that_nothing_makes_them(
    root: Path, tool: dict[str, Any]
) -> None:
    made = {*map(str, AUDIT_ACTIONS.values())}  # By a move of a transaction.
    for path in (root / "src/waiaas").rglob("*.py"):
        if path.stem not in NOT_THE_MAKERS:
            made |= named(path.read_text(encoding="utf-8"))
    every = {*map(str, AuditAction), *map(str, NotificationEventType)}
    assert every - made == tool["NOT_MADE"]


def test_control_a_maker_is_noticed() -> None:
    assert named("AuditEvent(AuditAction.TX_SIGNED, SYSTEM)") == {"TX_SIGNED"}
