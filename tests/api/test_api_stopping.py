"""Stopping takes the cookie; starting again a login, and the kill switch the password besides."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.canaries import MARKER
from tests.fakes.chain import LOCALNET
from tests.pipeline.poisons import NOT_TEXT

from waiaas.database import create_database, generate_id
from waiaas.logs import log_to_stderr
from waiaas.pipeline.restored import mark_restored
from waiaas.ports import ChainUnavailable
from waiaas.wire.kill_switch import RecoverKillSwitch

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

NOW_S = 1_700_000_000
PASSWORD = f"{MARKER}-pa55word-é"
COOKIE = "wai_op_" + "C" * 43
RECIPIENT = "So11111111111111111111111111111111111111112"
SWITCH, RECOVER = "/v1/admin/kill-switch", "/v1/admin/recover"


def send(desk: "Desk", hired: "Hired", amount: str = "1000001") -> str:
    body = {"to": RECIPIENT, "amount": amount}
    return str(desk.ask("POST", "/v1/transactions/send", body, token=hired.token).json["id"])


def test_the_kill_switch_stops_everything_and_is_seen_to_be_on(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    tx_id = send(desk, hired)
    off = {"state": "NORMAL", "since": None, "reason": None, "recoverableAt": None}
    assert desk.ask("GET", SWITCH, token=COOKIE).json == off
    desk.clock.advance(5)
    done = desk.ask("POST", SWITCH, {"reason": "a thief"}, token=COOKIE)
    assert done.json == {
        "state": "ACTIVATED",
        "activatedAt": NOW_S + 5,
        "reason": "a thief",
        "agentsSuspended": 1,
        "sessionsRevoked": 1,
        "transactionsCancelled": 1,
        "transactionsUnderWay": 0,
    }
    assert desk.rows("audit_log")[-1].ip_address == "127.0.0.1"
    stands = desk.ask("GET", SWITCH, token=COOKIE).json
    assert (stands["state"], stands["reason"]) == ("ACTIVATED", "a thief")
    assert desk.ask("GET", "/v1/admin/status", token=COOKIE).json["killSwitch"] == "ACTIVATED"
    assert desk.ask("GET", f"/v1/transactions/{tx_id}", token=hired.token).code == "SESSION_REVOKED"
    [agent] = desk.ask("GET", "/v1/agents", token=COOKIE).json["items"]
    assert (agent["id"], agent["status"]) == (hired.id, "SUSPENDED")
    assert (agent["suspendedAt"], agent["suspensionReason"]) == (NOW_S + 5, "KILL_SWITCH: a thief")
    for method, path, body in (
        ("POST", "/v1/agents", {"name": "a", "network": "localnet"}),
        ("POST", "/v1/sessions", {"agentId": hired.id}),
        ("POST", f"/v1/agents/{hired.id}/resume", None),
        ("POST", f"/v1/approvals/{tx_id}/approve", {"password": PASSWORD}),
    ):
        refused = desk.ask(method, path, body, token=operator)
        assert (refused.status, refused.code) == (409, "KILL_SWITCH_ACTIVE")
        assert "waiaas kill-switch off" in refused.json["hint"]


def test_turning_it_off_takes_a_login_the_password_the_wait_and_the_password_again(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    body = {"password": PASSWORD}
    assert desk.ask("POST", RECOVER, body, token=operator).code == "KILL_SWITCH_NOT_ACTIVE"
    desk.ask("POST", SWITCH, {}, token=COOKIE)
    for token in (COOKIE, hired.token, None):
        assert desk.ask("POST", RECOVER, body, token=token).code == "INVALID_TOKEN"
    wrong = desk.ask("POST", RECOVER, {"password": "wrong"}, token=operator)
    assert (wrong.status, wrong.code) == (401, "INVALID_MASTER_PASSWORD")
    assert desk.ask("GET", SWITCH, token=COOKIE).json["state"] == "ACTIVATED"
    begun = desk.ask("POST", RECOVER, body, token=operator).json
    assert (begun["state"], begun["recoverableAt"]) == ("RECOVERING", NOW_S + 1800)
    early = desk.ask("POST", RECOVER, body, token=operator)
    assert (early.status, early.code) == (409, "RECOVERY_WAIT_REQUIRED")
    assert (early.json["retryAt"], early.json["retryable"]) == (NOW_S + 1800, True)
    desk.clock.wall_s += 1800
    assert desk.ask("POST", RECOVER, body, token=operator).json["state"] == "NORMAL"
    path = f"/v1/agents/{hired.id}/resume"
    assert desk.ask("POST", path, token=COOKIE).code == "INVALID_TOKEN"
    assert desk.ask("POST", path, token=operator).json["status"] == "ACTIVE"


def test_an_agent_is_suspended_resumed_and_terminated(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    path = f"/v1/agents/{hired.id}"
    suspended = desk.ask("POST", f"{path}/suspend", {"reason": "odd"}, token=COOKIE).json
    assert (suspended["status"], suspended["suspensionReason"]) == ("SUSPENDED", "odd")
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).status == 200
    assert desk.ask("POST", f"{path}/resume", token=operator).json["status"] == "ACTIVE"
    tx_id = send(desk, hired)
    assert desk.ask("POST", f"{path}/terminate", {}, token=COOKIE).code == "INVALID_TOKEN"
    forced = desk.ask("POST", f"{path}/terminate", {"force": True}, token=operator)
    assert forced.json["status"] == "TERMINATED"
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).code == "SESSION_REVOKED"
    [row] = [row for row in desk.rows("transactions") if row.id == tx_id]
    assert row.status == "CANCELLED"
    refused = desk.ask("POST", f"{path}/resume", token=operator)
    assert (refused.status, refused.code) == (409, "AGENT_NOT_ACTIVE")
    unknown = desk.ask("POST", f"/v1/agents/{generate_id()}/suspend", {}, token=COOKIE)
    assert (unknown.status, unknown.code) == (404, "AGENT_NOT_FOUND")


def test_what_is_left_because_it_cannot_be_read_is_a_line_of_the_log_and_no_failure(
    desk: "Desk", hired: "Hired", capfd: pytest.CaptureFixture[str]
) -> None:
    tx_id = send(desk, hired)
    log_to_stderr()
    with create_database(desk.ledger.path) as connection:
        connection.sqlite.execute(NOT_TEXT, (tx_id,))
    suspended = desk.ask("POST", f"/v1/agents/{hired.id}/suspend", {}, token=COOKIE)
    assert (suspended.status, suspended.json["status"]) == (200, "SUSPENDED")
    on = desk.ask("POST", SWITCH, {}, token=COOKIE)
    assert (on.status, on.json["state"], on.json["transactionsCancelled"]) == (200, "ACTIVATED", 0)
    lines = [json.loads(each) for each in capfd.readouterr().err.splitlines()]
    assert [each["event"] for each in lines] == [
        "stopped, and its payments could not be called off",
        "the kill switch is on, and agents, sessions and payments are as they were",
    ]
    for line, answer in zip(lines, (suspended, on), strict=True):
        assert "UTF-8" in line["exception"]
        assert (line["level"], line["request_id"]) == ("error", answer.headers["x-request-id"])


class Purse:
    """A network on which everybody has the same, or nobody knows."""

    def __init__(self, balance: int | None) -> None:
        self._balance = balance

    async def balance(self, _address: str) -> int:
        if self._balance is None:
            raise ChainUnavailable
        return self._balance


@pytest.mark.parametrize("balance", [1, None])
@pytest.mark.parametrize("is_restored", [False, True])
def test_an_agent_with_money_is_ended_only_by_force(
    desk: "Desk", hired: "Hired", operator: str, balance: int | None, *, is_restored: bool
) -> None:
    path = f"/v1/agents/{hired.id}/terminate"
    body: dict[str, Any] = {}
    if is_restored:
        path, body = "/v1/admin/reconcile", {"accept": 0, "withoutAgents": [hired.id]}
        details: dict[str, str | int | None] = {"id": generate_id(), "createdAt": NOW_S}
        desk.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=details))
    desk.rebuild(chains={LOCALNET: Purse(balance)})
    before = desk.content()
    refused = desk.ask("POST", path, body, token=operator)
    assert (refused.status, refused.code) == (409, "AGENT_HAS_MONEY")
    assert "force" in refused.json["hint"]
    assert ("1 base units of SOL" in refused.json["message"]) is (balance == 1)
    assert desk.refusals_since(before) == ["AGENT_HAS_MONEY"]
    assert desk.ask("POST", path, {**body, "force": True}, token=operator).status == 200
    assert desk.rows("agents")[0].status == "TERMINATED"


def test_an_agent_without_money_is_ended_at_once_and_harmlessly_twice(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    path = f"/v1/agents/{hired.id}/terminate"
    for balance in (0, 1):
        desk.rebuild(chains={LOCALNET: Purse(balance)})
        assert desk.ask("POST", path, {}, token=operator).json["status"] == "TERMINATED"


def test_the_operator_looks_what_an_agent_has(desk: "Desk", hired: "Hired") -> None:
    desk.rebuild(chains={LOCALNET: Purse(7)})
    answer = desk.ask("GET", f"/v1/agents/{hired.id}/balance", token=COOKIE)
    assert (answer.json["balance"], answer.json["symbol"]) == ("7", "SOL")
    missing = desk.ask("GET", f"/v1/agents/{generate_id()}/balance", token=COOKIE)
    assert missing.code == "AGENT_NOT_FOUND"


def test_a_session_is_listed_until_it_is_revoked_and_then_asks_for_nothing(
    desk: "Desk", hired: "Hired"
) -> None:
    listed = desk.ask("GET", "/v1/sessions", token=COOKIE)
    [session] = listed.json["items"]
    assert (session["id"], session["agentId"], session["status"]) == (
        hired.session_id,
        hired.id,
        "ACTIVE",
    )
    assert hired.token.encode() not in listed.content
    path = f"/v1/sessions/{hired.session_id}"
    for _ in range(2):
        revoked = desk.ask("DELETE", path, token=COOKIE).json
        assert (revoked["status"], revoked["revokedAt"]) == ("REVOKED", NOW_S)
    assert desk.ask("GET", "/v1/sessions", token=COOKIE).json == {"items": []}
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).code == "SESSION_REVOKED"
    unknown = desk.ask("DELETE", f"/v1/sessions/{generate_id()}", token=COOKIE)
    assert (unknown.status, unknown.code) == (404, "SESSION_NOT_FOUND")


@pytest.mark.parametrize("reason", ["", "x" * 201, 5])
def test_a_reason_is_short_or_left_out(desk: "Desk", reason: object) -> None:
    refused = desk.ask("POST", SWITCH, {"reason": reason}, token=COOKIE)
    assert (refused.status, refused.code) == (400, "VALIDATION_FAILED")
    assert desk.ask("GET", SWITCH, token=COOKIE).json["state"] == "NORMAL"


def test_a_password_is_not_shown() -> None:
    assert PASSWORD not in repr(RecoverKillSwitch(PASSWORD))
