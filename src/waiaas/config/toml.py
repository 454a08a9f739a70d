"""Which key of a TOML file stands on which line, and every mistake in it, not only the first.

The parser of the standard library tells neither. So the file is cut into its statements (a heading,
or a key and its value) and that parser reads each of them alone. It also reads the whole: what it
refuses is refused here, too.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_PIECE: Final = re.compile(
    r'''
    """ (?: \\. | [^\\] )*? "{3,5}     # text over several lines,
    | \'\'\' .*? '{3,5}                # and such text as it stands
    | " (?: \\. | [^"\\\n] )* "
    | ' [^'\n]* '
    | \# [^\n]*
    | [\[\]\n]                         # what makes a statement longer than its line, or ends it
    | [^"'\#\[\]\n]+
    | .
    ''',
    re.VERBOSE | re.DOTALL,
)
_SEEMING_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\s*=")
_POSITION: Final = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)")
_DOTS_MAX: Final = 100
"""Outside of texts. The time that a key takes to be read grows with the square of its parts."""

_DEPTH: Final = 2
"""How far down things are told apart: a section, and a key in it."""

Path = tuple[str, ...]


class Said(NamedTuple):
    """A heading and nothing below it, or a key and its value."""

    line: int
    path: Path
    """From the top; what is deeper than a key in a section is part of the value."""
    value: Any
    """Of a heading: an empty table, or a list if it is in double brackets."""


class Broken(NamedTuple):
    """Something that TOML does not allow."""

    line: int
    name: str
    """The key that it seems to be about, or nothing."""
    reason: str


def read_toml(text: str) -> tuple[list[Said], list[Broken]]:
    """Return what a TOML text says, in its order, and what is wrong with it."""
    text = text.replace("\r\n", "\n")
    said: list[Said] = []
    broken: list[Broken] = []
    table: Path = ()
    for line, statement in _cut(text):
        try:
            _require_few_dots(statement)
            parsed = tomllib.loads(statement)
        except (ValueError, RecursionError) as error:
            broken.append(Broken(line, _seeming_name(table, statement), _reason(error)))
            continue
        if statement.lstrip(" \t").startswith("["):
            heading = Said(line, *_heading(parsed))
            table = heading.path
            said.append(heading)
        elif parsed:
            said += [Said(line, *leaf) for leaf in _leaves(table, parsed)]
    return said, broken or _broken_as_a_whole(text, said)


def _cut(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement, and the line on which it begins."""
    line, begins, start, depth = 1, 1, 0, 0
    is_heading = False
    for match in _PIECE.finditer(text):
        piece = match[0]
        line += piece.count("\n")
        if piece == "[":
            is_heading = is_heading or not text[start : match.start()].strip(" \t")
            depth += 1
        elif piece == "]":
            depth = max(depth - 1, 0)
        elif piece == "\n" and (depth == 0 or is_heading):  # No heading is longer than its line.
            yield begins, text[start : match.start()]
            begins, start, depth, is_heading = line, match.end(), 0, False
    yield begins, text[start:]


def _require_few_dots(statement: str) -> None:
    if statement.count(".") <= _DOTS_MAX:
        return
    outside = (each for each in _PIECE.findall(statement) if each[0] not in "\"'#")
    if sum(piece.count(".") for piece in outside) > _DOTS_MAX:
        raise ValueError("a name has more parts than any")


def _heading(parsed: Any) -> tuple[Path, Any]:  # noqa: ANN401 -- whatever TOML can say
    path: Path = ()
    while isinstance(parsed, dict) and parsed and len(path) < _DEPTH:
        [(key, parsed)] = parsed.items()
        path = (*path, key)
    return path, parsed


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:  # noqa: ANN401 -- as above
    if isinstance(value, dict) and value and len(path) < _DEPTH:
        for key, inner in value.items():
            yield from _leaves((*path, key), inner)
    else:
        yield path, value


def _broken_as_a_whole(text: str, said: list[Said]) -> list[Broken]:
    """Return what is wrong with statements that are right one by one: something is there twice."""
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        at = _POSITION.search(str(error))
        line = at["line"] if at else None  # Without one it is the last.
        until = [each for each in said if line is None or each.line <= int(line)]
        where, path, _ = until[-1]
        return list(_repeated(said)) or [Broken(where, ".".join(path), _reason(error))]
    return []


def _repeated(said: list[Said]) -> Iterator[Broken]:
    first: dict[tuple[Path, bool], int] = {}
    for line, path, value in said:
        # Keys below the depth have the path of what they are in: they are not there twice.
        if isinstance(value, dict) and value:
            continue
        before = first.setdefault((path, isinstance(value, dict)), line)
        if before != line:
            name = ".".join(path)
            yield Broken(line, name, f"it is there already, on line {before}")


def _seeming_name(table: Path, statement: str) -> str:
    key = _SEEMING_KEY.match(statement)
    return ".".join((*table, key[1])) if key else ""


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if "integer string conversion" in str(error):  # Python's own, with advice for programmers.
        return "a number is longer than any"
    return _POSITION.sub("", str(error))
