"""`waiaas health`: what a container or a supervisor runs to see whether the daemon is well."""

from typing import Annotated

import typer

from waiaas.cli.client import Client, explained
from waiaas.cli.context import AS_USUAL, FormOption, directory_of, tell


def health(
    context: typer.Context,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Ask only whether it answers, not whether it pays.")
    ] = False,
    form: FormOption = AS_USUAL,
) -> None:
    """Tell by the exit code whether the daemon is ready. 0: it is; no credential is needed."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.to_daemon(directory) as client:
            found = client.get("/livez" if live else "/readyz")
            tell(found, found["status"], form=form)

    explained(ask)
