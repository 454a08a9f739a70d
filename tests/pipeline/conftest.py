"""The pipeline at work on a real ledger, a real signer and the embedded network.

Only time is ours (`TestClock`: it passes when somebody waits, and a block with it). Every port can
be wrapped in a `Tap`, which sees each call and can cut the power before, during or behind it.
"""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from nacl.signing import SigningKey
from solders.pubkey import Pubkey
from tests.fakes.chain import LOCALNET

from waiaas.chains.localnet.server import RunningLocalnet, running
from waiaas.chains.solana.chain import SolanaChain
from waiaas.database import (
    Ledger,
    agents,
    audit_log,
    create_database,
    generate_id,
    open_ledger,
    pending_approvals,
    sessions,
    transactions,
)
from waiaas.database.connection import open_reader
from waiaas.database.schema import (
    attempts,
    kill_switch,
    live_references,
    outbox,
    requests,
    reservations,
    session_totals,
    waits,
)
from waiaas.domain.access import SESSION_ABSOLUTE_S
from waiaas.domain.addresses import solana_address
from waiaas.domain.assets import Network
from waiaas.domain.clock import ClockDoubt
from waiaas.domain.enums import (
    AgentStatus,
    NetworkType,
    PolicyType,
)
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, PolicyId, SessionId, TransactionId
from waiaas.domain.records import (
    AgentRecord,
    AttemptRecord,
    PolicyRecord,
    SessionRecord,
    TransactionRecord,
)
from waiaas.domain.request import Request, Transfer
from waiaas.domain.transaction import is_terminal
from waiaas.pipeline.admit import Admission, AdmissionRules, Caller, admit
from waiaas.pipeline.advance import Step
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.kill_switch import Activation, activate
from waiaas.pipeline.perform import Standing, World, perform, read_standing
from waiaas.pipeline.worker import Worker
from waiaas.ports import (
    Chain,
    HistoryPage,
    LedgerTransaction,
    Movement,
    Payload,
    Sighting,
    SignedTransaction,
    Signer,
    SimulationRefused,
)

Value = TypeVar("Value")

NOW_S = 1_700_000_000
RICH = 10**12
SECONDS = ("delay_seconds", "approval_timeout")
"""Members of a rule that are numbers."""
PATIENCE_S = 20
"""Real seconds after which a test that waits has failed."""

ROWS = {
    "transactions": transactions,
    "requests": requests,
    "live_references": live_references,
    "attempts": attempts,
    "reservations": reservations,
    "session_totals": session_totals,
    "waits": waits,
    "pending_approvals": pending_approvals,
    "audit_log": audit_log,
    "outbox": outbox,
    "agents": agents,
    "sessions": sessions,
    "kill_switch": kill_switch,
}
CONTENTS = {name: table.select().order_by(*table.primary_key) for name, table in ROWS.items()}
"""What reads each whole: made once, for it is compiled once for each object."""


