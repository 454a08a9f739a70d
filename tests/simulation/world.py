"""A world made from one seed: the real pipeline and ledger, a chain, a clock, and bad luck.

Everything that happens is chosen by one source of randomness, one step at a time, and after each
step `truth.Truth` is asked whether all is well. The ledger is the real one on a file. A kill leaves
what the operating system was given: the files are copied as they are, and a new process opens the
copy while the old one is forgotten in the middle of whatever it did.
"""

import asyncio
import random  # noqa: TID251 -- reproducible cases, not secrets
import shutil
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import apsw
from nacl.signing import SigningKey
from tests.fakes.agents import Rules, ask, insert_agent
from tests.fakes.chain import Manners, paid_by
from tests.fakes.clock import FakeClock
from tests.fakes.events import BACKUP
from tests.fakes.signer import FakeSigner
from tests.simulation.luck import WEIGHTS, Trouble, draw_luck
from tests.simulation.stage import (
    STAGE,
    Stage,
    SteppedClock,
    SteppedLedger,
    pause,
    until_nothing_moves,
)
from tests.simulation.truth import Truth, require
from tests.simulation.variants import RIGHT, Variant

from waiaas.database import Ledger, open_ledger
from waiaas.database.errors import AlreadyOpen, LedgerFull
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import NetworkType, TransactionStatus
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, SessionId, TransactionId
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import is_terminal
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.decide import Decider, approve, cancel, reject
from waiaas.pipeline.kill_switch import activate
from waiaas.pipeline.perform import World
from waiaas.pipeline.restored import mark_restored
from waiaas.pipeline.worker import Worker
from waiaas.ports import LedgerTransaction

STEPS: Final = (20, 50)
"""How many things happen in a world, at least and at most."""

BLOCKS_PER_S: Final = 2.5
BLOCKS_MAX: Final = 250
"""In one step, however long: more tells nothing new."""

AMOUNTS: Final = (1, 10, 39, 40, 41, 60, 61, 99, 100, 101, 250, 2**64, 2**256 - 1)
JUMPS_S: Final = (-86_400, -3600, -60, -1, 1, 60, 3600, 86_400)

BAD_TURNS: Final = 8
"""How long bad luck lasts at the end."""

LAGS: Final = (1, 5, 40, 200)
DELAYS: Final = (0, 0, 1, 20, 140, 160)

RECIPIENTS: Final = [
    solana_address(bytes(SigningKey(bytes([n + 1]) * 32).verify_key)) for n in range(60)
]

TIERS: Final = {
    "asset": "native",
    "instant_max": "40",
    "notify_max": "60",
    "delay_max": "100",
    "delay_seconds": 60,
    "approval_timeout": 300,
}
POLICIES: Final[tuple[tuple[Rules, ...], ...]] = (
    ({**TIERS, "hourly_max": "200", "daily_max": "300"},),
    (
        {**TIERS, "weekly_max": "500"},
        {"asset": "native", "instant_max": "100", "hourly_max": "160"},
    ),
    ({"asset": "native", "instant_max": "100", "monthly_max": "400"},),
    ({**TIERS, "per_transaction_max": "250", "daily_max": "350"},),
    ({"asset": "native", "instant_max": str(2**256 - 1)},),
)
"""Sets of limits; the first agent has one of them, the second another."""

AGENTS: Final = (AgentId("00000000-0000-7000-8000-00000000000a"),
                 AgentId("00000000-0000-7000-8000-00000000000b"))  # fmt: skip


def _id(number: int) -> str:
    return f"00000000-0001-7000-8000-{number:012x}"


def make_template(folder: Path, policies: tuple[int, int]) -> None:
    """Make the ledger that a world with these policies begins with."""
    signer, numbers = FakeSigner(), count(1)
    with open_ledger(folder) as ledger:

        def unit(tx: LedgerTransaction) -> None:
            for agent_id, policy in zip(AGENTS, policies, strict=True):
                insert_agent(
                    tx,
                    agent_id,
                    address=signer.generate(agent_id),
                    limits=POLICIES[policy],
                    generate_id=lambda: _id(next(numbers)),
                )

        ledger.write(unit)


