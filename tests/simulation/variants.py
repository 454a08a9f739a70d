"""Ways to do it wrong, each of which the simulation must notice.

They are put in at the ports, from outside: the product has no switch for them.
"""

import json
import shutil
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import bindparam, update
from tests.fakes.chain import SIGNATURE_BYTES, FakeChain
from tests.fakes.clock import FakeClock
from tests.fakes.events import details_of
from tests.fakes.signer import FakeSigner
from tests.simulation.stage import Stage, SteppedLedger, Value
from tests.simulation.start import Files

from waiaas.database import open_ledger, pending_approvals
from waiaas.database.errors import LedgerFull
from waiaas.database.schema import attempts
from waiaas.database.statements import Statement
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction, KillSwitchState
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.meaning import read_request
from waiaas.domain.records import (
    ApprovalRecord,
    AttemptRecord,
    DecisionRecord,
    KillSwitch,
    PolicyRecord,
    Sums,
    TransactionRecord,
)
from waiaas.domain.request import Request, outflows
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.clock_guard import ClockGuard
from waiaas.pipeline.kill_switch import activate
from waiaas.pipeline.reconcile import Reconciler, Reconciliation
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.restored import restored_at, take_mark_off
from waiaas.ports import (
    ChainUnavailable,
    Clock,
    Ledger,
    LedgerTransaction,
    Payload,
    ProvablyExpired,
    Sighting,
    SimulationRefused,
    Unseen,
)

IMPATIENCE_S: Final = 10


class SigningAgain(FakeChain):
    """A time-out is taken for a failure: the payment is built, signed and sent once more."""

    signer: FakeSigner
    agents: dict[str, AgentId]
    """By address."""

    async def send(self, raw: bytes) -> bool:
        try:
            return await super().send(raw)
        except ChainUnavailable:
            fields = json.loads(raw[SIGNATURE_BYTES:])
            again = json.dumps({**fields, "unit_price": 999, "height": self.tip - 1}).encode()
            signature = self.signer.sign(self.agents[self.paid(again).from_address], again)
            return await super().send(signature + again)


class Impatient(FakeChain):
    """What was not seen for ten seconds is called expired."""

    clock: FakeClock

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._asked_at: dict[str, int] = {}

    async def look_up(self, tx_hash: str, *, last_valid_block_height: int) -> Sighting:
        sighting = await super().look_up(tx_hash, last_valid_block_height=last_valid_block_height)
        first = self._asked_at.setdefault(tx_hash, self.clock.now_s())
        if isinstance(sighting, Unseen) and self.clock.now_s() > first + IMPATIENCE_S:
            return ProvablyExpired()
        return sighting


class Unfinalized(FakeChain):
    """The newest height is believed, though what is asked next may be a node that lags."""

    async def look_up(self, tx_hash: str, *, last_valid_block_height: int) -> Sighting:
        is_over = self.tip > last_valid_block_height
        sighting = await super().look_up(tx_hash, last_valid_block_height=last_valid_block_height)
        return ProvablyExpired() if is_over and isinstance(sighting, Unseen) else sighting


class Generous(FakeChain):
    """Whoever has no account for a token is made one, and nobody is told what it costs."""

    async def build(
        self, request: Request, *, from_address: str, unit_price: int
    ) -> Payload | SimulationRefused:
        built = await super().build(request, from_address=from_address, unit_price=unit_price)
        return replace(built, rent=0) if isinstance(built, Payload) else built

    def check(self, message: bytes, request: Request, *, from_address: str, rent: int) -> None:
        del rent
        super().check(message, request, from_address=from_address, rent=2**64)


class _Instead:
    """Something of which some members are others."""

    def __init__(self, real: Any, **instead: Any) -> None:
        self._real = real
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def unreserved(tx: LedgerTransaction) -> Any:
    """Show a ledger in which money in flight does not count."""
    sums = tx.reservations.sums
    return _Instead(
        tx,
        reservations=_Instead(
            tx.reservations, sums=lambda *of, **asset: sums(*of, **asset)._replace(held=[])
        ),
    )


