"""What is done to keys, beside no daemon: whoever does it holds the data directory's lock.

The ledger hears of it first. A key is nothing that a transaction could take back, so an act is two
rows: one before it, which says what is about to be, and one behind it. A crash between them leaves
the first alone, which claims nothing; whether the act was done is seen by the file that it names.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from waiaas.backups.create import guarded
from waiaas.backups.swap import claimed
from waiaas.database import Ledger, open_ledger
from waiaas.database.errors import AlreadyOpen, DatabaseError
from waiaas.directory import KEYSTORE_NAME, DaemonError, in_use, require_initialised, sentence
from waiaas.domain.audit import OPERATOR, SYSTEM, UNAUTHENTICATED, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.keystore.errors import KeystoreError, WrongPassword
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.kdf import CURRENT, Cost
from waiaas.keystore.rewriting import Rewrite, cost_rise, password_change
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import Clock

Ask = Callable[[], Guarded | bytes]
"""Asks for a password, or reads it from where the operator said."""

log = structlog.get_logger()


def change_password(directory: Path, *, password: Ask, new_password: Ask, clock: Clock) -> bool:
    """Put the keystore under another master password; nothing but keystore.json is changed.

    Args:
        directory: the data directory; no daemon runs on it.
        password: the one that it has.
        new_password: the one it is to have; asked for once the other was found right.
        clock: of this machine.

    Returns:
        Whether the ledger has both rows; if not, the password is changed all the same.

    Raises:
        DaemonError: it is unchanged, and why; or the disk does not promise to keep the new file.
    """
    with _ledger(directory, clock) as (ledger, guard), _attempt(ledger, guard):
        keystore = directory / KEYSTORE_NAME
        with password_change(keystore, password(), new_password=new_password) as rewrite:
            return _rotate(rewrite, reason="password", actor=OPERATOR, ledger=ledger, clock=guard)


def raise_cost(
    keystore: Path,
    password: Guarded | bytes,
    *,
    ledger: Ledger,
    clock: Clock,
    cost: Cost = CURRENT,
) -> None:
    """Let a guess at the password cost what this release asks, if it was less; for a start.

    What stands in the way is logged and keeps nobody from starting: the file is as good as before.
    """
    try:
        with cost_rise(keystore, password, cost=cost) as rewrite:
            if rewrite is None:
                return
            _rotate(rewrite, reason="cost", actor=SYSTEM, ledger=ledger, clock=clock)
    except (KeystoreError, DatabaseError) as error:
        log.warning("a guess at the master password costs what it did", reason=str(error))
    else:
        log.info("a guess at the master password costs more", **cost._asdict())


def _rotate(rewrite: Rewrite, *, reason: str, actor: str, ledger: Ledger, clock: Clock) -> bool:
    """Replace keystore.json between its two rows; tell whether the second was written."""

    def record(stage: str) -> None:
        details = {"reason": reason, "stage": stage, "keystoreSha256": rewrite.sha256}
        _remember(ledger, clock, AuditEvent(AuditAction.KEY_ROTATED, actor, details=details))

    record("begun")
    rewrite.carry_out()
    try:
        record("done")
    except DatabaseError:
        return False
    return True


@contextlib.contextmanager
def _ledger(directory: Path, clock: Clock) -> Iterator[tuple[Ledger, Clock]]:
    """Open the ledger of a directory on which no daemon runs, with a clock that it believes."""
    require_initialised(directory)
    os.umask(0o077)
    try:
        with claimed(directory) as lock, open_ledger(directory, lock=lock, must_exist=True) as own:
            yield own, guarded(clock, own)
    except AlreadyOpen as error:
        raise DaemonError(in_use(directory) or str(error)) from error
    except (OSError, DatabaseError, KeystoreError) as error:
        raise DaemonError(sentence(error)) from error


@contextlib.contextmanager
def _attempt(ledger: Ledger, clock: Clock) -> Iterator[None]:
    """Write a wrong password down."""
    try:
        yield
    except WrongPassword:
        details = {"caller": "LOCAL_USER"}
        failed = AuditEvent(AuditAction.AUTH_FAILED, UNAUTHENTICATED, details=details)
        _remember(ledger, clock, failed)
        raise


def _remember(ledger: Ledger, clock: Clock, event: AuditEvent) -> None:
    wall_s = clock.now_s()
    ledger.write(lambda tx: remember(tx, event, now_s=ledger_time(tx, wall_s=wall_s)))
