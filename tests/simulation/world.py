"""A world made from one seed: the real pipeline and ledger, a chain, a clock, and bad luck.

Everything that happens is chosen by one source of randomness, one step at a time (`acts`), and
after each step `promises.Truth` is asked whether all is well. The ledger is the real one on a file.
A kill leaves what the operating system was given: the files are copied as they are, and a new
process opens the copy while the old one is forgotten in the middle of whatever it did.
"""

import asyncio
import json
import random  # noqa: TID251 -- reproducible cases, not secrets
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import apsw
from tests.fakes.agents import ask
from tests.fakes.chain import LOCALNET, FakeChain, Manners
from tests.fakes.clock import FakeClock
from tests.fakes.events import BACKUP
from tests.fakes.signer import FakeSigner
from tests.simulation.acts import ACTS, accept_clock, do, issued, sign_and_hand_in
from tests.simulation.luck import Luck, Trouble, draw_luck
from tests.simulation.permitted import Clocks
from tests.simulation.process import Asked, Process
from tests.simulation.promises import Truth
from tests.simulation.stage import (
    Stage,
    SteppedClock,
    pause,
    until_nothing_moves,
)
from tests.simulation.start import (
    AGENTS,
    OWNERS,
    RECIPIENTS,
    TOKEN,
    Files,
    make_id,
    make_template,
)
from tests.simulation.told import require
from tests.simulation.variants import RIGHT, Variant

from waiaas.database import Ledger, open_ledger
from waiaas.database.errors import LedgerFull
from waiaas.domain.enums import OwnerState
from waiaas.domain.ids import AgentId, SessionId, TransactionId
from waiaas.domain.owner import OwnerAction, Proof
from waiaas.domain.request import Request
from waiaas.pipeline.admit import Caller
from waiaas.pipeline.clock_guard import ClockGuard
from waiaas.pipeline.owner import set_owner
from waiaas.pipeline.perform import World
from waiaas.pipeline.restored import mark_restored
from waiaas.pipeline.worker import Worker
from waiaas.ports import LedgerTransaction

STEPS: Final = (15, 45)
"""How many things happen in a world, at least and at most."""

STEPS_AFTERWARDS: Final = 12
"""How many more, where a restored ledger was reconciled."""

BLOCKS_PER_S: Final = 2.5
BLOCKS_MAX: Final = 250
"""In one step, however long: more tells nothing new."""

LAGS_BLOCKS: Final = (1, 5, 40, 200)

TURN_S: Final = 60
"""What passes at a time at the end."""

BAD_TURNS: Final = 3
"""How long bad luck lasts at the end."""

TURNS_MAX: Final = 60
"""How long it may take until everything has ended."""


