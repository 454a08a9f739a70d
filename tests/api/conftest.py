"""The real application over ASGI: a real ledger and a real keystore; time and passwords are ours.

`Desk` holds one application and asks it things, as bytes over ASGI or (`Served`) over a socket.
Passwords are compared in memory where a test is not about them: a derivation takes 0.1 s.
"""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self, cast

import msgspec
import pytest
from starlette.types import Message, Scope
from tests.canaries import MARKER
from tests.fakes.chain import LOCALNET

from waiaas.api.allowance import Allowance
from waiaas.api.app import ROUTES, Api
from waiaas.api.operator import OperatorAccess
from waiaas.api.protocol import Limits, protocol_within
from waiaas.api.routes import COMMON_CODES, Route
from waiaas.api.server import Server, listen, server_config
from waiaas.api.services import About, Services
from waiaas.backups.create import BackupMaker
from waiaas.backups.schedule import BackupSchedule
from waiaas.chains.localnet.server import RunningLocalnet, running
from waiaas.chains.solana.chain import SolanaChain
from waiaas.config.registry import BackupSettings
from waiaas.daemon import _ERROR_CODES, HOST
from waiaas.database import (
    DatabaseConnection,
    Ledger,
    agents,
    audit_log,
    close_database,
    create_database,
    generate_id,
    key_value_store,
    open_ledger,
    pending_approvals,
    policies,
    sessions,
    transactions,
)
from waiaas.database.connection import open_reader
from waiaas.database.schema import attempts, challenges, kill_switch, requests, reservations, waits
from waiaas.domain.access import OPERATOR_TOKEN_PREFIX, Credential
from waiaas.domain.clock import ClockDoubt
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import AgentId
from waiaas.domain.owner_message import Letterhead
from waiaas.domain.records import TransactionRecord
from waiaas.domain.request import Request
from waiaas.domain.workers import WorkerCondition, WorkerName, WorkerState
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore
from waiaas.local_socket import connect_to, listen_at
from waiaas.logs import log_to_stderr
from waiaas.owner_signatures import WalletSignatures
from waiaas.pipeline.admit import AdmissionRules
from waiaas.pipeline.clock_guard import ClockGuard
from waiaas.pipeline.locking import Locking
from waiaas.pipeline.owner import Reception
from waiaas.pipeline.recover import count_found
from waiaas.pipeline.sessions import SessionRules
from waiaas.ports import Chain, Keystore
from waiaas.profiles import read_profiles
from waiaas.system import generate_secret
from waiaas.wire.metrics import Exposition

NOW_S: Final = 1_700_000_000
PASSWORD: Final = f"{MARKER}-pa55word-é"
COOKIE: Final = OPERATOR_TOKEN_PREFIX + "C" * 43
RECIPIENT: Final = "So11111111111111111111111111111111111111112"
PORT: Final = 3100
DAEMON_ID: Final = "0192d3c4-0000-7000-8000-00000000dae0"
PATIENCE_S: Final = 20
"""Real seconds after which a test that waits has failed."""

TABLES: Final = {
    table.name: table
    for table in (
        agents,
        sessions,
        transactions,
        policies,
        audit_log,
        key_value_store,
        requests,
        attempts,
        reservations,
        waits,
        pending_approvals,
        kill_switch,
        challenges,
    )
}
CONTENTS: Final = {
    name: table.select().order_by(*table.primary_key) for name, table in TABLES.items()
}
"""What reads each whole: made once, for it is compiled once for each object."""


WORKERS: Final = [
    WorkerCondition(WorkerName.PAYMENTS, WorkerState.RUNNING, NOW_S, None, 0, None, None),
    WorkerCondition(
        WorkerName.CLOCK, WorkerState.FAILING, NOW_S - 5, NOW_S + 5, 2, NOW_S - 4, "no disk"
    ),
]

HEADERS_OF_EVERY_ANSWER: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


class TestClock:
    """`waiaas.ports.GuardedClock`, unguarded: time passes when a test says so or somebody waits."""

    __test__ = False

    def __init__(self) -> None:
        self.wall_s = NOW_S
        self.elapsed_s = 0.0
        self.on_wait: Callable[[], object] = lambda: None

    def now_s(self) -> int:
        return self.wall_s

    def monotonic_s(self) -> float:
        return self.elapsed_s

    def doubt(self) -> ClockDoubt | None:
        return None

    def advance(self, seconds: float) -> None:
        self.wall_s += int(seconds)
        self.elapsed_s += seconds

    async def sleep(self, seconds: float) -> None:
        self.elapsed_s += seconds
        self.on_wait()
        await self.turn()

    async def turn(self) -> None:
        """Let others run; no time passes, so no block does either."""
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


