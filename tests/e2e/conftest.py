"""The installed program as a person runs it: processes, files, exit codes, and a chain to look at.

Everything is waited for by looking at what a person could see, with a deadline. Whatever a test
started is gone when it is over.
"""

import asyncio
import http.client
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Commitment
from solders.pubkey import Pubkey
from solders.signature import Signature
from tests.canaries import MARKER
from tests.e2e.nursery import Forked, Nursery

PASSWORD: Final = f"{MARKER} correct horse battery staple"
WAIT_S_MAX: Final = 50.0
"""The longest anything may take, on a machine with much else to do; it takes two seconds."""

POLL_S: Final = 0.02
SOL: Final = 10**9
RULES: Final = {"asset": "native", "instant_max": str(10 * SOL), "daily_max": str(20 * SOL)}

Value = TypeVar("Value")
Process: TypeAlias = "subprocess.Popen[str] | Forked"


def wait_for(what: str, look: Callable[[], Value | None], *, seconds: float = WAIT_S_MAX) -> Value:
    """Look until there is something to see; the one place where these tests wait."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        threading.Event().wait(POLL_S)
    return seen


class Problem(ValueError):  # noqa: N818 -- an answer
    """The daemon refused."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status} {body}")


class Http:
    """Speaks to a daemon with one token, as an agent's own program would."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.token = token

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the answer.

        Raises:
            OSError, http.client.HTTPException: there was none.
            Problem: it is a refusal.
        """
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=WAIT_S_MAX)
        try:
            sent = {"Content-Type": "application/json", **(headers or {})}
            if self.token is not None:
                sent["Authorization"] = f"Bearer {self.token}"
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, sent)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise Problem(response.status, answer)
        return answer

    def rule(self, request: object) -> str:
        """Ask for something; return its tier, or the rule that stands against it."""
        try:
            answer = self.ask("POST", "/v1/transactions/send", request)
        except Problem as problem:
            return str(problem.body["rule"])
        return str(answer["tier"])

    def get(self, path: str) -> dict[str, Any]:
        return self.ask("GET", path)

    def pay(self, to: str, amount: int, *, key: str) -> dict[str, Any]:
        body = {"to": to, "amount": str(amount)}
        return self.ask("POST", "/v1/transactions/send", body, {"Idempotency-Key": key})

    def ended(self, tx_id: str) -> dict[str, Any]:
        """Wait until the payment has come to its end."""

        def look() -> dict[str, Any] | None:
            seen = self.get(f"/v1/transactions/{tx_id}")
            return (
                seen if seen["status"] in ("CONFIRMED", "FAILED", "CANCELLED", "EXPIRED") else None
            )

        return wait_for(f"the end of {tx_id}", look)

    def ends(self, tx_id: str) -> str:
        """Return how the payment ends: its status, and its error if it has one."""
        ended = self.ended(tx_id)
        return ": ".join(filter(None, (ended["status"], ended["error"])))


class Daemon:
    """A daemon in the foreground of nobody's terminal."""

    def __init__(self, process: "Process", log: Path, url: str) -> None:
        self.process = process
        self.log = log
        self.url = url
        self._operators: dict[str, Http] = {}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ended(self) -> int:
        """Wait for its end and return how it ended."""
        return self.process.wait(timeout=WAIT_S_MAX)

    def operator(self, *, password: str = PASSWORD) -> Http:
        """Log in, but once: a login takes a fifth of a second of work."""
        if password not in self._operators:
            token = Http(self.url).ask("POST", "/v1/admin/login", {"password": password})["token"]
            self._operators[password] = Http(self.url, token)
        return self._operators[password]

    def funded_agent(self, *, lamports: int = 5 * SOL) -> Http:
        """Make an agent with money, a policy and a session; return its program."""
        operator = self.operator()
        agent = operator.ask("POST", "/v1/agents", {"name": "a", "network": "localnet"})["id"]
        operator.ask("POST", f"/v1/agents/{agent}/fund", {"amount": str(lamports)})
        policy = {"agentId": agent, "type": "SPENDING_LIMIT", "rules": RULES}
        operator.ask("PUT", "/v1/policies", policy)
        session = operator.ask("POST", "/v1/sessions", {"agentId": agent})
        return Http(self.url, session["token"])


