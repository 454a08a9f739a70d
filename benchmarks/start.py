"""What a start costs: from the command to ready, by stage, and the memory of a daemon that idles.

    python benchmarks/start.py [--starts 5] [--rows 100000] [--directory DIR]

The installed program is started as a person starts it, on an empty ledger and on one in which
`--rows` payments wait: each of them is classified before the daemon is ready. A start after a clean
stop and one after `kill -9` take turns; the latter checks the file first. *besides* is without the
stage `keystore`, which derives the key from the password and is meant to take its time. *CPU* is
the processor time of the process, which others on the machine do not take.

Goals: 1 s besides the derivation, 120 MB resident on an empty ledger, 5 s with 100,000 that wait.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from waiaas.daemon import initialise
from waiaas.database import Ledger, generate_id, open_ledger
from waiaas.domain.enums import (
    AgentStatus,
    ChainType,
    NetworkType,
    PolicyTier,
    TransactionStatus,
    TransactionType,
)
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import AgentRecord, TransactionRecord
from waiaas.ports import LedgerTransaction
from waiaas.stages import Stage

PASSWORD: Final = b"correct horse battery staple"
GOAL_S: Final = 1.0
GOAL_MB: Final = 120
GOAL_FULL_S: Final = 5.0
NOW_S: Final = 1_760_000_000
LATER_S: Final = 4_000_000_000
AT_ONCE: Final = 5000
AGENT: Final = AgentId("01990000-0000-7000-8000-000000000000")
RECIPIENT: Final = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Started(NamedTuple):
    """One start."""

    ready_s: float
    cpu_s: float
    stages_ms: dict[str, int]
    resident_mb: float

    @property
    def besides_s(self) -> float:
        return self.ready_s - self.stages_ms[Stage.KEYSTORE] / 1000


def fill(ledger: Ledger, rows: int) -> None:
    """Have *rows* payments wait, without asking anybody."""
    agent = AgentRecord(
        id=AGENT,
        name="a",
        chain=ChainType.SOLANA,
        network=NetworkType.DEVNET,
        public_key=RECIPIENT,
        status=AgentStatus.TERMINATED,  # Else its key would be looked for.
        created_at=NOW_S,
        suspended_at=None,
        suspension_reason=None,
    )
    ledger.write(lambda tx: tx.agents.insert(agent))

    def some(tx: LedgerTransaction) -> None:
        for _ in range(AT_ONCE):
            tx_id = TransactionId(generate_id())
            tx.transactions.insert(
                TransactionRecord(
                    id=tx_id,
                    agent_id=AGENT,
                    session_id=None,
                    chain=ChainType.SOLANA,
                    type=TransactionType.TRANSFER,
                    amount="1",
                    to_address=RECIPIENT,
                    status=TransactionStatus.QUEUED,
                    tier=PolicyTier.DELAY,
                    created_at=NOW_S,
                    token_mint=None,
                    contract_address=None,
                    method_signature=None,
                    spender_address=None,
                    approved_amount=None,
                    parent_id=None,
                    batch_index=None,
                    tx_hash=None,
                    executed_at=None,
                    error=None,
                    queued_at=NOW_S,
                )
            )
            tx.waits.begin(tx_id, until_at=LATER_S)

    for _ in range(rows // AT_ONCE):
        ledger.write(some)


def start(directory: Path, password_file: Path, *, ends_by: signal.Signals) -> Started:
    """Start a daemon, look at it, and end it."""
    command = [sys.executable, "-m", "waiaas", "--data-dir", str(directory), "start", "--port", "0"]
    with tempfile.TemporaryFile() as log:
        begun_s = time.monotonic()
        process = subprocess.Popen(
            [*command, "--password-file", str(password_file)],
            env={"PATH": os.defpath, "WAIAAS_BACKUP_INTERVAL_HOURS": "0"},
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        ready_s = time.monotonic() - begun_s
        assert line.startswith(b"waiaas is ready"), line
        proc = Path(f"/proc/{process.pid}")
        fields = proc.joinpath("stat").read_text("ascii").rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS
        pages = int(proc.joinpath("statm").read_text("ascii").split()[1])
        process.send_signal(ends_by)
        process.wait()
        process.stdout.close()
        log.seek(0)  # Not before: where it writes is where we read.
        told = log.read()
    events = [json.loads(each) for each in told.splitlines()]
    stages = {each["stage"]: each["ms"] for each in events if each["event"] == "stage done"}
    return Started(ready_s, cpu_s, stages, pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000)


def report(name: str, starts: list[Started]) -> None:
    """Print the medians."""

    def median(values: list[float]) -> float:
        return statistics.median(values)

    print(
        f"{name:34} ready {median([each.ready_s for each in starts]):5.2f} s,"
        f" besides {median([each.besides_s for each in starts]):5.2f} s,"
        f" CPU {median([each.cpu_s for each in starts]):5.2f} s,"
        f" resident {median([each.resident_mb for each in starts]):5.1f} MB"
    )
    stages = ", ".join(
        f"{stage} {median([each.stages_ms[stage] for each in starts]):.0f}"
        for stage in starts[0].stages_ms
    )
    print(f"{'':34} ms by stage: {stages}")


def measure(name: str, directory: Path, password_file: Path, *, starts: int) -> list[Started]:
    """Start again and again, ended in turns by a signal and by a kill; return the clean ones."""
    start(directory, password_file, ends_by=signal.SIGTERM)  # Files are in memory from here on.
    clean, crashed = list[Started](), list[Started]()
    for _ in range(starts):
        clean.append(start(directory, password_file, ends_by=signal.SIGKILL))
        crashed.append(start(directory, password_file, ends_by=signal.SIGTERM))
    report(f"{name}, after a stop", clean)
    report(f"{name}, after kill -9", crashed)
    return clean


def main() -> None:
    """Print figures, and whether each goal was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.directory) as folder:
        password_file = Path(folder) / "password"
        password_file.touch(mode=0o600)
        password_file.write_bytes(PASSWORD)
        directory = Path(folder) / "data"
        initialise(directory, PASSWORD)
        empty = measure("empty ledger", directory, password_file, starts=chosen.starts)
        with open_ledger(directory) as ledger:
            fill(ledger, chosen.rows)
        full = measure(f"{chosen.rows} that wait", directory, password_file, starts=chosen.starts)
    besides_s = statistics.median(each.besides_s for each in empty)
    resident_mb = statistics.median(each.resident_mb for each in empty)
    full_s = statistics.median(each.ready_s for each in full)
    for what, found, goal in (
        ("ready besides the derivation, s", besides_s, GOAL_S),
        ("resident on an empty ledger, MB", resident_mb, GOAL_MB),
        (f"ready with {chosen.rows} that wait, s", full_s, GOAL_FULL_S),
    ):
        print(f"{what}: {found:.2f}, the goal is {goal}: {found / goal:.2f} of it")


if __name__ == "__main__":
    main()
