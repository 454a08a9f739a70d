"""An older database becomes today's: same rows, same schema as a fresh one, or nothing happens."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from sqlalchemy import delete, func, select

from waiaas.database import (
    DatabaseConnection,
    agents,
    create_database,
    pending_approvals,
    policies,
    push_schema,
    sessions,
    transactions,
)
from waiaas.database.definitions import differences, fingerprint, normal_form, stored_schema
from waiaas.database.errors import (
    ConstraintViolated,
    DatabaseError,
    SchemaMismatch,
    UpgradeFailed,
)
from waiaas.database.migrations.rebuild import rebuild_table
from waiaas.database.push import Release, current_release, push_release

Contents = Callable[[apsw.Connection], dict[str, list[tuple[Any, ...]]]]
Later = Callable[..., Release]
Put = Callable[..., dict[str, Any]]

NEW_VALUE: Final = "NEWLY_ALLOWED"


def _fresh_schema(release: Release) -> dict[tuple[str, str], str]:
    with create_database(":memory:") as connection:
        push_release(connection, release)
        return stored_schema(connection.sqlite)


def _assert_whole(connection: DatabaseConnection, release: Release) -> None:
    """The schema is exactly what the release would build, and the file is sound."""
    sqlite = connection.sqlite
    assert differences(stored_schema(sqlite), _fresh_schema(release)) == []
    assert sqlite.pragma("user_version") == release.version
    assert list(sqlite.execute("PRAGMA integrity_check")) == [("ok",)]
    assert list(sqlite.execute("PRAGMA foreign_key_check")) == []
    assert sqlite.pragma("foreign_keys") == 1
    assert sqlite.pragma("legacy_alter_table") == 0
    assert not sqlite.in_transaction


def _store(sqlite: apsw.Connection, table: str, column: str, value: str) -> None:
    """Put *value* into a row; one of the audit log has to be a new one."""
    if table == "audit_log":
        sqlite.execute(
            f"INSERT INTO audit_log (timestamp, event_type, actor, details, {column})"  # noqa: S608 -- a column's name
            " VALUES (1, 'e', 'a', '{}', ?)",
            (value,),
        )
    else:
        sqlite.execute(
            f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT max(rowid) FROM {table})",  # noqa: S608 -- names
            (value,),
        )


# ── a list is widened ──────────────────────────────────────────────────────────────────────────


def test_any_list_of_any_table_is_widened_and_every_row_of_every_table_kept(
    old: Path,
    later: Later,
    contents: Contents,
    vocabularies: dict[tuple[str, str], tuple[str, ...]],
) -> None:
    """One list after the other, each its own release, on one database."""
    release = current_release()
    with create_database(old) as connection:
        sqlite = connection.sqlite
        before = contents(sqlite)
        assert min(map(len, before.values())) > 0
        for table, column in vocabularies:
            release = later(release, (table, column))
            with pytest.raises(apsw.ConstraintError, match=f"ck_{table}_{column}"):
                _store(sqlite, table, column, NEW_VALUE)
            push_release(connection, release)
            assert contents(sqlite) == before
            _assert_whole(connection, release)
            with sqlite, pytest.raises(apsw.ConstraintError, match=f"ck_{table}_{column}"):
                _store(sqlite, table, column, "UNKNOWN")
            with suppress(_Undone), sqlite:
                _store(sqlite, table, column, NEW_VALUE)
                raise _Undone
            assert contents(sqlite) == before


class _Undone(Exception):  # noqa: N818 -- says what happened
    """Ends a transaction without a trace."""


@pytest.mark.parametrize("versions_behind", [1, 2, 3])
def test_an_upgrade_from_every_version_gives_the_schema_of_a_fresh_database(
    path: Path,
    later: Later,
    contents: Contents,
    put: Put,
    *,
    vocabularies: dict[tuple[str, str], tuple[str, ...]],
    versions_behind: int,
) -> None:
    releases = [current_release()]
    releases.append(later(releases[-1], *vocabularies))
    releases.append(later(releases[-1], added="CREATE TABLE tags (name TEXT) STRICT"))
    releases.append(later(releases[-1], added="CREATE INDEX idx_tags_name ON tags (name)"))
    with create_database(path) as connection:
        push_release(connection, releases[-1 - versions_behind])
        for table in ("sessions", "policies", "pending_approvals", "audit_log"):
            put(connection, table)
        before = contents(connection.sqlite)
        push_release(connection, releases[-1])
        after = contents(connection.sqlite)
        assert {name: after[name] for name in before} == before
        _assert_whole(connection, releases[-1])


def test_numbers_that_were_given_are_not_given_again_after_a_rebuild(
    old: Path, later: Later, put: Put
) -> None:
    release = later(current_release(), ("audit_log", "severity"))
    with create_database(old) as connection:
        connection.sqlite.execute("UPDATE sqlite_sequence SET seq = 1000")
        push_release(connection, release)
        put(connection, "audit_log")
        assert connection.sqlite.execute("SELECT max(id) FROM audit_log").fetchall() == [(1001,)]


def test_an_empty_audit_log_keeps_the_numbers_it_gave(path: Path, later: Later, put: Put) -> None:
    release = later(current_release(), ("audit_log", "severity"))
    with create_database(path) as connection:
        push_schema(connection)
        connection.sqlite.execute("INSERT INTO sqlite_sequence VALUES ('audit_log', 7)")
        push_release(connection, release)
        put(connection, "audit_log")
        assert connection.sqlite.execute("SELECT id FROM audit_log").fetchall() == [(8,)]


def test_the_audit_log_is_still_append_only_after_a_rebuild(old: Path, later: Later) -> None:
    with create_database(old) as connection:
        push_release(connection, later(current_release(), ("audit_log", "severity")))
        for sql in (
            "UPDATE audit_log SET actor = 'mallory'",
            "DELETE FROM audit_log",
            "REPLACE INTO audit_log VALUES (1, 1, 'e', 'a', NULL, NULL, NULL, '{}', 'info', NULL)",
        ):
            with pytest.raises(apsw.ConstraintError, match="append-only"):
                connection.sqlite.execute(sql)


def test_foreign_keys_act_as_before_after_a_rebuild_of_what_they_refer_to(
    old: Path, later: Later, put: Put
) -> None:
    def count(table: Any) -> int:
        [[rows]] = connection.db.execute(select(func.count()).select_from(table))
        return int(rows)

    with create_database(old) as connection:
        release = later(
            current_release(),
            ("agents", "status"),
            ("transactions", "status"),
            ("policies", "type"),
        )
        push_release(connection, release)
        rows_before = {table: count(table) for table in (sessions, policies, pending_approvals)}

        agent = put(connection, "agents")["id"]
        session = put(connection, "sessions", agent_id=agent)["id"]
        put(connection, "policies", agent_id=agent)
        parent = put(connection, "transactions", agent_id=agent, session_id=session)["id"]
        child = put(connection, "transactions", agent_id=agent, parent_id=parent)["id"]
        put(connection, "pending_approvals", tx_id=child)
        with pytest.raises(ConstraintViolated):
            connection.db.execute(delete(agents).where(agents.c.id == agent))
        connection.db.execute(delete(sessions).where(sessions.c.id == session))
        [[kept]] = connection.db.execute(
            select(transactions.c.session_id).where(transactions.c.id == parent)
        )
        assert kept is None
        connection.db.execute(delete(transactions).where(transactions.c.id == parent))
        put(connection, "sessions", agent_id=agent)
        connection.db.execute(delete(agents).where(agents.c.id == agent))
        assert {table: count(table) for table in rows_before} == rows_before


def test_control_the_same_rebuild_with_foreign_keys_on_loses_the_sessions(
    path: Path, later: Later, contents: Contents, put: Put
) -> None:
    """And no check of foreign keys shows it; counting the rows does."""
    release = later(current_release(), ("agents", "status"))
    [step] = [step for step in release.steps if step.version == release.version]
    with create_database(path) as connection:
        push_schema(connection)
        agent = put(connection, "agents")["id"]
        for table in ("sessions", "policies"):
            put(connection, table, agent_id=agent)
        before = contents(connection.sqlite)

        connection.db.begin("IMMEDIATE")
        step.apply(connection.sqlite)
        naive = contents(connection.sqlite)
        assert list(connection.sqlite.execute("PRAGMA foreign_key_check")) == []
        connection.db.rollback()
        assert naive == before | {"sessions": [], "policies": []}

        push_release(connection, release)
        assert contents(connection.sqlite) == before


def test_control_a_rename_that_minds_triggers_fails_on_the_ones_of_another_table(
    old: Path, later: Later
) -> None:
    """SQLite would resolve the trigger's body while the table it speaks of is not there."""
    noted = """CREATE TRIGGER noted AFTER INSERT ON key_value_store BEGIN
        INSERT INTO audit_log (timestamp, event_type, actor, details)
        VALUES (1, 'e', 'a', '{}'); END"""
    first = later(current_release(), added=noted)
    second = later(first, ("audit_log", "severity"))
    with create_database(old) as connection:
        sqlite = connection.sqlite
        push_release(connection, first)
        sqlite.execute("PRAGMA foreign_keys=OFF")
        with suppress(_Undone), sqlite:
            sqlite.execute("CREATE TABLE other (id INTEGER); DROP TABLE audit_log")
            with pytest.raises(apsw.SQLError, match=r"error in trigger \w+: no such table"):
                sqlite.execute("ALTER TABLE other RENAME TO audit_log")
            raise _Undone
        push_release(connection, second)
        _assert_whole(connection, second)


