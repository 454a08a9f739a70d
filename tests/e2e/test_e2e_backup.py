"""Backups with the program as shipped: made while it runs, restored when it does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from waiaas.chains.localnet.process import find_or_start

pytestmark = pytest.mark.e2e


def reconcile(waiaas: Any, daemon: Any, agent: Any, recipient: str, *, lost: str) -> None:
    """See that what was paid behind the backup is found, and counts from then on."""
    first = daemon.operator().ask("POST", "/v1/admin/reconcile", {})
    assert (first["reconciled"], first["unread"], first["blocksLeft"] > 0) == (False, [], True)
    call = {"jsonrpc": "2.0", "id": 1, "method": "localnet_advanceBlocks", "params": [300]}
    url = daemon.operator().get("/v1/admin/status")["localnetUrl"]
    assert "result" in type(agent)(url).ask("POST", "/", call)
    refused = waiaas.run("backup", "reconcile", code=1, password=True)
    assert "--accept 1" in refused.stderr
    assert json.loads(refused.stdout)["movements"][0]["txHash"] == lost
    done = waiaas.json("backup", "reconcile", "--accept", "1", password=True)
    assert (done["reconciled"], done["sessionsRevoked"]) == (True, 1)
    operator = daemon.operator()
    assert operator.get("/v1/admin/status")["restoredAt"] is None
    with pytest.raises(Exception, match="SESSION_REVOKED"):
        agent.pay(recipient, 10**6, key="again")
    agent_id = done["movements"][0]["agentId"]
    agent.token = operator.ask("POST", "/v1/sessions", {"agentId": agent_id})["token"]
    rules = {"asset": "native", "instant_max": "3000000", "daily_max": "3000000"}
    policy = {"agentId": agent_id, "type": "SPENDING_LIMIT", "rules": rules}
    operator.ask("PUT", "/v1/policies", policy)
    with pytest.raises(Exception, match="SPENDING_LIMIT_EXCEEDED"):
        agent.pay(recipient, 10**6 + 1, key="over")
    paid = agent.ended(agent.pay(recipient, 10**6, key="again")["id"])
    assert (paid["status"], paid["error"]) == ("CONFIRMED", None)


@pytest.mark.forked
def test_a_running_daemon_is_backed_up_and_a_restored_one_pays_once_it_is_reconciled(
    waiaas: Any, recipient: str
) -> None:
    password = waiaas.folder / "backup-password"
    password.touch(mode=0o600)
    password.write_text("a password for one backup\n", encoding="utf-8")
    find_or_start(waiaas.data / "localnet", faults_enabled=True)
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    before = agent.ended(agent.pay(recipient, 10**6, key="before")["id"])
    create = ("backup", "create", "--backup-password-file", str(password))
    made = waiaas.json(*create, password=True)
    file = waiaas.data / "backups" / made["name"]
    assert (made["mode"], made["size"]) == ("password", file.stat().st_size)
    behind = agent.ended(agent.pay(recipient, 10**6, key="behind")["id"])
    assert (before["status"], behind["status"]) == ("CONFIRMED", "CONFIRMED")
    daemon.process.terminate()
    assert daemon.ended() == 0

    restored = waiaas.json(
        "backup", "restore", made["name"], "--yes", "--password-file", str(password)
    )
    assert (Path(restored["replacedFiles"]) / "ledger.db").exists()

    daemon = waiaas.start()
    agent.url = daemon.url
    assert daemon.operator().get("/v1/admin/status")["restoredAt"] is not None
    assert agent.get(f"/v1/transactions/{before['id']}")["status"] == "CONFIRMED"
    with pytest.raises(Exception, match="TX_NOT_FOUND"):
        agent.get(f"/v1/transactions/{behind['id']}")
    with pytest.raises(Exception, match=r"503.*LEDGER_RESTORED"):
        agent.pay(recipient, 10**6, key="again")

    reconcile(waiaas, daemon, agent, recipient, lost=behind["txHash"])


def test_a_start_finishes_a_restore_that_was_cut_off(waiaas: Any) -> None:
    # The old files are out, the new keystore is not yet in.
    staged = waiaas.data / "restore-0198c0de-0000-7000-8000-00000000000f"
    staged.mkdir(mode=0o700)
    (waiaas.data / "keystore").rename(staged / "keystore")
    (waiaas.data / "replaced-x").mkdir(mode=0o700)
    journal = {"version": 1, "staged": staged.name, "replaced": "replaced-x"}
    (waiaas.data / "restore.json").write_text(json.dumps(journal), encoding="utf-8")
    waiaas.start(localnet=False)
    assert [path.name for path in (waiaas.data / "keystore").iterdir()] == ["keystore.json"]
    assert not (waiaas.data / "restore.json").exists()
    assert not staged.exists()