@dataclass
class QuickKeystore:
    """A keystore that knows its password by heart; a test may hold it up and count."""

    keystore: FileKeystore
    derivations: int = 0
    on_derivation: Callable[[], object] = lambda: None
    given: list[bytes] = field(default_factory=list)
    """The very objects that it was given as passwords."""

    def generate(self, agent_id: AgentId, *, chain: ChainType, network: NetworkType) -> str:
        return self.keystore.generate(agent_id, chain=chain, network=network)

    def store(self, agent_id: AgentId) -> None:
        self.keystore.store(agent_id)

    def holds(self, agent_id: AgentId, *, public_key: str) -> bool:
        return self.keystore.holds(agent_id, public_key=public_key)

    is_locked: bool = False
    """Of its own: the keystore behind it is shared by many tests."""

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        return self.keystore.sign(agent_id, payload)

    def lock(self) -> None:
        self.is_locked = True

    def unlock(self, password: bytes) -> None:
        self.given.append(password)
        assert password == PASSWORD.encode()
        self.is_locked = False

    def verify_password(self, password: bytes) -> bool:
        self.derivations += 1
        self.given.append(password)
        self.on_derivation()
        return password == PASSWORD.encode()


@dataclass(frozen=True)
class Answer:
    """What came back, checked for what every answer must be."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        """The code of a problem; empty for any other answer."""
        is_problem = self.headers["content-type"] == "application/problem+json"
        return str(self.json["code"]) if is_problem else ""


@dataclass
class Connection:
    """One request as ASGI delivers it, and what the application sends back."""

    body: Sequence[bytes] = (b"",)
    ends: bool = True
    """Whether the body ends; one that does not keeps the application waiting."""
    sent: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        # As of a server: objects of its own, which the application overwrites.
        self.handed = [bytes(bytearray(chunk)) for chunk in self.body]
        self._waiting = list(self.handed)

    async def receive(self) -> Message:
        if not self._waiting:
            await asyncio.Event().wait()
        chunk = self._waiting.pop(0)
        more = bool(self._waiting) or not self.ends
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def answer(self) -> Answer:
        start, *rest = self.sent
        assert start["type"] == "http.response.start"
        assert [message["type"] for message in rest] == ["http.response.body"]
        raw = [(name.decode("ascii"), value.decode("ascii")) for name, value in start["headers"]]
        headers = dict(raw)
        assert len(headers) == len(raw), "no header is there twice"
        content = rest[0]["body"]
        assert headers["content-length"] == str(len(content))
        return Answer(start["status"], headers, content)


@dataclass
class Desk:
    """The application, and what is asked of it."""

    services: Services
    clock: TestClock
    ledger: Ledger
    keystore: QuickKeystore
    port: int = PORT
    defects: list[Exception] = field(default_factory=list)
    observed: list[tuple[str, int, float]] = field(default_factory=list)
    woken: list[TransactionRecord] = field(default_factory=list)
    stops: list[None] = field(default_factory=list)
    handed: list[bytes] = field(default_factory=list)
    """Pieces of the last body."""
    _seen_at: int | None = None
    _seen: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.services = replace(
            self.services, wake=self.woken.append, shut_down=lambda: self.stops.append(None)
        )
        self.rebuild()

    def rebuild(self, **services: Any) -> None:
        """Make the application anew, with some of its services changed."""
        self.services = replace(self.services, **services)
        self.api = Api(
            self.services,
            port=self.port,
            error_codes=_ERROR_CODES,
            report=lambda _, error: self.defects.append(error),
            observe=lambda *observed: self.observed.append(observed),
        )

    @classmethod
    def open(cls, directory: Path, keystore: FileKeystore, *, ledger_of: Path) -> Self:
        shutil.copytree(ledger_of, directory)
        ledger, clock = open_ledger(directory), TestClock()
        guard = ClockGuard(clock, boot_id="boot")
        guard.start(ledger)
        quick = QuickKeystore(keystore)
        (directory / "keystore").mkdir(mode=0o700)
        # Not the keys that other tests have stored by now: those would soon be hundreds.
        shutil.copy2(keystore._directory.path / "keystore.json", directory / "keystore")
        maker = BackupMaker(
            directory,
            ledger=ledger,
            keystore=keystore,
            clock=clock,
            generate_id=generate_id,
            version="1.2.3",
        )
        schedule = BackupSchedule(
            maker, directory=directory, ledger=ledger, clock=clock, settings=BackupSettings()
        )
        operator = operator_access(ledger, quick, clock)
        services = Services(
            ledger=ledger,
            keystore=quick,
            chains={LOCALNET: NO_NODE},
            faucet=None,
            clock=clock,
            accept_clock=guard.accept,
            generate_id=generate_id,
            generate_secret=generate_secret,
            admission=AdmissionRules(),
            sessions=SessionRules(),
            profiles=read_profiles(),
            operator=operator,
            locking=Locking(quick, ledger, clock, operator.forget_logins, lambda: None),
            allowance=Allowance(clock, bounds=[(60, 10**9)]),  # Its own tests are about it.
            reception=Reception(
                ledger, clock, WalletSignatures(), Letterhead(f"127.0.0.1:{PORT}", DAEMON_ID)
            ),
            count_swappable=lambda: 0,
            agents_without_key=list,
            wake=lambda _: None,
            count_blocked=lambda: 0,
            count_unreadable=lambda: 0,
            count_shut=lambda: 0,
            found_at_start=count_found([]),
            recovery_wait_s=1800,
            back_up=maker.make_beside_requests,
            backup_condition=schedule.condition,
            worker_conditions=lambda: WORKERS,
            render_figures=lambda reasons: f"unready {len(reasons)}\n",
            shut_down=lambda: None,
            about=About("1.2.3", generate_id(), None),
            ledger_condition=ledger.condition,
            started_at_monotonic_s=0.0,
        )
        return cls(services, clock, ledger, quick)

    # ── asking ──

    async def asked(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        raw: bytes | Sequence[bytes] | None = None,
        headers: Sequence[tuple[str, str | bytes]] = (),
        query: bytes = b"",
        bare: bool = False,
        ends: bool = True,
        client: tuple[str, int] | None = ("127.0.0.1", 50_000),
    ) -> Answer:
        """Send one request; *bare* leaves out the headers that every client sends.

        Args:
            method: of the request.
            path: decoded, as a server hands it on.
            body: to be sent as JSON; None: none.
            token: to be sent as a bearer token.
            raw: a body as it is, whole or in chunks.
            headers: more of them; str is encoded as latin-1.
            query: the raw query string.
            bare: whether Host and Content-Type are left to *headers*.
            ends: whether the body ever ends.
            client: the peer's address.
        """
        content = json.dumps(body).encode() if body is not None else b""
        chunks = [content] if raw is None else [raw] if isinstance(raw, bytes) else list(raw)
        sent: list[tuple[str, str | bytes]] = []
        if not bare:
            sent.append(("host", f"127.0.0.1:{self.port}"))
            if body is not None or raw is not None:
                length = sum(map(len, chunks))
                sent += [("content-type", "application/json"), ("content-length", str(length))]
        if token is not None:
            sent.append(("authorization", f"Bearer {token}"))
        sent += headers
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "query_string": query,
            "root_path": "",
            "headers": [
                (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
                for name, value in sent
            ],
            "client": client,
            "server": ("127.0.0.1", self.port),
        }
        connection = Connection(chunks, ends)
        self.handed = connection.handed
        async with asyncio.timeout(PATIENCE_S):
            await self.api(scope, connection.receive, connection.send)
        return checked(connection.answer(), of=route_at(method, path))

    def ask(self, method: str, path: str, body: object = None, **how: Any) -> Answer:
        return self.runner.run(self.asked(method, path, body, **how))

    def call(self, route: Route, agent_id: str = "", **how: Any) -> Answer:
        """Send a route a valid request of its own, unless told otherwise."""
        path = route.path.replace("{id}", agent_id or generate_id())
        if route.body is not None and "raw" not in how and "body" not in how:
            how["body"] = self.valid_body(route, agent_id)
        answer = self.ask(route.method, path, **how)
        if not answer.code:
            assert answer.status == route.status
            if route.reply is not Exposition:
                msgspec.json.decode(answer.content, type=route.reply, strict=True)
        return answer

    def valid_body(self, route: Route, agent_id: str = "") -> dict[str, Any]:
        agent_id = agent_id or generate_id()
        bodies: dict[str, dict[str, Any]] = {
            "Login": {"password": PASSWORD},
            "CreateAgent": {"name": "agent", "network": "localnet"},
            "FundAgent": {"amount": "1000"},
            "CreateSession": {"agentId": agent_id},
            "SetPolicy": {"agentId": agent_id, "type": "SPENDING_LIMIT", "rules": RULES},
            "ChangePolicy": {"priority": 1},
            "CreateBackup": {"mode": "keystore"},
            "Reconcile": {},
            "Approve": {"password": PASSWORD},
            "ActivateKillSwitch": {},
            "RecoverKillSwitch": {"password": PASSWORD},
            "Unlock": {"password": PASSWORD},
            "AcceptClock": {"password": PASSWORD, "difference": 0},
            "SuspendAgent": {"reason": "a test"},
            "TerminateAgent": {"force": True},
            "SetOwner": {"ownerAddress": RECIPIENT},
            "RemoveOwner": {},
            "AskOwnerMessage": {"action": "VERIFY" if "agents" in route.path else "APPROVE"},
            "OwnerSigned": {"nonce": "0" * 32, "signature": "1" * 88},
            "AskTransfer": {"to": RECIPIENT, "amount": "1000"},
            "ExplainRequest": {
                "agentId": agent_id,
                "request": {"type": "TRANSFER", "to": RECIPIENT, "amount": "1000"},
            },
        }
        return bodies["" if route.body is None else route.body.__name__]

    # ── being somebody ──

    def log_in(self, password: str = PASSWORD) -> str:
        answer = self.ask("POST", "/v1/admin/login", {"password": password})
        assert answer.status == 200, answer.content
        return str(answer.json["token"])

    def create_agent(self, *, token: str, limits: dict[str, str] | None = None) -> "Hired":
        """Make an agent with a session and a policy, all through the application."""
        made = self.ask(
            "POST", "/v1/agents", {"name": "agent", "network": "localnet"}, token=token
        ).json
        rules = RULES if limits is None else {"asset": "native", **limits}
        policy = {"agentId": made["id"], "type": "SPENDING_LIMIT", "rules": rules}
        assert self.ask("PUT", "/v1/policies", policy, token=token).status == 200
        issued = self.ask("POST", "/v1/sessions", {"agentId": made["id"]}, token=token).json
        return Hired(made["id"], made["publicKey"], issued["token"], issued["id"])

    def token_for(self, credential: Credential, hired: "Hired", operator: str) -> str | None:
        return {
            Credential.PUBLIC: None,
            Credential.OWNER: None,
            Credential.AGENT: hired.token,
            Credential.OPERATOR_LOOK: COOKIE,
            Credential.OPERATOR: operator,
        }[credential]

    # ── looking ──

    def rows(self, table: str) -> list[Any]:
        """Read a whole table past the ledger, on a connection of its own."""
        return self.reader.db.execute(CONTENTS[table])

    def content(self) -> dict[str, list[Any]]:
        """Read everything there is, to see that nothing was changed.

        It is read again only if another connection has committed since, which SQLite knows.
        """
        [(version,)] = self.reader.sqlite.execute("PRAGMA data_version")
        if version != self._seen_at:
            self._seen_at, self._seen = version, {name: self.rows(name) for name in CONTENTS}
        return self._seen

    @cached_property
    def reader(self) -> DatabaseConnection:
        """What looks past the ledger: a connection of its own, for as long as the desk is there."""
        return open_reader(self.ledger.path)

    @cached_property
    def runner(self) -> asyncio.Runner:
        """The event loop of everything that is asked one after the other."""
        return asyncio.Runner()

    def close(self) -> None:
        """Let go of the ledger, of what looks past it and of the event loop."""
        if "reader" in vars(self):
            close_database(self.reader)
        if "runner" in vars(self):
            self.runner.close()
        self.ledger.close()

    def refusals_since(self, before: Mapping[str, list[Any]]) -> list[str]:
        """Return the codes of the refusals that were written down since; they are all there is."""
        after = self.content()
        count = len(before["audit_log"])
        new = after["audit_log"][count:]
        assert {**after, "audit_log": after["audit_log"][:count]} == before
        assert {row.event_type for row in new} <= {"OPERATION_REFUSED", "REQUEST_REFUSED"}
        return [json.loads(row.details)["code"] for row in new]

    def execute(self, statement: Any) -> None:
        """Change something behind the application's back."""
        with create_database(self.ledger.path) as connection, connection.db.transaction():
            connection.db.execute(statement)

    def revoke(self, session_id: str) -> None:
        self.execute(sessions.update().where(sessions.c.id == session_id).values(revoked_at=NOW_S))


