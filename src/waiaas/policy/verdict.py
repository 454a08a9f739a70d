"""What a policy answers: how much care a request needs, or every reason why it is denied."""

from dataclasses import dataclass
from typing import Final

from waiaas.domain.enums import PolicyTier
from waiaas.domain.errors import ErrorCode
from waiaas.domain.money import NATIVE
from waiaas.policy.schedule import Schedule, earliest_open

DEFAULT_DENY: Final = "DEFAULT_DENY"
"""The rule that applies when no other does: what is not granted is denied."""

SESSION: Final = "SESSION"
"""The rule that a session's own constraints are."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that stands against the request, with what an agent needs to do better."""

    code: ErrorCode
    rule: str
    """The policy type, SESSION or DEFAULT_DENY."""
    message: str
    asset: str | None = None
    """Of what `limit`, `observed` and `max_allowed` are amounts; None: they are none."""
    bound: str | None = None
    """Which of the rule's bounds, e.g. `daily_max`."""
    limit: int | None = None
    """The bound, in base units (RATE_LIMIT: requests); inclusive."""
    observed: int | None = None
    """What the request would have brought it to, in the same unit."""
    max_allowed: int | None = None
    """The largest amount that this rule would let through now, in base units; None: no amount."""
    retry_at: int | None = None
    """The second from which this rule lets the request through, all else equal; None: never."""
    tier: PolicyTier | None = None
    """The care it asks for; None: it denies."""
    delay_s: int | None = None
    """How long it asks to wait, with the tier DELAY."""
    approval_s: int | None = None
    """How long it gives a person to answer, with the tier APPROVAL."""
    part: int | None = None
    """Which part of a batch it is about, from 0; None: the whole request."""


@dataclass(frozen=True, slots=True)
class Rent:
    """What may leave for recipients' new token accounts, beside what was asked for."""

    base_units: int
    """Of the network's own asset, and set aside with the verdict; 0: nothing may."""
    objection: str | None = None
    """Why nothing may."""
    rule: str | None = None
    """Whose objection it is, as in a `Violation`; None: that of no rule, for there is none."""

    @property
    def message(self) -> str:
        """What it means, in one sentence."""
        if self.objection is None:
            return f"up to {self.base_units} of {NATIVE} is set aside for new token accounts"
        return (
            f"none is set aside: a recipient without an account for the token is refused, because"
            f" {self.objection}"
        )


@dataclass(frozen=True, slots=True)
class Allow:
    """Granted and within every limit; *tier* is the most careful one any rule asks for."""

    tier: PolicyTier
    escalations: tuple[Violation, ...] = ()
    """Why the tier is not INSTANT: what each rule asks for, and the bounds the request is above."""
    delay_s: int | None = None
    """With the tier DELAY, the longest wait that any rule asks for."""
    approval_s: int | None = None
    """With the tier APPROVAL, the shortest deadline that any rule which asks for it gives."""
    schedules: tuple[Schedule, ...] = ()
    """The hours within which all of this holds."""
    rent: Rent | None = None
    """None: it pays to nobody for whom an account may have to be made."""

    @property
    def wait_s(self) -> int | None:
        """How long it waits: for its time, or for a person. None: it goes out by itself."""
        return self.approval_s if self.tier is PolicyTier.APPROVAL else self.delay_s


@dataclass(frozen=True, slots=True)
class Deny:
    """Denied by every rule listed; there is at least one."""

    violations: tuple[Violation, ...]
    escalations: tuple[Violation, ...] = ()
    """The bounds above which even an allowed request would need more care."""
    schedules: tuple[Schedule, ...] = ()
    """The hours outside of which nothing passes, whatever else has changed by then."""

    @property
    def max_allowed(self) -> int | None:
        """The largest amount that no rule would deny now, in base units; None: no amount.

        Of a batch it is that of all parts together in the one asset that every violation is about.
        Where they are about several, or about some parts, there is none: each has its own.
        """
        amounts = [
            each.max_allowed
            for each in self.violations
            if each.max_allowed is not None and each.part is None
        ]
        if len(amounts) < len(self.violations) or len({each.asset for each in self.violations}) > 1:
            return None
        return min(amounts)

    @property
    def retry_at(self) -> int | None:
        """The second from which no rule denies the request, all else equal; None: never."""
        times = [each.retry_at for each in self.violations if each.retry_at is not None]
        if len(times) < len(self.violations):
            return None
        return earliest_open(self.schedules, since_s=max(times))


Verdict = Allow | Deny
