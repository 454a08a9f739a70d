"""Messages about policies."""

from typing import Annotated, Any

from msgspec import Meta

from waiaas.domain.enums import PolicyType
from waiaas.wire.message import Message


class SetPolicy(Message, frozen=True):
    """Give an agent a rule, in place of the one of the same type and asset it may have."""

    agent_id: Annotated[str, Meta(max_length=36)]
    type: PolicyType
    rules: dict[str, Any]


class Policy(Message, frozen=True):
    """A rule in force."""

    id: str
    agent_id: str | None
    type: PolicyType
    rules: dict[str, Any]
    priority: int
    enabled: bool
    created_at: int
    updated_at: int
