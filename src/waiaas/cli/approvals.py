"""`waiaas approval`: what waits for a person, and the person's word."""

from functools import partial
from typing import Annotated

import typer

from waiaas.cli.client import Client, explained, segment
from waiaas.cli.context import (
    JsonOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    show,
    show_list,
)
from waiaas.cli.secret import read_password

approval_app = typer.Typer(help="Payments that wait for a person.", no_args_is_help=True)

TransactionArgument = Annotated[str, typer.Argument(help="The transaction's id.")]


@approval_app.command("list")
def list_approvals(context: typer.Context, *, as_json: JsonOption = False) -> None:
    """Show what waits for a decision, the most urgent first."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show_list(client.get("/v1/approvals")["items"], as_json=as_json)

    explained(ask)


@approval_app.command("approve")
def approve(
    context: typer.Context,
    *,
    transaction: TransactionArgument,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a payment go out; the master password is asked for each one."""
    directory = directory_of(context)
    read = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        typed: list[bytes] = []

        def password() -> bytes:
            typed.append(read())
            return typed[0]

        with Client.logged_in(directory, password) as client:
            body = {"password": typed[0].decode()}
            path = f"/v1/approvals/{segment(transaction)}/approve"
            show(client.post(path, body), as_json=as_json)

    explained(ask)


@approval_app.command("reject")
def reject(
    context: typer.Context, *, transaction: TransactionArgument, as_json: JsonOption = False
) -> None:
    """Let a payment never go out."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            path = f"/v1/approvals/{segment(transaction)}/reject"
            show(client.post(path), as_json=as_json)

    explained(ask)
