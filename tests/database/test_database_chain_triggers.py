"""The audit chain takes the next link and nothing else, on our connection and on a bare one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from waiaas.database import close_database, create_database, push_schema

ROWS: Final = "INTO audit_chain (sequence, audit_id, previous_hash, hash) VALUES"
GENESIS: Final = "0" * 64
LAST: Final = "5" * 64
NEW: Final = "f" * 64
NEXT: Final = f"6, 6, '{LAST}', '{NEW}'"

REFUSED: Final = [
    "UPDATE audit_chain SET hash = previous_hash WHERE sequence = 3",
    "UPDATE audit_chain SET hash = replace(hash, '5', 'f') WHERE sequence = 5",
    "UPDATE audit_chain SET sequence = 9 WHERE sequence = 5",
    "UPDATE audit_chain SET audit_id = 6",
    "UPDATE audit_chain SET sequence = sequence",
    "UPDATE OR REPLACE audit_chain SET sequence = 4 WHERE sequence = 3",
    "UPDATE OR IGNORE audit_chain SET audit_id = 6",
    "DELETE FROM audit_chain",
    "DELETE FROM audit_chain WHERE sequence = 5",
    "DELETE FROM audit_chain WHERE sequence = 1",
    f"INSERT OR REPLACE {ROWS} (3, 3, '{'2' * 64}', '{NEW}')",
    f"INSERT OR REPLACE {ROWS} (5, 5, '{'4' * 64}', '{NEW}')",
    f"INSERT OR REPLACE {ROWS} (5, 6, '{LAST}', '{NEW}')",
    f"INSERT OR REPLACE {ROWS} (1, 1, '{GENESIS}', '{NEW}')",
    f"REPLACE {ROWS} (1, 6, '{GENESIS}', '{NEW}')",
    f"INSERT OR IGNORE {ROWS} (5, 6, '{LAST}', '{NEW}')",
    f"INSERT OR FAIL {ROWS} (5, 6, '{LAST}', '{NEW}')",
    f"INSERT OR ROLLBACK {ROWS} (5, 6, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (5, 6, '{LAST}', '{NEW}') ON CONFLICT DO UPDATE SET hash = excluded.hash",
    f"INSERT {ROWS} (5, 6, '{LAST}', '{NEW}') ON CONFLICT DO NOTHING",
    f"INSERT {ROWS} (7, 6, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (0, 6, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (0, 6, '{GENESIS}', '{NEW}')",
    f"INSERT {ROWS} (-1, 6, '{LAST}', '{NEW}')",
    f"INSERT OR REPLACE {ROWS} (-1, 6, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (-9223372036854775808, 6, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (NULL, 6, '{LAST}', '{NEW}')",
    f"INSERT OR REPLACE {ROWS} ('5', 6, '{LAST}', '{NEW}')",
    f"INSERT OR REPLACE {ROWS} (5.0, 6, '{LAST}', '{NEW}')",
    f"INSERT OR REPLACE {ROWS} (' 5 ', 6, '{LAST}', '{NEW}')",
    f"INSERT OR REPLACE {ROWS.replace('(sequence', '(rowid')} (5, 6, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (6, 6, '{GENESIS}', '{NEW}')",
    f"INSERT {ROWS} (6, 6, '{'4' * 64}', '{NEW}')",
    f"INSERT {ROWS} (6, 6, '{NEW}', '{LAST}')",
    f"INSERT {ROWS} (6, 6, '{LAST} ', '{NEW}')",
    f"INSERT {ROWS} (6, 6, {LAST}, '{NEW}')",
    f"INSERT {ROWS} (6, 6, NULL, '{NEW}')",
    f"INSERT {ROWS} (6, 5, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (6, 1, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (6, -1, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (6, '5', '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (6, 5.0, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} ({NEXT}), ({NEXT})",
    f"INSERT OR REPLACE {ROWS} ({NEXT}), ({NEXT})",
    f"INSERT OR REPLACE {ROWS} ({NEXT}), (6, 7, '{NEW}', '{NEW}')",
    f"INSERT {ROWS} ({NEXT}), (8, 7, '{NEW}', '{NEW}')",
]

REFUSED_BY_A_CHECK: Final = [
    f"INSERT {ROWS} (6, 6, CAST('{LAST}' AS BLOB), '{NEW}')",
    f"INSERT {ROWS} (6, 6, '{LAST}', '')",
    f"INSERT {ROWS} (6, 6, '{LAST}', NULL)",
    f"INSERT {ROWS} (6, 6, '{LAST}', '{'f' * 63}')",
    f"INSERT {ROWS} (6, 6, '{LAST}', '{'f' * 65}')",
    f"INSERT {ROWS} (6, 6, '{LAST}', '{'F' * 64}')",
    f"INSERT {ROWS} (6, 6, '{LAST}', '{'g' * 64}')",
    f"INSERT {ROWS} (6, 6, '{LAST}', '{NEW}' || char(0) || 'f')",
    f"INSERT {ROWS} (6, 6, '{LAST}', CAST('{NEW}' AS BLOB))",
    f"INSERT {ROWS} (6, NULL, '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (6, 'x', '{LAST}', '{NEW}')",
    f"INSERT {ROWS} (6, 6.5, '{LAST}', '{NEW}')",
]

REFUSED_IN_AN_EMPTY_CHAIN: Final = [
    f"INSERT {ROWS} (0, 1, '{GENESIS}', '{NEW}')",
    f"INSERT {ROWS} (2, 1, '{GENESIS}', '{NEW}')",
    f"INSERT {ROWS} (-1, 1, '{GENESIS}', '{NEW}')",
    f"INSERT {ROWS} (NULL, 1, '{GENESIS}', '{NEW}')",
    f"INSERT {ROWS} (1, 1, '{NEW}', '{NEW}')",
    f"INSERT {ROWS} (1, 1, '', '{NEW}')",
    f"INSERT {ROWS} (1, 1, NULL, '{NEW}')",
    f"INSERT {ROWS} (1, 1, 0, '{NEW}')",
]


@pytest.fixture(params=["our connection", "a bare connection"])
def chain(request: pytest.FixtureRequest, path: Path) -> Iterator[apsw.Connection]:
    """Yield an empty chain beside six audit rows, on our connection or one that sets no pragma."""
    ours = create_database(path)
    push_schema(ours)
    for _ in range(6):
        ours.sqlite.execute(
            "INSERT INTO audit_log (timestamp, event_type, actor, details) VALUES (1, 'A', 'b', 1)"
        )
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


def _fill(chain: apsw.Connection) -> list[tuple[Any, ...]]:
    previous = GENESIS
    for number in range(1, 6):
        new = str(number) * 64
        chain.execute(f"INSERT {ROWS} ({number}, {number}, '{previous}', '{new}')")
        previous = new
    return _all(chain)


def _all(chain: apsw.Connection) -> list[tuple[Any, ...]]:
    return list(chain.execute("SELECT * FROM audit_chain ORDER BY sequence"))


@pytest.mark.parametrize("sql", REFUSED)
def test_a_link_is_neither_changed_nor_forged(chain: apsw.Connection, sql: str) -> None:
    before = _fill(chain)
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        chain.execute(sql)
    assert _all(chain) == before
    chain.execute(f"INSERT {ROWS} ({NEXT})")
    assert [row[0] for row in _all(chain)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("sql", REFUSED_BY_A_CHECK)
def test_a_link_that_is_none_is_refused(chain: apsw.Connection, sql: str) -> None:
    before = _fill(chain)
    with pytest.raises(apsw.ConstraintError):
        chain.execute(sql)
    assert _all(chain) == before


@pytest.mark.parametrize("sql", REFUSED_IN_AN_EMPTY_CHAIN)
def test_a_chain_begins_at_one_from_zeros(chain: apsw.Connection, sql: str) -> None:
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        chain.execute(sql)
    assert _all(chain) == []
    chain.execute(f"INSERT {ROWS} (1, 1, '{GENESIS}', '{NEW}')")
    assert len(_all(chain)) == 1


@pytest.mark.parametrize("sql", REFUSED)
def test_nothing_is_forged_inside_a_transaction_either(chain: apsw.Connection, sql: str) -> None:
    before = _fill(chain)
    chain.execute("BEGIN IMMEDIATE")
    with pytest.raises(apsw.ConstraintError):
        chain.execute(sql)
    if chain.in_transaction:
        chain.execute("COMMIT")
    assert _all(chain) == before


def test_control_without_the_triggers_the_same_replace_overwrites_a_link(
    chain: apsw.Connection,
) -> None:
    before = _fill(chain)
    names = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit_chain'"
    triggers = list(chain.execute(names))
    assert len(triggers) == 3
    for (name,) in triggers:
        chain.execute(f"DROP TRIGGER {name}")
    chain.execute(f"INSERT OR REPLACE {ROWS} (5, 6, '{LAST}', '{NEW}')")
    after = _all(chain)
    assert after[:-1] == before[:-1]
    assert after[-1] == (5, 6, LAST, NEW)
