"""`waiaas agent`, `session`: what the operator gives an agent."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from waiaas.cli.client import Client, Refused, explained, segment
from waiaas.cli.context import (
    AS_USUAL,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    file_path,
    read_json,
    say_next,
    show,
    show_list,
)
from waiaas.cli.secret import new_private_file, read_password
from waiaas.domain.enums import NetworkType
from waiaas.domain.profile import ProfileName

agent_app = typer.Typer(help="Agents and their wallets.", no_args_is_help=True)
session_app = typer.Typer(help="An agent's permission to ask.", no_args_is_help=True)

AgentOption = Annotated[str, typer.Option("--agent", help="The agent's id.")]


@agent_app.command("create")
def create_agent(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option(help="For people; need not be unique.")],
    network: Annotated[
        NetworkType,
        typer.Option(
            help="Where it pays; cannot be changed later. localnet: the play network of"
            " `waiaas start --localnet`."
        ),
    ],
    profile: Annotated[
        ProfileName | None,
        typer.Option(
            help="Rules to begin with (`waiaas policy profiles` shows them). Without, it may spend "
            "nothing."
        ),
    ] = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Make an agent with a key of its own."""
    directory = directory_of(context)
    body = {"name": name, "network": network} | ({} if profile is None else {"profile": profile})
    password = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with Client.logged_in(directory, password) as client:
            made = client.post("/v1/agents", body)
        show(made, form=form)
        say_next(*_first_steps(made, has_rules=profile is not None), form=form)

    explained(ask)


def _first_steps(agent: Mapping[str, str], *, has_rules: bool) -> Iterator[str]:
    """Yield what leads from a new agent to its first payment."""
    agent_id = agent["id"]
    if agent["network"] == NetworkType.LOCALNET:
        yield f"waiaas agent fund --agent {agent_id} --amount 1000000000"
    else:
        yield f"# send SOL of {agent['network']} to {agent['publicKey']}"
    if has_rules:
        yield f"waiaas policy list --agent {agent_id}  # what it may spend"
    else:
        yield first_rule(agent_id)
    yield f"waiaas owner set --agent {agent_id} --address YOUR_WALLET  # if a wallet approves"
    yield f"waiaas session create --agent {agent_id} --token-file agent.token"
    yield _FIRST_PAYMENT.format(file="agent.token")


def first_rule(agent_id: str) -> str:
    """Return the command that lets an agent without a profile pay."""
    rules = '{"asset":"native","instant_max":"100000000","daily_max":"1000000000"}'
    return f"waiaas policy set --agent {agent_id} --rules '{rules}'  # without, it pays nothing"


_FIRST_PAYMENT: Final = "waiaas tx send --token-file {file} --to ADDRESS --amount 1000000 --wait 30"


@agent_app.command("list")
def list_agents(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Show all agents, the oldest first."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show_list(client.get("/v1/agents")["items"], form=form)

    explained(ask)


@agent_app.command("show")
def show_agent(
    context: typer.Context,
    *,
    agent: Annotated[str, typer.Argument(help="The agent's id.")],
    form: FormOption = AS_USUAL,
) -> None:
    """Show one agent, with what it has and whose it is."""
    directory = directory_of(context)
    path = f"/v1/agents/{segment(agent)}"

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            found = client.get(path)
            owner = client.get(f"{path}/owner")
            try:
                has: dict[str, object] = client.get(f"{path}/balance")
            except Refused:  # Its node does not answer: that is no reason to show nothing.
                has = {"balance": None, "symbol": None}
        more = {name: has[name] for name in ("balance", "symbol")}
        show({**found, **more, "owner": owner}, form=form)

    explained(ask)


@agent_app.command("fund")
def fund_agent(
    context: typer.Context,
    *,
    agent: AgentOption,
    amount: Annotated[str, typer.Option(help="Base units (1 SOL = 1000000000 lamports).")],
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Give an agent play money; on localnet only."""
    directory = directory_of(context)
    password = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with Client.logged_in(directory, password) as client:
            show(
                client.post(f"/v1/agents/{segment(agent)}/fund", {"amount": amount}),
                form=form,
                essential="txHash",
            )

    explained(ask)


@session_app.command("create")
def create_session(
    context: typer.Context,
    *,
    agent: AgentOption,
    ttl: Annotated[
        int | None, typer.Option(help="Seconds; 300 to 604800. Else as the settings say.")
    ] = None,
    constraints: Annotated[
        str | None,
        typer.Option(help='JSON, e.g. {"maxTotalAmount":"1000000000","maxTransactions":10}'),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(parser=file_path, help="Write the token to this new file, for you alone."),
    ] = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Issue a session. Its token is shown once: here, or in --token-file."""
    directory = directory_of(context)
    password = partial(read_password, file=password_file, descriptor=password_fd)
    body = {"agentId": agent} | ({} if ttl is None else {"ttl": ttl})
    if constraints is not None:
        body["constraints"] = read_json("--constraints", constraints)

    def ask() -> None:
        with ExitStack() as stack:
            client = stack.enter_context(Client.logged_in(directory, password))
            # Before asking: a session whose token is lost would be in the way.
            file = None if token_file is None else stack.enter_context(new_private_file(token_file))
            session = client.post("/v1/sessions", body)
            if file is not None:
                file.write(session.pop("token") + "\n")
                session["tokenFile"] = str(token_file)
        show(session, form=form)
        if token_file is None:
            say_next(
                "# keep the token in a file of the agent's with mode 0600; it is shown only here",
                _FIRST_PAYMENT.format(file="FILE"),
                form=form,
            )
        else:
            say_next(_FIRST_PAYMENT.format(file=shlex.quote(str(token_file))), form=form)

    explained(ask)


@session_app.command("list")
def list_sessions(
    context: typer.Context,
    *,
    agent: Annotated[str | None, typer.Option(help="Of this agent; without it, of all.")] = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Show all sessions that are good for something. The oldest come first."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            items = client.get("/v1/sessions")["items"]
        if agent is not None:
            items = [each for each in items if each["agentId"] == agent]
        show_list(items, form=form)

    explained(ask)
