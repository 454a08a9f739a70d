"""A restored ledger pays again once it counts what the lost one paid; a naive one overspends."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from nacl.signing import SigningKey
from tests.fakes.agents import ask, insert_agent
from tests.fakes.chain import LOCALNET, FakeChain, Manners
from tests.fakes.clock import NOW_S, FakeClock
from tests.fakes.events import BACKUP
from tests.fakes.ledger import MemoryLedger
from tests.fakes.reports import unexpected
from tests.fakes.signer import FakeSigner

from waiaas.database import generate_id
from waiaas.database.totals import wrong_totals
from waiaas.domain.addresses import solana_address
from waiaas.domain.assets import Network
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType, TransactionStatus
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, SessionId
from waiaas.domain.records import SessionRecord, TransactionRecord
from waiaas.domain.request import Transfer
from waiaas.pipeline.admit import Admission, Caller
from waiaas.pipeline.agent_life import AgentVerbs
from waiaas.pipeline.clock_guard import ClockGuard
from waiaas.pipeline.perform import World, perform, read_standing
from waiaas.pipeline.reconcile import PAGES_MAX, Reconciler, Reconciliation
from waiaas.pipeline.restored import (
    mark_restored,
    restored_at,
    take_mark_off,
    uncompared_since,
)
from waiaas.ports import Chain, LedgerTransaction, Movement

TO: Final = solana_address(bytes(SigningKey(bytes([9]) * 32).verify_key))
DAILY: Final = 1000
LIMITS: Final = [{"asset": "native", "instant_max": str(DAILY), "daily_max": str(DAILY)}]
OLD_BLOCKS: Final = 150 + 32
"""After so many, nothing that was signed before can land, finally."""


class PowerCut(Exception):  # noqa: N818 -- a state of the world
    """The process is gone."""


@dataclass
class Cutting:
    """A ledger whose power goes behind so many writes."""

    ledger: MemoryLedger
    writes_left: int

    async def write_async(self, unit: Callable[[LedgerTransaction], Any]) -> Any:
        value = self.ledger.write(unit)
        self.writes_left -= 1
        if self.writes_left == 0:
            raise PowerCut
        return value

    def write(self, unit: Callable[[LedgerTransaction], Any]) -> Any:
        return self.ledger.write(unit)

    def read(self, query: Callable[[LedgerTransaction], Any]) -> Any:
        return self.ledger.read(query)


@dataclass
class Life:
    """An agent whose ledger was backed up; what `lose` does is not in the backup."""

    ledger: MemoryLedger
    chain: FakeChain = field(default_factory=FakeChain)
    signer: FakeSigner = field(default_factory=FakeSigner)
    clock: FakeClock = field(default_factory=FakeClock)
    caller: Caller = field(init=False)
    address: str = field(init=False)
    backup: Any = None

    def __post_init__(self) -> None:
        self.caller, self.address = self.hire()

    def hire(self) -> tuple[Caller, str]:
        agent_id = AgentId(generate_id())
        address = self.signer.generate(agent_id)
        self.chain.fund(address, base_units=10**9)
        caller = self.ledger.write(
            lambda tx: insert_agent(
                tx, agent_id, address=address, limits=LIMITS, generate_id=generate_id
            )
        )
        return caller, address

    def ask(self, amount: int, *, key: str, caller: Caller | None = None) -> Admission:
        return asyncio.run(
            ask(
                Transfer(TO, amount),
                caller=caller or self.caller,
                key=key,
                ledger=self.ledger,
                clock=self.clock,
                generate_id=generate_id,
            )
        )

    def step(self, transaction: TransactionRecord, times: int = 1) -> None:
        world = World(self.ledger, self.signer, {LOCALNET: self.chain}, self.clock, generate_id)
        for _ in range(times):
            standing = self.ledger.read(
                lambda tx: read_standing(tx, transaction.id, wall_s=self.clock.now_s())
            )
            asyncio.run(perform(standing, world))

    def pay(self, amount: int, *, key: str) -> TransactionRecord:
        """Let a payment be made and be confirmed."""
        transaction = self.ask(amount, key=key).transaction
        self.step(transaction, 3)
        self.chain.pass_blocks(1)
        self.step(transaction)
        assert self.status(transaction) is TransactionStatus.CONFIRMED
        return transaction

    def status(self, transaction: TransactionRecord) -> TransactionStatus:
        found = self.ledger.read(lambda tx: tx.transactions.get(transaction.id))
        assert found is not None
        return found.status

    def back_up(self) -> None:
        self.backup = self.ledger.connection.sqlite.serialize("main")

    def restore(self) -> None:
        self.clock.jump(60)
        self.ledger.connection.sqlite.deserialize("main", self.backup)
        self.ledger.write(lambda tx: mark_restored(tx, wall_s=self.clock.now_s(), details=BACKUP))

    def reconcile(
        self,
        accepted: int | None = None,
        *,
        without: tuple[AgentId, ...] = (),
        chain: Chain | None = None,
        ledger: Any = None,
        chains: dict[Network, Chain] | None = None,
    ) -> Reconciliation:
        nodes = {LOCALNET: chain or self.chain} if chains is None else chains
        reconciler = Reconciler(ledger or self.ledger, nodes, self.clock, None)
        return asyncio.run(reconciler.reconcile(accepted=accepted, without=without))

    def is_marked(self) -> bool:
        return self.ledger.read(restored_at) is not None

    def renew(self) -> Caller:
        """Give the agent a new session."""
        session_id = SessionId(generate_id())
        ends_at = NOW_S + 10**9
        session = SessionRecord(
            session_id,
            self.caller.agent_id,
            session_id,
            ends_at,
            None,
            ends_at,
            NOW_S,
            constraints=None,
        )
        self.ledger.write(lambda tx: tx.sessions.insert(session))
        return Caller(self.caller.agent_id, session_id, None)

    def agent_status(self) -> AgentStatus:
        found = self.ledger.read(lambda tx: tx.agents.get(self.caller.agent_id))
        assert found is not None
        return found.status

    def events(self) -> list[str]:
        rows = self.ledger.connection.sqlite.execute("SELECT event_type FROM audit_log ORDER BY id")
        return [name for (name,) in rows]


@pytest.fixture
def life() -> Iterator[Life]:
    """An agent that paid 100, was backed up, paid 300 and 50 more, and was restored."""
    with MemoryLedger() as ledger:
        life = Life(ledger)
        life.pay(100, key="before")
        life.back_up()
        life.pay(300, key="lost")
        life.pay(50, key="lost, too")
        life.restore()
        life.chain.pass_blocks(32)
        yield life


def latest(tx: LedgerTransaction) -> int:
    return tx.audit.latest_timestamp()


def settled(life: Life) -> Reconciliation:
    """Compare until nothing old can land, and return what was found."""
    life.reconcile()
    life.chain.pass_blocks(OLD_BLOCKS)
    return life.reconcile()


def test_what_the_lost_ledger_paid_counts_once_a_person_has_seen_it(life: Life) -> None:
    seen = settled(life)
    assert sorted(int(each.amount) for each in seen.movements) == [50, 300]
    assert (seen.is_reconciled, seen.transaction_count, seen.blocks_left) == (False, 2, 0)
    for accepted in (None, 0, 1, 3):
        assert not life.reconcile(accepted).is_reconciled
        assert life.is_marked()
    done = life.reconcile(2)
    assert (done.is_reconciled, done.sessions_revoked, done.movements) == (True, 1, seen.movements)
    assert not life.is_marked()
    names = life.events()
    assert names.count("FOREIGN_MOVEMENT_FOUND") == 2
    assert names.count("LEDGER_RECONCILED") == 1
    caller = life.renew()
    refusal = life.ask(DAILY - 450 + 1, key="over", caller=caller).refusal
    assert refusal is not None
    assert refusal.code == "SPENDING_LIMIT_EXCEEDED"
    assert life.ask(DAILY - 450, key="all", caller=caller).refusal is None
    assert not list(wrong_totals(life.ledger.connection))
    assert life.reconcile() == Reconciliation(is_reconciled=True)


def test_without_comparing_the_limit_is_broken(life: Life) -> None:
    def lift(tx: LedgerTransaction) -> None:
        take_mark_off(tx, now_s=life.clock.now_s())

    life.ledger.write(lift)  # the control
    life.pay(DAILY - 100, key="naive")
    assert sum(paid.leaving().total() for paid in life.chain.effects().elements()) > DAILY


def test_what_was_signed_before_the_loss_may_land_until_its_time_is_over(life: Life) -> None:
    seen = life.reconcile(2)
    assert (seen.is_reconciled, seen.transaction_count) == (False, 2)
    assert seen.blocks_left > 0
    life.chain.pass_blocks(seen.blocks_left - 1)
    assert not life.reconcile(2).is_reconciled
    life.chain.pass_blocks(1)
    assert life.reconcile(2).is_reconciled


def test_a_payment_that_lands_late_is_found_and_has_to_be_accepted() -> None:
    with MemoryLedger() as ledger:
        life = Life(ledger)
        life.back_up()
        late = life.ask(300, key="late").transaction
        life.step(late, 2)
        life.chain.manners = lambda _call: Manners(delay_blocks=140)
        life.step(late)
        life.chain.manners = lambda _call: Manners()
        life.restore()
        assert life.reconcile(0).movements == ()
        assert life.is_marked()
        assert settled(life).transaction_count == 1
        assert not life.reconcile(0).is_reconciled
        assert life.reconcile(1).is_reconciled


def test_what_was_not_signed_is_called_off_and_what_was_is_watched() -> None:
    with MemoryLedger() as ledger:
        life = Life(ledger)
        unsigned, recorded, sent = (
            life.ask(10, key=str(number)).transaction for number in range(3)
        )
        life.step(recorded)
        life.step(sent, 3)
        life.back_up()
        life.step(recorded, 2)  # the lost ledger signs what the restored one holds unsigned
        life.restore()
        found = settled(life)
        assert [each.amount for each in found.movements] == ["10"]
        done = life.reconcile(1)
        assert (done.is_reconciled, done.transactions_cancelled) == (True, 2)
        for each in (unsigned, recorded):
            assert life.status(each) is TransactionStatus.CANCELLED
        life.step(sent)
        assert life.status(sent) is TransactionStatus.CONFIRMED
        assert life.chain.effects().total() == 2
        assert not list(wrong_totals(life.ledger.connection))


def test_a_backup_made_before_reconciliation_hides_nothing_that_was_lost_before_it() -> None:
    with MemoryLedger() as ledger:
        life = Life(ledger)
        slow = life.ask(10, key="slow").transaction
        life.chain.manners = lambda _call: Manners(delay_blocks=5)
        life.step(slow, 3)
        life.chain.manners = lambda _call: Manners()
        life.back_up()
        life.pay(DAILY - 10, key="lost")
        life.restore()
        first_s = ledger.read(uncompared_since)
        life.chain.pass_blocks(40)
        life.step(slow)  # it lands behind what was lost, and the marked ledger knows of it
        assert life.status(slow) is TransactionStatus.CONFIRMED
        life.back_up()
        life.restore()
        assert ledger.read(uncompared_since) == first_s
        assert [each.amount for each in settled(life).movements] == [str(DAILY - 10)]
        assert life.reconcile(1).is_reconciled
        life.restore()  # once more, now that it is reconciled: the backup has the mark still
        assert ledger.read(uncompared_since) == first_s
        assert [each.amount for each in settled(life).movements] == [str(DAILY - 10)]


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_comparison_that_is_cut_off_is_done_again_and_counts_once(
    writes: int, life: Life
) -> None:
    life.reconcile(chain=life.chain, ledger=Cutting(life.ledger, 99), chains={})
    with pytest.raises(PowerCut):
        life.reconcile(ledger=Cutting(life.ledger, writes))
    life.chain.pass_blocks(OLD_BLOCKS + 32)
    assert settled(life).transaction_count == 2
    with pytest.raises(PowerCut):
        life.reconcile(2, ledger=Cutting(life.ledger, 1))
    assert not life.is_marked()
    assert life.events().count("FOREIGN_MOVEMENT_FOUND") == 2
    assert not list(wrong_totals(life.ledger.connection))


@pytest.mark.parametrize(
    "manners", [Manners(reaches=False), Manners(answers=False)], ids=["away", "silent"]
)
def test_while_a_node_does_not_answer_the_mark_stays(manners: Manners, life: Life) -> None:
    settled(life)
    life.chain.manners = lambda _call: manners
    seen = life.reconcile(2)
    assert [each.agent_id for each in seen.unread] == [life.caller.agent_id]
    assert "did not answer" in seen.unread[0].reason
    assert life.is_marked()


def test_a_node_that_lags_is_not_believed_that_nothing_is_left(life: Life) -> None:
    life.reconcile()
    life.chain.pass_blocks(OLD_BLOCKS)
    life.chain.manners = lambda _call: Manners(lag_blocks=10)
    assert life.reconcile(2).blocks_left == 10


def test_a_history_that_does_not_lead_back_to_what_is_known_is_none(life: Life) -> None:
    settled(life)
    life.chain.manners = lambda call: Manners(denies=call == "history")
    seen = life.reconcile(2)
    assert "does not reach back" in seen.unread[0].reason
    assert life.is_marked()


@dataclass
class Endless:
    """A node whose history has no end."""

    chain: FakeChain

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chain, name)

    async def history(self, address: str, *, before: str | None) -> Any:
        page = await self.chain.history(address, before=None)
        return replace(page, tx_hashes=("dust",), earlier=f"{before}.")

    async def movement(self, tx_hash: str, *, address: str) -> Movement | None:
        assert tx_hash == "dust"
        assert address
        return None


def test_a_history_without_end_is_given_up(life: Life) -> None:
    seen = life.reconcile(2, chain=Endless(life.chain))
    assert f"more than {PAGES_MAX} pages" in seen.unread[0].reason


def test_an_agent_without_a_node_keeps_all_waiting_until_it_is_given_up(life: Life) -> None:
    seen = life.reconcile(0, chains={})
    assert "--without-agent" in seen.unread[0].reason
    assert life.is_marked()
    agent_id = life.caller.agent_id
    done = life.reconcile(0, chains={}, without=(agent_id,))
    assert done.is_reconciled
    agent = life.ledger.read(lambda tx: tx.agents.get(agent_id))
    assert agent is not None
    assert agent.status is AgentStatus.TERMINATED


def test_only_agents_that_are_ended_are_counted_as_such(life: Life) -> None:
    agent_id = life.caller.agent_id
    assert life.reconcile(0, chains={}, without=(agent_id, agent_id)).is_reconciled
    (row,) = life.ledger.connection.sqlite.execute(
        "SELECT details FROM audit_log WHERE event_type = 'LEDGER_RECONCILED'"
    )
    assert json.loads(row[0])["agentsTerminated"] == 1


def test_whom_nobody_knows_nobody_leaves_out(life: Life) -> None:
    with pytest.raises(Refusal, match="no agent"):
        life.reconcile(without=(AgentId("x"),))
    life.ledger.connection.sqlite.execute("UPDATE agents SET status = 'CREATING'")
    with pytest.raises(Refusal, match="CREATING"):
        life.reconcile(without=(life.caller.agent_id,))


def test_a_horizon_that_was_a_lie_does_not_hold_the_ledger_for_ever(life: Life) -> None:
    honest, life.chain.tip = life.chain.tip, 10**6
    life.reconcile()
    life.chain.tip = honest
    assert settled(life).blocks_left == 0


def test_a_second_restore_begins_anew(life: Life) -> None:
    settled(life)
    life.back_up()
    life.restore()
    assert life.reconcile(2).blocks_left > 0


def test_what_is_restored_meanwhile_is_not_taken_for_compared(life: Life) -> None:
    settled(life)

    def restore_again(call: str) -> Manners:
        if call == "history":
            life.chain.manners = lambda _call: Manners()
            life.restore()
        return Manners()

    life.back_up()
    life.chain.manners = restore_again
    assert not life.reconcile(2).is_reconciled
    assert life.is_marked()


def test_an_agent_that_was_terminated_since_the_restore_is_compared_like_any_other(
    life: Life,
) -> None:
    verbs = AgentVerbs(life.ledger, life.clock, None, unexpected)
    asyncio.run(verbs.terminate(life.caller.agent_id))
    assert life.agent_status() is AgentStatus.TERMINATED
    assert settled(life).transaction_count == 2
    assert life.reconcile(2).is_reconciled


def test_one_that_was_terminated_before_the_backup_is_not_asked_about() -> None:
    with MemoryLedger() as ledger:
        life = Life(ledger)
        verbs = AgentVerbs(life.ledger, life.clock, None, unexpected)
        asyncio.run(verbs.terminate(life.caller.agent_id))
        life.clock.jump(1)
        life.back_up()
        life.restore()
        assert life.reconcile(0, chains={}).is_reconciled


@pytest.mark.parametrize("jump_s", [-25 * 3600, 25 * 3600])
def test_in_doubt_nothing_is_compared_since_a_window_would_forget_what_is_dated_too_early(
    life: Life, jump_s: int
) -> None:
    guard = ClockGuard(life.clock, boot_id="boot")
    guard.start(life.ledger)
    nodes: dict[Network, Chain] = {LOCALNET: life.chain}
    reconciler = Reconciler(life.ledger, nodes, guard, None)
    life.clock.jump(jump_s)
    before = life.events()
    with pytest.raises(Refusal) as caught:
        asyncio.run(reconciler.reconcile(accepted=2, without=()))
    assert (caught.value.code, life.events()) == ("CLOCK_IN_DOUBT", before)
    asyncio.run(guard.accept(jump_s, None))
    found = asyncio.run(reconciler.reconcile(accepted=None, without=())).movements
    assert len(found) == 2
    assert {each.counted_at for each in found} == {life.ledger.read(latest)}


def test_an_expired_payment_that_landed_all_the_same_counts(life: Life) -> None:
    """The ledger was lied to about it, and has freed its money."""
    life.ledger.connection.sqlite.execute("UPDATE attempts SET state = 'EXPIRED'")
    life.ledger.connection.sqlite.execute("UPDATE transactions SET status = 'EXPIRED'")
    assert settled(life).transaction_count == 3
    assert settled(life).transaction_count == 3


def test_two_comparisons_at_once_count_once(life: Life) -> None:
    async def pause(_call: str) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn  # lets the other one go on; no time passes

    async def both() -> None:
        nodes: dict[Network, Chain] = {LOCALNET: life.chain}
        reconciler = Reconciler(life.ledger, nodes, life.clock, None)
        await asyncio.gather(*(reconciler.reconcile(accepted=None, without=()) for _ in range(2)))

    life.chain.pause = pause
    asyncio.run(both())
    assert life.events().count("FOREIGN_MOVEMENT_FOUND") == 2


def test_an_agent_on_a_chain_without_an_adapter_is_not_waited_for_and_loses_its_sessions(
    life: Life,
) -> None:
    elsewhere = Network(ChainType.ETHEREUM, NetworkType.MAINNET)
    agent_id = AgentId(generate_id())
    address = life.signer.generate(agent_id)
    caller = life.ledger.write(
        lambda tx: insert_agent(
            *(tx, agent_id),
            address=address,
            limits=(),
            generate_id=generate_id,
            lives_on=elsewhere,
        )
    )
    seen = life.reconcile(2)
    assert not seen.unread
    life.chain.pass_blocks(seen.blocks_left)
    assert life.reconcile(2).is_reconciled
    agent, session = life.ledger.read(
        lambda tx: (tx.agents.get(agent_id), tx.sessions.get(caller.session_id))
    )
    assert agent is not None
    assert session is not None
    assert (agent.status, session.revoked_at is None) == (AgentStatus.ACTIVE, False)
