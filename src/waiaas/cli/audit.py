"""`waiaas audit`: prove what the audit log says. All of it works with and without the daemon."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from waiaas.cli.client import explained
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    Form,
    FormOption,
    directory_of,
    fail,
    file_path,
    output,
    show,
)
from waiaas.cli.progress import working
from waiaas.cli.secret import new_private_file

audit_app = typer.Typer(help="The audit log and its chain of hashes.", no_args_is_help=True)


@audit_app.command("verify")
def verify(
    context: typer.Context,
    *,
    anchor: Annotated[
        Path | None,
        typer.Option(
            parser=file_path,
            help="File with heads from `audit head`, kept where nobody could change it.",
        ),
    ] = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Look for anything changed, removed or added. The exit code is 6 if there is.

    Without --anchor nobody can tell a cut end, or a history that was made anew, from a whole one.
    """
    from waiaas.offline import verify_audit_log

    directory = directory_of(context)
    look = working("verifying")(lambda: verify_audit_log(directory, anchor_file=anchor))
    found = explained(look)
    fault = found.fault
    facts: dict[str, object] = {
        "intact": fault is None,
        "rows": found.rows,
        "hash": found.hash,
        "anchors": found.anchors,
    }
    if fault is None:
        show(facts, form=form, essential="hash")
        return
    place = {"fault": fault.kind, "sequence": fault.sequence, "auditId": fault.audit_id}
    show(facts | place, form=form, essential="fault")
    fail(
        f"the audit log was tampered with: {fault.explanation}",
        hint="Keep the data directory as it is, and compare it with a backup or an export.",
        code=ExitCode.TAMPERED,
    )


@audit_app.command("export")
def export(
    context: typer.Context,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", parser=file_path, help="Write to this new file, for you alone."),
    ] = None,
) -> None:
    """Write the audit log with its chain, as it stands, as lines of JSON."""
    from waiaas.offline import export_audit_log

    directory = directory_of(context)

    def write() -> None:
        if file is None:
            with output():
                for line in export_audit_log(directory):
                    sys.stdout.buffer.write(line)
            return
        with new_private_file(file, option="--file") as stream:
            for line in export_audit_log(directory):
                stream.write(line.decode())

    explained(write)


@audit_app.command("head")
def head(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Print the head of the chain as one line for an anchor file. Verify first, then keep it.

    The line is JSON, on a terminal too. Quietly, only its hash is printed, which is no anchor.
    """
    from waiaas.offline import read_audit_head

    directory = directory_of(context)
    line = explained(lambda: read_audit_head(directory))
    if line is None:
        fail("the audit log is empty: there is nothing to anchor yet", hint="`waiaas start` first.")
    with output():
        typer.echo(json.loads(line)["hash"] if form is Form.QUIET else line)
