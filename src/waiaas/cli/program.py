"""How the program ends where no command ends it: by Ctrl-C, or an output that takes nothing."""

import sys
from collections.abc import MutableMapping
from typing import Any, Final

import typer
from typer.core import TyperGroup

from waiaas.cli.context import ExitCode, discard_output, told
from waiaas.cli.metavars import name_values

_UNKNOWN = "What was asked for may be done or not: look, before you ask again."


_COMPLETING: Final = "_WAIAAS_COMPLETE"
_ENDLESS: Final = "10000"


def describe_in_one_line(environment: MutableMapping[str, str]) -> None:
    """Let a shell that completes a command get each description in one line, which Rich wraps.

    fish takes a second line for something to choose.
    """
    if _COMPLETING in environment:
        environment["COLUMNS"] = _ENDLESS


class Program(TyperGroup):
    """The commands, with a sentence for what none of them expects."""

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- Typer's own
        """Run the program; help and version are printed here, before there is a command."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if _takes_output():
                raise  # So it is no output that it is about.
            typer.echo(f"waiaas: standard output takes nothing: {error.strerror}", err=True)
            sys.exit(ExitCode.ERROR)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 -- as above
        """Return a command; its help says what its values are."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            name_values(command)
        return command

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 -- as above
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            typer.echo(told(f"waiaas: interrupted. {str(error) or _UNKNOWN}"), err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def _takes_output() -> bool:
    """Tell whether standard output takes a line end; if not, nothing is left for it to take."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        discard_output()
        return False
    return True
