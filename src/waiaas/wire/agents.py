"""Messages about agents."""

from typing import Annotated

from msgspec import Meta

from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.profile import ProfileName
from waiaas.wire.message import Message


class CreateAgent(Message, frozen=True):
    """Make an agent with a key of its own."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    chain: ChainType = ChainType.SOLANA
    network: NetworkType = NetworkType.DEVNET
    profile: ProfileName | None = None
    """The rules it begins with; without any it may spend nothing."""


class Agent(Message, frozen=True):
    """An agent."""

    id: str
    name: str
    chain: ChainType
    network: NetworkType
    public_key: str
    status: AgentStatus
    created_at: int
    suspended_at: int | None
    suspension_reason: str | None


class Agents(Message, frozen=True):
    """All of them, the oldest first."""

    items: list[Agent]


class SuspendAgent(Message, frozen=True):
    """Let an agent sign nothing more until it is resumed."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class TerminateAgent(Message, frozen=True):
    """End an agent for good."""

    force: bool = False
    """Whether money that the agent has, or may have, stays where nothing can sign for it."""


class FundAgent(Message, frozen=True):
    """Give an agent play money on the local network."""

    amount: Annotated[str, Meta(max_length=78)]


class Funded(Message, frozen=True):
    """The airdrop landed."""

    agent_id: str
    tx_hash: str
    balance: str
