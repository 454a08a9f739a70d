"""Markdown: every page has one title, and its links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

FENCE: Final = re.compile(r"^\s*(```|~~~)")
TITLE: Final = re.compile(r"^# +\S")
LINK: Final = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s*<?(\S+?)>?\s*$")
ELSEWHERE: Final = re.compile(r"^([a-z][a-z0-9+.-]*:|//|#)")


def prose_lines(text: str) -> Iterator[str]:
    """Yield the lines outside code blocks, without their inline code."""
    in_code = False
    for line in text.splitlines():
        if FENCE.match(line):
            in_code = not in_code
        elif not in_code:
            yield re.sub(r"`[^`]*`", "", line)


def titles(text: str) -> list[str]:
    return [line for line in prose_lines(text) if TITLE.match(line)]


def relative_links(text: str) -> list[str]:
    """Return the targets of links to files of this repository, without the part behind `#`."""
    found = [inline or named for line in prose_lines(text) for inline, named in LINK.findall(line)]
    return [target.split("#")[0] for target in found if not ELSEWHERE.match(target)]


def broken_links(text: str, *, folder: Path) -> list[str]:
    return [target for target in relative_links(text) if not (folder / target).exists()]


def test_every_page_has_exactly_one_title(markdown_files: Any) -> None:
    assert not markdown_files.whose_text(lambda page: len(titles(page)) != 1)


def test_every_relative_link_leads_to_a_file(markdown_files: Any, root: Path) -> None:
    assert not markdown_files.whose_path(
        lambda page: broken_links(
            (root / page).read_text(encoding="utf-8"), folder=(root / page).parent
        )
    )


def test_control_titles_are_counted_outside_code_only() -> None:
    page = "# One\n\n```sh\n# a comment\n```\n\n# Two\n"
    assert titles(page) == ["# One", "# Two"]
    assert not titles("## only a section\n")


def test_control_a_broken_link_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    page = (
        "[a](there.md) [b](there.md#part) [c](#here) [d](https://example.invalid/x)\n"
        "[e](gone.md) ![f](gone.png 'title')\n"
        "[g]: gone/too.md\n"
        "`[h](code.md)`\n"
    )
    expected = ["gone.md", "gone.png", "gone/too.md"]
    assert expected == broken_links(page, folder=tmp_path)
