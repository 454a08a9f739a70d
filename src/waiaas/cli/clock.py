"""`waiaas clock`: is the machine's clock believed, and believe it as it is."""

import sys
from functools import partial
from typing import Annotated, Any

import typer

from waiaas.cli.client import Client, confirming, explained
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    fail,
    show,
)
from waiaas.cli.ending import agrees
from waiaas.cli.layout import duration_in_words
from waiaas.cli.secret import read_password
from waiaas.domain.times import time_in_words

clock_app = typer.Typer(help="Is the machine's clock believed?", no_args_is_help=True)


@clock_app.command("status")
def show_clock(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Show what the clock says, and what it should say."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show(client.get("/v1/admin/clock"), form=form, essential="difference")

    explained(ask)


@clock_app.command("accept")
def accept(
    context: typer.Context,
    *,
    difference: Annotated[
        int | None,
        typer.Option(help="How far off you have seen it to be; else you are shown it and asked."),
    ] = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Believe the clock as it is, so that payments go on. Look first whether it is right.

    One that is set forward brings limits and waits that much nearer to their end.
    """
    directory = directory_of(context)
    read = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with Client.with_cookie(directory) as local_user:
            state = local_user.get("/v1/admin/clock")
        if not state["inDoubt"]:
            show(state, form=form, essential="difference")
            return
        seen = difference if difference is not None else _confirmed(state)
        with confirming(directory, read) as (client, password):
            body = {"password": password, "difference": seen}
            show(client.post("/v1/admin/clock", body), form=form, essential="difference")

    explained(ask)


def _confirmed(state: dict[str, Any]) -> int:
    """Return the difference that a person has seen and agreed to, or end."""
    seen = int(state["difference"])
    if not sys.stdin.isatty():
        fail(
            f"the clock is {seen} seconds ahead of what it should show",
            hint=f"If that is right, say --difference {seen}.",
            code=ExitCode.USAGE,
        )
    typer.echo(
        f"The clock shows {time_in_words(state['actual'])}; it should show"
        f" {time_in_words(state['expected'])}: it is {duration_in_words(seen)} ahead.",
        err=True,
    )
    if not agrees("Is it right as it is?"):
        fail("the clock is as much in doubt as before", hint="Put it right; see docs/clock.md.")
    return seen
