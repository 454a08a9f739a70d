"""The operator decides on payments that wait for a person, unless an owner has proved his key.

Looking and rejecting tighten, so the cookie does. Approving spends: it takes a login *and* the
master password once more, so that nobody approves at a terminal that was left open.
"""

from waiaas.api.access import login_caller
from waiaas.api.requests import digits, message_of
from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import TransactionId
from waiaas.domain.records import AcceptedRequest, ApprovalRecord, TransactionRecord
from waiaas.pipeline.decide import Decider, approve, reject
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.rent import rent_told
from waiaas.ports import LedgerTransaction
from waiaas.wire.approvals import Approval, Approvals, Approve
from waiaas.wire.transactions import Decided


async def list_open(call: Call) -> Approvals:
    """Show what waits for a decision, the most urgent first."""
    wall_s = call.services.clock.now_s()

    def look(tx: LedgerTransaction) -> list[Approval]:
        waiting = tx.approvals.undecided(now_s=ledger_time(tx, wall_s=wall_s))
        return [
            _render(tx, each, tx.transactions.get(each.tx_id), tx.requests.get(each.tx_id))
            for each in waiting
        ]

    return Approvals(call.services.ledger.read(look))


async def approve_one(call: Call) -> Decided:
    """Let a payment go out."""
    body: Approve = call.body
    services = call.services
    await services.operator.confirm(
        body.password,
        caller=login_caller(call.request, services),
        ip_address=call.ip_address,
    )
    approved = await approve(
        TransactionId(call.path_id),
        by=Decider(None, None, call.ip_address),
        ledger=services.ledger,
        clock=services.clock,
    )
    services.wake(approved)
    return Decided(approved.id, approved.status)


async def reject_one(call: Call) -> Decided:
    """Let a payment never go out."""
    rejected = await reject(
        TransactionId(call.path_id),
        by=Decider(None, None, call.ip_address),
        ledger=call.services.ledger,
        clock=call.services.clock,
    )
    return Decided(rejected.id, rejected.status)


def _render(
    tx: LedgerTransaction,
    approval: ApprovalRecord,
    transaction: TransactionRecord | None,
    accepted: AcceptedRequest | None,
) -> Approval:
    assert transaction is not None, "an approval goes with its transaction"
    assert accepted is not None, "a request and its transaction are written together"
    return Approval(
        transaction_id=transaction.id,
        agent_id=transaction.agent_id,
        type=transaction.type,
        to_address=transaction.to_address,
        amount=transaction.amount,
        created_at=approval.created_at,
        expires_at=approval.expires_at,
        rent=digits(rent_told(tx, transaction, accepted)),
        request=message_of(accepted),
    )


_CODES = (
    ErrorCode.TX_NOT_FOUND,
    ErrorCode.APPROVAL_NOT_FOUND,
    ErrorCode.APPROVAL_TIMEOUT,
    ErrorCode.TX_ALREADY_PROCESSED,
    ErrorCode.LEDGER_RESTORED,
)

ROUTES = (
    Route("GET", "/v1/approvals", Credential.OPERATOR_LOOK, list_open, Approvals),
    Route(
        "POST",
        "/v1/approvals/{id}/approve",
        Credential.OPERATOR,
        approve_one,
        Decided,
        body=Approve,
        codes=(
            ErrorCode.INVALID_MASTER_PASSWORD,
            ErrorCode.MASTER_PASSWORD_LOCKED,
            ErrorCode.KILL_SWITCH_ACTIVE,
            ErrorCode.OWNER_REQUIRED,
            *_CODES,
        ),
    ),
    Route(
        "POST",
        "/v1/approvals/{id}/reject",
        Credential.OPERATOR_LOOK,
        reject_one,
        Decided,
        codes=_CODES,
    ),
)
