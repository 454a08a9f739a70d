"""What stands for a value in the help, by one rule: a word in capitals, as `--agent ID`."""

from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

_WORDS: Final = MappingProxyType(
    {
        "--agent": "ID",
        "--session": "ID",
        "--to": "ADDRESS",
        "--rules": "JSON",
        "--constraints": "JSON",
        "--owner-signature": "FILE",
        "--since": "TIME",
        "--ttl": "SECONDS",
        "--wait": "SECONDS",
    }
)
"""Where neither the type of an option says it nor its name."""


def name_values(command: Any) -> None:  # noqa: ANN401 -- Typer's own classes are not public
    """Give each value of a command its word, unless it has one already."""
    for parameter in command.params:
        kind = getattr(parameter, "type_descriptor", None)
        if kind is None or kind.annotation is bool:
            continue  # Another release of Typer; or it takes no value.
        if parameter.param_type_name == "argument":
            parameter.metavar = parameter.name.upper()
            choices = _choices_of(kind.annotation)
            parameter.display_type_rich = partial(_beside_its_name, choices)
        elif parameter.metavar is None:
            parameter.metavar = _word_for(parameter, kind.annotation)


def _word_for(parameter: Any, kind: type) -> str:  # noqa: ANN401 -- as above
    name = str(parameter.opts[0])
    if choices := _choices_of(kind):
        return choices
    if name in _WORDS:
        return _WORDS[name]
    if issubclass(kind, Path):
        return "FILE"
    if issubclass(kind, int | float):
        return "NUMBER"
    return name.rpartition("-")[2].upper()


def _choices_of(kind: type) -> str | None:
    return "|".join(each.value for each in kind) if issubclass(kind, Enum) else None


def _beside_its_name(choices: str | None, ctx: Any) -> str | None:  # noqa: ANN401, ARG001 -- as above
    return choices