@dataclass(frozen=True)
class Files:
    """A ledger's files as the operating system has them."""

    main: bytes
    log: bytes

    @classmethod
    def of(cls, folder: Path) -> "Files":
        log = folder / "ledger.db-wal"
        return cls((folder / "ledger.db").read_bytes(), log.read_bytes() if log.exists() else b"")

    def lay_out(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        (folder / "ledger.db").write_bytes(self.main)
        if self.log:
            (folder / "ledger.db-wal").write_bytes(self.log)


@dataclass(frozen=True)
class Asked:
    """A request of an agent, under a key of its own."""

    caller: Caller
    transfer: Transfer
    key: str


@dataclass
class Process:
    """One life of the daemon: a worker, and the callers it is answering."""

    stage: Stage
    worker: Worker
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        context = copy_context()
        context.run(STAGE.set, self.stage)
        self.tasks.append(asyncio.get_running_loop().create_task(work, context=context))

    def is_dead(self) -> bool:
        """Tell whether something ended it; raise what it was."""
        for task in self.tasks:
            if task.done():
                task.result()
        self.tasks = [task for task in self.tasks if not task.done()]
        return False

    async def kill(self) -> None:
        """Forget everything it was doing, where it was doing it."""
        for task in self.tasks:
            task.cancel()
        await until_nothing_moves()
        assert all(task.done() for task in self.tasks)


class Simulation:
    """One world."""

    def __init__(
        self,
        seed: str,
        home: Path,
        templates: Path,
        variant: Variant = RIGHT,
        kind: str | None = None,
    ) -> None:
        self.source = random.Random(seed)  # noqa: S311 -- as above
        self.variant = variant
        self.clock = FakeClock()
        self.signer = FakeSigner()
        self.chain = variant.chain(manners=self._manners, pause=pause, perjures=variant.perjures)
        self.luck = draw_luck(self.source, kind)
        policies = (self.source.randrange(len(POLICIES)), self.source.randrange(len(POLICIES)))
        self._template = templates / f"{policies[0]}-{policies[1]}"
        self._home = home
        self._folders = 0
        self._ids = 1000
        self.asked: list[Asked] = []
        self.seen: list[TransactionId] = []
        self.processes: list[Process] = []
        self.copies: list[Files] = []
        self.happened: Counter[str] = Counter()
        self.signed_before_restore: int | None = None
        self._open = ExitStack()
        addresses = {agent_id: self.signer.generate(agent_id) for agent_id in AGENTS}
        for address in addresses.values():
            self.chain.fund(address, base_units=self.source.choice([10**9, 10**9, 10**9, 10_100]))
        self.truth = Truth(
            self.chain,
            {agent: POLICIES[each] for agent, each in zip(AGENTS, policies, strict=True)},
            is_perjured=variant.perjures,
        )
        if not self._template.exists():
            make_template(self._template, policies)
        # What the wrong ways of doing it need besides.
        self.chain.__dict__.update(
            signer=self.signer,
            clock=self.clock,
            agents={address: agent_id for agent_id, address in addresses.items()},
        )

    async def run(self) -> None:
        """Let the world happen, then let everything come to an end."""
        with self._open:
            self.copies.append(Files.of(self._template))
            self._boot(self.copies[0], is_new=True)
            try:
                for _ in range(self.source.randint(*STEPS)):
                    await self._happen()
                    self._check()
                await self._come_to_an_end()
            finally:
                await self._stop()

    # ── what happens ───────────────────────────────────────────────────────────────────────────

    async def _happen(self) -> None:
        act = self.source.choices(list(ACTS), self.luck.weights)[0]
        self.happened[act] += 1
        done = ACTS[act](self)
        if done is not None:
            await done
        await until_nothing_moves()
        for process in self.processes:
            process.is_dead()

    def _go_on(self) -> None:
        self.source.choice(self.processes).stage.let_one_go()

    def _ask(self) -> None:
        """Ask for a payment: a new one, or one that was asked for before."""
        agent_id = self.source.choice(AGENTS)
        caller = Caller(agent_id, self._sessions[agent_id], None)
        if self.asked and self.source.random() < 1 / 4:
            asked = self.source.choice(self.asked)
        elif self.asked and self.source.random() < 1 / 6:
            # An equal payment is another one if its key is.
            transfer = self.source.choice(self.asked).transfer
            asked = Asked(caller, transfer, f"key {len(self.asked)}")
        else:
            to = RECIPIENTS[len(self.asked) % len(RECIPIENTS)]
            transfer = Transfer(to, self.source.choice(AMOUNTS))
            asked = Asked(caller, transfer, f"key {len(self.asked)}")
        if asked not in self.asked:
            self.asked.append(asked)
            sender = self.signer.generate(asked.caller.agent_id)
            self.truth.asked[paid_by(asked.transfer, sender)] += 1
        self._newest.start(self._admit(asked, self._newest))

    async def _admit(self, asked: Asked, process: Process) -> None:
        with suppress(Refusal, LedgerFull):
            admission = await ask(
                asked.transfer,
                caller=asked.caller,
                key=asked.key,
                ledger=self._stepped,
                clock=self.clock,
                generate_id=self._generate_id,
            )
            self.seen.append(admission.transaction.id)
            process.worker.wake(admission.transaction)

    def _decide(self) -> None:
        if self.seen:
            decision = self.source.choice([cancel, approve, approve, reject])
            tx_id = self.source.choice(self.seen)
            self._newest.start(self._decided(decision, tx_id, self._newest))

    async def _decided(self, decision: Any, tx_id: TransactionId, process: Process) -> None:
        with suppress(Refusal, LedgerFull):
            by = Decider(None, None, None)
            decided = await decision(tx_id, by=by, ledger=self._stepped, clock=self.clock)
            process.worker.wake(decided)

    def _pass_time(self) -> None:
        self._wait(self.source.choice(self.luck.waits_s))

    def _wait(self, seconds: float) -> None:
        self.chain.pass_blocks(min(int(seconds * BLOCKS_PER_S) + 1, BLOCKS_MAX))
        self.clock.pass_time(seconds)

    def _jump(self) -> None:
        self.clock.jump(self.source.choice(JUMPS_S))

    def _abandon_blocks(self) -> None:
        blocks = self.source.choice([1, 1, 2, 5, 31])
        self.chain.abandon_blocks(blocks, forgets=self.source.random() < 1 / 2)

    def _fill_disk(self) -> None:
        """Let the file grow no more; SQLite says so itself."""
        self._ledger._writer._sqlite.pragma("max_page_count", 1)

    def _empty_disk(self) -> None:
        self._ledger._writer._sqlite.pragma("max_page_count", 2**30)

    def _open_twice(self) -> None:
        with suppress(AlreadyOpen):
            open_ledger(self._folder).close()
            require(holds=False, what="a second daemon opened the ledger")

    def _pause(self) -> None:
        """Stop the process where it is; another one takes over."""
        if len(self.processes) == 1:
            self._newest.stage.is_frozen = True
            self._start()

    def _wake(self) -> None:
        for process in self.processes:
            process.stage.is_frozen = False

    async def _kill(self) -> None:
        """End every process where it is, and start a new one on what is left."""
        await self._stop()
        files = Files.of(self._folder)
        self._boot(files if self.variant.keeps_commits else Files(files.main, b""))

    def _copy(self) -> None:
        self.copies.append(Files.of(self._folder))

    async def _restore(self) -> None:
        """Start again with an older ledger, as a restore does."""
        if self.signed_before_restore is None:
            await self._stop()
            self.truth.forget()
            self._boot(self.source.choice(self.copies), marks=self.variant.marks_restored)
            if self.variant.marks_restored:
                self.signed_before_restore = self.signer.signed

    def _stop_everything(self) -> None:
        """Turn the kill switch on; it stays on."""
        self._newest.start(self._activate())

    async def _activate(self) -> None:
        with suppress(LedgerFull):  # the reserve helps where files cannot grow, not against SQLite
            await activate(None, ip_address=None, ledger=self._stepped, clock=self.clock)

    # ── the daemon ─────────────────────────────────────────────────────────────────────────────

    @property
    def _newest(self) -> Process:
        return self.processes[-1]

    def _boot(self, files: Files, *, marks: bool = False, is_new: bool = False) -> None:
        self._folders += 1
        self._folder = self._home / f"{self._folders}"
        files.lay_out(self._folder)
        self._ledger: Ledger = self._open.enter_context(open_ledger(self._folder))
        self._stepped = SteppedLedger(self._ledger, self.variant.seen_as)
        if marks:
            self._ledger.write(
                lambda tx: mark_restored(tx, wall_s=self.clock.now_s(), details=BACKUP)
            )
        self._rows = apsw.Connection(self._ledger.path, flags=apsw.SQLITE_OPEN_READONLY)
        self._open.callback(self._rows.close)
        self._sessions: dict[AgentId, SessionId] = dict(
            self._rows.execute("SELECT agent_id, id FROM sessions")
        )
        self._check(is_new=True)
        self._start()
        if not is_new:
            self.happened["start"] += 1
            for asked in self.asked:  # Who was not answered asks again.
                if self.source.random() < 1 / 2:
                    self._newest.start(self._admit(asked, self._newest))

    def _start(self) -> None:
        world = World(
            ledger=self._stepped,
            signer=self.signer,
            chains={NetworkType.LOCALNET: self.chain},
            clock=SteppedClock(self.clock),
            generate_id=self._generate_id,
        )
        worker = Worker(world, report=lambda *_: None)
        process = Process(Stage(self.source, self.luck.likelihood), worker)
        self.processes.append(process)
        process.start(worker.run())

    async def _stop(self) -> None:
        for process in self.processes:
            await process.kill()
        self.processes.clear()

    def _generate_id(self) -> str:
        self._ids += 1
        return _id(self._ids)

    def _manners(self, _call: str) -> Manners:
        """Choose how a node treats a call."""
        source, latency_blocks = self.source, self.luck.latency_blocks
        if source.random() >= self.luck.trouble:
            return Manners(delay_blocks=latency_blocks)
        trouble = source.choice(self.luck.troubles)
        return Manners(
            reaches=trouble is not Trouble.AWAY,
            answers=trouble is not Trouble.SILENT,
            takes=trouble is not Trouble.DOUBTFUL,
            drops=trouble is Trouble.FORGETFUL,
            denies=trouble is Trouble.DENYING,
            lag_blocks=source.choice(LAGS) if trouble is Trouble.LAGGING else 0,
            delay_blocks=max(latency_blocks, source.choice(DELAYS)),
        )

    def _check(self, *, is_new: bool = False) -> None:
        self.truth.check(self._rows, wall_s=self.clock.now_s(), is_new=is_new)
        if self.signed_before_restore is not None:
            require(
                self.signer.signed == self.signed_before_restore,
                "something was signed on a restored ledger",
            )

    # ── the end ────────────────────────────────────────────────────────────────────────────────

    async def _come_to_an_end(self) -> None:
        """Let time pass, and luck turn good, until every payment has ended; look a last time."""
        self._empty_disk()
        self._wake()
        for process in self.processes:
            process.stage.likelihood = 0
        for turn in range(60):
            if turn == BAD_TURNS:
                self.luck = replace(self.luck, trouble=0, latency_blocks=0)
            for process in self.processes:
                while process.stage.held:
                    process.stage.let_one_go()
                    await until_nothing_moves()
            self._check()
            if self._has_ended():
                break
            self._wait(20)
            # The wall clock may have been set back, which lengthens what waits.
            self.clock.jump(86_400)
            await until_nothing_moves()
        self._check(is_new=True)
        if self.signed_before_restore is None and not self.variant.perjures:
            require(self._has_ended(), "a payment does not come to an end")

    def _has_ended(self) -> bool:
        return all(is_terminal(TransactionStatus(each)) for each in self.truth.statuses.values())


ACTS: Final[Mapping[str, Any]] = {act: getattr(Simulation, f"_{act}") for act in WEIGHTS}


def simulate(
    seed: str,
    home: Path,
    templates: Path,
    variant: Variant = RIGHT,
    kind: str | None = None,
) -> Simulation:
    """Run one world, of a kind of luck if one is named; raise what it found."""
    world = Simulation(seed, home, templates, variant, kind)
    home.mkdir()
    try:
        asyncio.run(world.run())
    finally:
        shutil.rmtree(home)
    return world