def decided_anew(tx: LedgerTransaction) -> Any:
    """Show a ledger that takes a decision on an approval whether there is one or not."""
    run = tx.approvals._run  # type: ignore[attr-defined]  # -- nothing else lets it be done wrong

    def decide(tx_id: str, *, now_s: int, owner_signature: str | None = None, **at: Any) -> bool:
        decision = {"approved_at": None, "rejected_at": None, **dict.fromkeys(at, now_s)}
        run(_DECIDE, {"of_tx": tx_id, "owner_signature": owner_signature, **decision})
        return True

    approve, reject = partial(decide, approved_at=True), partial(decide, rejected_at=True)
    return _Instead(tx, approvals=_Instead(tx.approvals, approve=approve, reject=reject))


_DECIDE: Final = Statement(
    update(pending_approvals)
    .where(pending_approvals.c.tx_id == bindparam("of_tx"))
    .values({name: bindparam(name) for name in ("approved_at", "rejected_at", "owner_signature")})
)


def untold(tx: LedgerTransaction) -> Any:
    """Show a ledger whose audit log does not hear that a payment was made."""
    append = tx.audit.append

    def some(event: AuditEvent, *, now_s: int) -> None:
        if event.action is not AuditAction.TX_CONFIRMED:
            append(event, now_s=now_s)

    return _Instead(tx, audit=_Instead(tx.audit, append=some))


def rewritten(tx: LedgerTransaction) -> Any:
    """Show a ledger that writes what was signed anew once it is sent; base64 minds no new line."""
    run = tx.attempts._run  # type: ignore[attr-defined]  # -- nothing else lets it be done wrong
    move = tx.attempts.compare_and_set_state

    def move_and_write(tx_id: str, **states: Any) -> bool:
        if states["new"] is AttemptState.SENT:
            run(_REWRITE, {"of_tx": tx_id})
        return move(TransactionId(tx_id), **states)

    return _Instead(tx, attempts=_Instead(tx.attempts, compare_and_set_state=move_and_write))


_REWRITE: Final = Statement(
    update(attempts)
    .where(attempts.c.tx_id == bindparam("of_tx"))
    .values(signed=attempts.c.signed + "\n")
)


def not_stopped(tx: LedgerTransaction) -> Any:
    """Show a ledger whose kill switch is off."""
    return _Instead(tx, kill_switch=_Instead(tx.kill_switch, current=KillSwitch))


def _event(action: AuditAction, ip_address: str | None = None) -> AuditEvent:
    return AuditEvent(action, OPERATOR, details=details_of(action), ip_address=ip_address)


async def refuse_requests(
    reason: str | None, *, ip_address: str | None, ledger: Ledger, clock: Clock, **_: object
) -> None:
    """Turn a kill switch on of which nothing knows but what takes requests in."""

    def unit(tx: LedgerTransaction) -> None:
        now_s = ledger_time(tx, wall_s=clock.now_s())
        tx.kill_switch.move(KillSwitch(KillSwitchState.ACTIVATED, now_s, reason))
        remember(tx, _event(AuditAction.KILL_SWITCH_ACTIVATED, ip_address), now_s=now_s)

    await ledger.write_async(unit)


class Lifting(Reconciler):
    """A restored ledger is taken for reconciled because somebody says so."""

    async def reconcile(
        self, *, accepted: int | None, without: Collection[AgentId]
    ) -> Reconciliation:
        del accepted, without

        def unit(tx: LedgerTransaction) -> None:
            if restored_at(tx) is not None:
                now_s = ledger_time(tx, wall_s=self.clock.now_s())
                take_mark_off(tx, now_s=now_s)
                remember(tx, _event(AuditAction.LEDGER_RECONCILED), now_s=now_s)

        await self.ledger.write_async(unit)
        return Reconciliation(is_reconciled=True)


