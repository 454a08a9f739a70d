"""Write the pages of reference from what the program itself says.

That is its one route table and messages, its error codes and its command line. (The page of the
settings has a tool of its own.)

A test compares the pages with their sources, so that neither changes alone:
`python tools/make_reference_pages.py` in the project's environment writes them anew.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from enum import EnumType
from functools import singledispatch
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import typer.main
from msgspec import NODEFAULT
from msgspec import inspect as types

from waiaas.api.app import ROUTES
from waiaas.api.problems import STATUS
from waiaas.api.routes import COMMON_CODES, Route
from waiaas.cli.app import app
from waiaas.cli.context import ExitCode
from waiaas.domain.access import Credential
from waiaas.domain.errors import REMEDIES, ErrorCode
from waiaas.wire.problems import Problem
from waiaas.wire.requests import AskTransfer

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"

API_HEAD: Final = """\
# HTTP API

Written by `tools/make_reference_pages.py` from the route table
([api/app.py](../src/waiaas/api/app.py)) and the messages
([waiaas.wire](../src/waiaas/wire/__init__.py)): change those, not this page.

The daemon listens at a port of 127.0.0.1 and, for programs of its own user, at the Unix socket
`daemon.sock` in its data directory ([two doors](daemon.md#two-doors)); `waiaas status` shows both.
At either, `Host` is `127.0.0.1` or `localhost` with the port. Bodies are JSON objects with
exactly the members below, amounts digits in base units, times Unix seconds.
`send` and `simulate` take the header `Idempotency-Key`
([twice, and too much](requests.md#twice-and-too-much)). An error is `application/problem+json`
([Problem](#problem)); [errors](errors.md) says what each code means.
"""

ERRORS_HEAD: Final = """\
# Error codes

Written by `tools/make_reference_pages.py` from
[domain/errors.py](../src/waiaas/domain/errors.py): change that, not this page.

In order of precedence: of several things that are wrong with one request, the first here is told. A
code is never renamed or used again. *Retryable* says whether the same may succeed later; an answer
that has `retryAt` says so itself: from when on, or with null that it never will. How an admitted
payment ended is told by the same codes, in its `error`.
"""

COMMANDS_HEAD: Final = """\
# Commands

Written by `tools/make_reference_pages.py` from the command line's own help
([waiaas.cli](../src/waiaas/cli/__init__.py)): change that, not this page.

Who may do what is said by what a command takes. What only looks or tightens (lists, `suspend`,
`kill-switch on`, `session revoke`, `approval reject`, `tx cancel`) takes the cookie in the data
directory, so it never asks and works in any script. What loosens, spends or reveals is for a
person: it asks for the master password on a terminal, and refuses without one. A script may do it
all the same where its operator gave it the password by `--password-file` or `--password-fd`: that
is his decision, and not an agent's, which never gets the password. What cannot be undone (`agent
terminate`, `owner remove`, `policy remove`, `backup restore` over what is there) asks once more,
and takes `--yes` in a script; what tightens never asks. An owner decides by signature
(`--owner-signature`), with no password at all.

A file with a password, a key or a token must be the user's own or root's, and closed to everybody
else (mode 0600). Its name may be a link, as in a volume with secrets of Kubernetes; what is judged
is the file that was opened.

What went wrong, what to do next and how far something has come is on standard error; standard
output has only what was asked for. With `--install-completion` alone, `waiaas` sets up the shell it
is run in (bash, zsh, fish) to complete commands.

A person is shown lines of name and value, or a table where all of it fits the terminal; nothing is
cut, so ids, addresses and hashes can be copied. What is null is left out, and times are UTC. A
program gets JSON, with all members and times in Unix seconds. `--quiet` prints what other commands
take: an id, of a backup its name, of what `approval list` shows the transaction.

Before the command:
"""

EVERYWHERE: Final = ("--password-file", "--password-fd", "--json")
"""Options that mean the same wherever there are any."""


_TO_THE_END: Final = r"(?![\s\S])"
"""What `$` would mean if it did not let a line end through."""


# ── what stands in the source ──────────────────────────────────────────────────────────────────


def said_of(kind: type[Any]) -> dict[str, str]:
    """Return what the source of a class says below its members, its bases' included, by name."""
    said: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("waiaas."):
            said |= _said_in(inspect.getsource(each))
    return said


def _said_in(source: str) -> dict[str, str]:
    [kind] = ast.parse(source).body
    assert isinstance(kind, ast.ClassDef)
    said = {}
    for before, after in pairwise(kind.body):
        names = before.targets if isinstance(before, ast.Assign) else [before]
        name = getattr(names[0], "target", names[0])
        if isinstance(name, ast.Name) and isinstance(after, ast.Expr):
            said[name.id] = one_line(ast.literal_eval(after.value))
    return said


def one_line(text: str | None) -> str:
    """Return a docstring's first paragraph as one line of a table."""
    assert text, "it says nothing"
    return " ".join(inspect.cleandoc(text).split("\n\n", maxsplit=1)[0].split())


@singledispatch
def in_words(kind: types.Type) -> str:
    """Return what a value has to be."""
    raise TypeError(f"nobody has said yet how {kind} is told")


@in_words.register
def _(kind: types.Metadata) -> str:
    return in_words(kind.type)


@in_words.register
def _(_: types.NoneType) -> str:
    return "null"


@in_words.register
def _(_: types.BoolType) -> str:
    return "true or false"


@in_words.register
def _(kind: types.IntType) -> str:
    return "integer" if kind.le is None else f"integer, {kind.ge} to {kind.le}"


@in_words.register
def _(kind: types.StrType) -> str:
    if kind.pattern is not None:
        return f"text of the form `{kind.pattern.replace(_TO_THE_END, '$')}`"
    return "text" if kind.max_length is None else f"text, at most {kind.max_length} characters"


@in_words.register
def _(kind: types.EnumType) -> str:
    if kind.cls is ErrorCode:
        return "an [error code](errors.md)"
    return ", ".join(f"`{each.value}`" for each in kind.cls)


@in_words.register
def _(kind: types.LiteralType) -> str:
    return ", ".join(f"`{each}`" for each in kind.values)


@in_words.register(types.ListType)
@in_words.register(types.VarTupleType)
def _(kind: types.ListType | types.VarTupleType) -> str:
    return f"list of {in_words(kind.item_type)}"


@in_words.register(types.DictType)
@in_words.register(types.RawType)
def _(_: types.Type) -> str:
    return "object"


@in_words.register
def _(kind: types.StructType) -> str:
    return _link(kind.cls)


@in_words.register
def _(kind: types.UnionType) -> str:
    kinds = sorted(kind.types, key=lambda each: isinstance(each, types.NoneType))
    return " or ".join(map(in_words, kinds))


def code_list(codes: tuple[ErrorCode, ...]) -> str:
    """Return codes in order of precedence."""
    return ", ".join(f"`{code}`" for code in ErrorCode if code in codes)


# ── docs/api.md ────────────────────────────────────────────────────────────────────────────────


def api_page() -> str:
    """Return the page of the HTTP API."""
    lines = [
        API_HEAD,
        "| Credential | What it is |",
        "|---|---|",
        *(f"| {each} | {said_of(Credential)[each.name]} |" for each in Credential),
        "",
        (
            f"Any route may refuse with {code_list(COMMON_CODES)}; what there is no route for, with"
            f" {code_list((ErrorCode.ROUTE_NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED))}."
        ),
        "",
        "| Route | Credential | What it does |",
        "|---|---|---|",
    ]
    for route in ROUTES:
        name, does = f"{route.method} {route.path}", one_line(route.handler.__doc__)
        lines.append(f"| [`{name}`](#{_anchor(name)}) | {route.credential} | {does} |")
    for route in ROUTES:
        lines += ["", *_route(route)]
    lines += ["", "## Messages"]
    for message in _messages():
        lines += ["", *_message(message)]
    return "\n".join([*lines, ""])


def _anchor(title: str) -> str:
    return "".join(
        each for each in title.lower().replace(" ", "-") if each.isalnum() or each in "-_"
    )


def _route(route: Route) -> Iterator[str]:
    yield f"## {route.method} {route.path}"
    yield ""
    yield one_line(route.handler.__doc__)
    yield ""
    yield f"- Credential: {route.credential}"
    if route.query is not None:
        yield f"- Query: {_link(route.query)}"
    if route.body is not None:
        yield f"- Takes: {' or '.join(map(_link, (route.body, *route.other_bodies)))}"
    yield f"- Answers: {route.status}, {_link(route.reply)}"
    if route.codes:
        yield f"- Refuses with: {code_list(route.codes)}"


def _link(message: type[Any]) -> str:
    return f"[{message.__name__}](#{message.__name__.lower()})"


def _messages() -> list[type[Any]]:
    """Return every message that a route names, and every one in those, by name."""
    found: dict[str, type[Any]] = {}
    waiting: list[Any] = [Problem]
    for route in ROUTES:
        waiting += [each for each in (route.body, *route.other_bodies, route.query) if each]
        waiting.append(route.reply)
    while waiting:
        message = waiting.pop()
        if found.setdefault(message.__name__, message) is not message:
            raise TypeError(f"two messages are called {message.__name__}")
        for field in _struct(message).fields:
            waiting += [
                each for each in _structs_in(field.type) if found.get(each.__name__) is not each
            ]
    return [found[name] for name in sorted(found)]


def _struct(message: type[Any]) -> types.StructType:
    info = types.type_info(message)
    assert isinstance(info, types.StructType)
    return info


def _structs_in(kind: types.Type) -> Iterator[type[Any]]:
    match kind:
        case types.Metadata(type=inner):
            yield from _structs_in(inner)
        case types.ListType(item_type=item) | types.VarTupleType(item_type=item):
            yield from _structs_in(item)
        case types.UnionType(types=kinds):
            for each in kinds:
                yield from _structs_in(each)
        case types.StructType(cls=cls):
            yield cls
        case _:
            pass


def _message(message: type[Any]) -> Iterator[str]:
    yield f"### {message.__name__}"
    yield ""
    yield one_line(message.__doc__)
    info, said = _struct(message), said_of(message)
    if not info.fields and info.tag is None:
        return
    yield ""
    yield "| Member | Value | Must be there | Meaning |"
    yield "|---|---|---|---|"
    if info.tag is not None:
        needed = "no" if message is AskTransfer else "yes"
        yield f"| `{info.tag_field}` | `{info.tag}` | {needed} | |"
    for field in info.fields:
        cells = in_words(field.type), _needed(field), said.get(field.name, "")
        yield f"| `{field.encode_name}` | {' | '.join(cells)} |"


def _needed(field: types.Field) -> str:
    if field.required:
        return "yes"
    default = field.default if field.default is not NODEFAULT else None
    if default in (None, msgspec.UNSET, ()):
        return "no"
    return f"no: {_value(default)}"


def _value(value: object) -> str:
    return f"`{msgspec.json.encode(value).decode()}`"


# ── docs/errors.md ─────────────────────────────────────────────────────────────────────────────


def errors_page() -> str:
    """Return the page of the error codes."""
    lines = [
        ERRORS_HEAD,
        "| Code | Status | Retryable | What happened | What to do |",
        "|---|---|---|---|---|",
    ]
    said = said_of(ErrorCode)
    for code in ErrorCode:
        retryable = "yes" if code.is_transient else "no"
        meaning = said[code.name]
        lines.append(f"| `{code}` | {STATUS[code]} | {retryable} | {meaning} | {REMEDIES[code]} |")
    return "\n".join([*lines, ""])


# ── docs/commands.md ───────────────────────────────────────────────────────────────────────────


def commands_page() -> str:
    """Return the page of the command line."""
    program = typer.main.get_command(app)
    commands = dict(commands_of(program))
    options = dict(_named(commands["init"]))
    usual = [options[name].help for name in EVERYWHERE]
    lines = [
        COMMANDS_HEAD,
        *_parameters(program, usual),
        "",
        "The same wherever there are any:",
        "",
        *(f"- {_told(options[name])}" for name in EVERYWHERE),
        "",
        "| Exit code | Means |",
        "|---|---|",
        *(f"| {code.value} | {said_of(ExitCode)[code.name]} |" for code in ExitCode),
    ]
    for name, command in commands.items():
        lines += ["", f"## waiaas {name}", "", one_line(command.help), ""]
        lines += _parameters(command, usual)
        same = [
            f"`{other}`"
            for each in command.params
            if each.help in usual
            for other in _spelled(each.opts[0])
        ]
        lines += [f"- also {', '.join(same)}"] if same else []
        if lines[-1] == "":
            lines.pop()
    return "\n".join([*lines, ""])


def commands_of(group: Any, *before: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- Typer's own classes are not public
    """Yield every command with its name; a group is none."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "commands"):
            yield from commands_of(command, *before, name)
        else:
            yield " ".join((*before, name)), command


def _named(command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- as above
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            yield name, parameter


def _spelled(name: str) -> tuple[str, ...]:
    """Return the names of one parameter, of which this is the first."""
    return ("--json", "--quiet") if name == "--json" else (name,)


def _parameters(command: Any, usual: list[str]) -> list[str]:  # noqa: ANN401 -- as above
    return [f"- {_told(each)}" for each in command.params if each.help not in usual]


def _told(parameter: Any) -> str:  # noqa: ANN401 -- as above
    if parameter.param_type_name == "argument":
        name = f"`{parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
    needed = " (must be there)" if parameter.required else ""
    default = parameter.default
    if default is True:
        default = parameter.opts[0]
    if default not in (None, False):
        needed = f" (otherwise {default})"
    kind = parameter.type_descriptor.annotation
    values = [f"`{each}`" for each in list[Any](kind)] if isinstance(kind, EnumType) else []
    said = filter(None, (parameter.help, f"One of {', '.join(values)}." if values else None))
    return ": ".join(filter(None, (f"{name}{needed}", " ".join(said))))


PAGES: Final[dict[str, Callable[[], str]]] = {
    "api.md": api_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
}
"""What is written, below docs/."""


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"{DOCS / name}\n")


if __name__ == "__main__":
    main()
