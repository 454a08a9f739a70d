"""Time opens no window: while the wall clock is in doubt nothing is admitted and nothing is signed.

Everything is given the guard in place of the machine's clock, so no row is ever dated by a wall
clock that jumped. The doubt ends when the clock is back where it should be, or when the operator
accepts where it is. What is signed is sent and watched meanwhile, and whatever stops goes on.

Once in a boot each chain's time is heard, too. It comes from a node, which may lie: it can begin a
doubt, and only the operator ends that one.
"""

import json
from collections.abc import Callable, Collection, Sequence
from typing import Final

from waiaas.domain.audit import OPERATOR, SYSTEM, AuditEvent
from waiaas.domain.clock import (
    TOLERANCE_S,
    ClockDoubt,
    ClockReading,
    anchors_after_restore,
    anchors_at_start,
    anchors_with_chain,
    believable_s,
    doubt_of,
)
from waiaas.domain.enums import AuditAction
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.pipeline.advance import Step
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.refuse import audit_refusal, unless_refused
from waiaas.ports import Clock, GuardedClock, Ledger, LedgerTransaction

_ANCHORS_KEY: Final = "clock.anchors"
_HEARD_KEY: Final = "clock.chains_heard_in"
"""The boot in which all chains' times were heard, or the operator looked."""
_NOTED_KEY: Final = "clock.in_doubt"
_NOT: Final = ""

_ACCEPT: Final = "clock accept"
_SPENDS: Final = frozenset({Step.PREPARE, Step.SIGN})


class ClockInDoubt(Exception):  # noqa: N818 -- a state of the world, named as one
    """Nothing is signed, and nothing ends by time, until the clock may be believed again."""


class ClockGuard:
    """`waiaas.ports.GuardedClock` over the machine's clock.

    Until `start` has given it an anchor it says the first second there is, of which ledger time
    makes the last recorded one.
    """

    def __init__(self, clock: Clock, *, boot_id: str) -> None:
        self._clock = clock
        self._boot_id = boot_id
        self._anchors: tuple[ClockReading, ...] = ()
        self._has_heard_chains = False

    def now_s(self) -> int:
        reading = self._read()
        return min((believable_s(each, reading) for each in self._anchors), default=0)

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def doubt(self) -> ClockDoubt | None:
        assert self._anchors, "a clock is started before anybody relies on it"
        reading = self._read()
        doubts = (doubt_of(each, reading) for each in self._anchors)
        return next((doubt for doubt in doubts if doubt is not None), None)

    @property
    def wants_chains(self) -> bool:
        """Whether not all chains were heard in this boot, and the operator has not looked."""
        return not self._has_heard_chains

    def start(self, ledger: Ledger) -> None:
        """Take the anchors of this boot from the ledger, or the clock as it is for one."""

        def anchors_of(tx: LedgerTransaction) -> tuple[ClockReading, ...]:
            last_s = tx.audit.latest_timestamp()
            return anchors_at_start(stored_anchors(tx), self._read(), last_s=last_s)

        self._begin(ledger, anchors_of)

    def start_restored(
        self, ledger: Ledger, replaced: Sequence[ClockReading], *, made_s: int
    ) -> None:
        """Take the anchors for a ledger that came out of a backup.

        Args:
            ledger: it is, and not in use yet.
            replaced: the anchors of the ledger that was there, as far as that could be read.
            made_s: when the backup was made.
        """

        def anchors_of(tx: LedgerTransaction) -> tuple[ClockReading, ...]:
            known, last_s = stored_anchors(tx), tx.audit.latest_timestamp()
            return anchors_after_restore(
                [*known, *replaced], self._read(), last_s=max(last_s, made_s)
            )

        self._begin(ledger, anchors_of)

    def keep(self, tx: LedgerTransaction) -> None:
        """Write the anchors down, for the next start in this boot."""
        _put(tx, self._anchors, now_s=ledger_time(tx, wall_s=self.now_s()))

    async def hear(self, chains_s: Collection[int], *, are_all: bool) -> None:
        """Let chains' times speak, each once in a boot; they can only begin a doubt.

        Args:
            chains_s: when their newest final blocks were made.
            are_all: whether no other chain has still to answer.
        """
        if self._has_heard_chains:  # Or the operator has looked meanwhile.
            return
        for chain_s in chains_s:
            self._anchors = anchors_with_chain(self._anchors, self._read(), chain_s)
        self._has_heard_chains = are_all

        def unit(tx: LedgerTransaction) -> None:
            self.keep(tx)
            heard_in = self._boot_id if are_all else _NOT
            tx.key_values.put(_HEARD_KEY, heard_in, now_s=tx.audit.latest_timestamp())

        await self._ledger.write_async(unit)

    async def accept(self, difference_s: int, ip_address: str | None) -> ClockDoubt | None:
        """Believe the wall clock as it is; return the doubt that this ended, if there was one.

        Args:
            difference_s: how far off the operator has seen it to be.
            ip_address: whose it is, for the audit log.

        Raises:
            Refusal: CLOCK_IN_DOUBT; it is somewhere else by now.
        """
        doubt, reading = self.doubt(), self._read()
        if doubt is None:
            return None

        def unit(tx: LedgerTransaction) -> ClockDoubt | Refusal:
            if abs(doubt.difference_s - difference_s) > TOLERANCE_S:
                now_s = ledger_time(tx, wall_s=self.now_s())
                return audit_refusal(
                    tx, _moved(doubt), operation=_ACCEPT, now_s=now_s, ip_address=ip_address
                )
            now_s = ledger_time(tx, wall_s=reading.wall_s)
            _put(tx, (reading,), now_s=now_s)
            tx.key_values.put(_HEARD_KEY, self._boot_id, now_s=now_s)
            tx.key_values.put(_NOTED_KEY, _NOT, now_s=now_s)
            event = AuditEvent(
                AuditAction.CLOCK_ACCEPTED, OPERATOR, details=_facts(doubt), ip_address=ip_address
            )
            remember(tx, event, now_s=now_s)
            return doubt

        accepted = await unless_refused(self._ledger, unit)
        self._anchors, self._has_heard_chains = (reading,), True
        return accepted

    def _begin(
        self, ledger: Ledger, anchors_of: Callable[[LedgerTransaction], tuple[ClockReading, ...]]
    ) -> None:
        self._ledger = ledger
        self._anchors, heard_in = ledger.read(
            lambda tx: (anchors_of(tx), tx.key_values.get(_HEARD_KEY))
        )
        self._has_heard_chains = heard_in == self._boot_id

    def _read(self) -> ClockReading:
        return ClockReading(self._boot_id, self._clock.monotonic_s(), self._clock.now_s())


