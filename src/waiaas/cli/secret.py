"""Secrets come from a terminal, a private file or a descriptor; never from argv or environment.

They are read into guarded memory, and stay there unless they are sent over HTTP.
"""

import codecs
import hmac
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

import typer

from waiaas.cli.context import NOTHING_DONE, ExitCode, fail, fail_unanswered
from waiaas.cli.terminal import unseen_typing
from waiaas.inputs import is_open_to_others, opened_file, require_owner
from waiaas.keystore.errors import KeystoreError, PasswordRefused
from waiaas.keystore.guarded import Guarded, guarded_copy
from waiaas.keystore.lines import LINE_BYTES_MAX, SECRET_BYTES_MAX, read_line, read_secret
from waiaas.keystore.new_password import check_new_password

_OUTPUTS: Final = {1, 2}


def read_password(
    *,
    file: Path | None,
    descriptor: int | None = None,
    confirm: bool = False,
    is_new: bool = False,
    name: str = "master password",
    hint: str = "Use --password-file FILE (mode 0600) or --password-fd N.",
    option: str = "--password",
    may_be_empty: bool = False,
) -> Guarded:
    """Return a password, from where the operator said or by asking.

    An empty file or descriptor is refused, and not tried: nobody chose that. One that *is_new* is
    asked for twice, and one that will be refused is not; whoever takes it looks at it as well.
    """
    if file is not None and descriptor is not None:
        fail(f"give {option}-file or {option}-fd, not both", code=ExitCode.USAGE)
    try:
        if file is not None:
            with _private_file(file) as opened:
                read = read_line(opened)
            password = _filled(read, name, str(file), may_be_empty=may_be_empty)
        elif descriptor is not None:
            read = _read_descriptor(descriptor, read_line)
            source = f"descriptor {descriptor}"
            password = _filled(read, name, source, may_be_empty=may_be_empty)
        elif sys.stdin.isatty():
            password = _ask(name.capitalize(), confirm=confirm or is_new, is_new=is_new)
        else:
            fail(f"there is no terminal to ask for the {name} on", hint=hint, code=ExitCode.USAGE)
    except KeystoreError as error:
        fail(error.problem, hint=error.remedy)
    if not _is_typeable(password):  # It could be kept in a file and never be typed, or sent.
        fail(
            "the password must be UTF-8 text of visible characters and spaces",
            code=ExitCode.USAGE,
        )
    return password


def _filled(read: Guarded | None, name: str, source: str, *, may_be_empty: bool) -> Guarded:
    if read is None or not (may_be_empty or len(read)):
        fail(f"{source} is empty: there is no {name} in it", code=ExitCode.USAGE)
    return read


def read_key(*, file: Path | None, descriptor: int | None, name: str | None) -> Guarded:
    """Return all of a file or descriptor with a key in it, or a line that is asked for.

    *name* is what to ask for; None: nobody can type it.
    """
    if file is not None and descriptor is not None:
        fail("give --file or --fd, not both", code=ExitCode.USAGE)
    if file is None and descriptor is None:
        hint = "Use --file FILE (mode 0600) or --fd N."
        if name is not None and sys.stdin.isatty():
            return _ask(name, confirm=False)
        fail("the key is in a file or comes by a descriptor", hint=hint, code=ExitCode.USAGE)
    if file is not None:
        with _private_file(file) as opened:
            secret = read_secret(opened)
    else:
        assert descriptor is not None
        secret = _read_descriptor(descriptor, read_secret)
    if secret is None:
        fail(f"no key is longer than {SECRET_BYTES_MAX} bytes", code=ExitCode.USAGE)
    return secret


def as_text(password: Guarded | bytes) -> str:
    """Return a password as HTTP's JSON needs it: in memory that nobody guards or overwrites."""
    with guarded_copy(password) as guarded, guarded.readable() as view:
        return str(view, "utf-8")


def read_token(path: Path) -> str:
    """Return the session token in a file that only this user can read.

    It is sent in a header, so it is text from the beginning.
    """
    with _private_file(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        token = file.readline(LINE_BYTES_MAX).removesuffix(b"\n").removesuffix(b"\r")
    if not token or any(not ord("!") <= byte <= ord("~") for byte in token):
        fail(f"{path} does not hold a session token", code=ExitCode.USAGE)
    return token.decode("ascii")


@contextmanager
def new_private_file(path: Path, *, option: str = "--token-file") -> Iterator[IO[str]]:
    """Make a new file that only this user can read; it is gone again if the block fails."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        fail(f"{path} exists and was not overwritten", hint=f"Give another {option}.")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            yield stream
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _private_file(path: Path) -> Iterator[int]:
    """Open a file that only this user can read, or end the command.

    Its name may be a link, as all are in a volume with secrets of Kubernetes: what is judged is the
    file that was opened.
    """
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(opened_file(path))
            require_owner(descriptor)
        except OSError as error:
            fail(f"{path} cannot be read: {error.strerror}", code=ExitCode.USAGE)
        except ValueError as error:
            fail(f"{path} cannot be used: {error}", code=ExitCode.USAGE)
        if is_open_to_others(descriptor):
            hint = f"chmod 600 {path}  # or, where it is mounted so: --password-fd 3 3<FILE"
            fail(f"{path} is open to other users", hint=hint, code=ExitCode.USAGE)
        yield descriptor


def _read_descriptor(descriptor: int, read: Callable[[int], Guarded | None]) -> Guarded | None:
    if descriptor in _OUTPUTS:  # It is closed once it was read, and then nothing could be said.
        fail(f"descriptor {descriptor} is for what is said: give another", code=ExitCode.USAGE)
    try:
        try:
            return read(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, OverflowError):
        fail(f"descriptor {descriptor} cannot be read", code=ExitCode.USAGE)


def _ask(prompt: str, *, confirm: bool, is_new: bool = False) -> Guarded:
    """Ask on the terminal until something is typed, and, with *confirm*, the same thing twice."""
    while True:
        password = _read_unseen(f"{prompt}: ")
        if not len(password):
            continue
        try:
            if is_new:
                check_new_password(password)
        except PasswordRefused as error:
            typer.echo(f"Error: {error.problem} {error.remedy}", err=True)
            continue
        if not confirm:
            return password
        repeated = _read_unseen("Repeat for confirmation: ")
        with password.readable() as one, repeated.readable() as other:
            if hmac.compare_digest(one, other):
                return password
        typer.echo("Error: The two entered values do not match.", err=True)


def _read_unseen(prompt: str) -> Guarded:
    """Read a line from the terminal, which does not show it."""
    terminal = sys.stdin.fileno()
    try:
        with unseen_typing(terminal, lambda: typer.echo(prompt, nl=False, err=True)):
            line = read_line(terminal)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(NOTHING_DONE) from None
    finally:
        typer.echo(err=True)
    if line is None:
        fail_unanswered()
    return line


def _is_typeable(password: Guarded) -> bool:
    """Tell whether it is text, looking at one character after the other: none is kept."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with password.readable() as view:
        try:
            for place in range(len(view)):
                if not decoder.decode(view[place : place + 1]).isprintable():
                    return False
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True