RULES: Final = {"asset": "native", "instant_max": "1000000", "daily_max": "2000000"}


@dataclass(frozen=True)
class Hired:
    """An agent that can ask."""

    id: str
    address: str
    token: str
    session_id: str


class _NoNode:
    """A network nobody may ask: where it is asked, a test fails by an unexpected error."""

    def require_possible(self, request: Request, *, from_address: str) -> None:
        """Find everything possible: for that no node is asked."""


NO_NODE: Final = cast("Chain", _NoNode())


def operator_access(ledger: Ledger, keystore: Keystore, clock: TestClock) -> OperatorAccess:
    return OperatorAccess(
        cookie=COOKIE,
        ledger=ledger,
        keystore=keystore,
        clock=clock,
        generate_secret=generate_secret,
    )


PATTERNS: Final = tuple(
    (route, re.compile(re.escape(route.path).replace(re.escape("{id}"), "[^/]+")))
    for route in ROUTES
)


def route_at(method: str, path: str) -> Route | None:
    """Return the route that a request is for, by a way of its own."""
    by_name = [route for route in ROUTES if route.path == path]
    by_pattern = [route for route, pattern in PATTERNS if pattern.fullmatch(path)]
    return next((route for route in by_name or by_pattern if route.method == method), None)


def checked(answer: Answer, *, of: Route | None) -> Answer:
    """Hold *answer* to what is promised of all of them, and to what the table says of its route."""
    not_routed = {ErrorCode.HOST_REFUSED, ErrorCode.ORIGIN_REFUSED}
    if of is None:
        not_routed |= {
            ErrorCode.ROUTE_NOT_FOUND,
            ErrorCode.METHOD_NOT_ALLOWED,
            ErrorCode.TOO_MANY_REFUSALS,
        }
        assert answer.code in not_routed
    else:
        assert answer.code in {"", *of.codes, *COMMON_CODES}, "the table names every code"
    for name, value in HEADERS_OF_EVERY_ANSWER.items():
        assert answer.headers[name] == value
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "location" not in answer.headers
    assert answer.headers["x-request-id"]
    if answer.status < 400:
        is_text = of is not None and of.reply is Exposition
        kind = "text/plain; version=0.0.4; charset=utf-8" if is_text else "application/json"
        assert answer.headers["content-type"] == kind
        return answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == answer.status
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert problem["type"] == "about:blank"
    code = ErrorCode(problem["code"])
    assert problem["title"] == code.replace("_", " ").capitalize()
    assert problem["message"] == problem["detail"] != ""
    assert problem["hint"], "every refusal says what to do"
    can_pass = "rule" not in problem or "retryAt" in problem  # a denial says when, or never
    assert problem["retryable"] is (code.is_transient and can_pass)
    assert ("www-authenticate" in answer.headers) is (answer.status == 401)
    assert ("allow" in answer.headers) is (answer.status == 405)
    return answer


