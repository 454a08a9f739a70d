"""The file that `waiaas init` writes: every setting, as a comment with its default."""

import inspect
import json
import textwrap
from collections.abc import Iterator

from waiaas.config.registry import SECTIONS, SETTINGS, Value


def template() -> str:
    """Return the file; it says nothing that does not hold anyway."""
    return "\n".join([*_lines(), ""])


def as_toml(value: Value) -> str:
    """Return a value as the file says it; JSON has the same words for what a setting can be."""
    return json.dumps(value)


def _lines() -> Iterator[str]:
    yield "# Every setting of waiaas and its default. What is none of them is an error."
    yield "# `waiaas config explain` shows what holds, and where that was said."
    for name, section in SECTIONS.items():
        yield f"\n[{name}]"
        yield from _comment(inspect.getdoc(section) or "")
        for setting in SETTINGS:
            if setting.section == name:
                yield ""
                yield from _comment(f"{setting.entry.meaning}.")
                yield f"# {setting.key} = {as_toml(setting.default)}  # {setting.right}"


def _comment(text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")