def test_what_is_no_table_is_not_rebuilt() -> None:
    with pytest.raises(ValueError, match="not the definition of a table"):
        rebuild_table(apsw.Connection(":memory:"), "CREATE INDEX i ON t (x)")


# ── an upgrade that must not be ────────────────────────────────────────────────────────────────


def _deletes(sqlite: apsw.Connection) -> None:
    sqlite.execute("DELETE FROM sessions WHERE rowid = 3")


def _drops(sqlite: apsw.Connection) -> None:
    sqlite.execute("DROP TABLE key_value_store")


def _orphans(sqlite: apsw.Connection) -> None:
    sqlite.execute("UPDATE policies SET agent_id = 'nobody' WHERE rowid = 3")


def _narrows(sqlite: apsw.Connection) -> None:
    [(sql,)] = sqlite.execute("SELECT sql FROM sqlite_schema WHERE name = 'agents'")
    rebuild_table(sqlite, str(sql).replace("'ACTIVE', ", ""))


def _forgets_a_column(sqlite: apsw.Connection) -> None:
    [(sql,)] = sqlite.execute("SELECT sql FROM sqlite_schema WHERE name = 'agents'")
    rebuild_table(sqlite, str(sql).replace("suspension_reason TEXT,", ""))


def _does_nothing(sqlite: apsw.Connection) -> None:
    sqlite.execute("SELECT 1")


