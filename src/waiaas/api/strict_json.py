"""JSON as a hostile caller may send it, turned into a message or one clear refusal.

The message decoder keeps the last of two equal keys and can fail outside its own error type; so a
first pass refuses duplicate keys, NaN, hidden characters, lone surrogates and deep nesting.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec

from waiaas.api.overwriting import overwrite
from waiaas.domain.errors import ErrorCode, Refusal

BODY_BYTES_MAX: Final = 64 * 1024
"""No message of ours comes near it."""

NESTING_MAX: Final = 16

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""The Unicode categories of what nobody sees: controls, format characters (marks that reorder the
text around them, joiners, tags), surrogates, and separators of lines and paragraphs."""

_ERROR: Final = re.compile(
    r"(?P<what>.*?)(?: - at `\$\.?(?P<field>[A-Za-z0-9_.\[\]]*)`)?", re.DOTALL
)
"""A message of the decoder: our own words and names, but for the two kinds below."""
_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_INVALID_VALUE: Final = ("Invalid enum value", "Invalid value")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,40}")

Message = TypeVar("Message")


def decode(
    body: bytes, kind: type[Message], *others: type[Any], within: str | None = None
) -> Message:
    """Return *body* as a message of type *kind*, or of that of *others* whose tag it has.

    *within* names the member of another message that *body* is the value of. What is made of *body*
    on the way to the message is overwritten: there may be a password in it.

    Raises:
        Refusal: VALIDATION_FAILED, with where and why. It repeats nothing of what was sent but the
            name of an unknown field, if that is a plain one: a misspelling is found by its name.
    """
    text, document = "", None
    try:
        text = body.decode("utf-8")
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        _check(document, depth=0)
        return msgspec.json.decode(body, type=_meant(document, kind, others), strict=True)
    except msgspec.ValidationError as error:
        raise _explained(error, within) from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise _refused("the body is not valid JSON") from error
    finally:
        overwrite(text)
        _overwrite_values(document)


def decode_query(query: bytes, kind: type[Message]) -> Message:
    """Return the query of a URL as a message of type *kind*; each parameter is given once.

    Raises:
        Refusal: VALIDATION_FAILED, with where and why.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"
        )
        document = _object(list(pairs))
        _check(document, depth=0)
        return msgspec.convert(document, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(error) from error
    except ValueError as error:
        raise _refused("the query is not of the form name=value&name=value") from error


def _meant(document: object, kind: type[Message], others: Iterable[type[Any]]) -> type[Message]:
    """Return the type of message that *document* says it is; *kind*, if it says none we know."""
    tag = document.get("type") if isinstance(document, dict) else None
    for other in others:
        if other.__struct_config__.tag == tag:
            return other
    return kind


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _refused("an object names a member twice")
    return members


def _constant(_: str) -> NoReturn:
    raise _refused("NaN and Infinity are not JSON")


def _check(value: object, *, depth: int) -> None:
    match value:
        case str():
            if any(unicodedata.category(character) in _HIDDEN for character in value):
                raise _refused("a string holds a control, an invisible character or half of one")
        case list() | dict():
            if depth == NESTING_MAX:
                raise _too_deep()
            for item in value:  # of an object: its names
                _check(item, depth=depth + 1)
            if isinstance(value, dict):
                for item in value.values():
                    _check(item, depth=depth + 1)
        case _:
            pass


def _overwrite_values(value: object) -> None:
    match value:
        case str():
            overwrite(value)
        case list():
            for item in value:
                _overwrite_values(item)
        case dict():
            for item in value.values():
                _overwrite_values(item)
        case _:
            pass


def _explained(error: msgspec.ValidationError, within: str | None = None) -> Refusal:
    """Say what the decoder objects to, without the caller's own text in it."""
    text = str(error)
    unknown = _UNKNOWN_FIELD.fullmatch(text)
    if unknown is not None:
        name = unknown[1]
        shown = f" `{name}`" if _PLAIN_NAME.fullmatch(name) else ""
        return _refused(f"there is no such field{shown}")
    found = _ERROR.fullmatch(text)
    assert found is not None, "the pattern takes any text"
    what = found["what"]
    field = ".".join(filter(None, (within, found["field"])))
    if what.startswith(_INVALID_VALUE):
        what = "not one of the allowed values"
    return _refused(f"{field}: {what}" if field else what, field=field or None)


def _too_deep() -> Refusal:
    return _refused(f"the body is nested deeper than {NESTING_MAX} levels")


def _refused(why: str, *, field: str | None = None) -> Refusal:
    return Refusal(
        ErrorCode.VALIDATION_FAILED, why, details={} if field is None else {"field": field}
    )