def as_it_is(tx: LedgerTransaction) -> LedgerTransaction:
    return tx


class _Alike(list[Any]):
    """A list that says it is the same as any other."""

    __hash__ = None

    def __eq__(self, _other: object) -> bool:
        return True


def policies_unchanged(tx: LedgerTransaction) -> Any:
    """Show a ledger whose policies seem to be those of each decision."""
    applying = tx.policies.applying_to
    return _Instead(
        tx, policies=_Instead(tx.policies, applying_to=lambda agent: _Alike(applying(agent)))
    )


def judged_before_the_payload(tx: LedgerTransaction) -> Any:
    """Show a ledger whose policies seem to be those of the decision once a payload is recorded."""
    applying, of_transaction = tx.policies.applying_to, tx.attempts.of_transaction
    is_recorded = False

    def look(tx_id: TransactionId) -> AttemptRecord | None:
        nonlocal is_recorded
        attempt = of_transaction(tx_id)
        is_recorded = attempt is not None
        return attempt

    def applying_to(agent_id: AgentId) -> list[PolicyRecord]:
        policies = applying(agent_id)
        return _Alike(policies) if is_recorded else policies

    return _Instead(
        tx,
        attempts=_Instead(tx.attempts, of_transaction=look),
        policies=_Instead(tx.policies, applying_to=applying_to),
    )


def gone_forgotten(tx: LedgerTransaction) -> Any:
    """Show a ledger of which nothing is signed and nothing has moved, whatever overtook a payment.

    What remains of judging it again is what its own decision rested on.
    """
    nothing = Sums([], 0, -1)
    return _Instead(
        tx,
        reservations=_Instead(
            tx.reservations, signed=lambda *_, **__: 0, sums=lambda *_, **__: nothing
        ),
    )


def constraints_forgotten(tx: LedgerTransaction) -> Any:
    """Show a ledger whose sessions are not looked at again behind the admission."""
    get = tx.sessions.get

    def without(session_id: Any) -> Any:
        session = get(session_id)
        return session and session._replace(constraints=None)

    return _Instead(tx, sessions=_Instead(tx.sessions, get=without))


def uncounted(tx: LedgerTransaction) -> Any:
    """Show a ledger in which what a session uses is not set aside for it."""
    return _Instead(tx, sessions=_Instead(tx.sessions, add_use=lambda *_, **__: None))


def rent_unjudged(tx: LedgerTransaction) -> Any:
    """Show a ledger in which rent is set aside, but not where changed policies are asked again."""
    of, decision_of, is_judging = tx.reservations.amount_of, tx.decisions.get, False

    def begin(tx_id: TransactionId) -> DecisionRecord | None:
        nonlocal is_judging
        is_judging = True
        return decision_of(tx_id)

    def amount_of(tx_id: TransactionId, *, asset: str) -> int:
        nonlocal is_judging
        accepted = tx.requests.get(tx_id)
        if not is_judging or accepted is None:
            return of(tx_id, asset=asset)
        is_judging = False
        return outflows(read_request(accepted.request)).get(asset, 0)

    return _Instead(
        tx,
        decisions=_Instead(tx.decisions, get=begin),
        reservations=_Instead(tx.reservations, amount_of=amount_of),
    )


def same_words(tx: LedgerTransaction) -> Any:
    """Show a ledger whose rules are the same again once they say the same again."""
    applying = tx.policies.applying_to
    return _Instead(
        tx,
        policies=_Instead(
            tx.policies,
            applying_to=lambda agent: [each._replace(updated_at=0) for each in applying(agent)],
        ),
    )


def never_lapsing(tx: LedgerTransaction) -> Any:
    """Show a ledger in which what waits for a person waits for ever, whatever he was told."""
    insert, begin, for_person = tx.approvals.insert, tx.waits.begin, set[TransactionId]()

    def ask(approval: ApprovalRecord) -> None:
        for_person.add(approval.tx_id)
        insert(approval._replace(expires_at=FOREVER_S))

    def wait(tx_id: TransactionId, *, until_at: int) -> None:
        begin(tx_id, until_at=FOREVER_S if tx_id in for_person else until_at)

    return _Instead(
        tx,
        approvals=_Instead(tx.approvals, insert=ask),
        waits=_Instead(tx.waits, begin=wait),
    )


