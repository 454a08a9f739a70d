"""How facts stand on a terminal: every value whole, in one line, and nothing else too wide."""

import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.inspect import Field, IntType, ListType, StructType, UnionType, type_info

from waiaas.api.app import ROUTES
from waiaas.cli.layout import (
    Facts,
    duration_in_words,
    in_words,
    is_duration,
    is_time,
    list_lines,
    printable,
    thing_lines,
)
from waiaas.domain.times import time_in_words

ID: Final = "01a21fd1-117f-75db-b63d-e713c67ad1e8"
HASH: Final = "4be43556abcdf9adfd9c173ae60a16540ae2ed46d96cb661ba5f18ec243386ab"

names = st.text("abcdefghijAt", min_size=1, max_size=12)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=90)
    | st.sampled_from([ID, HASH, "漢" * 30, "á" * 40])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
facts = st.dictionaries(names, values, max_size=6)
widths = st.sampled_from([0, 20, 40, 80, 200])


def leaves_of(value: Any, name: str = "") -> Iterator[str]:
    """Yield every value that is to be seen, in words."""
    if isinstance(value, Mapping):
        for member, each in value.items():
            yield from leaves_of(each, member)
    elif isinstance(value, list):
        for each in value:
            yield from leaves_of(each, name)
    elif value is not None:
        yield in_words(name, value)


def cut_or_broken(things: Any, lines: list[str]) -> list[str]:
    """Return every value that stands whole in no line."""
    return [leaf for leaf in leaves_of(things) if not any(leaf in line for line in lines)]


@given(st.lists(facts, max_size=4), widths)
def test_every_value_stands_whole_in_a_line_and_can_be_seen(things: Any, width: int) -> None:
    lines = list_lines(things, width=width)
    assert cut_or_broken(things, lines) == []
    assert [line for line in lines if not line.isprintable()] == []


def test_control_lines_that_are_made_to_fit_lose_something() -> None:
    thing = {"publicKey": HASH}
    lines = thing_lines(thing, width=40)
    assert cut_or_broken([thing], lines) == []
    assert cut_or_broken([thing], [line[:40] for line in lines]) == [HASH]
    assert cut_or_broken([thing], wrap(lines[0], 40)) == [HASH]


@given(st.lists(facts, max_size=4), st.sampled_from([40, 80, 200]))
def test_no_line_is_too_wide_unless_it_is_one_value(things: Any, width: int) -> None:
    alone = {*leaves_of(things), "-"}
    too_wide = [line for line in list_lines(things, width=width) if cells(line) > width]
    assert [
        line
        for line in too_wide
        if not any(
            line.endswith(leaf) and re.fullmatch(r" *(\w+ +)?", line.removesuffix(leaf))
            for leaf in alone
        )
    ] == []


def cells(line: str) -> int:
    return len(line) + line.count("漢") - line.count("\u0301")


def test_names_are_padded_and_what_is_inside_is_indented() -> None:
    thing = {
        "id": ID,
        "enabled": True,
        "reason": None,
        "networks": ["localnet", "devnet"],
        "agents": [],
        "owner": {"ownerState": "NONE", "since": 0},
    }
    assert thing_lines(thing, width=80) == [
        f"id        {ID}",
        "enabled   yes",
        "networks  localnet, devnet",
        "agents    none",
        "owner",
        "  ownerState  NONE",
        "  since       1970-01-01 00:00:00 UTC",
    ]


def test_several_things_are_a_table_where_all_of_it_fits_and_blocks_else() -> None:
    things: list[Facts] = [{"id": ID, "n": 1, "error": None}, {"id": ID, "n": None, "error": None}]
    assert list_lines(things, width=39) == [
        f"id{' ' * 36}n",
        f"{ID}  1",
        f"{ID}  -",
    ]
    assert list_lines(things, width=38) == [f"id  {ID}", "n   1", "", f"id  {ID}"]
    assert list_lines(things, width=80, columns=["n"]) == ["n", "1", "-"]
    assert list_lines([], width=80) == ["none"]


def test_wide_letters_and_accents_keep_columns_straight() -> None:
    assert list_lines([{"a": "漢", "b": 1}, {"a": "e\u0301", "b": 2}], width=80) == [
        "a   b",
        "漢  1",
        "e\u0301   2",
    ]


def test_a_list_that_is_too_wide_is_a_line_for_each() -> None:
    assert thing_lines({"ids": [ID, ID, ID]}, width=80) == ["ids", *[f"  {ID}"] * 3]
    assert thing_lines({"a": [[1, 2], {"b": 3}]}, width=80) == ["a", "    1", "    2", "    b  3"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("retryAt", 1795829175, "2026-11-28 01:26:15 UTC"),
        ("waitsUntil", 0, "1970-01-01 00:00:00 UTC"),
        ("at", 10**15, "1000000000000000"),
        ("amount", 1795829175, "1795829175"),
        ("uptime", 59, "59 s"),
        ("waitSeconds", 900, "900 s (15 min)"),
        ("clockDifference", -90061, "-90061 s (1 d 1 h 1 min 1 s)"),
        ("size", 7, "7 bytes"),
        ("count", None, "-"),
        ("isIn", False, "no"),
        ("text", "", '""'),
        ("text", "a\x1b", "a\\x1b"),
        ("inside", {"a": 1, "b": [2, 3], "c": {}}, "a 1, b 2, 3, c none"),
    ],
)
def test_a_value_is_put_into_words(name: str, value: object, words: str) -> None:
    assert in_words(name, value) == words


@given(st.integers(min_value=-(2**60), max_value=2**60))
def test_a_duration_begins_with_the_seconds_that_a_command_takes(seconds: int) -> None:
    assert duration_in_words(seconds).split(" ")[0] == str(seconds)
    assert printable(time_in_words(seconds)) == time_in_words(seconds)


COUNTS: Final = {
    *("agentCount", "waitingAgentCount", "unfinishedTransactionCount", "waitingTransactionCount"),
    *("blockedTransactionCount", "unreadableTransactionCount", "swappableSecretCount", "walPages"),
    *("waiting", "unsigned", "signed", "sent", "unclear", "failures"),
    *("movementCount", "blocksLeft", "transactionsCancelled", "sessionsRevoked"),
    *("agentsSuspended", "transactionsUnderWay", "decimals", "number", "priority", "part", "size"),
}


def numbers_of(kind: Any) -> Iterator[Field | None]:
    """Yield the members of an answer that are numbers."""
    if isinstance(kind, StructType):
        for field in kind.fields:
            yield from (found or field for found in numbers_of(field.type))
    elif isinstance(kind, UnionType):
        yield from (found for each in kind.types for found in numbers_of(each))
    elif isinstance(kind, ListType):
        yield from numbers_of(kind.item_type)
    elif isinstance(kind, IntType):
        yield None


def test_every_number_of_an_answer_is_a_time_a_duration_or_a_count() -> None:
    """Who adds a member says which, by its name."""
    found = (number for route in ROUTES for number in numbers_of(type_info(route.reply)))
    names = {number.encode_name for number in found if number is not None}
    assert {name for name in names if not is_time(name) and not is_duration(name)} == COUNTS
