"""What every kind of rule is: a grant or a limit, judged on a request and what it would do."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from waiaas.domain.assets import Network
from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.money import NATIVE
from waiaas.domain.request import Approve, ContractCall, Part
from waiaas.domain.waiting import (
    APPROVAL_S_DEFAULT,
    APPROVAL_S_MAX,
    DELAY_S_DEFAULT,
    DELAY_S_MAX,
)
from waiaas.policy.document import Document, RuleAsset
from waiaas.policy.schedule import Schedule
from waiaas.policy.usage import Usage
from waiaas.policy.verdict import Violation


@dataclass(frozen=True, slots=True)
class WaitDefaults:
    """How long is waited where a rule asks for a wait and does not say for how long."""

    delay_s: int = DELAY_S_DEFAULT
    approval_s: int = APPROVAL_S_DEFAULT


CARE_FIELDS: Final = ("tier", "delay_seconds", "approval_timeout")


class Spend(NamedTuple):
    """Something to be granted: that an asset leaves."""

    asset: str


class Call(NamedTuple):
    """Something to be granted: that a contract is called."""

    contract_address: str


class Permit(NamedTuple):
    """Something to be granted: that somebody may move the agent's tokens."""

    spender_address: str


Need = Spend | Call | Permit


def needs(part: Part) -> tuple[Need, ...]:
    """Return everything that must be granted before *part* may happen."""
    if isinstance(part, Approve):
        return (Permit(part.spender_address),)
    if isinstance(part, ContractCall):
        call = Call(part.contract_address)
        return (call, Spend(NATIVE)) if part.base_units else (call,)
    return (Spend(part.asset),)


def outflow(part: Part, asset: str) -> int:
    """Return how much of *asset* leaves with *part*. An approval moves nothing by itself."""
    if isinstance(part, Approve):
        return 0
    leaving = NATIVE if isinstance(part, ContractCall) else part.asset
    return part.base_units if leaving == asset else 0


class Case(NamedTuple):
    """What a rule is asked about: a whole request, by whom, after what, and when."""

    network: Network
    parts: tuple[Part, ...]
    usage: Usage
    now_s: int

    @property
    def is_batch(self) -> bool:
        """Whether its parts are judged alone, too."""
        return len(self.parts) > 1


class Rule:
    """A rule that was read. It only restricts, unless it is a `Grant`."""

    __slots__ = ()

    @property
    def assets(self) -> tuple[RuleAsset, ...]:
        """The assets it names."""
        return ()

    @property
    def subject(self) -> str:
        """What tells it from an agent's other rules of its type; one stands in the other's place.

        The asset it is about, or the empty text: an agent has one rule of such a type.
        """
        return ""

    @property
    def schedule(self) -> Schedule | None:
        """The hours outside of which it denies everything."""
        return None

    def judge_part(self, part: Part, case: Case) -> Iterable[Violation]:
        """Return what stands against one part of the request, looked at alone."""
        del part, case
        return ()

    def judge_whole(self, case: Case) -> Iterable[Violation]:
        """Return what stands against the request as a whole."""
        del case
        return ()

    def judge_native(self, amount: int, case: Case) -> Iterable[Violation]:
        """Return what would stand against it if *amount* of the network's own asset left."""
        del amount, case
        return ()


class Grant(Rule, ABC):
    """A rule that allows something; what no grant allows is denied."""

    __slots__ = ()

    @abstractmethod
    def grants(self, need: Need, network: Network) -> bool:
        """Tell whether the rule allows what is needed, within whatever else it says."""


@dataclass(frozen=True, slots=True)
class Care:
    """A tier that a rule asks for, with its times."""

    tier: PolicyTier
    delay_s: int | None
    approval_s: int | None


def read_care(document: Document, *, default: PolicyTier) -> Care:
    """Return what the members `tier`, `delay_seconds` and `approval_timeout` ask for together.

    Raises:
        RuleRefused: a time is out of bounds or belongs to another tier.
    """
    tier = PolicyTier(document.word("tier", list(PolicyTier))) if document.has("tier") else default
    if document.has("delay_seconds") and tier is not PolicyTier.DELAY:
        raise document.refuse("delay_seconds", f"is never used with the tier {tier}")
    if document.has("approval_timeout") and tier is not PolicyTier.APPROVAL:
        raise document.refuse("approval_timeout", f"is never used with the tier {tier}")
    return Care(tier, read_delay(document), read_approval_timeout(document))


def read_delay(document: Document) -> int | None:
    """Return the member `delay_seconds`, or None if it was not written."""
    if not document.has("delay_seconds"):
        return None
    return document.integer("delay_seconds", least=1, most=DELAY_S_MAX)


def read_approval_timeout(document: Document) -> int | None:
    """Return the member `approval_timeout`, or None if it was not written."""
    if not document.has("approval_timeout"):
        return None
    return document.integer("approval_timeout", least=1, most=APPROVAL_S_MAX)


def ask_for(care: Care, kind: PolicyType, message: str) -> Iterable[Violation]:
    """Yield how a rule asks for *care*; at once needs no asking."""
    if care.tier is not PolicyTier.INSTANT:
        yield Violation(
            ErrorCode.POLICY_DENIED,
            kind,
            message,
            bound="tier",
            tier=care.tier,
            delay_s=care.delay_s,
            approval_s=care.approval_s,
        )


def exceeded(bound: str, asset: str, limit: int, observed: int) -> str:
    """Return the sentence that says which bound a payment is above, and by how much."""
    return f"{bound} of {asset} is {limit}, and this payment would bring it to {observed}"


def deny(kind: PolicyType, message: str, *, bound: str) -> Violation:
    """Return a denial that no smaller amount and no waiting changes."""
    return Violation(ErrorCode.POLICY_DENIED, kind, message, bound=bound)
