"""What a command loads: a client of the daemon waits for nothing that only others need."""

import subprocess
import sys
from pathlib import Path

import pytest

from waiaas.cli.lazy import RESOURCES, load

DAEMON = {"apsw", "asyncio", "solders", "sqlalchemy", "starlette", "uvicorn", "waiaas.daemon"}
OTHERS = {"argon2", "httpx2", "nacl", "structlog", "waiaas.config", "waiaas.pipeline"}


VALIDATION = {"pydantic"}
"""What Typer reads options with that are not plain."""


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Return what a new interpreter has loaded at the end of *code*, and the words it printed."""
    program = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {code}"
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert "Traceback" not in done.stderr
    return set(done.stdout.split())


def loaded_by_command(*arguments: str) -> set[str]:
    return loaded_by(f"sys.argv[1:] = {arguments}; from waiaas.__main__ import main; main()")


@pytest.mark.parametrize(
    "command",
    [
        ("--version",),
        ("--help",),
        ("start",),
        ("init", "--password-file", "no-such-file"),
        ("status",),
        ("tx", "show", "--token-file", "token", "an-id"),
        ("tx", "send", "--token-file", "token", "--to", "a", "--amount", "1"),
        ("agent", "list"),
        ("policy", "list"),
        ("approval", "list"),
        ("backup", "create", "--help"),
    ],
    ids=" ".join,
)
def test_a_command_loads_nothing_that_only_the_daemon_needs(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text("wai_sess_x", encoding="ascii")
    given = [str(tmp_path / "token") if part == "token" else part for part in command]
    loaded = loaded_by_command("--data-dir", str(tmp_path / "nobodys"), *given)
    assert "waiaas.cli.app" in loaded
    assert loaded.isdisjoint(DAEMON | OTHERS | VALIDATION)


def test_control_an_option_that_is_not_plain_is_read_by_typer_and_noticed() -> None:
    assert loaded_by_command("localnet", "--port", "many") >= VALIDATION


def test_whoever_stops_a_daemon_loads_none(tmp_path: Path) -> None:
    """The daemon is a server that says yes and lets go of its file."""
    (tmp_path / "operator.cookie").write_text("wai_op_cookie", encoding="ascii")
    stand_in = """
import os, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from waiaas.directory import write_locked

class Yes(BaseHTTPRequestHandler):
    def do_POST(self):
        os.close(held)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

server = HTTPServer(("127.0.0.1", 0), Yes)
threading.Thread(target=server.handle_request).start()
address = '{"url": "http://127.0.0.1:%d", "pid": 1}' % server.server_port
held = write_locked(Path(sys.argv[1]) / "daemon.json", address.encode())
sys.argv[1:] = ["--data-dir", sys.argv[1], "stop"]
from waiaas.__main__ import main
main()
"""
    tmp_path.chmod(0o700)
    loaded = loaded_by(stand_in, str(tmp_path))
    assert any("stopped" in each for each in loaded)
    assert loaded.isdisjoint(DAEMON | OTHERS)


def test_only_tables_load_what_draws_them(tmp_path: Path) -> None:
    assert "rich" not in loaded_by_command("--data-dir", str(tmp_path), "status")


def test_the_help_of_the_program_loads_no_resource_and_nothing_to_draw_or_validate_with() -> None:
    resources = {f"waiaas.cli.{each.module}" for each in RESOURCES.values()}
    heavy = {"rich", "http.client"} | VALIDATION
    of_all = loaded_by_command("--help")
    assert of_all.isdisjoint(DAEMON | OTHERS | resources | heavy | {"waiaas.cli.secret"})
    of_one = loaded_by_command("tx", "--help")
    assert of_one & resources == {"waiaas.cli.transactions"}
    assert of_one.isdisjoint(heavy)


def test_control_a_resource_that_is_loaded_is_noticed() -> None:
    assert "waiaas.cli.backups" in loaded_by_command("backup", "--help")


@pytest.mark.parametrize("name", RESOURCES)
def test_a_resource_says_of_itself_what_the_help_of_the_program_says(name: str) -> None:
    assert load(name).info.help == RESOURCES[name].help


def test_control_what_the_daemon_needs_is_noticed() -> None:
    assert loaded_by("import waiaas.daemon") >= DAEMON | OTHERS
