"""`waiaas owner`: whose wallet approves an agent's large payments."""

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from waiaas.cli.agents import AgentOption
from waiaas.cli.client import Client, explained, segment
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    Form,
    FormOption,
    MessageFormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    fail,
    output,
    say_next,
    show,
)
from waiaas.cli.ending import YesOption, confirm
from waiaas.cli.secret import read_password
from waiaas.inputs import read_file

owner_app = typer.Typer(help="Whose wallet approves.", no_args_is_help=True)

SIGNATURE_CHARACTERS_MAX = 200

_SIGNATURE_BYTES_MAX = 4096
"""With the white space around it."""


class OwnAction(StrEnum):
    """What an owner does about being one."""

    VERIFY = "verify"
    REMOVE = "remove"


SignatureOption = Annotated[
    str,
    typer.Option(
        "--owner-signature",
        help="File with the owner's signature as the wallet gives it; - for standard input.",
    ),
]
OptionalSignatureOption = Annotated[
    str | None,
    typer.Option("--owner-signature", help="As for `owner verify`; once the owner is LOCKED."),
]


@owner_app.command("set")
def set_owner(
    context: typer.Context,
    *,
    agent: AgentOption,
    address: Annotated[str, typer.Option(help="Of a Solana or an Ethereum wallet.")],
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Register an owner. With his first signature he becomes the one to approve."""
    directory = directory_of(context)
    password = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with Client.logged_in(directory, password) as client:
            answer = client.put(owner_path(agent), {"ownerAddress": address})
        show(answer, form=form, essential="ownerAddress")
        say_next(
            f"waiaas owner message --agent {agent} > message.txt",
            "# the owner signs what is in it with his wallet, and gives you signature.txt",
            f"waiaas owner verify --agent {agent} --owner-signature signature.txt",
            form=form,
        )

    explained(ask)


@owner_app.command("show")
def show_owner(context: typer.Context, *, agent: AgentOption, form: FormOption = AS_USUAL) -> None:
    """Show whose an agent is. NONE, GRACE until his first signature, then LOCKED."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show(client.get(owner_path(agent)), form=form, essential="ownerAddress")

    explained(ask)


@owner_app.command("message")
def message(
    context: typer.Context,
    *,
    agent: AgentOption,
    action: Annotated[
        OwnAction, typer.Option(case_sensitive=False, help="What the owner does by signing it.")
    ] = OwnAction.VERIFY,
    form: MessageFormOption = AS_USUAL,
) -> None:
    """Print what the owner has to sign. It proves his key, or gives up being the owner."""
    show_message(directory_of(context), owner_path(agent), action, form=form)


@owner_app.command("verify")
def verify(
    context: typer.Context,
    *,
    agent: AgentOption,
    owner_signature: SignatureOption,
    form: FormOption = AS_USUAL,
) -> None:
    """Hand in the owner's signature. It proves his key; from then on only that approves."""
    path, signature = owner_path(agent), read_signature(owner_signature)

    def ask() -> None:
        proof = proof_of(directory_of(context), path, "verify", signature)
        with Client.to_daemon(directory_of(context)) as anybody:
            show(anybody.post(f"{path}/verify", proof), form=form, essential="ownerAddress")

    explained(ask)


@owner_app.command("remove")
def remove(
    context: typer.Context,
    *,
    agent: AgentOption,
    owner_signature: OptionalSignatureOption = None,
    yes: YesOption = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Remove an owner; it takes his signature too, once he is LOCKED."""
    directory, path = directory_of(context), owner_path(agent)
    signature = None if owner_signature is None else read_signature(owner_signature)
    password = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with Client.with_cookie(directory) as local_user:  # Nobody is asked about nothing.
            local_user.get(path)
        confirm("Without an owner, the master password alone approves large payments.", yes=yes)
        body = {} if signature is None else proof_of(directory, path, "remove", signature)
        with Client.logged_in(directory, password) as client:
            show(client.post(f"{path}/remove", body), form=form, essential="ownerState")

    explained(ask)


def owner_path(agent: str) -> str:
    """Return the path of an agent's owner."""
    return f"/v1/agents/{segment(agent)}/owner"


def show_message(directory: Path, path: str, action: str, *, form: Form) -> None:
    """Print a message to be signed: to the byte as it is, without a line end of ours behind it."""

    def ask() -> None:
        asked = asked_message(directory, path, action)
        if form is Form.JSON:
            show(asked, form=form)
            return
        with output():
            sys.stdout.write(asked["message"])
            if sys.stdout.isatty():
                sys.stdout.write("\n")

    explained(ask)


def asked_message(directory: Path, path: str, action: str) -> dict[str, Any]:
    """Return the message for an action on what is at *path*; the same one while it lives."""
    with Client.with_cookie(directory) as client:
        return client.post(f"{path}/message", {"action": action.upper()})


def proof_of(directory: Path, path: str, action: str, signature: str) -> dict[str, Any]:
    """Return what is handed in: the signature, with the nonce of the message it must be over."""
    return {"nonce": asked_message(directory, path, action)["nonce"], "signature": signature}


def read_signature(source: str) -> str:
    """Return the signature in a file, or on standard input for `-`. It is no secret."""
    if not source:
        fail("--owner-signature is empty", code=ExitCode.USAGE)
    try:
        if source == "-":
            content = sys.stdin.buffer.read(_SIGNATURE_BYTES_MAX)
        else:
            content = read_file(Path(source), bytes_max=_SIGNATURE_BYTES_MAX)
        text = content.decode("ascii").strip()
    except OSError as error:
        fail(f"{source} cannot be read: {error.strerror or error}", code=ExitCode.USAGE)
    except UnicodeDecodeError:
        fail(f"{source} does not hold a signature: it is not ASCII text", code=ExitCode.USAGE)
    except ValueError as error:
        fail(f"{source} does not hold a signature: {error}", code=ExitCode.USAGE)
    if not 0 < len(text) <= SIGNATURE_CHARACTERS_MAX:
        fail(f"{source} does not hold a signature", code=ExitCode.USAGE)
    return text
