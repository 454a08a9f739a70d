"""Messages about policies."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from waiaas.domain.enums import PolicyType
from waiaas.domain.records import PRIORITY_MAX, PRIORITY_MIN
from waiaas.wire.message import Message

_Id = Annotated[str, Meta(max_length=36)]
_Priority = Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)]


class SetPolicy(Message, frozen=True):
    """A rule for an agent, or without one for every agent."""

    type: PolicyType
    rules: dict[str, Any]
    agent_id: _Id | None = None
    priority: _Priority = 0
    """Orders explanations, highest first, and nothing else."""
    enabled: bool = True


class ChangePolicy(Message, frozen=True):
    """What changes of a rule; what is not given stays."""

    rules: dict[str, Any] | UnsetType = UNSET
    priority: _Priority | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class PoliciesOf(Message, frozen=True):
    """Whose rules are asked for: an agent's with the global ones, or only the global ones."""

    agent_id: _Id | None = None


class Policy(Message, frozen=True):
    """A rule."""

    id: str
    agent_id: str | None
    type: PolicyType
    rules: dict[str, Any]
    priority: int
    enabled: bool
    created_at: int
    updated_at: int


class Policies(Message, frozen=True):
    """Rules, the global ones first, then oldest first."""

    items: list[Policy]


class PolicyRemoved(Message, frozen=True):
    """A rule that is no more."""

    id: str
    deleted: bool
