"""Groups: a refused unit falls alone; when SQLite ends a transaction, nobody in it is told 'done'.

DESIGN 4.3, one writer.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from waiaas.database import Ledger, create_database, open_ledger
from waiaas.database.errors import (
    Closed,
    ConstraintViolated,
    DatabaseError,
    RolledBack,
    ValueRefused,
)
from waiaas.database.writer import GROUP_UNITS_MAX
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.ports import LedgerTransaction

InOneGroup = Callable[..., list[Any]]

BOMB = """CREATE TEMP TRIGGER bomb BEFORE INSERT ON key_value_store WHEN NEW.key = 'bomb'
BEGIN SELECT RAISE(ROLLBACK, 'the bomb went off'); END"""


def put(key: str) -> Callable[[LedgerTransaction], str]:
    def unit(tx: LedgerTransaction) -> str:
        tx.key_values.put(key, key, now_s=1)
        return key

    return unit


def put_and_raise(key: str, error: BaseException) -> Callable[[LedgerTransaction], None]:
    def unit(tx: LedgerTransaction) -> None:
        tx.key_values.put(key, key, now_s=1)
        raise error

    return unit


def stored(directory: Path, *keys: str) -> list[str]:
    """Return which of *keys* a fresh ledger finds."""
    with open_ledger(directory) as ledger:
        return ledger.read(lambda tx: [key for key in keys if tx.key_values.get(key)])


@pytest.fixture
def armed(ledger: Ledger) -> Ledger:
    """Return a ledger in which writing the key 'bomb' makes SQLite roll everything back."""
    ledger._writer._sqlite.execute(BOMB)
    return ledger


@pytest.fixture
def commits(ledger: Ledger) -> Iterator[list[None]]:
    counted: list[None] = []

    def count() -> bool:
        counted.append(None)
        return False

    ledger._writer._sqlite.set_commit_hook(count)
    yield counted
    ledger.close()


def test_the_value_of_a_unit_comes_back(ledger: Ledger) -> None:
    assert ledger.write(put("a")) == "a"
    assert ledger.read(lambda tx: tx.key_values.get("a")) == "a"


def test_a_refused_write_in_a_group_does_not_hurt_its_neighbours(
    ledger: Ledger, directory: Path, in_one_group: InOneGroup
) -> None:
    own = ZeroDivisionError("mine")
    outcomes = in_one_group(
        ledger,
        put("a"),
        put_and_raise("b", own),
        put("c"),
        lambda tx: tx.key_values.put("d", "d", now_s="now"),
        put("e"),
    )
    ledger.close()

    assert outcomes[0] == "a"
    assert outcomes[1] is own
    assert outcomes[2] == "c"
    assert isinstance(outcomes[3], ValueRefused)
    assert outcomes[4] == "e"
    assert stored(directory, "a", "b", "c", "d", "e") == ["a", "c", "e"]


def test_a_unit_refused_by_the_database_falls_alone(
    ledger: Ledger, directory: Path, in_one_group: InOneGroup
) -> None:
    def violate(tx: LedgerTransaction) -> None:
        tx.key_values.put("b", "b", now_s=1)
        tx.reservations.hold(
            TransactionId("none such"), agent_id=AgentId("no"), asset="native", amount="1", now_s=1
        )

    outcomes = in_one_group(ledger, put("a"), violate, put("c"))
    ledger.close()

    assert outcomes[0] == "a"
    assert isinstance(outcomes[1], ConstraintViolated)
    assert outcomes[2] == "c"
    assert stored(directory, "a", "b", "c") == ["a", "c"]


def test_a_unit_may_handle_a_refusal_and_go_on(ledger: Ledger, directory: Path) -> None:
    def unit(tx: LedgerTransaction) -> str:
        tx.key_values.put("a", "a", now_s=1)
        with suppress(ValueRefused):
            tx.key_values.put("b", 5, now_s=1)  # type: ignore[arg-type]  # -- refused, that is the point
        tx.key_values.put("c", "c", now_s=1)
        return "done"

    assert ledger.write(unit) == "done"
    ledger.close()
    assert stored(directory, "a", "b", "c") == ["a", "c"]


def test_a_group_is_one_commit(
    ledger: Ledger, commits: list[None], in_one_group: InOneGroup
) -> None:
    outcomes = in_one_group(ledger, *[put(f"{n}") for n in range(16)])
    assert outcomes == [f"{n}" for n in range(16)]
    assert len(commits) == 1


def test_a_group_is_bounded(ledger: Ledger, commits: list[None], in_one_group: InOneGroup) -> None:
    in_one_group(ledger, *[put(f"{n}") for n in range(GROUP_UNITS_MAX)])
    assert len(commits) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), StopIteration(), Closed()])
def test_whatever_a_unit_raises_reaches_its_caller_and_the_writer_goes_on(
    ledger: Ledger, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        ledger.write(put_and_raise("a", error))
    assert caught.value is error
    assert ledger.write(put("b")) == "b"
    assert ledger.read(lambda tx: tx.key_values.get("a")) is None


# ── SQLite rolls the whole transaction back ────────────────────────────────────────────────────


def test_when_sqlite_rolls_everything_back_no_neighbour_is_told_that_it_is_done(
    armed: Ledger, directory: Path, in_one_group: InOneGroup
) -> None:
    outcomes = in_one_group(armed, put("before"), put("bomb"), put("after"))
    armed.close()

    assert isinstance(outcomes[0], RolledBack)
    assert isinstance(outcomes[1], ConstraintViolated)
    assert outcomes[2] == "after"  # It had not begun: it is in the next group.
    assert stored(directory, "before", "bomb", "after") == ["after"]


def test_a_unit_that_swallows_the_roll_back_cannot_commit_by_itself(
    armed: Ledger, directory: Path, in_one_group: InOneGroup
) -> None:
    met: list[type[Exception]] = []

    def swallow(tx: LedgerTransaction) -> str:
        for key in ("inside", "bomb", "by itself", "again"):
            try:
                tx.key_values.put(key, key, now_s=1)
            except DatabaseError as error:
                met.append(type(error))
        return "done"

    outcomes = in_one_group(armed, put("before"), swallow, put("after"))
    armed.close()

    assert met == [ConstraintViolated, RolledBack, RolledBack]
    assert isinstance(outcomes[0], RolledBack)
    assert isinstance(outcomes[1], RolledBack)
    assert outcomes[2] == "after"
    assert stored(directory, "before", "inside", "by itself", "again", "after") == ["after"]


def test_a_unit_that_swallows_the_roll_back_cannot_even_read(armed: Ledger) -> None:
    def swallow(tx: LedgerTransaction) -> None:
        with suppress(ConstraintViolated):
            tx.key_values.put("bomb", "bomb", now_s=1)
        tx.key_values.get("a")

    with pytest.raises(RolledBack):
        armed.write(swallow)


def test_each_caller_of_a_group_gets_an_exception_of_its_own(
    armed: Ledger, in_one_group: InOneGroup
) -> None:
    first, second, _ = in_one_group(armed, put("a"), put("b"), put("bomb"))
    assert isinstance(first, RolledBack)
    assert isinstance(second, RolledBack)
    assert first is not second


def test_a_refused_member_keeps_its_own_error_when_the_group_is_rolled_back(
    armed: Ledger, in_one_group: InOneGroup
) -> None:
    own = ZeroDivisionError()
    outcomes = in_one_group(armed, put_and_raise("a", own), put("bomb"))
    assert outcomes[0] is own


def test_control_a_naive_writer_acknowledges_lost_units_and_commits_by_itself(
    tmp_path: Path,
) -> None:
    acknowledged: list[str] = []
    with create_database(tmp_path / "naive.db") as connection:
        sqlite = connection.sqlite
        sqlite.execute("CREATE TABLE key_value_store (key TEXT)")
        sqlite.execute(BOMB)
        sqlite.execute("BEGIN IMMEDIATE")
        for key in ("before", "bomb", "after"):
            with suppress(apsw.SQLError):
                sqlite.execute("SAVEPOINT unit")
            try:
                sqlite.execute("INSERT INTO key_value_store VALUES (?)", (key,))
                acknowledged.append(key)
            except apsw.ConstraintError:
                with suppress(apsw.SQLError):
                    sqlite.execute("ROLLBACK TO unit")
            with suppress(apsw.SQLError):
                sqlite.execute("RELEASE unit")
        with suppress(apsw.SQLError):
            sqlite.execute("COMMIT")
        rows = [row[0] for row in sqlite.execute("SELECT key FROM key_value_store")]

    assert acknowledged == ["before", "after"]
    assert rows == ["after"]  # Lost "before"; committed "after" without being told to.


# ── what a unit must not do ────────────────────────────────────────────────────────────────────


def test_a_write_from_inside_a_unit_is_refused(ledger: Ledger) -> None:
    with pytest.raises(DatabaseError, match="unit of work must not"):
        ledger.write(lambda tx: (put("a")(tx), ledger.write(put("b"))))
    assert ledger.read(lambda tx: tx.key_values.get("a")) is None
    assert ledger.write(put("c")) == "c"


def test_an_awaited_write_from_inside_a_unit_is_refused(ledger: Ledger) -> None:
    with pytest.raises(DatabaseError, match="unit of work must not"):
        ledger.write(lambda _tx: asyncio.run(ledger.write_async(put("b"))))


def test_closing_from_inside_a_unit_is_refused_and_closes_nothing(ledger: Ledger) -> None:
    with pytest.raises(DatabaseError, match="unit of work must not"):
        ledger.write(lambda _tx: ledger.close())
    assert ledger.write(put("c")) == "c"
    assert ledger.read(lambda tx: tx.key_values.get("c")) == "c"


def test_a_unit_may_look_at_what_is_committed(ledger: Ledger) -> None:
    ledger.write(put("a"))

    def look(tx: LedgerTransaction) -> str | None:
        tx.key_values.put("a", "new", now_s=2)
        return ledger.read(lambda committed: committed.key_values.get("a"))

    assert ledger.write(look) == "a"


def test_a_tx_that_was_kept_is_of_no_use_to_its_thief(ledger: Ledger) -> None:
    kept = ledger.write(lambda tx: tx)
    with pytest.raises(DatabaseError):
        kept.key_values.put("a", "a", now_s=1)
    running, go_on = threading.Event(), threading.Event()

    def wait(_tx: LedgerTransaction) -> None:
        running.set()
        go_on.wait()

    thread = threading.Thread(target=ledger.write, args=(wait,))
    thread.start()
    running.wait()
    with pytest.raises(DatabaseError, match="one thread"):
        kept.key_values.put("a", "a", now_s=1)
    go_on.set()
    thread.join()
    assert ledger.read(lambda tx: tx.key_values.get("a")) is None
