"""What options mean, where that is plain: Typer reads all with pydantic, which takes long to load.

It does so for an option that was not given, too, and that is a third of what a command costs.
What is not plain, or not in order, is left to Typer, whose words for it stay.
"""

import re
from enum import Enum
from typing import Any, Final

from typer.core import TyperArgument, TyperOption

from waiaas.cli.context import file_path

_DIGITS: Final = re.compile(r"[0-9]{1,9}")


class NotPlain(Exception):  # noqa: N818 -- nothing is wrong
    """Typer has to read this."""


def read_plain_values() -> None:
    """Let no command load pydantic for options that are texts, counts, names and files."""
    for kind in (TyperOption, TyperArgument):
        _read_plain_values_of(kind)


def _read_plain_values_of(kind: type[Any]) -> None:
    by_typer = kind.process_value

    def process_value(parameter: Any, context: Any, value: Any) -> Any:  # noqa: ANN401 -- Typer's own classes are not public
        try:
            plain = plain_value(parameter, value)
        except NotPlain:
            return by_typer(parameter, context, value)
        callback = parameter.callback
        return plain if callback is None else callback(context, parameter, plain)

    kind.process_value = process_value


def plain_value(parameter: Any, value: Any) -> Any:  # noqa: ANN401 -- as above
    """Return what Typer would make of the value of an option that is given once at most."""
    kind = getattr(parameter, "type_descriptor", None)
    if kind is None:  # Another release of Typer.
        raise NotPlain
    about, wanted = kind.parameter_info, kind.annotation
    if parameter.nargs != 1 or kind.is_list or (value is None and parameter.required):
        raise NotPlain
    if value is None:
        return None
    if about.parser is not None:
        if about.parser is not file_path or not isinstance(value, str):
            raise NotPlain
        return file_path(value)
    if wanted in (int, float) and type(value) in (int, str) and _DIGITS.fullmatch(str(value)):
        number = wanted(value)
        if _is_within(number, about.min, about.max):
            return number
    if wanted in (str, bool) and type(value) is wanted:
        return value
    if issubclass(wanted, Enum) and value in [each.value for each in wanted]:
        return wanted(value)
    raise NotPlain


def _is_within(number: int, least: float | None, most: float | None) -> bool:
    return (least is None or least <= number) and (most is None or number <= most)
