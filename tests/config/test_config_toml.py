"""TOML, statement by statement: on the right lines, and read as the standard library reads it."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.config.toml import Broken, Said, read_toml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", []),
        ("# a = 1\n\n", []),
        ("a = 1", [(1, ("a",), 1)]),
        ("\r\na = 1\r\n", [(2, ("a",), 1)]),
        ("[x]\n\n# [y]\n a = 'b'  # c", [(1, ("x",), {}), (4, ("x", "a"), "b")]),
        ("[x]\na = [\n 1, # ]\n]\nb = 2", [
            (1, ("x",), {}), (2, ("x", "a"), [1]), (5, ("x", "b"), 2),
        ]),
        ('a = """\n[y]\n\\"""b"""""\nc = 1', [(1, ("a",), '[y]\n"""b""'), (4, ("c",), 1)]),
        ("a = '''\n[y]\n\\'''\nc = 1", [(1, ("a",), "[y]\n\\"), (4, ("c",), 1)]),
        ('a = "#["\nb = \'#[\'', [(1, ("a",), "#["), (2, ("b",), "#[")]),
        ("x.a = 1\nx.b = 2", [(1, ("x", "a"), 1), (2, ("x", "b"), 2)]),
        ("x = {a = 1, b = [2]}", [(1, ("x", "a"), 1), (1, ("x", "b"), [2])]),
        ("x = {}", [(1, ("x",), {})]),
        ("[x.y.z]\na = 1", [(1, ("x", "y"), {"z": {}}), (2, ("x", "y"), {"a": 1})]),
        ("[[x]]\na = 1", [(1, ("x",), [{}]), (2, ("x", "a"), 1)]),
        ('"x.y" = 1', [(1, ("x.y",), 1)]),
    ],
)  # fmt: skip
def test_everything_stands_on_its_line(text: str, said: list[Said]) -> None:
    assert read_toml(text) == (said, [])


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[x]\na =\nb = 1\nc = http://a", [
            (2, "x.a", "Invalid value"), (4, "x.c", "Invalid value"),
        ]),
        ("a = 1\n[x\nb = 1", [(2, "", "Expected ']' at the end of a table declaration")]),
        ('a = "b\nc = 1', [(1, "a", "Unterminated string")]),
        ("a = 1\nb = 2\na = 3", [(3, "a", "it is there already, on line 1")]),
        ("[x]\n[y]\n[x]", [(3, "x", "it is there already, on line 1")]),
        ("[x]\na = 1\na = 2\na = 3", [
            (3, "x.a", "it is there already, on line 2"),
            (4, "x.a", "it is there already, on line 2"),
        ]),
        ("x.a.b = 1\nx.a.b = 2", [(2, "x.a", "Cannot overwrite a value")]),
        ("x.a = 1\n[x]", [(2, "x", "Cannot declare ('x',) twice")]),
        ("[x]\n\n[[x]]\n\n", [(3, "x", "Cannot overwrite a value")]),
        ("a = " + "[" * 5000, [(1, "a", "it is nested too deeply")]),
    ],
)  # fmt: skip
def test_every_mistake_is_told_with_its_line_and_its_key(text: str, broken: list[Broken]) -> None:
    assert read_toml(text)[1] == broken


def test_a_number_of_any_length_is_a_mistake_and_no_failure() -> None:
    [broken] = read_toml(f"[x]\na = {'9' * 5000}")[1]
    assert broken == (2, "x.a", "a number is longer than any")


@pytest.mark.parametrize(
    "text",
    ["x" + ".a" * 30_000 + " = 1", '"x"' + '."a"' * 16_000 + " = 1", "[x" + ".a" * 30_000 + "]"],
    ids=["key", "quoted key", "heading"],
)
def test_a_name_of_very_many_parts_is_a_mistake_at_once(text: str) -> None:
    """The standard library takes nine seconds for one of 20,000: the limit of a test ends that."""
    [broken] = read_toml(f"\n{text}\n")[1]
    assert (broken.line, broken.reason) == (2, "a name has more parts than any")


def test_dots_in_a_text_or_a_comment_are_no_parts() -> None:
    [said], broken = read_toml(f'x.y = "{"." * 500}"  # {"." * 500}')
    assert (said.path, said.value, broken) == (("x", "y"), "." * 500, [])


PIECES = [
    *'[]{}="\'#\n\r\t ,.\\ab1-:é\0', '"""', "'''", "\r\n", "[x]\n", "[[x]]\n", "[x.y]\n", "a = 1\n",
    "b.c = true\n", '= "x"\n', '\\"', "a = [\n1,\n2]\n", 'c = """\n a\n"""\n', "x = {a = 1}\n",
    "1979-05-27", "1.5", "inf",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_what_is_read_is_what_the_standard_library_reads(text: str) -> None:
    said, broken = read_toml(text)
    whole: Any
    try:
        whole = tomllib.loads(text)
    except ValueError:
        assert broken
        return
    assert not broken
    lines = text.replace("\r\n", "\n").split("\n")
    for line, path, value in said:
        assert path[-1] in lines[line - 1] or len(path) > 1
        there = [whole]
        for key in path:  # A heading in double brackets that is there twice makes two.
            inside = [each for one in there for each in (one if isinstance(one, list) else [one])]
            there = [one[key] for one in inside if key in one]
        assert there
        assert any(isinstance(one, dict | list) or one == value or value != value for one in there)  # noqa: PLR0124 -- nan
    assert {path[0] for _, path, _ in said} == set(whole)
