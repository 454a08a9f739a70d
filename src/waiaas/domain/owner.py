"""The owner of an agent: whose wallet it is, how far that is proved, and what that decides.

The state is derived, never stored. Registering an address takes nothing from the operator; the
first signature of its key does. From then on only that key approves, and only it gives itself up.
"""

import json
from enum import StrEnum
from typing import Final, NamedTuple

from waiaas.domain.addresses import base58_bytes, is_solana_address
from waiaas.domain.ed25519 import is_public_key
from waiaas.domain.enums import ChainType, OwnerState
from waiaas.domain.errors import ErrorCode
from waiaas.domain.evm_address import is_evm_address
from waiaas.domain.ids import AgentId, TransactionId

CHALLENGE_TTL_S: Final = 900
"""How long a message can be signed: long enough to carry it to a wallet that is not at hand."""

CHALLENGE_REUSE_S: Final = 60
"""A message that lives at least this much longer is given again to who asks for the same."""

REFUSALS_RECORDED_MAX: Final = 5
"""So many refusals of one message are written down of each code.

Nobody fills the disk with bad signatures, and nobody hides with them what else was tried.
"""

NO_REFUSALS: Final = "{}"
"""Of a message that was just written."""


_ETHEREUM_RESERVED_MAX: Final = 0xFFFF


class OwnerAction(StrEnum):
    """What an owner's signature does."""

    APPROVE = "APPROVE"
    """Let a payment go that waits for him."""
    REJECT = "REJECT"
    """Let it never go."""
    VERIFY = "VERIFY"
    """Show that the key is his."""
    REMOVE = "REMOVE"
    """Give up being the owner."""


PAYMENT_ACTIONS: Final = (OwnerAction.APPROVE, OwnerAction.REJECT)
"""Those that are about one payment; the others are about the agent."""


class Owner(NamedTuple):
    """What is registered for an agent."""

    address: str | None
    is_verified: bool
    """Whether its key has signed for us."""

    @property
    def state(self) -> OwnerState:
        """How far the owner is known; without an address there is none, whatever else is said."""
        if self.address is None:
            return OwnerState.NONE
        return OwnerState.LOCKED if self.is_verified else OwnerState.GRACE

    @property
    def binds_operator(self) -> bool:
        """Whether the operator can neither approve nor change the owner any more."""
        return self.state is OwnerState.LOCKED


NO_OWNER: Final = Owner(None, is_verified=False)


def wallet_chain(address: str) -> ChainType | None:
    """Return of which family a wallet with this address is; None: of none, it is misspelt.

    It need not be the agent's family: the owner signs a message, never a chain transaction.
    """
    if is_evm_address(address):
        return ChainType.ETHEREUM
    return ChainType.SOLANA if is_solana_address(address) else None


def can_sign(address: str) -> bool:
    """Tell whether somebody may hold the key of a wallet's address.

    Nobody does of what is no point of the curve, or of small order; nor of Ethereum's lowest
    addresses, which are zero and precompiled contracts.
    """
    if wallet_chain(address) is ChainType.ETHEREUM:
        return int(address, 16) > _ETHEREUM_RESERVED_MAX
    key = base58_bytes(address)
    return key is not None and is_public_key(key)


class Challenge(NamedTuple):
    """A message that the daemon wrote for an owner to sign, once."""

    nonce: str
    action: OwnerAction
    agent_id: AgentId
    tx_id: TransactionId | None
    """The payment, where the action is about one."""
    owner_address: str
    policy_version: str
    audit_sequence: int
    audit_hash: str
    """The audit head when it was written; the sequence is 0 if there was no row yet."""
    message: str
    created_at: int
    expires_at: int
    used_at: int | None
    """When its signature took effect."""
    refusals: str
    """How many were written down: a JSON object of codes and numbers."""


def count_refusal(refusals: str, code: ErrorCode) -> str | None:
    """Return *refusals* of a message with one more of *code*; None: there are enough of these."""
    counts: dict[str, int] = json.loads(refusals)
    count = counts.get(code, 0)
    if count >= REFUSALS_RECORDED_MAX:
        return None
    return json.dumps({**counts, code: count + 1})


class Proof(NamedTuple):
    """What an owner hands in: which message, and the signature over it."""

    nonce: str
    signature: str
    """As the wallet gives it: hexadecimal of 65 bytes, or base58 or base64 of 64."""