def _raises(sqlite: apsw.Connection) -> None:
    sqlite.execute("CREATE TABLE half (done INTEGER)")
    raise RuntimeError("a defect")


@pytest.mark.parametrize(
    ("step", "error", "said"),
    [
        (_deletes, UpgradeFailed, r"sessions had \d+ rows and would have \d+"),
        (_drops, UpgradeFailed, r"key_value_store had \d+ rows and would have 0"),
        (_orphans, UpgradeFailed, "row 3 of policies would refer to nothing in agents"),
        (_narrows, UpgradeFailed, "ck_agents_status"),
        (_forgets_a_column, DatabaseError, "suspension_reason"),
        (_does_nothing, UpgradeFailed, "table agents is different"),
        (_raises, RuntimeError, "a defect"),
    ],
)
def test_a_step_that_does_harm_is_undone_and_foreign_keys_are_on_again(
    old: Path,
    later: Later,
    contents: Contents,
    *,
    step: Callable[[apsw.Connection], None],
    error: type[Exception],
    said: str,
) -> None:
    good = later(current_release(), ("agents", "status"))
    bad = good._replace(steps=(*good.steps[:-1], good.steps[-1]._replace(apply=step)))
    with create_database(old) as connection:
        before = contents(connection.sqlite)
        with pytest.raises(error, match=said):
            push_release(connection, bad)
        assert contents(connection.sqlite) == before
        _assert_whole(connection, current_release())
        push_release(connection, good)
        assert contents(connection.sqlite) == before
        _assert_whole(connection, good)


