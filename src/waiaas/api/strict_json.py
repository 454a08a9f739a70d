"""JSON as a hostile caller may send it, turned into a message or one clear refusal.

The message decoder keeps the last of two equal keys and can fail outside its own error type; so a
first pass refuses duplicate keys, NaN, control characters, lone surrogates and deep nesting.
"""

import json
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from waiaas.domain.errors import ErrorCode, Refusal

BODY_BYTES_MAX: Final = 64 * 1024
"""No message of ours comes near it."""

NESTING_MAX: Final = 16

Message = TypeVar("Message")


def decode(body: bytes, kind: type[Message]) -> Message:
    """Return *body* as a message of type *kind*.

    Raises:
        Refusal: VALIDATION_FAILED, with where and why; it never repeats what was sent.
    """
    _check_nesting(body)
    try:
        document = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant
        )
        _check_strings(document)
        return msgspec.json.decode(body, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise Refusal(ErrorCode.VALIDATION_FAILED, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise Refusal(ErrorCode.VALIDATION_FAILED, "the body is not valid JSON") from error


def _check_nesting(body: bytes) -> None:
    """Refuse deep nesting before any parser meets it; brackets inside strings count, harmlessly."""
    depth = 0
    for byte in body:
        if byte in b"[{":
            depth += 1
            if depth > NESTING_MAX:
                _refuse(f"the body is nested deeper than {NESTING_MAX} levels")
        elif byte in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("an object names a member twice")
    return members


def _constant(_: str) -> NoReturn:
    _refuse("NaN and Infinity are not JSON")


def _check_strings(value: object) -> None:
    match value:
        case str():
            if any(_is_hidden(character) for character in value):
                _refuse("a string holds a control character or a lone surrogate")
        case list():
            for item in value:
                _check_strings(item)
        case dict():
            for name, item in value.items():
                _check_strings(name)
                _check_strings(item)
        case _:
            pass


def _is_hidden(character: str) -> bool:
    """Tell controls (C0, DEL, C1), surrogates, and marks that change how text around them reads."""
    return (
        character < " "
        or "\x7f" <= character <= "\x9f"
        or "\ud800" <= character <= "\udfff"
        or character in "\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\ufeff"
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
    )


def _refuse(why: str) -> NoReturn:
    raise Refusal(ErrorCode.VALIDATION_FAILED, why)
