"""Scheduled backups: due by what is there, told truly, pruned with care, never in anybody's way."""

import asyncio
import gc
import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from waiaas.backups.create import BackupMaker, Occasion, list_backups
from waiaas.backups.errors import BackupError
from waiaas.backups.file import open_backup
from waiaas.backups.restore import restore_backup
from waiaas.backups.schedule import (
    LOOK_S_MAX,
    PAUSE_S,
    START_PAUSE_S,
    BackupSchedule,
    beyond,
    seconds_to_next,
)
from waiaas.config.registry import BackupSettings
from waiaas.database import (
    Ledger,
    LedgerFull,
    audit_log,
    create_database,
    generate_id,
    open_ledger,
    sessions,
)
from waiaas.database.connection import open_reader
from waiaas.domain.backup import Backup, BackupMode, KeysSaved, ScheduleCondition
from waiaas.domain.ids import AgentId
from waiaas.logs import log_to_stderr
from waiaas.ports import LedgerCondition, LedgerTransaction
from waiaas.supervision import Supervisor

if TYPE_CHECKING:
    from tests.backup.conftest import Home

Tree = Callable[[Path], dict[str, bytes]]
Logged = Callable[[], list[dict[str, Any]]]

NOW_S = 1_700_000_000
HOUR_S = 60 * 60
DAY_S = 24 * HOUR_S


class PassingClock:
    """A clock whose time passes only when somebody waits; it stops whoever waits past *end_s*."""

    def __init__(self) -> None:
        self.wall_s = NOW_S
        self.end_s = NOW_S
        self.waits: list[float] = []

    def now_s(self) -> int:
        return self.wall_s

    def monotonic_s(self) -> float:
        return float(self.wall_s)

    async def sleep(self, seconds: float) -> None:
        if self.wall_s + seconds > self.end_s:
            self.wall_s = self.end_s
            raise asyncio.CancelledError
        self.waits.append(seconds)
        self.wall_s += int(seconds)


class Life:
    """Daemons on one data directory, one after the other, as far as their backups go."""

    def __init__(self, directory: Path, ledger: Ledger, home: "Home") -> None:
        self.directory = directory
        self.folder = directory / "backups"
        self.ledger = ledger
        self.keystore: Any = home.keystore
        self.clock = PassingClock()
        self.operators = self.names()

    def maker(self, **parts: Any) -> BackupMaker:
        usual = {"ledger": self.ledger, "keystore": self.keystore, "clock": self.clock}
        return BackupMaker(
            self.directory, generate_id=generate_id, version="1.2.3", **{**usual, **parts}
        )

    def schedule(self, *, hours: int = 24, keep: int = 7, **parts: Any) -> BackupSchedule:
        return BackupSchedule(
            parts.pop("maker", None) or self.maker(),
            directory=self.directory,
            ledger=parts.pop("ledger", self.ledger),
            clock=self.clock,
            settings=BackupSettings(interval_hours=hours, keep=keep),
        )

    def supervisor(self, schedule: BackupSchedule) -> Supervisor:
        return Supervisor(
            [schedule.work()],
            clock=self.clock,
            is_damaged=lambda: self.ledger.damage is not None,
            random_share=lambda: 0.0,
        )

    def live(
        self, seconds: int, *, schedule: BackupSchedule | None = None, **how: Any
    ) -> BackupSchedule:
        """Be a daemon for so long."""
        schedule = schedule or self.schedule(**how)
        self.clock.end_s = self.clock.wall_s + seconds

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.supervisor(schedule).run())

        asyncio.run(main())
        return schedule

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def made(self) -> list[str]:
        """Return the names of the scheduled backups that are there, by the time in them."""
        return sorted(self.names() - self.operators)

    def rows(self) -> list[tuple[str, dict[str, str]]]:
        """Return who made each backup, and what is told of it."""
        with open_reader(self.ledger.path) as connection:
            rows = connection.db.execute(select(audit_log))
        created = [row for row in rows if row.event_type == "BACKUP_CREATED"]
        return [(row.actor, json.loads(row.details)) for row in created]


@pytest.fixture
def life(directory: Path, home: "Home") -> Iterator[Life]:
    with open_ledger(directory) as ledger:
        yield Life(directory, ledger, home)


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Logged:
    log_to_stderr()
    return lambda: [json.loads(line) for line in capfd.readouterr().err.splitlines()]


