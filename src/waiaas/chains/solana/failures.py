"""Why the chain refuses a payment, in words for a person.

The chain names its reasons as JSON: a name, or an object with one name and its particulars. They
are parsed by us: solders ends the process on a name that it does not know.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from waiaas.chains.solana.messages import FIRST_INSTRUCTION
from waiaas.chains.solana.rpc import RpcError, plain_text
from waiaas.domain.request import Request, TokenTransfer, Transfer

TransactionError: TypeAlias = str | dict[str, Any]
"""As a node writes it."""

PREFLIGHT_FAILED: Final = -32002
"""The node's code for a transaction that it simulated and would not pass on."""

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
    f'{{"InstructionError":[{FIRST_INSTRUCTION},{{"Custom":1}}]}}': (
        "its first instruction failed with code 1: in a payment, the paying wallet holds less than "
        "the amount and the fee together"
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
"""What the faults of a transaction are called, by the compact JSON of the chain's name for them."""

_OWN_WORDS: Final[Mapping[tuple[object, bool, str], str]] = {
    (Transfer, False, f'{{"InstructionError":[{FIRST_INSTRUCTION},{{"Custom":1}}]}}'): (
        "the paying wallet holds less than the amount and the fee together"
    ),
    (TokenTransfer, True, f'{{"InstructionError":[{FIRST_INSTRUCTION},{{"Custom":1}}]}}'): (
        "the paying wallet cannot pay for the recipient's token account (about 0.002 SOL)"
    ),
    (TokenTransfer, True, f'{{"InstructionError":[{FIRST_INSTRUCTION},"IllegalOwner"]}}'): (
        "the recipient is no wallet that can own a token account"
    ),
    **{
        (TokenTransfer, makes_account, f'{{"InstructionError":[{index},{fault}]}}'): words
        for makes_account, index in ((False, FIRST_INSTRUCTION), (True, FIRST_INSTRUCTION + 1))
        for fault, words in (
            ('{"Custom":1}', "the paying wallet holds less of the token than the amount"),
            ('"InvalidAccountData"', "the paying wallet has no account of this token"),
        )
    },
}
"""Likewise of the instructions of one kind of request, with or without one that makes an account in
front: numbers mean what each program likes."""


def is_passing(error: TransactionError) -> bool:
    """Tell whether *error* is about these bytes now, not about the payment.

    The same payment, composed anew on a later blockhash, may succeed.
    """
    return isinstance(error, str) and error in _PASSING


def in_words(
    error: TransactionError, *, of: Request | None = None, makes_accounts: bool = False
) -> str:
    """Say what went wrong; what is not in the tables is repeated in the chain's own words.

    Args:
        error: as the node wrote it.
        of: the request, if it is known; the faults of its own instructions have names then.
        makes_accounts: whether its message makes accounts for recipients.
    """
    text = msgspec.json.encode(error).decode()
    words = _OWN_WORDS.get((type(of), makes_accounts, text)) or _WORDS.get(text)
    return words or f"the chain reports {plain_text(text)}"


def says_it_has_it(error: RpcError) -> bool:
    """Tell whether a node refused a transaction because it has landed already.

    Nodes that check what they need not check say so in `data`, or in words alone.
    """
    if error.code != PREFLIGHT_FAILED:
        return False
    return (
        b'"AlreadyProcessed"' in (error.data or b"")
        or "already been processed" in error.message.lower()
    )
