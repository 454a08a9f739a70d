"""Payments that do not go out at once, through the installed program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waiaas.offline import read_tables

pytestmark = [pytest.mark.e2e, pytest.mark.forked]

SOL = 10**9
DELAY_S = 5
"""Long enough to kill a daemon that has just answered; what takes longer waits an hour."""


def rows(waiaas: Any, table: str) -> list[dict[str, Any]]:
    """Return a table as it stands, whether or not a daemon runs."""
    contents = read_tables(waiaas.data)[table]
    return [dict(zip(contents.columns, row, strict=True)) for row in contents.rows]


def set_rules(daemon: Any, agent: Any, **rules: Any) -> None:
    """Give the agent a SPENDING_LIMIT; amounts in base units."""
    given = {name: str(value) if name.endswith("_max") else value for name, value in rules.items()}
    agent_id = agent.get("/v1/wallet/address")["agentId"]
    policy = {"agentId": agent_id, "type": "SPENDING_LIMIT", "rules": {"asset": "native", **given}}
    daemon.operator().ask("PUT", "/v1/policies", policy)


def token_file(waiaas: Any, agent: Any) -> Path:
    path: Path = waiaas.folder / "token"
    path.touch(mode=0o600)
    path.write_text(agent.token, encoding="ascii")
    return path


@pytest.mark.timeout(180)
def test_what_waits_is_called_off_approved_or_expires(
    waiaas: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    daemon = waiaas.start(
        env={
            "WAIAAS_SECURITY_DEFAULT_APPROVAL_SECONDS": "7200",
            "WAIAAS_SECURITY_MAX_WAITING_TRANSACTIONS": "3",
        }
    )
    agent = daemon.funded_agent()
    set_rules(daemon, agent, instant_max=0, delay_max=SOL, delay_seconds=3600, daily_max=SOL)
    send = ("tx", "send", "--token-file", str(token_file(waiaas, agent)), "--to", recipient)

    sent = waiaas.json(*send, "--amount", "5000000")
    assert (sent["status"], sent["tier"]) == ("QUEUED", "DELAY")
    assert waiaas.json("status")["waitingTransactionCount"] == 1
    denied = waiaas.run(*send, "--amount", str(SOL), code=4)  # what waits counts in the window
    assert "daily_max" in denied.stderr
    assert chain_of(waiaas).balance(recipient) == 0

    off = waiaas.json(*send, "--amount", "3000000", "--reference", "invoice-7")
    twice = waiaas.run(*send, "--amount", "4000000", "--reference", "invoice-7", code=1)
    assert "REFERENCE_REUSED" in twice.stderr
    assert off["id"] in twice.stderr
    gone = waiaas.json("tx", "cancel", off["id"], "--token-file", str(waiaas.folder / "token"))
    assert gone == {"id": off["id"], "status": "CANCELLED"}
    late = waiaas.run("tx", "cancel", off["id"], code=1)  # by the operator
    assert "TX_ALREADY_PROCESSED" in late.stderr

    # How long is waited for a person is the setting's to say. What was sent first still only waits.
    set_rules(daemon, agent, instant_max=0, delay_max=5_000_000)
    large = [waiaas.json(*send, "--amount", "6000000")["id"] for _ in range(2)]
    listed = json.loads(waiaas.run("approval", "list").stdout)
    assert [each["expiresAt"] - each["createdAt"] for each in listed] == [7200, 7200]
    assert [each["transactionId"] for each in listed] == large
    crowded = waiaas.run(*send, "--amount", "6000000", code=1)  # three wait already
    assert "TOO_MANY_PENDING" in crowded.stderr
    assert waiaas.json("approval", "reject", large[0])["status"] == "CANCELLED"
    approved = waiaas.json("approval", "approve", large[1], password=True)
    assert approved == {"id": large[1], "status": "QUEUED"}
    late = waiaas.run("approval", "approve", large[0], password=True, code=1)
    assert "TX_ALREADY_PROCESSED" in late.stderr
    set_rules(daemon, agent, instant_max=0, delay_max=5_000_000, approval_timeout=2)
    nobody = waiaas.json(*send, "--amount", "6000000")["id"]
    assert agent.ends(large[1]) == "CONFIRMED"

    ended = agent.ended(nobody)
    assert (ended["status"], ended["error"][:16]) == ("EXPIRED", "APPROVAL_TIMEOUT")
    assert agent.get(f"/v1/transactions/{sent['id']}")["status"] == "QUEUED"
    assert chain_of(waiaas).balance(recipient) == 6_000_000


@pytest.mark.timeout(180)
def test_what_waits_is_made_in_its_time_also_after_a_kill(
    waiaas: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    set_rules(daemon, agent, instant_max=0, delay_max=SOL, delay_seconds=DELAY_S)
    due = agent.pay(recipient, 5_000_000, key="due")
    daemon.kill()
    assert [row["status"] for row in rows(waiaas, "transactions")] == ["QUEUED"]
    agent.url = waiaas.start().url
    paid = agent.ended(due["id"])
    assert (paid["status"], paid["error"]) == ("CONFIRMED", None)
    assert paid["executedAt"] >= due["waitsUntil"]
    assert chain_of(waiaas).balance(recipient) == 5_000_000
