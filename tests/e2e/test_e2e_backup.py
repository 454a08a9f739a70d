"""Backups with the program as shipped: made while it runs, restored when it does not."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def test_a_running_daemon_is_backed_up_and_a_restored_one_pays_nothing(
    waiaas: Any, recipient: str
) -> None:
    password = waiaas.folder / "backup-password"
    password.touch(mode=0o600)
    password.write_text("a password for one backup\n", encoding="utf-8")
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

    restored = waiaas.json("backup", "restore", made["name"], "--password-file", str(password))
    assert (Path(restored["replacedFiles"]) / "ledger.db").exists()

    daemon = waiaas.start()
    agent.url = daemon.url
    assert daemon.operator().get("/v1/admin/status")["restoredAt"] is not None
    assert agent.get(f"/v1/transactions/{before['id']}")["status"] == "CONFIRMED"
    with pytest.raises(Exception, match="TX_NOT_FOUND"):
        agent.get(f"/v1/transactions/{behind['id']}")
    with pytest.raises(Exception, match=r"503.*LEDGER_RESTORED"):
        agent.pay(recipient, 10**6, key="again")


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
