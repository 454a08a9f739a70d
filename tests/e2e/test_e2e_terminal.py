"""A person at a terminal: asked twice, shown nothing, and told when the two are not the same."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.canaries import MARKER

from waiaas.custody import Written, import_key
from waiaas.daemon import initialise
from waiaas.domain.enums import ChainType, KeyFormat, NetworkType
from waiaas.keystore.guarded import Guarded
from waiaas.system import SystemClock

pytestmark = pytest.mark.e2e

PASSWORD = f"{MARKER} typed by a person"
WORDS = b"ozone drill grab fiber curtain grace pudding thank cruise elder eight picnic"
OWNER = "0x52908400098527886E0F7030069857D2E4169EE7"


class Terminal:
    """A program on a pseudo-terminal, and everything it has shown."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:  # pragma: no cover -- the child becomes the program
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a parent may ignore it, as `nohup` does
            os.execv(command[0], command)  # noqa: S606 -- it is to have this terminal
        self.shown = ""
        self._read_up_to = 0

    def expect(self, text: str) -> None:
        """Read until *text* is shown, after everything that was expected before."""
        deadline = time.monotonic() + 20
        while (found := self.shown.find(text, self._read_up_to)) < 0:
            readable, _, _ = select.select([self._descriptor], [], [], deadline - time.monotonic())
            assert readable, f"waited for {text!r}, and saw {self.shown!r}"
            assert self._read(), f"it ended without {text!r}: {self.shown!r}"
        self._read_up_to = found + len(text)

    def type(self, line: str) -> None:
        os.write(self._descriptor, line.encode() + b"\n")

    def ended(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self._descriptor)  # Which hangs up on whoever is still there.

    def _read(self) -> bool:
        try:
            piece = os.read(self._descriptor, 4096)
        except OSError:  # How Linux says that the last one has left the terminal.
            return False
        self.shown += piece.decode(errors="replace")
        return bool(piece)


@pytest.fixture
def terminal() -> Callable[..., Any]:
    @contextmanager
    def run(command: list[str]) -> Iterator[Terminal]:
        opened = Terminal(command)
        try:
            yield opened
        finally:
            opened.close()

    return run


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Have a process take long in the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_init_asks_twice_shows_nothing_and_start_asks_once(
    fresh: Any, terminal: Callable[..., Any]
) -> None:
    with terminal(fresh.command("init")) as person:
        person.expect("Master password: ")
        person.type("too short")
        person.expect("Choose one of 12 to 1024 bytes.")
        person.expect("Master password: ")
        person.type(PASSWORD)
        person.expect("Repeat for confirmation: ")
        person.type("typed by another")
        person.expect("do not match")
        person.expect("Master password: ")
        person.type(PASSWORD)
        person.expect("Repeat for confirmation: ")
        person.type(PASSWORD)
        person.expect("is ready")
        assert person.ended() == 0
        assert "typed by" not in person.shown
    with terminal(fresh.command("init")) as person:
        person.expect("nothing was changed")
        person.expect(fresh.told("start --localnet"))
        assert person.ended() == 0
    with terminal(fresh.command("start", "--localnet", "--port", "0")) as person:
        person.expect("Master password: ")
        person.type(PASSWORD)
        person.expect("waiaas is ready at http://127.0.0.1:")
        assert "typed by" not in person.shown
        with terminal(fresh.command("status")) as other:
            assert other.ended() == 0
            assert "agentCount" in other.shown
            assert "{" not in other.shown, "a table for people, not JSON"
            socket = fresh.data / "daemon.sock"
            ids = re.findall(r" [0-9a-f-]{36}\r\n", other.shown)
            assert (len(ids), f" {socket}\r\n" in other.shown) == (1, True), "they are whole"
        os.kill(person.pid, 2)
        person.expect("Its local network goes on")
        person.expect(fresh.told("stop"))
        assert person.ended() == 0
    assert fresh.json("stop") == {"stopped": False, "localnetStopped": True}


