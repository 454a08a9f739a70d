"""`waiaas tx`: pay as an agent does, with a session token."""

from typing import Annotated

import typer

from waiaas.cli.client import Client, Json, explained, wait_for
from waiaas.cli.context import ExitCode, JsonOption, TokenFileOption, directory_of, fail, show
from waiaas.cli.secret import read_private_file
from waiaas.system import generate_secret

tx_app = typer.Typer(help="Payments, as an agent sees them.", no_args_is_help=True)

LIVE = ("PENDING", "QUEUED", "EXECUTING", "SUBMITTED")


@tx_app.command("send")
def send(
    context: typer.Context,
    *,
    to: Annotated[str, typer.Option(help="The recipient's address.")],
    amount: Annotated[str, typer.Option(help="Base units (1 SOL = 1000000000 lamports).")],
    token_file: TokenFileOption,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Repeat it to ask again about the same payment; else a new one."),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the end.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Ask for a payment."""
    token = read_private_file(token_file).decode("ascii", "replace")
    key = idempotency_key or generate_secret()

    def ask() -> None:
        with Client.to_daemon(directory_of(context), token) as client:
            accepted = client.post("/v1/transactions/send", {"to": to, "amount": amount}, key=key)
            seen = wait_for_end(client, accepted["id"], seconds=wait) if wait else accepted
            show(seen, as_json=as_json)
            if seen.get("status") in LIVE and wait:
                fail("the payment has not ended yet", code=ExitCode.TIMEOUT)
            if wait and seen.get("status") != "CONFIRMED":
                raise typer.Exit(ExitCode.ERROR)

    explained(ask)


@tx_app.command("show")
def show_transaction(
    context: typer.Context,
    *,
    transaction: Annotated[str, typer.Argument(help="The transaction's id.")],
    token_file: TokenFileOption,
    as_json: JsonOption = False,
) -> None:
    """Show how a payment stands."""
    token = read_private_file(token_file).decode("ascii", "replace")

    def ask() -> None:
        with Client.to_daemon(directory_of(context), token) as client:
            show(client.get(f"/v1/transactions/{transaction}"), as_json=as_json)

    explained(ask)


def wait_for_end(client: Client, tx_id: str, *, seconds: float) -> Json:
    """Return the transaction once it has ended, or as it stands after *seconds*."""

    def look() -> Json | None:
        seen = client.get(f"/v1/transactions/{tx_id}")
        return None if seen["status"] in LIVE else seen

    return wait_for(look, seconds=seconds) or client.get(f"/v1/transactions/{tx_id}")
