"""Prove that the built wheel works without anything that only developers have installed.

Builds the wheel, installs it with the locked runtime requirements into a clean environment, then
starts, questions and stops a daemon there. Prints a line per check and a closing line; the first
failure ends the run with the output of the program that failed.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

DEVELOPMENT_ONLY: Final = ("build", "coverage", "hypothesis", "mypy", "pytest", "ruff", "solana")
"""Packages that a user does not have; importing one at run time works only on our machines."""

COMMAND_S_MAX: Final = 120
"""The longest any one program may take; installing is the slowest."""

READY_S_MAX: Final = 60
STOPPED_S_MAX: Final = 30
POLL_S: Final = 0.2


class Failed(Exception):  # noqa: N818 -- the outcome of a check, not a malfunction of this tool
    """A check did not hold; the message says why and ends with what the program printed."""


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Run a program to its end and return what it printed."""
    try:
        done = subprocess.run(  # noqa: S603 -- our own commands
            command,
            env=env,
            cwd=cwd,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=COMMAND_S_MAX,
        )
    except subprocess.TimeoutExpired as slow:
        printed = (slow.stdout or b"").decode(errors="replace")
        raise Failed(f"{command} took more than {COMMAND_S_MAX} s\n{printed}") from slow
    if done.returncode != 0:
        raise Failed(f"{command} exited with {done.returncode}\n{done.stdout}")
    return done.stdout


class Installation:
    """The wheel in a clean environment, and a data directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "environment" / "bin"
        self.data = folder / "data"
        self.password = folder / "password"
        self.log = folder / "daemon.log"
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}

    def waiaas(self, *arguments: str) -> str:
        """Run a command of the installed program."""
        return run(*self.command(*arguments), env=self.env, cwd=self.folder)

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the words that run the installed program on the data directory."""
        return (str(self.bin / "waiaas"), "--data-dir", str(self.data), *arguments)

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start the daemon with its local network; yield it once `status` answers."""
        arguments = ("start", "--localnet", "--port", "0", "--password-file", str(self.password))
        with (
            self.log.open("wb") as log,
            subprocess.Popen(  # noqa: S603 -- the program under test
                self.command(*arguments),
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                self._wait_until_ready(process)
                yield process
            except (Failed, subprocess.TimeoutExpired) as failure:
                raise Failed(f"{failure}\n-- daemon --\n{self.log.read_text('utf-8')}") from failure
            finally:
                process.kill()

    def still_running(self) -> dict[int, str]:
        """Return the processes whose command line names our folder (none where /proc is not)."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # the process may have ended since
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.folder) in line:
                    found[int(path.parent.name)] = line
        return found

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while True:
            try:
                self.waiaas("status", "--json")
            except Failed as failure:
                if time.monotonic() > deadline:
                    raise Failed(f"not ready after {READY_S_MAX} s\n{failure}") from failure
            else:
                return
            try:
                code = process.wait(timeout=POLL_S)
            except subprocess.TimeoutExpired:
                continue
            raise Failed(f"the daemon exited with {code} before it was ready")


def installs_by_hash(program: Installation) -> None:
    """The wheel builds, and installs over the locked requirements in a clean environment."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", program.folder)
    [wheel] = program.folder.glob("*.whl")
    venv.create(program.bin.parent, with_pip=True)
    pip = (program.bin / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "--require-hashes", "-r", ROOT / "requirements" / "runtime.txt")
    run(*pip, "install", "--no-deps", "--no-index", wheel)
    run(*pip, "check")


def has_no_development_packages(program: Installation) -> None:
    """Nothing that only developers have can be imported there."""
    question = f"import importlib.util as i; print(*filter(i.find_spec, {DEVELOPMENT_ONLY}))"
    found = run(program.bin / "python", "-c", question, env=program.env, cwd=program.folder)
    if found.strip():
        raise Failed(f"development packages are installed: {found}")


def says_what_it_is(program: Installation) -> None:
    """`--help` lists the commands, `--version` gives the version of the project."""
    shown = program.waiaas("--help")
    if missing := [name for name in ("init", "start", "status", "stop") if name not in shown]:
        raise Failed(f"--help does not mention {missing}\n{shown}")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    if project["version"] not in (shown := program.waiaas("--version")):
        raise Failed(f"--version does not say {project['version']}\n{shown}")


def starts_answers_and_stops(program: Installation) -> None:
    """A daemon with its local network starts from nothing, gives its status and stops cleanly."""
    program.password.touch(mode=0o600)
    program.password.write_text("correct horse battery staple\n", "utf-8")
    program.waiaas("init", "--password-file", str(program.password))
    with program.daemon() as process:
        status = program.waiaas("status", "--json")
        if not isinstance(json.loads(status), dict):
            raise Failed(f"status --json is not an object\n{status}")
        program.waiaas("stop")
        if (code := process.wait(timeout=STOPPED_S_MAX)) != 0:
            raise Failed(f"the daemon exited with {code} after `stop`")


def leaves_no_process_behind(program: Installation) -> None:
    """Nothing that was started from the clean environment is still running."""
    deadline = time.monotonic() + STOPPED_S_MAX
    while left := program.still_running():
        if time.monotonic() > deadline:
            raise Failed(f"still running: {left}")
        time.sleep(POLL_S)  # noqa: TID251 -- not our children: there is nothing to wait on


CHECKS: Final[tuple[Callable[[Installation], None], ...]] = (
    installs_by_hash,
    has_no_development_packages,
    says_what_it_is,
    starts_answers_and_stops,
    leaves_no_process_behind,
)


def main() -> int:
    """Run the checks in order, each on what the one before it left."""
    with tempfile.TemporaryDirectory(prefix="waiaas-smoke-") as folder:
        program = Installation(Path(folder))
        try:
            for passed, check in enumerate(CHECKS):
                print(f"smoke: {check.__name__.replace('_', ' ')} ...", flush=True)
                try:
                    check(program)
                except Failed as failure:
                    print(failure)
                    print(f"smoke: {passed} passed, 1 failed")
                    return 1
        finally:
            for process in program.still_running():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
    print(f"smoke: {len(CHECKS)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
