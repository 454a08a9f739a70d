"""Each type of policy through the installed program: what it lets through, and what it does not."""

import base64
import json
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

ALICE = "So11111111111111111111111111111111111111112"
BOB = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
MINT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
MANY, ALL, MOST = 2**63 - 1, 2**63, 2**64 - 1
"""Of a token of Solana: the most that still is a limit; the least and the most that are none."""
SIMULATE = "/v1/transactions/simulate"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
EPOCH_DAY = 3
"""1970 began on a Thursday."""


def pay(to: str, amount: int = 5) -> dict[str, Any]:
    return {"type": "TRANSFER", "to": to, "amount": str(amount)}


def send(token: str) -> dict[str, Any]:
    return {"type": "TOKEN_TRANSFER", "to": ALICE, "token": {"address": token}, "amount": "5"}


def call(data: bytes) -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    return {"type": "CONTRACT_CALL", "programId": MEMO, "instructionData": text, "accounts": []}


def permit(spender: str, amount: int = 5) -> dict[str, Any]:
    return {
        "type": "APPROVE",
        "spender": spender,
        "token": {"address": TOKEN},
        "amount": str(amount),
    }


def from_midnight_on(day: int) -> dict[str, Any]:
    windows = [{"days": [DAYS[day % 7]], "start": "00:00", "end": "24:00"}]
    return {"timezone": "UTC", "windows": windows}


class Rules:
    """The rules of one agent, as its operator sets them."""

    def __init__(self, operator: Any, agent: Any) -> None:
        self._operator = operator
        self.agent_id: str = agent.get("/v1/wallet/address")["agentId"]

    def set(self, kind: str, rules: dict[str, Any]) -> str:
        body = {"agentId": self.agent_id, "type": kind, "rules": rules}
        policy: str = self._operator.ask("PUT", "/v1/policies", body)["id"]
        return policy

    def remove(self, policy: str) -> None:
        self._operator.ask("DELETE", f"/v1/policies/{policy}")


def every_window_denies_or_asks_a_person(agent: Any, rules: Rules) -> None:
    """Leaves a limit of 99 a day."""
    windows = ("hourly_max", "weekly_max", "monthly_max", "daily_max")
    for amount, window in enumerate(windows, start=101):
        limit = {"asset": "native", "instant_max": "999", window: "99"}
        rules.set("SPENDING_LIMIT", limit | {"on_exceed": "approval"})
        assert agent.ask("POST", SIMULATE, pay(ALICE, 100))["tier"] == "APPROVAL"
        rules.set("SPENDING_LIMIT", limit)
        assert agent.ask("POST", SIMULATE, pay(ALICE, 99))["tier"] == "INSTANT"
        assert agent.rule(pay(ALICE, amount)) == "SPENDING_LIMIT"
        assert agent.ask("POST", SIMULATE, pay(ALICE, 100))["denial"]["details"]["bound"] == window


def test_every_type_lets_through_what_it_says_and_nothing_else(running: Any) -> None:
    waiaas, daemon = running
    agent = daemon.funded_agent()
    rules = Rules(daemon.operator(), agent)
    for token in (TOKEN, MINT):
        rules.set("SPENDING_LIMIT", {"asset": token, "instant_max": "100"})
    assert agent.rule(call(b"a")) == agent.rule(permit(ALICE)) == "DEFAULT_DENY"
    rules.set("CONTRACT_WHITELIST", {"contracts": [MEMO], "tier": "INSTANT"})
    rules.set("APPROVED_SPENDERS", {"spenders": [ALICE]})
    every_window_denies_or_asks_a_person(agent, rules)

    sent = agent.ask("POST", "/v1/transactions/send", pay(ALICE))
    now_s = agent.get(f"/v1/transactions/{sent['id']}")["createdAt"]
    today = now_s // 86_400 + EPOCH_DAY
    hours = from_midnight_on(today)
    hours["windows"] += from_midnight_on(today + 1)["windows"]  # midnight may come meanwhile
    elsewhere = from_midnight_on(today + 3)
    spenders = {"spenders": [ALICE, MEMO], "tier": "INSTANT"}
    unlimited = permit(MEMO, MOST)
    most, limited = {"token": TOKEN, "amount_max": "9"}, {"block_unlimited": True}
    methods = {"contracts": [{"address": MEMO, "methods": [f"0x{b'paidpaid'.hex()}"]}]}
    # fmt: off
    rows: list[tuple[str, dict[str, Any], dict[str, Any], str, dict[str, Any]]] = [
        # type                   rules             passes             as         and fails
        ("WHITELIST",             {"addresses": [ALICE]}, pay(ALICE, 6), "INSTANT", pay(BOB)),
        ("TIME_RESTRICTION",      hours,            pay(ALICE, 7),     "INSTANT", {}),
        ("TIME_RESTRICTION",      elsewhere,        {},                "",        pay(ALICE)),
        ("ALLOWED_TOKENS",        {"tokens": [TOKEN]}, send(TOKEN),    "INSTANT", send(MINT)),
        ("METHOD_WHITELIST",      methods,          call(b"paidpaid"), "INSTANT", call(b"no")),
        ("APPROVED_SPENDERS",     spenders,         permit(MEMO),      "INSTANT", permit(BOB)),
        ("APPROVED_SPENDERS",     spenders,         permit(MEMO, ALL), "APPROVAL", {}),
        ("APPROVE_AMOUNT_LIMIT",  limited,          permit(MEMO, MANY), "INSTANT", unlimited),
        ("APPROVE_AMOUNT_LIMIT",  most,             permit(MEMO, 9),   "INSTANT", permit(MEMO, 10)),
        ("APPROVE_TIER_OVERRIDE", {"tier": "NOTIFY"}, permit(ALICE, 8), "NOTIFY", {}),
    ]
    # fmt: on
    for kind, document, passes, tier, fails in rows:
        policy = rules.set(kind, document)
        if passes:
            assert agent.rule(passes) == tier, kind
        if fails:
            denied_by = "DEFAULT_DENY" if kind == "APPROVED_SPENDERS" else kind  # it grants
            assert agent.rule(fails) == denied_by
        if kind != "APPROVED_SPENDERS":
            rules.remove(policy)
    limit = {"asset": "native", "instant_max": "60", "delay_max": "99", "delay_seconds": 8}
    rules.set("SPENDING_LIMIT", limit)
    command = ("policy", "set", "--agent", rules.agent_id, "--type", "RATE_LIMIT", "--rules")
    waits: dict[str, Any] = {}
    for most_requests, rule in ((1000, "INSTANT"), (1, "RATE_LIMIT")):
        text = json.dumps({"max_requests": most_requests, "window_seconds": 3600})
        waiaas.json(*command, text, password=True)
        assert agent.rule(pay(ALICE, 11)) == rule
        waits = waits or agent.ask("POST", "/v1/transactions/send", pay(ALICE, 61))
    ended = agent.ended(waits["id"])  # it was not the first in the hour, and nothing is signed yet
    assert (ended["status"], ended["tier"]) == ("CANCELLED", "DELAY")
    assert ended["error"].startswith("POLICY_TIGHTENED: policies changed before it was signed")
    listed = json.loads(waiaas.run("policy", "list", "--agent", rules.agent_id).stdout)
    assert {each["type"] for each in listed} == {
        "SPENDING_LIMIT",
        "CONTRACT_WHITELIST",
        "APPROVED_SPENDERS",
        "RATE_LIMIT",
    }
