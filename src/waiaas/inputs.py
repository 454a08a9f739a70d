"""What may be anything: files, of which only ordinary ones end, and JSON that says one thing only.

Opening a pipe would wait for who writes to it, and a device may have no end. So whatever others may
have put where a file is looked for is opened here, and looked at before it is read.
"""

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

JSON_BYTES_MAX: Final = 1024 * 1024

NESTING_MAX: Final = 64
"""More than any message has, and less than whatever goes through it later has room for."""


_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_ROOT: Final = 0


def read_file(path: Path, *, bytes_max: int) -> bytes:
    """Return what is in an ordinary file, whose name may be a link.

    Raises:
        OSError: it cannot be read.
        ValueError: it is something else, or longer than *bytes_max*.
    """
    with opened_file(path) as descriptor:
        return read_from(descriptor, bytes_max=bytes_max)


def read_own_file(path: Path, *, bytes_max: int) -> bytes:
    """Return what is in a file of the data directory, which nobody else can have written.

    Raises:
        OSError: it cannot be read.
        ValueError: it is something else, others may write it, or it is longer than *bytes_max*.
    """
    with opened_file(path, follows_links=False) as descriptor:
        require_unwritten(descriptor)
        return read_from(descriptor, bytes_max=bytes_max)


@contextmanager
def opened_file(path: Path, *, follows_links: bool = True) -> Iterator[int]:
    """Open an ordinary file for reading, or nothing.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is something else.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follows_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follows_links:
            raise ValueError("it is a link, and none is followed") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no ordinary file")
        yield descriptor
    finally:
        os.close(descriptor)


def read_from(descriptor: int, *, bytes_max: int) -> bytes:
    """Return the rest of an opened file.

    Raises:
        ValueError: it is longer than *bytes_max*.
    """
    with open(descriptor, "rb", closefd=False) as stream:
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


def require_unwritten(descriptor: int) -> None:
    """Return if nobody but this user, and root, who may do anything, can have written the file.

    Raises:
        ValueError: somebody else can.
    """
    require_owner(descriptor)
    if os.fstat(descriptor).st_mode & _OTHERS_WRITE:
        raise ValueError("others may write to it")


def require_owner(descriptor: int) -> None:
    """Return if an opened file is this user's or root's; raise ValueError if not."""
    if os.fstat(descriptor).st_uid not in {os.geteuid(), _ROOT}:
        raise ValueError("it belongs to another user")


def is_open_to_others(descriptor: int) -> bool:
    """Tell whether the mode of an opened file lets anybody but its owner do anything with it."""
    return bool(os.fstat(descriptor).st_mode & _OTHERS)


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
