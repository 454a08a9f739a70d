"""What comes next: every status with every state of an attempt."""

from itertools import product

import pytest

from waiaas.domain.enums import PolicyTier, TransactionStatus
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.advance import Step, Wait, next_step, wait_of

PENDING, QUEUED = TransactionStatus.PENDING, TransactionStatus.QUEUED
EXECUTING, SUBMITTED = TransactionStatus.EXECUTING, TransactionStatus.SUBMITTED
ATTEMPTS: tuple[AttemptState | None, ...] = (None, *AttemptState)
WAITS: tuple[Wait | None, ...] = (None, *Wait)
SOON_S = 1000

STEPS: dict[tuple[TransactionStatus, AttemptState | None, Wait | None], Step] = {
    **{(PENDING, attempt, wait): Step.PREPARE for attempt in ATTEMPTS for wait in WAITS},
    **{(QUEUED, attempt, Wait.OVER): Step.PREPARE for attempt in ATTEMPTS},
    **{(QUEUED, attempt, Wait.EXPIRED): Step.EXPIRE for attempt in ATTEMPTS},
    **{(EXECUTING, AttemptState.RECORDED, wait): Step.SIGN for wait in WAITS},
    **{(EXECUTING, AttemptState.SIGNED, wait): Step.SEND for wait in WAITS},
    **{(SUBMITTED, attempt, wait): Step.WATCH for attempt in ATTEMPTS for wait in WAITS},
}
"""The whole table; whatever is not in it has no next step."""


@pytest.mark.parametrize("is_forbidden", [False, True])
@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize(("status", "attempt"), list(product(TransactionStatus, ATTEMPTS)))
def test_the_next_step_is_the_one_in_the_table(
    status: TransactionStatus,
    attempt: AttemptState | None,
    wait: Wait | None,
    is_forbidden: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    expected = STEPS.get((status, attempt, wait))
    if is_forbidden and expected is Step.SEND:
        expected = Step.HOLD
    assert next_step(status, attempt, wait, is_forbidden=is_forbidden) is expected


# fmt: off
STANDINGS = [
    # tier               until        approved  and now it
    (PolicyTier.DELAY,    SOON_S + 1, False,    Wait.OPEN),
    (PolicyTier.DELAY,    SOON_S,     False,    Wait.OVER),
    (PolicyTier.DELAY,    SOON_S + 1, True,     Wait.OPEN),
    (PolicyTier.DELAY,    None,       True,     Wait.OPEN),
    (PolicyTier.APPROVAL, SOON_S + 1, False,    Wait.OPEN),
    (PolicyTier.APPROVAL, SOON_S,     False,    Wait.EXPIRED),
    (PolicyTier.APPROVAL, SOON_S + 1, True,     Wait.OVER),
    (PolicyTier.APPROVAL, SOON_S,     True,     Wait.OVER),
    (PolicyTier.APPROVAL, None,       True,     Wait.OVER),
    (PolicyTier.APPROVAL, None,       False,    Wait.OPEN),
    (PolicyTier.INSTANT,  0,          True,     Wait.OPEN),
    (PolicyTier.NOTIFY,   0,          True,     Wait.OPEN),
    (None,                0,          True,     Wait.OPEN),
]
# fmt: on


@pytest.mark.parametrize(("tier", "until_at", "is_approved", "wait"), STANDINGS)
def test_a_wait_ends_by_what_it_is_for_and_by_nothing_else(
    tier: PolicyTier | None, until_at: int | None, *, is_approved: bool, wait: Wait
) -> None:
    found = wait_of(tier, until_at=until_at, is_approved=is_approved, now_s=SOON_S)
    assert found is wait


@pytest.mark.parametrize("status", TransactionStatus)
def test_bytes_are_sent_only_while_they_are_signed_and_nothing_is_known_of_them(
    status: TransactionStatus,
) -> None:
    def sending(*, is_forbidden: bool) -> list[AttemptState | None]:
        steps = {
            attempt: next_step(status, attempt, None, is_forbidden=is_forbidden)
            for attempt in ATTEMPTS
        }
        return [attempt for attempt, step in steps.items() if step is Step.SEND]

    assert sending(is_forbidden=False) == ([AttemptState.SIGNED] if status is EXECUTING else [])
    assert sending(is_forbidden=True) == []
