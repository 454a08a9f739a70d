"""Asking what a request would get: the same words and numbers as `send`, and nothing is done."""

from typing import TYPE_CHECKING, Any

import pytest

from waiaas.database import generate_id
from waiaas.pipeline.admit import AdmissionRules

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired

COOKIE = "wai_op_" + "C" * 43
RECIPIENT = "So11111111111111111111111111111111111111112"
PAY = {"type": "TRANSFER", "to": RECIPIENT, "amount": "1000"}
TOO_MUCH = PAY | {"amount": "1500001"}
BATCH = {"type": "BATCH", "instructions": [PAY, TOO_MUCH, PAY | {"amount": "500000"}]}
CALL = {"type": "CONTRACT_CALL", "programId": RECIPIENT, "instructionData": "", "accounts": []}


def explain(desk: "Desk", hired: "Hired", request: Any, **more: Any) -> "Answer":
    body = {"agentId": hired.id, "request": request} | more
    return desk.ask("POST", "/v1/policies/explain", body, token=COOKIE)


def simulate(desk: "Desk", hired: "Hired", request: Any) -> "Answer":
    return desk.ask("POST", "/v1/transactions/simulate", request, token=hired.token)


def send(desk: "Desk", hired: "Hired", request: Any) -> "Answer":
    return desk.ask("POST", "/v1/transactions/send", request, token=hired.token)


@pytest.mark.parametrize(
    "request_", [PAY, TOO_MUCH, BATCH, CALL], ids=["pays", "waits", "batch", "call"]
)
def test_the_operator_and_the_agent_are_told_what_send_then_answers(
    desk: "Desk", hired: "Hired", request_: dict[str, Any]
) -> None:
    before = desk.content()
    told = explain(desk, hired, request_)
    assert told.status == 200
    assert simulate(desk, hired, request_).json == told.json
    assert desk.content() == before
    assert desk.woken == []
    answer = send(desk, hired, request_)
    denial = told.json["denial"]
    if answer.status == 201:
        assert (told.json["tier"], denial) == (answer.json["tier"], None)
    else:
        assert told.json["tier"] is None
        assert denial["code"] == answer.code
        assert denial["details"].items() <= answer.json.items()
        assert denial["message"] == answer.json["detail"]
        assert {each["code"] for each in told.json["violations"]} >= {denial["code"]}


UNTYPED = {"to": RECIPIENT, "amount": "1000"}


@pytest.mark.parametrize(
    "request_",
    [
        UNTYPED,
        UNTYPED | {"type": "TRANSFER", "reference": "r"},
        UNTYPED | {"type": "NOTHING"},
        UNTYPED | {"type": None},
        UNTYPED | {"amount": 1000},
        UNTYPED | {"more": 1},
        {"type": "BATCH", "instructions": [UNTYPED, UNTYPED]},
        {"to": RECIPIENT},
        {},
        [],
        "TRANSFER",
    ],
)
def test_all_who_take_a_request_take_the_same_ones_in_the_same_words(
    desk: "Desk", hired: "Hired", request_: Any
) -> None:
    asked, simulated = explain(desk, hired, request_), simulate(desk, hired, request_)
    sent = send(desk, hired, request_)
    assert asked.status == simulated.status
    assert (sent.status == 201) is (asked.status == 200)
    if asked.status == 200:
        assert asked.json == simulated.json
    else:
        assert {asked.code, simulated.code, sent.code} == {"VALIDATION_FAILED"}
        assert sent.json["detail"] == simulated.json["detail"]
        said = asked.json["detail"].removeprefix("request").lstrip(".: ")
        assert said == sent.json["detail"]
        field = sent.json.get("field")
        named = asked.json.get("field")
        assert named == (f"request.{field}" if field else named)


PAID = {"idempotency-key": "paid"}


