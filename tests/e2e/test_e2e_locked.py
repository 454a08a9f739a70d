"""A daemon that was started without its password shows everything and signs nothing."""

import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

AGENT = {"name": "a", "network": "devnet"}
NODE = {"WAIAAS_RPC_SOLANA_DEVNET": "http://127.0.0.1:9"}


def test_a_start_without_the_password_serves_reads_until_somebody_unlocks(waiaas: Any) -> None:
    with (waiaas.folder / "daemon.log").open("ab") as stderr:
        process = waiaas.spawn(
            "start", "--locked", "--port", "0", env=NODE, stdout=subprocess.PIPE, stderr=stderr
        )
    daemon = waiaas.daemon_of(process)
    assert "keystore_locked" in waiaas.run("health", code=1).stderr
    operator = daemon.operator()
    assert operator.get("/v1/agents")
    with pytest.raises(ValueError, match="KEYSTORE_LOCKED"):
        operator.ask("POST", "/v1/agents", AGENT)
    refused = waiaas.run("start", "--locked", password=True, code=2)
    assert "takes no password" in refused.stderr

    waiaas.run("unlock", password=True)

    agent = daemon.operator().ask("POST", "/v1/agents", AGENT)
    assert agent["status"] == "ACTIVE"
    assert operator.get("/v1/admin/status")["agentsWithoutKey"] == []
    (waiaas.data / "keystore" / f"{agent['id']}.json").unlink()
    assert operator.get("/v1/admin/status")["agentsWithoutKey"] == [agent["id"]]
    assert operator.get("/readyz") == {"status": "ready"}
