"""What an agent is kept within beside its rules, and what its owner is told, by the real daemon.

One daemon for all of it, killed once: what waits is asked about again by the one after it.
"""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from tests.canaries import MARKER

pytestmark = [pytest.mark.e2e, pytest.mark.forked]

SOL = 10**9
AMOUNT = SOL // 10
PASSWORD = f"{MARKER} correct horse battery staple"
SEND = "/v1/transactions/send"
SIMULATE = "/v1/transactions/simulate"


class Firm:
    """The operator of a running daemon, and the agents that he lets in."""

    def __init__(self, waiaas: Any, daemon: Any, chain: Any, recipient: str) -> None:
        self.waiaas = waiaas
        self.chain = chain
        self.recipient = recipient
        self.operator = daemon.operator()
        self.agent = daemon.funded_agent()
        self.agent_id: str = self.agent.get("/v1/wallet/address")["agentId"]

    def body(self, amount: int, **more: Any) -> dict[str, Any]:
        return {"type": "TRANSFER", "to": self.recipient, "amount": str(amount), **more}

    def limit(self, **rules: Any) -> None:
        rules = {"asset": "native", "instant_max": str(SOL), **rules}
        policy = {"agentId": self.agent_id, "type": "SPENDING_LIMIT", "rules": rules}
        self.operator.ask("PUT", "/v1/policies", policy)

    def balance(self) -> int:
        found: int = self.chain.balance(self.recipient)
        return found

    def move_to(self, daemon: Any) -> None:
        self.agent.url, self.operator = daemon.url, daemon.operator()

    def program(self, token: str) -> Any:
        return type(self.agent)(self.agent.url, token)

    def cli(self, *arguments: str) -> Any:
        return self.waiaas.json(*arguments, password=True)


def refused(agent: Any, code: str, body: Any, *, key: str | None = None) -> dict[str, Any]:
    """Ask for what is refused, after asking what would become of it; both say the same."""
    headers = {} if key is None else {"Idempotency-Key": key}
    told = agent.ask("POST", SIMULATE, body, headers)["denial"]
    with pytest.raises(Exception, match=code) as caught:
        agent.ask("POST", SEND, body, headers)
    problem = _body(caught.value)
    assert (told["code"], told["message"]) == (problem["code"], problem["message"])
    return problem


def _body(problem: Any) -> dict[str, Any]:
    """Return what a refusal says; its class is conftest's."""
    said: dict[str, Any] = problem.body
    return said


def a_session_pays_within_its_constraints_and_not_beyond(firm: Firm) -> None:
    bounds = {"maxAmountPerTx": "1000000", "maxTransactions": 2}
    file = firm.waiaas.folder / "bounded"
    made = firm.cli(
        *("session", "create", "--agent", firm.agent_id, "--token-file", str(file)),
        *("--constraints", json.dumps(bounds)),
    )
    bounded = firm.program(file.read_text(encoding="ascii").strip())
    assert bounded.ends(bounded.pay(firm.recipient, 10**6, key="w")["id"]) == "CONFIRMED"
    problem = refused(bounded, "CONSTRAINT_VIOLATED", firm.body(10**6 + 1))
    assert (problem["bound"], problem["maxAllowed"]) == ("maxAmountPerTx", "1000000")
    question = {"agentId": firm.agent_id, "request": firm.body(10**6 + 1)}
    for session, code in ({"sessionId": made["id"]}, "CONSTRAINT_VIOLATED"), ({}, None):
        told = firm.operator.ask("POST", "/v1/policies/explain", question | session)
        assert (told["denial"] or {}).get("code") == code
    bounded.ended(bounded.pay(firm.recipient, 1, key="last")["id"])
    assert refused(bounded, "CONSTRAINT_VIOLATED", firm.body(2))["bound"] == "maxTransactions"


