"""Approvals: which payments wait for a person, until when, and what was decided."""

from typing import Final

from sqlalchemy import bindparam, insert, select, update

from waiaas.database.run import Run
from waiaas.database.schema import pending_approvals, transactions
from waiaas.database.statements import Parameters, define
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.ids import TransactionId
from waiaas.domain.records import ApprovalRecord

_COLUMNS: Final = (
    pending_approvals.c.id,
    pending_approvals.c.tx_id,
    pending_approvals.c.required_by,
    pending_approvals.c.expires_at,
    pending_approvals.c.approved_at,
    pending_approvals.c.rejected_at,
    pending_approvals.c.created_at,
)
_UNDECIDED: Final = (
    pending_approvals.c.approved_at.is_(None),
    pending_approvals.c.rejected_at.is_(None),
)

_INSERT: Final = define(
    insert(pending_approvals).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_OF_TRANSACTION: Final = define(
    select(*_COLUMNS).where(pending_approvals.c.tx_id == bindparam("of_tx"))
)
_OPEN: Final = define(
    select(*_COLUMNS)
    .join(transactions, transactions.c.id == pending_approvals.c.tx_id)
    .where(
        *_UNDECIDED,
        transactions.c.status == bindparam("status"),
        pending_approvals.c.expires_at > bindparam("now_s"),
    )
    .order_by(pending_approvals.c.expires_at, pending_approvals.c.id)
)
_APPROVE: Final = define(
    update(pending_approvals)
    .where(pending_approvals.c.tx_id == bindparam("of_tx"), *_UNDECIDED)
    .values(approved_at=bindparam("approved_at"), owner_signature=bindparam("owner_signature"))
    .returning(pending_approvals.c.id)
)
_REJECT: Final = define(
    update(pending_approvals)
    .where(pending_approvals.c.tx_id == bindparam("of_tx"), *_UNDECIDED)
    .values(rejected_at=bindparam("rejected_at"), owner_signature=bindparam("owner_signature"))
    .returning(pending_approvals.c.id)
)


class Approvals:
    """`waiaas.ports.ApprovalTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, approval: ApprovalRecord) -> None:
        self._run(_INSERT, approval._asdict())

    def of_transaction(self, tx_id: TransactionId) -> ApprovalRecord | None:
        rows = self._run(_OF_TRANSACTION, {"of_tx": tx_id})
        return ApprovalRecord._make(rows[0]) if rows else None

    def undecided(self, *, now_s: int) -> list[ApprovalRecord]:
        parameters: Parameters = {"status": TransactionStatus.QUEUED, "now_s": now_s}
        return [ApprovalRecord._make(row) for row in self._run(_OPEN, parameters)]

    def approve(
        self, tx_id: TransactionId, *, now_s: int, owner_signature: str | None = None
    ) -> bool:
        parameters: Parameters = {
            "of_tx": tx_id,
            "approved_at": now_s,
            "owner_signature": owner_signature,
        }
        return bool(self._run(_APPROVE, parameters))

    def reject(
        self, tx_id: TransactionId, *, now_s: int, owner_signature: str | None = None
    ) -> bool:
        parameters: Parameters = {
            "of_tx": tx_id,
            "rejected_at": now_s,
            "owner_signature": owner_signature,
        }
        return bool(self._run(_REJECT, parameters))
