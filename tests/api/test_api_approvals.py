"""The operator decides: looking and rejecting take the cookie, approving the password once more."""

from typing import TYPE_CHECKING

import pytest
from tests.canaries import MARKER

from waiaas.wire.approvals import Approve

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

NOW_S = 1_700_000_000
PASSWORD = f"{MARKER}-pa55word-é"
COOKIE = "wai_op_" + "C" * 43
RECIPIENT = "So11111111111111111111111111111111111111112"


@pytest.fixture
def waiting(desk: "Desk", hired: "Hired") -> str:
    """Return the id of a payment that needs a person."""
    body = {"to": RECIPIENT, "amount": "1000001"}
    tx_id = desk.ask("POST", "/v1/transactions/send", body, token=hired.token).json["id"]
    desk.woken.clear()
    return str(tx_id)


def test_what_waits_is_listed_until_it_is_decided(
    desk: "Desk", hired: "Hired", waiting: str
) -> None:
    listed = desk.ask("GET", "/v1/approvals", token=COOKIE).json
    assert listed == {
        "items": [
            {
                "transactionId": waiting,
                "agentId": hired.id,
                "type": "TRANSFER",
                "toAddress": RECIPIENT,
                "amount": "1000001",
                "createdAt": NOW_S,
                "expiresAt": NOW_S + 3600,
                "rent": None,
                "request": {"type": "TRANSFER", "to": RECIPIENT, "amount": "1000001"},
            }
        ]
    }
    rejected = desk.ask("POST", f"/v1/approvals/{waiting}/reject", token=COOKIE)
    assert rejected.json == {"id": waiting, "status": "CANCELLED"}
    assert desk.ask("GET", "/v1/approvals", token=COOKIE).json == {"items": []}


def test_what_has_expired_is_not_listed(desk: "Desk", waiting: str) -> None:
    assert waiting
    desk.clock.advance(3600)
    assert desk.ask("GET", "/v1/approvals", token=COOKIE).json == {"items": []}


def test_approving_takes_a_login_and_the_password_and_wakes_the_worker(
    desk: "Desk", hired: "Hired", operator: str, waiting: str
) -> None:
    path, body = f"/v1/approvals/{waiting}/approve", {"password": PASSWORD}
    for token in (COOKIE, hired.token, None):
        assert desk.ask("POST", path, body, token=token).code == "INVALID_TOKEN"
    wrong = desk.ask("POST", path, {"password": "wrong"}, token=operator)
    assert (wrong.status, wrong.code) == (401, "INVALID_MASTER_PASSWORD")
    assert desk.rows("audit_log")[-1].event_type == "AUTH_FAILED"
    assert desk.woken == []
    approved = desk.ask("POST", path, body, token=operator)
    assert approved.json == {"id": waiting, "status": "QUEUED"}
    assert [transaction.id for transaction in desk.woken] == [waiting]
    events = [row.event_type for row in desk.rows("audit_log")][-2:]
    assert events == ["OPERATOR_CONFIRMED", "TX_APPROVED"]
    again = desk.ask("POST", path, body, token=operator)
    assert (again.status, again.code) == (409, "TX_ALREADY_PROCESSED")


def test_who_guesses_passwords_at_an_approval_is_slowed_down(
    desk: "Desk", operator: str, waiting: str
) -> None:
    path = f"/v1/approvals/{waiting}/approve"
    codes = [desk.ask("POST", path, {"password": "x"}, token=operator).code for _ in range(4)]
    assert codes == ["INVALID_MASTER_PASSWORD"] * 3 + ["MASTER_PASSWORD_LOCKED"]
    assert desk.rows("pending_approvals")[0].approved_at is None


def test_a_decision_that_comes_too_late_is_gone(desk: "Desk", operator: str, waiting: str) -> None:
    desk.clock.wall_s += 3600
    body = {"password": PASSWORD}
    late = desk.ask("POST", f"/v1/approvals/{waiting}/approve", body, token=operator)
    assert (late.status, late.code) == (410, "APPROVAL_TIMEOUT")


def test_a_password_is_not_shown() -> None:
    assert PASSWORD not in repr(Approve(PASSWORD))
