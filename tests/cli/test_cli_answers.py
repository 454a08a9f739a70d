"""What every command prints of an answer: quietly, what another command takes; to a person, all.

A stand-in for the daemon answers each route with an example of its reply.
"""

import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from msgspec import inspect as types
from typer.testing import CliRunner

from waiaas.api.app import ROUTES
from waiaas.cli import app as program
from waiaas.cli import context
from waiaas.cli.app import app
from waiaas.cli.context import Form
from waiaas.cli.transactions import _COLUMNS
from waiaas.directory import write_locked

TOKEN: Final = "wai_op_example"
NOW_S: Final = 1795829175
ID: Final = "01a21fd1-117f-75db-b63d-e713c67ad1e8"


def example(kind: types.Type, name: str) -> Any:  # noqa: PLR0911 -- one for each kind
    """Return a value of a type, of a member with this name: texts say whose they are."""
    match kind:
        case types.StructType():
            tagged = {} if kind.tag is None else {kind.tag_field: kind.tag}
            return tagged | {
                field.encode_name: example(field.type, field.encode_name) for field in kind.fields
            }
        case types.UnionType():
            return example(next(e for e in kind.types if not isinstance(e, types.NoneType)), name)
        case types.ListType():
            return [example(kind.item_type, name)] * 2
        case types.DictType():
            return {"asset": f"asset-{ID}"}
        case types.IntType():
            return NOW_S if name != "blocksLeft" else 0  # Nobody waits for blocks here.
        case types.BoolType():
            return True
        case types.EnumType():
            return next(iter(kind.cls)).value
        case types.LiteralType():
            return kind.values[0]
        case types.StrType():
            return f"{name}-{ID}"
        case _:
            return None


class Answering(BaseHTTPRequestHandler):
    """Answers as the daemon would, with examples."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps(reply_to(self.command, self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 -- the names http.server looks for

    def log_message(self, *_: object) -> None:
        pass


def reply_to(method: str, path: str) -> Any:
    found = [
        route.reply
        for route in ROUTES
        if route.method == method
        and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path.partition("?")[0])
    ]
    return example(types.type_info(found[-1]), "")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory whose living daemon is the stand-in, and the files that commands take."""
    folder = tmp_path_factory.mktemp("answers") / "data"
    folder.mkdir(mode=0o700)
    for name in ("operator.cookie", "secret"):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(TOKEN, encoding="ascii")
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = json.dumps({"url": f"http://127.0.0.1:{server.server_port}", "pid": 1})
        descriptor = write_locked(folder / "daemon.json", address.encode())
        yield folder
        os.close(descriptor)
        server.shutdown()
        thread.join()


PASSWORD: Final = "--password-file {secret}"
TOKEN_FILE: Final = "--token-file {secret}"
SIGNED: Final = "--owner-signature {secret}"
PAY: Final = "--to x --amount 1"

