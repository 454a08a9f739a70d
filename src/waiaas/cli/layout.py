"""How facts stand on a terminal: lines, made of the facts and its width alone.

Every value stands whole in one line, whatever its length: somebody may have to copy it, and the
terminal wraps what is too long. So several things are a table only where all of it fits; else each
is a block of lines.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from waiaas.domain.times import time_in_words

Facts = Mapping[str, object]

NOTHING: Final = "none"
"""In the place of an empty list."""

_UNKNOWN: Final = "-"
"""In a cell of a table; a block leaves such a line out."""

_GAP: Final = "  "
_INDENT: Final = "  "

_TIMES: Final = frozenset({"at", "until", "timestamp", "since", "actual", "expected"})
_TIME_ENDS: Final = ("At", "_at", "Until")
_DURATIONS: Final = frozenset({"uptime", "difference", "clockDifference"})
_DURATION_ENDS: Final = ("Seconds", "_seconds", "_timeout")
_SIZES: Final = frozenset({"size"})

_UNITS_S: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def thing_lines(facts: Facts, *, width: int) -> list[str]:
    """Return one thing as lines of name and value; what is inside a value is indented below it.

    What is null is left out.
    """
    known = {name: value for name, value in facts.items() if value is not None}
    room = width - len(_GAP) - max((_cells(printable(name)) for name in known), default=0)
    inline = {name: _inline(name, value, room) for name, value in known.items()}
    longest = max((_cells(printable(name)) for name, text in inline.items() if text), default=0)
    lines: list[str] = []
    for name, value in known.items():
        label, text = printable(name), inline[name]
        if text is not None:
            lines.append(f"{_padded(label, longest)}{_GAP}{text}")
            continue
        lines.append(label)
        lines += _indented(_inside(name, value, width - len(_INDENT)))
    return lines


def list_lines(
    things: Sequence[Facts], *, width: int, columns: Sequence[str] | None = None
) -> list[str]:
    """Return several things as a table, or as blocks with an empty line between them.

    Shown are all their members, or only those that are *columns*; what none of them has is not.
    """
    names = columns or list(dict.fromkeys(name for thing in things for name in thing))
    shown = [{name: thing.get(name) for name in names} for thing in things]
    table = _table(shown, width)
    if table:
        return table
    lines: list[str] = []
    for thing in shown:
        lines += ["", *thing_lines(thing, width=width)]
    return lines[1:] or [NOTHING]


def in_words(name: str, value: object) -> str:
    """Return the value of a member as a person reads it, in one line.

    Times are Unix seconds, and known by the member's name, as are durations and sizes.
    """
    if isinstance(value, Mapping):
        inner = (f"{printable(each)} {in_words(each, value[each])}" for each in value)
        return ", ".join(inner) or NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(in_words(name, each) for each in value) or NOTHING
    if value is None:
        return _UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _number(name, value)
    return printable(str(value)) or '""'


def is_time(name: str) -> bool:
    """Tell whether a number of this name is a time."""
    return name in _TIMES or name.endswith(_TIME_ENDS)


def is_duration(name: str) -> bool:
    """Tell whether a number of this name is seconds."""
    return name in _DURATIONS or name.endswith(_DURATION_ENDS)


def duration_in_words(seconds: int) -> str:
    """Return seconds, and what they are in greater units."""
    left, parts = abs(seconds), []
    for unit, unit_s in _UNITS_S:
        count, left = divmod(left, unit_s)
        if count:
            parts.append(f"{count} {unit}")
    greater = f" ({' '.join(parts)})" if abs(seconds) >= _UNITS_S[-2][1] else ""
    return f"{seconds} s{greater}"


def printable(text: str) -> str:
    """Return *text* with all that nobody sees escaped: chain data may hold anything.

    That is what could move the cursor, reorder the text around it or hide in it. Letters of every
    script stay: a path or a command that is shown is to be pasted.
    """
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def _number(name: str, value: int) -> str:
    if is_time(name):
        return time_in_words(value)
    if is_duration(name):
        return duration_in_words(value)
    return f"{value} bytes" if name in _SIZES else str(value)


def _inline(name: str, value: object, room: int) -> str | None:
    """Return a value that stands in the line of its name, or None: it is lines of its own.

    Several values have to fit into the *room* behind the name.
    """
    if not isinstance(value, Mapping | list | tuple) or not value:
        return in_words(name, value)
    if isinstance(value, Mapping) or any(isinstance(each, Mapping | list) for each in value):
        return None
    text = in_words(name, value)
    return text if len(value) == 1 or _cells(text) <= room else None


def _inside(name: str, value: object, width: int) -> Iterator[str]:
    """Yield the lines of what is in an object or a list."""
    if isinstance(value, Mapping):
        yield from thing_lines(value, width=width)
        return
    assert isinstance(value, list | tuple)
    if all(isinstance(each, Mapping) for each in value):
        yield from list_lines(value, width=width)
        return
    for each in value:
        if isinstance(each, Mapping | list):
            yield from _indented(_inside(name, each, width - len(_INDENT)))
        else:
            yield in_words(name, each)


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"{_INDENT}{line}" if line else "" for line in lines)


def _table(things: Sequence[Facts], width: int) -> list[str]:
    """Return the lines of a table, or none if it is wider than *width*."""
    names = [
        name
        for name in (things[0] if things else ())
        if any(thing[name] is not None for thing in things)
    ]
    rows = [[printable(name) for name in names]]
    rows += [[in_words(name, thing[name]) for name in names] for thing in things]
    widths = [max(map(_cells, column)) for column in zip(*rows, strict=True)]
    if not names or sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        return []
    return [_GAP.join([*map(_padded, row[:-1], widths), row[-1]]) for row in rows]


def _padded(text: str, cells: int) -> str:
    return text + " " * (cells - _cells(text))


def _cells(text: str) -> int:
    """Return how many columns of a terminal a text takes: none for an accent, two for 漢."""
    return sum(
        0
        if unicodedata.category(character) in {"Mn", "Me"}
        else 1 + (unicodedata.east_asian_width(character) in {"W", "F"})
        for character in text
    )
