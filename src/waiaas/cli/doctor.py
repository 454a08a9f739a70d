"""`waiaas doctor`: everything a puzzled operator would ask, and how to mend what is wrong."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waiaas.cli.client import Client, NoAnswer, NotReachable, OutOfReach, Refused
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    Form,
    FormOption,
    loading,
    named_directory,
    output,
    told,
)
from waiaas.cli.progress import working
from waiaas.directory import DaemonError
from waiaas.system import SystemClock

if TYPE_CHECKING:
    from waiaas.doctor.answers import Answer
    from waiaas.doctor.finding import Finding


def doctor(
    context: typer.Context,
    *,
    nodes: Annotated[
        bool, typer.Option(help="Ask the nodes, too: that goes over the network.")
    ] = True,
    form: FormOption = AS_USUAL,
) -> None:
    """Find what is wrong, and how to mend it. The exit code is 1 if anything is.

    Works with and without a daemon, needs no password, and changes nothing.
    """
    with loading():
        from importlib.metadata import version

        from waiaas.doctor.examination import examine

    directory = named_directory(context)
    with working("looking"):
        findings = list(
            examine(
                directory,
                answer=_asked(directory),
                version=version("waiaas"),
                now_s=SystemClock().now_s(),
                with_nodes=nodes,
            )
        )
    with output():
        is_fine = _tell(findings, form=form)
    if not is_fine:
        raise typer.Exit(ExitCode.ERROR)


def _asked(directory: Path) -> "Answer":
    from waiaas.doctor.answers import Answer
    from waiaas.holder import Holder, look_for_daemon

    pid = None
    try:
        found = look_for_daemon(directory)
        if isinstance(found, Holder) and found.answers:
            return Answer(found.pid, None, found.problem(directory), found.remedy())
        if found is None or isinstance(found, Holder):  # The check of the lock tells of him.
            return Answer(None, None, None)
        pid = found.pid
        with Client.with_cookie(directory) as client:
            return Answer(pid, client.get("/v1/admin/status"), None)
    except OutOfReach as error:
        return Answer(pid, None, str(error), error.hint)
    except (DaemonError, NotReachable, NoAnswer, Refused) as error:
        return Answer(pid, None, str(error))


def _ended(found: str) -> str:
    """Return a sentence with what ends it, once: some come with it, and some ask."""
    return found if found.endswith((".", "?", "!")) else f"{found}."


def _tell(findings: "list[Finding]", *, form: Form) -> bool:
    """Show all of it; return whether nothing has to be mended."""
    import json

    from waiaas.doctor.finding import State, Subject

    wrong = [each for each in findings if each.state is State.MEND]
    if form is Form.QUIET:
        for each in wrong:
            typer.echo(told(f"{each.subject}: {_ended(each.found)} {each.remedy}"))
        return not wrong
    if form is Form.JSON or not sys.stdout.isatty():
        checks = [
            {
                "subject": each.subject,
                "state": each.state,
                "found": each.found,
                "remedy": each.remedy,
            }
            for each in findings
        ]
        typer.echo(json.dumps({"fine": not wrong, "checks": checks}))
        return not wrong
    colours = {State.FINE: "green", State.MEND: "red", State.NOTE: "yellow"}
    states, subjects = (max(map(len, kind)) for kind in (State, Subject))
    for each in findings:
        state = typer.style(f"{each.state:<{states}}", fg=colours.get(each.state))
        typer.echo(f"{state}  {each.subject:<{subjects}}  {told(each.found)}")
        if each.remedy is not None:
            typer.echo(f"{'':<{states}}  {typer.style(told(each.remedy), bold=True)}")
    typer.echo(f"{len(wrong)} to mend" if wrong else "Nothing has to be mended.")
    return not wrong
