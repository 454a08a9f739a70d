"""What comes next: every status with every state of an attempt."""

from itertools import product

import pytest

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.advance import Step, next_step

PENDING, QUEUED = TransactionStatus.PENDING, TransactionStatus.QUEUED
EXECUTING, SUBMITTED = TransactionStatus.EXECUTING, TransactionStatus.SUBMITTED
ATTEMPTS: tuple[AttemptState | None, ...] = (None, *AttemptState)

STEPS: dict[tuple[TransactionStatus, AttemptState | None], Step] = {
    **{(PENDING, attempt): Step.PREPARE for attempt in ATTEMPTS},
    (EXECUTING, AttemptState.RECORDED): Step.SIGN,
    (EXECUTING, AttemptState.SIGNED): Step.SEND,
    **{(SUBMITTED, attempt): Step.WATCH for attempt in ATTEMPTS},
}
"""The whole table; whatever is not in it has no next step."""


@pytest.mark.parametrize(("status", "attempt"), list(product(TransactionStatus, ATTEMPTS)))
def test_the_next_step_is_the_one_in_the_table(
    status: TransactionStatus, attempt: AttemptState | None
) -> None:
    assert next_step(status, attempt) is STEPS.get((status, attempt))


@pytest.mark.parametrize("status", TransactionStatus)
def test_bytes_are_sent_only_while_they_are_signed_and_nothing_is_known_of_them(
    status: TransactionStatus,
) -> None:
    sending = [attempt for attempt in ATTEMPTS if next_step(status, attempt) is Step.SEND]
    assert sending == ([AttemptState.SIGNED] if status is EXECUTING else [])
