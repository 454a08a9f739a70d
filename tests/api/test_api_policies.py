"""The routes about policies: what they answer, whom they obey, and what they refuse."""

from typing import TYPE_CHECKING, Any

import pytest

from waiaas.database import generate_id

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired

COOKIE = "wai_op_" + "C" * 43
NOBODY = "01990000-0000-7000-8000-00000000abcd"
RULES = {"addresses": ["So11111111111111111111111111111111111111112"]}


def write(desk: "Desk", method: str, operator: str, **body: Any) -> "Answer":
    body = {"type": "WHITELIST", "rules": RULES} | body
    return desk.ask(method, "/v1/policies", body, token=operator)


def listed(desk: "Desk", query: str, token: str | None) -> "Answer":
    return desk.ask("GET", "/v1/policies", token=token, query=query.encode())


def test_a_rule_is_added_listed_changed_and_removed(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    (limit,) = listed(desk, f"agentId={hired.id}", operator).json["items"]
    shared = write(desk, "POST", operator)
    own = write(desk, "POST", operator, agentId=hired.id, priority=7)
    assert (shared.status, own.status) == (201, 201)
    assert (shared.json["agentId"], own.json["agentId"]) == (None, hired.id)
    assert listed(desk, "", operator).json["items"] == [shared.json]
    both = listed(desk, f"agentId={hired.id}", operator).json["items"]
    assert both == [shared.json, limit, own.json]
    path = f"/v1/policies/{own.json['id']}"
    changed = desk.ask("PUT", path, {"enabled": False}, token=operator)
    later = own.json["updatedAt"] + 1
    assert changed.json == {**own.json, "enabled": False, "updatedAt": later}
    gone = desk.ask("DELETE", path, token=operator)
    assert gone.json == {"id": own.json["id"], "deleted": True}
    assert desk.ask("DELETE", path, token=operator).code == "POLICY_NOT_FOUND"
    assert listed(desk, f"agentId={hired.id}", operator).json["items"] == [shared.json, limit]


def test_the_cookie_looks_at_rules_and_changes_none(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    policy = write(desk, "PUT", operator, agentId=hired.id).json
    before = desk.content()
    assert listed(desk, f"agentId={hired.id}", COOKIE).status == 200
    for answer in (
        write(desk, "PUT", COOKIE),
        write(desk, "POST", COOKIE),
        desk.ask("PUT", f"/v1/policies/{policy['id']}", {"enabled": False}, token=COOKIE),
        desk.ask("DELETE", f"/v1/policies/{policy['id']}", token=COOKIE),
        listed(desk, "", hired.token),
    ):
        assert answer.code == "INVALID_TOKEN"
    assert desk.refusals_since(before) == ["INVALID_TOKEN"] * 5


@pytest.mark.parametrize(
    "query",
    [
        "agentId",
        "agentId=a&agentId=b",
        "agent=x",
        "x",
        "=",
        "&",
        "agentId=%ff",
        "agentId=%00",
        "agentId=" + "a" * 37,
        "&".join(f"a{n}=1" for n in range(50)),
    ],
)
def test_a_query_that_nobody_would_honour_is_refused(
    desk: "Desk", operator: str, query: str
) -> None:
    answer = listed(desk, query, operator)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")


def test_rules_of_an_agent_that_is_not_are_not_found(desk: "Desk", operator: str) -> None:
    for agent_id in (NOBODY, generate_id(), "x"):
        assert listed(desk, f"agentId={agent_id}", operator).code == "AGENT_NOT_FOUND"
        assert write(desk, "POST", operator, agentId=agent_id).code == "AGENT_NOT_FOUND"


@pytest.mark.parametrize(
    "changes", [{"id": "x"}, {"rules": None}, {"enabled": None}, {"type": "X"}]
)
def test_a_change_takes_what_it_knows_and_nothing_else(
    desk: "Desk", operator: str, changes: dict[str, Any]
) -> None:
    policy = write(desk, "POST", operator).json
    answer = desk.ask("PUT", f"/v1/policies/{policy['id']}", changes, token=operator)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert listed(desk, "", operator).json["items"] == [policy]


def test_an_agent_begins_with_the_rules_of_its_profile_or_with_none(
    desk: "Desk", operator: str
) -> None:
    kinds = {}
    for profile in ("cautious", "standard", "open", None):
        body = {"name": "agent", "network": "localnet"} | ({"profile": profile} if profile else {})
        agent = desk.ask("POST", "/v1/agents", body, token=operator).json
        items = listed(desk, f"agentId={agent['id']}", operator).json["items"]
        kinds[profile] = [item["type"] for item in items]
    limits = ["SPENDING_LIMIT", "RATE_LIMIT"]
    assert kinds == {"cautious": limits, "standard": limits, "open": limits[:1], None: []}
    wrong = {"name": "agent", "network": "localnet", "profile": "reckless"}
    assert desk.ask("POST", "/v1/agents", wrong, token=operator).code == "VALIDATION_FAILED"
