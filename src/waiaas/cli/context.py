"""What every command knows: the data directory, how to print, and which exit code means what."""

import gc
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from waiaas.cli.layout import list_lines, printable, thing_lines
from waiaas.cli.pasting import pasteable
from waiaas.cli.unseen import what_was_done
from waiaas.directory import (
    DaemonError,
    NotThatFile,
    NotThePassword,
    require_assertions,
    require_private,
    sentence,
)
from waiaas.inputs import parse_json
from waiaas.place import ConfigError, has_more_variables


class ExitCode(IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    """It did what was asked for."""
    ERROR = 1
    """It did not; the message says why."""
    USAGE = 2
    """It was asked in a way that it does not understand; a file to read is not there, say."""
    NOT_RUNNING = 3
    """There is no daemon to ask."""
    REFUSED = 4
    """Who asks may not, as with a wrong password, or a rule denies it (status 401 or 403)."""
    TIMEOUT = 5
    """There was no answer, or no end, in time."""
    TAMPERED = 6
    """The audit log is not as it was written."""
    UNEXPECTED = 7
    """Verdicts came out otherwise than expected or recorded."""
    LEDGER_FAILED = 70
    """Of `start`: the ledger could not be written any more."""
    OVERDUE = 71
    """Of `start`: a stage took longer than it may."""
    INTERRUPTED = 130
    """Somebody pressed Ctrl-C; the message says what that leaves. (`tx send`, once accepted: 5.)"""


def directory_of(context: typer.Context, *, reads_settings: bool = False) -> Path:
    """Return the data directory: surely the one that was meant, and if it is there, private.

    A command that *reads_settings* finds by that what in the environment is none of ours.
    """
    try:
        require_assertions()
        directory = named_directory(context)
        with suppress(FileNotFoundError, NotADirectoryError):
            require_private(directory)
    except (DaemonError, OSError) as error:
        fail_as(error)
    if not reads_settings and has_more_variables():
        from waiaas.config.reading import require_known_variables  # As a rule there are none.

        try:
            require_known_variables()
        except ConfigError as error:
            fail(*error.args)
    return directory


def named_directory(context: typer.Context) -> Path:
    """Return the data directory that the options before the command name, whatever it is."""
    directory = context.obj
    assert isinstance(directory, Path)
    return directory


def file_path(text: str) -> Path:
    """Return what an option names; an empty name would be the current directory.

    Nor is a file made of the name that elsewhere means standard input or output.
    """
    if not text:
        raise typer.BadParameter("it is empty, as an unset variable leaves it")
    if text == "-":
        raise typer.BadParameter("it is the name of a file: ./- is one that is called so")
    return Path(text)


class Form(IntEnum):
    """In which form a command prints what it found."""

    PEOPLE = 0
    """A table on a terminal, JSON in a pipe."""
    JSON = 1
    QUIET = 2
    """Only the essential, one line for each thing: its id, as a rule."""


_FORM: Final = ContextVar("form", default=Form.PEOPLE)
_COMMAND: Final = ContextVar("command", default="")
"""The resource and the verb of the command that runs, such as `agent create`."""


def form_asked_for() -> Form:
    """Return the form in which the command that runs was told to print, wherever it is asked."""
    return _FORM.get()


def _form(context: typer.Context, parameter: typer.CallbackParam, *, value: bool) -> Form:
    """Return which of the two flags was given, if one was."""
    source = context.get_parameter_source(parameter.name or "")
    form = Form.PEOPLE
    if source is not None and source.name == "COMMANDLINE":
        form = Form.JSON if value else Form.QUIET
    before = _FORM.set(form)
    context.call_on_close(lambda: _FORM.reset(before))
    before_it = _COMMAND.set(_command_of(context))
    context.call_on_close(lambda: _COMMAND.reset(before_it))
    return form


def _command_of(context: typer.Context) -> str:
    words = list[str]()
    here: Any = context
    while here.parent is not None:  # The program itself, which anybody may name as he likes.
        words.insert(0, here.info_name)
        here = here.parent
    return " ".join(words)


AS_USUAL: Final[Any] = False
"""Neither flag: to Typer each is a truth value, and `_form` makes a form of it beforehand."""

if TYPE_CHECKING:
    FormOption = Form
    MessageFormOption = Form
else:
    FormOption = Annotated[
        bool,
        typer.Option(
            "--json/--quiet",
            callback=_form,
            show_default=False,
            help="Print JSON (also when the output is piped); or only the essential, "
            "such as an id.",
        ),
    ]
    MessageFormOption = Annotated[
        bool,
        typer.Option(
            "--json/--quiet",
            callback=_form,
            show_default=False,
            help="Print JSON; else the message is printed to the byte, in a pipe as well.",
        ),
    ]

PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        parser=file_path, help="File with the master password, readable by you alone (mode 0600)."
    ),
]
PasswordFdOption = Annotated[
    int | None, typer.Option(help="Open file descriptor to read the master password from.")
]
TokenFileOption = Annotated[
    Path,
    typer.Option(
        parser=file_path, help="File with the agent's session token, from `session create`."
    ),
]