# ── fixtures ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session", autouse=True)
def _log_as_the_daemon_does() -> None:
    """Write lines of JSON: what structlog does by itself takes a tenth of a request."""
    log_to_stderr()


@pytest.fixture(scope="session")
def keystore_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("api") / "keystore"
    create_keystore(directory, PASSWORD.encode())
    return directory


@pytest.fixture(scope="session")
def keystore(keystore_directory: Path) -> FileKeystore:
    return open_keystore(keystore_directory, PASSWORD.encode())


@pytest.fixture
def desk(tmp_path: Path, keystore: FileKeystore, empty_ledger: Path) -> Iterator[Desk]:
    """An application with an empty ledger; nothing unexpected may happen in it."""
    opened = Desk.open(tmp_path / "data", keystore, ledger_of=empty_ledger)
    yield opened
    opened.close()
    assert opened.defects == [], "nobody is left to answer for these"


@pytest.fixture(scope="module")
def shared_desk(
    tmp_path_factory: pytest.TempPathFactory, keystore: FileKeystore, empty_ledger: Path
) -> Iterator[Desk]:
    """One for tests that change nothing, and look that nothing was changed."""
    directory = tmp_path_factory.mktemp("shared") / "data"
    opened = Desk.open(directory, keystore, ledger_of=empty_ledger)
    yield opened
    opened.close()
    assert opened.defects == []