# ── when ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("made_at", "now_s", "wait_s"),
    [
        ([], NOW_S, 0),
        ([NOW_S], NOW_S, DAY_S),
        ([NOW_S - DAY_S, NOW_S], NOW_S + 100, DAY_S - 100),
        ([NOW_S], NOW_S + DAY_S - 1, 1),
        ([NOW_S], NOW_S + DAY_S, 0),
        ([NOW_S], NOW_S + 10**9, 0),
        ([NOW_S], NOW_S - 5, DAY_S + 5),
        ([NOW_S], NOW_S - DAY_S, 2 * DAY_S),
        ([NOW_S], NOW_S - DAY_S - 1, 0),
        ([NOW_S + 10**9, NOW_S - 1], NOW_S, DAY_S - 1),
    ],
)
def test_the_next_is_due_an_interval_after_the_last_however_wrong_a_clock_was(
    made_at: list[int], now_s: int, wait_s: int
) -> None:
    assert seconds_to_next(made_at=made_at, now_s=now_s, interval_s=DAY_S) == wait_s


def test_a_new_daemon_makes_its_first_soon_after_the_start_and_the_system_is_its_maker(
    life: Life, logged: Logged
) -> None:
    before = life.rows()
    schedule = life.live(HOUR_S)
    [name] = life.made()
    backup = next(backup for backup in list_backups(life.directory)[0] if backup.name == name)
    assert name == f"2023-11-14T22-13-23Z-scheduled-{backup.id[-8:]}.waiaas-backup"
    assert backup.mode is BackupMode.KEYSTORE
    assert life.clock.waits == [START_PAUSE_S, PAUSE_S]
    assert life.rows()[len(before) :] == [
        ("system", {"id": backup.id, "name": name, "mode": "keystore"})
    ]
    assert {actor for actor, _ in before} == {"operator"}
    assert schedule.condition() == ScheduleCondition(NOW_S + START_PAUSE_S, None)
    [line] = logged()
    assert (line["event"], line["name"]) == ("scheduled backup made", name)


def test_a_scheduled_backup_is_whole_and_opens_with_the_master_password(
    life: Life, passwords: tuple[bytes, bytes]
) -> None:
    life.live(60)
    [name] = life.made()
    opened = open_backup(life.folder / name, passwords[0])
    assert opened.extract(None).daemon_id == "the-daemon"
    opened.close()


def naive_life(life: Life, seconds: int) -> None:
    """A daemon that counts from its own start."""
    life.clock.end_s = life.clock.wall_s + seconds

    async def run() -> None:
        while True:
            await life.clock.sleep(DAY_S)
            life.maker().make_if_free(Occasion())

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run())

    asyncio.run(main())


def test_a_restart_does_not_begin_the_interval_anew(life: Life) -> None:
    for _ in range(6):
        life.live(13 * HOUR_S)
    days = [name[:10] for name in life.made()]
    assert days == ["2023-11-14", "2023-11-15", "2023-11-16", "2023-11-17"]


def test_control_who_counts_from_the_start_never_makes_one(life: Life) -> None:
    for _ in range(6):
        naive_life(life, 13 * HOUR_S)
    assert life.made() == []


def test_nobody_waits_longer_than_an_hour_without_a_look_and_a_lost_one_is_made_again(
    life: Life,
) -> None:
    life.live(DAY_S - HOUR_S)
    assert max(life.clock.waits) == LOOK_S_MAX
    [name] = life.made()
    (life.folder / name).unlink()
    schedule = life.schedule()
    assert schedule.condition() == ScheduleCondition(None, None)
    life.live(60)
    [again] = life.made()
    assert again != name


def test_off_means_that_nothing_is_made_and_nothing_removed(life: Life) -> None:
    life.live(3 * DAY_S)
    before = life.names()
    schedule = life.live(30 * DAY_S, hours=0, keep=1)
    assert life.names() == before
    assert schedule.condition().problem is None
    assert schedule.condition().last_made_at is not None


# ── which are kept ─────────────────────────────────────────────────────────────────────────────