class Waiaas:
    """The installed program with a data directory and a password file of its own."""

    def __init__(
        self, folder: Path, *, initialised: Path | None = None, nursery: Nursery | None = None
    ) -> None:
        self.folder = folder
        self._nursery = nursery
        self.data = folder / "data"
        self.password_file = folder / "password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(PASSWORD + "\n", encoding="utf-8")
        self._started: list[Process] = []
        if initialised is not None:
            shutil.copytree(initialised, self.data)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "waiaas", "--data-dir", str(self.data), *arguments]

    def told(self, command: str) -> str:
        """Return what a person is told to type, who gave the data directory as an option."""
        return f"waiaas --data-dir {shlex.quote(str(self.data))} {command}"

    def run(
        self,
        *arguments: str,
        code: int = 0,
        env: Mapping[str, str] | None = None,
        password: bool = False,
        **options: Any,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, which must be *code*."""
        given = ["--password-file", str(self.password_file)] if password else []
        done = subprocess.run(
            self.command(*arguments, *given),
            env=environment(env),
            check=False,
            timeout=WAIT_S_MAX * 2,
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "cwd": self.folder,
                **options,
            },
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in (done.stderr or "")
        return done

    def json(self, *arguments: str, password: bool = False) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run(*arguments, password=password).stdout)
        return answer

    def spawn(
        self, *arguments: str, env: Mapping[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            self.command(*arguments),
            env=environment(env),
            **{"stdin": subprocess.DEVNULL, "text": True, "cwd": self.folder, **options},
        )
        self._started.append(process)
        return process

    def start(
        self,
        *arguments: str,
        localnet: bool = True,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Daemon:
        """Start the daemon and wait for the line that says it is ready."""
        start = ["start", "--port", "0", "--password-file", str(self.password_file)]
        start += [*(["--localnet"] if localnet else []), *arguments]
        process: Process
        with (self.folder / "daemon.log").open("ab") as stderr:
            if self._nursery is None:
                process = self.spawn(
                    *start, env=env, stdout=subprocess.PIPE, stderr=stderr, **options
                )
            else:
                assert not options, "a child of the nursery has none"
                program = ["--data-dir", str(self.data), *start]
                process = self._nursery.start(
                    program, env=environment(env), cwd=self.folder, stderr=stderr
                )
                self._started.append(process)
        return self.daemon_of(process)

    def daemon_of(self, process: Process) -> Daemon:
        """Wait for the line that says it is ready."""
        log = self.folder / "daemon.log"
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], WAIT_S_MAX)
        line = process.stdout.readline() if readable else ""
        begin = "waiaas is ready at "
        assert line.startswith(begin), (line, log.read_text(encoding="utf-8"))
        return Daemon(process, log, line.removeprefix(begin).strip())

    def localnet(self) -> dict[str, Any]:
        """Return what the local network says of itself."""
        file = self.data / "localnet" / "localnet.json"
        recorded: dict[str, Any] = json.loads(file.read_bytes())
        return recorded

    def processes(self) -> dict[int, str]:
        """Return every process whose command line names our folder."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # It may have ended since.
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.folder) in line:
                    found[int(path.parent.name)] = line
        return found

    def snapshot(self) -> dict[str, bytes]:
        """Return every file in the data directory."""
        files = (path for path in self.data.rglob("*") if path.is_file())
        return {str(path.relative_to(self.data)): path.read_bytes() for path in files}

    def wal_bytes(self) -> int:
        wal = self.data / "ledger.db-wal"
        return wal.stat().st_size if wal.exists() else 0

    def reap(self) -> None:
        """End whatever is left."""
        for process in self._started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for("the last process to end", lambda: not self.processes())


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ours without settings of waiaas, without backups on a schedule, with *changes*."""
    ours = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 -- handed on, not read
        if not name.startswith("WAIAAS_")
    }
    return {**ours, "WAIAAS_BACKUP_INTERVAL_HOURS": "0", **(changes or {})}


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as `waiaas init` leaves it, to be copied."""
    program = Waiaas(tmp_path_factory.mktemp("initialised"))
    program.run("init", password=True)
    return program.data


@pytest.fixture(scope="session")
def nursery(initialised: Path) -> Iterator[Nursery]:
    nursery = Nursery(initialised, PASSWORD)
    yield nursery
    nursery.close()


@pytest.fixture
def waiaas(request: pytest.FixtureRequest, tmp_path: Path, initialised: Path) -> Iterator[Waiaas]:
    """The program on an initialised data directory."""
    is_forked = request.node.get_closest_marker("forked") is not None
    nursery = request.getfixturevalue("nursery") if is_forked else None
    program = Waiaas(tmp_path, initialised=initialised, nursery=nursery)
    yield program
    program.reap()


@pytest.fixture(scope="session")
def running(
    tmp_path_factory: pytest.TempPathFactory, initialised: Path, nursery: Nursery
) -> Iterator[tuple[Waiaas, Daemon]]:
    """The program and a daemon with its network, which outlive a test: each makes its own agent."""
    folder = tmp_path_factory.mktemp("running")
    program = Waiaas(folder, initialised=initialised, nursery=nursery)
    yield program, program.start()
    program.reap()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Waiaas]:
    """The program before `waiaas init`."""
    program = Waiaas(tmp_path)
    yield program
    program.reap()


class Chain:
    """The chain as solana-py, which is not ours, reads it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def balance(self, address: str) -> int:
        async def ask(client: AsyncClient) -> int:
            return (await client.get_balance(Pubkey.from_string(address))).value

        return self._ask(ask)

    def genesis(self) -> str:
        async def ask(client: AsyncClient) -> str:
            return str((await client.get_genesis_hash()).value)

        return self._ask(ask)

    def knows(self, tx_hash: str) -> bool:
        async def ask(client: AsyncClient) -> bool:
            wanted = [Signature.from_string(tx_hash)]
            return (await client.get_signature_statuses(wanted)).value[0] is not None

        return self._ask(ask)

    def _ask(self, act: Callable[[AsyncClient], Awaitable[Value]]) -> Value:
        async def session() -> Value:
            async with AsyncClient(self.url, commitment=Commitment("confirmed")) as client:
                return await act(client)

        return asyncio.run(session())


@pytest.fixture
def chain_of() -> Callable[[Waiaas], Chain]:
    return lambda program: Chain(program.localnet()["url"])


@pytest.fixture
def recipient() -> str:
    """A new address that has nothing."""
    return str(Pubkey(os.urandom(32)))


@pytest.fixture
def wait() -> Callable[..., Any]:
    return wait_for
