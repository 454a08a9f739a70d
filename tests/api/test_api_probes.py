"""Alive and ready are two questions: what makes the daemon unready must not get it killed."""

from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.events import BACKUP

from waiaas.domain.workers import WorkerCondition, WorkerName, WorkerState
from waiaas.pipeline.restored import mark_restored

if TYPE_CHECKING:
    from tests.api.conftest import Desk

NOW_S = 1_700_000_000


def payments(state: WorkerState) -> list[WorkerCondition]:
    return [WorkerCondition(WorkerName.PAYMENTS, state, NOW_S, None, 0, None, None)]


def damage(desk: Any) -> None:
    desk.ledger.stop_writing(["/secret/place: page 7 is torn"])


def restore(desk: Any) -> None:
    desk.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))


def set_clock(desk: Any) -> None:
    desk.clock.doubt = object


def fail_worker(desk: Any) -> None:
    desk.rebuild(worker_conditions=lambda: payments(WorkerState.FAILING))


STATES = {
    "ready": ((), ""),
    "damaged": ((damage,), "ledger_read_only"),
    "restored": ((restore,), "ledger_restored"),
    "clock": ((set_clock,), "clock_in_doubt"),
    "failing": ((fail_worker,), "payments_failing"),
    "all": (
        (restore, damage, set_clock, fail_worker),
        "ledger_read_only, clock_in_doubt, payments_failing",
    ),
}


@pytest.mark.parametrize(("changes", "reasons"), STATES.values(), ids=STATES)
def test_in_every_state_it_is_alive_and_says_whether_it_is_ready_and_no_more(
    desk: "Desk", changes: tuple[Any, ...], reasons: str
) -> None:
    desk.rebuild(worker_conditions=lambda: payments(WorkerState.RUNNING))
    for change in changes:
        change(desk)
    live, ready = desk.ask("GET", "/livez"), desk.ask("GET", "/readyz")
    assert (live.status, live.json) == (200, {"status": "live"})
    if not reasons:
        assert (ready.status, ready.json) == (200, {"status": "ready"})
        return
    assert (ready.status, ready.code, ready.json["message"]) == (503, "NOT_READY", reasons)
    assert "secret" not in ready.content.decode()


def test_whether_it_is_alive_does_not_depend_on_the_ledger(desk: "Desk") -> None:
    desk.ledger.close()
    assert desk.ask("GET", "/livez").status == 200
    # The control: what looks into the ledger does.
    assert desk.ask("GET", "/readyz").status == 503
