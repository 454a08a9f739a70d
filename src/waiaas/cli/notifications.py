"""`waiaas notification`: what owners are told."""

from typing import Annotated

import typer

from waiaas.cli.client import Client, explained
from waiaas.cli.context import AS_USUAL, FormOption, directory_of, show_list

notification_app = typer.Typer(help="What owners are told.", no_args_is_help=True)


@notification_app.command("list")
def list_notifications(
    context: typer.Context,
    *,
    after: Annotated[int, typer.Option(help="The number of the last one seen.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="How many at most; 1 to 100.")] = 100,
    form: FormOption = AS_USUAL,
) -> None:
    """Show what came after the one last seen, the oldest first."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            path = f"/v1/admin/notifications?after={after}&limit={limit}"
            show_list(client.get(path)["items"], form=form, essential="number")

    explained(ask)
