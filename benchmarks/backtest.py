"""What a back-test costs: recorded decisions judged again, as they were and by other rules.

    python benchmarks/backtest.py [--decisions 100000] [--directory DIR]

The decisions are made by `admit` itself, a payment every 20 seconds, and nearly all of them are
settled, so that the windows of a month are full. *replayed* judges each by what was noted with it
and compares the verdicts; *tried* judges each by rules with four windows and a RATE_LIMIT, none of
which was asked when it was made. Both read the file as `waiaas policy backtest` does.

The goal is 100,000 decisions in less than 10 seconds. The last line says what
recording costs: bytes of the file for each decision.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any, Final

from waiaas.database import Ledger, open_ledger
from waiaas.database.audit_verify import audit_snapshot
from waiaas.database.ids import generate_id
from waiaas.domain.clock import ClockDoubt
from waiaas.domain.enums import (
    AgentStatus,
    ChainType,
    NetworkType,
    PolicyType,
    TransactionStatus,
)
from waiaas.domain.ids import AgentId, PolicyId, SessionId
from waiaas.domain.records import AgentRecord, PolicyRecord, SessionRecord, TransactionRecord
from waiaas.domain.request import Transfer
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.admit import AdmissionRules, Caller, admit
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.backtest import NewRules
from waiaas.ports import LedgerTransaction
from waiaas.rehearsal import run_backtest

DECISIONS_DEFAULT: Final = 100_000
GOAL_S: Final = 10.0
NOW_S: Final = 1_760_000_000
EACH_S: Final = 20
AT_ONCE: Final = 64
"""So many are asked for at a time; they share a commit."""

RECIPIENT: Final = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
AGENT: Final = AgentId("01990000-0000-7000-8000-000000000000")
SESSION: Final = SessionId("01990000-0000-7000-9000-000000000000")
Listed = tuple[tuple[PolicyType, dict[str, Any]], ...]

OLD: Final[Listed] = (
    (PolicyType.SPENDING_LIMIT, {"asset": "native", "instant_max": "900", "delay_max": "950"}),
    (PolicyType.WHITELIST, {"addresses": [RECIPIENT]}),
)
NEW: Final[Listed] = (
    (
        PolicyType.SPENDING_LIMIT,
        {
            "asset": "native",
            "instant_max": "800",
            "per_transaction_max": "990",
            "hourly_max": "98000",
            "daily_max": "2200000",
            "weekly_max": "16000000",
            "monthly_max": "64000000",
        },
    ),
    (PolicyType.RATE_LIMIT, {"max_requests": 200, "window_seconds": 3600}),
    (PolicyType.WHITELIST, {"addresses": [RECIPIENT]}),
)


class SteppingClock:
    """A clock that goes on when it is told."""

    def __init__(self) -> None:
        self.second = NOW_S

    def now_s(self) -> int:
        """Return the second it was set to."""
        return self.second

    def monotonic_s(self) -> float:
        """Return the same, as a steady clock does."""
        return self.second

    def doubt(self) -> ClockDoubt | None:
        """Believe it."""
        return None

    async def sleep(self, seconds: float) -> None:
        """Nobody does."""
        raise NotImplementedError(seconds)


def rules(listed: Listed) -> tuple[PolicyRecord, ...]:
    """Return rules of the agent, as stored."""
    return tuple(
        PolicyRecord(PolicyId(generate_id()), AGENT, kind, json.dumps(members), 0, 1, 1, 1)
        for kind, members in listed
    )


def insert_agent(tx: LedgerTransaction) -> None:
    """Write down the agent with its session and rules."""
    end_s = NOW_S + 10**9
    tx.agents.insert(
        AgentRecord(
            AGENT,
            "agent",
            ChainType.SOLANA,
            NetworkType.LOCALNET,
            RECIPIENT,
            AgentStatus.ACTIVE,
            NOW_S,
            suspended_at=None,
            suspension_reason=None,
        )
    )
    tx.sessions.insert(
        SessionRecord(SESSION, AGENT, "hash", end_s, None, end_s, NOW_S, constraints=None)
    )
    for policy in rules(OLD):
        tx.policies.insert(policy)


def end(tx: LedgerTransaction, transaction: TransactionRecord, second: int) -> None:
    """Let a payment have moved, without a chain."""
    now_s = max(second, tx.audit.latest_timestamp())
    if transaction.status is TransactionStatus.QUEUED:
        tx.waits.end(transaction.id, now_s=now_s)
    tx.reservations.settle(transaction.id, state=ReservationState.SPENT, now_s=now_s)
    tx.transactions.compare_and_set_status(
        transaction.id, old=transaction.status, new=TransactionStatus.CONFIRMED
    )


async def fill(ledger: Ledger, *, decisions: int) -> None:
    """Make decisions, and let what was allowed at once move."""
    clock, caller, number = SteppingClock(), Caller(AGENT, SESSION, None), count()

    async def ask() -> None:
        amount = next(number) * 7919 % 1000 + 1
        admission = await admit(
            Asked(Transfer(RECIPIENT, amount), None, allow_duplicate=True),
            caller=caller,
            ledger=ledger,
            clock=clock,
            generate_id=generate_id,
            rules=AdmissionRules(waiting_max=AT_ONCE),
        )
        if admission.refusal is None:
            await ledger.write_async(lambda tx: end(tx, admission.transaction, clock.second))

    for _ in range(0, decisions, AT_ONCE):
        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        clock.second += EACH_S * AT_ONCE


def main() -> None:
    """Fill a ledger, back-test it, print."""
    parser = argparse.ArgumentParser(description="What a back-test costs.")
    parser.add_argument("--decisions", type=int, default=DECISIONS_DEFAULT)
    parser.add_argument("--directory", type=Path, default=Path(__file__).resolve().parents[1])
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="waiaas-bench-", dir=options.directory) as name:
        folder = Path(name) / "data"
        with open_ledger(folder) as ledger:
            ledger.write(insert_agent)
            asyncio.run(fill(ledger, decisions=options.decisions))
            path = Path(ledger.path)
            for what, new in (("replayed", None), ("tried", NewRules(rules(NEW), AGENT))):
                start = time.perf_counter()
                with audit_snapshot(path) as connection:
                    report = run_backtest(connection, new=new, since_s=0, agent_id=None)
                seconds = time.perf_counter() - start
                print(
                    f"{what:>10}{report.decisions:>10,} decisions{seconds:>8.2f} s"
                    f"{report.decisions / seconds:>10,.0f}/s   goal < {GOAL_S:.0f} s for 100,000"
                    f"   different {len(report.different)}, unknown {len(report.unknown)},"
                    f" newly denied {len(report.newly_denied)},"
                    f" newly allowed {len(report.newly_allowed)}"
                )
        with audit_snapshot(path) as connection:
            size_bytes = sum(
                size
                for name, size in connection.sqlite.execute(
                    "SELECT name, sum(pgsize) FROM dbstat GROUP BY name"
                )
                if "decisions" in name or "terms" in name
            )
        print(f"\n{size_bytes / options.decisions:.0f} bytes of the file for each decision's facts")


if __name__ == "__main__":
    main()
