"""Making the keystore of a ledger, and opening it for a start: the ledger's own, and no other."""

from pathlib import Path

from waiaas.backups.create import attempt
from waiaas.custody import raise_cost
from waiaas.database import Ledger
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.kdf import CURRENT, Cost
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore, open_locked
from waiaas.pipeline.own_keystore import (
    KnownKeystore,
    forget_keystore,
    know_keystore,
    require_own,
)
from waiaas.ports import Clock
from waiaas.upkeep import require_own_opened


def open_for_start(
    keystore: Path,
    password: Guarded | bytes | None,
    *,
    ledger: Ledger,
    clock: Clock,
    cost: Cost = CURRENT,
) -> FileKeystore:
    """Open the ledger's own keystore, without a *password* a locked one; the caller locks it.

    Raises:
        KeystoreError: as `open_keystore` and `open_locked` do; a wrong password has its row.
        OtherKeystore: it is another ledger's, or nobody knows whose; that has its row, too.
    """
    if password is None:
        locked = open_locked(keystore)
        require_own(locked.facts(), operation="start", ledger=ledger, clock=clock)
        return locked
    with attempt(ledger, clock):
        opened = open_keystore(keystore, password)
    try:
        require_own_opened(opened.facts(), operation="start", ledger=ledger, clock=clock)
        is_other_file = raise_cost(keystore, password, ledger=ledger, clock=clock, cost=cost)
    except BaseException:
        opened.lock()
        raise
    if not is_other_file:
        return opened
    opened.lock()
    return open_keystore(keystore, password)


def make_keystore(
    keystore: Path, password: Guarded | bytes, *, ledger: Ledger, clock: Clock
) -> None:
    """Make the keystore of a ledger that has none and, as `require_no_agents` found, needs none.

    A crash between making it and writing down which it is leaves that to the first start.

    Raises:
        KeystoreError, DatabaseError: it was not made.
    """
    now_s = clock.now_s()
    ledger.write(lambda tx: forget_keystore(tx, now_s=now_s))
    made = create_keystore(keystore, password)
    ledger.write(lambda tx: know_keystore(tx, KnownKeystore.of(made), now_s=now_s))
