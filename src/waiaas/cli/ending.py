"""Before what cannot be undone, a person is told what it means, and says that it is meant."""

import sys
from typing import Annotated

import typer

from waiaas.cli.client import Client, Refused, segment
from waiaas.cli.context import NOTHING_DONE, ExitCode, fail, fail_unanswered, told
from waiaas.cli.layout import printable

YesOption = Annotated[
    bool, typer.Option("--yes", help="Do it without a question, as a script has to say.")
]


def confirm(warning: str, *, yes: bool) -> None:
    """Return if a person agreed, or a script said `--yes`; else end.

    Whatever only tightens (kill switch, suspending, revoking, rejecting) never asks.
    """
    if yes:
        return
    typer.echo(told(warning), err=True)
    _require_terminal("Say --yes, if it is meant.")
    if not agrees("Do it?"):
        fail("nothing was done")


def agrees(question: str) -> bool:
    """Tell whether a person at the terminal says yes; to say nothing is to say no."""
    while True:
        match answer_to(f"{question} [y/N]").lower():
            case "y" | "yes":
                return True
            case "" | "n" | "no":
                return False
            case _:
                typer.echo("Say y or n.", err=True)


def answer_to(question: str) -> str:
    """Return the line that a person types on the terminal, or end: Ctrl-C, or no more input."""
    typer.echo(f"{question}: ", nl=False, err=True)
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise KeyboardInterrupt(NOTHING_DONE) from None
    if not line:
        typer.echo(err=True)
        fail_unanswered()
    return line.rstrip("\n")


def confirm_end(client: Client, agent_id: str) -> None:
    """Return if the operator typed the agent's name, knowing what it has; else end.

    An agent that does not exist is for the daemon to refuse.
    """
    items = client.get("/v1/agents")["items"]
    agent = next((each for each in items if each["id"] == agent_id), None)
    if agent is None:
        return
    name = printable(agent["name"])
    typer.echo(
        f"Agent {name} ({agent['publicKey']}) will never pay again. {_balance(client, agent_id)}",
        err=True,
    )
    _require_terminal("Move its money away first; or say --yes.")
    if answer_to("Type its name to end it") not in {agent["name"], name}:
        fail("that is not its name: nothing was done")


def _require_terminal(hint: str) -> None:
    if not sys.stdin.isatty():
        fail("there is no terminal to confirm this on", hint=hint, code=ExitCode.USAGE)


def _balance(client: Client, agent_id: str) -> str:
    try:
        found = client.get(f"/v1/agents/{segment(agent_id)}/balance")
    except Refused as refused:
        return f"What it still has is not known: {printable(str(refused).rstrip('.'))}."
    return f"It still has {found['balance']} base units of {found['symbol']}, besides any tokens."