def test_the_oldest_of_its_own_go_once_a_new_one_is_there_and_its_row_names_them(
    life: Life, logged: Logged
) -> None:
    life.live(2 * DAY_S + HOUR_S, keep=2)
    second, third = life.made()
    first = life.rows()[-3][1]["name"]
    assert not (life.folder / first).exists()
    assert [row[1].get("replaces") for row in life.rows()[-3:]] == [None, None, first]
    # What is gone is forgotten, one backup later.
    stored = life.ledger.read(lambda tx: tx.key_values.get("backup.schedule"))
    assert [backup["name"] for backup in json.loads(stored or "")["made"]] == [first, second, third]
    # Fewer are to be kept from now on.
    life.live(DAY_S, keep=1)
    [fourth] = life.made()
    assert life.rows()[-1] == (
        "system",
        {**life.rows()[-1][1], "name": fourth, "replaces": f"{second}, {third}"},
    )
    stored = life.ledger.read(lambda tx: tx.key_values.get("backup.schedule"))
    assert first not in (stored or "")
    assert life.operators <= life.names()
    assert [line["name"] for line in logged() if line["event"] == "old backup removed"] == [
        *(first, second, third)
    ]


def prune_by_age(directory: Path, *, keep: int) -> None:
    """What one would do at first."""
    for backup in list_backups(directory)[0][keep:]:
        (directory / "backups" / backup.name).unlink()


def test_an_operators_backups_stay_however_old(life: Life) -> None:
    life.live(3 * DAY_S, keep=1)
    assert len(life.made()) == 1
    assert life.operators <= life.names()


def test_control_who_prunes_by_age_removes_an_operators(life: Life) -> None:
    life.live(3 * DAY_S, keep=1)
    prune_by_age(life.directory, keep=1)
    assert not life.operators & life.names()


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_was_wrong_removes_no_newer_backup_for_an_older_one(
    life: Life, years: int
) -> None:
    life.live(HOUR_S, keep=2)
    [right] = life.made()
    life.clock.wall_s += years * 365 * DAY_S
    life.live(HOUR_S, keep=2)
    [wrong] = set(life.made()) - {right}
    life.clock.wall_s = NOW_S + DAY_S + HOUR_S
    life.live(HOUR_S, keep=2)
    [newest] = set(life.made()) - {right, wrong}
    assert set(life.made()) == {wrong, newest}, "in the order in which they were made"


def test_control_by_their_dates_a_new_backup_would_go_before_one_of_a_wrong_clock(
    life: Life,
) -> None:
    life.clock.wall_s += 365 * DAY_S
    life.live(HOUR_S)
    [wrong] = life.made()
    life.clock.wall_s = NOW_S
    life.live(HOUR_S)
    assert len(life.made()) == 2
    prune_by_age(life.directory, keep=1)
    assert life.names() == {wrong}


def test_what_was_renamed_changed_or_exchanged_is_not_removed_and_does_not_count(
    life: Life, home: "Home"
) -> None:
    life.live(3 * DAY_S - HOUR_S)
    renamed, cut, exchanged = life.made()
    (life.folder / renamed).rename(life.folder / "mine.waiaas-backup")
    with (life.folder / cut).open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 1)
    (life.folder / exchanged).write_bytes(home.by_keystore.read_bytes())
    schedule = life.live(3 * DAY_S - HOUR_S, keep=2)
    assert schedule.condition().last_made_at is not None
    kept = {"mine.waiaas-backup", cut, exchanged}
    assert kept < set(life.made())
    assert len(life.made()) == len(kept) + 2


def test_one_that_is_exchanged_while_the_next_is_made_is_not_removed(
    life: Life, home: "Home"
) -> None:
    life.live(HOUR_S, keep=1)
    [first] = life.made()
    protect = life.keystore.protect_file_key

    class Slow:
        """A keystore so slow that an operator puts a file of his in a place meanwhile."""

        def protect_file_key(self, file_key: bytearray, *, facts: bytes) -> Any:
            (life.folder / first).write_bytes(home.by_keystore.read_bytes())
            return protect(file_key, facts=facts)

    life.keystore = Slow()
    life.live(DAY_S, keep=1)
    assert (life.folder / first).read_bytes() == home.by_keystore.read_bytes()
    assert len(life.made()) == 2