@pytest.mark.parametrize(
    ("pressed", "code", "said"),
    [
        (b"\x03", 130, "waiaas: interrupted. Nothing was done."),
        (b"\x04", 2, "waiaas: the input ended before an answer: nothing was done"),
        (b"\x1c", -signal.SIGQUIT, ""),
    ],
)
def test_whatever_ends_it_at_the_question_makes_nothing_and_leaves_the_terminal_as_it_was(
    fresh: Any, terminal: Callable[..., Any], pressed: bytes, code: int, said: str
) -> None:
    with terminal(fresh.command("init")) as person:
        person.expect("Master password: ")
        assert not termios.tcgetattr(person._descriptor)[3] & termios.ECHO
        os.write(person._descriptor, pressed)
        person.expect(said)
        assert person.ended() == code
        assert termios.tcgetattr(person._descriptor)[3] & termios.ECHO
        assert "Traceback" not in person.shown
    assert not fresh.data.exists()


def test_a_person_is_led_from_an_agent_to_its_first_payment_and_asked_before_what_is_for_good(
    running: tuple[Any, Any], terminal: Callable[..., Any]
) -> None:
    waiaas, daemon = running
    password = waiaas.password_file.read_text(encoding="utf-8").strip()
    with terminal(
        waiaas.command("agent", "create", "--name", "ann", "--network", "localnet", "--quiet")
    ) as person:
        person.expect("Master password: ")
        person.type(password)
        assert person.ended() == 0
        agent = person.shown.split()[-1]
    with terminal(waiaas.command("owner", "set", "--agent", agent, "--address", OWNER)) as person:
        person.expect("Master password: ")
        person.type(password)
        person.expect(waiaas.told(f"owner verify --agent {agent}"))
        assert person.ended() == 0
    for answer, asked_on, code in (("n", "nothing was done", 1), ("y", "Master password: ", 130)):
        with terminal(waiaas.command("owner", "remove", "--agent", agent)) as person:
            person.expect("Do it? [y/N]: ")
            person.type(answer)
            person.expect(asked_on)
            if answer == "y":
                os.write(person._descriptor, b"\x03")
            assert person.ended() == code
            assert password not in person.shown
    with terminal(waiaas.command("agent", "terminate", agent)) as person:
        person.expect("Type its name to end it: ")
        person.type("nan")
        assert person.ended() == 1
        assert "password" not in person.shown.lower()
    create = ["agent", "create", "--name", "bob", "--network", "localnet"]
    with terminal(waiaas.command(*create)) as person:
        person.expect("Master password: ")
        with standing_still(daemon.process.pid):
            person.type(password)
            person.expect("logging in …")
        person.expect(waiaas.told("agent fund --agent "))
        person.expect(waiaas.told("policy set --agent "))
        person.expect(waiaas.told("session create --agent "))
        person.expect(waiaas.told("tx send --token-file agent.token"))
        assert person.ended() == 0
        steps = person.shown.split("Next:")[1].replace("\r", "").strip()
        assert re.findall(r"waiaas (?!--data-dir )", steps) == []
        subprocess.run(["/bin/sh", "-n", "-c", steps], check=True)


def test_a_key_is_exported_to_who_types_the_agents_name_and_to_nobody_else(
    fresh: Any, terminal: Callable[..., Any], tmp_path: Path
) -> None:
    before = os.umask(0o077)
    initialise(fresh.data, PASSWORD.encode())
    agent = import_key(
        fresh.data,
        Written(
            KeyFormat.MNEMONIC,
            ChainType.SOLANA,
            secret=lambda: Guarded.copy_of(WORDS),
            password=lambda: Guarded(0),
            passphrase=lambda: Guarded(0),
            account=0,
        ),
        name="Ann",
        network=NetworkType.DEVNET,
        profile=None,
        address=None,
        password=PASSWORD.encode,
        clock=SystemClock(),
    )
    os.umask(before)
    file = tmp_path / "key.json"
    command = fresh.command("key", "export", agent.id, "--file", str(file))
    with terminal(command) as person:
        person.expect(f"The key of agent Ann ({agent.public_key}) goes to ")
        person.expect("Type its name to export it: ")
        person.type("Anne")
        person.expect("that is not its name: nothing was written")
        assert person.ended() == 1
        assert "password" not in person.shown.lower()
        assert not file.exists()
    with terminal(command) as person:
        person.expect("Type its name to export it: ")
        person.type("Ann")
        person.expect("Master password: ")
        person.type(PASSWORD)
        person.expect("solana-keygen")
        assert person.ended() == 0
        secret = file.read_text(encoding="ascii")
        assert PASSWORD not in person.shown
        assert secret not in person.shown
        assert (file.stat().st_mode & 0o777, secret.count(",")) == (0o600, 63)