def stored_anchors(tx: LedgerTransaction) -> list[ClockReading]:
    """Return the anchors that a ledger holds, of whichever boot they are."""
    stored = tx.key_values.get(_ANCHORS_KEY)
    return [ClockReading(*each) for each in json.loads(stored or "[]")]


def refuse_in_doubt(tx: LedgerTransaction, doubt: ClockDoubt, *, now_s: int) -> Refusal:
    """Return the refusal of whatever spends; that there is a doubt is written down, once."""
    note(tx, doubt, now_s=now_s)
    return refusal_in_doubt(doubt)


def refusal_in_doubt(doubt: ClockDoubt) -> Refusal:
    """Return the refusal of whatever spends; nothing is written down."""
    return Refusal(
        ErrorCode.CLOCK_IN_DOUBT,
        f"the clock of the wallet's machine is {_how_far(doubt)}: nothing is paid by it",
    )


def note(tx: LedgerTransaction, doubt: ClockDoubt | None, *, now_s: int) -> bool:
    """Write down that a doubt began, or that it ended by itself; False if that was known.

    Args:
        tx: in which the clock was judged: an older judgement would end a doubt begun since.
        doubt: what came of it.
        now_s: ledger time.
    """
    if (doubt is not None) is bool(tx.key_values.get(_NOTED_KEY)):
        return False
    tx.key_values.put(_NOTED_KEY, _NOT if doubt is None else str(now_s), now_s=now_s)
    event = (
        AuditEvent(AuditAction.CLOCK_RETURNED, SYSTEM)
        if doubt is None
        else AuditEvent(AuditAction.CLOCK_JUMPED, SYSTEM, details=_facts(doubt))
    )
    remember(tx, event, now_s=now_s)
    return True


def require_believable(clock: GuardedClock, step: Step | None, *, is_forbidden: bool) -> None:
    """Return unless the step spends or ends a wait, and the clock is in doubt.

    What is forbidden is not signed in any case, so it may be called off.

    Raises:
        ClockInDoubt: the transaction stays as it is.
    """
    depends_on_time = step is Step.EXPIRE or (step in _SPENDS and not is_forbidden)
    doubt = clock.doubt() if depends_on_time else None
    if doubt is not None:
        raise ClockInDoubt(f"the clock is {_how_far(doubt)}: nothing is signed by it")


def _put(tx: LedgerTransaction, anchors: Sequence[ClockReading], *, now_s: int) -> None:
    tx.key_values.put(_ANCHORS_KEY, json.dumps(anchors), now_s=now_s)


def _facts(doubt: ClockDoubt) -> dict[str, str | int | None]:
    return {"expected": doubt.expected_s, "actual": doubt.actual_s}


def _how_far(doubt: ClockDoubt) -> str:
    side = "ahead of" if doubt.difference_s > 0 else "behind"
    return f"{abs(doubt.difference_s)} seconds {side} what it should show"


def _moved(doubt: ClockDoubt) -> Refusal:
    return Refusal(
        ErrorCode.CLOCK_IN_DOUBT,
        f"the clock is somewhere else by now: {_how_far(doubt)}",
        hint="Look again: `waiaas clock status`.",
    )
