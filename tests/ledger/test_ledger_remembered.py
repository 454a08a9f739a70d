"""What the writer remembers is what is committed, whoever committed it; a naive memory is not."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Select
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.sql.schema import Column, Table

from waiaas.database import DatabaseConnection, Ledger, create_database, push_schema
from waiaas.database.errors import ConstraintViolated
from waiaas.database.integrity import CheckKind, check_integrity
from waiaas.database.remembered import ANSWERS_KEPT_MAX, RARELY_WRITTEN, Remembered
from waiaas.database.schema import metadata
from waiaas.database.statements import DEFINED, Parameters, Statement
from waiaas.database.tables import Tables
from waiaas.database.triggers import TRIGGERS
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    ChainType,
    KillSwitchState,
    NetworkType,
    PolicyType,
)
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import AgentId, PolicyId, SessionId
from waiaas.domain.records import (
    AgentRecord,
    KillSwitch,
    PolicyRecord,
    SessionRecord,
)
from waiaas.ports import LedgerTransaction

AGENT_ID: Final = AgentId("01990000-0000-7000-8000-000000000001")
SESSION_ID: Final = SessionId("01990000-0000-7000-8000-000000000002")
POLICY_ID: Final = PolicyId("01990000-0000-7000-8000-000000000003")
POLICY: Final = PolicyRecord(POLICY_ID, AGENT_ID, PolicyType.SPENDING_LIMIT, "{}", 0, 1, 1, 1)
SUSPENDED: Final = KillSwitch(KillSwitchState.ACTIVATED, 1, "why", None)

Act = Callable[[LedgerTransaction], object]

CHANGES: Final[dict[str, Act]] = {
    "agent": lambda tx: tx.agents.suspend(AGENT_ID, reason="why", now_s=2),
    "session": lambda tx: tx.sessions.revoke(SESSION_ID, now_s=2),
    "policy": lambda tx: tx.policies.set_rules(POLICY._replace(rules='{"a": 1}')),
    "no policy": lambda tx: tx.policies.delete(POLICY_ID),
    "another policy": lambda tx: tx.policies.insert(
        POLICY._replace(id=PolicyId("01990000-0000-7000-8000-000000000004"))
    ),
    "kill switch": lambda tx: tx.kill_switch.move(SUSPENDED),
    "restored": lambda tx: tx.key_values.put("restored_at", "2", now_s=2),
}


def fill(tx: LedgerTransaction) -> None:
    tx.agents.insert(
        AgentRecord(
            AGENT_ID, "a", ChainType.SOLANA, NetworkType.LOCALNET, "key", AgentStatus.ACTIVE, 1,
            suspended_at=None, suspension_reason=None)
    )  # fmt: skip
    tx.sessions.insert(SessionRecord(SESSION_ID, AGENT_ID, "hash", 99, None, 99, 1, None))
    tx.policies.insert(POLICY)


def seen(tx: LedgerTransaction) -> tuple[object, ...]:
    """Ask everything that is remembered."""
    return (
        tx.agents.get(AGENT_ID),
        tx.sessions.get(SESSION_ID),
        tx.policies.applying_to(AGENT_ID),
        tx.kill_switch.current(),
        tx.key_values.get("restored_at"),
    )


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    ledger.write(fill)
    return ledger


@pytest.fixture
def other(filled: Ledger) -> Iterator[DatabaseConnection]:
    """Return a connection of somebody else, who does not ask the daemon's lock."""
    with create_database(filled.path) as connection:
        yield connection


class Refused(Exception):  # noqa: N818 -- says what happened
    pass


