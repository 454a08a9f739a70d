"""Figures: what they count is what was written down, and nothing in them names anybody."""

import asyncio
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from waiaas.database import Ledger, LedgerDamaged, open_ledger
from waiaas.domain.assets import Network
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction, ChainType, NetworkType, TransactionStatus
from waiaas.domain.readiness import Unready
from waiaas.domain.workers import WorkerCondition, WorkerName, WorkerState
from waiaas.figures import Figures

NOW_S = 1_700_000_000
PAGE = Path(__file__).resolve().parents[2] / "docs" / "daemon.md"
WORKER = WorkerCondition(WorkerName.CLOCK, WorkerState.FAILING, NOW_S, None, 3, NOW_S, "/a/path")
ANSWERS: dict[Network, bool | None] = {
    Network(ChainType.SOLANA, NetworkType.MAINNET): True,
    Network(ChainType.SOLANA, NetworkType.DEVNET): False,
    Network(ChainType.SOLANA, NetworkType.TESTNET): None,
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "data") as opened:
        yield opened


def figures_of(ledger: Ledger) -> Figures:
    return Figures(
        ledger,
        directory=Path(ledger.path).parent,
        reachable={name: partial(ANSWERS.get, name) for name in ANSWERS},
        workers=lambda: [WORKER],
        count_unreadable=lambda: 2,
        version="1.2.3",
    )


@pytest.fixture
def figures(ledger: Ledger) -> Figures:
    return figures_of(ledger)


def read(figures: Figures, *reasons: Unready) -> dict[str, dict[str, float]]:
    """Return every figure by its labels, as a parser that is not ours reads them."""
    return {
        sample.name: values
        for family in text_string_to_metric_families(figures.render(reasons))
        for sample in family.samples
        if (values := found(family, sample.name))
    }


def found(family: Any, name: str) -> dict[str, float]:
    return {
        ",".join(each.labels.values()): each.value for each in family.samples if each.name == name
    }


def happen(ledger: Ledger, *actions: AuditAction) -> None:
    def unit(tx: Any) -> None:
        for action in actions:
            tx.audit.append(AuditEvent(action, SYSTEM), now_s=NOW_S)

    ledger.write(unit)


def test_every_figure_is_told_on_the_page_and_no_other(figures: Figures) -> None:
    figures.observe("GET /health", 200, 0.002)
    happen(figures._ledger, AuditAction.DAEMON_STOPPED)
    names = {
        re.sub("_(bucket|count|sum)$", "", name)
        for name in read(figures)
        if name.startswith("waiaas_")
    } | {"waiaas_decisions_total"}  # Of which there are none yet.
    section = PAGE.read_text(encoding="utf-8").partition("\n## Figures\n")[2]
    assert names == set(re.findall(r"^\| `(waiaas_\w+)`", section, re.MULTILINE))


def test_events_are_counted_from_the_start_on_once_each_and_only_if_they_are_durable(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waiaas.figures.BATCH", 2)
    happen(ledger, AuditAction.DAEMON_STOPPED)
    figures = figures_of(ledger)
    assert "waiaas_events_total" not in read(figures)
    happen(ledger, *[AuditAction.DAEMON_STOPPED] * 3, *[AuditAction.KEYSTORE_UNLOCKED] * 2)

    def undone(tx: Any) -> None:
        tx.audit.append(AuditEvent(AuditAction.KEYSTORE_LOCKED, SYSTEM), now_s=NOW_S)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.write(undone)
    for _ in range(2):
        counted = read(figures)["waiaas_events_total"]
        assert counted == {"DAEMON_STOPPED": 3, "KEYSTORE_UNLOCKED": 2}
    happen(ledger, AuditAction.DAEMON_STOPPED)
    assert read(figures)["waiaas_events_total"]["DAEMON_STOPPED"] == 4


def test_writes_are_counted_with_their_times_and_groups(ledger: Ledger, figures: Figures) -> None:
    happen(ledger, AuditAction.DAEMON_STOPPED)
    before = read(figures)["waiaas_ledger_group_units_count"][""]

    async def together() -> None:
        await asyncio.gather(*(ledger.write_async(lambda _: None) for _ in range(20)))

    asyncio.run(together())
    after = read(figures)
    groups = after["waiaas_ledger_group_units_count"][""] - before
    assert 1 <= groups <= 20
    assert after["waiaas_ledger_write_seconds_count"][""] == before + groups
    assert after["waiaas_ledger_group_units_sum"][""] >= 20
    assert after["waiaas_ledger_write_seconds_sum"][""] > 0
    assert after["waiaas_ledger_wal_bytes"][""] > 0
    assert after["waiaas_disk_free_bytes"][""] > 0


def test_requests_are_counted_and_the_self_check_is_not(figures: Figures) -> None:
    figures.observe("GET /health", 401, 0.002)
    figures.forget_requests()
    assert "waiaas_http_requests_total" not in read(figures)
    for status in (200, 200, 503):
        figures.observe("GET /health", status, 0.002)
    told = read(figures)
    assert told["waiaas_http_requests_total"] == {"GET /health,200": 2, "GET /health,503": 1}
    assert told["waiaas_http_request_seconds_count"] == {"GET /health": 3}


def test_workers_chains_and_reasons_are_told_by_their_names_alone(figures: Figures) -> None:
    told = read(figures, Unready.CLOCK_IN_DOUBT)
    assert told["waiaas_worker_failures_total"] == {"clock": 3}
    assert told["waiaas_worker_state"] == {"failing,clock": 1}
    assert told["waiaas_chain_reachable"] == {"solana,mainnet": 1, "solana,devnet": 0}
    assert told["waiaas_unready"] == {
        reason: reason is Unready.CLOCK_IN_DOUBT for reason in Unready
    }
    assert told["waiaas_kill_switch"] == {"": 0}
    assert set(told["waiaas_transactions_unfinished"]) == {
        TransactionStatus.PENDING,
        TransactionStatus.QUEUED,
        TransactionStatus.EXECUTING,
        TransactionStatus.SUBMITTED,
    }
    assert "/a/path" not in figures.render(())


def test_of_a_damaged_ledger_is_told_what_can_be(ledger: Ledger) -> None:
    ledger.stop_writing(["page 3"])
    with pytest.raises(LedgerDamaged):
        ledger.write(lambda _: None)
    told = read(figures_of(ledger), Unready.LEDGER_READ_ONLY)
    assert told["waiaas_unready"]["ledger_read_only"] == 1
    ledger.close()
    assert "waiaas_transactions_unfinished" not in read(figures_of_closed(ledger))


def figures_of_closed(ledger: Ledger) -> Figures:
    return figures_of(ledger)