async def turn() -> None:
    """Let the event loop go round once."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def end() -> None:
        if not future.done():  # or it was cancelled
            future.set_result(None)

    loop.call_soon(end)
    await future


class TestClock:
    """`waiaas.ports.GuardedClock`, unguarded: time passes when somebody waits, and only then."""

    __test__ = False

    def __init__(self, *, now_s: int = NOW_S) -> None:
        self.wall_s = now_s
        self.waited_s = 0.0
        self.on_wait: Callable[[], object] = lambda: None

    def now_s(self) -> int:
        return self.wall_s + int(self.waited_s)

    def monotonic_s(self) -> float:
        return self.waited_s

    def doubt(self) -> ClockDoubt | None:
        return None

    async def sleep(self, seconds: float) -> None:
        self.waited_s += seconds
        self.on_wait()
        await turn()


class TestSigner:
    """`waiaas.ports.Signer` with its keys in memory."""

    __test__ = False

    def __init__(self) -> None:
        self._keys: dict[AgentId, SigningKey] = {}
        self.is_locked = False

    def generate(self, agent_id: AgentId) -> str:
        self._keys[agent_id] = SigningKey.generate()
        return solana_address(bytes(self._keys[agent_id].verify_key))

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        return self._keys[agent_id].sign(payload).signature


# ── taps ───────────────────────────────────────────────────────────────────────────────────────


class PowerCut(BaseException):
    """The process is gone."""


class Moment(StrEnum):
    """Where in a call the power goes."""

    BEFORE = "before"
    DURING = "during"
    BEHIND = "behind"


class Tap:
    """Sees every call of a port, and forwards it to the real thing.

    After *cut_call* calls the power goes at *moment* of the next one; nothing works from then on.
    """

    def __init__(self, *, cut_call: int | None = None, moment: Moment = Moment.BEFORE) -> None:
        self.calls: list[str] = []
        self.changed = asyncio.Event()
        self.is_cut = False
        self.look: Callable[[str, Any], None] = lambda _name, _argument: None
        self._cut_call = cut_call
        self._moment = moment
        self._at_work = 0
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    async def rest(self) -> None:
        """Return when nothing real is under way: time of ours must not pass meanwhile.

        Otherwise a hundred blocks pass while one row is made durable, and payments expire.
        """
        await self._at_rest.wait()

    def call(self, name: str, function: Callable[[], Value], argument: object = None) -> Value:
        cut_here = self._enter(name, argument)
        value = function()
        self._leave(cut_here=cut_here)
        return value

    async def work(
        self, name: str, function: Callable[[], Awaitable[Value]], argument: object = None
    ) -> Value:
        """Wait for a disk or a network."""
        self._at_work += 1
        self._at_rest.clear()
        try:
            return await self.wait(name, function, argument)
        finally:
            self._at_work -= 1
            if self._at_work == 0:
                self._at_rest.set()

    async def wait(
        self, name: str, function: Callable[[], Awaitable[Value]], argument: object = None
    ) -> Value:
        cut_here = self._enter(name, argument)
        if cut_here and self._moment is Moment.DURING:
            self.is_cut = True
            self.changed.set()
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # is delivered at the first await of the call that really waits
        try:
            value = await function()
        except asyncio.CancelledError:
            if self.is_cut:
                raise PowerCut from None
            raise
        self._leave(cut_here=cut_here)
        return value

    def _enter(self, name: str, argument: object) -> bool:
        cut_here = len(self.calls) == self._cut_call
        if self.is_cut or (cut_here and self._moment is Moment.BEFORE):
            self._cut()
        self.calls.append(name)
        self.look(name, argument)
        return cut_here

    def _leave(self, *, cut_here: bool) -> None:
        if self.is_cut or cut_here:
            self._cut()
        self.changed.set()

    def _cut(self) -> None:
        self.is_cut = True
        self.changed.set()
        raise PowerCut


@dataclass(frozen=True)
class TappedLedger:
    """A ledger seen through a tap."""

    ledger: Ledger
    tap: Tap

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        return self.tap.call("write", lambda: self.ledger.write(unit))

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        return await self.tap.work("write", lambda: self.ledger.write_async(unit))

    def read(self, query: Callable[[LedgerTransaction], Value]) -> Value:
        return self.tap.call("read", lambda: self.ledger.read(query))


@dataclass(frozen=True)
class TappedSigner:
    """A signer seen through a tap."""

    signer: Signer
    tap: Tap

    @property
    def is_locked(self) -> bool:
        return self.signer.is_locked

    def sign(self, agent_id: AgentId, payload: bytes) -> bytes:
        return self.tap.call("sign", lambda: self.signer.sign(agent_id, payload), payload)


@dataclass(frozen=True)
class TappedClock:
    """A clock whose waiting is seen through a tap; reading it has no effect worth a cut."""

    clock: TestClock
    tap: Tap

    def now_s(self) -> int:
        return self.clock.now_s()

    def monotonic_s(self) -> float:
        return self.clock.monotonic_s()

    def doubt(self) -> ClockDoubt | None:
        return self.clock.doubt()

    async def sleep(self, seconds: float) -> None:
        async def sleep() -> None:
            await self.tap.rest()
            await self.clock.sleep(seconds)

        await self.tap.wait("sleep", sleep, seconds)


@dataclass(frozen=True)
class TappedChain:
    """A chain seen through a tap."""

    chain: Chain
    tap: Tap

    async def balance(self, address: str) -> int:
        return await self.tap.work("balance", lambda: self.chain.balance(address))

    def require_possible(self, request: Request, *, from_address: str) -> None:
        self.chain.require_possible(request, from_address=from_address)

    async def token_decimals(self, token_address: str) -> int:
        return await self.chain.token_decimals(token_address)

    async def build(
        self, request: Request, *, from_address: str, unit_price: int
    ) -> Payload | SimulationRefused:
        return await self.tap.work(
            "build",
            lambda: self.chain.build(request, from_address=from_address, unit_price=unit_price),
        )

    def check(self, message: bytes, request: Request, *, from_address: str, rent: int) -> None:
        self.tap.call(
            "check",
            lambda: self.chain.check(message, request, from_address=from_address, rent=rent),
        )

    def assemble(self, message: bytes, *, signature: bytes, from_address: str) -> SignedTransaction:
        return self.tap.call(
            "assemble",
            lambda: self.chain.assemble(message, signature=signature, from_address=from_address),
        )

    async def send(self, raw: bytes) -> bool:
        return await self.tap.work("send", lambda: self.chain.send(raw), raw)

    async def look_up(self, tx_hash: str, *, last_valid_block_height: int) -> Sighting:
        return await self.tap.work(
            "look_up",
            lambda: self.chain.look_up(tx_hash, last_valid_block_height=last_valid_block_height),
        )

    async def chain_time(self) -> int:
        return await self.tap.work("chain_time", self.chain.chain_time)

    async def horizon(self) -> int:
        return await self.tap.work("horizon", self.chain.horizon)

    async def history(self, address: str, *, before: str | None) -> HistoryPage:
        return await self.tap.work("history", lambda: self.chain.history(address, before=before))

    async def movement(self, tx_hash: str, *, address: str) -> Movement | None:
        return await self.tap.work(
            "movement", lambda: self.chain.movement(tx_hash, address=address)
        )


# ── the office: a ledger with agents ───────────────────────────────────────────────────────────


@dataclass
class Office:
    """A ledger with agents and their keys, and everything that is asked and looked at there."""

    directory: Path
    ledger: Ledger
    clock: TestClock = field(default_factory=TestClock)
    signer: TestSigner = field(default_factory=TestSigner)
    rules: AdmissionRules = field(default_factory=AdmissionRules)
    left: list[Exception] = field(default_factory=list)
    """Why payments were not called off with what was stopped."""

    @classmethod
    def open(cls, directory: Path, *, ledger_of: Path) -> Self:
        shutil.copytree(ledger_of, directory)
        return cls(directory, open_ledger(directory))

    def reopen(self) -> None:
        """Do what a new process does."""
        self.ledger.close()
        self.ledger = open_ledger(self.directory)

    def hire(
        self,
        *,
        status: AgentStatus = AgentStatus.ACTIVE,
        limits: dict[str, int] | None = None,
        expires_at: int = NOW_S + 30 * 86_400,
        revoked_at: int | None = None,
        constraints: dict[str, Any] | None = None,
        lives_on: Network = LOCALNET,
    ) -> Caller:
        """Make an agent with a session and a SPENDING_LIMIT; it may spend a lot, unless told."""
        agent_id = AgentId(generate_id())
        agent = AgentRecord(
            agent_id,
            "agent",
            *lives_on,
            self.signer.generate(agent_id),
            status,
            NOW_S,
            suspended_at=None,
            suspension_reason=None,
        )
        bounds = {"instant_max": RICH} if limits is None else {"instant_max": 2**256 - 1, **limits}
        self.ledger.write(lambda tx: tx.agents.insert(agent))
        if limits != {}:
            rules = {
                name: bound if name in SECONDS else str(bound) for name, bound in bounds.items()
            }
            self.set_policy(agent_id, json.dumps({"asset": "native", **rules}))
        return self.admit_session(
            agent_id, expires_at=expires_at, revoked_at=revoked_at, constraints=constraints
        )

    def set_policy(
        self,
        agent_id: AgentId | None,
        rules: str,
        kind: PolicyType = PolicyType.SPENDING_LIMIT,
    ) -> None:
        policy = PolicyRecord(PolicyId(generate_id()), agent_id, kind, rules, 0, 1, NOW_S, NOW_S)
        self.ledger.write(lambda tx: tx.policies.insert(policy))

    def admit_session(
        self,
        agent_id: AgentId,
        *,
        expires_at: int = NOW_S + 30 * 86_400,
        revoked_at: int | None = None,
        constraints: dict[str, Any] | None = None,
    ) -> Caller:
        session = SessionRecord(
            SessionId(generate_id()),
            agent_id,
            generate_id(),
            expires_at,
            revoked_at,
            NOW_S + SESSION_ABSOLUTE_S,
            NOW_S,
            None if constraints is None else json.dumps(constraints),
        )
        self.ledger.write(lambda tx: tx.sessions.insert(session))
        return Caller(agent_id, session.id, "127.0.0.1")

    def new_address(self) -> str:
        return solana_address(bytes(SigningKey.generate().verify_key))

    async def ask(
        self,
        caller: Caller,
        amount: int = 10**6,
        *,
        to: str = "So11111111111111111111111111111111111111112",
        key: str | None = None,
    ) -> Admission:
        return await self.ask_for(caller, Transfer(to, amount), key=key)

    async def ask_for(
        self,
        caller: Caller,
        request: Request,
        *,
        key: str | None = None,
        reference: str | None = None,
        allow_duplicate: bool = True,
    ) -> Admission:
        """Ask as the API does; an equal request is another one here, unless told."""
        return await admit(
            Asked(request, key, reference, allow_duplicate),
            caller=caller,
            ledger=self.ledger,
            clock=self.clock,
            generate_id=generate_id,
            rules=self.rules,
        )

    def ask_now(
        self,
        caller: Caller,
        amount: int = 10**6,
        *,
        to: str = "So11111111111111111111111111111111111111112",
        key: str | None = None,
    ) -> Admission:
        return asyncio.run(self.ask(caller, amount, to=to, key=key))

    def refused(self, caller: Caller, amount: int = 10**6, *, key: str | None = None) -> Refusal:
        """Return with what a request is refused before it is admitted."""
        with pytest.raises(Refusal) as refusal:
            self.ask_now(caller, amount, key=key)
        return refusal.value

    # ── what became of it ──

    def transaction(self, tx_id: TransactionId) -> TransactionRecord:
        found = self.ledger.read(lambda tx: tx.transactions.get(tx_id))
        assert found is not None
        return found

    def attempt(self, tx_id: TransactionId) -> AttemptRecord | None:
        return self.ledger.read(lambda tx: tx.attempts.of_transaction(tx_id))

    def address(self, caller: Caller) -> str:
        agent = self.ledger.read(lambda tx: tx.agents.get(caller.agent_id))
        assert agent is not None
        return agent.public_key

    def rows(self, table: str) -> list[Any]:
        """Read a whole table past the ledger, on a connection of its own."""
        with open_reader(self.ledger.path) as connection:
            return connection.db.execute(CONTENTS[table])

    def counts(self) -> dict[str, int]:
        return {name: len(self.rows(name)) for name in ROWS}

    def audit_of(self, tx_id: TransactionId) -> list[str]:
        return [row.event_type for row in self.rows("audit_log") if row.tx_id == tx_id]

    def reservation(self, tx_id: TransactionId) -> tuple[str, str] | None:
        return next(
            ((row.state, row.amount) for row in self.rows("reservations") if row.tx_id == tx_id),
            None,
        )

    def execute(self, statement: Any) -> None:
        """Change something behind the pipeline's back."""
        with create_database(self.ledger.path) as connection, connection.db.transaction():
            connection.db.execute(statement)

    def suspend(self, caller: Caller) -> None:
        assert self.ledger.write(
            lambda tx: tx.agents.compare_and_set_status(
                caller.agent_id,
                old=AgentStatus.ACTIVE,
                new=AgentStatus.SUSPENDED,
                now_s=self.clock.now_s(),
            )
        )

    def kill(self, _: Caller | None = None) -> Activation:
        """Turn the kill switch on, from elsewhere: also while a step is under way here."""
        act = activate(
            "a test",
            ip_address=None,
            ledger=self.ledger,
            clock=self.clock,
            report=self.left.append,
        )
        with ThreadPoolExecutor(1) as elsewhere:
            return elsewhere.submit(asyncio.run, act).result()

    def narrow(self, caller: Caller, constraints: str = '{"maxAmountPerTx": "1"}') -> None:
        """Let the session do less from now on."""
        of_it = sessions.c.id == caller.session_id
        self.execute(sessions.update().where(of_it).values(constraints=constraints))

    def revoke(self, caller: Caller) -> None:
        self.execute(
            sessions.update().where(sessions.c.id == caller.session_id).values(revoked_at=NOW_S)
        )


