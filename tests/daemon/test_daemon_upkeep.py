"""Upkeep: what the daemon records and logs of its ledger, and when it checks it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.fakes.chain import FakeChain, Manners

from waiaas.database import Ledger, LedgerDamaged, LedgerFull, audit_log, generate_id, open_ledger
from waiaas.database.connection import open_reader
from waiaas.database.errors import DatabaseError
from waiaas.database.key_value import KeyValues
from waiaas.database.notices import Notice
from waiaas.domain.assets import Network
from waiaas.domain.clock import ClockDoubt
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.logs import log_to_stderr
from waiaas.pipeline.clock_guard import ClockGuard, note, refuse_in_doubt
from waiaas.ports import Chain, Clock, LedgerTransaction
from waiaas.supervision import Supervisor, Work
from waiaas.upkeep import (
    CHECK_INTERVAL_S,
    CHECK_RETRY_S,
    CLOCK_INTERVAL_S,
    ChainAsking,
    LedgerChecks,
    agents_without_key,
    clock_watch,
    hear_chains,
    notices,
    report_keys,
    report_opening,
    report_silent,
    seconds_to_next_check,
    start_clock,
    start_in_ledger,
    stop_in_ledger,
)

NOW_S = 1_700_000_000
PAGE_BYTES = 4096


class DayClock:
    """A clock whose time passes only when somebody waits; it stops whoever waits too often."""

    def __init__(self, *, waits_max: int = 3) -> None:
        self.wall_s = NOW_S
        self.waits: list[float] = []
        self._waits_max = waits_max

    def now_s(self) -> int:
        return self.wall_s

    def monotonic_s(self) -> float:
        return float(self.wall_s)

    async def sleep(self, seconds: float) -> None:
        if len(self.waits) == self._waits_max:
            raise asyncio.CancelledError
        self.waits.append(seconds)
        self.wall_s += int(seconds)


class SetClock:
    """A clock that somebody sets each time somebody waits; it stops whoever waits too often."""

    def __init__(self, *, jumps_s: list[int]) -> None:
        self.passed_s = 0
        self.ahead_s = 0
        self._jumps_s = iter(jumps_s)

    def now_s(self) -> int:
        return NOW_S + self.passed_s + self.ahead_s

    def monotonic_s(self) -> float:
        return float(self.passed_s)

    async def sleep(self, seconds: float) -> None:
        jump_s = next(self._jumps_s, None)
        if jump_s is None:
            raise asyncio.CancelledError
        self.passed_s += int(seconds)
        self.ahead_s += jump_s


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def clock() -> DayClock:
    return DayClock()


@pytest.fixture
def ledger(directory: Path, clock: DayClock) -> Iterator[Ledger]:
    with open_ledger(directory, notices=notices(clock)) as opened:
        yield opened


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    log_to_stderr()
    return lambda: [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def audit(ledger: Ledger) -> list[tuple[str, str, int]]:
    with open_reader(ledger.path) as connection:
        rows = connection.db.execute(select(audit_log))
    return [(row.event_type, row.severity, row.timestamp) for row in rows]


def supervised(work: Work, ledger: Ledger, clock: Clock) -> Supervisor:
    return Supervisor(
        [work],
        clock=clock,
        is_damaged=lambda: ledger.damage is not None,
        random_share=lambda: 0.0,
    )


def run(work: Work, ledger: Ledger, clock: Clock) -> None:
    """Let a worker run until the clock has had enough, or there is no more to do."""
    with suppress(asyncio.CancelledError):
        asyncio.run(supervised(work, ledger, clock).run())


def check(ledger: Ledger, clock: DayClock) -> None:
    run(LedgerChecks(ledger, clock).work(), ledger, clock)


# ── records ────────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_and_its_end_are_audit_rows(ledger: Ledger, clock: DayClock) -> None:
    asked = notices(clock)
    ledger.write(asked.full)
    clock.wall_s -= 100  # Ledger time does not go back.
    ledger.write(asked.resumed)
    assert audit(ledger) == [
        ("LEDGER_FULL", "critical", NOW_S),
        ("LEDGER_RESUMED", "info", NOW_S),
    ]


@pytest.mark.parametrize("notice", Notice)
def test_every_notice_is_logged(
    clock: DayClock, logged: Callable[[], list[dict[str, Any]]], notice: Notice
) -> None:
    notices(clock).report(notice, "a sentence")
    [line] = logged()
    assert (line["notice"], line["reason"]) == (notice, "a sentence")
    mild = {"RESUMED": "info", "WAL_BOUNDED": "info", "WAL_LARGE": "warning"}
    assert line["level"] == mild.get(notice, "critical")


def test_a_start_on_a_ledger_that_takes_no_writes_still_knows_who_we_are(
    ledger: Ledger, clock: DayClock, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    daemon_id = start_in_ledger(ledger, clock, version="1")
    ledger.stop_writing(["page 3"])
    assert start_in_ledger(ledger, clock, version="1") == daemon_id
    stop_in_ledger(ledger, clock)
    report_opening(ledger)
    events = [line["event"] for line in logged()]
    assert events[1:3] == ["the start could not be recorded", "the stop could not be recorded"]
    assert events[3:] == ["ledger opened", "ledger"]
    assert [row[0] for row in audit(ledger)] == ["DAEMON_STARTED", "KEYSTORE_UNLOCKED"]


def test_a_start_without_a_password_unlocks_nothing_and_says_so(
    ledger: Ledger, clock: DayClock
) -> None:
    start_in_ledger(ledger, clock, version="1", is_locked=True)
    assert [row[0] for row in audit(ledger)] == ["DAEMON_STARTED"]


def test_a_first_start_on_a_ledger_that_takes_no_writes_is_refused(
    ledger: Ledger, clock: DayClock
) -> None:
    ledger.stop_writing(["page 3"])
    with pytest.raises(LedgerDamaged):
        start_in_ledger(ledger, clock, version="1")


def test_a_clock_that_jumps_and_comes_back_is_written_down_and_logged_once_each(
    ledger: Ledger, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    machine = SetClock(jumps_s=[0, 90_000, 0, -90_000, 0])
    guard = ClockGuard(machine, boot_id="boot")
    start_clock(ledger, guard)
    run(clock_watch(ledger, guard), ledger, machine)
    events = [("CLOCK_JUMPED", "critical"), ("CLOCK_RETURNED", "warning")]
    assert [row[:2] for row in audit(ledger)] == events
    assert max(row[2] for row in audit(ledger)) < NOW_S + 90_000
    levels = [line["level"] for line in logged()]
    assert levels == ["critical", "info"]


def test_a_ledger_that_takes_no_writes_still_has_a_clock(
    ledger: Ledger, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    machine = SetClock(jumps_s=[])
    guard = ClockGuard(machine, boot_id="boot")
    ledger.stop_writing(["page 3"])
    start_clock(ledger, guard)
    machine.ahead_s = 90_000
    assert guard.doubt() is not None
    assert "the clock could not be recorded" in {line["event"] for line in logged()}


def test_a_doubt_that_cannot_be_written_down_is_told_and_tried_again(
    ledger: Ledger, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    machine = SetClock(jumps_s=[0, 0])
    guard = ClockGuard(machine, boot_id="boot")
    start_clock(ledger, guard)

    class Full:
        async def write_async(self, _unit: object) -> None:
            raise LedgerFull

    full: Any = Full()
    run(clock_watch(full, guard), ledger, machine)
    lines = logged()
    assert [line["failures"] for line in lines] == [1, 2, 3]
    assert all("the state of the clock could not be" in line["reason"] for line in lines)


class Late:
    """A ledger that somebody else comes to first, who is refused: the clock was set by then."""

    def __init__(self, ledger: Ledger, guard: ClockGuard, machine: SetClock) -> None:
        self.ledger, self.guard, self.machine = ledger, guard, machine

    async def write_async(self, unit: Callable[[LedgerTransaction], Any]) -> Any:
        self.machine.ahead_s = 90_000
        doubt = self.guard.doubt()
        assert doubt is not None
        self.ledger.write(lambda tx: refuse_in_doubt(tx, doubt, now_s=NOW_S))
        return self.ledger.write(unit)


def test_a_doubt_that_begins_while_somebody_looks_is_written_down_once(ledger: Ledger) -> None:
    machine = SetClock(jumps_s=[0, 0])
    guard = ClockGuard(machine, boot_id="boot")
    start_clock(ledger, guard)
    late: Any = Late(ledger, guard, machine)
    run(clock_watch(late, guard), ledger, machine)
    assert [row[0] for row in audit(ledger)] == ["CLOCK_JUMPED"]


def test_the_control_an_older_judgement_ends_a_doubt_that_has_begun_since(ledger: Ledger) -> None:
    doubt = ClockDoubt(NOW_S, NOW_S + 90_000)
    for judged in (doubt, None, doubt):  # The second was made before the first, and comes later.
        ledger.write(partial(note, doubt=judged, now_s=NOW_S))
    assert [row[0] for row in audit(ledger)].count("CLOCK_JUMPED") == 2


def started(ledger: Ledger) -> ClockGuard:
    guard = ClockGuard(SetClock(jumps_s=[0, 0]), boot_id="boot")
    start_clock(ledger, guard)
    return guard


def keeping(*times_s: int | None) -> list[Chain]:
    """Return chains, of which some keep time."""
    chains = [FakeChain() for _ in times_s]
    for chain, time_s in zip(chains, times_s, strict=True):
        chain.time_s = time_s
    return list(chains)


@pytest.mark.parametrize(
    ("times_s", "expected_s"),
    [
        ([NOW_S], None),
        ([NOW_S - 90_000], NOW_S - 90_000),
        ([NOW_S, NOW_S + 90_000], NOW_S + 90_000),
    ],
)
def test_each_chain_is_heard_once_in_a_boot_and_any_may_begin_a_doubt(
    ledger: Ledger, times_s: list[int | None], expected_s: int | None
) -> None:
    guard = started(ledger)
    assert asyncio.run(hear_chains(guard, keeping(*times_s))) == []
    doubt = guard.doubt()
    assert (None if doubt is None else doubt.expected_s) == expected_s
    asyncio.run(hear_chains(guard, keeping(0)))
    assert guard.doubt() == doubt, "once in a boot"


async def never(_call: str) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("how", ["silent", "away", "slow"])
def test_a_node_that_does_not_answer_changes_nothing_and_is_asked_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("waiaas.upkeep.CHAIN_ANSWER_S", 0.01)
    guard = started(ledger)
    quick, late = FakeChain(), FakeChain()
    quick.time_s, late.time_s = NOW_S, NOW_S - 90_000
    if how == "slow":
        late.pause = never
    else:
        late.manners = lambda _call: Manners(reaches=how == "silent", answers=False)
    assert asyncio.run(hear_chains(guard, [quick, late])) == [late]
    assert (guard.doubt(), guard.wants_chains) == (None, True)
    late.pause, late.manners = FakeChain().pause, lambda _call: Manners()
    run(ChainAsking(guard, [late]).work(), ledger, DayClock())
    assert (guard.doubt() is None, guard.wants_chains) == (False, False)


def test_whose_node_a_start_waited_for_in_vain_is_one_line(
    logged: Callable[[], list[dict[str, Any]]],
) -> None:
    quick, late = FakeChain(), FakeChain()
    nodes = {
        Network(ChainType.SOLANA, NetworkType.DEVNET): quick,
        Network(ChainType.SOLANA, NetworkType.MAINNET): late,
    }
    report_silent(nodes, [])
    report_silent(nodes, [late])
    [line] = logged()
    assert (line["level"], line["nodes"], line["waited_s"]) == ("warning", ["solana:mainnet"], 3)


def test_where_no_chain_keeps_time_none_is_asked_for_ever(ledger: Ledger) -> None:
    clock = DayClock()
    run(ChainAsking(started(ledger), []).work(), ledger, clock)
    assert clock.waits == [CLOCK_INTERVAL_S]


def test_what_a_chain_says_is_heard_by_a_ledger_that_takes_no_writes(
    ledger: Ledger, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    guard = started(ledger)
    ledger.stop_writing(["page 3"])
    asyncio.run(hear_chains(guard, keeping(NOW_S - 90_000)))
    assert guard.doubt() is not None
    assert "the chain's time could not be recorded" in {line["event"] for line in logged()}


# ── checks ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("last_s", "now_s", "wait_s"),
    [
        (0, NOW_S, 0),
        (NOW_S, NOW_S, CHECK_INTERVAL_S),
        (NOW_S, NOW_S + 100, CHECK_INTERVAL_S - 100),
        (NOW_S, NOW_S + CHECK_INTERVAL_S, 0),
        (NOW_S + 1, NOW_S, 0),
        (NOW_S + 10**9, NOW_S, 0),
    ],
)
def test_the_next_check_is_a_day_after_the_last_however_wrong_a_clock_was(
    last_s: int, now_s: int, wait_s: int
) -> None:
    assert seconds_to_next_check(last_s=last_s, now_s=now_s) == wait_s


@pytest.mark.parametrize("what", ["check", "record"])
def test_a_check_that_is_not_made_or_not_recorded_is_tried_again_in_an_hour(
    ledger: Ledger, clock: DayClock, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise DatabaseError("there is no space")

    with monkeypatch.context() as patch:
        if what == "check":
            patch.setattr("waiaas.upkeep.check_integrity", fail)
        else:
            patch.setattr(KeyValues, "put", fail)
        check(ledger, clock)
    assert clock.waits == [CHECK_RETRY_S] * 3
    assert ledger.read(lambda tx: tx.key_values.get("ledger.checked_at")) is None


def test_the_ledger_is_checked_fully_once_a_day_also_across_restarts(
    ledger: Ledger, clock: DayClock, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    check(ledger, clock)
    assert clock.waits == [CHECK_INTERVAL_S] * 3
    assert [(line["kind"], line["findings"]) for line in logged()] == [("full", 0)] * 4
    later = DayClock(waits_max=1)
    later.wall_s = clock.wall_s + 100
    check(ledger, later)
    assert later.waits == [CHECK_INTERVAL_S - 100]


def test_a_large_ledger_is_checked_quickly_after_the_start_and_damage_ends_the_writing(
    directory: Path,
    clock: DayClock,
    logged: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_ledger(directory) as ledger:

        def fill(tx: Any) -> None:
            for number in range(300):
                tx.key_values.put(f"key {number:04}", "x" * 500, now_s=1)

        ledger.write(fill)
    path = directory / "ledger.db"
    content = bytearray(path.read_bytes())
    begin = content.rindex(b"x" * 100) // PAGE_BYTES * PAGE_BYTES
    content[begin : begin + PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)
    monkeypatch.setattr("waiaas.database.integrity.FIRST_CHECK_BYTES_MAX", 1)

    with open_ledger(directory, notices=notices(clock)) as ledger:
        assert (ledger.was_checked, ledger.damage) == (False, None)
        check(ledger, clock)
        with pytest.raises(LedgerDamaged):
            ledger.write(lambda tx: tx.key_values.put("a", "", now_s=1))
    lines = logged()
    assert lines[0]["kind"] == "quick"
    assert lines[0]["findings"] > 0
    assert lines[1]["notice"] == "DAMAGED"
    assert not clock.waits


def test_a_first_check_that_could_not_be_made_is_made_up_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[Any] = []

    def look(*_: Any, kind: Any, **__: Any) -> list[Any]:
        kinds.append(kind)
        if len(kinds) < 3:
            raise DatabaseError("no descriptor is free")
        return []

    monkeypatch.setattr("waiaas.upkeep.check_integrity", look)
    ledger.was_checked = False
    clock = DayClock()
    check(ledger, clock)
    assert kinds == ["quick", "quick", "quick", "full"]
    assert clock.waits == [CHECK_RETRY_S, CHECK_RETRY_S, 1]


def test_a_stop_does_not_wait_for_a_check(ledger: Ledger, clock: DayClock) -> None:
    def fill(tx: Any) -> None:
        for number in range(200_000):
            tx.key_values.put(f"key {number}", "", now_s=1)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            checking = group.create_task(LedgerChecks(ledger, clock).turn())
            await asyncio.to_thread(lambda: None)
            checking.cancel()

    ledger.write(fill)
    asyncio.run(main())
    assert ledger.read(lambda tx: tx.key_values.get("ledger.checked_at")) is None


# ── keys ───────────────────────────────────────────────────────────────────────────────────────


def test_who_should_have_a_key_and_has_none_is_told(
    ledger: Ledger, capfd: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    made = {status: AgentId(generate_id()) for status in AgentStatus}

    def unit(tx: LedgerTransaction) -> None:
        for status, agent_id in made.items():
            tx.agents.insert(
                AgentRecord(
                    *(agent_id, "a", ChainType.SOLANA, NetworkType.LOCALNET, agent_id, status),
                    *(NOW_S, None, None),
                )
            )

    ledger.write(unit)
    assert agents_without_key(ledger, lambda _: True) == []
    lost = agents_without_key(ledger, lambda _: False)
    assert {agent.status for agent in lost} == {
        *(AgentStatus.ACTIVE, AgentStatus.SUSPENDED, AgentStatus.TERMINATING)
    }
    report_keys(lost * 5)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {line["level"] for line in lines} == {"error"}
    assert [line["agent_id"] for line in lines[:3]] == [agent.id for agent in lost]
    assert (len(lines), lines[-1]["agents"]) == (11, 5)
    ledger.stop_writing(["page 7 is torn"])
    assert agents_without_key(ledger, lambda _: False) == []
