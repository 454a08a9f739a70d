"""Who is refused too often is held back: no more is written, and what is allowed still goes."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.conftest import COOKIE, RECIPIENT, TestClock

from waiaas.api.allowance import (
    REFUSALS_PER_HOUR_MAX,
    REFUSALS_PER_MINUTE_MAX,
    Allowance,
    HeldBack,
)
from waiaas.database import generate_id

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired

SEND = "/v1/transactions/send"
DENIED = {"to": RECIPIENT, "amount": "9999999"}
MOST = REFUSALS_PER_MINUTE_MAX


@pytest.fixture
def bounded(desk: "Desk") -> "Desk":
    """A desk with the bounds of the daemon."""
    desk.rebuild(allowance=Allowance(desk.clock))
    return desk


def send(desk: "Desk", hired: "Hired", body: object = DENIED) -> "Answer":
    headers = [("idempotency-key", generate_id())]
    return desk.ask("POST", SEND, body, token=hired.token, headers=headers)


def counts(desk: "Desk") -> tuple[int, int]:
    return len(desk.rows("transactions")), len(desk.rows("audit_log"))


def exhaust(desk: "Desk", hired: "Hired") -> None:
    for _ in range(MOST):
        assert send(desk, hired, {}).code == "VALIDATION_FAILED"


# ── over HTTP ──────────────────────────────────────────────────────────────────────────────────


def test_denials_past_the_bound_leave_one_row_a_minute_and_nothing_else(
    bounded: "Desk", hired: "Hired"
) -> None:
    before = counts(bounded)
    for _ in range(MOST):
        assert send(bounded, hired).code == "SPENDING_LIMIT_EXCEEDED"
    recorded, content = counts(bounded), bounded.content()
    assert recorded == (before[0] + MOST, before[1] + 3 * MOST)
    answer, *more = (send(bounded, hired) for _ in range(MOST))
    assert {each.code for each in (answer, *more)} == {"TOO_MANY_REFUSALS"}
    assert answer.status == 429
    assert answer.headers["retry-after"] == "60"
    assert answer.json["retryAt"] == bounded.clock.wall_s + 60
    assert answer.json["retryable"] is True
    assert answer.json["hint"]
    assert counts(bounded) == (recorded[0], recorded[1] + 1)
    row = bounded.rows("audit_log")[-1]
    assert (row.event_type, row.session_id) == ("RATE_LIMIT_EXCEEDED", hired.session_id)
    assert {**bounded.content(), "audit_log": []} == {**content, "audit_log": []}


def test_without_the_bound_each_of_them_leaves_rows(desk: "Desk", hired: "Hired") -> None:
    """The control."""
    before = counts(desk)
    for _ in range(2 * MOST):
        assert send(desk, hired).code == "SPENDING_LIMIT_EXCEEDED"
    assert counts(desk) == (before[0] + 2 * MOST, before[1] + 6 * MOST)


def test_any_number_at_once_leaves_no_more(bounded: "Desk", hired: "Hired") -> None:
    async def all_at_once() -> "list[Answer]":
        return await asyncio.gather(
            *(bounded.asked("POST", SEND, DENIED, token=hired.token) for _ in range(4 * MOST))
        )

    before = counts(bounded)
    codes = [answer.code for answer in asyncio.run(all_at_once())]
    assert codes.count("SPENDING_LIMIT_EXCEEDED") == MOST
    assert codes.count("TOO_MANY_REFUSALS") == 3 * MOST
    assert counts(bounded) == (before[0] + MOST, before[1] + 3 * MOST + 1)


def test_what_is_allowed_is_not_held_back(bounded: "Desk", hired: "Hired") -> None:
    exhaust(bounded, hired)
    assert send(bounded, hired).code == "TOO_MANY_REFUSALS"
    for _ in range(2 * MOST):
        assert send(bounded, hired, {"to": RECIPIENT, "amount": "1"}).status == 201


REFUSED: list[tuple[str, str, Any]] = [
    ("POST", SEND, {}),
    ("POST", SEND, DENIED),
    ("POST", SEND, {"to": RECIPIENT, "amount": "1"}),  # It was asked for a moment ago.
    ("GET", "/v1/transactions/none", None),
    ("POST", "/v1/transactions/{id}/cancel", None),
    ("GET", "/v1/approvals", None),
    ("GET", "/v1/nowhere", None),
]


def test_a_refusal_of_any_kind_is_held_back(bounded: "Desk", hired: "Hired") -> None:
    body = {"to": RECIPIENT, "amount": "1"}
    paid = bounded.ask("POST", SEND, body, token=hired.token).json["id"]
    bounded.ask("POST", f"/v1/transactions/{paid}/cancel", token=hired.token)
    bounded.ask("POST", SEND, body, token=hired.token)
    exhaust(bounded, hired)
    assert send(bounded, hired, {}).status == 429
    before = bounded.content()
    codes = [
        bounded.ask(method, path.format(id=paid), body, token=hired.token).code
        for method, path, body in REFUSED
    ]
    assert codes == ["TOO_MANY_REFUSALS"] * len(REFUSED)
    assert bounded.content() == before


def test_one_credential_does_not_use_up_the_allowance_of_another(
    bounded: "Desk", hired: "Hired", operator: str
) -> None:
    def codes(token: str) -> list[str]:
        path = "/v1/agents/none/suspend"
        return [
            bounded.ask("POST", path, {"reason": "x"}, token=token).code for _ in range(MOST + 1)
        ]

    exhaust(bounded, hired)
    other = bounded.create_agent(token=operator)
    for token, code in (
        (other.token, "INVALID_TOKEN"),
        (COOKIE, "AGENT_NOT_FOUND"),
        (operator, "AGENT_NOT_FOUND"),
    ):
        assert codes(token) == [code] * MOST + ["TOO_MANY_REFUSALS"]


def test_a_denial_that_was_written_down_is_given_again_to_who_is_held_back(
    bounded: "Desk", hired: "Hired"
) -> None:
    headers = [("idempotency-key", "k")]
    codes = [
        bounded.ask("POST", SEND, DENIED, token=hired.token, headers=headers).code
        for _ in range(2 * MOST)
    ]
    exhaust_by_one_less = MOST - 1
    for _ in range(exhaust_by_one_less):
        send(bounded, hired, {})
    assert send(bounded, hired).code == "TOO_MANY_REFUSALS"
    again = bounded.ask("POST", SEND, DENIED, token=hired.token, headers=headers)
    assert {*codes, again.code} == {"SPENDING_LIMIT_EXCEEDED"}


def test_a_strangers_refusals_are_not_counted(bounded: "Desk", hired: "Hired") -> None:
    for _ in range(2 * MOST):
        assert bounded.ask("POST", SEND, DENIED).code == "INVALID_TOKEN"
    assert send(bounded, hired).code == "SPENDING_LIMIT_EXCEEDED"


# ── counting ───────────────────────────────────────────────────────────────────────────────────


def taken(allowance: Allowance, times: int, key: str = "a") -> list[HeldBack | None]:
    return [allowance.take(key) for _ in range(times)]


def test_a_minute_has_room_for_so_many_whenever_it_begins() -> None:
    clock = TestClock()
    allowance = Allowance(clock)
    for _ in range(MOST):
        assert allowance.take("a") is None
        clock.advance(1)
    held = allowance.take("a")
    assert held is not None
    assert held.wait_s == 60 - MOST
    clock.advance(held.wait_s - 0.5)
    assert allowance.take("a") is not None
    clock.advance(0.5)
    assert allowance.take("a") is None
    assert allowance.take("a") is not None


def test_an_hour_has_room_for_fewer_than_sixty_minutes_have() -> None:
    clock = TestClock()
    allowance = Allowance(clock)
    minutes = REFUSALS_PER_HOUR_MAX // MOST
    for _ in range(minutes):
        assert taken(allowance, MOST) == [None] * MOST
        clock.advance(60)
    held = allowance.take("a")
    assert held is not None
    assert held.wait_s == 3600 - 60 * minutes
    clock.advance(held.wait_s)
    assert taken(allowance, MOST) == [None] * MOST


def test_what_is_held_back_does_not_lengthen_the_wait() -> None:
    clock = TestClock()
    allowance = Allowance(clock)
    taken(allowance, 10 * MOST)
    clock.advance(60)
    assert allowance.take("a") is None


def test_a_minute_has_one_reminder() -> None:
    clock = TestClock()
    allowance = Allowance(clock)
    assert [allowance.reminds("a") for _ in range(3)] == [True, False, False]
    assert allowance.reminds("b")
    clock.advance(60)
    assert allowance.reminds("a")


def test_a_credential_that_behaves_is_forgotten() -> None:
    clock = TestClock()
    allowance = Allowance(clock)
    for key in map(str, range(100)):
        allowance.take(key)
        allowance.reminds(key)
    clock.advance(3600)
    allowance.take("a")
    assert set(allowance._refused_at_s) == {"a"}
    assert not allowance._reminded_at_s
