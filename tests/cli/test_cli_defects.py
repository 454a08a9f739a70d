"""What nobody expected is shown where it happened, and never with what was in the variables."""

import subprocess
import sys

PROGRAM = """
import sys
from waiaas.cli.app import app

app.pretty_exceptions_show_locals = True  # As Typer's releases had it by default, and may again.
if "{pretty}":
    app.pretty_exceptions_enable = True

@app.command("stumble")
def stumble():
    password = sys.stdin.read()
    raise RuntimeError(f"stumbled over {{len(password)}} characters")

app(["--data-dir", "/nowhere", "stumble"])
"""
CANARY = "canary-pa55word"


def stumble(*, pretty: str = "") -> str:
    """Run a command that fails with the password at hand; return what is shown."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(pretty=pretty)],
        input=CANARY,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    return done.stdout + done.stderr


def test_an_unexpected_error_shows_no_variable() -> None:
    shown = stumble()
    assert "RuntimeError: stumbled over 15 characters" in shown
    assert CANARY not in shown


def test_a_pretty_traceback_would_show_the_password() -> None:
    """The control."""
    assert CANARY in stumble(pretty="pretty")
