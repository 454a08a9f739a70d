"""Agents, sessions, policies, money to play with: what the operator may make, and what not."""

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.chain import LOCALNET

from waiaas.api.agents import FUND_BASE_UNITS_MAX
from waiaas.chains.localnet.faults import Fault, Reply
from waiaas.database import generate_id
from waiaas.domain.access import SESSIONS_PER_AGENT_DEFAULT
from waiaas.domain.addresses import is_solana_address
from waiaas.domain.assets import Network
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType, PolicyType
from waiaas.domain.ids import AgentId, is_id
from waiaas.keystore.errors import DamagedKeystore
from waiaas.keystore.files import PrivateDirectory
from waiaas.pipeline.agents import finish_creations

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired, Online

NOW_S = 1_700_000_000
SOL = 10**9
NO_AGENTS = ["", "x", "0" * 36, "{id}", "' OR 1=1 --", "01A20BBD-C049-75B6-9FF3-BBF9A1B56A4D"]
RULES = {"asset": "native", "instant_max": "5"}
PAGE = (Path(__file__).parents[2] / "docs/policies.md").read_text()
EXAMPLES = dict(re.findall(r"^## ([A-Z_]+)\n.*?```json\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))


def create(desk: "Desk", operator: str, **body: Any) -> "Answer":
    return desk.ask("POST", "/v1/agents", body, token=operator)


def set_policy(desk: "Desk", operator: str, agent_id: str, rules: Any, **more: Any) -> "Answer":
    body = {"agentId": agent_id, "type": "SPENDING_LIMIT", "rules": rules, **more}
    return desk.ask("PUT", "/v1/policies", body, token=operator)


def test_one_agent_is_shown_as_it_was_made(desk: "Desk", operator: str) -> None:
    agent = create(desk, operator, name="Bob", network="localnet").json
    cookie = "wai_op_" + "C" * 43
    assert desk.ask("GET", f"/v1/agents/{agent['id']}", token=cookie).json == agent
    for none in NO_AGENTS[1:4]:
        assert desk.ask("GET", f"/v1/agents/{none}", token=cookie).code == "AGENT_NOT_FOUND"


# ── agents ─────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_is_made_with_a_key_of_its_own(desk: "Desk", operator: str) -> None:
    answer = create(desk, operator, name="Bob", network="localnet")
    assert answer.status == 201
    agent = answer.json
    assert is_id(agent["id"])
    assert is_solana_address(agent["publicKey"])
    assert agent == {
        "id": agent["id"],
        "name": "Bob",
        "chain": "solana",
        "network": "localnet",
        "publicKey": agent["publicKey"],
        "status": "ACTIVE",
        "createdAt": NOW_S,
        "suspendedAt": None,
        "suspensionReason": None,
    }
    (row,) = desk.rows("agents")
    assert (row.id, row.name, row.public_key, row.status) == (
        agent["id"],
        "Bob",
        agent["publicKey"],
        "ACTIVE",
    )
    assert desk.keystore.holds(AgentId(agent["id"]), public_key=agent["publicKey"])


def test_two_agents_of_one_name_are_two_agents(desk: "Desk", operator: str) -> None:
    first, second = (create(desk, operator, name="a", network="localnet").json for _ in range(2))
    assert first["id"] != second["id"]
    assert first["publicKey"] != second["publicKey"]


@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE agents; --", "<script>", "../../x", "%s{0}", "é🐍", " a ", "a" * 100, "\\"],
)
def test_a_name_is_text_and_nothing_else(desk: "Desk", operator: str, name: str) -> None:
    assert create(desk, operator, name=name, network="localnet").json["name"] == name
    assert desk.rows("agents")[0].name == name
    assert json.loads(desk.rows("audit_log")[1].details)["name"] == name


# fmt: off
NO_PLACE = [
    ({"network": "devnet"},                        "NETWORK_NOT_CONFIGURED"),
    ({},                                           "NETWORK_NOT_CONFIGURED"),   # devnet
    ({"network": "mainnet"},                       "NETWORK_NOT_CONFIGURED"),
    ({"network": "testnet"},                       "NETWORK_NOT_CONFIGURED"),
    ({"network": "localnet", "chain": "ethereum"}, "NOT_SUPPORTED_YET"),
    ({"network": "mainnet", "chain": "ethereum"},  "NOT_SUPPORTED_YET"),
    ({"network": "localnet", "chain": "bitcoin"},  "VALIDATION_FAILED"),
    ({"network": "solana"},                        "VALIDATION_FAILED"),
]
# fmt: on


@pytest.mark.parametrize(("body", "code"), NO_PLACE)
def test_an_agent_is_made_only_where_it_could_work(
    desk: "Desk", operator: str, body: dict[str, str], code: str
) -> None:
    before = desk.content()
    answer = create(desk, operator, name="a", **body)
    assert (answer.status, answer.code) == (400, code)
    assert desk.refusals_since(before) == [answer.code]
    if code == "NETWORK_NOT_CONFIGURED":
        assert "it knows: localnet" in answer.json["message"]
        assert "--localnet" in answer.json["hint"]


def test_a_daemon_without_any_network_says_so(desk: "Desk", operator: str) -> None:
    desk.rebuild(chains={})
    answer = create(desk, operator, name="a", network="localnet")
    assert "it knows: none" in answer.json["message"]


class Spoiling(PrivateDirectory):
    """A disk that keeps something else than it was given, and does not say so."""

    def write_new(self, name: str, content: bytes) -> None:
        super().write_new(name, content)
        (self.path / name).write_bytes(content.replace(b"a", b"b"))


def test_an_agent_whose_key_does_not_read_back_never_becomes_active(
    desk: "Desk", operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiling = Spoiling(desk.keystore.keystore._directory.path)
    monkeypatch.setattr(desk.keystore.keystore, "_directory", spoiling)
    assert create(desk, operator, name="Bob", network="localnet").code == "INTERNAL_ERROR"
    assert [type(defect) for defect in desk.defects] == [DamagedKeystore]
    desk.defects.clear()
    assert [row.status for row in desk.rows("agents")] == ["CREATING"]
    finish_creations(ledger=desk.ledger, keystore=desk.keystore, clock=desk.clock)
    assert [row.status for row in desk.rows("agents")] == ["TERMINATED"]


# ── sessions ───────────────────────────────────────────────────────────────────────────────────


def test_a_session_is_issued_and_only_its_hash_is_kept(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    answer = desk.ask("POST", "/v1/sessions", {"agentId": hired.id, "ttl": 300}, token=operator)
    assert answer.status == 201
    session = answer.json
    assert session == {
        "id": session["id"],
        "token": session["token"],
        "expiresAt": NOW_S + 300,
        "agentId": hired.id,
    }
    row = desk.rows("sessions")[-1]
    assert (row.id, row.expires_at) == (session["id"], NOW_S + 300)
    assert row.absolute_expires_at == NOW_S + 30 * 86_400
    assert session["token"] not in str(desk.content())


def test_a_session_lasts_a_day_unless_told_otherwise(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    answer = desk.ask("POST", "/v1/sessions", {"agentId": hired.id}, token=operator)
    assert answer.json["expiresAt"] == NOW_S + 86_400


@pytest.mark.parametrize("ttl", [0, -1, 299, 604_801, 2**63, True, "300", 300.0, None])
def test_a_session_is_not_too_short_and_not_too_long(
    desk: "Desk", operator: str, hired: "Hired", ttl: Any
) -> None:
    answer = desk.ask("POST", "/v1/sessions", {"agentId": hired.id, "ttl": ttl}, token=operator)
    assert (answer.code, answer.json["field"]) == ("VALIDATION_FAILED", "ttl")
    assert len(desk.rows("sessions")) == 1


def test_many_sessions_at_once_are_no_more_than_an_agent_may_have(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    async def act() -> list["Answer"]:
        body = {"agentId": hired.id}
        asked = (desk.asked("POST", "/v1/sessions", body, token=operator) for _ in range(50))
        return await asyncio.gather(*asked)

    answers = asyncio.run(act())
    assert SESSIONS_PER_AGENT_DEFAULT == 5
    assert [answer.status for answer in answers].count(201) == SESSIONS_PER_AGENT_DEFAULT - 1
    refused = [answer for answer in answers if answer.status != 201]
    assert {(answer.status, answer.code) for answer in refused} == {(403, "SESSION_LIMIT_EXCEEDED")}
    assert refused[0].json["hint"]
    assert len(desk.rows("sessions")) == SESSIONS_PER_AGENT_DEFAULT


@pytest.mark.parametrize("agent_id", NO_AGENTS[1:])
@pytest.mark.parametrize("what", ["sessions", "policies", "fund"])
def test_there_is_nothing_for_an_agent_that_is_not(
    online: "Online", agent_id: str, what: str
) -> None:
    desk = online.desk
    operator = desk.log_in()

    async def act() -> "Answer":
        async with online.connect():
            if what == "sessions":
                body: dict[str, Any] = {"agentId": agent_id}
                return await desk.asked("POST", "/v1/sessions", body, token=operator)
            if what == "policies":
                body = {"agentId": agent_id, "type": "SPENDING_LIMIT", "rules": RULES}
                return await desk.asked("PUT", "/v1/policies", body, token=operator)
            path = f"/v1/agents/{agent_id}/fund"
            return await desk.asked("POST", path, {"amount": "1"}, token=operator)

    before = desk.content()
    answer = asyncio.run(act())
    assert (answer.status, answer.code) == (404, "AGENT_NOT_FOUND")
    assert agent_id not in answer.json["message"]
    assert desk.refusals_since(before) == [answer.code]


@pytest.mark.parametrize("status", [AgentStatus.SUSPENDED, AgentStatus.TERMINATED])
def test_an_agent_that_is_not_active_gets_no_session(
    desk: "Desk", operator: str, hired: "Hired", status: AgentStatus
) -> None:
    desk.ledger.write(
        lambda tx: tx.agents.compare_and_set_status(
            AgentId(hired.id), old=AgentStatus.ACTIVE, new=status, now_s=NOW_S
        )
    )
    answer = desk.ask("POST", "/v1/sessions", {"agentId": hired.id}, token=operator)
    assert (answer.status, answer.code) == (409, "AGENT_NOT_ACTIVE")


def test_a_session_keeps_to_its_constraints(desk: "Desk", operator: str, hired: "Hired") -> None:
    body = {"agentId": hired.id, "constraints": {"maxTotalAmount": "5"}}
    token = desk.ask("POST", "/v1/sessions", body, token=operator).json["token"]
    payment = {"to": "So11111111111111111111111111111111111111112", "amount": "5"}
    assert desk.ask("POST", "/v1/transactions/send", payment, token=token).status == 201
    denied = desk.ask("POST", "/v1/transactions/send", {**payment, "amount": "1"}, token=token)
    assert (denied.status, denied.code) == (403, "CONSTRAINT_VIOLATED")
    facts = {name: denied.json[name] for name in ("rule", "bound", "limit", "observed")}
    assert facts == {"rule": "SESSION", "bound": "maxTotalAmount", "limit": "5", "observed": "6"}


@pytest.mark.parametrize(
    ("constraints", "field"),
    [
        ({"maxTotal": "5"}, "constraints.maxTotal"),
        ({"maxTotalAmount": 5}, "constraints.maxTotalAmount"),
        ({"allowedDestinations": []}, "constraints.allowedDestinations"),
        ([], "constraints"),
    ],
)
def test_constraints_that_nobody_could_keep_are_refused_by_the_name_of_the_field(
    desk: "Desk", operator: str, hired: "Hired", constraints: Any, field: str
) -> None:
    before = desk.content()
    body = {"agentId": hired.id, "constraints": constraints}
    answer = desk.ask("POST", "/v1/sessions", body, token=operator)
    assert (answer.code, answer.json["field"]) == ("VALIDATION_FAILED", field)
    assert desk.refusals_since(before) == [answer.code]


# ── policies ───────────────────────────────────────────────────────────────────────────────────


def test_a_policy_is_told_as_it_is_in_force(desk: "Desk", operator: str, hired: "Hired") -> None:
    desk.clock.advance(10)
    answer = set_policy(desk, operator, hired.id, RULES)
    assert answer.status == 200
    policy = answer.json
    assert policy == {
        "id": policy["id"],
        "agentId": hired.id,
        "type": "SPENDING_LIMIT",
        "rules": RULES,
        "priority": 0,
        "enabled": True,
        "createdAt": NOW_S,
        "updatedAt": NOW_S + 10,
    }
    (row,) = desk.rows("policies")
    assert (row.id, json.loads(row.rules)) == (policy["id"], RULES)


# fmt: off
BAD_RULES: list[tuple[Any, str]] = [
    ({},                                                     "rules.asset"),
    ({"instant_max": "5"},                                   "rules.asset"),
    ({"asset": "native"},                                    "rules.instant_max"),
    ({"asset": "SOL", "instant_max": "5"},                   "rules.asset"),
    ({"asset": ["native"], "instant_max": "5"},              "rules.asset"),
    ({"asset": None, "instant_max": "5"},                    "rules.asset"),
    ({"asset": "native", "instant_max": 5},                  "rules.instant_max"),
    ({"asset": "native", "instant_max": None},               "rules.instant_max"),
    ({"asset": "native", "instant_max": True},               "rules.instant_max"),
    ({"asset": "native", "instant_max": "05"},               "rules.instant_max"),
    ({"asset": "native", "instant_max": "-5"},               "rules.instant_max"),
    ({"asset": "native", "instant_max": "5.0"},              "rules.instant_max"),
    ({"asset": "native", "instant_max": "\uff15"},               "rules.instant_max"),
    ({"asset": "native", "instant_max": str(2**256)},        "rules.instant_max"),
    ({**RULES, "daily_max": 10**30},                         "rules.daily_max"),
    ({**RULES, "daily_max": None},                           "rules.daily_max"),
    ({**RULES, "weekly_max": ""},                            "rules.weekly_max"),
    ({**RULES, "instantMax": "9"},                           "rules.instantMax"),
    ({**RULES, "<b>": "9"},                                  "rules.<b>"),
    ({**RULES, "é" * 500: "9"},                              "rules." + "\\xe9" * 40),
    ([RULES],                                                "rules"),
    ("native",                                               "rules"),
    (None,                                                   "rules"),
]
# fmt: on


@pytest.mark.parametrize(("rules", "field"), BAD_RULES, ids=ascii)
def test_rules_that_nobody_could_keep_are_refused_by_the_name_of_the_field(
    desk: "Desk", operator: str, hired: "Hired", rules: Any, field: str
) -> None:
    before = desk.content()
    answer = set_policy(desk, operator, hired.id, rules)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert answer.json["field"] == field
    assert desk.refusals_since(before) == [answer.code]


@pytest.mark.parametrize("kind", PolicyType)
def test_every_kind_of_policy_takes_its_own_rules_and_no_others(
    desk: "Desk", operator: str, hired: "Hired", kind: PolicyType
) -> None:
    rules = json.loads(EXAMPLES[kind])
    body = {"agentId": hired.id, "type": kind, "rules": rules}
    answer = desk.ask("PUT", "/v1/policies", body, token=operator)
    assert (answer.status, answer.json["rules"]) == (200, rules)
    wrong = desk.ask("PUT", "/v1/policies", {**body, "rules": {"x": 1}}, token=operator)
    assert (wrong.code, wrong.json["field"]) == ("VALIDATION_FAILED", "rules.x")


@pytest.mark.parametrize(
    "more",
    [{"priority": "1"}, {"priority": 1001}, {"enabled": 1}, {"id": "x"}, {"createdAt": 1}],
)
def test_what_a_policy_does_not_take_is_refused(
    desk: "Desk", operator: str, hired: "Hired", more: dict[str, Any]
) -> None:
    assert set_policy(desk, operator, hired.id, RULES, **more).code == "VALIDATION_FAILED"


# ── money to play with ─────────────────────────────────────────────────────────────────────────


def test_an_agent_is_funded_on_the_local_network(online: "Online") -> None:
    desk = online.desk
    operator = desk.log_in()
    hired = desk.create_agent(token=operator)

    async def act() -> tuple["Answer", "Answer"]:
        async with online.connect():
            path = f"/v1/agents/{hired.id}/fund"
            funded = await desk.asked("POST", path, {"amount": str(SOL)}, token=operator)
            return funded, await desk.asked("GET", "/v1/wallet/balance", token=hired.token)

    funded, balance = asyncio.run(act())
    assert funded.status == 200
    assert funded.json == {
        "agentId": hired.id,
        "txHash": funded.json["txHash"],
        "balance": str(SOL),
    }
    assert balance.json == {
        "agentId": hired.id,
        "chain": "solana",
        "network": "localnet",
        "address": hired.address,
        "balance": str(SOL),
        "decimals": 9,
        "symbol": "SOL",
    }


def fund(online: "Online", amount: Any, *faults: Fault, agent_id: str = "") -> "Answer":
    desk = online.desk
    operator = desk.log_in()
    agent_id = agent_id or desk.create_agent(token=operator).id
    online.localnet.faults.install(*faults)

    async def act() -> "Answer":
        async with online.connect():
            path = f"/v1/agents/{agent_id}/fund"
            return await desk.asked("POST", path, {"amount": amount}, token=operator)

    return asyncio.run(act())


@pytest.mark.parametrize(
    ("amount", "status"),
    [("1", 400), ("890879", 400), ("890880", 200), (str(FUND_BASE_UNITS_MAX), 200)],
)
def test_every_amount_in_the_bounds_is_answered_for(
    online: "Online", amount: str, status: int
) -> None:
    """The chain itself refuses to leave an account with less than its rent."""
    answer = fund(online, amount)
    assert answer.status == status
    if status != 200:
        assert answer.code == "INVALID_AMOUNT"
        assert "does not pay this: " in answer.json["message"]
        assert "Give more" in answer.json["hint"]


# fmt: off
NO_AMOUNTS = ["0", "", "-1", "01", "1.0", "1e9", " 1", "1 ", "0x1", "1_000", "٣", "one",
              str(FUND_BASE_UNITS_MAX + 1), str(2**63), str(2**64), str(2**128), "9" * 78]
# fmt: on


@pytest.mark.parametrize("amount", NO_AMOUNTS)
def test_an_amount_that_is_none_or_far_too_much_never_reaches_the_chain(
    online: "Online", amount: str
) -> None:
    answer = fund(online, amount)
    assert (answer.status, answer.code) == (400, "INVALID_AMOUNT")
    assert answer.json["hint"]


def test_a_wrong_amount_is_told_before_an_agent_that_is_not(online: "Online") -> None:
    assert fund(online, "-1", agent_id=generate_id()).code == "INVALID_AMOUNT"


@pytest.mark.parametrize(
    "reply", [Reply.ERROR, Reply.GARBAGE, Reply.UNAVAILABLE, Reply.CUT_OFF, Reply.WRONG_ID]
)
@pytest.mark.parametrize("method", ["requestAirdrop", "getSignatureStatuses", "getBalance"])
def test_a_faucet_that_fails_is_a_chain_that_is_not_available(
    online: "Online", reply: Reply, method: str
) -> None:
    answer = fund(online, str(SOL), Fault(method=method, reply=reply))
    assert (answer.status, answer.code) == (502, "CHAIN_UNAVAILABLE")
    assert answer.json["retryable"] is True
    assert answer.json["hint"]


def test_an_airdrop_that_never_lands_is_given_up(online: "Online") -> None:
    answer = fund(online, str(SOL), Fault(method="requestAirdrop", drops=True))
    assert answer.code == "CHAIN_UNAVAILABLE"


def test_without_a_faucet_there_is_no_money(desk: "Desk", operator: str, hired: "Hired") -> None:
    path = f"/v1/agents/{hired.id}/fund"
    answer = desk.ask("POST", path, {"amount": "1"}, token=operator)
    assert (answer.status, answer.code) == (400, "FAUCET_UNAVAILABLE")
    assert answer.json["hint"]


def test_off_the_local_network_there_is_no_money_even_with_a_faucet(online: "Online") -> None:
    desk = online.desk
    operator = desk.log_in()

    async def act() -> "Answer":
        async with online.connect() as chain:
            desk.rebuild(
                chains={Network(ChainType.SOLANA, NetworkType.MAINNET): chain, LOCALNET: chain}
            )
            body = {"name": "a", "network": "mainnet"}
            agent = (await desk.asked("POST", "/v1/agents", body, token=operator)).json
            path = f"/v1/agents/{agent['id']}/fund"
            return await desk.asked("POST", path, {"amount": str(SOL)}, token=operator)

    answer = asyncio.run(act())
    assert answer.code == "FAUCET_UNAVAILABLE"
    assert "mainnet" in answer.json["message"]


# ── the wallet ─────────────────────────────────────────────────────────────────────────────────


def test_an_agent_is_told_its_own_address_and_no_other(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    other = desk.create_agent(token=operator)
    for agent in (hired, other):
        answer = desk.ask("GET", "/v1/wallet/address", token=agent.token)
        assert answer.json == {
            "agentId": agent.id,
            "chain": "solana",
            "network": "localnet",
            "address": agent.address,
        }


def test_a_balance_is_not_guessed_when_the_node_is_gone(online: "Online") -> None:
    desk = online.desk
    hired = desk.create_agent(token=desk.log_in())
    online.localnet.faults.install(Fault(reply=Reply.UNAVAILABLE))

    async def act() -> "Answer":
        async with online.connect():
            return await desk.asked("GET", "/v1/wallet/balance", token=hired.token)

    answer = asyncio.run(act())
    assert (answer.status, answer.code) == (502, "CHAIN_UNAVAILABLE")


def test_a_balance_on_a_network_that_is_not_configured_any_more_is_not_told(
    desk: "Desk", hired: "Hired"
) -> None:
    desk.rebuild(chains={})
    answer = desk.ask("GET", "/v1/wallet/balance", token=hired.token)
    assert (answer.status, answer.code) == (400, "NETWORK_NOT_CONFIGURED")
    assert answer.json["hint"] == "The operator sets its URL in config.toml."