def fail(
    message: str,
    *others: str,
    hint: str | None = None,
    facts: str | None = None,
    code: ExitCode = ExitCode.ERROR,
) -> NoReturn:
    """Say what is wrong, on stderr, and end with *code*."""
    for each in (message, *others):
        typer.echo(f"waiaas: {told(each)}", err=True)
    if hint:
        typer.echo(f"        {told(hint)}", err=True)
    if facts:
        typer.echo(f"        {told(facts)}", err=True)
    raise typer.Exit(code)


NOTHING_DONE: Final = "Nothing was done."
"""What an interrupted question leaves behind; a KeyboardInterrupt that is raised anew says it."""


def fail_unanswered() -> NoReturn:
    """End: the input did before it answered a question."""
    fail("the input ended before an answer: nothing was done", code=ExitCode.USAGE)


def code_of(error: DaemonError | OSError) -> ExitCode:
    """Return with which code a command ends for it."""
    if isinstance(error, NotThePassword):
        return ExitCode.REFUSED
    return ExitCode.USAGE if isinstance(error, NotThatFile) else ExitCode.ERROR


def fail_as(error: DaemonError | OSError) -> NoReturn:
    """End with what an error says, and with the code of its kind."""
    fail(sentence(error), code=code_of(error))


@contextmanager
def loading() -> Iterator[None]:
    """Import much in the block: looking for garbage among what is only made takes a tenth of it.

    Nor is it looked for among that afterwards: what was imported stays. Ctrl-C in the block comes
    before anything was done.
    """
    gc.disable()
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(NOTHING_DONE) from None
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def output(facts: Mapping[str, object] = MappingProxyType({})) -> Iterator[None]:
    """Write to standard output in the block; if it takes nothing, say so and what was done.

    *facts* are what the command would have shown of that.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        discard_output()
        fail(
            f"standard output takes nothing: {error.strerror}",
            hint=what_was_done(_COMMAND.get(), facts),
        )


def discard_output() -> None:
    """Let standard output go nowhere: Python would try once more at its exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_ESSENTIAL: Final = ("token", "id", "key", "name", "status", "state")
"""The first of these that a thing has is what of it is printed quietly, if no other was named."""


def _print_essential(thing: Mapping[str, object], essential: str | None) -> None:
    name = essential or next((each for each in _ESSENTIAL if each in thing), None)
    if name is not None and thing[name] is not None:
        typer.echo(printable(str(thing[name])))


def show(facts: Mapping[str, object], *, form: Form, essential: str | None = None) -> None:
    """Print one thing: lines for people, JSON for programs, and quietly the *essential* member."""
    with output(facts):
        if form is Form.QUIET:
            _print_essential(facts, essential)
        elif is_for_people(form):
            _print_lines([pasteable(line) for line in thing_lines(facts, width=_width())])
        else:
            typer.echo(json.dumps(facts))


def show_list(
    things: Sequence[Mapping[str, object]],
    *,
    form: Form,
    essential: str | None = None,
    columns: Sequence[str] | None = None,
) -> None:
    """Print several things of one kind, as `show` prints one; programs get a JSON array.

    A person is shown all members of the things, or only those that are *columns*.
    """
    with output():
        if form is Form.QUIET:
            for thing in things:
                _print_essential(thing, essential)
        elif is_for_people(form):
            _print_lines(list_lines(things, width=_width(), columns=columns))
        else:
            typer.echo(json.dumps(list(things)))


def is_for_people(form: Form) -> bool:
    """Tell whether a person reads what is printed: nobody asked for less, and it is a terminal."""
    return form is Form.PEOPLE and sys.stdout.isatty()


def _width() -> int:
    """Return how many columns the terminal has; 80 where it does not say."""
    return shutil.get_terminal_size().columns


def _print_lines(lines: Sequence[str]) -> None:
    typer.echo("\n".join(lines))


def say_next(*lines: str, form: Form) -> None:
    """Say to a person what to do next, beside what was asked for."""
    if lines and sys.stderr.isatty() and form is Form.PEOPLE:
        typer.echo("Next:", err=True)
        for line in lines:
            typer.echo(f"  {told(line)}", err=True)


def tell(facts: Mapping[str, object], *lines: str, form: Form) -> None:
    """Print *lines* for people, *facts* as JSON for programs, and nothing quietly."""
    with output(facts):
        if form is Form.QUIET:
            return
        if form is Form.JSON or not sys.stdout.isatty():
            typer.echo(json.dumps(facts))
            return
        for line in lines:
            typer.echo(told(line))


def told(text: str) -> str:
    """Return a sentence of ours as a person is shown it: visible, and its commands work."""
    return printable(pasteable(text))


def read_json(option: str, text: str) -> Any:  # noqa: ANN401 -- whatever JSON can say
    """Return the JSON that somebody gave an option, or say that it is none and end."""
    try:
        return parse_json(text)
    except ValueError as error:
        fail(f"{option} is not JSON: {error}", code=ExitCode.USAGE)
