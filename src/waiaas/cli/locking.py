"""`waiaas lock`, `waiaas unlock`: drop the daemon's keys, and let it sign again."""

import typer

from waiaas.cli.client import Client, explained
from waiaas.cli.context import (
    AS_USUAL,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    show,
)
from waiaas.cli.layout import printable
from waiaas.cli.progress import working


def lock(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Drop every key and end every login. Nothing is signed until `waiaas unlock`."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            locked = client.post("/v1/admin/lock")
        problem = locked.get("auditProblem")
        if problem is not None:  # Whatever is printed: quietly, that would be nothing.
            said = f"the keys are gone, but the audit log has no row of it yet: {problem}"
            typer.echo(f"waiaas: {printable(said)}", err=True)
        show(locked, form=form)

    explained(ask)


def unlock(
    context: typer.Context,
    *,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Let the daemon sign again. What was due meanwhile goes on at once."""
    from waiaas.cli.secret import as_text, read_password  # Guarded memory is not for `--help`.

    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            password = read_password(file=password_file, descriptor=password_fd)
            body = {"password": as_text(password)}
            with working("deriving the key"):
                unlocked = client.post("/v1/admin/unlock", body)
            show(unlocked, form=form)

    explained(ask)
