"""What the pages name exists: commands with their options, routes; and snippets say what is so."""

import json
import re
import runpy
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import typer.main

from waiaas.api.app import ROUTES
from waiaas.api.strict_json import decode
from waiaas.cli.app import app
from waiaas.config.reading import File, combine, config_of, in_file
from waiaas.config.registry import Config
from waiaas.wire.problems import Problem

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]

SPAN: Final = re.compile(r"`([^`]+)`")
BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NO_COMMANDS: Final = {"waiaas backup manifest"}
"""A tag in the format of backups."""
ROUTE: Final = re.compile(r"(GET|POST|PUT|DELETE) (/[^\s?]*)\S*")


def spans(text: str) -> list[str]:
    """Return what stands as code in the running text, each on one line."""
    return [" ".join(span.split()) for span in SPAN.findall(BLOCK.sub("", text))]


def blocks(text: str, language: str) -> list[str]:
    return [block for found, block in BLOCK.findall(text) if found == language]


def command_lines(text: str) -> Iterator[str]:
    """Yield what stands for a command line, in the running text and in blocks, without comments."""
    lines = "\n".join(block for _, block in BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    for line in (*spans(text), *(line.partition(" #")[0].strip() for line in lines)):
        if line.startswith("waiaas ") and line not in NO_COMMANDS:
            yield line


@pytest.fixture(scope="module")
def commands() -> dict[str, set[str]]:
    """Return every command with the options that it takes."""
    tool = runpy.run_path(str(ROOT / "tools/make_reference_pages.py"))
    return {
        name: {
            "--help",
            *(option for each in command.params for option in (*each.opts, *each.secondary_opts)),
        }
        for name, command in tool["commands_of"](typer.main.get_command(app))
    }


def wrong(line: str, commands: dict[str, set[str]]) -> list[str]:
    """Return what there is not of a command line; `a|b` stands for both."""
    words = line.split()[1:]
    if words[:1] == ["--data-dir"]:
        words = words[2:]
    found = []
    for first, second in product(words[0].split("|"), [*words[1:2], ""][0].split("|")):
        name = next((each for each in (f"{first} {second}", first) if each in commands), None)
        if name is None and (second or not any(each.startswith(f"{first} ") for each in commands)):
            found.append(f"{first} {second}")
        options = {word.partition("=")[0].rstrip(",;)") for word in words if word.startswith("--")}
        found += sorted(options - commands[name]) if name else []
    return found


def test_every_command_that_a_page_names_exists_with_its_options(
    commands: dict[str, set[str]],
) -> None:
    lines = {line for page in PAGES for line in command_lines(page.read_text(encoding="utf-8"))}
    assert len(lines) > 50
    assert not {line: found for line in lines if (found := wrong(line, commands))}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("waiaas tx send --wait 20", []),
        ("waiaas approval list|approve", []),
        ("waiaas backup", []),
        ("waiaas tx sent", ["tx sent"]),
        ("waiaas approval list|give", ["approval give"]),
        ("waiaas stat", ["stat "]),
        ("waiaas tx send --whait=20", ["--whait"]),
    ],
)
def test_control_a_command_that_does_not_exist_is_noticed(
    line: str, found: list[str], commands: dict[str, set[str]]
) -> None:
    assert wrong(line, commands) == found


def test_every_route_that_a_page_names_exists() -> None:
    named = {
        found.groups()
        for page in PAGES
        for span in spans(page.read_text(encoding="utf-8"))
        if (found := ROUTE.fullmatch(span))
    }
    routes = {(route.method, route.path) for route in ROUTES}
    assert routes <= named
    assert not named - routes


def test_every_setting_in_a_snippet_is_one_at_its_default() -> None:
    snippets = [
        block for page in PAGES for block in blocks(page.read_text(encoding="utf-8"), "toml")
    ]
    assert snippets
    for snippet in snippets:
        file = File(ROOT, snippet.encode(), is_open_to_others=False)
        assert config_of(combine(in_file(file))) == Config()


def test_the_request_on_the_page_of_requests_is_one_that_send_takes() -> None:
    [send] = [route for route in ROUTES if route.path == "/v1/transactions/send"]
    [snippet] = blocks((ROOT / "docs/requests.md").read_text(encoding="utf-8"), "json")
    assert send.body is not None
    message: Any = decode(snippet.encode(), send.body, *send.other_bodies)
    assert len(message.instructions) == 2


def test_the_denial_in_the_readme_has_members_that_a_denial_has() -> None:
    [snippet] = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "json")
    members = {field.encode_name for field in msgspec.structs.fields(Problem)}
    assert json.loads(snippet).keys() <= members
