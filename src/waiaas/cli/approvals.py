"""`waiaas approval`: what waits for a person, and the person's word."""

from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from waiaas.cli.client import Client, confirming, explained, segment
from waiaas.cli.context import (
    AS_USUAL,
    Form,
    FormOption,
    MessageFormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    say_next,
    show,
    show_list,
)
from waiaas.cli.owners import (
    OptionalSignatureOption,
    proof_of,
    read_signature,
    show_message,
)
from waiaas.cli.secret import read_password
from waiaas.cli.waiting import after_approval

approval_app = typer.Typer(help="Payments that wait for a person.", no_args_is_help=True)


class PaymentAction(StrEnum):
    """What an owner does about a payment."""

    APPROVE = "approve"
    REJECT = "reject"


TransactionArgument = Annotated[str, typer.Argument(help="The transaction's id.")]


@approval_app.command("list")
def list_approvals(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Show what waits for a decision, the most urgent first."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            items = client.get("/v1/approvals")["items"]
            show_list(items, form=form, essential="transactionId")

    explained(ask)


@approval_app.command("message")
def message(
    context: typer.Context,
    *,
    transaction: TransactionArgument,
    action: Annotated[
        PaymentAction, typer.Option(case_sensitive=False, help="What the owner does by signing it.")
    ] = PaymentAction.APPROVE,
    form: MessageFormOption = AS_USUAL,
) -> None:
    """Print what the owner has to sign to decide on a payment."""
    show_message(directory_of(context), _payment_path(transaction), action, form=form)


@approval_app.command("approve")
def approve(
    context: typer.Context,
    *,
    transaction: TransactionArgument,
    owner_signature: OptionalSignatureOption = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Let a payment go out. By the owner's signature, or where there is no owner by the password.

    The master password is asked for each one.
    """
    directory = directory_of(context)
    if owner_signature is not None:
        _decide_as_owner(context, transaction, "approve", owner_signature, form=form)
        return
    read = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with confirming(directory, read) as (client, password):
            body = {"password": password}
            path = f"/v1/approvals/{segment(transaction)}/approve"
            show(client.post(path, body), form=form)
            say_next(*after_approval(transaction), form=form)

    explained(ask)


@approval_app.command("reject")
def reject(
    context: typer.Context,
    *,
    transaction: TransactionArgument,
    owner_signature: OptionalSignatureOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Let a payment never go out. The operator may, and the owner by signature."""
    directory = directory_of(context)
    if owner_signature is not None:
        _decide_as_owner(context, transaction, "reject", owner_signature, form=form)
        return

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            path = f"/v1/approvals/{segment(transaction)}/reject"
            show(client.post(path), form=form)

    explained(ask)


def _payment_path(transaction: str) -> str:
    return f"/v1/transactions/{segment(transaction)}"


def _decide_as_owner(
    context: typer.Context, transaction: str, decision: str, source: str, *, form: Form
) -> None:
    directory, path = directory_of(context), _payment_path(transaction)
    signature = read_signature(source)

    def ask() -> None:
        proof = proof_of(directory, path, decision, signature)
        with Client.to_daemon(directory) as anybody:
            show(anybody.post(f"{path}/{decision}", proof), form=form)
            if decision == "approve":
                say_next(*after_approval(transaction), form=form)

    explained(ask)
