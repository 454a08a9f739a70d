"""What a policy answers: how much care a payment needs, or every reason why it is denied."""

from dataclasses import dataclass
from typing import Final

from waiaas.domain.enums import PolicyTier
from waiaas.domain.errors import ErrorCode

DEFAULT_DENY: Final = "DEFAULT_DENY"
"""The rule that applies when no other does: what is not granted is denied."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that denies the request, with what an agent needs to do better."""

    code: ErrorCode
    rule: str
    """The policy type, or DEFAULT_DENY."""
    message: str
    bound: str | None = None
    """Which of the rule's bounds, e.g. `daily_max`."""
    limit: int | None = None
    """The bound, in base units; inclusive."""
    observed: int | None = None
    """What the request would have brought it to, in base units."""
    max_allowed: int | None = None
    """The largest amount that this rule would let through now, in base units; None: no amount."""
    retry_at: int | None = None
    """The second from which this rule lets the request through, all else equal; None: never."""


@dataclass(frozen=True, slots=True)
class Allow:
    """Granted and within every limit; *tier* is the most careful one any rule asks for."""

    tier: PolicyTier
    escalations: tuple[Violation, ...] = ()
    """Why the tier is not INSTANT: the bounds that the request is above."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Denied by every rule listed; there is at least one."""

    violations: tuple[Violation, ...]
    escalations: tuple[Violation, ...] = ()
    """The bounds above which even an allowed payment would need a person."""

    @property
    def max_allowed(self) -> int | None:
        """The largest amount that no rule would deny now, in base units; None: no amount."""
        amounts = [each.max_allowed for each in self.violations if each.max_allowed is not None]
        return min(amounts) if len(amounts) == len(self.violations) else None

    @property
    def retry_at(self) -> int | None:
        """The second from which no rule denies the request, all else equal; None: never."""
        times = [each.retry_at for each in self.violations if each.retry_at is not None]
        return max(times) if len(times) == len(self.violations) else None


Verdict = Allow | Deny
