"""What a value of a setting may be, what a word of the environment means, and who may see it."""

import datetime as dt
import ipaddress
import re
from collections.abc import Callable
from typing import Final

from waiaas.config.registry import Setting, Value

WITHHELD: Final = "(withheld)"

_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_URL: Final = re.compile(
    r"(?P<scheme>https?://)"
    r"(?P<user>[^/?#]*@)?"
    r"(?P<host>(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?)"
    r"(?P<rest>[/?#].*)?"
)
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
"""One part of a host's name (RFC 1123), and the underscore, which containers have in theirs."""

_URL_CHARACTERS_MAX: Final = 4096
_NAME_CHARACTERS_MAX: Final = 253
_PORT_MAX: Final = 65_535
_PRINTABLE: Final = re.compile(r"[!-~]*")
_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "true or false"),  # Before int, of which it is one.
    (int, "a number"),
    (str, "text"),
    (float, "a number with a fraction"),
    (list, "a list"),
    (dt.date, "a date"),
    (dt.time, "a time"),
    (dict, "a table"),
)
"""What TOML can say."""


def problem_with(setting: Setting, value: object) -> str | None:
    """Return in which way *value* is none of the setting, without repeating it; None if it is."""
    if type(value) is not setting.type:
        return f"is {_kind(value)}"
    if isinstance(value, int) and setting.type is int:
        low, high = setting.entry.low, setting.entry.high
        if low is not None and value < low:
            return "is too small"
        if high is not None and value > high:
            return "is too large"
    if isinstance(value, str):
        if setting.entry.choices:
            return None if value in setting.entry.choices else "is none of them"
        if value and not _can_be_asked(value):
            return "is not such a URL"
    return None


def _can_be_asked(text: str) -> bool:
    """Tell whether *text* is a URL with a host and port that there can be."""
    url = _URL.fullmatch(text)
    if url is None or len(text) > _URL_CHARACTERS_MAX or not _PRINTABLE.fullmatch(text):
        return False
    if url["port"] is not None and not 1 <= int(url["port"]) <= _PORT_MAX:
        return False
    if url["ipv6"] is not None:
        return _is_address(ipaddress.IPv6Address, url["ipv6"])
    *_, last = labels = url["name"].removesuffix(".").split(".")
    if last.isdigit():  # No name ends so: it is an address, or meant for one.
        return _is_address(ipaddress.IPv4Address, url["name"])
    return len(url["name"]) <= _NAME_CHARACTERS_MAX and all(map(_LABEL.fullmatch, labels))


def _is_address(kind: Callable[[str], object], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def from_text(setting: Setting, text: str) -> Value:
    """Return what *text* means for the type of the setting; the text itself if it means nothing.

    No other form of a number is taken: what looks like one may be meant as something else.
    """
    if setting.type is int and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    if setting.type is bool and text in {"true", "false"}:
        return text == "true"
    return text


def shown(setting: Setting, value: Value) -> Value:
    """Return what anybody may see of a value: of a URL with more than a host, the host."""
    if not setting.entry.is_secret or value == setting.default:
        return value
    url = _URL.fullmatch(str(value))
    if url is None or "@" in (url["rest"] or ""):  # A password with a `#`: it is no host.
        return WITHHELD
    has_more = url["user"] or url["rest"] not in {None, "/"}
    return f"{url['scheme']}{url['host']}/{WITHHELD}" if has_more else value


def _kind(value: object) -> str:
    return next(words for kind, words in _KINDS if isinstance(value, kind))