QUIETLY: Final = {
    "status": "clock_in_doubt",
    f"agent create --name n --network devnet {PASSWORD}": f"id-{ID}",
    "agent list": f"id-{ID}",
    "agent show x": f"id-{ID}",
    f"agent fund --agent x --amount 1 {PASSWORD}": f"txHash-{ID}",
    "agent suspend x": f"id-{ID}",
    f"agent resume x {PASSWORD}": f"id-{ID}",
    f"agent terminate x --yes {PASSWORD}": f"id-{ID}",
    f"session create --agent x {PASSWORD}": f"token-{ID}",
    "session list": f"id-{ID}",
    "session revoke x": f"id-{ID}",
    f"policy set --rules {{{{}}}} {PASSWORD}": f"id-{ID}",
    "policy list": f"id-{ID}",
    f"policy remove x --yes {PASSWORD}": f"id-{ID}",
    f"policy explain --agent x {PAY}": f"code-{ID}",
    f"tx send {TOKEN_FILE} {PAY}": f"id-{ID}",
    f"tx simulate {TOKEN_FILE} {PAY}": f"code-{ID}",
    "tx show x": f"id-{ID}",
    "tx list": f"id-{ID}",
    "tx cancel x": f"id-{ID}",
    "approval list": f"transactionId-{ID}",
    f"approval approve x {PASSWORD}": f"id-{ID}",
    "approval reject x": f"id-{ID}",
    "notification list": str(NOW_S),
    "kill-switch on": "NORMAL",
    f"kill-switch off {PASSWORD}": "NORMAL",
    "kill-switch status": "NORMAL",
    "clock status": str(NOW_S),
    f"clock accept --difference 1 {PASSWORD}": str(NOW_S),
    f"owner set --agent x --address y {PASSWORD}": f"ownerAddress-{ID}",
    "owner show --agent x": f"ownerAddress-{ID}",
    f"owner verify --agent x {SIGNED}": f"ownerAddress-{ID}",
    f"owner remove --agent x --yes {PASSWORD}": "NONE",
    f"backup create --keystore-key {PASSWORD}": f"name-{ID}",
    f"backup reconcile {PASSWORD}": str(NOW_S),
}
"""What each command prints quietly: what others take, and never the agent of something else."""

SAY_NOTHING: Final = {"init", "stop", "lock", "unlock", "health", "password change"}
"""That it is done, is what there is to say: quietly the exit code says it."""

WITHOUT_DAEMON: Final = {
    *("doctor", "policy profiles", "policy test", "policy backtest", "audit verify", "audit head"),
    *("backup list", "backup verify", "backup restore", "config explain"),
    *("key import", "key export"),
}

MESSAGES: Final = {"approval message", "owner message"}
"""They print a text to be signed, to the byte."""


def run(directory: Path, command: str, *flags: str) -> str:
    words = command.format(secret=directory / "secret").split()
    done = CliRunner().invoke(app, ["--data-dir", str(directory), *words, *flags])
    assert done.exit_code in {0, 1}, (command, done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize(("command", "told"), QUIETLY.items())
def test_quietly_each_thing_is_what_other_commands_take(
    directory: Path, command: str, told: str
) -> None:
    lines = run(directory, command, "--quiet").splitlines()
    assert lines == [told] * (2 if " list" in command else 1)


@pytest.mark.parametrize(("agent", "count"), [(f"agentId-{ID}", 2), ("x", 0)])
def test_sessions_are_those_of_one_agent_if_asked_so(
    directory: Path, agent: str, count: int
) -> None:
    told = run(directory, f"session list --agent {agent}", "--quiet")
    assert told.splitlines() == [f"id-{ID}"] * count


def test_every_command_that_asks_the_daemon_is_here() -> None:
    asked = {" ".join(re.split(" [-x{]", command)[0].split()) for command in QUIETLY}
    found = set(commands_with("--quiet", typer.main.get_command(app)))
    assert found == asked | SAY_NOTHING | WITHOUT_DAEMON | MESSAGES


def commands_with(option: str, group: Any, *before: str) -> Iterator[str]:
    """Yield the commands that have an option."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "commands"):
            yield from commands_with(option, command, *before, name)
        elif any(option in each.secondary_opts for each in command.params):
            yield " ".join((*before, name))


@pytest.mark.parametrize("command", QUIETLY)
def test_at_80_columns_a_person_is_shown_every_value_whole(
    directory: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = run(directory, command, "--json")
    monkeypatch.setenv("COLUMNS", "80")
    for module in (context, program):
        monkeypatch.setattr(module, "is_for_people", lambda form: form is Form.PEOPLE)
    lines = run(directory, command).splitlines()
    values = set(re.findall(rf"[\w-]*{ID}", machine))
    shown = {value for value in values if any(value in line for line in lines)}
    if command == "tx list":  # It leaves the rest to `tx show`.
        values &= {f"{name}-{ID}" for name in _COLUMNS}
    assert values == shown & values
    assert str(NOW_S) not in " ".join(line for line in lines if "At " in line)
