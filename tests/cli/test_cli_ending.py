"""An agent is ended by who typed its name, having seen what it has."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import typer
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.cli.client import Client
from waiaas.cli.ending import confirm_end

AGENT = {"id": "a", "name": "shopper", "publicKey": "Addr"}


class Daemon(BaseHTTPRequestHandler):
    """Knows one agent, and what it has unless told otherwise."""

    balance: ClassVar[dict[str, str] | None] = {"balance": "5", "symbol": "SOL"}

    def do_GET(self) -> None:
        found = {"items": [AGENT]} if self.path == "/v1/agents" else self.balance
        body = json.dumps(found or {"message": "no node"}).encode()
        self.send_response(200 if found else 502)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Typing(io.StringIO):
    """A terminal on which a person typed something."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def client() -> Iterator[Client]:
    with HTTPServer(("127.0.0.1", 0), Daemon) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with Client(f"http://127.0.0.1:{server.server_port}") as opened:
            yield opened
        server.shutdown()
        thread.join()


def test_who_types_the_name_has_seen_what_is_lost(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Typing("shopper\n"))
    confirm_end(client, "a")
    shown = capsys.readouterr().err
    assert "shopper (Addr)" in shown
    assert "5 base units of SOL" in shown


@pytest.mark.parametrize("typed", ["Shopper\n", "yes\n", "a\n"])
def test_another_name_ends_nothing(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
) -> None:
    monkeypatch.setattr("sys.stdin", Typing(typed))
    with pytest.raises(typer.Exit):
        confirm_end(client, "a")
    assert "nothing was done" in capsys.readouterr().err


def test_what_nobody_knows_is_said_to_be_unknown(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Daemon, "balance", None)
    monkeypatch.setattr("sys.stdin", Typing("shopper\n"))
    confirm_end(client, "a")
    assert "not known: no node" in capsys.readouterr().err


def test_without_a_terminal_it_takes_the_option(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("shopper\n"))
    with pytest.raises(typer.Exit):
        confirm_end(client, "a")
    assert "--yes" in capsys.readouterr().err


def test_an_agent_that_is_not_there_is_left_to_the_daemon(client: Client) -> None:
    confirm_end(client, "b")


@pytest.mark.parametrize("command", ["owner remove --agent a", "policy remove p"])
def test_nobody_is_asked_about_what_no_daemon_is_there_to_do(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Typing("y\n"))
    done = CliRunner().invoke(app, ["--data-dir", str(tmp_path), *command.split()])
    assert done.exit_code == 3
    assert "Do it?" not in done.output
