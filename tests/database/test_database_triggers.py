"""The audit log is append-only: on our connection, and on a bare one that sets no pragma (§4.5)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from waiaas.database import close_database, create_database, push_schema

ROWS: Final = "INTO audit_log (id, timestamp, event_type, actor, details) VALUES"
UNNUMBERED: Final = "INTO audit_log (timestamp, event_type, actor, details) VALUES"
NEW: Final = "9, 'FORGED', 'mallory', '{}'"

REFUSED: Final = [
    "UPDATE audit_log SET actor = 'mallory' WHERE id = 3",
    "UPDATE audit_log SET id = 9 WHERE id = 5",
    "UPDATE audit_log SET id = id",
    "UPDATE OR REPLACE audit_log SET id = 4 WHERE id = 3",
    "UPDATE OR IGNORE audit_log SET actor = 'mallory'",
    "DELETE FROM audit_log",
    "DELETE FROM audit_log WHERE id = 5",
    "DELETE FROM audit_log WHERE id = 1",
    f"INSERT OR REPLACE {ROWS} (3, {NEW})",
    f"INSERT OR REPLACE {ROWS} (5, {NEW})",
    f"REPLACE {ROWS} (1, {NEW})",
    f"INSERT OR IGNORE {ROWS} (3, {NEW})",
    f"INSERT OR IGNORE {ROWS} (5, {NEW})",
    f"INSERT OR IGNORE {ROWS} (0, {NEW})",
    f"INSERT OR FAIL {ROWS} (3, {NEW})",
    f"INSERT OR ROLLBACK {ROWS} (3, {NEW})",
    f"INSERT {ROWS} (3, {NEW}) ON CONFLICT (id) DO UPDATE SET actor = excluded.actor",
    f"INSERT {ROWS} (3, {NEW}) ON CONFLICT DO NOTHING",
    f"INSERT {ROWS} (5, {NEW})",
    f"INSERT {ROWS} (3, {NEW})",
    f"INSERT {ROWS} (1, {NEW})",
    f"INSERT {ROWS} (0, {NEW})",
    f"INSERT {ROWS} (-1, {NEW})",
    f"INSERT {ROWS} (-2, {NEW})",
    f"INSERT {ROWS} (-9223372036854775808, {NEW})",
    f"INSERT OR REPLACE {ROWS} (-1, {NEW})",
    f"INSERT OR IGNORE {ROWS} (-1, {NEW})",
    f"INSERT OR REPLACE {ROWS} ('3', {NEW})",
    f"INSERT OR REPLACE {ROWS} (3.0, {NEW})",
    f"INSERT OR REPLACE {ROWS} (' 3 ', {NEW})",
    f"INSERT OR REPLACE {ROWS.replace('(id', '(rowid')} (3, {NEW})",
    f"INSERT OR REPLACE {ROWS.replace('(id', '(oid')} (3, {NEW})",
    f"INSERT {ROWS} (10, {NEW}), (9, {NEW})",
    f"INSERT {ROWS} (8, {NEW}), (8, {NEW})",
    f"INSERT OR REPLACE {ROWS} (8, {NEW}), (8, {NEW})",
    f"INSERT {UNNUMBERED} ({NEW}) RETURNING nosuch",
    f"INSERT OR REPLACE {ROWS.replace('VALUES', 'SELECT')} 3, {NEW}",
]

REFUSED_IN_AN_EMPTY_LOG: Final = [
    f"INSERT {ROWS} (0, {NEW})",
    f"INSERT {ROWS} (-1, {NEW})",
    f"INSERT {ROWS} (-7, {NEW})",
    f"INSERT {ROWS} (-9223372036854775808, {NEW})",
    f"INSERT OR REPLACE {ROWS} (-1, {NEW})",
    f"INSERT OR IGNORE {ROWS} (0, {NEW})",
]

ACCEPTED: Final = [
    (f"INSERT {UNNUMBERED} ({NEW})", 6),
    (f"INSERT {ROWS} (NULL, {NEW})", 6),
    (f"INSERT {ROWS} (6, {NEW})", 6),
    (f"INSERT {ROWS} (100, {NEW})", 100),
    (f"INSERT OR REPLACE {UNNUMBERED} ({NEW})", 6),
]


@pytest.fixture(params=["our connection", "a bare connection"])
def log(request: pytest.FixtureRequest, path: Path) -> Iterator[apsw.Connection]:
    """Yield an empty audit log, on our connection or on one that sets no pragma at all."""
    ours = create_database(path)
    push_schema(ours)
    if request.param == "our connection":
        yield ours.sqlite
        close_database(ours)
        return
    close_database(ours)
    bare = apsw.Connection(str(path))
    for pragma in ("recursive_triggers", "foreign_keys"):
        bare.pragma(pragma, 0)
        assert bare.pragma(pragma) == 0
    yield bare
    bare.close()


def _fill(log: apsw.Connection) -> list[tuple[Any, ...]]:
    for number in range(1, 6):
        log.execute(f"INSERT {UNNUMBERED} ({number}, 'TX_REQUESTED', 'operator', '{{}}')")
    return _all(log)


def _all(log: apsw.Connection) -> list[tuple[Any, ...]]:
    return list(log.execute("SELECT * FROM audit_log ORDER BY id"))


@pytest.mark.parametrize("sql", REFUSED)
def test_history_is_not_rewritten(log: apsw.Connection, sql: str) -> None:
    before = _fill(log)
    with pytest.raises(apsw.Error) as refused:
        log.execute(sql)
    if "nosuch" not in sql:
        assert isinstance(refused.value, apsw.ConstraintError)
        assert "append-only" in str(refused.value)
    assert _all(log) == before
    log.execute(f"INSERT {UNNUMBERED} ({NEW})")
    assert [row[0] for row in _all(log)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("sql", REFUSED_IN_AN_EMPTY_LOG)
def test_a_log_does_not_begin_below_one(log: apsw.Connection, sql: str) -> None:
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        log.execute(sql)
    assert _all(log) == []
    log.execute(f"INSERT {UNNUMBERED} ({NEW})")
    assert [row[0] for row in _all(log)] == [1]


@pytest.mark.parametrize(("sql", "number"), ACCEPTED)
def test_a_row_is_added_above_the_highest(log: apsw.Connection, sql: str, number: int) -> None:
    before = _fill(log)
    log.execute(sql)
    after = _all(log)
    assert after[:-1] == before
    assert after[-1][0] == number


@pytest.mark.parametrize("sql", REFUSED)
def test_history_is_not_rewritten_inside_a_transaction_either(
    log: apsw.Connection, sql: str
) -> None:
    before = _fill(log)
    log.execute("BEGIN IMMEDIATE")
    log.execute(f"INSERT {UNNUMBERED} ({NEW})")
    with pytest.raises(apsw.Error):
        log.execute(sql)
    if log.in_transaction:
        log.execute("COMMIT")
    assert _all(log)[: len(before)] == before


def test_numbers_are_never_used_again(log: apsw.Connection) -> None:
    _fill(log)
    log.execute("BEGIN")
    log.execute(f"INSERT {UNNUMBERED} ({NEW})")
    log.execute("ROLLBACK")
    log.execute(f"INSERT {ROWS} (50, {NEW})")
    log.execute(f"INSERT {UNNUMBERED} ({NEW})")
    assert [row[0] for row in _all(log)] == [1, 2, 3, 4, 5, 50, 51]


def test_control_without_the_triggers_the_same_replace_overwrites_the_third_row(
    log: apsw.Connection,
) -> None:
    before = _fill(log)
    triggers = list(
        log.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?",
                    ("audit_log",))
    )  # fmt: skip
    assert triggers
    for (name,) in triggers:
        log.execute(f"DROP TRIGGER {name}")
    log.execute(f"INSERT OR REPLACE {ROWS} (3, {NEW})")
    after = _all(log)
    assert after[2][:4] == (3, 9, "FORGED", "mallory")
    assert [*after[:2], *after[3:]] == [*before[:2], *before[3:]]


def test_the_library_says_that_the_log_is_append_only(
    shared: Any, put: Callable[..., dict[str, Any]]
) -> None:
    put(shared, "audit_log")
    with pytest.raises(Exception, match="append-only") as refused:
        put(shared, "audit_log", id=1)
    assert type(refused.value).__name__ == "ConstraintViolated"
