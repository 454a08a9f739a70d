"""Messages that ask for something to be done with the agent's money, told apart by `type`.

They are the same whether they are sent, or shown to those who have to decide. Amounts are digits
in base units. `humanAmount`, as people write it ("1.5"), stands for `amount` at the edge only: how
many decimals it has is known here or asked of the chain, never taken from the caller.
"""

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from waiaas.domain.request import BATCH_PARTS_MAX, BATCH_PARTS_MIN, CALL_ACCOUNTS_MAX
from waiaas.wire.message import Message

Address: TypeAlias = Annotated[str, Meta(max_length=128)]
Amount: TypeAlias = Annotated[str, Meta(max_length=78)]
HumanAmount: TypeAlias = Annotated[str, Meta(max_length=160)]


class Token(Message, frozen=True):
    """A token, by exactly one of two names."""

    address: Address | UnsetType = UNSET
    """On the agent's network; on Solana that of the mint."""
    asset_id: Address | UnsetType = UNSET
    """Its CAIP-19 asset type, which also says the network: that of another one is refused."""


class CallAccount(Message, frozen=True):
    """An account that a Solana program is given; only the agent's own can sign."""

    pubkey: Address
    is_signer: bool
    is_writable: bool


class SendTransfer(Message, frozen=True, tag_field="type", tag="TRANSFER"):
    """Ask for a payment in the chain's own asset; `type` may be left out."""

    to: Address
    amount: Amount | UnsetType = UNSET
    human_amount: HumanAmount | UnsetType = UNSET


class SendTokenTransfer(Message, frozen=True, tag_field="type", tag="TOKEN_TRANSFER"):
    """Ask for a payment in a token."""

    to: Address
    token: Token
    amount: Amount | UnsetType = UNSET
    human_amount: HumanAmount | UnsetType = UNSET


class SendApprove(Message, frozen=True, tag_field="type", tag="APPROVE"):
    """Ask to let somebody else move up to an amount of a token."""

    spender: Address
    token: Token
    amount: Amount | UnsetType = UNSET
    human_amount: HumanAmount | UnsetType = UNSET


class SendContractCall(Message, frozen=True, tag_field="type", tag="CONTRACT_CALL"):
    """Ask for one instruction of a Solana program."""

    program_id: Address
    instruction_data: Annotated[str, Meta(max_length=1644)]
    """Base64 of at most 1232 bytes."""
    accounts: Annotated[list[CallAccount], Meta(max_length=CALL_ACCOUNTS_MAX)]
    value: Amount = "0"
    """The most of the chain's own asset that may leave with it."""


SendPart: TypeAlias = SendTransfer | SendTokenTransfer | SendApprove | SendContractCall


class SendBatch(Message, frozen=True, tag_field="type", tag="BATCH"):
    """Ask for several things that all happen or none; each says its `type`."""

    instructions: Annotated[
        list[SendPart], Meta(min_length=BATCH_PARTS_MIN, max_length=BATCH_PARTS_MAX)
    ]


SendRequest: TypeAlias = SendPart | SendBatch
"""What is asked for: this is shown, too."""

Reference: TypeAlias = Annotated[str, Meta(pattern=r"^[!-~]{1,128}(?![\s\S])")]
"""What a request is for, in the agent's words, e.g. an invoice's number. While its transaction may
still move money, and once it has, no other of this agent is admitted under the same reference."""


IdempotencyKey: TypeAlias = Annotated[str, Meta(pattern=r"^[!-~]{1,255}(?![\s\S])")]
"""The caller's own name for a request, as it stands in the header Idempotency-Key."""


class AskTransfer(SendTransfer, frozen=True, tag_field="type", tag="TRANSFER"):
    """A `SendTransfer`, and what tells it from another one."""

    reference: Reference | None = None
    """What it is for, e.g. an invoice's number: one thing is paid once."""
    allow_duplicate: bool = False
    """Without an Idempotency-Key: whether it is another one than an equal one just before."""


class AskTokenTransfer(SendTokenTransfer, frozen=True, tag_field="type", tag="TOKEN_TRANSFER"):
    """A `SendTokenTransfer`, with the members of `AskTransfer`."""

    reference: Reference | None = None
    allow_duplicate: bool = False


class AskApprove(SendApprove, frozen=True, tag_field="type", tag="APPROVE"):
    """A `SendApprove`, with the members of `AskTransfer`."""

    reference: Reference | None = None
    allow_duplicate: bool = False


class AskContractCall(SendContractCall, frozen=True, tag_field="type", tag="CONTRACT_CALL"):
    """A `SendContractCall`, with the members of `AskTransfer`."""

    reference: Reference | None = None
    allow_duplicate: bool = False


class AskBatch(SendBatch, frozen=True, tag_field="type", tag="BATCH"):
    """A `SendBatch`, with the members of `AskTransfer`, which are the whole batch's."""

    reference: Reference | None = None
    allow_duplicate: bool = False


AskRequest: TypeAlias = AskTransfer | AskTokenTransfer | AskApprove | AskContractCall | AskBatch
"""What is sent."""