@pytest.mark.parametrize(
    ("request_", "headers", "code"),
    [
        (PAY | {"amount": "1"}, {}, "DUPLICATE_REQUEST"),
        (PAY | {"amount": "1", "allowDuplicate": True}, {}, None),
        (PAY | {"reference": "invoice-7"}, {}, "REFERENCE_REUSED"),
        (PAY | {"amount": "9001", "reference": "invoice-7"}, {}, "REFERENCE_REUSED"),
        (PAY | {"amount": "2"}, {}, None),
        (PAY, PAID, "IDEMPOTENCY_KEY_REUSED"),
        (PAY | {"reference": "invoice-7"}, PAID, None),
        (PAY | {"amount": "3001"}, {}, "TOO_MANY_PENDING"),
    ],
    ids=[
        "equal",
        "another",
        "paid-for",
        "denied-besides",
        "other",
        "key-of-another",
        "repeated",
        "waits",
    ],
)
def test_a_guard_and_a_used_key_are_told_as_send_answers_them(
    desk: "Desk",
    operator: str,
    request_: dict[str, Any],
    headers: dict[str, str],
    code: str | None,
) -> None:
    desk.rebuild(admission=AdmissionRules(waiting_max=1))
    hired = desk.create_agent(token=operator, limits={"instant_max": "2000", "daily_max": "9000"})
    path, how = "/v1/transactions/send", {"token": hired.token, "headers": [*headers.items()]}
    paid = PAY | {"reference": "invoice-7"}
    first = desk.ask("POST", path, paid, token=hired.token, headers=[*PAID.items()]).json
    for amount in ("1", "3000"):  # One goes out, the other waits.
        assert send(desk, hired, PAY | {"amount": amount}).status == 201
    before = desk.content()
    key = {"idempotencyKey": headers["idempotency-key"]} if headers else {}
    told = explain(desk, hired, request_, **key).json
    assert desk.ask("POST", "/v1/transactions/simulate", request_, **how).json == told
    assert desk.content() == before, "not even an audit row"
    answer = desk.ask("POST", path, request_, **how)
    if code is None:
        assert (told["denial"], told["tier"]) == (None, answer.json["tier"])
        assert told["repeats"] == (first["id"] if headers else None)
    else:
        assert (told["tier"], told["waitSeconds"]) == (None, None)
        assert told["denial"]["code"] == answer.code == code
        assert told["denial"]["message"] == answer.json["detail"]
        assert told["denial"]["hint"] == answer.json["hint"]
        assert told["denial"]["details"].items() <= answer.json.items()


def test_an_explanation_names_the_rules_that_deny_beside_the_guard_that_refuses(
    desk: "Desk", hired: "Hired"
) -> None:
    send(desk, hired, PAY | {"reference": "invoice-7"})
    told = explain(desk, hired, PAY | {"amount": "2000001", "reference": "invoice-7"}).json
    assert told["denial"]["code"] == "REFERENCE_REUSED"
    assert [each["code"] for each in told["violations"]] == ["SPENDING_LIMIT_EXCEEDED"]


def test_every_violation_and_escalation_is_told_with_its_numbers(
    desk: "Desk", hired: "Hired"
) -> None:
    told = explain(desk, hired, PAY | {"amount": "2000001"}).json
    assert told["violations"] == [
        {
            "code": "SPENDING_LIMIT_EXCEEDED",
            "rule": "SPENDING_LIMIT",
            "message": "daily_max of native is 2000000, and this payment would bring it to 2000001",
            "asset": "native",
            "bound": "daily_max",
            "limit": "2000000",
            "observed": "2000001",
            "maxAllowed": "2000000",
            "retryAt": None,
            "tier": None,
            "delaySeconds": None,
            "approvalSeconds": None,
            "part": None,
        }
    ]
    [escalation] = told["escalations"]
    assert (escalation["bound"], escalation["tier"]) == ("instant_max", "APPROVAL")
    waits = explain(desk, hired, TOO_MUCH).json
    assert (waits["tier"], waits["waitSeconds"], waits["denial"]) == ("APPROVAL", 3600, None)


