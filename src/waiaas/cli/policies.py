"""`waiaas policy`: what agents may do."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from waiaas.cli.client import Client, explained, segment
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    Form,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    fail,
    fail_as,
    file_path,
    output,
    read_json,
    say_next,
    show,
    show_list,
)
from waiaas.cli.ending import YesOption, confirm
from waiaas.cli.layout import printable
from waiaas.cli.pasting import pasteable
from waiaas.cli.progress import working
from waiaas.cli.secret import read_password
from waiaas.cli.transactions import (
    AmountOption,
    ReferenceOption,
    RequestOption,
    TokenOption,
    ToOption,
    show_verdict,
    wanted,
)
from waiaas.domain.enums import ChainType, PolicyType
from waiaas.domain.money import NATIVE_UNITS, human_amount
from waiaas.domain.profile import ProfileName

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
    kind: Annotated[PolicyType, typer.Option("--type", metavar="TYPE")] = PolicyType.SPENDING_LIMIT,
    priority: Annotated[int, typer.Option(help="Orders explanations, highest first.")] = 0,
    beside: Annotated[
        bool, typer.Option(help="Put it beside the rule of its type, which stays in force.")
    ] = False,
    disabled: Annotated[bool, typer.Option(help="Not in force until it is enabled.")] = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Set a rule. It takes the place of one of the same type and asset."""
    directory = directory_of(context)
    document = read_json("--rules", rules)
    password = partial(read_password, file=password_file, descriptor=password_fd)
    body = {"type": kind, "rules": document, "priority": priority, "enabled": not disabled}
    if agent is not None:
        body["agentId"] = agent

    def ask() -> None:
        with Client.logged_in(directory, password) as client:
            write = client.post if beside else client.put
            show(write("/v1/policies", body), form=form)

    explained(ask)


@policy_app.command("list")
def list_policies(
    context: typer.Context, *, agent: AgentOption = None, form: FormOption = AS_USUAL
) -> None:
    """Show the rules of an agent, or the global ones. An agent's come with the global ones."""
    directory = directory_of(context)
    query = "" if agent is None else f"?agentId={segment(agent)}"

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show_list(client.get(f"/v1/policies{query}")["items"], form=form)

    explained(ask)


