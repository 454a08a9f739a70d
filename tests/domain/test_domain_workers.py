"""Workers: their names and states are labels of figures and values in answers."""

from waiaas.domain.workers import WorkerName, WorkerState


def test_names_and_states_never_change_once_they_were_told() -> None:
    assert [*WorkerName] == ["payments", "ledger-check", "backup", "clock", "chain-time"]
    assert [*WorkerState] == ["running", "waiting", "failing", "ended"]
