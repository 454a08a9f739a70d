"""Locking the keystore and unlocking it: in between the daemon serves reads and signs nothing.

Locking tightens, so it comes first and its audit row second: a ledger that takes no writes keeps
nothing open. On a full disk the row is written in the ledger's reserve; one that found no room
even there follows as soon as there is some. Unlocking loosens, so without its row it is undone.

What is due while it is locked waits, nothing of it is given up or forgotten. New requests for
payments are refused: they would set money aside for as long as nobody unlocks.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import Clock, Keystore, LedgerTransaction, LedgerWithReserve, Signer


class SignerLocked(Exception):  # noqa: N818 -- a state of the world, named as one
    """The keystore is locked: what leads to a signature waits until it is unlocked."""


def require_unlocked(signer: Signer) -> None:
    """Return if there are keys.

    Raises:
        SignerLocked: there are none.
    """
    if signer.is_locked:
        raise SignerLocked("the keystore is locked: the operator runs `waiaas unlock`")


@dataclass(frozen=True, slots=True)
class Locking:
    """What belongs to a lock besides the keystore's own."""

    keystore: Keystore
    ledger: LedgerWithReserve
    clock: Clock
    forget_logins: Callable[[], None]
    """Ends what operators were allowed for a while: no login survives a lock."""
    resume: Callable[[], None]
    """Takes up what was held."""

    _missed: list[tuple[AuditEvent, int]] = field(default_factory=list)
    """Rows that could not be written yet, each with the second that the wall clock showed."""

    async def lock(self, *, actor: str, ip_address: str | None = None) -> str | None:
        """Zero the keys, whatever the ledger then says to the row. May be repeated.

        Returns:
            Why the row is not written yet; None if it is.
        """
        was_locked = self.keystore.is_locked
        self.keystore.lock()
        self.forget_logins()
        if not was_locked:
            event = AuditEvent(AuditAction.KEYSTORE_LOCKED, actor, ip_address=ip_address)
            self._missed.append((event, self.clock.now_s()))
        return await self.write_missed()

    async def write_missed(self) -> str | None:
        """Write the rows that could not be written before; return why that failed, if it did."""
        if not self._missed:
            return None
        missed = self._take_missed()
        try:
            unit = _recording(missed)
            await self.ledger.write_from_reserve(unit, smaller=unit)
        except Exception as error:  # noqa: BLE001 -- the keys are gone, whatever the ledger says
            self._missed[:0] = missed
            return str(error)
        return None

    async def unlock(self, password: bytes, *, actor: str, ip_address: str | None = None) -> None:
        """Open the keystore with *password*, which was found right before; may be repeated.

        Takes a key derivation, on a thread of its own. Who stops waiting for it does not stop it,
        so it goes on to its audit row, too.
        """
        if not self.keystore.is_locked:
            return
        await asyncio.shield(self._open(password, actor, ip_address))

    async def _open(self, password: bytes, actor: str, ip_address: str | None) -> None:
        await asyncio.to_thread(self.keystore.unlock, password)
        event = AuditEvent(AuditAction.KEYSTORE_UNLOCKED, actor, ip_address=ip_address)
        missed = self._take_missed()
        try:
            rows = [*missed, (event, self.clock.now_s())]
            await self.ledger.write_async(_recording(rows))
        except BaseException:
            self.keystore.lock()
            self._missed[:0] = missed
            raise
        self.resume()

    def _take_missed(self) -> list[tuple[AuditEvent, int]]:
        """Take what was missed over, so that no other call writes it, too."""
        missed = self._missed.copy()
        self._missed.clear()
        return missed


def _recording(rows: list[tuple[AuditEvent, int]]) -> Callable[[LedgerTransaction], None]:
    def unit(tx: LedgerTransaction) -> None:
        for event, wall_s in rows:
            remember(tx, event, now_s=ledger_time(tx, wall_s=wall_s))

    return unit
