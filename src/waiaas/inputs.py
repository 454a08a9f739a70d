"""What a person or a script hands in: files that end, and JSON that says one thing only."""

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

JSON_BYTES_MAX: Final = 1024 * 1024

NESTING_MAX: Final = 64
"""More than any message has, and less than whatever goes through it later has room for."""


def read_file(path: Path, *, bytes_max: int) -> bytes:
    """Return what is in an ordinary file: a device or a pipe may have no end.

    Raises:
        OSError: it cannot be read.
        ValueError: it is something else, or longer than *bytes_max*.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no ordinary file")
        content = stream.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise ValueError(f"it is longer than {bytes_max} bytes")
    return content


def read_text(path: Path, *, bytes_max: int) -> str:
    """Return the text in a file, as UTF-8; raise OSError and ValueError as above."""
    try:
        return read_file(path, bytes_max=bytes_max).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start + 1})") from error


def parse_json(text: str) -> Any:  # noqa: ANN401 -- whatever JSON can say
    """Return what *text* says.

    A member that is given twice is refused: which of two amounts was meant, nobody can tell.

    Raises:
        ValueError: it is no JSON (RFC 8259), is nested too deep, or names a member twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError as error:
        raise _too_deep() from error
    _require_shallow(value)
    return value


def read_json(path: Path, *, bytes_max: int = JSON_BYTES_MAX) -> Any:  # noqa: ANN401 -- as above
    """Return what the JSON in a file says; raise OSError and ValueError as the two above.

    The message of each stands by itself behind the file's name and a colon.
    """
    text = read_text(path, bytes_max=bytes_max)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object names a member twice")
    return members


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _require_shallow(value: object) -> None:
    """Level by level, and not by calling itself: it could be nested deeper than calls can be."""
    level = [value]
    for _ in range(NESTING_MAX):
        level = [inner for each in level for inner in _within(each)]
        if not level:
            return
    if any(isinstance(each, dict | list) for each in level):
        raise _too_deep()


def _within(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {NESTING_MAX} levels")
