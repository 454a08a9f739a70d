"""A ledger that came out of a backup pays nothing until it was compared with the chain.

What was paid after the backup was made is not in it: its limits look unspent, and payments that
were made look as if they were still to make. So the restore marks it, and as long as the mark is
there nothing is admitted, no payload is recorded and nothing is signed. What was signed before the
backup is still sent and watched: the same bytes land once, however often they are sent.

The mark comes off with comparing the ledger with the chain: `waiaas.pipeline.reconcile`.
"""

from collections.abc import Mapping
from typing import Final

from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import LedgerTransaction

_KEY: Final = "restored_at"
_SINCE_KEY: Final = "restored_since"
_GONE: Final = ""
"""What stands in the place of a fact that is one no more."""


def mark_restored(
    tx: LedgerTransaction, *, wall_s: int, details: Mapping[str, str | int | None]
) -> None:
    """Mark the ledger, with the audit row that says from which backup it is."""
    now_s = ledger_time(tx, wall_s=wall_s)
    since_s = uncompared_since(tx)
    tx.key_values.put(_SINCE_KEY, str(now_s if since_s is None else since_s), now_s=now_s)
    tx.key_values.put(_KEY, str(now_s), now_s=now_s)
    for network in CHAIN_IDS:  # Of an earlier restore, if the backup was made before its end.
        tx.key_values.put(_horizon_key(network), _GONE, now_s=now_s)
    remember(tx, AuditEvent(AuditAction.BACKUP_RESTORED, OPERATOR, details=details), now_s=now_s)


def restored_at(tx: LedgerTransaction) -> int | None:
    """Return the second in which the ledger was restored; None if it was not, or is reconciled."""
    return _number(tx.key_values.get(_KEY))


def uncompared_since(tx: LedgerTransaction) -> int | None:
    """Return the second of the first restore that nobody has reconciled yet; None: there is none.

    It is an earlier one if the backup was made under the mark: what landed since then says nothing
    about what is older.
    """
    return _number(tx.key_values.get(_SINCE_KEY)) or restored_at(tx)


def take_mark_off(tx: LedgerTransaction, *, now_s: int) -> None:
    """Let the ledger pay again; whoever does it has compared it with the chain."""
    for key in (_KEY, _SINCE_KEY):
        tx.key_values.put(key, _GONE, now_s=now_s)


def horizon_of(tx: LedgerTransaction, network: Network) -> int | None:
    """Return the last block in which what was signed before the restore can land, once known."""
    return _number(tx.key_values.get(_horizon_key(network)))


def set_horizon(tx: LedgerTransaction, network: Network, *, height: int, now_s: int) -> None:
    """Keep that block's height."""
    tx.key_values.put(_horizon_key(network), str(height), now_s=now_s)


def _horizon_key(network: Network) -> str:
    return f"restored_horizon.{network.chain}.{network.network}"


def _number(stored: str | None) -> int | None:
    return int(stored) if stored else None


def require_not_restored(tx: LedgerTransaction) -> None:
    """Return if the ledger may pay.

    Raises:
        Refusal: LEDGER_RESTORED.
    """
    if restored_at(tx) is not None:
        raise Refusal(
            ErrorCode.LEDGER_RESTORED,
            "this ledger was restored from a backup and pays nothing until it is reconciled",
            hint="The operator reconciles it with the chain: `waiaas backup reconcile`.",
        )
