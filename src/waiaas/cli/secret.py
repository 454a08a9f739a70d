"""Secrets come from a terminal, a private file or a descriptor; never from argv or environment."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import typer

from waiaas.cli.context import ExitCode, fail

_SECRET_BYTES_MAX = 4096


def read_password(
    *,
    file: Path | None,
    descriptor: int | None = None,
    confirm: bool = False,
    name: str = "master password",
    hint: str = "Use --password-file FILE (mode 0600) or --password-fd N.",
) -> bytes:
    """Return a password, from where the operator said or by asking."""
    if file is not None and descriptor is not None:
        fail("give --password-file or --password-fd, not both", code=ExitCode.USAGE)
    if file is not None:
        return _typeable(read_private_file(file))
    if descriptor is not None:
        try:
            with os.fdopen(descriptor, "rb") as stream:
                return _typeable(_first_line(stream))
        except (OSError, ValueError):
            fail(f"descriptor {descriptor} cannot be read", code=ExitCode.USAGE)
    if not sys.stdin.isatty():
        fail(
            f"there is no terminal to ask for the {name} on",
            hint=hint,
            code=ExitCode.USAGE,
        )
    typed = typer.prompt(name.capitalize(), hide_input=True, confirmation_prompt=confirm, err=True)
    return _typeable(str(typed).encode("utf-8", "surrogateescape"))


def read_private_file(path: Path) -> bytes:
    """Return the first line of a file that only this user can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", code=ExitCode.USAGE)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        fail(f"{path} is not a regular file", code=ExitCode.USAGE)
    with os.fdopen(descriptor, "rb") as stream:
        if stat.S_IMODE(found.st_mode) & 0o077:
            fail(f"{path} is open to other users", hint=f"chmod 600 {path}", code=ExitCode.USAGE)
        return _first_line(stream)


def read_token(path: Path) -> str:
    """Return the session token in a file that only this user can read."""
    token = read_private_file(path)
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


def _first_line(stream: IO[bytes]) -> bytes:
    """Read to the end of the line: whoever writes it need not close his end."""
    return stream.readline(_SECRET_BYTES_MAX).removesuffix(b"\n").removesuffix(b"\r")


def _typeable(password: bytes) -> bytes:
    """Refuse what could be kept in a file and never be typed, or sent to log in."""
    try:
        text = password.decode()
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        fail(
            "the password must be UTF-8 text of visible characters and spaces",
            code=ExitCode.USAGE,
        )
    return password
