"""A command that did something says so, and what to do, where its output could not be shown."""

import re
import runpy
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from waiaas.api.app import ROUTES
from waiaas.cli.app import app
from waiaas.cli.context import AS_USUAL, FormOption, show
from waiaas.cli.unseen import DONE, what_was_done

ROOT = Path(__file__).parents[2]

ONLY_LOOK: Final = {
    *("status", "doctor", "health"),
    *("agent list", "agent show", "session list", "notification list", "config explain"),
    *("policy list", "policy profiles", "policy explain", "policy test", "policy backtest"),
    *("tx simulate", "tx show", "tx list", "approval list", "approval message"),
    *("kill-switch status", "clock status", "owner show", "owner message"),
    *("audit verify", "audit export", "audit head", "backup list", "backup verify"),
}
TALK_WHILE_THEY_RUN: Final = {"start", "demo", "localnet"}

ANSWERED_BY: Final = {
    "agent create": "POST /v1/agents",
    "agent fund": "POST /v1/agents/{id}/fund",
    "agent suspend": "POST /v1/agents/{id}/suspend",
    "agent resume": "POST /v1/agents/{id}/resume",
    "agent terminate": "POST /v1/agents/{id}/terminate",
    "session create": "POST /v1/sessions",
    "session revoke": "DELETE /v1/sessions/{id}",
    "policy set": "PUT /v1/policies",
    "policy remove": "DELETE /v1/policies/{id}",
    "tx send": "POST /v1/transactions/send",
    "tx cancel": "POST /v1/transactions/{id}/cancel",
    "approval approve": "POST /v1/approvals/{id}/approve",
    "approval reject": "POST /v1/approvals/{id}/reject",
    "owner set": "PUT /v1/agents/{id}/owner",
    "owner verify": "POST /v1/agents/{id}/owner/verify",
    "owner remove": "POST /v1/agents/{id}/owner/remove",
}
OF_FILES: Final = {
    "init": {"directory"},
    "key import": {"id"},
    "key export": {"file"},
}
"""What these show, without a daemon."""


def test_every_command_is_known_to_do_something_or_only_to_look() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "make_help_snapshots.py"))
    program: Any = typer.main.get_command(app)
    names = {" ".join(words) for words in tool["names_of"](program)}
    commands = {name for name in names if not any(each.startswith(f"{name} ") for each in names)}
    commands -= {""}
    assert commands == {*DONE, *ONLY_LOOK, *TALK_WHILE_THEY_RUN}
    assert not ONLY_LOOK & {*DONE}


def test_what_is_said_names_only_what_is_shown() -> None:
    replies = {f"{route.method} {route.path}": route.reply for route in ROUTES}
    for command, sentence in DONE.items():
        named = set(re.findall(r"\{(\w+)\}", sentence))
        shown = OF_FILES.get(command, set())
        if command in ANSWERED_BY:
            reply = replies[ANSWERED_BY[command]]
            shown = {field.encode_name for field in msgspec.structs.fields(reply)}
        assert named <= shown, command


def test_a_session_whose_token_nobody_saw_can_be_ended() -> None:
    told = what_was_done("session create", {"id": "s-1", "token": "wai_sess_x"})
    assert told is not None
    assert "`waiaas session revoke s-1`" in told
    assert "wai_sess_x" not in told
    assert what_was_done("session list", {}) is None
    assert "`waiaas agent show ID`" in str(what_was_done("agent create", {}))


@pytest.mark.parametrize(("verb", "is_told"), [("create", True), ("list", False)])
def test_it_is_said_on_standard_error_by_whatever_command_it_was(
    verb: str, is_told: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = typer.Typer()

    @agents.command(verb)
    def run(*, form: FormOption = AS_USUAL) -> None:
        with Path("/dev/full").open("w", encoding="utf-8") as full, monkeypatch.context() as here:
            here.setattr("sys.stdout", full)
            show({"id": "a-1"}, form=form)

    @agents.command()
    def other() -> None:
        """With two, there are names of commands."""

    program = typer.Typer()
    program.add_typer(agents, name="agent")
    done = CliRunner().invoke(program, ["agent", verb])
    assert done.exit_code == 1
    assert "standard output takes nothing: No space left on device" in done.stderr
    assert ("Agent a-1 was made all the same: `waiaas agent show a-1`." in done.stderr) is is_told
