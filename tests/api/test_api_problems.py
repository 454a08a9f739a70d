"""Problems: every code has a status, and what is sent is RFC 9457 whatever the message holds."""

import json
from typing import Any

import pytest

from waiaas.api.problems import STATUS, problem_response
from waiaas.domain.errors import REMEDIES, ErrorCode, Refusal

# fmt: off
STATUSES = {
    "HOST_REFUSED": 421, "ORIGIN_REFUSED": 403,
    "ROUTE_NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405,
    "INVALID_TOKEN": 401, "SESSION_REVOKED": 401, "SESSION_EXPIRED": 401,
    "INVALID_MASTER_PASSWORD": 401, "MASTER_PASSWORD_LOCKED": 429,
    "INVALID_NONCE": 401, "INVALID_SIGNATURE": 401, "TOO_MANY_REFUSALS": 429,
    "OWNER_NOT_CONNECTED": 404, "OWNER_ALREADY_CONNECTED": 409, "OWNER_REQUIRED": 403,
    "CHALLENGE_EXPIRED": 410, "CHALLENGE_STALE": 409,
    "BODY_TOO_LARGE": 413, "CONTENT_TYPE_REFUSED": 415, "VALIDATION_FAILED": 400,
    "INVALID_ADDRESS": 400, "INVALID_AMOUNT": 400,
    "NOT_SUPPORTED_YET": 400, "NETWORK_NOT_CONFIGURED": 400, "FAUCET_UNAVAILABLE": 400,
    "AGENT_NOT_FOUND": 404, "AGENT_NOT_ACTIVE": 409, "AGENT_HAS_MONEY": 409,
    "TX_NOT_FOUND": 404, "POLICY_NOT_FOUND": 404,
    "TX_ALREADY_PROCESSED": 409, "TX_CANCELLED": 409, "APPROVAL_NOT_FOUND": 404,
    "APPROVAL_TIMEOUT": 410,
    "SESSION_LIMIT_EXCEEDED": 403, "IDEMPOTENCY_KEY_REUSED": 422,
    "REFERENCE_REUSED": 409, "DUPLICATE_REQUEST": 409, "TOO_MANY_PENDING": 429,
    "RATE_LIMIT_EXCEEDED": 429, "POLICY_TIGHTENED": 403, "RENT_NOT_GRANTED": 403,
    "POLICY_DENIED": 403, "CONSTRAINT_VIOLATED": 403, "SPENDING_LIMIT_EXCEEDED": 403,
    "SESSION_NOT_FOUND": 404, "KILL_SWITCH_ACTIVE": 409, "KILL_SWITCH_NOT_ACTIVE": 409,
    "RECOVERY_WAIT_REQUIRED": 409,
    "LEDGER_RESTORED": 503, "CLOCK_IN_DOUBT": 503, "KEYSTORE_LOCKED": 503,
    "BACKUP_UNDER_WAY": 409, "BACKUP_FAILED": 500,
    "SIMULATION_FAILED": 422, "TRANSACTION_FAILED_ON_CHAIN": 502, "TRANSACTION_EXPIRED": 410,
    "CHAIN_UNAVAILABLE": 502, "NOT_READY": 503, "LEDGER_FULL": 507, "LEDGER_DAMAGED": 503,
    "SHUTTING_DOWN": 503, "INTERNAL_ERROR": 500,
}
# fmt: on


def rendered(refusal: Refusal) -> tuple[int, dict[str, str], Any]:
    response = problem_response(refusal, request_id="the-request")
    return response.status_code, dict(response.headers), json.loads(bytes(response.body))


def test_every_code_has_its_status_and_no_other() -> None:
    assert STATUSES == STATUS
    assert set(STATUS) == set(ErrorCode)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_is_rendered_as_problem_details(code: ErrorCode) -> None:
    status, headers, problem = rendered(Refusal(code, "it is so", hint="do this"))
    assert headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in headers) is (status == 401)
    assert problem == {
        "type": "about:blank",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": "it is so",
        "code": code,
        "message": "it is so",
        "requestId": "the-request",
        "retryable": code.is_transient,
        "hint": "do this",
    }


def test_the_facts_of_a_denial_are_members_and_what_is_not_known_is_left_out() -> None:
    details: dict[str, str | int | None] = {
        "transactionId": "t",
        "rule": "SPENDING_LIMIT",
        "bound": "daily_max",
        "limit": "100",
        "observed": str(2**256 - 1),
        "maxAllowed": "40",
        "retryAt": 2**40,
        "field": None,
    }
    problem = rendered(Refusal(ErrorCode.SPENDING_LIMIT_EXCEEDED, "too much", details=details))[2]
    assert {name: problem.get(name) for name in details} == details
    assert "field" not in problem
    assert problem["hint"] == REMEDIES[ErrorCode.SPENDING_LIMIT_EXCEEDED]


@pytest.mark.parametrize("text", ['"', "\\", "\x00\x1b[31m", "</script>", "é\u202e\u2028", "🐍"])
def test_a_message_is_told_as_it_is_whatever_it_holds(text: str) -> None:
    problem = rendered(Refusal(ErrorCode.INTERNAL_ERROR, text, hint=text))[2]
    assert (problem["message"], problem["hint"]) == (text, text)
