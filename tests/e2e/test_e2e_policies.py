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
OTHER_MEMO = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"
SYSTEM = "11111111111111111111111111111111"
SOL = 10**9
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


def call(data: bytes, program: str = MEMO) -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    return {"type": "CONTRACT_CALL", "programId": program, "instructionData": text, "accounts": []}


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


def test_rules_that_could_never_matter_are_refused_and_say_why(running: Any) -> None:
    _, daemon = running
    rules = Rules(daemon.operator(), daemon.funded_agent())
    selectors = {"contracts": [{"address": MEMO, "methods": ["0x01", "0x0102"]}]}
    evening = {"days": ["mon"], "start": "20:00", "end": "24:00"}
    windows = {"hourly_max": "9", "daily_max": "9"}
    for kind, document, why in (
        ("CONTRACT_WHITELIST", {"contracts": [SYSTEM]}, "no request can call: "),
        ("METHOD_WHITELIST", selectors, "means nothing beside 0x01"),
        ("APPROVE_AMOUNT_LIMIT", {"amount_max": str(MOST)}, "block_unlimited denies already"),
        ("TIME_RESTRICTION", {"timezone": "UTC", "windows": [evening] * 2}, "is listed twice"),
        ("SPENDING_LIMIT", {"asset": TOKEN, "instant_max": "1", **windows}, "same as daily_max"),
    ):
        with pytest.raises(Exception, match=rf"VALIDATION_FAILED.*{why}"):
            rules.set(kind, document)


def test_each_profile_pays_what_it_says_and_nothing_beyond(running: Any) -> None:
    """The third, `cautious`, is in test_e2e_kept_within."""
    _, daemon = running
    operator = daemon.operator()
    for profile, tenths, beyond in (
        ("standard", (1, 5, 20, 100), "per_transaction_max"),
        ("open", (10, 100, 500, 1000), "daily_max"),
    ):
        body = {"name": profile, "network": "localnet", "profile": profile}
        agent_id = operator.ask("POST", "/v1/agents", body)["id"]
        operator.ask("POST", f"/v1/agents/{agent_id}/fund", {"amount": str(2 * SOL)})
        token = operator.ask("POST", "/v1/sessions", {"agentId": agent_id})["token"]
        agent = type(operator)(operator.url, token)
        most = [tenth * SOL // 10 for tenth in tenths]
        for tier, amount in zip(("INSTANT", "NOTIFY", "DELAY", "APPROVAL"), most, strict=True):
            assert agent.ask("POST", SIMULATE, pay(BOB, amount))["tier"] == tier
        assert agent.ends(agent.pay(BOB, most[0], key="paid")["id"]) == "CONFIRMED"
        assert agent.rule(pay(BOB, most[-1] + 1)) == "SPENDING_LIMIT"
        against = agent.ask("POST", SIMULATE, pay(BOB, most[-1] + 1))["violations"]
        assert beyond in {each["bound"] for each in against}


def test_a_session_does_what_is_on_its_lists_and_nothing_else(running: Any) -> None:
    _, daemon = running
    operator, agent = daemon.operator(), daemon.funded_agent()
    rules = Rules(operator, agent)
    rules.set("SPENDING_LIMIT", {"asset": TOKEN, "instant_max": "100"})
    rules.set("SPENDING_LIMIT", {"asset": MINT, "instant_max": "100"})
    rules.set("CONTRACT_WHITELIST", {"contracts": [MEMO, OTHER_MEMO], "tier": "INSTANT"})
    rules.set("APPROVED_SPENDERS", {"spenders": [ALICE, BOB], "tier": "INSTANT"})
    for constraints, allowed, denied in (
        ({"allowedOperations": ["TRANSFER"]}, pay(ALICE), call(b"a")),
        ({"allowedTokens": [TOKEN]}, send(TOKEN), send(MINT)),
        ({"allowedContracts": [MEMO]}, call(b"b"), call(b"b", OTHER_MEMO)),
        ({"allowedSpenders": [ALICE]}, permit(ALICE), permit(BOB)),
    ):
        body = {"agentId": rules.agent_id, "constraints": constraints}
        token = operator.ask("POST", "/v1/sessions", body)["token"]
        bounded = type(agent)(agent.url, token)
        assert bounded.rule(allowed) == "INSTANT"
        assert agent.ask("POST", SIMULATE, denied)["tier"] == "INSTANT", "its rules would allow it"
        told = bounded.ask("POST", SIMULATE, denied)["denial"]
        assert (told["code"], told["details"]["bound"]) == ("CONSTRAINT_VIOLATED", *constraints)
        assert bounded.rule(denied) == "SESSION"