def refused(act: Act) -> Act:
    def unit(tx: LedgerTransaction) -> None:
        act(tx)
        seen(tx)
        raise Refused

    return unit


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_another_connection_committed_is_seen_by_the_next_unit(
    change: Act, filled: Ledger, other: DatabaseConnection
) -> None:
    before = filled.write(seen)
    with other.db.transaction():
        change(Tables(other.db.execute))
    assert filled.write(seen) == filled.read(seen) != before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_control_who_does_not_ask_for_other_commits_judges_by_what_was(
    change: Act, filled: Ledger, other: DatabaseConnection
) -> None:
    filled.write(lambda _tx: setattr(filled._writer._remembered, "_version_now", lambda: 1))
    before = filled.write(seen)
    with other.db.transaction():
        change(Tables(other.db.execute))
    assert filled.write(seen) == before != filled.read(seen)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_unit_sees_its_own_change_and_so_does_every_later_one(
    change: Act, filled: Ledger, in_one_group: Callable[..., list[Any]]
) -> None:
    before = filled.write(seen)
    _, inside, beside = in_one_group(filled, seen, lambda tx: (change(tx), seen(tx))[1], seen)
    assert inside == beside == filled.write(seen) == filled.read(seen) != before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_rolled_back_is_not_remembered(
    change: Act, filled: Ledger, in_one_group: Callable[..., list[Any]]
) -> None:
    before = filled.write(seen)
    undone, beside = in_one_group(filled, refused(change), seen)
    assert isinstance(undone, Refused)
    assert beside == filled.write(seen) == before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_control_who_remembers_inside_a_change_keeps_what_was_rolled_back(
    change: Act, filled: Ledger, in_one_group: Callable[..., list[Any]]
) -> None:
    before = filled.write(seen)
    remembered = filled._writer._remembered

    def again(tx: LedgerTransaction) -> None:
        change(tx)
        remembered._is_uncommitted = False

    in_one_group(filled, refused(again), seen)
    assert filled.write(seen) != before


@given(
    st.lists(st.tuples(st.sampled_from(["unit", "undone", "other"]), st.sampled_from([*CHANGES])))
)
def test_whatever_happens_between_the_answers_are_those_of_the_file(
    history: list[tuple[str, str]],
) -> None:
    with create_database(":memory:") as connection:
        push_schema(connection)
        plain = Tables(connection.db.execute)
        commits_of_others = 0
        remembered = Remembered(connection.db.execute, lambda: commits_of_others)
        tables = Tables(remembered)
        fill(plain)
        for kind, name in history:
            change = CHANGES[name]
            if name == "another policy":
                plain.policies.delete(PolicyId("01990000-0000-7000-8000-000000000004"))
                commits_of_others += 1
            connection.db.begin("IMMEDIATE")
            remembered.begin()
            assert seen(tables) == seen(plain)
            if kind == "other":
                connection.db.rollback()
                change(plain)
                commits_of_others += 1
                continue
            change(tables)
            assert seen(tables) == seen(plain)
            connection.sqlite.execute("ROLLBACK" if kind == "undone" else "COMMIT")


# ── where the audit log ends ───────────────────────────────────────────────────────────────────


def told(text: str, *, now_s: int = 1) -> Act:
    event = AuditEvent(AuditAction.OPERATION_REFUSED, OPERATOR, details={
        "operation": text, "code": ErrorCode.AGENT_NOT_ACTIVE})  # fmt: skip
    return lambda tx: tx.audit.append(event, now_s=now_s)


def ends(tx: LedgerTransaction) -> tuple[int, int]:
    """Return how many links there are, and the time of the last row."""
    return tx.audit.head()[0], tx.audit.latest_timestamp()


def test_the_chain_goes_on_after_units_that_are_undone_and_rows_of_others(
    filled: Ledger, other: DatabaseConnection, in_one_group: Callable[..., list[Any]]
) -> None:
    filled.write(told("a", now_s=5))
    assert filled.write(ends) == (1, 5)
    in_one_group(filled, told("b", now_s=6), refused(told("c", now_s=7)), told("d", now_s=6))
    assert filled.write(ends) == (3, 6)
    with other.db.transaction():
        told("e", now_s=9)(Tables(other.db.execute))
    assert filled.write(ends) == (4, 9)
    filled.write(told("f", now_s=9))
    assert filled.read(ends) == filled.write(ends) == (5, 9)
    assert not check_integrity(filled.path, kind=CheckKind.FULL)


