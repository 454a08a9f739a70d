"""Everything that can be called, set or refused is documented, by pages that a tool writes."""

import runpy
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from waiaas.api.app import ROUTES
from waiaas.cli.app import app
from waiaas.config.registry import SETTINGS
from waiaas.domain.errors import ErrorCode

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = ("api.md", "errors.md", "commands.md")


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools/make_reference_pages.py"))


@cache
def everything() -> str:
    """Return the text of the README and of all pages that people read."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def unnamed(names: Iterable[str], text: str) -> list[str]:
    """Return those that *text* does not name as code."""
    return [name for name in names if f"`{name}`" not in text]


def sections(page: str) -> dict[str, str]:
    """Return what stands below each heading of the second level."""
    parts = page.split("\n## ")[1:]
    return {title: text for title, _, text in (part.partition("\n") for part in parts)}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_the_one_that_its_source_makes(name: str, tool: dict[str, Any]) -> None:
    made = tool["PAGES"][name]()
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == made, (
        "run tools/make_reference_pages.py"
    )


def test_no_page_is_written_and_not_compared(tool: dict[str, Any]) -> None:
    assert {*tool["PAGES"]} == {*PAGES}


def test_every_route_is_documented() -> None:
    assert not unnamed((f"{route.method} {route.path}" for route in ROUTES), everything())


def test_every_error_code_is_documented() -> None:
    assert not unnamed(ErrorCode, everything())


def test_every_setting_is_documented() -> None:
    assert not unnamed((setting.name for setting in SETTINGS), everything())


def test_every_command_is_documented_with_its_options(tool: dict[str, Any]) -> None:
    told = sections((ROOT / "docs/commands.md").read_text(encoding="utf-8"))
    commands = dict(tool["commands_of"](typer.main.get_command(app)))
    assert {f"waiaas {name}" for name in commands} == told.keys()
    for name, command in commands.items():
        options = [
            option.upper() if each.param_type_name == "argument" else option
            for each in command.params
            for option in (*each.opts, *each.secondary_opts)
        ]
        assert not unnamed(options, told[f"waiaas {name}"]), name


def test_control_what_no_page_names_is_noticed() -> None:
    assert unnamed(["GET /v1/secret", "NO_SUCH_CODE", "daemon.secret"], everything()) == [
        "GET /v1/secret",
        "NO_SUCH_CODE",
        "daemon.secret",
    ]
    assert unnamed(
        ["--wait"], sections("# A\n\n## waiaas tx send\n- `--waiting`\n")["waiaas tx send"]
    )
