"""Rules are asked, tested and tried on the past with the installed program, beside its daemon."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

SOL = 10**9
OTHER = "So11111111111111111111111111111111111111112"


def what_cannot_be_tried_is_said(
    waiaas: Any, new: Path, rules: Any, agent: tuple[str, ...]
) -> None:
    backtest = ("policy", "backtest", str(new), *agent, "--since")
    assert "--since: " in waiaas.run(*backtest, "yesterday", code=2).stderr
    unknown = {"type": "NO_SUCH_LIMIT", "rules": {}}
    for written, why in ([*rules, unknown], "NO_SUCH_LIMIT"), (unknown, "Expected `array`"):
        new.write_text(json.dumps(written), encoding="utf-8")
        assert why in waiaas.run(*backtest, "0", code=2).stderr


def test_a_verdict_is_explained_simulated_tested_and_tried_on_the_past(
    running: Any, recipient: str
) -> None:
    waiaas, daemon = running
    agent = daemon.funded_agent()
    agent_id = agent.get("/v1/wallet/address")["agentId"]
    token = waiaas.folder / "token"
    token.touch(mode=0o600)
    token.write_text(agent.token, encoding="ascii")

    paid = agent.pay(recipient, SOL, key="within")
    assert agent.ends(paid["id"]) == "CONFIRMED"
    within = {"to": recipient, "amount": str(SOL)}
    for how, tier, code in (("new", "INSTANT", None), (None, None, "DUPLICATE_REQUEST")):
        key = {} if how is None else {"Idempotency-Key": how}
        told = agent.ask("POST", "/v1/transactions/simulate", within, key)
        assert (told["tier"], (told["denial"] or {}).get("code")) == (tier, code)

    beyond = ("--to", OTHER, "--amount", str(30 * SOL))
    told = waiaas.json("policy", "explain", "--agent", agent_id, *beyond)
    simulated = waiaas.json("tx", "simulate", "--token-file", str(token), *beyond)
    assert {**told, "at": 0} == {**simulated, "at": 0}
    assert told["denial"]["details"]["maxAllowed"] == str(19 * SOL), "1 SOL of 20 has moved"
    refused = waiaas.run("tx", "send", "--token-file", str(token), *beyond, code=4)
    assert told["denial"]["message"] in refused.stderr

    new: Path = waiaas.folder / "new.json"
    limit = {"asset": "native", "instant_max": str(10 * SOL), "daily_max": str(31 * SOL)}
    only = {"type": "WHITELIST", "rules": {"addresses": [OTHER]}}
    rules = [{"type": "SPENDING_LIMIT", "rules": limit}, only]
    new.write_text(json.dumps(rules), encoding="utf-8")
    tried = waiaas.json("policy", "backtest", str(new), "--since", "0", "--agent", agent_id)
    changes = [name for name in tried if name.startswith("newly")]
    assert changes == ["newlyAllowed", "newlyDenied"], "what is let through is looked at first"
    changed = [(each["before"], each["after"]) for name in changes for each in tried[name]]
    assert changed == [("DENIED", "APPROVAL"), ("INSTANT", "DENIED")]
    assert tried["decisions"] == 2

    what_cannot_be_tried_is_said(waiaas, new, rules, ("--agent", agent_id))

    table: Path = waiaas.folder / "table.json"
    request = {"to": recipient, "amount": "1"}
    rows = [{"request": request, "expect": {"tier": tier}} for tier in ("INSTANT", "APPROVAL")]
    content = {"policies": [{"type": "SPENDING_LIMIT", "rules": limit}], "rows": rows}
    table.write_text(json.dumps(content), encoding="utf-8")
    judged = waiaas.run("policy", "test", str(table), code=7)
    assert [each["ok"] for each in json.loads(judged.stdout)] == [True, False]
