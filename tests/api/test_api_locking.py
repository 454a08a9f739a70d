"""Locking and unlocking over HTTP: the cookie tightens, the password loosens, no login survives."""

from typing import TYPE_CHECKING, Any

import pytest
from tests.canaries import MARKER

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

COOKIE = "wai_op_" + "C" * 43
PASSWORD = f"{MARKER}-pa55word-é"
RECIPIENT = "So11111111111111111111111111111111111111112"
LOCK, UNLOCK = "/v1/admin/lock", "/v1/admin/unlock"


def test_the_cookie_locks_and_no_login_survives_it(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    assert desk.ask("GET", "/v1/policies", token=operator).status == 200
    locked = desk.ask("POST", LOCK, token=COOKIE)
    assert (locked.status, locked.json) == (200, {"locked": True, "auditProblem": None})
    assert desk.ask("GET", "/v1/policies", token=operator).code == "INVALID_TOKEN"
    assert desk.ask("GET", "/health").json["status"] == "locked"
    status = desk.ask("GET", "/v1/admin/status", token=COOKIE).json
    assert (status["status"], status["locked"]) == ("locked", True)
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).status == 200


def test_while_locked_an_agent_is_told_why_and_who_can_help(desk: "Desk", hired: "Hired") -> None:
    desk.ask("POST", LOCK, token=COOKIE)
    body = {"to": RECIPIENT, "amount": "1"}
    refused = desk.ask("POST", "/v1/transactions/send", body, token=hired.token)
    assert (refused.status, refused.code) == (503, "KEYSTORE_LOCKED")
    assert refused.json["retryable"] is True
    assert "waiaas unlock" in refused.json["hint"]
    assert desk.woken == []


def test_what_is_explained_while_locked_says_so_and_is_what_holds_once_it_is_unlocked(
    desk: "Desk", hired: "Hired"
) -> None:
    def simulated() -> Any:
        body = {"to": RECIPIENT, "amount": "1"}
        return desk.ask("POST", "/v1/transactions/simulate", body, token=hired.token).json

    before = simulated()
    assert (before["tier"], before["keystoreLocked"]) == ("INSTANT", False)
    desk.ask("POST", LOCK, token=COOKIE)
    assert simulated() | {"at": before["at"]} == before | {"keystoreLocked": True}


def test_a_login_works_while_locked_and_changes_nothing_about_it(desk: "Desk") -> None:
    desk.ask("POST", LOCK, token=COOKIE)
    token = desk.log_in()
    assert desk.ask("GET", "/v1/policies", token=token).status == 200
    assert desk.ask("GET", "/health").json["status"] == "locked"


def test_cookie_and_password_unlock(desk: "Desk", hired: "Hired") -> None:
    desk.ask("POST", LOCK, token=COOKIE)
    unlocked = desk.ask("POST", UNLOCK, {"password": PASSWORD}, token=COOKIE)
    assert (unlocked.status, unlocked.json) == (200, {"locked": False, "auditProblem": None})
    assert desk.ask("GET", "/health").json["status"] == "ok"
    body = {"to": RECIPIENT, "amount": "1"}
    assert desk.ask("POST", "/v1/transactions/send", body, token=hired.token).status == 201


@pytest.mark.parametrize(
    ("token", "password", "code"),
    [
        (COOKIE, "wrong", "INVALID_MASTER_PASSWORD"),
        (None, PASSWORD, "INVALID_TOKEN"),
        ("an agent's", PASSWORD, "INVALID_TOKEN"),
    ],
)
def test_nothing_less_unlocks(
    desk: "Desk", hired: "Hired", token: str | None, password: str, code: str
) -> None:
    desk.ask("POST", LOCK, token=COOKIE)
    given = hired.token if token == "an agent's" else token
    assert desk.ask("POST", UNLOCK, {"password": password}, token=given).code == code
    assert desk.ask("GET", "/health").json["status"] == "locked"


def test_an_agent_does_not_lock(desk: "Desk", hired: "Hired") -> None:
    assert desk.ask("POST", LOCK, token=hired.token).code == "INVALID_TOKEN"
    assert desk.ask("GET", "/health").json["status"] == "ok"
