"""A command that people are told to type acts on the data directory that theirs acts on.

Sentences say `waiaas start`, wherever they come from. Typed after `waiaas --data-dir PATH stop`
that would start another wallet, so what a person is shown has the option as well. Programs get
sentences as they are: JSON is not rewritten.
"""

import re
import shlex
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Final

_REWRITTEN: Final = ContextVar[Callable[[str], str]]("rewritten", default=str)


def say_data_dir(directory: Path, commands: Iterable[str]) -> Callable[[], None]:
    """Let each of *commands* that is shown from now on have the option; return what ends that."""
    names = "|".join(map(re.escape, commands))
    command = re.compile(rf"(?<![\w./-])waiaas (?=(?:{names})(?![\w-]))")
    told = f"waiaas --data-dir {shlex.quote(str(directory))} "
    before = _REWRITTEN.set(lambda text: command.sub(lambda _: told, text))
    return lambda: _REWRITTEN.reset(before)


def pasteable(text: str) -> str:
    """Return *text* with the data directory in every command that is in it, if one was given."""
    return _REWRITTEN.get()(text)
