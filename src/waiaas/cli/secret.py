"""Secrets come from a terminal, a private file or a descriptor; never from argv or environment."""

import os
import stat
import sys
from pathlib import Path

import typer

from waiaas.cli.context import ExitCode, fail

_SECRET_BYTES_MAX = 4096


def read_password(*, file: Path | None, descriptor: int | None, confirm: bool = False) -> bytes:
    """Return the master password, from where the operator said or by asking."""
    if file is not None and descriptor is not None:
        fail("give --password-file or --password-fd, not both", code=ExitCode.USAGE)
    if file is not None:
        return read_private_file(file)
    if descriptor is not None:
        try:
            with os.fdopen(descriptor, "rb") as stream:
                return _first_line(stream.read(_SECRET_BYTES_MAX))
        except OSError as error:
            fail(f"descriptor {descriptor} cannot be read: {error.strerror}", code=ExitCode.USAGE)
    if not sys.stdin.isatty():
        fail(
            "there is no terminal to ask for the master password on",
            hint="Use --password-file FILE (mode 0600) or --password-fd N.",
            code=ExitCode.USAGE,
        )
    return str(
        typer.prompt("Master password", hide_input=True, confirmation_prompt=confirm, err=True)
    ).encode()


def read_private_file(path: Path) -> bytes:
    """Return the first line of a file that only this user can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", code=ExitCode.USAGE)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            fail(f"{path} is not a regular file", code=ExitCode.USAGE)
        if stat.S_IMODE(found.st_mode) & 0o077:
            fail(f"{path} is open to other users", hint=f"chmod 600 {path}", code=ExitCode.USAGE)
        return _first_line(stream.read(_SECRET_BYTES_MAX))


def write_private_file(path: Path, secret: str) -> None:
    """Write a new file that only this user can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        fail(f"{path} exists and was not overwritten", hint="Give another --token-file.")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secret + "\n")


def _first_line(content: bytes) -> bytes:
    return content.split(b"\n", 1)[0].removesuffix(b"\r")
