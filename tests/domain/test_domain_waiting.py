"""How long is waited where nobody says otherwise lies within what may be said."""

from waiaas.domain.waiting import (
    APPROVAL_S_DEFAULT,
    APPROVAL_S_MAX,
    DELAY_S_DEFAULT,
    DELAY_S_FLOOR,
    DELAY_S_MAX,
    PENDING_MAX_DEFAULT,
    WAITING_MAX_DEFAULT,
)


def test_what_holds_by_default_could_be_asked_for() -> None:
    assert DELAY_S_FLOOR <= DELAY_S_DEFAULT <= DELAY_S_MAX
    assert 0 < APPROVAL_S_DEFAULT <= APPROVAL_S_MAX
    assert 0 < WAITING_MAX_DEFAULT <= PENDING_MAX_DEFAULT


def test_nothing_waits_longer_than_a_week() -> None:
    assert DELAY_S_MAX == APPROVAL_S_MAX == 7 * 24 * 60 * 60
