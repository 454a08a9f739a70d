"""Sessions: alive until the second they expire at, and dead at once when revoked."""

import pytest

from waiaas.domain.access import (
    OPERATOR_TOKEN_PREFIX,
    SESSION_ABSOLUTE_S,
    SESSION_TOKEN_PREFIX,
    SESSION_TTL_S_DEFAULT,
    SESSION_TTL_S_MAX,
    SESSION_TTL_S_MIN,
    SESSIONS_PER_AGENT_DEFAULT,
    SESSIONS_PER_AGENT_MAX,
    Credential,
    session_status,
)

# fmt: off
STATUSES = [
    # now  expires  revoked  expected
    (   0,     100,    None, "ACTIVE"),
    (  99,     100,    None, "ACTIVE"),
    ( 100,     100,    None, "EXPIRED"),
    ( 101,     100,    None, "EXPIRED"),
    (  99,     100,       0, "REVOKED"),   # at second 0: false in Python, but revoked
    (  99,     100,      99, "REVOKED"),
    (  99,     100,     150, "REVOKED"),   # the clock may have been set back since
    ( 200,     100,      99, "REVOKED"),   # once revoked it is not merely expired
]
# fmt: on


@pytest.mark.parametrize(("now_s", "expires_at", "revoked_at", "expected"), STATUSES)
def test_a_session_is_what_its_times_say(
    now_s: int, expires_at: int, revoked_at: int | None, expected: str
) -> None:
    assert session_status(now_s=now_s, expires_at=expires_at, revoked_at=revoked_at) == expected


def test_the_lengths_of_a_session_are_those_of_the_design() -> None:
    assert (SESSION_TTL_S_MIN, SESSION_TTL_S_DEFAULT, SESSION_TTL_S_MAX) == (300, 86_400, 604_800)
    assert SESSION_ABSOLUTE_S == 2_592_000
    assert (SESSIONS_PER_AGENT_DEFAULT, SESSIONS_PER_AGENT_MAX) == (5, 50)


def test_the_two_kinds_of_token_cannot_be_mistaken_for_each_other() -> None:
    assert (SESSION_TOKEN_PREFIX, OPERATOR_TOKEN_PREFIX) == ("wai_sess_", "wai_op_")


def test_there_are_five_credentials() -> None:
    assert [*Credential] == ["public", "agent", "owner", "operator-look", "operator"]
