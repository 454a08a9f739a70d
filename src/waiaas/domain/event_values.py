"""What the details of an event may hold: kinds of values, each with a bound.

An event is written down for good and shown to people, so every value is of a kind that says how
long it can be. Admitting is cheap: an admission writes two or three events on its way.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import is_id
from waiaas.domain.money import BASE_UNITS_MAX, NATIVE

Value = str | int | None
"""What a detail can be at all: no floats, no truth values, nothing nested."""

INTEGER_MAX: Final = 2**63 - 1
"""The largest that the ledger's columns hold."""

TEXT_CHARACTERS_MAX: Final = 2000
DOCUMENT_CHARACTERS_MAX: Final = 2**20
"""More than the JSON text of the largest body that is read."""


class Kind(NamedTuple):
    """A kind of value."""

    name: str
    """As people read it."""
    example: Value
    admits: Callable[[object], bool]


def one_of(vocabulary: type[StrEnum]) -> Kind:
    """Return the kind of a word of a closed vocabulary."""
    return _word(vocabulary.__name__, *vocabulary)


def either(*words: str) -> Kind:
    """Return the kind of one of these words, or of one word."""
    return _word(" or ".join(f"`{word}`" for word in words), *words)


def or_null(kind: Kind) -> Kind:
    """Return the kind of a value that may be missing; then its place says so."""
    admits = kind.admits
    return Kind(f"{kind.name} or null", kind.example, lambda value: value is None or admits(value))


def _word(name: str, *words: str) -> Kind:
    known = frozenset(words)
    return Kind(name, str(words[0]), lambda value: isinstance(value, str) and value in known)


def _text(name: str, *, most: int) -> Kind:
    return Kind(name, "text", lambda value: isinstance(value, str) and 0 < len(value) <= most)


def _form(name: str, example: str, pattern: str) -> Kind:
    matches = re.compile(pattern).fullmatch
    return Kind(name, example, lambda value: isinstance(value, str) and matches(value) is not None)


def _digits(name: str, *, most: int) -> Kind:
    largest = str(most)

    def admits(value: object) -> bool:
        return (
            isinstance(value, str)
            and value.isascii()
            and value.isdigit()
            and (value[0] != "0" or value == "0")
            # Of texts of one length, the order of digits is that of numbers.
            and (len(value), value) <= (len(largest), largest)
        )

    return Kind(name, "1000", admits)


def _integer(name: str) -> Kind:
    # A truth value is an int in Python, and none here.
    return Kind(name, 1, lambda value: type(value) is int and 0 <= value <= INTEGER_MAX)


ID: Final = Kind(
    "id",
    "0192d3c4-0000-7000-8000-000000000001",
    lambda value: isinstance(value, str) and is_id(value),
)
TEXT: Final = _text("text", most=TEXT_CHARACTERS_MAX)
DOCUMENT: Final = _text("document", most=DOCUMENT_CHARACTERS_MAX)
CODE: Final = one_of(ErrorCode)
NAME: Final = _form("name", "daily_max", r"[A-Za-z_]{1,64}")
"""Of a rule, or of one of its bounds."""

TIME: Final = _integer("time")
COUNT: Final = _integer("count")
AMOUNT: Final = _digits("amount", most=BASE_UNITS_MAX)
SUM: Final = _digits("sum", most=BASE_UNITS_MAX * INTEGER_MAX)
"""Of as many amounts as the ledger can number."""

_ADDRESS: Final = r"[1-9A-HJ-NP-Za-km-z]{32,44}|0x[0-9a-fA-F]{40}"
_AN_ADDRESS: Final = "So11111111111111111111111111111111111111112"
ADDRESS: Final = _form("address", _AN_ADDRESS, _ADDRESS)
ASSET: Final = _form("asset", NATIVE, f"{NATIVE}|{_ADDRESS}")
SELECTOR: Final = _form("selector", "0x02000000", r"0x(?:[0-9a-f]{2}){0,8}")
HASH: Final = _form("hash", "0" * 64, r"[0-9a-f]{64}")
TX_HASH: Final = _form("transaction hash", "1" * 64, r"[0-9A-Za-z]{32,128}")
NONCE: Final = _form("nonce", "0" * 32, r"[0-9A-Za-z]{8,64}")
SIGNATURE: Final = _form("signature", "A" * 86 + "==", r"[0-9A-Za-z+/=]{1,200}")

KINDS: Final = {
    ID: "a UUID in canonical lower-case text",
    TEXT: f"1 to {TEXT_CHARACTERS_MAX} characters for people",
    DOCUMENT: f"1 to {DOCUMENT_CHARACTERS_MAX} characters: JSON, a signed message, or a list",
    CODE: "one of the codes of errors",
    NAME: "letters and underscores: a rule, or one of its bounds",
    TIME: "an integer: Unix epoch seconds, UTC",
    COUNT: "an integer from 0",
    AMOUNT: "canonical decimal digits in a string: base units, at most 2^256-1",
    SUM: "canonical decimal digits in a string, which may be past 2^256-1",
    ADDRESS: "an address in the spelling of its chain",
    ASSET: f"`{NATIVE}`, or the address of a token",
    SELECTOR: "the first bytes of a call's data, at most 8, in hexadecimal behind `0x`",
    HASH: "SHA-256 in 64 hexadecimal digits",
    TX_HASH: "under which the chain knows a transaction",
    NONCE: "of a message that an owner was given to sign",
    SIGNATURE: "base64, base58 or hexadecimal, as the owner's wallet gave it",
}
"""What the kinds are that are no vocabulary, in words."""
