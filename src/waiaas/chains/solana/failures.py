"""Why the chain refuses a payment, in words for a person.

The chain names its reasons as JSON: a name, or an object with one name and its particulars. They
are parsed by us: solders ends the process on a name that it does not know.
"""

from typing import Any, Final, TypeAlias

import msgspec

from waiaas.chains.solana.messages import TRANSFER_INSTRUCTION
from waiaas.chains.solana.rpc import plain_text

TransactionError: TypeAlias = str | dict[str, Any]
"""As a node writes it."""

_PASSING: Final = frozenset({
    "AccountInUse",
    "AlreadyProcessed",
    "BlockhashNotFound",
    "ClusterMaintenance",
    "CommitCancelled",
    "WouldExceedAccountDataBlockLimit",
    "WouldExceedAccountDataTotalLimit",
    "WouldExceedMaxAccountCostLimit",
    "WouldExceedMaxBlockCostLimit",
    "WouldExceedMaxVoteCostLimit",
})  # fmt: skip


_WORDS: Final = {
    '"AccountNotFound"': "the paying wallet holds nothing",
    '"InsufficientFundsForFee"': "the paying wallet cannot pay the network's fee",
    '"InvalidAccountForFee"': "the paying wallet is not a plain account and cannot pay fees",
    f'{{"InstructionError":[{TRANSFER_INSTRUCTION},{{"Custom":1}}]}}': (
        "the paying wallet holds less than the amount and the fee together"
    ),
    '{"InsufficientFundsForRent":{"account_index":0}}': (
        "the paying wallet would keep too little: an account holds either nothing, or at least "
        "the rent-exempt minimum (about 0.0009 SOL)"
    ),
    '{"InsufficientFundsForRent":{"account_index":1}}': (
        "the recipient would hold too little: a first payment to an address is at least the "
        "rent-exempt minimum (about 0.0009 SOL)"
    ),
}
"""What a payment's own faults are called, by the compact JSON of the chain's name for them."""


def is_passing(error: TransactionError) -> bool:
    """Tell whether *error* is about these bytes now, not about the payment.

    The same payment, composed anew on a later blockhash, may succeed.
    """
    return isinstance(error, str) and error in _PASSING


def in_words(error: TransactionError) -> str:
    """Say what went wrong; what is not in the table is repeated in the chain's own words."""
    text = msgspec.json.encode(error).decode()
    return _WORDS.get(text) or f"the chain reports {plain_text(text)}"
