"""Does an owner's approval still hold? Asked with the payload, and again before the signature.

An approval authorises one payment under one set of policies by one owner. If the operator changed
the policies since, or the owner gave up being one, the payment is cancelled: the agent asks again.
"""

from waiaas.domain.enums import PolicyTier, TransactionStatus
from waiaas.domain.owner import OwnerAction
from waiaas.domain.records import TransactionRecord
from waiaas.policy.version import policy_version
from waiaas.ports import LedgerTransaction

_UNSIGNED = (TransactionStatus.QUEUED, TransactionStatus.EXECUTING)


def approval_lapsed(tx: LedgerTransaction, transaction: TransactionRecord) -> bool:
    """Tell whether the owner's signature that let *transaction* go is worth nothing any more."""
    if transaction.tier is not PolicyTier.APPROVAL or transaction.status not in _UNSIGNED:
        return False
    used = tx.challenges.used_for(OwnerAction.APPROVE, tx_id=transaction.id)
    if used is None:
        return False  # Nobody approved it, or the operator did.
    owner = tx.owners.of_agent(transaction.agent_id)
    if owner is None or owner.address != used.owner_address:
        return True
    return policy_version(tx.policies.applying_to(transaction.agent_id)) != used.policy_version