def test_a_failure_of_the_second_step_undoes_the_first(
    old: Path, later: Later, contents: Contents
) -> None:
    first = later(current_release(), ("agents", "status"))
    second = later(first, ("audit_log", "severity"))
    bad = second._replace(steps=(*first.steps, second.steps[-1]._replace(apply=_raises)))
    with create_database(old) as connection:
        before = contents(connection.sqlite)
        with pytest.raises(RuntimeError, match="a defect"):
            push_release(connection, bad)
        assert contents(connection.sqlite) == before
        _assert_whole(connection, current_release())


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_that_was_never_released_is_refused(
    old: Path, later: Later, version: int
) -> None:
    with create_database(old) as connection:
        connection.sqlite.execute(f"PRAGMA user_version={version}")
        for release in (current_release(), later(current_release(), ("agents", "status"))):
            with pytest.raises(SchemaMismatch, match=f"version {version} was never released"):
                push_release(connection, release)
    assert list(old.parent.glob("*before*")) == []


def test_an_older_database_that_somebody_changed_is_refused_before_anything_is_done(
    old: Path, later: Later, digests: Callable[[Path], dict[str, str]]
) -> None:
    with create_database(old) as connection:
        connection.sqlite.execute("DROP INDEX idx_agents_status")
    before = digests(old)
    with create_database(old) as connection, pytest.raises(SchemaMismatch, match="version 1"):
        push_release(connection, later(current_release(), ("agents", "status")))
    assert digests(old) == before
    assert list(old.parent.iterdir()) == [old]


def test_a_step_that_starts_where_the_one_before_does_not_end_is_refused(
    old: Path, later: Later, contents: Contents
) -> None:
    first = later(current_release(), ("agents", "status"))
    second = later(first, ("agents", "chain"))
    astray = second.steps[-1]._replace(before=first.steps[-1].before)
    with create_database(old) as connection:
        before = contents(connection.sqlite)
        with pytest.raises(SchemaMismatch, match="version 2"):
            push_release(connection, second._replace(steps=(*first.steps, astray)))
        assert contents(connection.sqlite) == before
        _assert_whole(connection, current_release())


# ── the form in which schemas are compared ─────────────────────────────────────────────────────


def test_white_space_and_needless_quotes_are_no_change() -> None:
    one = "CREATE TABLE \"agents\" (id TEXT,\n\tCHECK ( id IN ('a b') ) )"
    other = "CREATE TABLE agents(id TEXT,CHECK(id IN('a b')))"
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CHECK (x IN ('a  b'))", "CHECK (x IN ('a b'))"),
        ("CHECK (x = 'y')", 'CHECK (x = "y")'),
        ("""CHECK (x = 'it''s "y"')""", """CHECK (x = 'it''s y')"""),
        ("CHECK (x IN ('a', 'b'))", "CHECK (x IN ('b', 'a'))"),
        ("a TEXT, b TEXT", "b TEXT, a TEXT"),
        ("DEFAULT 0", "DEFAULT 1"),
    ],
)
def test_everything_else_is_a_change(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


def test_a_fingerprint_depends_on_names_kinds_and_definitions_and_not_on_their_order() -> None:
    schema = {("table", "a"): "x", ("index", "b"): "y"}
    same = dict(reversed(schema.items()))
    assert fingerprint(schema) == fingerprint(same)
    others = [{("table", "a"): "x"}, {("table", "b"): "x", ("index", "b"): "y"}, {}]
    assert len({fingerprint(schema), *map(fingerprint, others)}) == 4