@pytest.fixture(scope="module")
def shared_operator(shared_desk: Desk) -> str:
    return shared_desk.log_in()


@pytest.fixture(scope="module")
def shared_agent(shared_desk: Desk, shared_operator: str) -> Hired:
    return shared_desk.create_agent(token=shared_operator)


@pytest.fixture
def operator(desk: Desk) -> str:
    """A login token."""
    return desk.log_in()


@pytest.fixture
def hired(desk: Desk, operator: str) -> Hired:
    return desk.create_agent(token=operator)


@pytest.fixture(scope="module")
def localnet() -> Iterator[RunningLocalnet]:
    """An embedded network; its blocks pass when a test's clock does."""
    with running() as net:
        yield net


@dataclass(frozen=True)
class Online:
    """A desk with a network behind it."""

    desk: Desk
    localnet: RunningLocalnet

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[SolanaChain]:
        """Let the application know the network; connections belong to the running event loop."""
        self.desk.clock.on_wait = self.localnet.network.advance_block
        chain = SolanaChain(
            self.localnet.url, network=NetworkType.LOCALNET, clock=self.desk.clock, timeout_s=1
        )
        try:
            self.desk.rebuild(chains={LOCALNET: chain}, faucet=chain)
            yield chain
        finally:
            await chain.aclose()


