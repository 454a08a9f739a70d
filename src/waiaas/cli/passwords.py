"""`waiaas password change`: another master password for the same keys. No daemon may run."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from waiaas.cli.client import explained
from waiaas.cli.context import (
    AS_USUAL,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    file_path,
    loading,
    tell,
)
from waiaas.cli.progress import working
from waiaas.cli.secret import read_password
from waiaas.directory import require_initialised
from waiaas.system import SystemClock

password_app = typer.Typer(help="The master password.", no_args_is_help=True)


@password_app.command("change")
def change(
    context: typer.Context,
    *,
    new_password_file: Annotated[
        Path | None,
        typer.Option(parser=file_path, help="File with the new master password (mode 0600)."),
    ] = None,
    new_password_fd: Annotated[
        int | None,
        typer.Option(help="Open file descriptor to read the new master password from."),
    ] = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Change the master password; keys stay as they are. No daemon may run.

    Backups that were made before open with the passwords they had (docs/keystore.md).
    """
    directory = directory_of(context)
    password = partial(read_password, file=password_file, descriptor=password_fd)
    new_password = partial(
        read_password,
        file=new_password_file,
        descriptor=new_password_fd,
        is_new=True,
        name="new master password",
        hint="Use --new-password-file FILE (mode 0600) or --new-password-fd N.",
        option="--new-password",
    )

    def work() -> None:
        require_initialised(directory)
        with loading():
            from waiaas.custody import change_password

        with working("deriving the key") as line:
            recorded = change_password(
                directory,
                password=line.pausing(password),
                new_password=line.pausing(new_password),
                clock=SystemClock(),
            )
        if not recorded:  # Before the rest, which a full disk may not take either.
            typer.echo("The ledger has no row of its end: see whether the disk is full.", err=True)
        tell(
            {"changed": True, "recorded": recorded},
            "The master password is changed: the old one does not open this wallet any more.",
            "Backups that were made before still open with the passwords that they had then.",
            "Next: waiaas start",
            form=form,
        )

    explained(work)
