"""A process with secrets: others of its user cannot look into it, and it leaves no core."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import waiaas

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="no /proc: that a process hides its memory is not seen here"
)

LOOK = """
import ctypes, os, resource
from waiaas.hardening import harden_process
if os.getuid() == 0:  # Whom nothing keeps out.
    os.setgid(65534)
    os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # As any program starts.
ready, done = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    {first}
    os.write(ready[1], b"ready")
    os.read(done[0], 1)
    os._exit(0)
os.read(ready[0], 5)
try:
    os.close(os.open(f"/proc/{{child}}/mem", os.O_RDONLY))
    print("open")
except PermissionError:
    print("closed")
os.write(done[1], b".")
os.waitpid(child, 0)
"""


@pytest.mark.parametrize(("first", "found"), [("harden_process()", "closed"), ("pass", "open")])
def test_a_neighbour_cannot_look_into_a_hardened_process_and_control_into_another_it_can(
    first: str, found: str
) -> None:
    looked = subprocess.run(
        [sys.executable, "-c", LOOK.format(first=first)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (looked.stdout, looked.stderr) == (f"{found}\n", "")


def test_every_command_of_the_program_is_hardened_before_it_does_anything() -> None:
    program = (
        "import atexit, resource; from waiaas.cli.app import main;"
        "import ctypes;"
        "atexit.register(lambda: print(resource.getrlimit(resource.RLIMIT_CORE),"
        " ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)));"  # PR_GET_DUMPABLE
        "import sys; sys.argv[1:] = ['--version']; main()"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines()[-1] == "(0, 0) 0"


def test_what_the_daemon_writes_is_its_users_alone(tmp_path: Path) -> None:
    """The umask: a file that somebody forgot to protect is protected."""
    program = (
        "import os; os.umask(0); from pathlib import Path; from waiaas.daemon import initialise;"
        f"initialise(Path({str(tmp_path / 'home')!r}), b'a master password');"
        f"os.close(os.open({str(tmp_path / 'home' / 'forgotten')!r}, os.O_CREAT, 0o777))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    places = [tmp_path / "home", *(tmp_path / "home").rglob("*")]
    assert {place.stat().st_mode & 0o077 for place in places} == {0}


def test_nothing_that_the_daemon_runs_forks() -> None:
    """A fork would have every key; `posix_spawn` copies no memory."""
    forks = re.compile(r"os\.fork|multiprocessing|import subprocess|preexec_fn")
    sources = Path(waiaas.__file__).parent.rglob("*.py")
    found = [path.name for path in sources if forks.search(path.read_text(encoding="utf-8"))]
    assert found == ["demo.py"]  # Which starts a daemon, and holds no keystore.
