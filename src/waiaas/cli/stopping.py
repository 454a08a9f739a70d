"""`waiaas kill-switch`, and the verbs that stop agents and sessions and start agents again."""

from functools import partial
from typing import Annotated

import typer

from waiaas.cli.agents import agent_app, session_app
from waiaas.cli.client import Client, confirming, explained, segment
from waiaas.cli.context import (
    AS_USUAL,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    say_next,
    show,
)
from waiaas.cli.ending import YesOption, confirm_end
from waiaas.cli.secret import read_password
from waiaas.domain.enums import KillSwitchState

kill_switch_app = typer.Typer(help="Stop everything, now.", no_args_is_help=True)

AgentArgument = Annotated[str, typer.Argument(help="The agent's id.")]
ReasonOption = Annotated[str | None, typer.Option(help="Why; for people, and the audit log.")]


@kill_switch_app.command("on")
def turn_on(
    context: typer.Context, *, reason: ReasonOption = None, form: FormOption = AS_USUAL
) -> None:
    """Sign nothing more. Ends all sessions, calls off what is not signed, suspends all agents."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            body = {} if reason is None else {"reason": reason}
            show(client.post("/v1/admin/kill-switch", body), form=form)

    explained(ask)


@kill_switch_app.command("off")
def turn_off(
    context: typer.Context,
    *,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Begin to turn it off. Once `recoverableAt` has come, do it again to end it.

    Agents stay suspended until `waiaas agent resume`, and sessions stay dead.
    """
    directory = directory_of(context)
    read = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with confirming(directory, read) as (client, password):
            body = {"password": password}
            now = client.post("/v1/admin/recover", body)
            show(now, form=form)
            if now["state"] == KillSwitchState.RECOVERING:
                say_next(
                    "waiaas kill-switch off  # once more, when recoverableAt has come", form=form
                )

    explained(ask)


@kill_switch_app.command("status")
def show_kill_switch(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Show where it stands."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show(client.get("/v1/admin/kill-switch"), form=form)

    explained(ask)


@agent_app.command("suspend")
def suspend(
    context: typer.Context,
    *,
    agent: AgentArgument,
    reason: ReasonOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Let an agent sign nothing until it is resumed. What it has not signed is called off."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            body = {} if reason is None else {"reason": reason}
            show(client.post(f"/v1/agents/{segment(agent)}/suspend", body), form=form)

    explained(ask)


@agent_app.command("resume")
def resume(
    context: typer.Context,
    *,
    agent: AgentArgument,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Let a suspended agent sign again. What was called off stays called off."""
    directory = directory_of(context)
    password = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with Client.logged_in(directory, password) as client:
            show(client.post(f"/v1/agents/{segment(agent)}/resume"), form=form)

    explained(ask)


@agent_app.command("terminate")
def terminate(
    context: typer.Context,
    *,
    agent: AgentArgument,
    yes: YesOption = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """End an agent for good. Move its money away first: it will never pay again."""
    directory = directory_of(context)
    password = partial(read_password, file=password_file, descriptor=password_fd)

    def ask() -> None:
        with Client.with_cookie(directory) as local_user:
            if not yes:
                confirm_end(local_user, agent)
        with Client.logged_in(directory, password) as client:
            ended = client.post(f"/v1/agents/{segment(agent)}/terminate", {"force": True})
            show(ended, form=form)

    explained(ask)


@session_app.command("revoke")
def revoke(
    context: typer.Context,
    *,
    session: Annotated[str, typer.Argument(help="The session's id.")],
    form: FormOption = AS_USUAL,
) -> None:
    """End a session for good. What of it was not signed is called off."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            show(client.delete(f"/v1/sessions/{segment(session)}"), form=form)

    explained(ask)