FOREVER_S: Final = 2**40


class Sleepy:
    """What a process knew when it was stopped it takes for true when it wakes.

    So it writes a signature down that it was about to, without looking whether another process has
    signed meanwhile, or whether somebody has called the payment off.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._known: dict[TransactionId, tuple[TransactionRecord | None, AttemptRecord]] = {}

    def __call__(self, tx: LedgerTransaction) -> Any:
        if self._stage.is_frozen or not self._stage.has_slept:
            attempts = _Instead(tx.attempts, of_transaction=partial(self._learn, tx))
            return _Instead(tx, attempts=attempts)
        return _Instead(
            tx,
            transactions=_Instead(tx.transactions, get=partial(self._transaction, tx)),
            attempts=_Instead(
                tx.attempts,
                of_transaction=partial(self._attempt, tx),
                record_signature=partial(self._record, tx),
            ),
        )

    def _learn(self, tx: LedgerTransaction, tx_id: TransactionId) -> AttemptRecord | None:
        attempt = tx.attempts.of_transaction(tx_id)
        self._known.pop(tx_id, None)
        if attempt is not None and attempt.state is AttemptState.RECORDED:
            self._known[tx_id] = tx.transactions.get(tx_id), attempt
        return attempt

    def _transaction(self, tx: LedgerTransaction, tx_id: TransactionId) -> Any:
        return self._known[tx_id][0] if tx_id in self._known else tx.transactions.get(tx_id)

    def _attempt(self, tx: LedgerTransaction, tx_id: TransactionId) -> AttemptRecord | None:
        known = self._known.get(tx_id)
        return tx.attempts.of_transaction(tx_id) if known is None else known[1]

    def _record(self, tx: LedgerTransaction, tx_id: TransactionId, **signed: str) -> bool:
        """Record it, as is thought; from then on the payment is looked at again."""
        self._known.pop(tx_id, None)
        return tx.attempts.record_signature(tx_id, **signed) or True


class Careless(SteppedLedger):
    """What a full disk did not take is answered as if it had; it is written to nowhere."""

    def write(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        try:
            return super().write(unit)
        except LedgerFull:
            folder = Path(self.ledger.path).parent
            copy = folder.with_name(f"{folder.name} copied")
            Files.of(folder).lay_out(copy)
            try:
                with open_ledger(copy) as other:
                    return other.write(lambda tx: unit(self.seen_as(tx)))
            finally:
                shutil.rmtree(copy)


class Believing(ClockGuard):
    """A wall clock is right, whatever it says."""

    def now_s(self) -> int:
        return self._clock.now_s()

    def doubt(self) -> None:
        return None


@dataclass(frozen=True)
class Variant:
    """What is simulated; everything right, unless said otherwise."""

    chain: type[FakeChain] = FakeChain
    seen_as: Callable[[LedgerTransaction], LedgerTransaction] = as_it_is
    worker_sees: Callable[[LedgerTransaction], LedgerTransaction] = as_it_is
    ledger: type[SteppedLedger] = SteppedLedger
    is_sleepy: bool = False
    activate: Callable[..., Awaitable[object]] = activate
    reconciler: type[Reconciler] = Reconciler
    guard: type[ClockGuard] = ClockGuard
    marks_restored: bool = True
    keeps_commits: bool = True
    """Whether a kill leaves what the operating system was given."""
    perjures: bool = False

    def worker_of(self, stage: Stage) -> Callable[[LedgerTransaction], LedgerTransaction]:
        """Return how the worker of a process sees the ledger."""
        return Sleepy(stage) if self.is_sleepy else self.worker_sees


RIGHT: Final = Variant()
