"""`waiaas health`: what a container or a supervisor runs to see whether the daemon is well."""

from typing import Annotated

import typer

from waiaas.cli.client import Client, explained
from waiaas.cli.context import directory_of


def health(
    context: typer.Context,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Ask only whether it answers, not whether it pays.")
    ] = False,
) -> None:
    """Tell whether the daemon is ready, by the exit code: 0 if it is; no credential is needed."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.to_daemon(directory) as client:
            typer.echo(client.get("/livez" if live else "/readyz")["status"])

    explained(ask)
