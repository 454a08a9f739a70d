"""SPENDING_LIMIT: how much of one asset may leave, and with how much care.

It grants transfers of its asset up to its bounds. A second one on the same asset only restricts,
because every rule must let a request through and the most careful tier wins.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from waiaas.domain.assets import Network
from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.money import NATIVE
from waiaas.domain.request import Part
from waiaas.policy.document import Document, RuleAsset
from waiaas.policy.rule import (
    Case,
    Grant,
    Need,
    Spend,
    exceeded,
    outflow,
    read_approval_timeout,
    read_delay,
)
from waiaas.policy.usage import Usage
from waiaas.policy.verdict import Violation

_HOUR_S: Final = 3600
_DAY_S: Final = 24 * _HOUR_S

WINDOWS_S: Final[Mapping[str, int]] = MappingProxyType(
    {
        "hourly_max": _HOUR_S,
        "daily_max": _DAY_S,
        "weekly_max": 7 * _DAY_S,
        "monthly_max": 30 * _DAY_S,
    }
)
"""Bounds over rolling windows, shortest first, with the length of each; a month is 30 days."""

WINDOW_S_MAX: Final = max(WINDOWS_S.values())

TIER_BOUNDS: Final[Mapping[str, PolicyTier]] = MappingProxyType(
    {
        "instant_max": PolicyTier.INSTANT,
        "notify_max": PolicyTier.NOTIFY,
        "delay_max": PolicyTier.DELAY,
    }
)
"""Up to which bound which tier is enough, least careful first; above the last it is APPROVAL."""

ON_EXCEED: Final = ("deny", "approval")

FIELDS: Final = (
    "asset",
    *TIER_BOUNDS,
    "delay_seconds",
    "approval_timeout",
    "per_transaction_max",
    *WINDOWS_S,
    "on_exceed",
)


@dataclass(frozen=True, slots=True)
class SpendingLimit(Grant):
    """Grants transfers of one asset; every bound is inclusive, in base units."""

    asset: RuleAsset
    tier_max: Mapping[str, int]
    """By name of the bound in `TIER_BOUNDS`, those that were written, in that order."""
    window_max: Mapping[str, int]
    """By name of the bound in `WINDOWS_S`, those that were written, in that order."""
    per_transaction_max: int | None = None
    delay_s: int | None = None
    approval_s: int | None = None
    on_exceed: str = "deny"
    """What a payment above a window or `per_transaction_max` gets."""

    @property
    def assets(self) -> tuple[RuleAsset, ...]:
        return (self.asset,)

    @property
    def subject(self) -> str:
        return self.asset.name

    def grants(self, need: Need, network: Network) -> bool:
        return need == Spend(self.asset.name) and self.asset.is_on(network)

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        if case.is_batch:
            yield from self._judge(outflow(part, self.asset.name), case)

    def judge_whole(self, case: Case) -> Iterator[Violation]:
        amount = sum(outflow(part, self.asset.name) for part in case.parts)
        yield from self._judge(amount, case)

    def judge_native(self, amount: int, case: Case) -> Iterator[Violation]:
        if self.asset.name == NATIVE:
            yield from self._judge(amount, case)

    def _judge(self, amount: int, case: Case) -> Iterator[Violation]:
        if not amount or not self.asset.is_on(case.network):
            return
        asset, usage = self.asset.name, case.usage
        going_out, waiting = usage.in_flight(asset)
        yield from self._care(amount, going_out, case.now_s)
        bound = self.per_transaction_max
        if bound is not None and amount > bound:
            yield self._exceeded("per_transaction_max", bound, amount, amount, retry_at=None)
        for name, window_max in self.window_max.items():
            window_s = WINDOWS_S[name]
            spent = usage.spent_after(asset, case.now_s - window_s)
            observed = going_out + waiting + spent + amount
            if observed > window_max:
                retry_at = None
                if amount <= window_max:
                    excess = observed - window_max
                    retry_at = has_left_at(excess, asset, window_s, usage, case.now_s)
                yield self._exceeded(name, window_max, observed, amount, retry_at=retry_at)

    def _care(self, amount: int, going_out: int, now_s: int) -> Iterator[Violation]:
        """Yield each bound above which a payment needs more care than below.

        What only other money in flight brings above it goes out once that has moved: the forecast
        is, as for windows, that it moves now, so that it is gone from the next second on.
        """
        observed = going_out + amount
        above = [*self.tier_max, None][1:]
        for (name, bound), next_name in zip(self.tier_max.items(), above, strict=True):
            if observed > bound:
                retry_at = now_s + 1 if amount <= bound else None
                tier = PolicyTier.APPROVAL if next_name is None else TIER_BOUNDS[next_name]
                yield self._violation(name, bound, observed, amount, retry_at=retry_at, tier=tier)

    def _exceeded(
        self, name: str, bound: int, observed: int, amount: int, *, retry_at: int | None
    ) -> Violation:
        tier = PolicyTier.APPROVAL if self.on_exceed == "approval" else None
        return self._violation(name, bound, observed, amount, retry_at=retry_at, tier=tier)

    def _violation(
        self,
        name: str,
        bound: int,
        observed: int,
        amount: int,
        *,
        retry_at: int | None,
        tier: PolicyTier | None,
    ) -> Violation:
        already = observed - amount
        return Violation(
            code=ErrorCode.SPENDING_LIMIT_EXCEEDED,
            rule=PolicyType.SPENDING_LIMIT,
            message=exceeded(name, self.asset.name, bound, observed),
            asset=self.asset.name,
            bound=name,
            limit=bound,
            observed=observed,
            max_allowed=max(bound - already, 0) or None,
            retry_at=retry_at,
            tier=tier,
            delay_s=self.delay_s if tier is PolicyTier.DELAY else None,
            approval_s=self.approval_s if tier is PolicyTier.APPROVAL else None,
        )


def has_left_at(excess: int, asset: str, window_s: int, usage: Usage, now_s: int) -> int:
    """Return the second in which *excess* base units of what is in the window have left it.

    What moved first leaves first. Money in flight is counted as if it moved now. That is a
    forecast: what moves later leaves the window later, and what turns out not to move makes room
    at once.
    """
    since_s = now_s - window_s
    if excess > usage.spent_after(asset, since_s):
        return now_s + window_s
    return usage.spent_so_far(asset, since_s, excess) + window_s


def parse(document: Document) -> SpendingLimit:
    """Return the limit that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong, or contradicts another.
    """
    document.require_known(FIELDS)
    asset = document.asset("asset")
    document.amount("instant_max")
    tier_max = {name: document.amount(name) for name in TIER_BOUNDS if document.has(name)}
    window_max = {name: document.amount(name) for name in WINDOWS_S if document.has(name)}
    _require_rising(document, tier_max, "a more careful tier reaches at least as far")
    _require_rising(document, window_max, "the shorter window could never be filled")
    if document.is_new:
        _require_within_reach(document, window_max)
    return SpendingLimit(
        asset=asset,
        tier_max=MappingProxyType(tier_max),
        window_max=MappingProxyType(window_max),
        per_transaction_max=document.amount_if_any("per_transaction_max"),
        delay_s=_delay_s(document),
        approval_s=read_approval_timeout(document),
        on_exceed=document.word("on_exceed", ON_EXCEED) if document.has("on_exceed") else "deny",
    )


def _delay_s(document: Document) -> int | None:
    if document.has("delay_seconds") and not document.has("delay_max"):
        raise document.refuse("delay_max", "is missing, and delay_seconds means nothing without it")
    return read_delay(document)


def _require_within_reach(document: Document, window_max: Mapping[str, int]) -> None:
    """Return if there is something to exceed, and each bound can be exceeded alone."""
    most = document.amount_if_any("per_transaction_max")
    if document.has("on_exceed") and most is None and not window_max:
        bounds = ", ".join(("per_transaction_max", *WINDOWS_S))
        raise document.refuse("on_exceed", f"means nothing without a bound to exceed: {bounds}")
    for name, bound in window_max.items():
        if most is not None and most > bound:
            reason = f"is more than {name}: whatever is above it is above {name} already"
            raise document.refuse("per_transaction_max", reason)
    for shorter, longer in pairwise(window_max):
        if window_max[shorter] == window_max[longer]:
            reason = f"is the same as {longer}: whatever is above it is above {longer} already"
            raise document.refuse(shorter, reason)


def _require_rising(document: Document, bounds: Mapping[str, int], why: str) -> None:
    """Return if no bound is below the one before it.

    `per_transaction_max` and windows may be below `instant_max`: tiers say how careful, bounds how
    much, and the tighter one holds.
    """
    names = list(bounds)
    for lower, upper in pairwise(names):
        if bounds[upper] < bounds[lower]:
            raise document.refuse(upper, f"is less than {lower}: {why}")