NAMES: Final = tuple(ACTS)
ANCHORS: Final = "SELECT value FROM key_value_store WHERE key = 'clock.anchors'"


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
        self.machine = FakeClock()
        self.signer = FakeSigner()
        self.chain: FakeChain = variant.chain(
            manners=self._manners, pause=pause, perjures=variant.perjures
        )
        self.luck: Luck = draw_luck(self.source, list(ACTS), kind)
        likelihoods = (each.likelihood * self.luck.accents[act] for act, each in ACTS.items())
        self._likelihoods = list(accumulate(likelihoods))
        policies = (self.source.choice(self.luck.policies), self.source.choice(self.luck.policies))
        self._template = templates / f"{policies[0]}-{policies[1]}"
        self._home = home
        self._folders = 0
        self._numbers = 1000
        self.asked: list[Asked] = []
        """What may be asked for again: the ledger knows it, or nobody was told anything."""
        self.sessions: dict[AgentId, SessionId] = {}
        """By agent, the one it was given last."""
        self.payments: list[TransactionId] = []
        self.proofs: list[tuple[OwnerAction, str, Proof]] = []
        self.processes: list[Process] = []
        self.happened: Counter[str] = Counter()
        self._copies: list[Files] = []
        self.is_disk_full: bool = False
        self.accepted_s: float = 0
        """How far ahead of the steady clock the wall clock is, as far as it is accepted."""
        self._signed_before_restore: int | None = None
        self._open = ExitStack()
        self._addresses = {agent_id: self.signer.generate(agent_id) for agent_id in AGENTS}
        for address in self._addresses.values():
            lamports = self.source.choice([10**9, 10**9, 10**9, 10_100])
            self.chain.fund(address, base_units=lamports)
            self.chain.fund(address, base_units=self.source.choice([10**9, 90]), asset=TOKEN)
        for to in RECIPIENTS[::2]:
            self.chain.fund(to, base_units=1, asset=TOKEN)
        self.truth = Truth(
            self.chain,
            OWNERS,
            {address: agent_id for agent_id, address in self._addresses.items()},
            is_perjured=variant.perjures,
            is_trusting=variant.guard is not ClockGuard,
        )
        if not self._template.exists():
            make_template(self._template, policies)
        # What the wrong ways of doing it need besides.
        self.chain.__dict__.update(
            signer=self.signer,
            clock=self.machine,
            agents={address: agent_id for agent_id, address in self._addresses.items()},
        )

    async def run(self) -> None:
        """Let the world happen, then let everything come to an end."""
        with self._open:
            self._copies.append(Files.of(self._template))
            self._boot(self._copies[0], is_new=True)
            try:
                await self._register_owners()
                if self.luck.constrained:
                    await self._issue_sessions()
                await self._live(self.source.randint(*STEPS))
                for _ in range(self.luck.lives if self.truth.restored_from is not None else 0):
                    await self._issue_sessions()
                    await self._live(STEPS_AFTERWARDS)
            finally:
                await self._stop()

    async def _live(self, steps: int) -> None:
        """Let things happen, then let all that was begun come to its end."""
        for _ in range(steps):
            await self._happen()
            self._check()
        luck = self.luck
        await self._come_to_an_end()
        self.luck = luck
        for process in self.processes:
            process.stage.likelihood = luck.likelihood

    async def _issue_sessions(self) -> None:
        """Give all agents new sessions; those of a ledger that was reconciled have none."""
        for agent_id in AGENTS:
            do(self, issued(self, agent_id))
            await until_nothing_moves()

    async def _register_owners(self) -> None:
        """Let the agents' owners get as far as luck will have it."""
        stage, likelihood = self.newest.stage, self.luck.likelihood
        stage.likelihood = 0
        for agent_id, address in zip(AGENTS, OWNERS, strict=True):
            if self.luck.owner is not OwnerState.NONE:
                terms: Any = {"ip_address": None, "ledger": self.ledger, "clock": self.clock}
                self.newest.start(set_owner(agent_id, address, **terms))
                await until_nothing_moves()
            if self.luck.owner is OwnerState.LOCKED:
                work = sign_and_hand_in(self, OwnerAction.VERIFY, agent_id, is_right=True)
                self.newest.start(work)
                await until_nothing_moves()
        stage.likelihood = likelihood

    async def _happen(self) -> None:
        name = self._draw_act()
        while not ACTS[name].when(self):
            name = self._draw_act()
        self.happened[name] += 1
        done = ACTS[name].do(self)
        if done is not None:
            await done
        await until_nothing_moves()
        for process in self.processes:
            process.raise_what_ended()

    def _draw_act(self) -> str:
        return self.source.choices(NAMES, cum_weights=self._likelihoods)[0]

    # ── for whoever acts ───────────────────────────────────────────────────────────────────────

    @property
    def newest(self) -> Process:
        return self.processes[-1]

    def address_of(self, agent_id: AgentId) -> str:
        return self._addresses[agent_id]

    @property
    def owners(self) -> Mapping[str, tuple[str | None, bool]]:
        """By agent, the registered address and whether it is proved."""
        return self.truth.told.owners

    def waiting_for_person(self) -> list[TransactionId]:
        """Return the payments that somebody was told of and nobody has decided on."""
        told = self.truth.told
        return [
            each
            for each in self.payments
            if told.statuses.get(each) == "QUEUED" and told.tiers[each] == "APPROVAL"
        ]

    def any_payment(self) -> TransactionId:
        """Choose a payment; one that waits for a person, if luck will have it."""
        waiting = self.waiting_for_person()
        is_apt = waiting and self.source.random() < 5 / 6
        return self.source.choice(waiting if is_apt else self.payments)

    def new_request(self, agent_id: AgentId, request: Request) -> Asked:
        asked = Asked(agent_id, request, f"key {self._number()}")
        self.asked.append(asked)
        return asked

    async def admit(self, asked: Asked, session_id: SessionId, process: Process) -> None:
        """Ask the daemon for a payment, and hand it over."""
        admission = await ask(
            asked.request,
            caller=Caller(asked.agent_id, session_id, None),
            key=asked.key,
            ledger=self.ledger,
            clock=self.clock,
            generate_id=self.generate_id,
        )
        tx_id = admission.transaction.id
        is_there = self._rows.execute("SELECT 1 FROM transactions WHERE id = ?", [tx_id]).fetchall()
        require(is_there, "what was acknowledged is not in the ledger")
        self.payments.append(tx_id)
        process.worker.wake(admission.transaction)

    def wait(self, seconds: float) -> None:
        self.chain.pass_blocks(min(int(seconds * BLOCKS_PER_S) + 1, BLOCKS_MAX))
        self.machine.pass_time(seconds)

    def write_now(self, unit: Callable[[LedgerTransaction], None]) -> None:
        """Write behind the daemon's back, unless the disk is full."""
        with suppress(LedgerFull):
            self._ledger.write(unit)

    def believe(self, ahead_s: float) -> None:
        """Take the wall clock to be as far ahead as the operator was told; not before now."""
        self._check()
        self.accepted_s = ahead_s

    def limit_pages(self, *, is_full: bool) -> None:
        self.is_disk_full = is_full
        self._ledger._writer._sqlite.pragma("max_page_count", 1 if is_full else 2**30)

    async def kill(self) -> None:
        """End every process where it is, and start a new one on what is left."""
        await self._stop()
        files = Files.of(self.folder)
        self._boot(files if self.variant.keeps_commits else Files(files.main, b""))

    def back_up(self) -> None:
        self._copies.append(Files.of(self.folder))

    async def restore(self) -> None:
        """Start again with an older ledger, and let those who are not answered ask again.

        What the ledger does not know may have been paid: only before reconciliation is it asked
        for again, with the sessions of then, and it must be refused however late it comes.
        """
        await self._stop()
        self.truth.forget(make_id(self._number()))
        self._boot(self.source.choice(self._copies), is_restored=True)
        everything = self.asked
        if self.variant.marks_restored:
            self._signed_before_restore = self.signer.signed
            known = {key for (key,) in self._rows.execute("SELECT idempotency_key FROM requests")}
            self.asked = [asked for asked in everything if asked.key in known]
        self._ask_again(everything)

    async def reconcile(self, *, gives_up: bool) -> None:
        """Compare with the chain, look at what was found, and accept it.

        Args:
            gives_up: whether agents are left out, and terminated, whose history is not readable.
        """
        chains = {LOCALNET: self.chain}
        reconciler = self.variant.reconciler(self.ledger, chains, self.clock, None)
        seen = await reconciler.reconcile(accepted=None, without=())
        without = [each.agent_id for each in seen.unread] if gives_up else []
        await reconciler.reconcile(accepted=seen.transaction_count, without=without)

    # ── the daemon ─────────────────────────────────────────────────────────────────────────────

    def _boot(self, files: Files, *, is_restored: bool = False, is_new: bool = False) -> None:
        self._folders += 1
        self.folder = self._home / f"{self._folders}"
        files.lay_out(self.folder)
        self.is_disk_full = False
        self._ledger: Ledger = self._open.enter_context(open_ledger(self.folder))
        self.ledger = self.variant.ledger(self._ledger, self.variant.seen_as)
        self.clock = self.variant.guard(self.machine, boot_id="boot")
        self.clock.start(self.ledger)
        self._ledger.write(self.clock.keep)
        if is_restored and self.variant.marks_restored:
            self._ledger.write(
                lambda tx: mark_restored(tx, wall_s=self.clock.now_s(), details=BACKUP)
            )
        self._rows = apsw.Connection(self._ledger.path, flags=apsw.SQLITE_OPEN_READONLY)
        self._open.callback(self._rows.close)
        [(anchors,)] = self._rows.execute(ANCHORS)
        [(_, steady_s, wall_s)] = json.loads(anchors)
        self.accepted_s = wall_s - steady_s
        self.sessions.update(self._rows.execute("SELECT agent_id, id FROM sessions ORDER BY id"))
        self._check(is_new=True)
        self.start()
        if not (is_new or is_restored):
            self._ask_again(self.asked)

    def _ask_again(self, asked: list[Asked]) -> None:
        """Let who was not answered ask again, as far as he has noticed."""
        for each in asked:
            if self.source.random() < 1 / 2:
                do(self, self.admit(each, self.sessions[each.agent_id], self.newest))

    def start(self) -> None:
        """Start a daemon on the ledger as it is."""
        stage = Stage(self.source, self.luck.likelihood)
        worker_sees, seen_as = self.variant.worker_of(stage), self.variant.seen_as
        world = World(
            ledger=replace(self.ledger, seen_as=lambda tx: worker_sees(seen_as(tx))),
            signer=self.signer,
            chains={LOCALNET: self.chain},
            clock=SteppedClock(self.clock),
            generate_id=self.generate_id,
        )
        worker = Worker(world, report=lambda *_: None)
        process = Process(stage, worker)
        self.processes.append(process)
        process.start(worker.run())

    async def _stop(self) -> None:
        for process in self.processes:
            await process.kill()
        self.processes.clear()

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def generate_id(self) -> str:
        return make_id(self._number())

    def generate_secret(self) -> str:
        return f"{self._number():043}"

    def _manners(self, call: str) -> Manners:
        """Choose how a node treats a call."""
        source, luck = self.source, self.luck
        if source.random() >= luck.trouble:
            return Manners(delay_blocks=luck.latency_blocks)
        trouble = source.choice(luck.troubles)
        # Nobody else is asked for a history: one that leaves something out is taken for proof.
        may_deny = call != "history" or self.variant.perjures
        return Manners(
            reaches=trouble is not Trouble.AWAY,
            answers=trouble is not Trouble.SILENT,
            takes=trouble is not Trouble.DOUBTFUL,
            drops=trouble is Trouble.FORGETFUL,
            denies=trouble is Trouble.DENYING and may_deny,
            lag_blocks=source.choice(LAGS_BLOCKS) if trouble is Trouble.LAGGING else 0,
            delay_blocks=max(luck.latency_blocks, source.choice(luck.delays_blocks)),
        )

    def _check(self, *, is_new: bool = False) -> None:
        machine = self.machine
        clocks = Clocks(machine.now_s(), machine.monotonic_s(), self.accepted_s)
        self.truth.check(self._rows, clocks, believed_s=self.clock.now_s(), is_new=is_new)
        if self.truth.is_complete:
            self._signed_before_restore = None
        elif self._signed_before_restore is not None:
            is_same = self.signer.signed == self._signed_before_restore
            require(is_same, "something was signed on a restored ledger")

    # ── the end ────────────────────────────────────────────────────────────────────────────────

    async def _come_to_an_end(self) -> None:
        """Let time pass, and luck turn good, until every payment has ended; look a last time."""
        self.limit_pages(is_full=False)
        for process in self.processes:
            process.stage.is_frozen = False
            process.stage.likelihood = 0
        for turn in range(TURNS_MAX):
            if turn == BAD_TURNS:
                self.luck = replace(self.luck, trouble=0, latency_blocks=0)
            for process in self.processes:
                while process.stage.held:
                    process.stage.let_one_go()
                    await until_nothing_moves()
                process.raise_what_ended()
            self._check()
            if self.truth.has_ended() and not self.truth.told.is_quarantined:
                break
            if self.truth.told.is_quarantined and turn % 2 == 0:
                do(self, self.reconcile(gives_up=turn > TURNS_MAX // 2))
            else:  # A clock that is set ends a comparison.
                # It may have been set back, which lengthens what waits.
                self.machine.jump(86_400)
            do(self, accept_clock(self))
            await until_nothing_moves()
            self.wait(TURN_S)
            await until_nothing_moves()
        self._check(is_new=True)
        for process in self.processes:
            process.raise_what_ended()
        if self.variant.marks_restored and not self.variant.perjures:
            require(self.truth.is_complete, "a restored ledger is never reconciled")
            require(self.truth.has_ended(), "a payment does not come to an end")


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
