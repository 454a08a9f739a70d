"""Verdicts: what to ask for instead satisfies every rule that denied."""

from dataclasses import FrozenInstanceError

import pytest

from waiaas.domain.enums import PolicyTier
from waiaas.domain.errors import ErrorCode
from waiaas.policy.verdict import Allow, Deny, Violation


def violation(*, max_allowed: int | None, retry_at: int | None) -> Violation:
    return Violation(
        ErrorCode.SPENDING_LIMIT_EXCEEDED,
        "SPENDING_LIMIT",
        "too much",
        max_allowed=max_allowed,
        retry_at=retry_at,
    )


@pytest.mark.parametrize(
    ("each", "together"),
    [
        (((5, 100),), (5, 100)),
        (((5, 100), (3, 90)), (3, 100)),
        (((3, 90), (5, 100)), (3, 100)),
        (((5, 100), (None, 90)), (None, 100)),
        (((5, None), (3, 90)), (3, None)),
        (((None, None),), (None, None)),
        (((1, 0), (2, 0)), (1, 0)),  # second 0 is a second
    ],
)
def test_the_smallest_amount_and_the_latest_second_satisfy_all(
    each: tuple[tuple[int | None, int | None], ...], together: tuple[int | None, int | None]
) -> None:
    denied = Deny(tuple(violation(max_allowed=most, retry_at=when) for most, when in each))
    assert (denied.max_allowed, denied.retry_at) == together


@pytest.mark.parametrize(
    ("tier", "wait_s"),
    [
        (PolicyTier.INSTANT, None),
        (PolicyTier.NOTIFY, None),
        (PolicyTier.DELAY, 7),
        (PolicyTier.APPROVAL, 9),
    ],
)
def test_what_goes_out_by_itself_waits_for_nothing(tier: PolicyTier, wait_s: int | None) -> None:
    delay_s = 7 if tier is PolicyTier.DELAY else None
    approval_s = 9 if tier is PolicyTier.APPROVAL else None
    assert Allow(tier, delay_s=delay_s, approval_s=approval_s).wait_s == wait_s


def test_a_verdict_is_a_value() -> None:
    assert Allow(PolicyTier.INSTANT) == Allow(PolicyTier.INSTANT, ())
    verdict = Allow(PolicyTier.APPROVAL)
    with pytest.raises(FrozenInstanceError):
        verdict.tier = PolicyTier.INSTANT  # type: ignore[misc]  # -- altering it is the point
