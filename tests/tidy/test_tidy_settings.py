"""Every setting is read by the module that says so, and the page of the settings is theirs."""

import ast
import runpy
from pathlib import Path

import pytest

from waiaas.config.registry import SECTIONS, SETTINGS, Setting


def keys_read(code: ast.Module, section: str, of: str) -> set[str]:
    """Return which keys of a section, a class called *of*, a module reads.

    That is `.key` of something called like the section (`config.daemon`, `daemon`), or of a
    parameter that is annotated with the section's class.
    """
    nodes = list(ast.walk(code))
    owners = {section} | {
        node.arg
        for node in nodes
        if isinstance(node, ast.arg)
        and isinstance(node.annotation, ast.Name)
        and node.annotation.id == of
    }
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and getattr(node.value, "attr", getattr(node.value, "id", None)) in owners
    }


def is_read(setting: Setting, root: Path) -> bool:
    path = root / "src" / f"{setting.entry.read_by.replace('.', '/')}.py"
    code = ast.parse(path.read_bytes())
    return setting.key in keys_read(code, setting.section, SECTIONS[setting.section].__name__)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_every_setting_is_read_by_the_module_that_it_names(setting: Setting, root: Path) -> None:
    assert not setting.entry.read_by.startswith("waiaas.config"), "it is used outside"
    assert is_read(setting, root)


@pytest.mark.parametrize(
    ("code", "keys"),
    [
        ("config.daemon.port", {"port"}),
        ("daemon.port", {"port"}),
        ("def f(given: Daemon): return given.port", {"port"}),
        ("def f(given: Other): return given.port", set()),
        ("given.port", set()),
        ("daemon.port = 1", set()),
        ("daemon = port", set()),
        ("'daemon.port'", set()),
    ],
)
def test_reading_is_told_from_what_only_looks_like_it(code: str, keys: set[str]) -> None:
    assert keys_read(ast.parse(code), "daemon", "Daemon") == keys


def test_the_page_of_the_settings_is_the_one_that_the_registry_makes(root: Path) -> None:
    made = runpy.run_path(str(root / "tools/make_configuration_page.py"))["configuration_page"]()
    assert (root / "docs/configuration.md").read_text(encoding="utf-8") == made, (
        "run tools/make_configuration_page.py"
    )