def a_session_pays_so_much_in_all(firm: Firm) -> None:
    body = {"agentId": firm.agent_id, "constraints": {"maxTotalAmount": "10"}}
    bounded = firm.program(firm.operator.ask("POST", "/v1/sessions", body)["token"])
    bounded.ended(bounded.pay(firm.recipient, 6, key="of-ten")["id"])
    problem = refused(bounded, "CONSTRAINT_VIOLATED", firm.body(5))
    facts = [problem[name] for name in ("asset", "bound", "observed", "maxAllowed")]
    assert facts == ["native", "maxTotalAmount", "11", "4"]


def nothing_is_paid_twice_by_mistake(firm: Firm) -> None:
    agent = firm.agent
    first = agent.ask("POST", SEND, firm.body(7))
    problem = refused(agent, "DUPLICATE_REQUEST", firm.body(7))
    assert problem["transactionId"] == first["id"]
    question = {"agentId": firm.agent_id, "request": firm.body(7)}
    told = firm.operator.ask("POST", "/v1/policies/explain", question)
    assert told["denial"]["code"] == "DUPLICATE_REQUEST"
    second = agent.ask("POST", SEND, firm.body(7, allowDuplicate=True))
    key = {"Idempotency-Key": "invoice"}
    paid = agent.ask("POST", SEND, firm.body(8, reference="invoice-7"), key)
    assert agent.ask("POST", SEND, firm.body(8, reference="invoice-7"), key)["id"] == paid["id"]
    refused(agent, "IDEMPOTENCY_KEY_REUSED", firm.body(9), key="invoice")
    ended = [agent.ends(each["id"]) for each in (first, second, paid)]
    assert ended == ["CONFIRMED"] * 3
    again = refused(agent, "REFERENCE_REUSED", firm.body(9, reference="invoice-7"), key="other")
    assert again["transactionId"] == paid["id"]


def every_rule_counts_for_everybody_and_until_it_is_disabled(firm: Firm) -> None:
    """A rule beside another, one for all agents, and one that is not in force."""
    agent, ask = firm.agent, firm.operator.ask
    other = {"addresses": ["So11111111111111111111111111111111111111112"]}
    limit = {"asset": "native", "instant_max": str(SOL), "per_transaction_max": "1000"}
    command = ("policy", "set", "--beside", "--rules")
    beside = firm.cli(*command, json.dumps(limit), "--agent", firm.agent_id)
    refused(agent, "SPENDING_LIMIT_EXCEEDED", firm.body(1001))
    assert firm.cli("policy", "remove", beside["id"], "--yes")["deleted"] is True
    everybody = firm.cli(*command, json.dumps(other), "--type", "WHITELIST", "--disabled")
    agent.ended(agent.ask("POST", SEND, firm.body(1001))["id"])
    ask("PUT", f"/v1/policies/{everybody['id']}", {"enabled": True})
    assert refused(agent, "POLICY_DENIED", firm.body(1002))["rule"] == "WHITELIST"
    ask("DELETE", f"/v1/policies/{everybody['id']}")
    contradictory = {"asset": "native", "instant_max": "2", "notify_max": "1"}
    policy = {"agentId": firm.agent_id, "type": "SPENDING_LIMIT", "rules": contradictory}
    with pytest.raises(Exception, match=r"VALIDATION_FAILED.*notify_max"):
        ask("PUT", "/v1/policies", policy)


def sessions_as_the_settings_allow(firm: Firm, agent_id: str) -> list[str]:
    body = {"agentId": agent_id}
    tokens = [firm.operator.ask("POST", "/v1/sessions", body)["token"] for _ in range(6)]
    with pytest.raises(Exception, match="SESSION_LIMIT_EXCEEDED"):
        firm.operator.ask("POST", "/v1/sessions", body)
    listed = firm.operator.ask("GET", "/v1/sessions")["items"]
    assert {each["expiresAt"] - each["createdAt"] for each in listed} == {4000}
    return tokens


