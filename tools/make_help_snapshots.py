"""Write what every command's `--help` says into tests/cli/help.txt, which a test compares.

`python tools/make_help_snapshots.py` in the project's environment writes it anew; the difference
shows a reviewer what people will read.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer
from typer.testing import CliRunner

from waiaas.cli.app import app

PAGE: Final = Path(__file__).parents[1] / "tests" / "cli" / "help.txt"

COLUMNS: Final = 100
"""How wide a terminal is assumed to be."""


def names_of(group: Any, *before: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 -- Typer's own classes are not public
    """Yield the program, every resource and every command, as words."""
    yield before
    if hasattr(group, "commands"):
        for name in group.list_commands(None):
            yield from names_of(group.get_command(None, name), *before, name)


def page() -> str:
    """Return the help of all of them."""
    environment = {"COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS)}
    texts = []
    for words in names_of(typer.main.get_command(app)):
        done = CliRunner().invoke(app, [*words, "--help"], prog_name="waiaas", env=environment)
        assert done.exit_code == 0, words
        texts.append(f"{' '.join(('$ waiaas', *words, '--help'))}\n{done.output}")
    return "\n".join(texts)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
