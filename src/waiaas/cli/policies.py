"""`waiaas policy`: what agents may do."""

from functools import partial
from typing import Annotated

import typer

from waiaas.cli.client import Client, explained, segment
from waiaas.cli.context import (
    JsonOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    read_json,
    show,
    show_list,
)
from waiaas.cli.secret import read_password

policy_app = typer.Typer(help="What agents may do.", no_args_is_help=True)

AgentOption = Annotated[
    str | None, typer.Option("--agent", help="The agent's id; without one, every agent.")
]


@policy_app.command("set")
def set_policy(
    context: typer.Context,
    *,
    rules: Annotated[
        str,
        typer.Option(
            help='JSON, e.g. {"asset":"native","instant_max":"100000000","daily_max":"1000000000"}'
        ),
    ],
    agent: AgentOption = None,
    kind: Annotated[str, typer.Option("--type")] = "SPENDING_LIMIT",
    priority: Annotated[int, typer.Option(help="Orders explanations, highest first.")] = 0,
    beside: Annotated[
        bool, typer.Option(help="Put it beside the rule of its type, which stays in force.")
    ] = False,
    disabled: Annotated[bool, typer.Option(help="Not in force until it is enabled.")] = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a rule, in place of the one of the same type and asset that there may be."""
    directory = directory_of(context)
    document = read_json("--rules", rules)
    password = partial(read_password, file=password_file, descriptor=password_fd)
    body = {"type": kind, "rules": document, "priority": priority, "enabled": not disabled}
    if agent is not None:
        body["agentId"] = agent

    def ask() -> None:
        with Client.logged_in(directory, password) as client:
            write = client.post if beside else client.put
            show(write("/v1/policies", body), as_json=as_json)

    explained(ask)


@policy_app.command("list")
def list_policies(
    context: typer.Context, *, agent: AgentOption = None, as_json: JsonOption = False
) -> None:
    """Show the rules of an agent with the global ones, or only the global ones."""
    directory = directory_of(context)
    query = "" if agent is None else f"?agentId={segment(agent)}"

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show_list(client.get(f"/v1/policies{query}")["items"], as_json=as_json)

    explained(ask)


@policy_app.command("remove")
def remove_policy(
    context: typer.Context,
    *,
    policy: Annotated[str, typer.Argument(help="The policy's id.")],
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a rule for good; the audit log keeps what it said."""
    directory = directory_of(context)
    password = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with Client.logged_in(directory, password) as client:
            show(client.delete(f"/v1/policies/{segment(policy)}"), as_json=as_json)

    explained(ask)