def an_agent_with_a_profile_waits_and_has_only_so_many_under_way(firm: Firm) -> None:
    made = firm.cli(
        *("agent", "create", "--name", "new", "--network", "localnet", "--profile", "cautious"),
    )
    assert "cautious" in {each["name"] for each in firm.waiaas.json("policy", "profiles")}
    body = {"name": "new", "network": "localnet", "profile": "reckless"}
    with pytest.raises(Exception, match="VALIDATION_FAILED"):
        firm.operator.ask("POST", "/v1/agents", body)
    tokens = sessions_as_the_settings_allow(firm, made["id"])
    agent = firm.program(tokens[0])
    problem = refused(agent, "SPENDING_LIMIT_EXCEEDED", firm.body(SOL + 1))
    assert problem["bound"] == "per_transaction_max"
    waiting = [agent.pay(firm.recipient, AMOUNT, key=f"k{n}") for n in range(3)]
    assert [each["tier"] for each in waiting] == ["DELAY"] * 3
    told = refused(agent, "TOO_MANY_PENDING", firm.body(1), key="one-more")
    assert told["limit"] == "3"


def the_owner_is_told_what_waited_and_what_was_denied(firm: Firm) -> None:
    firm.limit(instant_max="0", notify_max="10", delay_max=str(SOL), daily_max=str(SOL))
    noted = firm.agent.pay(firm.recipient, 10, key="noted")["id"]
    firm.agent.ended(noted)
    waits = firm.agent.pay(firm.recipient, 11, key="waits")["id"]
    firm.agent.ask("POST", f"/v1/transactions/{waits}/cancel")
    denied = refused(firm.agent, "SPENDING_LIMIT_EXCEEDED", firm.body(2 * SOL), key="denied")
    listed = json.loads(firm.waiaas.run("notification", "list").stdout)
    told: dict[str, list[str]] = {}
    for each in listed:
        told.setdefault(each["transactionId"], []).append(each["event"])
    assert told[noted] == ["TX_REQUESTED", "TX_SUBMITTED", "TX_CONFIRMED"]
    assert told[waits] == ["TX_QUEUED", "TX_CANCELLED"]
    assert told[denied["transactionId"]] == ["POLICY_VIOLATION"]


