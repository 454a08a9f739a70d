"""An agent asks to pay and looks what became of it; nobody else's payment exists for it."""

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from solders.pubkey import Pubkey

from waiaas.database import generate_id, transactions
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.ids import TransactionId
from waiaas.domain.transaction import ReservationState, is_terminal
from waiaas.pipeline.perform import World
from waiaas.pipeline.worker import Worker

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired, Online

NOW_S = 1_700_000_000
SOL = 10**9
COOKIE = "wai_op_" + "C" * 43
RECIPIENT = "So11111111111111111111111111111111111111112"
SEND = "/v1/transactions/send"
NO_KEYS = ["", " ", "a b", "a" * 256, "é", "a\0", "a\x7f", "a\tb", " a", "a "]


def send(desk: "Desk", hired: "Hired", amount: Any = "1000", **how: Any) -> "Answer":
    body = {"to": how.pop("to", RECIPIENT), "amount": amount}
    key = how.pop("key", None)
    headers = [] if key is None else [("idempotency-key", key)]
    return desk.ask("POST", SEND, body, token=hired.token, headers=headers, **how)


def look(desk: "Desk", hired: "Hired", tx_id: str) -> "Answer":
    return desk.ask("GET", f"/v1/transactions/{tx_id}", token=hired.token)


# ── asking ─────────────────────────────────────────────────────────────────────────────────────


def test_a_payment_is_accepted_written_down_and_handed_on(desk: "Desk", hired: "Hired") -> None:
    answer = send(desk, hired)
    assert answer.status == 201
    tx_id = answer.json["id"]
    assert answer.json == {
        "id": tx_id,
        "status": "PENDING",
        "tier": "INSTANT",
        "waitsUntil": None,
    }
    (row,) = desk.rows("transactions")
    assert (row.id, row.agent_id, row.session_id) == (tx_id, hired.id, hired.session_id)
    assert (row.amount, row.to_address) == ("1000", RECIPIENT)
    assert [transaction.id for transaction in desk.woken] == [tx_id]
    assert desk.rows("audit_log")[-1].ip_address == "127.0.0.1"


def test_the_type_may_be_named(desk: "Desk", hired: "Hired") -> None:
    body = {"to": RECIPIENT, "amount": "1", "type": "TRANSFER"}
    assert desk.ask("POST", SEND, body, token=hired.token).status == 201


@pytest.mark.parametrize("kind", ["PAY", "transfer", "", None, 1, ["BATCH"]])
def test_another_type_is_not_taken_for_a_transfer(desk: "Desk", hired: "Hired", kind: Any) -> None:
    body = {"to": RECIPIENT, "amount": "1", "type": kind}
    answer = desk.ask("POST", SEND, body, token=hired.token)
    assert (answer.code, answer.json["field"]) == ("VALIDATION_FAILED", "type")
    assert desk.rows("transactions") == []


# fmt: off
NO_PAYMENTS = [
    # to               amount             code
    (RECIPIENT,        "0",               "INVALID_AMOUNT"),
    (RECIPIENT,        "",                "INVALID_AMOUNT"),
    (RECIPIENT,        "-1",              "INVALID_AMOUNT"),
    (RECIPIENT,        "01",              "INVALID_AMOUNT"),
    (RECIPIENT,        "1.5",             "INVALID_AMOUNT"),
    (RECIPIENT,        "1e9",             "INVALID_AMOUNT"),
    (RECIPIENT,        "1_000",           "INVALID_AMOUNT"),
    (RECIPIENT,        "\u0661",              "INVALID_AMOUNT"),
    (RECIPIENT,        str(2**256),       "INVALID_AMOUNT"),
    (RECIPIENT,        "9" * 78,          "INVALID_AMOUNT"),
    (RECIPIENT,        "9" * 79,          "VALIDATION_FAILED"),
    (RECIPIENT,        1000,              "VALIDATION_FAILED"),
    ("",               "1",               "INVALID_ADDRESS"),
    ("x",              "1",               "INVALID_ADDRESS"),
    (RECIPIENT[:-1],   "1",               "INVALID_ADDRESS"),
    (RECIPIENT + " ",  "1",               "INVALID_ADDRESS"),
    ("\u0405" + RECIPIENT[1:], "1",       "INVALID_ADDRESS"),   # Cyrillic
    ("0x" + "a" * 40,  "1",               "INVALID_ADDRESS"),
    ("0" * 44,         "1",               "INVALID_ADDRESS"),
    ("1" * 129,        "1",               "VALIDATION_FAILED"),
    (None,             "1",               "VALIDATION_FAILED"),
    ("x",              "-1",              "INVALID_ADDRESS"),   # the first in the order of codes
    ("x",              -1,                "VALIDATION_FAILED"),
]
# fmt: on


