"""Reading the settings: the file, then the environment; each value, and where it came from.

Whatever is wrong is told at once, not only the first of it. Each mistake names the setting, or what
seems to be meant for one, its place, and what would be right. No value is repeated: one that stands
in the wrong place may be a secret.
"""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from waiaas.config.registry import (
    CONFIG_NAME,
    SECTIONS,
    SETTINGS,
    VARIABLES,
    Config,
    Setting,
    Value,
)
from waiaas.config.toml import Said, read_toml
from waiaas.config.values import from_text, problem_with, shown
from waiaas.inputs import is_open_to_others, opened_file, read_from, require_unwritten
from waiaas.place import PREFIX, ConfigError

FILE_BYTES_MAX: Final = 64 * 1024
MISTAKES_TOLD_MAX: Final = 20
NAME_CHARACTERS_TOLD_MAX: Final = 80

DEFAULT: Final = "default"

_LIST: Final = "`waiaas config explain` lists the settings"
_BOM: Final = b"\xef\xbb\xbf"
_BY_PATH: Final[Mapping[tuple[str, ...], Setting]] = {
    (setting.section, setting.key): setting for setting in SETTINGS
}
_BY_VARIABLE: Final = {setting.variable: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Read:
    """What a setting is, and where that was said."""

    setting: Setting
    value: Value
    origin: str
    """`default`, file and line, or the name of the environment variable."""


@dataclass(frozen=True, slots=True)
class File:
    """The file with the settings."""

    path: Path
    content: bytes
    is_open_to_others: bool


def load_config(directory: Path) -> Config:
    """Return the settings of a data directory, as `read_settings` reads them."""
    return config_of(read_settings(directory))


def read_settings(directory: Path) -> list[Read]:
    """Read the settings of a data directory and of this process's environment.

    Raises:
        ConfigError: with one sentence for each mistake.
    """
    return combine(_in_place(directory / CONFIG_NAME), in_environment(os.environ))


def combine(*sources: Iterable[Read | str]) -> list[Read]:
    """Return every setting: the default, or what the last of the *sources* says that says any.

    Raises:
        ConfigError: with one sentence for each mistake, up to `MISTAKES_TOLD_MAX`.
    """
    read = {setting: Read(setting, setting.default, DEFAULT) for setting in SETTINGS}
    mistakes: list[str] = []
    for found in chain(*sources):
        if isinstance(found, Read):
            read[found.setting] = found
        elif len(mistakes) < MISTAKES_TOLD_MAX:
            mistakes.append(found)
        else:
            raise ConfigError(*mistakes, "more is wrong than is told here")
    if mistakes:
        raise ConfigError(*mistakes)
    return list(read.values())


def config_of(settings: Iterable[Read]) -> Config:
    """Return the values by section, for those who use them."""
    values: dict[str, dict[str, Value]] = {name: {} for name in SECTIONS}
    for each in settings:
        values[each.setting.section][each.setting.key] = each.value
    return Config(**{name: section(**values[name]) for name, section in SECTIONS.items()})


def suggestion(name: str) -> str:
    """Return which setting may be meant by a name that is none, or where to look."""
    section, _, key = name.rpartition(".")
    for known in SETTINGS:
        if known.key == key and known.section != section:
            return f"did you mean {known.name}?"
    return _nearest(name, (known.name for known in SETTINGS)) or _LIST


# ── the file ───────────────────────────────────────────────────────────────────────────────────


def _in_place(path: Path) -> Iterator[Read | str]:
    """Yield what `in_file` does; nothing if there is no file: then the defaults hold."""
    try:
        file = read_config_file(path)
    except ConfigError as error:
        yield from error.args
    else:
        yield from in_file(file) if file else ()


def read_config_file(path: Path) -> File | None:
    """Return the file, or None if there is none.

    Raises:
        ConfigError: something is there, and is not to be read, or not to be believed.
    """
    try:
        with opened_file(path, follows_links=False) as descriptor:
            require_unwritten(descriptor)
            content = read_from(descriptor, bytes_max=FILE_BYTES_MAX)
            return File(path, content, is_open_to_others=is_open_to_others(descriptor))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"{path}: it cannot be read ({error.strerror}): it must be a file that you may read"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{path}: {error}: put a text file of at most {FILE_BYTES_MAX} bytes in its place,"
            " yours or root's and written by nobody else (chmod 600), or nothing"
        ) from error


