"""The kill switch and the verbs that stop, through the installed program."""

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.forked]

SOL = 10**9
NO_WAIT = {"WAIAAS_SECURITY_KILL_SWITCH_RECOVERY_SECONDS": "0"}
WAITING = {"asset": "native", "instant_max": "0", "delay_max": str(SOL), "delay_seconds": 3600}


def set_rules(operator: Any, agent_id: str, **rules: Any) -> None:
    body = {"agentId": agent_id, "type": "SPENDING_LIMIT", "rules": {**WAITING, **rules}}
    operator.ask("PUT", "/v1/policies", body)


def new_session(operator: Any, agent_id: str) -> str:
    return str(operator.ask("POST", "/v1/sessions", {"agentId": agent_id})["token"])


def stop_and_start_one(waiaas: Any, agent: Any, agent_id: str, recipient: str) -> str:
    """Suspend and resume the agent, revoke its session; return the payment that ended with it."""
    suspended = waiaas.json("agent", "suspend", agent_id, "--reason", "lunch")
    assert (suspended["status"], suspended["suspensionReason"]) == ("SUSPENDED", "lunch")
    with pytest.raises(Exception, match="AGENT_NOT_ACTIVE"):
        agent.pay(recipient, SOL, key="suspended")
    assert waiaas.json("agent", "resume", agent_id, password=True)["status"] == "ACTIVE"
    waits = agent.pay(recipient, SOL, key="waits")["id"]
    [session] = json.loads(waiaas.run("session", "list").stdout)
    assert waiaas.json("session", "revoke", session["id"])["status"] == "REVOKED"
    with pytest.raises(Exception, match="SESSION_REVOKED"):
        agent.get("/v1/wallet/address")
    return str(waits)


def test_what_is_stopped_stays_stopped_over_a_restart_until_the_password_starts_it_again(
    waiaas: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    daemon = waiaas.start(env=NO_WAIT)
    agent, operator = daemon.funded_agent(), daemon.operator()
    agent_id = agent.get("/v1/wallet/address")["agentId"]
    set_rules(operator, agent_id)
    waits = stop_and_start_one(waiaas, agent, agent_id, recipient)
    agent.token = new_session(operator, agent_id)
    assert agent.get(f"/v1/transactions/{waits}")["status"] == "CANCELLED"

    # Everything is stopped, with the cookie alone.
    queued = agent.pay(recipient, SOL, key="queued")["id"]
    done = waiaas.json("kill-switch", "on", "--reason", "a thief")
    stopped = [done[name] for name in ("state", "transactionsCancelled", "agentsSuspended")]
    assert stopped == ["ACTIVATED", 1, 1]
    with pytest.raises(Exception, match="SESSION_REVOKED"):
        agent.pay(recipient, SOL, key="refused")

    daemon.kill()
    daemon = waiaas.start(env=NO_WAIT)
    agent.url, operator = daemon.url, daemon.operator()
    assert waiaas.json("kill-switch", "status")["reason"] == "a thief"
    refused = waiaas.run("session", "create", "--agent", agent_id, password=True, code=1)
    assert "KILL_SWITCH_ACTIVE" in refused.stderr
    assert waiaas.told("kill-switch off") in refused.stderr

    # The way back: the password twice, and then agent by agent.
    for state in ("RECOVERING", "NORMAL"):
        assert waiaas.json("kill-switch", "off", password=True)["state"] == state
    [listed] = json.loads(waiaas.run("agent", "list").stdout)
    assert (listed["status"], listed["suspensionReason"]) == ("SUSPENDED", "KILL_SWITCH: a thief")
    operator.ask("POST", f"/v1/agents/{agent_id}/resume")
    set_rules(operator, agent_id, instant_max=str(SOL))
    agent.token = new_session(operator, agent_id)
    assert agent.get(f"/v1/transactions/{queued}")["status"] == "CANCELLED"
    paid = agent.pay(recipient, 10**6, key="after")["id"]
    assert agent.ends(paid) == "CONFIRMED"
    assert chain_of(waiaas).balance(recipient) == 10**6

    # The end of the agent.
    unasked = waiaas.run("agent", "terminate", agent_id, password=True, code=2)
    assert "--yes" in unasked.stderr
    assert "base units of SOL" in unasked.stderr
    with pytest.raises(Exception, match="AGENT_HAS_MONEY"):
        operator.ask("POST", f"/v1/agents/{agent_id}/terminate", {})
    ended = waiaas.json("agent", "terminate", agent_id, "--yes", password=True)
    assert ended["status"] == "TERMINATED"
    with pytest.raises(Exception, match="AGENT_NOT_ACTIVE"):
        operator.ask("POST", f"/v1/agents/{agent_id}/resume")
    assert waiaas.json("audit", "verify", "--json")["intact"]