@pytest.mark.parametrize(("to", "amount", "code"), NO_PAYMENTS)
def test_what_is_no_payment_is_refused_and_not_remembered(
    desk: "Desk", hired: "Hired", to: Any, amount: Any, code: str
) -> None:
    before = desk.content()
    answer = send(desk, hired, amount, to=to, key="k")
    assert (answer.status, answer.code) == (400, code)
    assert desk.refusals_since(before) == [answer.code]
    assert desk.woken == []
    assert send(desk, hired, key="k").status == 201


def test_a_wrong_key_is_told_before_a_wrong_address(desk: "Desk", hired: "Hired") -> None:
    assert send(desk, hired, "-1", to="x", key="").code == "VALIDATION_FAILED"


# ── denials ────────────────────────────────────────────────────────────────────────────────────


def test_a_denial_says_which_rule_and_what_would_pass(desk: "Desk", operator: str) -> None:
    limits = {"instant_max": "5000", "daily_max": "1500", "per_transaction_max": "900"}
    hired = desk.create_agent(token=operator, limits=limits)
    assert send(desk, hired, "900").status == 201
    answer = send(desk, hired, "700")
    assert (answer.status, answer.code) == (403, "SPENDING_LIMIT_EXCEEDED")
    problem = answer.json
    assert problem["rule"] == "SPENDING_LIMIT"
    assert (problem["bound"], problem["limit"], problem["observed"]) == (
        "daily_max",
        "1500",
        "1600",
    )
    assert problem["maxAllowed"] == "600"
    assert problem["retryable"] is True
    assert problem["hint"]
    stored = look(desk, hired, problem["transactionId"]).json
    assert (stored["status"], stored["tier"], stored["txHash"]) == ("CANCELLED", None, None)
    assert stored["error"].startswith("SPENDING_LIMIT_EXCEEDED: ")
    assert len(desk.woken) == 1


def test_a_denial_says_from_when_on_it_would_pass(desk: "Desk", operator: str) -> None:
    limits = {"instant_max": "1000", "hourly_max": "1000"}
    hired = desk.create_agent(token=operator, limits=limits)
    tx_id = TransactionId(send(desk, hired, "1000").json["id"])
    desk.ledger.write(
        lambda tx: tx.reservations.settle(tx_id, state=ReservationState.SPENT, now_s=NOW_S)
    )
    problem = send(desk, hired, "1").json
    assert (problem["code"], problem["retryAt"]) == ("SPENDING_LIMIT_EXCEEDED", NOW_S + 3600)
    desk.clock.advance(3599)
    assert send(desk, hired, "1").code == "SPENDING_LIMIT_EXCEEDED"
    desk.clock.advance(1)
    assert send(desk, hired, "1").status == 201


def test_without_a_policy_everything_is_denied(desk: "Desk", operator: str) -> None:
    made = desk.ask("POST", "/v1/agents", {"name": "a", "network": "localnet"}, token=operator)
    issued = desk.ask("POST", "/v1/sessions", {"agentId": made.json["id"]}, token=operator)
    body = {"to": RECIPIENT, "amount": "1"}
    answer = desk.ask("POST", SEND, body, token=issued.json["token"])
    assert (answer.status, answer.code, answer.json["rule"]) == (
        403,
        "POLICY_DENIED",
        "DEFAULT_DENY",
    )
    assert "retryAt" not in answer.json


def test_what_needs_a_person_is_accepted_and_waits(desk: "Desk", hired: "Hired") -> None:
    answer = send(desk, hired, "1000001")
    assert (answer.status, answer.json["status"]) == (201, "QUEUED")
    assert (answer.json["tier"], answer.json["waitsUntil"]) == ("APPROVAL", NOW_S + 3600)
    shown = look(desk, hired, answer.json["id"]).json
    assert (shown["queuedAt"], shown["waitsUntil"]) == (NOW_S, NOW_S + 3600)


# ── asking again ───────────────────────────────────────────────────────────────────────────────


def test_a_repeated_key_gets_the_same_payment_as_it_stands_now(
    desk: "Desk", hired: "Hired"
) -> None:
    first = send(desk, hired, key="k")
    again = send(desk, hired, key="k")
    assert (again.status, again.json) == (first.status, first.json)
    desk.execute(transactions.update().values(status="CONFIRMED", tx_hash="h"))
    after = send(desk, hired, key="k")
    assert (after.status, after.json) == (201, {**first.json, "status": "CONFIRMED"})
    assert len(desk.rows("transactions")) == 1
    assert len(desk.rows("reservations")) == 1