@pytest.fixture
def online(desk: Desk, localnet: RunningLocalnet) -> Iterator[Online]:
    yield Online(desk, localnet)
    localnet.faults.clear()


# ── over a socket ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Served:
    """The application behind the server that the daemon uses."""

    desk: Desk
    port: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def answer(self, connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
        """Read one answer."""
        return read_answer(connection)

    def connect_locally(self) -> socket.socket:
        return connect_to(Path(self.desk.ledger.path).parent / "daemon.sock", timeout_s=PATIENCE_S)

    def exchange(self, sent: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes on a new connection, return the first answer."""
        with self.connect() as connection:
            connection.sendall(sent)
            return read_answer(connection)


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, headers, body."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode("ascii").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, stream.read(int(headers["content-length"]))


@contextlib.contextmanager
def serving(
    directory: Path, keystore: FileKeystore, *, ledger_of: Path, limits: Limits | None
) -> Iterator[Served]:
    """Serve a desk exactly as the daemon does, on a thread."""
    desk = Desk.open(directory, keystore, ledger_of=ledger_of)
    listener = listen(HOST, 0)
    desk.port = listener.getsockname()[1]
    desk.rebuild()
    server = Server(server_config())
    server.config.app = desk.api
    if limits is not None:
        server.config.http = protocol_within(limits)
    with listen_at(directory / "daemon.sock") as server.local:
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
        )
        thread.start()
        yield Served(desk, desk.port)
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    listener.close()
    desk.close()
    assert desk.defects == []


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, keystore: FileKeystore, empty_ledger: Path
) -> Iterator[Served]:
    """The daemon's server with the daemon's limits."""
    directory = tmp_path_factory.mktemp("served") / "data"
    with serving(directory, keystore, ledger_of=empty_ledger, limits=None) as with_usual_limits:
        yield with_usual_limits


@pytest.fixture
def serve_within(
    tmp_path: Path, keystore: FileKeystore, empty_ledger: Path
) -> Callable[[Limits], contextlib.AbstractContextManager[Served]]:
    """Return what serves within other limits, for tests that do not want to wait."""
    return lambda limits: serving(
        tmp_path / "within", keystore, ledger_of=empty_ledger, limits=limits
    )


@pytest.fixture(scope="session")
def routes() -> tuple[Route, ...]:
    return ROUTES