def in_file(file: File) -> Iterator[Read | str]:
    """Yield every setting in the file, and a sentence for whatever else is there."""
    if file.content.startswith(_BOM):
        yield f"{file.path}:1: it begins with a byte order mark: save it as UTF-8 without one"
    else:
        try:
            text = file.content.decode()
        except UnicodeDecodeError as error:
            line = file.content[: error.start].count(b"\n") + 1
            yield f"{file.path}:{line}: it is not UTF-8: save it as UTF-8"
        else:
            yield from _in_text(text, file)


def _in_text(text: str, file: File) -> Iterator[Read | str]:
    said, broken = read_toml(text)
    for wrong in broken:
        name = f" {_told(wrong.name)}:" if wrong.name else ""
        yield (
            f"{file.path}:{wrong.line}:{name} it is not TOML ({wrong.reason}): below a [section],"
            " one `key = value` on a line, text in double quotes, and nothing twice"
        )
    told: set[str] = set()
    for each in said:
        where = f"{file.path}:{each.line}"
        setting = _BY_PATH.get(each.path)
        if setting is None:
            name, mistake = _none_of_ours(each)
            if mistake and name not in told:
                told.add(name)
                yield f"{where}: {name}: {mistake}"
        elif problem := problem_with(setting, each.value):
            yield f"{where}: {setting.name}: it {problem}: it must be {setting.right}"
        elif file.is_open_to_others and shown(setting, each.value) != each.value:
            yield (
                f"{where}: {setting.name}: it may hold a secret, and others may read it there:"
                f" run `chmod 600 {file.path}`"
            )
        else:
            yield Read(setting, each.value, where)


def _none_of_ours(said: Said) -> tuple[str, str | None]:
    """Return a name, and what is wrong with it; None if it is a section's heading."""
    section, *rest = said.path
    is_table = isinstance(said.value, dict | list)
    if section not in SECTIONS and not rest and not is_table:
        return _told(section), f"it stands below no [section]: {suggestion(section)}"
    if section not in SECTIONS:
        nearest = _nearest(section, SECTIONS, "[{}]") or f"there are {', '.join(SECTIONS)}"
        return f"[{_told(section)}]", f"there is no such section: {nearest}"
    if not rest:
        wrong = None if said.value == {} else f"it is a section: begin it with a line [{section}]"
        return section, wrong
    name = ".".join(said.path)
    if is_table:
        return _told(name), "a section holds settings, and no tables or lists of its own"
    return _told(name), f"there is no such setting: {suggestion(name)}"


# ── the environment ────────────────────────────────────────────────────────────────────────────


def in_environment(environment: Mapping[str, str]) -> Iterator[Read | str]:
    """Yield every setting in the environment, and a sentence for what only begins like one."""
    for variable in _ours(environment):
        setting = _BY_VARIABLE.get(variable)
        if setting is None:
            yield _no_variable_of_ours(variable)
            continue
        value = from_text(setting, environment[variable])
        if problem := problem_with(setting, value):
            yield f"{variable}: it {problem}: it must be {setting.right}"
        else:
            yield Read(setting, value, variable)


def require_known_variables() -> None:
    """Return if each variable of this process's environment that begins like ours is ours.

    What reads no settings asks for this: a slip in the name of the data directory's variable would
    have it work on another one, and say nothing.

    Raises:
        ConfigError: with one sentence for each that is not, up to `MISTAKES_TOLD_MAX`.
    """
    combine(
        _no_variable_of_ours(variable)
        for variable in _ours(os.environ)
        if variable not in _BY_VARIABLE
    )


def _ours(environment: Mapping[str, str]) -> list[str]:
    return sorted(each for each in environment if each.startswith(PREFIX) and each not in VARIABLES)


def _no_variable_of_ours(variable: str) -> str:
    if "PASSWORD" in variable.upper():
        return (
            f"{_told(variable)}: a password is never taken from the environment, where other"
            " programs can see it: unset it, and use --password-file or --password-fd"
        )
    nearest = _nearest(variable, (*_BY_VARIABLE, *VARIABLES))
    return f"{_told(variable)}: there is no setting of this name: {nearest or _LIST}"


# ── names ──────────────────────────────────────────────────────────────────────────────────────


def _nearest(name: str, known: Iterable[str], form: str = "{}") -> str | None:
    """Return the question whether the one of *known* that is most like *name* was meant."""
    if len(name) > NAME_CHARACTERS_TOLD_MAX:
        return None
    by_case = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), by_case, n=1)
    return f"did you mean {form.format(by_case[near[0]])}?" if near else None


def _told(name: str) -> str:
    """Return a name that may be anything so that it can be told: short, and on one line."""
    cut = name[:NAME_CHARACTERS_TOLD_MAX] + ("..." if len(name) > NAME_CHARACTERS_TOLD_MAX else "")
    return cut if cut.isprintable() and cut else ascii(cut)
