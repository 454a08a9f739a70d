"""Messages about owners: who they are, and what they sign."""

from typing import Annotated

from msgspec import Meta

from waiaas.domain.enums import OwnerState
from waiaas.domain.owner import OwnerAction
from waiaas.wire.message import Message

Address = Annotated[str, Meta(min_length=1, max_length=64)]
Nonce = Annotated[str, Meta(min_length=1, max_length=64)]
Signature = Annotated[str, Meta(min_length=1, max_length=200)]


class Owner(Message, frozen=True):
    """Whose an agent is; `id` is the agent's."""

    id: str
    owner_address: str | None
    owner_state: OwnerState


class SetOwner(Message, frozen=True):
    """Register an owner: a Solana address, or an Ethereum address with its checksum."""

    owner_address: Address


class RemoveOwner(Message, frozen=True):
    """Remove an owner; one who has proved his key signs for it, and then both are needed."""

    nonce: Nonce | None = None
    signature: Signature | None = None


class AskOwnerMessage(Message, frozen=True):
    """Ask for the text that the owner has to sign for this."""

    action: OwnerAction


class OwnerMessage(Message, frozen=True):
    """A text to be signed as it is, to the byte; its signature counts once, with the nonce."""

    nonce: str
    action: OwnerAction
    owner_address: str
    message: str
    expires_at: int


class OwnerSigned(Message, frozen=True):
    """The owner's signature over the message with this nonce.

    Of an Ethereum wallet (`personal_sign`) the hexadecimal of 65 bytes, of a Solana wallet
    (`signMessage`) the base58 or base64 of 64.
    """

    nonce: Nonce
    signature: Signature
