"""May this happen? One pure function, used by everything that asks.

Every applicable rule always runs. Any denial denies, and all denials are listed; otherwise the
highest tier wins. What no rule grants is denied, and so is everything while a rule cannot be read.
"""

from collections.abc import Iterable, Iterator, Sequence

from waiaas.domain.enums import PolicyTier
from waiaas.domain.errors import ErrorCode
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Request
from waiaas.policy.policies import WINDOWS_S, RuleRefused, SpendingLimit, parse_policy
from waiaas.policy.usage import Usage
from waiaas.policy.verdict import DEFAULT_DENY, Allow, Deny, Verdict, Violation


def evaluate(
    request: Request, *, policies: Sequence[PolicyRecord], usage: Usage, now_s: int
) -> Verdict:
    """Return the verdict of every policy taken together.

    Args:
        request: what the agent asks for.
        policies: the enabled rules of this agent and the global ones, as stored.
        usage: of the request's asset, reaching back at least `WINDOW_S_MAX` seconds.
        now_s: ledger time in Unix epoch seconds.
    """
    limits: list[SpendingLimit] = []
    violations: list[Violation] = []
    for record in policies:
        try:
            limits.append(parse_policy(record))
        except RuleRefused as refused:
            violations.append(_unreadable(record, refused))
    granting = [limit for limit in limits if limit.asset == request.asset]
    if not granting:
        violations.append(_not_granted(request))
    for limit in granting:
        violations.extend(_exceeded(limit, request, usage, now_s))
    escalations = _escalations(granting, request, usage, now_s)
    if violations:
        return Deny(tuple(violations), escalations)
    return Allow(PolicyTier.APPROVAL if escalations else PolicyTier.INSTANT, escalations)


def _escalations(
    limits: Iterable[SpendingLimit], request: Request, usage: Usage, now_s: int
) -> tuple[Violation, ...]:
    """Return each bound above which a payment no longer goes out at once.

    What only other money in flight brings above it goes out once that has moved: the forecast is,
    as for windows, that it moves now, so that it is gone from the next second on.
    """
    return tuple(
        _violation(
            "instant_max",
            limit=limit.instant_max,
            observed=usage.in_flight + request.base_units,
            amount=request.base_units,
            retry_at=now_s + 1 if request.base_units <= limit.instant_max else None,
        )
        for limit in limits
        if usage.in_flight + request.base_units > limit.instant_max
    )


def _exceeded(
    limit: SpendingLimit, request: Request, usage: Usage, now_s: int
) -> Iterator[Violation]:
    """Yield each bound of *limit* that the request is above."""
    amount = request.base_units
    bound = limit.per_transaction_max
    if bound is not None and amount > bound:
        yield _violation(
            "per_transaction_max", limit=bound, observed=amount, amount=amount, retry_at=None
        )
    for name, window_max in limit.window_max.items():
        window_s = WINDOWS_S[name]
        observed = usage.in_flight + usage.spent_after(now_s - window_s) + amount
        if observed > window_max:
            yield _violation(
                name,
                limit=window_max,
                observed=observed,
                amount=amount,
                retry_at=_passes_at(amount, window_max, window_s, usage, now_s),
            )


def _passes_at(amount: int, window_max: int, window_s: int, usage: Usage, now_s: int) -> int | None:
    """Return from when a window has room for *amount*, or None if it never has.

    Money in flight is counted as if it moved now. That is a forecast: what moves later leaves the
    window later, and what turns out not to move makes room at once.
    """
    if amount > window_max:
        return None
    counted = [
        (spend.settled_at, spend.base_units)
        for spend in usage.spends
        if spend.settled_at > now_s - window_s
    ]
    counted.append((now_s, usage.in_flight))
    total = sum(base_units for _, base_units in counted)
    for settled_at, base_units in counted:
        total -= base_units
        if total + amount <= window_max:
            return settled_at + window_s
    raise AssertionError("an empty window has room for anything up to its bound")


def _violation(
    bound: str, *, limit: int, observed: int, amount: int, retry_at: int | None
) -> Violation:
    already = observed - amount
    return Violation(
        code=ErrorCode.SPENDING_LIMIT_EXCEEDED,
        rule="SPENDING_LIMIT",
        message=f"{bound} is {limit}, and this payment would bring it to {observed}",
        bound=bound,
        limit=limit,
        observed=observed,
        max_allowed=max(limit - already, 0) or None,
        retry_at=retry_at,
    )


def _not_granted(request: Request) -> Violation:
    return Violation(
        code=ErrorCode.POLICY_DENIED,
        rule=DEFAULT_DENY,
        message=f"no policy grants this agent a {request.type} of {request.asset}",
    )


def _unreadable(record: PolicyRecord, refused: RuleRefused) -> Violation:
    return Violation(
        code=ErrorCode.POLICY_DENIED,
        rule=record.type,
        message=f"policy {record.id} cannot be evaluated ({refused}), so nothing is allowed",
    )
