"""The operator sees a clock in doubt and accepts it; nobody else can, and agents are told why."""

from typing import TYPE_CHECKING, Final

import pytest
from tests.canaries import MARKER

from waiaas.pipeline.clock_guard import ClockGuard

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

NOW_S: Final = 1_700_000_000
PASSWORD: Final = f"{MARKER}-pa55word-é"
COOKIE: Final = "wai_op_" + "C" * 43
RECIPIENT: Final = "So11111111111111111111111111111111111111112"
CLOCK: Final = "/v1/admin/clock"
HOURS_25: Final = 25 * 3600
BODY: Final = {"password": PASSWORD, "difference": HOURS_25}


@pytest.fixture(autouse=True)
def guarded(desk: "Desk") -> None:
    """Let the application have the guard that the daemon gives it."""
    guard = ClockGuard(desk.clock, boot_id="boot")
    guard.start(desk.ledger)
    desk.rebuild(clock=guard, accept_clock=guard.accept)


def send(desk: "Desk", hired: "Hired") -> str:
    body = {"to": RECIPIENT, "amount": "1"}
    return desk.ask("POST", "/v1/transactions/send", body, token=hired.token).code


def test_a_clock_that_was_set_is_seen_refused_and_accepted(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    right = {"inDoubt": False, "actual": NOW_S, "expected": NOW_S, "difference": 0}
    assert desk.ask("GET", CLOCK, token=COOKIE).json == right
    desk.clock.wall_s += HOURS_25
    assert desk.ask("GET", CLOCK, token=COOKIE).json == {
        "inDoubt": True,
        "actual": NOW_S + HOURS_25,
        "expected": NOW_S,
        "difference": HOURS_25,
    }
    assert desk.ask("GET", "/health").json["status"] == "clock_in_doubt"
    status = desk.ask("GET", "/v1/admin/status", token=COOKIE).json
    assert (status["status"], status["clockDifference"]) == ("clock_in_doubt", HOURS_25)
    assert status["timestamp"] == NOW_S
    assert send(desk, hired) == "CLOCK_IN_DOUBT"
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).status == 200
    accepted = desk.ask("POST", CLOCK, BODY, token=operator)
    assert (accepted.status, accepted.json["inDoubt"]) == (200, False)
    assert desk.ask("GET", "/health").json["status"] == "ok"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({**BODY, "password": "wrong"}, 401, "INVALID_MASTER_PASSWORD"),
        ({**BODY, "difference": 0}, 503, "CLOCK_IN_DOUBT"),
        ({"password": PASSWORD}, 400, "VALIDATION_FAILED"),
        ({**BODY, "difference": 2**41}, 400, "VALIDATION_FAILED"),
    ],
    ids=["wrong password", "not as seen", "not seen", "out of range"],
)
def test_what_is_not_accepted_stays_in_doubt(
    desk: "Desk", operator: str, body: dict[str, object], status: int, code: str
) -> None:
    desk.clock.wall_s += HOURS_25
    refused = desk.ask("POST", CLOCK, body, token=operator)
    assert (refused.status, refused.code) == (status, code)
    assert desk.ask("GET", CLOCK, token=COOKIE).json["inDoubt"] is True


def test_each_payment_that_is_refused_in_doubt_leaves_its_row_beside_the_one_of_the_doubt(
    desk: "Desk", hired: "Hired"
) -> None:
    desk.clock.wall_s += HOURS_25
    count = len(desk.rows("audit_log"))
    assert [send(desk, hired) for _ in range(2)] == ["CLOCK_IN_DOUBT"] * 2
    rows = desk.rows("audit_log")[count:]
    events = [(row.event_type, row.session_id) for row in rows]
    refused = ("REQUEST_REFUSED", hired.session_id)
    assert events == [("CLOCK_JUMPED", None), refused, refused]


def test_what_a_request_would_get_in_doubt_is_told_as_it_is_answered(
    desk: "Desk", hired: "Hired"
) -> None:
    pay = {"type": "TRANSFER", "to": RECIPIENT, "amount": "1"}
    asked = (
        ("/v1/transactions/simulate", pay, hired.token),
        ("/v1/policies/explain", {"agentId": hired.id, "request": pay}, COOKIE),
        ("/v1/transactions/send", pay, hired.token),
    )
    desk.clock.wall_s += HOURS_25
    refused = [desk.ask("POST", path, body, token=token) for path, body, token in asked]
    assert {(each.code, each.json["message"]) for each in refused} == {
        ("CLOCK_IN_DOUBT", refused[-1].json["message"])
    }
    desk.clock.wall_s -= HOURS_25
    told = desk.ask("POST", "/v1/transactions/simulate", pay, token=hired.token)
    assert told.json["denial"] is None


def test_neither_the_cookie_nor_an_agent_accepts_it(desk: "Desk", hired: "Hired") -> None:
    desk.clock.wall_s += HOURS_25
    for token in (COOKIE, hired.token, None):
        assert desk.ask("POST", CLOCK, BODY, token=token).code == "INVALID_TOKEN"
    assert desk.ask("GET", CLOCK, token=COOKIE).json["inDoubt"] is True