def test_a_repeated_key_gets_the_same_denial_even_if_it_would_pass_now(
    desk: "Desk", operator: str
) -> None:
    hired = desk.create_agent(token=operator, limits={"instant_max": "9", "daily_max": "9"})
    first = send(desk, hired, "10", key="k")
    rules = {"asset": "native", "instant_max": "99"}
    body = {"agentId": hired.id, "type": "SPENDING_LIMIT", "rules": rules}
    assert desk.ask("PUT", "/v1/policies", body, token=operator).status == 200
    again = send(desk, hired, "10", key="k")
    assert again.status == first.status == 403
    assert {**again.json, "requestId": ""} == {**first.json, "requestId": ""}
    assert send(desk, hired, "10", key="k2").status == 201


@pytest.mark.parametrize(("to", "amount"), [(RECIPIENT, "1001"), ("1" * 32, "1000")])
def test_a_repeated_key_with_another_payment_is_refused(
    desk: "Desk", hired: "Hired", to: str, amount: str
) -> None:
    first = send(desk, hired, key="k")
    answer = send(desk, hired, amount, to=to, key="k")
    assert (answer.status, answer.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert answer.json["transactionId"] == first.json["id"]
    assert len(desk.rows("transactions")) == 1


def test_another_spelling_of_the_same_payment_is_the_same_payment(
    desk: "Desk", hired: "Hired"
) -> None:
    bodies = [
        f'{{"to":"{RECIPIENT}","amount":"1000"}}',
        f'{{ "amount" : "1000",\n"type":"TRANSFER", "to": "{RECIPIENT}" }}',
        f'{{"to":"\\u0053{RECIPIENT[1:]}","amount":"1000"}}',
    ]
    ids = set()
    for body in bodies:
        headers = [("idempotency-key", "k")]
        answer = desk.ask("POST", SEND, raw=body.encode(), token=hired.token, headers=headers)
        ids.add(answer.json["id"])
    assert len(ids) == 1


def test_a_key_belongs_to_an_agent_and_not_to_a_session(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    first = send(desk, hired, key="k").json["id"]
    issued = desk.ask("POST", "/v1/sessions", {"agentId": hired.id}, token=operator).json
    assert send(desk, replace(hired, token=issued["token"]), key="k").json["id"] == first
    other = desk.create_agent(token=operator)
    assert send(desk, other, key="k").json["id"] != first


@pytest.mark.parametrize("key", NO_KEYS, ids=ascii)
def test_a_key_is_visible_text_of_some_length(desk: "Desk", hired: "Hired", key: str) -> None:
    before = desk.content()
    answer = send(desk, hired, key=key)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert "Idempotency-Key" in answer.json["message"]
    assert desk.refusals_since(before) == [answer.code]


@pytest.mark.parametrize(
    "key", ["a", "a" * 255, "~!'\"{}\\", "01990000-0000-7000-8000-00000000abcd"]
)
def test_any_visible_text_is_a_key(desk: "Desk", hired: "Hired", key: str) -> None:
    assert send(desk, hired, key=key).json["id"] == send(desk, hired, key=key).json["id"]


def test_two_keys_are_none(desk: "Desk", hired: "Hired") -> None:
    headers = [("idempotency-key", "a"), ("idempotency-key", "a")]
    body = {"to": RECIPIENT, "amount": "1"}
    answer = desk.ask("POST", SEND, body, token=hired.token, headers=headers)
    assert answer.code == "VALIDATION_FAILED"


def test_one_key_asked_for_fifty_times_at_once_is_one_payment(desk: "Desk", hired: "Hired") -> None:
    async def act() -> list["Answer"]:
        body = {"to": RECIPIENT, "amount": "1000"}
        headers = [("idempotency-key", "k")]
        asked = (
            desk.asked("POST", SEND, body, token=hired.token, headers=headers) for _ in range(50)
        )
        return await asyncio.gather(*asked)

    answers = asyncio.run(act())
    assert len({answer.content for answer in answers}) == 1
    assert len(desk.rows("transactions")) == 1


def test_fifty_payments_at_once_are_no_more_than_the_limit(desk: "Desk", operator: str) -> None:
    limits = {"instant_max": "5000", "daily_max": "5000"}
    hired = desk.create_agent(token=operator, limits=limits)

    async def act() -> list["Answer"]:
        body = {"to": RECIPIENT, "amount": "700", "allowDuplicate": True}
        asked = (desk.asked("POST", SEND, body, token=hired.token) for _ in range(50))
        return await asyncio.gather(*asked)

    statuses = [answer.status for answer in asyncio.run(act())]
    assert (statuses.count(201), statuses.count(403)) == (7, 43)


@pytest.mark.parametrize("reference", ["!", "~", "inv-7", "x" * 128])
def test_what_it_is_for_is_shown_and_paid_once(
    reference: str, desk: "Desk", hired: "Hired"
) -> None:
    body = {"to": RECIPIENT, "amount": "1", "reference": reference}
    first = desk.ask("POST", SEND, body, token=hired.token).json["id"]
    assert look(desk, hired, first).json["reference"] == reference
    again = desk.ask("POST", SEND, {**body, "amount": "2"}, token=hired.token)
    assert (again.status, again.code) == (409, "REFERENCE_REUSED")
    assert again.json["transactionId"] == first


@pytest.mark.parametrize("reference", ["", " ", "a b", "x" * 129, "é", "a\n", "a\0", 7])
def test_a_reference_is_visible_text_of_some_length(
    reference: Any, desk: "Desk", hired: "Hired"
) -> None:
    body = {"to": RECIPIENT, "amount": "1", "reference": reference}
    answer = desk.ask("POST", SEND, body, token=hired.token)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")


def test_a_repeated_request_is_refused_unless_it_says_that_it_is_none(
    desk: "Desk", hired: "Hired"
) -> None:
    first = send(desk, hired).json["id"]
    again = send(desk, hired)
    assert (again.status, again.code, again.json["retryable"]) == (409, "DUPLICATE_REQUEST", False)
    assert again.json["transactionId"] == first
    body = {"to": RECIPIENT, "amount": "1000", "allowDuplicate": True}
    assert desk.ask("POST", SEND, body, token=hired.token).status == 201


@pytest.mark.parametrize("member", ["reference", "allowDuplicate"])
def test_a_part_of_a_batch_has_no_reference_of_its_own(
    member: str, desk: "Desk", hired: "Hired"
) -> None:
    part = {"type": "TRANSFER", "to": RECIPIENT, "amount": "1"}
    body = {"type": "BATCH", "instructions": [part, {**part, member: None}]}
    assert desk.ask("POST", SEND, body, token=hired.token).code == "VALIDATION_FAILED"


# ── looking ────────────────────────────────────────────────────────────────────────────────────


def test_a_payment_is_shown_whole(desk: "Desk", hired: "Hired") -> None:
    tx_id = send(desk, hired).json["id"]
    shown = {
        "id": tx_id,
        "agentId": hired.id,
        "type": "TRANSFER",
        "status": "PENDING",
        "tier": "INSTANT",
        "chain": "solana",
        "network": "localnet",
        "toAddress": RECIPIENT,
        "amount": "1000",
        "txHash": None,
        "error": None,
        "createdAt": NOW_S,
        "executedAt": None,
        "queuedAt": None,
        "waitsUntil": None,
        "reference": None,
        "rent": None,
        "request": {"type": "TRANSFER", "to": RECIPIENT, "amount": "1000"},
    }
    assert look(desk, hired, tx_id).json == shown
    fate: dict[str, Any] = {"status": "FAILED", "txHash": "h", "error": "e", "executedAt": 7}
    desk.execute(
        transactions.update().values(status="FAILED", tx_hash="h", error="e", executed_at=7)
    )
    assert look(desk, hired, tx_id).json == {**shown, **fate}


def test_an_agent_calls_off_what_is_its_own_and_the_operator_anything(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    stranger = desk.create_agent(token=operator)
    ids = [send(desk, hired, key=key).json["id"] for key in "ab"]
    own = [f"/v1/transactions/{tx_id}/cancel" for tx_id in ids]
    not_found = desk.ask("POST", own[0], token=stranger.token)
    assert (not_found.status, not_found.code) == (404, "TX_NOT_FOUND")
    answer = desk.ask("POST", own[0], token=hired.token)
    assert (answer.status, answer.json) == (200, {"id": ids[0], "status": "CANCELLED"})
    second = desk.ask("POST", own[0], token=hired.token)
    assert (second.status, second.code) == (409, "TX_ALREADY_PROCESSED")
    path = f"/v1/admin/transactions/{ids[1]}/cancel"
    assert desk.ask("POST", path, token=hired.token).code == "INVALID_TOKEN"
    assert desk.ask("POST", path, token=COOKIE).json["status"] == "CANCELLED"
    assert desk.rows("audit_log")[-1].actor == "operator"


# fmt: off
NO_IDS = ["x", "0", "{id}", "send ", "0" * 36, "a" * 5_000, "' OR '1'='1", "%", "_" * 36, "\0", "é",
          "\udc80", "..", "null", "-1", "01a20bbd-c049-75b6-9ff3-bbf9a1b56a4"]
# fmt: on


def test_what_is_not_there_and_what_is_not_yours_look_the_same(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    other = desk.create_agent(token=operator)
    theirs = send(desk, other).json["id"]
    mine = send(desk, hired).json["id"]
    ids = [theirs, theirs.upper(), mine.upper(), f"{mine} ", f"{{{mine}}}", mine.replace("-", "")]
    ids += [hired.id, hired.session_id, generate_id(), *NO_IDS]
    answers = [look(desk, hired, tx_id) for tx_id in ids]
    assert {(answer.status, answer.code) for answer in answers} == {(404, "TX_NOT_FOUND")}
    bodies = {json.dumps({**answer.json, "requestId": ""}) for answer in answers}
    assert len(bodies) == 1
    assert look(desk, other, theirs).status == 200


# ── as far as the chain ────────────────────────────────────────────────────────────────────────


def test_a_payment_is_confirmed_with_its_hash_and_its_recipient_has_the_money(
    online: "Online",
) -> None:
    desk = online.desk
    operator = desk.log_in()
    hired = desk.create_agent(token=operator, limits={"instant_max": str(SOL)})
    to = desk.create_agent(token=operator)

    async def act() -> "Answer":
        async with asyncio.timeout(20), online.connect():
            await desk.asked(
                "POST", f"/v1/agents/{hired.id}/fund", {"amount": str(SOL)}, token=operator
            )
            body = {"to": to.address, "amount": "500000000"}
            sent = await desk.asked("POST", SEND, body, token=hired.token)
            services = desk.services
            world = World(
                services.ledger, services.keystore, services.chains, desk.clock, generate_id
            )
            worker = Worker(world, report=lambda *_: None)
            path = f"/v1/transactions/{sent.json['id']}"
            async with asyncio.TaskGroup() as group:
                task = group.create_task(worker.run())
                while True:
                    answer = await desk.asked("GET", path, token=hired.token)
                    if is_terminal(TransactionStatus(answer.json["status"])):
                        task.cancel()
                        return answer
                    await desk.clock.turn()

    payment = asyncio.run(act()).json
    assert payment["status"] == "CONFIRMED"
    assert payment["txHash"]
    assert payment["executedAt"] == NOW_S
    assert payment["error"] is None
    assert online.localnet.network.balance(Pubkey.from_string(to.address)) == 500_000_000


# ── the operator looks ─────────────────────────────────────────────────────────────────────────


def listed(desk: "Desk", query: str = "") -> list[str]:
    path = "/v1/admin/transactions"
    items = desk.ask("GET", path, token=COOKIE, query=query.encode()).json["items"]
    return [each["id"] for each in items]


def test_the_operator_sees_every_agents_transactions_newest_first_page_by_page(
    desk: "Desk", hired: "Hired", operator: str
) -> None:
    other = desk.create_agent(token=operator)
    ids = [
        send(desk, each, amount=str(n)).json["id"] for n, each in enumerate([hired, other] * 2, 1)
    ]
    newest_first = ids[::-1]
    assert listed(desk) == newest_first
    assert listed(desk, "limit=3") + listed(desk, f"before={ids[1]}") == newest_first
    assert listed(desk, f"agentId={hired.id}") == [ids[2], ids[0]]
    assert listed(desk, f"agentId={other.id}&before={ids[3]}") == [ids[1]]
    assert listed(desk, "agentId=nobody") == []


def test_the_operator_sees_a_transaction_as_its_agent_does(desk: "Desk", hired: "Hired") -> None:
    tx_id = send(desk, hired).json["id"]
    seen = desk.ask("GET", f"/v1/admin/transactions/{tx_id}", token=COOKIE)
    assert seen.json == look(desk, hired, tx_id).json
    for none in ("x", generate_id()):
        answer = desk.ask("GET", f"/v1/admin/transactions/{none}", token=COOKIE)
        assert answer.code == "TX_NOT_FOUND"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "status=PENDING"])
def test_a_listing_that_cannot_be_meant_is_refused(desk: "Desk", query: str) -> None:
    answer = desk.ask("GET", "/v1/admin/transactions", token=COOKIE, query=query.encode())
    assert answer.code == "VALIDATION_FAILED"