def test_one_that_cannot_be_removed_is_said_and_tried_again(
    life: Life, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live(HOUR_S, keep=1)
    [first] = life.made()
    unlink = Path.unlink

    def refuse(path: Path, **how: Any) -> None:
        if path.name == first:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        life.live(DAY_S, keep=1)
    assert len(life.made()) == 2
    [line] = [line for line in logged() if line["event"] == "old backup stays"]
    assert (line["name"], line["level"]) == (first, "warning")
    life.live(DAY_S, keep=1)
    [last] = life.made()
    assert last != first


def test_a_restored_ledger_is_backed_up_and_what_its_other_history_made_stays(
    directory: Path, home: "Home", passwords: tuple[bytes, bytes]
) -> None:
    with open_ledger(directory) as ledger:
        life = Life(directory, ledger, home)
        life.live(3 * DAY_S - HOUR_S)
        before = life.made()
    opened = open_backup(directory / "backups" / before[1], passwords[0])
    restore_backup(opened, directory, clock=life.clock)
    with open_ledger(directory) as life.ledger:
        life.live(2 * DAY_S, keep=1)
    # The one before it is the only one that the restored ledger remembers.
    assert set(before) - set(life.made()) == {before[0]}
    assert len(life.made()) == 3


def test_pruning_leaves_the_newest() -> None:
    made = [(backup_of(number), KeysSaved()) for number in range(4)]
    for keep in range(1, 7):
        gone = beyond(made, saved=KeysSaved(), keep=keep)
        assert gone == [backup for backup, _ in made][: len(gone)]
        assert len(made) - len(gone) == min(keep - 1, 4), "the new one is one of them"


# ── lost keys ──────────────────────────────────────────────────────────────────────────────────


def backup_of(number: int) -> Backup:
    return Backup(f"{number}", "", number, 0, BackupMode.KEYSTORE)


def key_file(life: Life, home: "Home") -> Path:
    return life.directory / "keystore" / f"{home.agent_ids[0]}.json"


def lose(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    os.truncate(file, 100)


@pytest.mark.parametrize("damage", [lose, cut])
def test_a_backup_with_a_key_that_is_lost_stays_and_its_agent_is_named(
    life: Life, home: "Home", logged: Logged, damage: Callable[[Path], None]
) -> None:
    life.live(2 * DAY_S - HOUR_S, keep=1)
    [whole] = life.made()
    damage(key_file(life, home))
    schedule = life.live(4 * DAY_S, keep=1)
    made = life.made()
    assert len(made) == 2, "and no other stays"
    assert made[0] == whole
    assert all(whole not in details.get("replaces", "") for _, details in life.rows()[-3:])
    for told in (schedule.condition().problem, life.schedule().condition().problem):
        assert home.agent_ids[0] in str(told)
        assert home.agent_ids[1] not in str(told)
    assert [line["level"] for line in logged() if line["event"] == "keys are lost"] == ["error"] * 4


def test_what_was_found_again_frees_the_backup_that_had_it(life: Life, home: "Home") -> None:
    life.live(HOUR_S, keep=1)
    file = key_file(life, home)
    away = file.rename(life.directory / "away")
    life.live(2 * DAY_S, keep=1)
    assert len(life.made()) == 2
    away.rename(file)
    schedule = life.live(DAY_S, keep=1)
    assert len(life.made()) == 1
    assert schedule.condition().problem is None


A, B, C, D = (AgentId(letter) for letter in "abcd")
SAVED = st.builds(
    lambda lacking, newest: KeysSaved(tuple(sorted(lacking)), newest),
    st.sets(st.sampled_from([A, B, C, D])),
    st.sampled_from([None, A, B, C, D]),
)


@given(st.lists(SAVED, max_size=6), SAVED, st.integers(1, 4))
def test_no_key_is_lost_with_the_last_backup_that_may_have_it(
    saved: list[KeysSaved], new: KeysSaved, keep: int
) -> None:
    made = [(backup_of(number), keys) for number, keys in enumerate(saved)]
    gone = beyond(made, saved=new, keep=keep)
    stay = [keys for backup, keys in made if backup not in gone]
    for agent_id in new.lacking:
        had = any(keys.may_have(agent_id) for keys in saved)
        assert any(keys.may_have(agent_id) for keys in stay) is had
    assert len(stay) <= keep - 1 + len(new.lacking), "and no more stay than have to"


def test_control_by_their_number_alone_the_last_backup_with_a_key_goes(
    life: Life, home: "Home", monkeypatch: pytest.MonkeyPatch, passwords: tuple[bytes, bytes]
) -> None:
    def by_number(made: Any, *, saved: object, keep: int) -> list[Backup]:
        assert saved
        return [backup for backup, _ in made[: max(len(made) + 1 - keep, 0)]]

    monkeypatch.setattr("waiaas.backups.schedule.beyond", by_number)
    life.live(HOUR_S, keep=1)
    lose(key_file(life, home))
    life.live(DAY_S, keep=1)
    [name] = life.made()
    opened = open_backup(life.folder / name, passwords[0])
    names = [entry.name for entry in opened.extract(None).files]
    opened.close()
    assert f"keystore/{home.agent_ids[0]}.json" not in names
    assert f"keystore/{home.agent_ids[1]}.json" in names


def test_what_an_older_release_listed_is_taken_for_a_backup_that_may_have_every_key() -> None:
    made = [(backup_of(0), KeysSaved()), (backup_of(1), KeysSaved())]
    assert beyond(made, saved=KeysSaved((A,), B), keep=1) == [backup_of(0)]
    younger = [(backup_of(0), KeysSaved((), A))]
    assert beyond(younger, saved=KeysSaved((B,), B), keep=1) == [backup_of(0)], "it never had it"


# ── failure ────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_logged_recorded_and_tried_again_and_leaves_nothing(
    life: Life, logged: Logged, tree: Tree
) -> None:
    before = tree(life.folder)
    life.folder.chmod(0o755)
    life.live(DAY_S)
    lines = logged()
    assert {(line["event"], line["level"]) for line in lines} == {("a worker failed", "error")}
    pauses = [line["again_in_s"] for line in lines]
    assert pauses == [*(PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S), *[LOOK_S_MAX] * (len(lines) - 3)]
    assert len(lines) > 20
    assert life.clock.waits == [START_PAUSE_S, *pauses[:-1]]
    assert "chmod 700" in lines[0]["reason"]
    assert "exception" not in lines[0]
    assert tree(life.folder) == before
    assert not list(life.directory.glob(".backup-work-*"))
    # A restart does not forget it.
    condition = life.schedule().condition()
    assert (condition.last_made_at, condition.problem) == (None, lines[0]["reason"])
    assert life.schedule(hours=0).condition().problem is None, "nothing is to be made"

    life.folder.chmod(0o700)
    schedule = life.live(60)
    assert len(life.made()) == 1
    assert schedule.condition() == ScheduleCondition(life.clock.wall_s - 60 + START_PAUSE_S, None)
    assert life.schedule().condition() == schedule.condition()


def test_another_one_under_way_is_waited_for(life: Life) -> None:
    maker = life.maker()
    with maker._one_at_a_time:
        schedule = life.live(60, maker=maker)
        assert "Another backup" in str(schedule.condition().problem)
    life.live(60, maker=maker)
    assert len(life.made()) == 1


def test_a_full_disk_is_told_though_it_cannot_be_recorded(life: Life, logged: Logged) -> None:
    ledger = life.ledger

    class FullLedger:
        """The ledger on a disk that is full for a while."""

        path, damage, read = ledger.path, None, ledger.read

        def condition(self) -> LedgerCondition:
            is_full = life.clock.wall_s < NOW_S + PAUSE_S
            return LedgerCondition(str(LedgerFull()) if is_full else None, 0)

        async def write_async(self, _: object) -> None:
            raise LedgerFull

    schedule = life.schedule(ledger=FullLedger())
    life.live(60, schedule=schedule)
    assert "disk is full" in str(schedule.condition().problem)
    assert [line["event"] for line in logged()] == [
        "the failed backup could not be recorded",
        "a worker failed",
    ]
    assert life.made() == []
    life.clock.wall_s += PAUSE_S
    life.live(60, schedule=schedule)
    assert schedule.condition().problem is None
    assert len(life.made()) == 1


def test_payments_need_the_room_more(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("waiaas.backups.schedule.SPARE_BYTES", 1 << 60)
        assert "leaves" in str(life.live(60).condition().problem)
    assert life.made() == []
    life.live(60)
    assert len(life.made()) == 1


def test_a_defect_ends_no_daemon(life: Life, logged: Logged) -> None:
    class Defective:
        """A keystore with a defect."""

        def protect_file_key(self, *_: object, **__: object) -> None:
            raise ZeroDivisionError

    life.keystore = Defective()
    schedule = life.live(2 * PAUSE_S)
    assert "ZeroDivisionError" in str(schedule.condition().problem)
    lines = logged()
    assert [(line["event"], line["worker"]) for line in lines] == [
        ("a worker failed", "backup")
    ] * 2
    assert {line["level"] for line in lines} == {"error"}
    assert "protect_file_key" in lines[0]["exception"]


def test_one_that_was_cut_off_before_it_had_its_name_is_made_again(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live(HOUR_S, keep=1)
    [first] = life.made()

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        life.live(DAY_S, keep=1)
    assert life.made() == [first], "nothing is removed for a backup that is not there"
    assert life.rows()[-1][1]["replaces"] == first
    life.live(60, keep=1)
    assert len(life.made()) == 1
    assert life.made() != [first]


# ── damage ─────────────────────────────────────────────────────────────────────────────────────


def orphan(path: str) -> None:
    """Break a reference, as the quick check does not see it."""
    with create_database(path) as connection:
        connection.sqlite.execute("PRAGMA foreign_keys=OFF")
        values = {"id": generate_id(), "agent_id": generate_id(), "token_hash": "x"}
        times = {"expires_at": 1, "absolute_expires_at": 1, "created_at": 1}
        connection.db.execute(insert(sessions).values(**values, **times))


def test_a_damaged_ledger_pushes_no_good_backup_out(life: Life, logged: Logged) -> None:
    life.live(2 * DAY_S - HOUR_S, keep=2)
    good = life.made()
    orphan(life.ledger.path)
    life.clock.wall_s += 9 * DAY_S
    schedule = life.live(3 * PAUSE_S, keep=2)
    assert life.made() == good
    assert "refers to nothing" in str(schedule.condition().problem)
    assert any("refers to nothing" in line.get("reason", "") for line in logged())

    life.ledger.stop_writing(["a row of sessions refers to nothing"])
    waits = [*life.clock.waits]
    schedule = life.live(3 * PAUSE_S, keep=2)
    assert life.clock.waits == waits, "and then nobody tries any more"
    assert schedule.condition().problem == "No backup is made of a damaged ledger."


def test_control_a_copy_that_is_not_looked_at_closely_would_be_taken_for_good(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waiaas.backups.create._require_sound", lambda *_, **__: None)
    orphan(life.ledger.path)
    life.maker().make_if_free(Occasion())
    assert len(life.made()) == 1


# ── the end ────────────────────────────────────────────────────────────────────────────────────


def test_told_to_stop_at_any_point_there_is_none_and_nothing_is_left(
    life: Life, tree: Tree
) -> None:
    def fill(tx: LedgerTransaction) -> None:
        for number in range(500):
            tx.key_values.put(f"key {number}", "", now_s=1)

    life.ledger.write(fill)  # Enough for a check to be asked in between.
    before, rows = tree(life.folder), life.rows()
    asked_in: list[set[str]] = []

    def make(*, stopped_at: int | None) -> None:
        asked_in.clear()

        def is_stopped() -> bool:
            asked_in.append({frame.name for frame in traceback.extract_stack()})
            return len(asked_in) == stopped_at

        life.maker().make_if_free(Occasion(is_stopped=is_stopped))

    make(stopped_at=None)
    long_works = {"_require_sound", "entry_of", "write_backup", "extract"}
    assert set().union(*asked_in) >= long_works, "none of them keeps a stop waiting"
    before, rows = tree(life.folder), life.rows()
    for number in range(1, len(asked_in) + 1):
        with pytest.raises(BackupError, match="stop"):
            make(stopped_at=number)
        assert tree(life.folder) == before
        assert life.rows() == rows
        assert not list(life.directory.glob(".backup-work-*"))


def test_a_stop_ends_the_one_that_is_being_made_and_goes_on_after_it(
    life: Life, tree: Tree, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    entered, leave = threading.Event(), threading.Event()
    protect = life.keystore.protect_file_key

    class Held:
        """A keystore that holds whoever makes a backup."""

        def protect_file_key(self, file_key: bytearray, *, facts: bytes) -> Any:
            entered.set()
            assert leave.wait(20)
            return protect(file_key, facts=facts)

    life.keystore = Held()
    life.clock.end_s += 60
    before, rows = tree(life.folder), life.rows()

    async def main() -> bool:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(life.supervisor(life.schedule()).run())
            await asyncio.to_thread(entered.wait, 20)
            running.cancel()
            await asyncio.to_thread(lambda: None)
            is_waited_for = not running.done()
            leave.set()
        return is_waited_for

    assert asyncio.run(main()), "what it was doing has ended when it has"
    assert tree(life.folder) == before
    assert life.rows() == rows
    assert life.schedule().condition() == ScheduleCondition(None, None), "a stop is no failure"
    gc.collect()  # An error that nobody heard of would be told now.
    assert (capfd.readouterr().err, caplog.records) == ("", [])
    assert not list(life.directory.glob(".backup-work-*"))


def test_control_who_is_not_told_to_stop_makes_it(life: Life) -> None:
    life.live(60)
    assert len(life.made()) == 1
