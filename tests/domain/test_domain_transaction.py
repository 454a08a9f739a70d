"""The state machine: exactly the moves of the design, and no others."""

import itertools

import pytest

from waiaas.domain.enums import AuditAction, TransactionStatus
from waiaas.domain.transaction import (
    AUDIT_ACTIONS,
    LIVE_ATTEMPT_STATES,
    TRANSITIONS,
    AttemptState,
    IllegalTransition,
    ReservationState,
    check_transition,
    is_terminal,
)

# fmt: off
LEGAL = {
    "PENDING":         {"QUEUED", "EXECUTING", "CANCELLED", "FAILED"},
    "QUEUED":          {"EXECUTING", "CANCELLED", "EXPIRED"},
    "EXECUTING":       {"SUBMITTED", "FAILED", "CANCELLED"},
    "SUBMITTED":       {"CONFIRMED", "FAILED", "EXPIRED", "PARTIAL_FAILURE"},
    "CONFIRMED":       set(),
    "FAILED":          set(),
    "CANCELLED":       set(),
    "EXPIRED":         set(),
    "PARTIAL_FAILURE": set(),
}
"""Written out a second time, so that a slip in the first is seen."""
# fmt: on

TERMINAL = {"CONFIRMED", "FAILED", "CANCELLED", "EXPIRED", "PARTIAL_FAILURE"}


def test_the_table_holds_exactly_the_moves_of_the_design() -> None:
    found = {str(old): {str(new) for new in following} for old, following in TRANSITIONS.items()}
    assert found == LEGAL


@pytest.mark.parametrize(
    ("old", "new"), list(itertools.product(TransactionStatus, TransactionStatus))
)
def test_every_pair_of_states_is_either_a_legal_move_or_refused(
    old: TransactionStatus, new: TransactionStatus
) -> None:
    if new in LEGAL[old]:
        check_transition(old, new)
    else:
        with pytest.raises(IllegalTransition) as refusal:
            check_transition(old, new)
        assert (refusal.value.old, refusal.value.new) == (old, new)
        assert str(refusal.value) == f"a transaction does not go from {old} to {new}"


@pytest.mark.parametrize("status", TransactionStatus)
def test_terminal_states_are_those_that_nothing_follows(status: TransactionStatus) -> None:
    assert is_terminal(status) == (status in TERMINAL)


def test_no_state_follows_itself() -> None:
    assert not [status for status in TransactionStatus if status in TRANSITIONS[status]]


def test_every_state_is_reached_from_pending_and_ends_in_a_terminal_one() -> None:
    reached = {TransactionStatus.PENDING}
    for _ in TransactionStatus:
        reached |= {new for old in reached for new in TRANSITIONS[old]}
    assert reached == set(TransactionStatus)

    ending = {status for status in TransactionStatus if is_terminal(status)}
    for _ in TransactionStatus:
        ending |= {old for old in TransactionStatus if TRANSITIONS[old] & ending}
    assert ending == set(TransactionStatus)


def test_the_tables_cannot_be_changed() -> None:
    for table in (TRANSITIONS, AUDIT_ACTIONS):
        assert not hasattr(table, "__setitem__")
    assert all(isinstance(following, frozenset) for following in TRANSITIONS.values())


def test_entering_any_state_but_the_first_has_an_audit_action() -> None:
    assert set(AUDIT_ACTIONS) == set(TransactionStatus) - {TransactionStatus.PENDING}
    assert set(AUDIT_ACTIONS.values()) <= set(AuditAction)


def test_attempts_and_reservations_have_the_states_of_the_design() -> None:
    attempts = ["RECORDED", "SIGNED", "SENT", "LANDED", "FAILED_ON_CHAIN", "EXPIRED", "REPLACED"]
    assert [*AttemptState] == attempts
    assert [*LIVE_ATTEMPT_STATES] == ["RECORDED", "SIGNED", "SENT"]
    assert [*ReservationState] == ["HELD", "SPENT", "RELEASED"]