def forge(firm: Firm, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Do what nobody can ask a daemon for, while none runs."""
    ledger = sqlite3.connect(firm.waiaas.data / "ledger.db")
    try:
        for statement, parameters in statements:
            assert ledger.execute(statement, parameters).rowcount == 1
        ledger.commit()
    finally:
        ledger.close()


def what_waits_is_signed_only_if_its_session_still_allows_it(firm: Firm, daemon: Any) -> None:
    firm.limit(instant_max="0", delay_max=str(SOL), delay_seconds=3600)
    sessions, waiting = {}, {}
    for why in ("called-off", "late", "narrowed", "revoked"):
        made = firm.operator.ask("POST", "/v1/sessions", {"agentId": firm.agent_id})
        sessions[why] = made["id"]
        waiting[why] = firm.program(made["token"]).pay(firm.recipient, AMOUNT, key=why)["id"]
        if why == "called-off":
            firm.operator.ask("DELETE", f"/v1/sessions/{made['id']}")
    gone = firm.agent.get(f"/v1/transactions/{waiting.pop('called-off')}")
    assert gone["status"] == "CANCELLED"
    before = firm.balance()
    daemon.kill()
    nobody = json.dumps({"allowedDestinations": ["So11111111111111111111111111111111111111112"]})
    narrow = "UPDATE sessions SET constraints = ? WHERE id = ?"
    forge(
        firm,
        *(("UPDATE waits SET until_at = 1 WHERE tx_id = ?", (tx,)) for tx in waiting.values()),
        ("UPDATE sessions SET expires_at = created_at + 1 WHERE id = ?", (sessions["late"],)),
        (narrow, (nobody, sessions["narrowed"])),
        ("UPDATE sessions SET revoked_at = created_at WHERE id = ?", (sessions["revoked"],)),
    )
    firm.move_to(firm.waiaas.start())
    ends = {why: firm.agent.ended(tx) for why, tx in waiting.items()}
    assert ends["late"]["status"] == "CONFIRMED", "it was asked for in time"
    for why, code in ("narrowed", "CONSTRAINT_VIOLATED"), ("revoked", "SESSION_REVOKED"):
        assert (ends[why]["status"], ends[why]["txHash"]) == ("CANCELLED", None)
        assert ends[why]["error"].startswith(code)
    assert firm.balance() == before + AMOUNT


def who_is_refused_too_often_is_held_back_and_nobody_else_is(firm: Firm) -> None:
    firm.limit()
    made = firm.operator.ask("POST", "/v1/sessions", {"agentId": firm.agent_id})
    agent, codes = firm.program(made["token"]), []
    for _ in range(22):
        with pytest.raises(Exception, match=r"TX_NOT_FOUND|TOO_MANY_REFUSALS") as caught:
            agent.get("/v1/transactions/nothing")
        codes.append(_body(caught.value)["code"])
    assert codes == ["TX_NOT_FOUND"] * 20 + ["TOO_MANY_REFUSALS"] * 2
    rows = "SELECT event_type, count(*) FROM audit_log WHERE session_id = ? GROUP BY 1 ORDER BY 1"
    ledger = sqlite3.connect(firm.waiaas.data / "ledger.db")
    try:
        found = ledger.execute(rows, (made["id"],)).fetchall()
    finally:
        ledger.close()
    assert found == [("RATE_LIMIT_EXCEEDED", 1), ("REQUEST_REFUSED", 20), ("SESSION_ISSUED", 1)]
    paid = agent.pay(firm.recipient, 21, key="allowed")["id"]
    assert agent.ends(paid) == "CONFIRMED"
    with pytest.raises(Exception, match="TX_NOT_FOUND"):
        firm.agent.get("/v1/transactions/nothing")


def the_way_back_takes_the_password_and_its_time(firm: Firm) -> None:
    firm.operator.ask("POST", "/v1/admin/kill-switch", {})
    steps = []
    for password in ("wrong", PASSWORD, PASSWORD):
        try:
            answer = firm.operator.ask("POST", "/v1/admin/recover", {"password": password})
            steps.append(answer["state"])
        except Exception as problem:  # noqa: BLE001 -- its class is conftest's
            steps.append(_body(problem)["code"])
    assert steps == ["INVALID_MASTER_PASSWORD", "RECOVERING", "RECOVERY_WAIT_REQUIRED"]


@pytest.mark.timeout(120)  # Many features, one after the other.
def test_an_agent_is_kept_within_more_than_its_rules_and_its_owner_is_told(
    waiaas: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    daemon = waiaas.start(
        env={
            "WAIAAS_SECURITY_MAX_PENDING_TRANSACTIONS": "3",
            "WAIAAS_SECURITY_MAX_SESSIONS_PER_AGENT": "6",
            "WAIAAS_SECURITY_SESSION_TTL_SECONDS": "4000",
        }
    )
    firm = Firm(waiaas, daemon, chain_of(waiaas), recipient)
    a_session_pays_within_its_constraints_and_not_beyond(firm)
    a_session_pays_so_much_in_all(firm)
    nothing_is_paid_twice_by_mistake(firm)
    every_rule_counts_for_everybody_and_until_it_is_disabled(firm)
    an_agent_with_a_profile_waits_and_has_only_so_many_under_way(firm)
    the_owner_is_told_what_waited_and_what_was_denied(firm)
    what_waits_is_signed_only_if_its_session_still_allows_it(firm, daemon)
    who_is_refused_too_often_is_held_back_and_nobody_else_is(firm)
    the_way_back_takes_the_password_and_its_time(firm)
