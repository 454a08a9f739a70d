"""Locking the keystore and unlocking it: in between the daemon serves reads and signs nothing.

Locking tightens, so it comes first and its audit row second: a ledger that takes no writes keeps
nothing open. Unlocking loosens, so without its row it is undone.

What is due while it is locked waits, nothing of it is given up or forgotten. New requests for
payments are refused: they would set money aside for as long as nobody unlocks.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import Clock, Keystore, Ledger, Signer


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
    ledger: Ledger
    clock: Clock
    forget_logins: Callable[[], None]
    """Ends what operators were allowed for a while: no login survives a lock."""
    resume: Callable[[], None]
    """Takes up what was held."""

    async def lock(self, *, actor: str, ip_address: str | None = None) -> None:
        """Zero the keys; they are gone even if the ledger then refuses the row. May be repeated."""
        was_locked = self.keystore.is_locked
        self.keystore.lock()
        self.forget_logins()
        if not was_locked:
            await self._remember(AuditAction.KEYSTORE_LOCKED, actor, ip_address)

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
        try:
            await self._remember(AuditAction.KEYSTORE_UNLOCKED, actor, ip_address)
        except BaseException:
            self.keystore.lock()
            raise
        self.resume()

    async def _remember(self, action: AuditAction, actor: str, ip_address: str | None) -> None:
        wall_s = self.clock.now_s()
        event = AuditEvent(action, actor, ip_address=ip_address)
        await self.ledger.write_async(
            lambda tx: remember(tx, event, now_s=ledger_time(tx, wall_s=wall_s))
        )
