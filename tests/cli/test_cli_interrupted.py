"""Ctrl-C while the program is still being imported ends it, and not in a traceback."""

import subprocess
import sys

from waiaas.__main__ import INTERRUPTED
from waiaas.cli.context import ExitCode

PRESSED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "waiaas.cli.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["waiaas", "--version"]
"""
"""Somebody presses it as soon as the command line is looked for."""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRESSED + program], capture_output=True, text=True, check=False
    )


def test_ctrl_c_during_the_imports_ends_with_its_code_and_says_nothing() -> None:
    assert int(ExitCode.INTERRUPTED) == INTERRUPTED
    done = run("from waiaas.__main__ import main; main()")
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


def test_control_imported_before_anybody_catches_it_it_is_a_traceback() -> None:
    done = run("from waiaas.cli.app import main; main()")
    assert "Traceback" in done.stderr