@pytest.fixture
def office(tmp_path: Path, empty_ledger: Path) -> Iterator[Office]:
    """A ledger with nobody in it yet, and the clock at `NOW_S`."""
    opened = Office.open(tmp_path / "data", ledger_of=empty_ledger)
    yield opened
    opened.ledger.close()


# ── the site: the same beside a network ───────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Trouble:
    """A step that failed, as reported."""

    tx_id: TransactionId
    step: Step | None
    error: Exception


@dataclass
class Shift:
    """One life of a process: a worker and its taps."""

    office: Office
    world: World
    worker: Worker
    tap: Tap
    troubles: list[Trouble]

    async def work(self, until: Callable[[], bool]) -> None:
        """Let the worker run until a condition holds, then stop it.

        The condition is looked at whenever a tapped call has ended or a step failed.
        """
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            task = group.create_task(self.worker.run())
            while not until():
                self.tap.changed.clear()
                await self.tap.changed.wait()
            task.cancel()

    async def finish(self, *tx_ids: TransactionId) -> None:
        """Let the worker run until these transactions have ended."""
        left = list(tx_ids)

        def have_ended() -> bool:
            while left and self.has_ended(left[-1]):
                left.pop()  # It stays so.
            return not left

        await self.work(have_ended)

    async def work_until_cut(self) -> bool:
        """Let the worker run until the power goes; False if everything ended before it did."""
        try:
            await self.finish(*(row.id for row in self.office.rows("transactions")))
        except BaseExceptionGroup as group:
            others = group.split(PowerCut)[1]
            if others is not None:
                raise others from group
        return self.tap.is_cut

    async def step(self, tx_id: TransactionId) -> Step | None:
        """Do the next step of one transaction, without a worker; return which it was."""
        standing = self.standing(tx_id)
        await perform(standing, self.world)
        return standing.step

    def standing(self, tx_id: TransactionId) -> Standing:
        wall_s = self.office.clock.now_s()
        return self.office.ledger.read(lambda tx: read_standing(tx, tx_id, wall_s=wall_s))

    def has_ended(self, tx_id: TransactionId) -> bool:
        return is_terminal(self.office.transaction(tx_id).status)


