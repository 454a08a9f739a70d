"""Whether a transaction may still be called off: every status with every state of an attempt."""

from itertools import product

import pytest

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.end import is_unsigned

ATTEMPTS: tuple[AttemptState | None, ...] = (None, *AttemptState)
UNSIGNED = {
    *product([TransactionStatus.PENDING, TransactionStatus.QUEUED], ATTEMPTS),
    (TransactionStatus.EXECUTING, AttemptState.RECORDED),
}
"""The whole table."""


@pytest.mark.parametrize(("status", "attempt"), list(product(TransactionStatus, ATTEMPTS)))
def test_what_nothing_was_signed_of_may_be_called_off_and_nothing_else(
    status: TransactionStatus, attempt: AttemptState | None
) -> None:
    assert is_unsigned(status, attempt) is ((status, attempt) in UNSIGNED)
