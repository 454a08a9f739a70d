"""Every refusal of somebody who proved who he is leaves one audit row, and nothing else."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.conftest import COOKIE, PASSWORD, RECIPIENT, route_at

from waiaas.api import app
from waiaas.database import generate_id
from waiaas.database.errors import LedgerFull
from waiaas.domain.errors import Refusal

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired

SEND = "/v1/transactions/send"
PAY = {"to": RECIPIENT, "amount": "1000"}
NOBODY = "01990000-0000-7000-8000-00000000abcd"
AGENT, OPERATOR, LOCAL = "agent", "operator", "cookie"
SECRET = "canary-in-a-body"
SIGNED = {"nonce": "0" * 32, "signature": "1" * 88}
RULE = {"type": SECRET, "rules": {}}

# fmt: off
REFUSED: list[tuple[str, str, str, Any, str]] = [
    (AGENT, "POST", SEND, {**PAY, "more": SECRET}, "VALIDATION_FAILED"),
    (AGENT, "POST", SEND, {**PAY, "amount": "-1"}, "INVALID_AMOUNT"),
    (AGENT, "POST", SEND, {**PAY, "to": SECRET}, "INVALID_ADDRESS"),
    (AGENT, "GET", f"/v1/transactions/{NOBODY}", None, "TX_NOT_FOUND"),
    (AGENT, "POST", f"/v1/transactions/{SECRET}/cancel", None, "TX_NOT_FOUND"),
    (AGENT, "GET", "/v1/approvals", None, "INVALID_TOKEN"),
    (AGENT, "POST", f"/v1/approvals/{NOBODY}/approve", {"password": "x"}, "INVALID_TOKEN"),
    (AGENT, "POST", f"/v1/transactions/{NOBODY}/approve", SIGNED, "INVALID_NONCE"),
    (AGENT, "GET", f"/v1/{SECRET}", None, "ROUTE_NOT_FOUND"),
    (AGENT, "DELETE", SEND, None, "METHOD_NOT_ALLOWED"),
    (OPERATOR, "POST", "/v1/agents", {"name": ""}, "VALIDATION_FAILED"),
    (OPERATOR, "POST", "/v1/sessions", {"agentId": NOBODY}, "AGENT_NOT_FOUND"),
    (OPERATOR, "PUT", "/v1/policies", RULE, "VALIDATION_FAILED"),
    (OPERATOR, "DELETE", f"/v1/policies/{NOBODY}", None, "POLICY_NOT_FOUND"),
    (OPERATOR, "PUT", f"/v1/agents/{NOBODY}/owner", {"ownerAddress": SECRET}, "INVALID_ADDRESS"),
    (LOCAL, "PUT", "/v1/policies", RULE, "INVALID_TOKEN"),
    (LOCAL, "DELETE", f"/v1/sessions/{NOBODY}", None, "SESSION_NOT_FOUND"),
    (LOCAL, "POST", f"/v1/agents/{NOBODY}/suspend", {"reason": SECRET}, "AGENT_NOT_FOUND"),
    (LOCAL, "POST", f"/v1/transactions/{NOBODY}/message", {"action": "APPROVE"}, "TX_NOT_FOUND"),
]
# fmt: on


def token_of(who: str, operator: str, hired: "Hired") -> str:
    return {AGENT: hired.token, OPERATOR: operator, LOCAL: COOKIE}[who]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda row: f"{row[0]} {row[2]} {row[4]}")
def test_a_refusal_leaves_who_and_what_and_why_and_nothing_that_was_sent(
    desk: "Desk", operator: str, hired: "Hired", refused: tuple[str, str, str, Any, str]
) -> None:
    who, method, path, body, code = refused
    before = desk.content()
    answer = desk.ask(method, path, body, token=token_of(who, operator, hired))
    assert answer.code == code
    assert desk.refusals_since(before) == [code]
    row, route = desk.rows("audit_log")[-1], route_at(method, path)
    by_agent = who == AGENT
    assert row.event_type == ("REQUEST_REFUSED" if by_agent else "OPERATION_REFUSED")
    assert row.actor == (f"agent:{hired.id}" if by_agent else "operator")
    ids = (hired.id, hired.session_id) if by_agent else (None, None)
    assert (row.agent_id, row.session_id) == ids
    assert (row.severity, row.ip_address) == ("warning", "127.0.0.1")
    named = None if route is None else f"{method} {route.path}"
    assert json.loads(row.details) == {"route": named, "code": code}
    assert SECRET not in str(desk.content())


def test_whoever_proves_nothing_leaves_nothing(shared_desk: "Desk") -> None:
    before = shared_desk.content()
    for who, method, path, body, _ in REFUSED:
        for token in (None, "wai_sess_" + "A" * 43, "wai_op_" + "A" * 43, who):
            assert shared_desk.ask(method, path, body, token=token).status >= 400
    assert shared_desk.content() == before


def test_a_key_that_is_used_for_something_else_is_written_with_the_payment_that_has_it(
    desk: "Desk", hired: "Hired"
) -> None:
    headers = [("idempotency-key", "k")]
    first = desk.ask("POST", SEND, PAY, token=hired.token, headers=headers).json["id"]
    before = desk.content()
    other = desk.ask("POST", SEND, {**PAY, "amount": "1"}, token=hired.token, headers=headers)
    assert desk.refusals_since(before) == [other.code] == ["IDEMPOTENCY_KEY_REUSED"]
    assert desk.rows("audit_log")[-1].tx_id == first


def test_while_the_kill_switch_is_on_nothing_that_was_sent_is_written_either(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    desk.ask("POST", "/v1/admin/kill-switch", {}, token=COOKIE)
    rule = {"type": "WHITELIST", "rules": {"addresses": [RECIPIENT]}}
    for agent_id, named in ((SECRET, None), (NOBODY, None), (hired.id, hired.id)):
        asked: list[tuple[str, str, Any]] = [
            ("POST", "/v1/sessions", {"agentId": agent_id}),
            ("PUT", "/v1/policies", {"agentId": agent_id, **rule}),
        ]
        for method, path, body in asked:
            before = desk.content()
            answer = desk.ask(method, path, body, token=operator)
            assert desk.refusals_since(before) == [answer.code] == ["KILL_SWITCH_ACTIVE"]
            assert desk.rows("audit_log")[-1].agent_id == named


# ── what has a row already ─────────────────────────────────────────────────────────────────────


def events_since(desk: "Desk", count: int) -> list[str]:
    return [row.event_type for row in desk.rows("audit_log")[count:]]


def test_what_a_rule_of_the_pipeline_refuses_has_its_own_row_and_no_other(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    def ask(method: str, path: str, body: object, token: str) -> tuple[str, list[str]]:
        count = len(desk.rows("audit_log"))
        answer: Answer = desk.ask(method, path, body, token=token)
        return answer.code, events_since(desk, count)

    paid = desk.ask("POST", SEND, PAY, token=hired.token).json["id"]
    assert ask("POST", SEND, PAY, hired.token) == ("DUPLICATE_REQUEST", ["REQUEST_REFUSED"])
    assert ask("POST", SEND, {**PAY, "amount": "9999999"}, hired.token) == (
        "SPENDING_LIMIT_EXCEEDED",
        ["TX_REQUESTED", "POLICY_VIOLATION", "TX_CANCELLED"],
    )
    for decision in ("approve", "reject"):
        body = {"password": PASSWORD} if decision == "approve" else None
        code, events = ask("POST", f"/v1/approvals/{paid}/{decision}", body, operator)
        assert (code, events[-1]) == ("APPROVAL_NOT_FOUND", "TX_DECISION_REFUSED")
        assert events[:-1] == (["OPERATOR_CONFIRMED"] if body else [])
    wrong = ask("POST", f"/v1/approvals/{paid}/approve", {"password": "wr0ng"}, operator)
    assert wrong == ("INVALID_MASTER_PASSWORD", ["AUTH_FAILED"])
    desk.ask("POST", f"/v1/agents/{hired.id}/terminate", {"force": True}, token=operator)
    assert ask("POST", f"/v1/agents/{hired.id}/resume", None, operator) == (
        "AGENT_NOT_ACTIVE",
        ["OPERATION_REFUSED"],
    )


def test_a_denial_that_is_given_again_was_written_down_the_first_time(
    desk: "Desk", hired: "Hired"
) -> None:
    def send() -> "Answer":
        headers = [("idempotency-key", "k")]
        body = {**PAY, "amount": "9999999"}
        return desk.ask("POST", SEND, body, token=hired.token, headers=headers)

    assert send().code == "SPENDING_LIMIT_EXCEEDED"
    before = desk.content()
    assert send().code == "SPENDING_LIMIT_EXCEEDED"
    assert desk.content() == before


# ── where nothing can be written ───────────────────────────────────────────────────────────────


class FullLedger:
    """A ledger that can be read, and takes nothing."""

    def __init__(self, ledger: Any) -> None:
        self.read = ledger.read
        self.write = ledger.write
        self.write_from_reserve = ledger.write_from_reserve

    async def write_async(self, _unit: object) -> object:
        raise LedgerFull


def test_a_refusal_that_cannot_be_written_down_is_told_as_the_reason_for_that(
    desk: "Desk", hired: "Hired"
) -> None:
    desk.rebuild(ledger=FullLedger(desk.ledger))
    before = desk.content()
    assert desk.ask("GET", f"/v1/transactions/{generate_id()}", token=hired.token).status == 507
    assert desk.ask("GET", f"/v1/transactions/{generate_id()}").code == "INVALID_TOKEN"
    assert desk.content() == before


def test_without_the_one_place_that_writes_a_refusal_leaves_no_trace(
    desk: "Desk", hired: "Hired", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: handlers alone do not keep the promise."""

    async def forget(refusal: Refusal, *_: object) -> Refusal:
        return refusal

    monkeypatch.setattr(app, "write_down", forget)
    before = desk.content()
    assert desk.ask("POST", SEND, {**PAY, "amount": "-1"}, token=hired.token).status == 400
    assert desk.content() == before
