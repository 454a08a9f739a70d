"""The page of the daemon tells every stage with its deadline, and every worker."""

from pathlib import Path

from waiaas.domain.readiness import Unready
from waiaas.domain.workers import WorkerName
from waiaas.stages import LEDGER_BYTES_PER_S, STAGES, Stage

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "daemon.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_stage_is_told_in_its_order_with_its_deadline() -> None:
    told = [(name.strip("`"), does, seconds) for name, does, seconds in rows("Starting")]
    assert [name for name, _, _ in told] == list(STAGES)
    for name, does, seconds in told:
        plan = STAGES[Stage(name)]
        assert does.startswith(plan.does)
        more = f", and one more for each {LEDGER_BYTES_PER_S // 10**6} MB"
        assert seconds == f"{plan.deadline_s}{more if name == 'ledger' else ''}"


def test_every_worker_is_told() -> None:
    assert [name.strip("`") for name, _ in rows("Working")] == list(WorkerName)


def test_every_reason_for_not_being_ready_is_told() -> None:
    assert all(f"\n- `{reason}`: " in PAGE for reason in Unready)