def test_what_may_be_paid_for_a_recipients_account_is_told_in_words(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    limit = {"agentId": hired.id, "type": "SPENDING_LIMIT"}
    sends = PAY | {"type": "TOKEN_TRANSFER", "token": {"address": RECIPIENT}}
    for asset in (RECIPIENT, "native"):
        rules = {"asset": asset, "instant_max": "2039279"}
        desk.ask("PUT", "/v1/policies", limit | {"rules": rules}, token=operator)
    assert explain(desk, hired, PAY).json["rent"] is None
    told = explain(desk, hired, sends).json
    assert told["tier"] == "INSTANT"
    assert told["rent"].startswith("none is set aside: a recipient without an account")
    rules = {"asset": "native", "instant_max": "2039280"}
    desk.ask("PUT", "/v1/policies", limit | {"rules": rules}, token=operator)
    told = simulate(desk, hired, sends).json
    assert told["rent"] == "up to 2039280 of native is set aside for new token accounts"
    sent = desk.ask("POST", "/v1/transactions/send", sends, token=hired.token).json["id"]
    shown = desk.ask("GET", f"/v1/transactions/{sent}", token=hired.token).json
    assert (shown["rent"], shown["status"]) == ("2039280", "PENDING")
    sends |= {"amount": "2039280"}
    waits = desk.ask("POST", "/v1/transactions/send", sends, token=hired.token).json["id"]
    [open_] = desk.ask("GET", "/v1/approvals", token=COOKIE).json["items"]
    assert (open_["transactionId"], open_["rent"]) == (waits, "2039280")


def test_constraints_count_for_the_session_that_asks_and_where_it_is_named(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    body = {"agentId": hired.id, "constraints": {"maxAmountPerTx": "10"}}
    made = desk.ask("POST", "/v1/sessions", body, token=operator).json
    assert explain(desk, hired, PAY).json["denial"] is None
    told = explain(desk, hired, PAY, sessionId=made["id"]).json
    assert told["denial"]["code"] == "CONSTRAINT_VIOLATED"
    own = desk.ask("POST", "/v1/transactions/simulate", PAY, token=made["token"])
    assert own.json == told


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"agentId": "01990000-0000-7000-8000-00000000abcd"}, "AGENT_NOT_FOUND"),
        ({"agentId": "nobody"}, "AGENT_NOT_FOUND"),
        ({"sessionId": "none"}, "SESSION_REVOKED"),
        ({"sessionId": "01990000-0000-7000-8000-00000000abcd"}, "SESSION_REVOKED"),
        ({"request": PAY | {"amount": "01"}}, "INVALID_AMOUNT"),
        ({"request": PAY | {"to": "nowhere"}}, "INVALID_ADDRESS"),
        ({"request": {"to": RECIPIENT}}, "VALIDATION_FAILED"),
        ({"request": PAY, "more": 1}, "VALIDATION_FAILED"),
        ({"request": PAY | {"reference": ""}}, "VALIDATION_FAILED"),
        ({"idempotencyKey": "two words"}, "VALIDATION_FAILED"),
    ],
)
def test_a_question_about_nobody_or_nothing_is_refused(
    desk: "Desk", hired: "Hired", body: dict[str, Any], code: str
) -> None:
    before = desk.content()
    sent = {"agentId": hired.id, "request": PAY} | body
    assert desk.ask("POST", "/v1/policies/explain", sent, token=COOKIE).code == code
    assert desk.refusals_since(before) == [code]


def test_what_send_refuses_before_any_rule_is_refused_in_the_same_words(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    desk.ask("POST", f"/v1/agents/{hired.id}/suspend", {"reason": "a test"}, token=operator)
    told = [ask(desk, hired, PAY) for ask in (explain, simulate, send)]
    assert {answer.code for answer in told} == {"AGENT_NOT_ACTIVE"}
    assert len({answer.json["detail"] for answer in told}) == 1


def test_an_agent_does_not_ask_for_others_and_a_stranger_not_at_all(
    desk: "Desk", hired: "Hired"
) -> None:
    body = {"agentId": hired.id, "request": PAY}
    for token in (hired.token, None, f"wai_sess_{generate_id()}"):
        assert desk.ask("POST", "/v1/policies/explain", body, token=token).code == "INVALID_TOKEN"
    for token in (COOKIE, None):
        answer = desk.ask("POST", "/v1/transactions/simulate", PAY, token=token)
        assert answer.code == "INVALID_TOKEN"