def test_control_who_does_not_forget_what_was_undone_is_refused_by_the_ledger(
    filled: Ledger, in_one_group: Callable[..., list[Any]]
) -> None:
    filled.write(told("a"))
    filled.write(lambda _tx: setattr(filled._writer._tail, "forget", lambda: None))
    _, refusal = in_one_group(filled, refused(told("b")), told("c"))
    assert isinstance(refusal, ConstraintViolated)
    assert filled.read(ends) == (1, 1)


def test_a_row_whose_link_is_refused_is_not_remembered_as_the_end(filled: Ledger) -> None:
    filled.write(told("a"))
    last = filled._writer._tail.last
    assert last is not None

    def unit(tx: LedgerTransaction) -> None:
        filled._writer._tail.last = last._replace(sequence=last.sequence + 1)
        with pytest.raises(ConstraintViolated):
            told("b", now_s=8)(tx)
        assert tx.audit.latest_timestamp() == 8
        raise Refused

    with pytest.raises(Refused):
        filled.write(unit)
    filled.write(told("c"))
    assert filled.write(ends) == (2, 1)


# ── what is remembered ─────────────────────────────────────────────────────────────────────────


def test_what_is_remembered_is_asked_once() -> None:
    asked: list[Statement] = []

    def run(statement: Statement, parameters: Parameters | None = None, /) -> list[Any]:
        asked.append(statement)
        return connection.db.execute(statement, parameters)

    with create_database(":memory:") as connection:
        push_schema(connection)
        fill(Tables(connection.db.execute))
        remembered = Remembered(run, lambda: 1)
        for _ in range(3):
            remembered.begin()
            seen(Tables(remembered))
        assert len(asked) == len(seen(Tables(connection.db.execute)))
        for number in range(ANSWERS_KEPT_MAX + 1):
            assert Tables(remembered).key_values.get(f"{number}") is None
        assert 0 < len(remembered._kept) <= ANSWERS_KEPT_MAX


def test_an_answer_is_the_asker_s_own() -> None:
    with create_database(":memory:") as connection:
        push_schema(connection)
        fill(Tables(connection.db.execute))
        remembered = Remembered(connection.db.execute, lambda: 1)
        remembered.begin()
        statement = next(each for each in DEFINED if each.is_remembered)
        names = [name for name, *_ in statement.compiled.kinds]
        given = dict.fromkeys(names, AGENT_ID)
        remembered(statement, given).append("nonsense")
        assert "nonsense" not in remembered(statement, given)


def _tables_of(statement: Statement) -> set[Table]:
    assert isinstance(statement.core, ClauseElement)
    parts = list(visitors.iterate(statement.core))
    return {each for each in parts if isinstance(each, Table)} | {
        each.table for each in parts if isinstance(each, Column)
    }


def test_a_remembered_query_reads_only_tables_whose_writing_is_noticed() -> None:
    found = [statement for statement in DEFINED if statement.is_remembered]
    assert len(found) == len(RARELY_WRITTEN)
    for statement in found:
        assert isinstance(statement.core, Select)
        assert _tables_of(statement) <= RARELY_WRITTEN
    # The control: what reads another table, too, is seen.
    assert any(not _tables_of(each) <= RARELY_WRITTEN for each in DEFINED if each not in found)


def test_nothing_else_writes_a_table_that_is_remembered() -> None:
    parents = {key.column.table for table in RARELY_WRITTEN for key in table.foreign_keys}
    assert parents <= RARELY_WRITTEN
    writes = ("UPDATE ", "INTO ", "DELETE FROM ")
    for trigger in TRIGGERS:
        body = trigger.partition("BEGIN")[2]
        assert not any(f"{each}{table}" in body for each in writes for table in metadata.tables)
