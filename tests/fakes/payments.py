"""A row of `transactions`; what is not said is as of a transfer that was just admitted."""

from typing import Any

from waiaas.domain.enums import ChainType, PolicyTier, TransactionStatus, TransactionType
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import TransactionRecord


def payment_row(tx_id: TransactionId, agent_id: AgentId, **columns: Any) -> TransactionRecord:
    """Return the row; *columns* are those that the test is about."""
    return _PLAIN._replace(id=tx_id, agent_id=agent_id, **columns)


_PLAIN = TransactionRecord(
    id=TransactionId("tx"),
    agent_id=AgentId("agent"),
    session_id=None,
    chain=ChainType.SOLANA,
    type=TransactionType.TRANSFER,
    amount="1",
    to_address="to",
    token_mint=None,
    contract_address=None,
    method_signature=None,
    spender_address=None,
    approved_amount=None,
    parent_id=None,
    batch_index=None,
    status=TransactionStatus.PENDING,
    tier=PolicyTier.INSTANT,
    tx_hash=None,
    created_at=1,
    executed_at=None,
    error=None,
    queued_at=None,
)
