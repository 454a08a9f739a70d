"""An agent on a chain without an adapter has a key and an address, and never meets another chain.

Solana's mainnet is there in all of these: an agent of *Ethereum's* mainnet must not be sent to it.
"""

from typing import TYPE_CHECKING, Any

import pytest

from waiaas.database import generate_id
from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.pipeline.agents import create_agent

if TYPE_CHECKING:
    from tests.api.conftest import Desk

ON_SOLANA = Network(ChainType.SOLANA, NetworkType.MAINNET)
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
TRANSFERS: list[dict[str, Any]] = [
    {"to": ADDRESS, "amount": "1"},
    {"to": "So11111111111111111111111111111111111111112", "amount": "1"},
    {"to": "nobody", "amount": "-1"},
    {"to": ADDRESS, "humanAmount": "1"},
]


class Untouched:
    """A node of Solana that nobody may talk to."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked of the wrong chain")


@pytest.fixture
def hired(desk: "Desk", operator: str) -> tuple[str, str]:
    """Make an agent on Ethereum, by the only way that there is; return its id and a token."""
    node: Any = Untouched()
    desk.rebuild(chains={ON_SOLANA: node, Network(ON_SOLANA.chain, NetworkType.TESTNET): node})
    services = desk.services
    agent = desk.runner.run(
        create_agent(
            "vitalik",
            chain=ChainType.ETHEREUM,
            network=NetworkType.MAINNET,
            profile=None,
            ip_address=None,
            ledger=services.ledger,
            keystore=services.keystore,
            clock=services.clock,
            generate_id=generate_id,
        )
    )
    issued = desk.ask("POST", "/v1/sessions", {"agentId": agent.id}, token=operator)
    return agent.id, issued.json["token"]


@pytest.mark.parametrize("body", TRANSFERS)
def test_what_it_asks_for_is_refused_and_written_down(
    desk: "Desk", operator: str, hired: tuple[str, str], body: dict[str, Any]
) -> None:
    agent_id, token = hired
    explained = {"agentId": agent_id, "request": body}
    for path, told, credential in (
        ("/v1/transactions/send", body, token),
        ("/v1/transactions/simulate", body, token),
        ("/v1/policies/explain", explained, operator),
    ):
        before = len(desk.rows("audit_log"))
        answer = desk.ask("POST", path, told, token=credential)
        assert (answer.status, answer.code) == (400, "NOT_SUPPORTED_YET")
        assert answer.json["message"] == "this daemon has no adapter for ethereum yet"
        assert len(desk.rows("audit_log")) == before + 1
    assert desk.rows("transactions") == desk.rows("reservations") == []


def test_nobody_learns_or_changes_what_it_has(
    desk: "Desk", operator: str, hired: tuple[str, str]
) -> None:
    agent_id, token = hired
    place = f"/v1/agents/{agent_id}"
    desk.rebuild(faucet=Untouched())
    for answer in (
        desk.ask("GET", "/v1/wallet/balance", token=token),
        desk.ask("GET", f"{place}/balance", token=operator),
        desk.ask("POST", f"{place}/fund", {"amount": "1"}, token=operator),
    ):
        assert answer.code == "NOT_SUPPORTED_YET"
    kept = desk.ask("POST", f"{place}/terminate", {}, token=operator)
    assert kept.code == "AGENT_HAS_MONEY"
    assert "no adapter for ethereum" in kept.json["message"]


def test_it_is_seen_suspended_resumed_and_ended_like_any_other(
    desk: "Desk", operator: str, hired: tuple[str, str]
) -> None:
    agent_id, token = hired
    place = f"/v1/agents/{agent_id}"
    told = desk.ask("GET", "/v1/wallet/address", token=token).json
    assert (told["chain"], told["network"], told["address"][:2]) == ("ethereum", "mainnet", "0x")
    [listed] = desk.ask("GET", "/v1/agents", token=operator).json["items"]
    assert (listed["id"], listed["publicKey"]) == (agent_id, told["address"])
    for verb, body, status in (
        ("suspend", {}, "SUSPENDED"),
        ("resume", None, "ACTIVE"),
        ("terminate", {"force": True}, "TERMINATED"),
    ):
        answer = desk.ask("POST", f"{place}/{verb}", body, token=operator)
        assert answer.json["status"] == status


def test_it_may_have_an_owner_whose_message_names_its_chain(
    desk: "Desk", operator: str, hired: tuple[str, str]
) -> None:
    agent_id, _ = hired
    place = f"/v1/agents/{agent_id}/owner"
    assert not desk.ask("PUT", place, {"ownerAddress": ADDRESS}, token=operator).code
    asked = desk.ask("POST", f"{place}/message", {"action": "VERIFY"}, token=operator)
    assert "urn:waiaas:chain:eip155:1" in asked.json["message"]


def test_none_is_made_by_the_daemon(desk: "Desk", operator: str, hired: tuple[str, str]) -> None:
    assert hired
    body = {"name": "a", "chain": "ethereum", "network": "mainnet"}
    assert desk.ask("POST", "/v1/agents", body, token=operator).code == "NOT_SUPPORTED_YET"
    assert len(desk.rows("agents")) == 1


def test_no_rule_and_no_constraint_is_set_that_nobody_could_read(
    desk: "Desk", operator: str, hired: tuple[str, str]
) -> None:
    agent_id, _ = hired
    rule = {"agentId": agent_id, "type": "WHITELIST", "rules": {"addresses": [TRANSFERS[1]["to"]]}}
    session = {"agentId": agent_id, "constraints": {"maxTransactions": 1}}
    for method, path, body in (
        ("PUT", "/v1/policies", rule),
        ("POST", "/v1/policies", rule),
        ("POST", "/v1/sessions", session),
    ):
        assert desk.ask(method, path, body, token=operator).code == "NOT_SUPPORTED_YET"
    assert desk.rows("policies") == []
    assert len(desk.rows("sessions")) == 1
