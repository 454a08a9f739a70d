"""A client of the daemon starts without what only the daemon needs."""

import subprocess
import sys

HEAVY = ("apsw", "sqlalchemy", "solders", "starlette", "uvicorn", "waiaas.daemon")


def loaded_by(code: str) -> set[str]:
    program = f"{code}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True
    )
    return set(HEAVY) & set(done.stdout.split())


def test_the_command_line_loads_nothing_that_only_the_daemon_needs() -> None:
    assert loaded_by("import waiaas.cli.app") == set()


def test_control_what_the_daemon_needs_is_noticed() -> None:
    assert loaded_by("import waiaas.daemon") == set(HEAVY)