@policy_app.command("remove")
def remove_policy(
    context: typer.Context,
    *,
    policy: Annotated[str, typer.Argument(help="The policy's id.")],
    yes: YesOption = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Remove a rule for good; the audit log keeps what it said."""
    directory = directory_of(context)
    password = partial(read_password, file=password_file, descriptor=password_fd)

    path = f"/v1/policies/{segment(policy)}"

    def ask() -> None:
        Client.with_cookie(directory).close()  # Nobody is asked when no daemon runs.
        confirm(f"What policy {policy} grants and forbids holds no more then.", yes=yes)
        with Client.logged_in(directory, password) as client:
            show(client.delete(path), form=form)

    explained(ask)


@policy_app.command("profiles")
def show_profiles(
    *,
    name: Annotated[
        ProfileName | None,
        typer.Argument(help="Which one's rules; without it, the list."),
    ] = None,
    kind: Annotated[
        PolicyType | None,
        typer.Option(
            "--type", metavar="TYPE", help="Only this rule, as `policy set --rules` takes it."
        ),
    ] = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Show what an agent may begin with. Needs neither daemon nor ledger."""
    from waiaas.profiles import read_profiles

    profiles = read_profiles()
    if name is None:
        if kind is not None:
            fail("--type is for the rules of one profile: name it", code=ExitCode.USAGE)
        rows = [{"name": each.name, "purpose": each.purpose} for each in profiles.values()]
        show_list(rows, form=form)
        say_next(*(f"waiaas policy profiles {each}  # its rules" for each in profiles), form=form)
        return
    rules = profiles[name].documents
    if kind is not None:
        rules = tuple(rule for rule in rules if rule[0] is kind)
        if not rules:
            fail(f"the profile {name} has no {kind}", code=ExitCode.USAGE)
    with output():
        if form is Form.QUIET:
            for each, _ in rules:
                typer.echo(each)
        elif form is Form.JSON or not sys.stdout.isatty():
            listed = [{"type": each, "rules": document} for each, document in rules]
            typer.echo(json.dumps(listed if kind is None else rules[0][1], indent=2))
        else:
            typer.echo(f"{name}: {profiles[name].purpose}")
            for each, document in rules:
                typer.echo(f"\n{each}")
                for member, value in document.items():
                    typer.echo(f"  {member:<20} {with_coins(value)}")
            typer.echo(pasteable(f"\n{_TO_CHANGE_ONE.format(name=name, kind=rules[0][0])}"))


_TO_CHANGE_ONE: Final = """\
To change a rule of an agent that began with it:
  waiaas policy profiles {name} --type {kind} > rule.json
  # edit rule.json
  waiaas policy set --agent AGENT_ID --type {kind} --rules "$(cat rule.json)\""""


def with_coins(value: object) -> str:
    """Return a member of a rule as a person reads it: an amount, a text of digits, also in SOL."""
    if not (isinstance(value, str) and value.isdigit()):
        return str(value)
    unit = NATIVE_UNITS[ChainType.SOLANA]
    return f"{value} ({human_amount(int(value), decimals=unit.decimals)} {unit.symbol})"


@policy_app.command("explain")
def explain(
    context: typer.Context,
    *,
    agent: Annotated[str, typer.Option("--agent", help="The agent's id.")],
    session: Annotated[
        str | None, typer.Option("--session", help="Whose constraints count, too.")
    ] = None,
    to: ToOption = None,
    amount: AmountOption = None,
    token: TokenOption = None,
    request: RequestOption = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="With which key it is sent; without this, with none.")
    ] = None,
    reference: ReferenceOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Ask what a request of an agent would get now, and why. Nothing is written."""
    directory = directory_of(context)
    asked = wanted(to, amount, token, request, reference)
    body = {"agentId": agent, "request": asked}
    if session is not None:
        body["sessionId"] = session
    if idempotency_key is not None:
        body["idempotencyKey"] = idempotency_key

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show_verdict(client.post("/v1/policies/explain", body), form=form)

    explained(ask)


@policy_app.command("test")
def judge_table(
    file: Annotated[
        Path,
        typer.Argument(parser=file_path, help="A table of expected verdicts, JSON or TOML."),
    ],
    *,
    form: FormOption = AS_USUAL,
) -> None:
    """Judge a table of requests, without a daemon. Exit code 7 if a verdict is unexpected."""
    from waiaas import rehearsal

    try:
        rows = rehearsal.judge_table(file)
    except rehearsal.Unusable as error:
        fail(f"{file}: {error}", code=ExitCode.USAGE)
    show_list(rows, form=form, essential="row")
    unexpected = sum(not row["ok"] for row in rows)
    if unexpected:
        fail(f"{unexpected} of {len(rows)} verdicts are unexpected", code=ExitCode.UNEXPECTED)


@policy_app.command("backtest")
def backtest(
    context: typer.Context,
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            parser=file_path,
            help="A JSON list of rules (type, rules, priority, enabled) to try; without it, what "
            "was decided is replayed as it was, and has to come out the same.",
        ),
    ] = None,
    since: Annotated[str, typer.Option(help="From when on: 2026-01-31, or Unix seconds.")],
    agent: Annotated[
        str | None,
        typer.Option("--agent", help="Try them in place of its own rules; else the global ones."),
    ] = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Judge what was decided by other rules. Works beside a daemon or without; writes nothing."""
    from waiaas.directory import DaemonError
    from waiaas.rehearsal import Unusable, backtest_rules

    try:
        with working("judging"):
            found = backtest_rules(directory_of(context), new=file, since=since, agent_id=agent)
    except Unusable as error:
        fail(str(error), code=ExitCode.USAGE)
    except DaemonError as error:
        fail_as(error)
    with output():
        if form is Form.QUIET:
            pass  # The exit code says it.
        elif form is Form.JSON or not sys.stdout.isatty():
            typer.echo(json.dumps(found))
        else:
            for name, value in found.items():
                _print_section(name, value)
    if found["different"]:
        fail("decisions were replayed to other verdicts", code=ExitCode.UNEXPECTED)


def _print_section(name: str, value: object) -> None:
    if not isinstance(value, list):
        typer.echo(f"{name}: {printable(str(value))}")
        return
    typer.echo(f"{name}: {len(value)}")
    for each in value:
        line = each if isinstance(each, str) else json.dumps(each)
        typer.echo(f"  {printable(line)}")