@dataclass
class Site:
    """An office and a network, whose blocks pass when the office's clock does."""

    office: Office
    localnet: RunningLocalnet

    def hire(self, *, lamports: int = 10**10, limits: dict[str, int] | None = None) -> Caller:
        """Make an agent with money on the network."""
        caller = self.office.hire(limits=limits)
        address = Pubkey.from_string(self.office.address(caller))
        self.localnet.network.airdrop(address, lamports=lamports)
        self.localnet.network.advance_block()
        return caller

    def balance(self, address: str | None) -> int:
        assert address is not None, "only a payment of one asset has a recipient"
        return self.localnet.network.balance(Pubkey.from_string(address))

    def balance_of(self, caller: Caller) -> int:
        return self.balance(self.office.address(caller))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[SolanaChain]:
        chain = SolanaChain(
            self.localnet.url, network=NetworkType.LOCALNET, clock=self.office.clock, timeout_s=1
        )
        try:
            yield chain
        finally:
            await chain.aclose()

    @asynccontextmanager
    async def shift(self, tap: Tap | None = None) -> AsyncIterator[Shift]:
        """Start the process: everything it uses is seen through *tap*."""
        tap = tap or Tap()
        office, troubles = self.office, list[Trouble]()
        async with self.connect() as chain:
            world = World(
                ledger=TappedLedger(office.ledger, tap),
                signer=TappedSigner(office.signer, tap),
                chains={LOCALNET: TappedChain(chain, tap)},
                clock=TappedClock(office.clock, tap),
                generate_id=generate_id,
            )

            def report(tx_id: TransactionId, step: Step | None, error: Exception, /) -> None:
                troubles.append(Trouble(tx_id, step, error))
                tap.changed.set()

            yield Shift(office, world, Worker(world, report=report), tap, troubles)

    def payload_of(self, tx_id: TransactionId) -> bytes:
        attempt = self.office.attempt(tx_id)
        assert attempt is not None
        return base64.b64decode(attempt.message)


@pytest.fixture(scope="session")
def localnet() -> Iterator[RunningLocalnet]:
    """One network for all tests; each has agents and faults of its own."""
    with ExitStack() as stack:
        yield stack.enter_context(running())


@pytest.fixture
def site(office: Office, localnet: RunningLocalnet) -> Iterator[Site]:
    """An office beside a network that behaves."""
    office.clock.on_wait = localnet.network.advance_block
    yield Site(office, localnet)
    localnet.faults.clear()


@pytest.fixture(scope="session")
def make_tap() -> Callable[[int, str], Tap]:
    """Return a function that makes a tap: cut after so many calls, and at which moment."""
    return lambda calls, moment: Tap(cut_call=calls, moment=Moment(moment))
