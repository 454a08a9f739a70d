"""The page of the states says what the table says; it is written by a tool, never by hand."""

import runpy
from pathlib import Path

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.transaction import TRANSITIONS


def test_the_page_of_the_states_is_the_one_that_the_table_makes(root: Path) -> None:
    made = runpy.run_path(str(root / "tools/make_states_page.py"))["states_page"]()
    assert (root / "docs/states.md").read_text(encoding="utf-8") == made, (
        "run tools/make_states_page.py"
    )


def test_the_page_shows_every_move(root: Path) -> None:
    page = (root / "docs/states.md").read_text(encoding="utf-8")
    for old, following in TRANSITIONS.items():
        for new in TransactionStatus:
            assert (f"    {old} --> {new}\n" in page) is (new in following)
