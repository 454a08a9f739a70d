"""The daemon's figures, as Prometheus reads them.

Labels come from our own lists alone (routes, codes, tiers, states): no agent, no address and no
transaction is one, so their number is bounded and they tell nothing of anybody. What was done is
counted from the audit log, in the order in which it was written: nothing counts that was not
written down.
"""

import platform
import shutil
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import apsw
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from waiaas.database import Ledger
from waiaas.database.errors import DatabaseError
from waiaas.database.write_figures import BOUNDS_UNITS, BOUNDS_US
from waiaas.domain.assets import Network
from waiaas.domain.audit import EventCount
from waiaas.domain.enums import AuditAction, KillSwitchState, TransactionStatus
from waiaas.domain.readiness import Unready
from waiaas.domain.transaction import is_terminal
from waiaas.domain.workers import WorkerCondition
from waiaas.ports import LedgerTransaction

BATCH: Final = 10_000
"""So many rows of the audit log are counted in one look at the ledger."""

_WAL_PAGE_BYTES: Final = 4096
_DENIED: Final = "DENIED"
_REQUEST_S: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class Figures(Collector):
    """Everything that is counted or measured, since the start."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        directory: Path,
        reachable: Mapping[Network, Callable[[], bool | None]],
        workers: Callable[[], Sequence[WorkerCondition]],
        count_unreadable: Callable[[], int],
        version: str,
    ) -> None:
        """Begin to count.

        Args:
            ledger: what is written in it from now on is counted.
            directory: of whose disk the free space is told.
            reachable: of each network, whether its node gave its last answer; None before one.
            workers: tells how it stands with each.
            count_unreadable: tells how many transactions the worker had to set aside.
            version: of this waiaas.
        """
        self._ledger = ledger
        self._directory = directory
        self._reachable = reachable
        self._workers = workers
        self._count_unreadable = count_unreadable
        self._version = version
        self._one_at_a_time = threading.Lock()
        self._audit_id = ledger.read(lambda tx: tx.audit.last_id()) if not ledger.damage else 0
        self._events: Tally[str] = Tally()
        self._decisions: Tally[str] = Tally()
        self._reasons: Sequence[Unready] = ()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # -- as they ship it; of no use to anybody
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "waiaas_http_requests",
            "Answered requests by route and status.",
            ["route", "status"],
            registry=registry,
        )
        self._request_s = Histogram(
            "waiaas_http_request_seconds",
            "Time to answer, by route.",
            ["route"],
            registry=registry,
            buckets=_REQUEST_S,
        )
        ProcessCollector(registry=registry)
        registry.register(self)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(route, f"{status}").inc()
        self._request_s.labels(route).observe(seconds)

    def forget_requests(self) -> None:
        """Begin anew with what `observe` counts: the self-check was nobody's request."""
        self._requests.clear()
        self._request_s.clear()

    def render(self, reasons: Sequence[Unready]) -> str:
        """Return everything in the text format, *reasons* being why the daemon is not ready."""
        with self._one_at_a_time:
            self._reasons = reasons
            return generate_latest(self._registry).decode()

    def collect(self) -> Iterator[Metric]:
        """Yield what is looked up only when somebody asks."""
        versions = {
            "version": self._version,
            "python": platform.python_version(),
            "sqlite": apsw.sqlite_lib_version(),
        }
        yield InfoMetricFamily("waiaas_build", "What runs.", value=versions)
        unready = GaugeMetricFamily(
            "waiaas_unready", "1 for each reason why nobody is paid.", labels=["reason"]
        )
        for reason in Unready:
            unready.add_metric([reason], reason in self._reasons)
        yield unready
        yield from self._of_workers()
        yield from self._of_writing()
        yield from self._of_chains()
        try:
            yield from self._of_ledger()
        except DatabaseError:  # What cannot be read is not told; `waiaas_unready` says why.
            return

    def _of_workers(self) -> Iterator[Metric]:
        failures = CounterMetricFamily(
            "waiaas_worker_failures", "Turns of workers that failed.", labels=["worker"]
        )
        state = GaugeMetricFamily(
            "waiaas_worker_state",
            "1 for the state that a worker is in.",
            labels=["worker", "state"],
        )
        for each in self._workers():
            failures.add_metric([each.name], each.failures)
            state.add_metric([each.name, each.state], 1)
        yield failures
        yield state
        yield GaugeMetricFamily(
            "waiaas_transactions_unreadable",
            "Transactions that are set aside, because their rows cannot be read.",
            value=self._count_unreadable(),
        )

    def _of_writing(self) -> Iterator[Metric]:
        figures = self._ledger.write_figures
        bounds = [f"{bound / 1_000_000:g}" for bound in BOUNDS_US]
        yield HistogramMetricFamily(
            "waiaas_ledger_write_seconds",
            "Time of a group of writes, from its first to its commit.",
            buckets=list(zip([*bounds, "+Inf"], figures.times(), strict=True)),
            sum_value=figures.total_ns / 1_000_000_000,
        )
        sizes = [f"{bound}" for bound in BOUNDS_UNITS]
        yield HistogramMetricFamily(
            "waiaas_ledger_group_units",
            "Writes that were committed together.",
            buckets=list(zip([*sizes, "+Inf"], figures.sizes(), strict=True)),
            sum_value=figures.units,
        )
        yield GaugeMetricFamily(
            "waiaas_ledger_wal_bytes",
            "Length of the write-ahead log.",
            value=self._ledger.condition().wal_pages * _WAL_PAGE_BYTES,
        )
        yield GaugeMetricFamily(
            "waiaas_disk_free_bytes",
            "Free space on the disk of the data directory.",
            value=shutil.disk_usage(self._directory).free,
        )

    def _of_chains(self) -> Iterator[Metric]:
        reachable = GaugeMetricFamily(
            "waiaas_chain_reachable",
            "Whether the node gave its last answer.",
            labels=["chain", "network"],
        )
        for network, is_reachable in self._reachable.items():
            if (answered := is_reachable()) is not None:
                reachable.add_metric([*network], answered)
        yield reachable

    def _of_ledger(self) -> Iterator[Metric]:
        self._count_events()
        events = CounterMetricFamily(
            "waiaas_events", "What was written to the audit log.", labels=["event"]
        )
        for event, count in sorted(self._events.items()):
            events.add_metric([event], count)
        yield events
        decisions = CounterMetricFamily(
            "waiaas_decisions", "Requests that were decided, by tier.", labels=["tier"]
        )
        for tier, count in sorted(self._decisions.items()):
            decisions.add_metric([tier], count)
        yield decisions
        unfinished, switch = self._ledger.read(_look)
        transactions = GaugeMetricFamily(
            "waiaas_transactions_unfinished", "Transactions by status.", labels=["status"]
        )
        for status, count in unfinished.items():
            transactions.add_metric([status], count)
        yield transactions
        yield GaugeMetricFamily(
            "waiaas_kill_switch",
            "1 unless the kill switch is off.",
            value=switch is not KillSwitchState.NORMAL,
        )

    def _count_events(self) -> None:
        """Count what was written since the last time."""
        last_id = self._ledger.read(lambda tx: tx.audit.last_id())
        while self._audit_id < last_id:
            most = min(BATCH, last_id - self._audit_id)
            for each in self._ledger.read(partial(_count_after, self._audit_id, most=most)):
                self._events[each.event] += each.rows
                if each.event == AuditAction.TX_REQUESTED:
                    self._decisions[each.tier or _DENIED] += each.rows
            self._audit_id += most


def _count_after(audit_id: int, tx: LedgerTransaction, *, most: int) -> list[EventCount]:
    return tx.audit.count_after(audit_id, most=most)


def _look(tx: LedgerTransaction) -> tuple[dict[TransactionStatus, int], KillSwitchState]:
    unfinished = {
        status: tx.transactions.count_with_status(status)
        for status in TransactionStatus
        if not is_terminal(status)
    }
    return unfinished, tx.kill_switch.current().state
