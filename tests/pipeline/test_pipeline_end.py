"""Ending: what may still be called off, and that no chain's words keep a payment from ending."""

import json
from itertools import product
from typing import TYPE_CHECKING

import pytest

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.event_values import TEXT_CHARACTERS_MAX
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.end import end, is_unsigned

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

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


@pytest.mark.parametrize("length", [TEXT_CHARACTERS_MAX, TEXT_CHARACTERS_MAX + 1, 10**6])
def test_a_payment_ends_whatever_a_chain_says_of_it_and_the_beginning_is_kept(
    length: int, office: "Office"
) -> None:
    """A reason too long for its event would undo the end of it, and be met again for ever."""
    transaction = office.ask_now(office.hire(), 7).transaction
    error = "TRANSACTION_FAILED_ON_CHAIN: ".ljust(length, "x")
    office.ledger.write(
        lambda tx: end(tx, transaction, TransactionStatus.FAILED, error=error, now_s=1)
    )
    kept = error[:TEXT_CHARACTERS_MAX]
    assert office.transaction(transaction.id).error == kept
    assert json.loads(office.rows("audit_log")[-1].details)["error"] == kept
