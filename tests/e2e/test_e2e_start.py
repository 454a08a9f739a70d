"""A start with very much that waits is ready within its budget, and has found all of it."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from waiaas.database import create_database
from waiaas.database.ledger import LEDGER_NAME

pytestmark = pytest.mark.e2e

BUDGET_S: Final = 5
"""Of the processor: what else runs on the machine takes nothing from it."""

AGENT: Final = (
    "INSERT INTO agents (id, name, chain, network, public_key, status, created_at, updated_at)"
    " VALUES ('01990000-0000-7000-8000-000000000000', 'a', 'solana', 'devnet', 'key', 'TERMINATED',"
    " 1760000000, 1760000000)"
)
"""It has ended, or its key would be looked for."""
PAYMENTS: Final = (
    "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?)"
    " INSERT INTO transactions (id, agent_id, chain, type, amount, to_address, status, tier,"
    " queued_at, created_at) SELECT printf('01990000-0000-7000-8000-%012x', n),"
    " '01990000-0000-7000-8000-000000000000', 'solana', 'TRANSFER', '1', 'recipient', 'QUEUED',"
    " 'DELAY', 1760000000, 1760000000 FROM counted"
)
WAITS: Final = "INSERT INTO waits (tx_id, until_at) SELECT id, 4000000000 FROM transactions"


def fill(data: Path, payments: int) -> None:
    """Have so many payments wait, without asking anybody."""
    with create_database(data / LEDGER_NAME) as connection, connection.db.transaction():
        connection.sqlite.execute(AGENT)
        connection.sqlite.execute(PAYMENTS, (payments,))
        connection.sqlite.execute(WAITS)


def bound(process: "subprocess.Popen[Any]", *, seconds: int) -> None:
    """Let the kernel end a process that has used so much of the processor."""
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (seconds, seconds))


@pytest.mark.slow
@pytest.mark.proof
def test_a_start_with_100_000_that_wait_is_ready_within_5_seconds(waiaas: Any, proof: Any) -> None:
    wanted = proof.wanted(100_000)
    fill(waiaas.data, wanted)
    for _ in proof.until(wanted, unit="waiting payments, found by a start", budget_s=30):
        with (waiaas.folder / "daemon.log").open("ab") as stderr:
            starting = waiaas.spawn(
                *("start", "--port", "0", "--password-file", str(waiaas.password_file)),
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        bound(starting, seconds=BUDGET_S)
        daemon = waiaas.daemon_of(starting)
        told = map(json.loads, daemon.log.read_text(encoding="utf-8").splitlines())
        [found] = [line for line in told if line["event"] == "unfinished at start"]
        proof.count(found["waiting"])
        assert found["waiting"] == wanted
        assert daemon.operator().get("/v1/admin/status")["waitingTransactionCount"] == wanted


def test_control_who_uses_more_of_the_processor_than_is_allowed_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinning:
        bound(spinning, seconds=1)
        assert spinning.wait(timeout=50) in {-signal.SIGXCPU, -signal.SIGKILL}
