"""The shipped program on a damaged ledger: it starts, says so, shows what it can, pays nobody."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.forked]

PAGE_BYTES = 4096


def logged(program: Any, event: str) -> list[dict[str, Any]]:
    lines = (program.folder / "daemon.log").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in entries if entry["event"] == event]


def tear(path: Path, marker: bytes) -> None:
    """Zero the page that holds *marker*: a page of rows, in the middle of the file."""
    content = bytearray(path.read_bytes())
    begin = content.rindex(marker) // PAGE_BYTES * PAGE_BYTES
    content[begin : begin + PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)


def test_a_damaged_ledger_is_shown_and_not_written_to(waiaas: Any, recipient: str) -> None:
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    payment = agent.ended(agent.pay(recipient, 10**6, key="k")["id"])
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.ended() == 0
    ledger = waiaas.data / "ledger.db"
    tear(ledger, b"OPERATOR_LOGGED_IN")  # Rows of the audit log, which no answer needs.
    damaged = ledger.read_bytes()

    restarted = waiaas.start(localnet=False)

    again = type(agent)(restarted.url, agent.token)
    assert again.get("/health")["status"] == "read_only"
    status = waiaas.json("status")
    assert status["status"] == "read_only"
    assert "the ledger is damaged" in status["ledgerProblem"]
    assert "waiaas backup restore" in status["ledgerProblem"]
    assert again.get(f"/v1/transactions/{payment['id']}")["status"] == "CONFIRMED"
    with pytest.raises(Exception, match=r"503 .*LEDGER_DAMAGED"):
        again.pay(recipient, 10**6, key="another")
    assert logged(waiaas, "ledger")[-1]["level"] == "critical"
    restarted.process.send_signal(signal.SIGTERM)
    assert restarted.ended() == 0
    assert ledger.read_bytes() == damaged


def test_how_the_last_daemon_stopped_is_known_and_the_ledger_is_checked(waiaas: Any) -> None:
    waiaas.start(localnet=False).kill()
    daemon = waiaas.start(localnet=False)
    opened = logged(waiaas, "ledger opened")
    assert [entry["last_stop"] for entry in opened] == ["clean", "not clean"]
    assert all(entry["checked"] for entry in opened)
    assert not (waiaas.data / "clean-stop").exists()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert (waiaas.data / "clean-stop").exists()
