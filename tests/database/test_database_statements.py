"""Statements: built once, compiled once, portable; and any other Core statement through `db`."""

import ast
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import bindparam, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter
from tests.fakes.payments import payment_row

import waiaas.database
from waiaas.database import (
    DatabaseConnection,
    agents,
    audit_log,
    create_database,
    generate_id,
    key_value_store,
    policies,
    push_schema,
)
from waiaas.database.audit import Tail
from waiaas.database.audit_verify import read_head, read_owners_acts
from waiaas.database.decision_history import read_admissions, read_decisions, read_totals
from waiaas.database.errors import DatabaseError, ValueRefused
from waiaas.database.schema import transactions
from waiaas.database.statements import DEFINED, CompiledStatement, Statement
from waiaas.database.tables import Tables
from waiaas.database.totals import wrong_totals
from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    ChainType,
    KillSwitchState,
    NetworkType,
    NotificationEventType,
    PolicyTier,
    PolicyType,
    TransactionStatus,
)
from waiaas.domain.ids import AgentId, AttemptId, PolicyId, SessionId, TransactionId
from waiaas.domain.money import NATIVE
from waiaas.domain.notification import Notification
from waiaas.domain.owner import NO_OWNER, Challenge, Owner, OwnerAction
from waiaas.domain.records import (
    AcceptedRequest,
    AgentRecord,
    ApprovalRecord,
    AttemptRecord,
    DecisionRecord,
    ForeignMovement,
    KillSwitch,
    PolicyRecord,
    SessionRecord,
)
from waiaas.domain.transaction import AttemptState, ReservationState

_psycopg: Any = postgresql.psycopg.dialect
POSTGRESQL: Final = _psycopg()
SOURCES: Final = sorted(Path(waiaas.database.__file__).parent.glob("*.py"))

ours = pytest.mark.parametrize(
    "statement",
    DEFINED,
    ids=[f"{number} {str(s.core)[:20]}" for number, s in enumerate(DEFINED)],
)


def test_every_table_family_defines_its_statements() -> None:
    assert len(DEFINED) > 25
    assert len({id(statement) for statement in DEFINED}) == len(DEFINED)


@ours
def test_a_statement_compiles_for_both_engines(statement: Statement) -> None:
    for dialect in (
        sqlite.dialect(paramstyle="named"),
        POSTGRESQL,
    ):
        compiled = statement.core.compile(dialect=dialect)  # type: ignore[attr-defined]  # -- an Executable is a ClauseElement
        assert isinstance(compiled, SQLCompiler)
        assert str(compiled)
        assert all(value is None for value in compiled.params.values())


@ours
def test_a_statement_has_named_parameters_only_and_no_values_of_its_own(
    statement: Statement,
) -> None:
    assert statement.compiled.constants == {}
    for element in visitors.iterate(statement.core):  # type: ignore[arg-type]  # -- ditto
        if isinstance(element, BindParameter):
            assert element.required
            assert not element.unique, "an anonymous name"
            assert not element.expanding
            assert element.value is None
    named = set(re.findall(r":(\w+)", statement.compiled.sql))
    assert named == {name for name, *_ in statement.compiled.kinds}
    assert {kind for _, kind, _ in statement.compiled.kinds} <= {str, int}, "a parameter has a type"


@ours
def test_a_statement_has_no_literals_and_no_in_list(statement: Statement) -> None:
    sql = statement.compiled.sql
    assert "'" not in sql
    assert not re.search(r'"(?!key")\w+"', sql), "one name is a word of SQL, and quoted"
    assert "?" not in sql
    assert not re.search(r"(?<![\w:])\d+", sql)
    assert not re.search(r"\bIN\b(?! \(SELECT\b)", sql, re.IGNORECASE)


@ours
def test_a_statement_is_understood_by_the_real_schema(
    shared: DatabaseConnection, statement: Statement
) -> None:
    nothing = dict.fromkeys((name for name, *_ in statement.compiled.kinds), None)
    assert shared.sqlite.execute(f"EXPLAIN {statement.compiled.sql}", nothing).fetchall()


def test_only_one_place_builds_an_upsert() -> None:
    calls = {
        (path.name, node.attr)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("on_conflict")
    }
    assert calls == {("run.py", "on_conflict_do_update"), ("run.py", "on_conflict_do_nothing")}
    upserts = [s for s in DEFINED if "ON CONFLICT" in s.compiled.sql]
    assert len(upserts) == 5


def _everything_of_owners(tables: Tables, agent_id: AgentId, tx_id: TransactionId) -> None:
    assert tables.owners.of_agent(agent_id) == NO_OWNER
    owner = Owner("address", is_verified=False)
    assert tables.owners.compare_and_set(agent_id, old=NO_OWNER, new=owner, now_s=2)
    nonce, action = f"nonce of {tx_id}", OwnerAction.APPROVE
    challenge = Challenge(
        nonce=nonce,
        action=action,
        agent_id=agent_id,
        tx_id=tx_id,
        owner_address="address",
        policy_version="a" * 64,
        audit_sequence=0,
        audit_hash="0" * 64,
        message="text",
        created_at=1,
        expires_at=9,
        used_at=None,
        refusals="{}",
    )
    tables.challenges.insert(challenge)
    assert tables.challenges.get(nonce) == challenge
    assert tables.challenges.unused(action, agent_id=agent_id, tx_id=tx_id, now_s=1)
    tables.challenges.set_refusals(nonce, refusals="{}")
    assert tables.challenges.use(nonce, now_s=2)
    assert tables.challenges.used_for(action, tx_id=tx_id)
    assert tables.audit.hash_at(1) or tables.audit.head() == (0, "0" * 64)
    for status in TransactionStatus:
        counted = tables.transactions.count_with_status(status)
        assert counted == len(tables.transactions.ids_with_status(status))
    last_id = tables.audit.last_id()
    assert sum(each.rows for each in tables.audit.count_after(0, most=last_id)) == last_id


def _tell(connection: DatabaseConnection, agent_id: AgentId) -> None:
    """Append to the audit log, first without and then with a memory of its end."""
    audit = Tables(connection.db.execute, Tail()).audit
    for _ in range(2):
        audit.append(AuditEvent(AuditAction.AGENT_RESUMED, "system", agent_id=agent_id), now_s=4)


def _everything(connection: DatabaseConnection) -> int:
    """Call every method of every table family; return how many there are."""
    tables = Tables(connection.db.execute)
    agent_id, session_id, tx_id = (
        AgentId(generate_id()),
        SessionId(generate_id()),
        TransactionId(generate_id()),
    )
    policy = PolicyRecord(PolicyId(generate_id()), agent_id, PolicyType.WHITELIST, "{}", 0, 1, 1, 1)
    tables.agents.insert(
        AgentRecord(
            agent_id,
            "trader",
            ChainType.SOLANA,
            NetworkType.DEVNET,
            f"key of {agent_id}",
            AgentStatus.CREATING,
            1,
            suspended_at=None,
            suspension_reason=None,
        )
    )
    assert tables.agents.get(agent_id)
    assert tables.agents.with_status(AgentStatus.CREATING)
    assert tables.agents.terminated_since(0) == []
    assert tables.agents.count()
    assert tables.agents.compare_and_set_status(
        agent_id, old=AgentStatus.CREATING, new=AgentStatus.ACTIVE, now_s=2
    )
    _sit(tables, agent_id, session_id)
    tables.transactions.insert(payment_row(tx_id, agent_id, session_id=session_id))
    assert tables.transactions.get(tx_id)
    assert tables.transactions.compare_and_set_status(
        tx_id, old=TransactionStatus.PENDING, new=TransactionStatus.EXECUTING
    )
    tables.transactions.set_hash(tx_id, tx_hash=f"hash of {tx_id}")
    tables.transactions.set_error(tx_id, error="none")
    tables.transactions.set_executed_at(tx_id, executed_at=3)
    _divide(tables, tx_id)
    tables.requests.insert(AcceptedRequest(tx_id, agent_id, "key", "{}", "sha", None, None, 1))
    assert tables.requests.get(tx_id) == tables.requests.by_key(agent_id, idempotency_key="key")
    _everything_of_owners(tables, agent_id, tx_id)
    _find_again(tables, agent_id, tx_id)
    tables.attempts.insert(
        AttemptRecord(
            AttemptId(generate_id()),
            tx_id,
            agent_id,
            AttemptState.RECORDED,
            "message",
            f"sha of {tx_id}",
            7,
            100,
            None,
            None,
            1,
        )
    )
    assert tables.attempts.of_transaction(tx_id)
    assert tables.attempts.state_of(tx_id)
    assert tables.attempts.latest_unit_price(agent_id) == 7
    assert tables.attempts.record_signature(tx_id, signed="s", tx_hash=f"hash of {tx_id}")
    assert tables.attempts.compare_and_set_state(
        tx_id, old=AttemptState.SIGNED, new=[*AttemptState][-1]
    )
    _stop(tables, agent_id, session_id)
    _reserve(tables, agent_id, tx_id)
    _wait(tables, tx_id)
    _rule(tables, policy)
    _tell(connection, agent_id)
    assert tables.audit.latest_timestamp() == 4
    tables.outbox.append(
        Notification(NotificationEventType.AGENT_SUSPENDED, agent_id, tx_id, {"reason": "a"}),
        now_s=4,
    )
    told = tables.outbox.after(0, most=9)[-1]
    assert (told.agent_id, told.tx_id, told.details) == (agent_id, tx_id, '{"reason":"a"}')
    tables.key_values.put("key", "value", now_s=1)
    tables.key_values.put("key", "other", now_s=2)
    assert tables.key_values.get("key") == "other"
    return sum(
        not name.startswith("_")
        for family in Tables.__slots__
        for name in dir(getattr(tables, family))
    )


def _decide(connection: DatabaseConnection) -> None:
    """Call every method of the table of decisions, and what reads them all."""
    tables = Tables(connection.db.execute)
    transaction = connection.db.execute(select(transactions).limit(1))[0]
    tx_id, agent_id = transaction.id, transaction.agent_id
    decision = DecisionRecord(tx_id, agent_id, 4, "b" * 64, "{}", PolicyTier.DELAY, "[]")
    tables.decisions.insert(decision, terms='{"document":1}')
    assert tables.decisions.get(tx_id) == decision
    assert tables.decisions.terms("b" * 64) == '{"document":1}'
    assert tables.decisions.terms_of(tx_id) == '{"document":1}'
    assert not tables.decisions.terms_of(TransactionId("none"))
    assert not tables.decisions.admitted_before(decision, most=1)
    [(found, request)] = [
        each for each in read_decisions(connection, since_s=4) if each[0].tx_id == tx_id
    ]
    assert (found, bool(request)) == (decision, True)
    assert agent_id in read_admissions(connection, since_s=0, until_s=9)
    totals = read_totals(connection, since_s=10**6)[agent_id, NATIVE]
    assert totals.before > 0 == len(totals.by_second)


def _divide(tables: Tables, tx_id: TransactionId) -> None:
    """Call every method about the parts of a batch."""
    assert not tables.transactions.parts(tx_id)
    assert not tables.transactions.set_status_of_parts(
        tx_id, old=TransactionStatus.PENDING, new=TransactionStatus.QUEUED
    )


def _sit(tables: Tables, agent_id: AgentId, session_id: SessionId) -> None:
    """Call every method of the table of sessions."""
    tables.sessions.insert(
        SessionRecord(session_id, agent_id, f"h{session_id}", 9, None, 9, 1, "{}")
    )
    assert tables.sessions.get(session_id)
    assert tables.sessions.by_token_hash(f"h{session_id}")
    assert tables.sessions.count_live(agent_id, now_s=1)
    tables.sessions.add_use(session_id, transactions=1, base_units=2**300)
    tables.sessions.add_use(session_id, transactions=1, base_units=-(2**300) + 3)
    assert tables.sessions.used(session_id) == (2, 3)


def _stop(tables: Tables, agent_id: AgentId, session_id: SessionId) -> None:
    """Call every method by which something is stopped."""
    executing = TransactionStatus.EXECUTING
    assert len(tables.transactions.of_agent(agent_id, status=executing)) == 1
    assert tables.agents.suspend(agent_id, reason="why", now_s=3)
    assert not tables.agents.suspend(agent_id, reason="why", now_s=3)
    assert tables.agents.resume(agent_id, now_s=4)
    assert not tables.agents.resume(agent_id, now_s=4)
    [live] = tables.sessions.live_of(agent_id, now_s=1)
    assert live in tables.sessions.live(now_s=1)
    assert tables.sessions.live(now_s=9) == []
    assert tables.sessions.revoke(session_id, now_s=5)
    assert not tables.sessions.revoke(session_id, now_s=6)
    on = KillSwitch(KillSwitchState.ACTIVATED, 7, "why", None)
    tables.kill_switch.move(on)
    assert tables.kill_switch.current() == on


def _reserve(tables: Tables, agent_id: AgentId, tx_id: TransactionId) -> None:
    """Call every method of the table of reservations."""
    tables.reservations.hold(tx_id, agent_id=agent_id, asset="native", amount="6", now_s=1)
    assert tables.reservations.signed(agent_id, asset="native") >= 0
    tables.reservations.lower(tx_id, asset="native", amount="5")
    assert tables.reservations.held(agent_id, asset="native")[0].base_units == 5
    assert tables.reservations.sums(agent_id, asset="native")[1:] in {(0, -1), (12, 3)}
    assert tables.reservations.settle(tx_id, state=ReservationState.SPENT, now_s=2)
    assert tables.reservations.spent_until(agent_id, asset="native", until_s=2) == 5
    assert tables.reservations.amount_of(tx_id, asset="native") == 5
    assert tables.reservations.amount_of(tx_id, asset="other") == 0
    reaches = tables.reservations.spent_reaches
    assert reaches(agent_id, asset="native", base_units=5, after_s=0) == 2
    _find(tables, agent_id, tx_id)


def _find(tables: Tables, agent_id: AgentId, tx_id: TransactionId) -> None:
    """Call every method about what the chain alone knew."""
    movement = ForeignMovement(agent_id, "other", "native", "7", None, 3)
    tables.movements.insert(movement)
    assert tables.movements.has(agent_id, tx_hash="other")
    assert not tables.movements.has(agent_id, tx_hash="another")
    assert movement in tables.movements.counted_since(3)
    assert tables.movements.counted_since(4) == []
    assert tables.reservations.spent_until(agent_id, asset="native", until_s=3) == 12
    assert tables.attempts.by_hash(f"hash of {tx_id}") == tables.attempts.of_transaction(tx_id)
    assert not tables.transactions.has_confirmed(agent_id, before_s=9)
    assert tables.transactions.newest(agent_id=agent_id, before=tx_id, most=1) == []
    assert tables.transactions.newest(agent_id=None, before=None, most=1) != []


def _rule(tables: Tables, policy: PolicyRecord) -> None:
    """Call every method of the table of policies."""
    tables.policies.insert(policy)
    assert policy.agent_id is not None
    assert tables.policies.applying_to(policy.agent_id) == [policy]
    tables.policies.set_rules(policy)
    assert tables.policies.get(policy.id) == policy
    assert tables.policies.of(policy.agent_id) == [policy]
    assert tables.policies.of(None) == []
    tables.policies.delete(policy.id)
    assert tables.policies.get(policy.id) is None


def _find_again(tables: Tables, agent_id: AgentId, tx_id: TransactionId) -> None:
    """Call every method by which a repeated request and too many are found."""
    like = partial(tables.requests.admitted_like, agent_id, request_sha256="sha", reference=None)
    assert like(since_s=0) == tx_id
    assert like(since_s=1) is None
    tables.requests.claim_reference(tx_id, agent_id=agent_id, reference="r")
    assert tables.requests.claimed_by(agent_id, reference="r") == tx_id
    tables.requests.free_reference(tx_id)
    assert tables.requests.claimed_by(agent_id, reference="r") is None
    assert tables.requests.count_admitted(agent_id, since_s=0, most=5) == 1
    assert tables.requests.admitted_at(agent_id, place=1) == 1
    status = (TransactionStatus.EXECUTING,)
    assert tables.transactions.are_fewer(agent_id, statuses=status, most=2)
    assert not tables.transactions.are_fewer(agent_id, statuses=status, most=1)


def _wait(tables: Tables, tx_id: TransactionId) -> None:
    """Call every method of the tables about waiting."""
    approval = ApprovalRecord(generate_id(), tx_id, 9, 9, None, None, 1)
    tables.approvals.insert(approval)
    assert tables.approvals.of_transaction(tx_id) == approval
    assert tables.approvals.undecided(now_s=1) == []  # the transaction is not QUEUED
    assert tables.approvals.approve(tx_id, now_s=2)
    assert not tables.approvals.reject(tx_id, now_s=2)
    tables.waits.begin(tx_id, until_at=5)
    assert tables.waits.until(tx_id) == 5
    assert (tables.waits.due(now_s=4), tables.waits.due(now_s=5)) == ([], [tx_id])
    assert tables.waits.count_open() == 1
    tables.waits.hasten(tx_id, until_at=3)
    assert tables.waits.until(tx_id) == 3
    tables.waits.end(tx_id, now_s=5)
    assert (tables.waits.until(tx_id), tables.waits.count_open()) == (None, 0)


def test_a_warm_ledger_compiles_nothing() -> None:
    """Every statement of every family is used, and used again: the second round compiles none."""
    with create_database(":memory:") as connection:
        push_schema(connection)
        used: set[str] = set()
        connection.sqlite.exec_trace = lambda _, sql, __: not used.add(sql)  # type: ignore[func-returns-value]  # -- None
        methods = _everything(connection)
        _decide(connection)
        assert read_head(connection)
        assert not read_owners_acts(connection)
        assert not list(wrong_totals(connection))
        assert methods >= len(DEFINED) - 18
        assert {statement.compiled.sql for statement in DEFINED} <= used
        made = CompiledStatement.made
        _everything(connection)
        assert CompiledStatement.made == made


def test_a_statement_held_by_its_caller_is_compiled_once(shared: DatabaseConnection) -> None:
    query = select(key_value_store).where(key_value_store.c.key == bindparam("key"))
    shared.db.execute(query, {"key": "a"})
    made = CompiledStatement.made
    for _ in range(10):
        shared.db.execute(query, {"key": "b"})
    assert CompiledStatement.made == made


# ── any other Core statement ───────────────────────────────────────────────────────────────────


@pytest.fixture
def stored(database: DatabaseConnection) -> DatabaseConnection:
    """Return a database with the keys a, b and c, of the times 1, 2 and 3."""
    for number, key in enumerate("abc", start=1):
        row: dict[str, Any] = {"key": key, "value": key.upper(), "updated_at": number}
        database.db.execute(insert(key_value_store), row)
    return database


kv = key_value_store.c


@pytest.mark.parametrize(
    ("statement", "parameters", "wanted"),
    [
        (select(kv.key).where(kv.key.in_(["a", "c", "x"])), None, [("a",), ("c",)]),
        (select(kv.key).where(kv.key.in_([])), None, []),
        (select(kv.key).where(kv.key.not_in(["a"])), None, [("b",), ("c",)]),
        (
            select(kv.key).where(kv.updated_at.in_([1, 2]), kv.key == bindparam("k")),
            {"k": "b"},
            [("b",)],
        ),
        (select(kv.key).where(kv.value == "B"), None, [("b",)]),
        (select(kv.key).where(kv.value == "it's :x %s ?"), None, []),
        (select(kv.key).order_by(kv.key.desc()).limit(2), None, [("c",), ("b",)]),
        (select(kv.key).order_by(kv.key).limit(1).offset(1), None, [("b",)]),
        (select(kv.key).order_by(kv.key).limit(bindparam("n")), {"n": 1}, [("a",)]),
        (select(func.count().label("n"), func.max(kv.updated_at)), None, [(3, 3)]),
        (select(kv.key).where(kv.key == None), None, []),  # noqa: E711 -- SQLAlchemy's IS NULL
        (select(kv.key).where(kv.key == bindparam("k")), {"k": None}, []),
        (select(kv.key).where(kv.key.like("%a%")), None, [("a",)]),
        (text("SELECT key FROM key_value_store WHERE updated_at > :n"), {"n": 2}, [("c",)]),
        (text("SELECT 'a:b' AS x, 'a%' AS y"), None, [("a:b", "a%")]),
        (update(key_value_store).where(kv.key == "a").values(value="Z"), None, []),
        (
            update(key_value_store).values(value=bindparam("v")).returning(kv.value),
            {"v": "N"},
            [("N",)] * 3,
        ),
        (delete(key_value_store).where(kv.key == "a").returning(kv.key), None, [("a",)]),
        (delete(key_value_store), None, []),
        (text("DELETE FROM key_value_store"), None, []),
        (insert(key_value_store).values(key="d", value="D", updated_at=4), None, []),
        (
            insert(key_value_store).values(value="D", updated_at=4).returning(kv.key),
            {"key": "d"},
            [("d",)],
        ),
        (
            insert(key_value_store).values(
                [{"key": k, "value": k, "updated_at": 1} for k in "xyz"]
            ),
            None,
            [],
        ),
        (
            insert(key_value_store).from_select(
                ["key", "value", "updated_at"], select(kv.key + "!", kv.value, kv.updated_at)
            ),
            None,
            [],
        ),
    ],
)
def test_a_core_statement_runs_and_gives_its_rows(
    stored: DatabaseConnection, statement: Any, parameters: Any, wanted: list[tuple[Any, ...]]
) -> None:
    rows = stored.db.execute(statement, parameters)
    assert [tuple(row) for row in rows] == wanted
    again = [tuple(row) for row in stored.db.execute(select(kv.key), {})]
    assert stored.sqlite.in_transaction is False
    assert isinstance(again, list)


def test_what_a_core_statement_writes_is_written(stored: DatabaseConnection) -> None:
    stored.db.execute(update(key_value_store).where(kv.key == "a").values(value="Z"))
    stored.db.execute(delete(key_value_store).where(kv.key == bindparam("gone")), {"gone": "b"})
    stored.db.execute(insert(key_value_store).values(key="d", value="D", updated_at=4))
    rows = stored.db.execute(select(key_value_store).order_by(kv.key))
    assert [tuple(row) for row in rows] == [("a", "Z", 1), ("c", "C", 3), ("d", "D", 4)]


def test_rows_have_attributes_by_column_name(stored: DatabaseConnection) -> None:
    [row] = stored.db.execute(select(key_value_store).where(kv.key == "b"))
    assert (row.key, row.value, row.updated_at) == ("b", "B", 2)
    [row] = stored.db.execute(select(func.count().label("rows")).select_from(key_value_store))
    assert row.rows == 3


def test_an_insert_of_an_audit_row_gives_its_number_by_returning(
    database: DatabaseConnection, required: Callable[..., dict[str, Any]]
) -> None:
    statement = insert(audit_log).returning(audit_log.c.id)
    for number in (1, 2):
        [row] = database.db.execute(statement, required(database, "audit_log"))
        assert row.id == number


def test_the_same_insert_takes_other_columns_the_next_time(database: DatabaseConnection) -> None:
    statement = insert(policies)
    row: dict[str, Any] = {"type": "WHITELIST", "rules": "{}", "created_at": 1, "updated_at": 1}
    database.db.execute(statement, row | {"id": generate_id()})
    database.db.execute(statement, row | {"id": generate_id(), "priority": 7})
    found = database.db.execute(select(policies.c.priority).order_by(policies.c.priority))
    assert [row.priority for row in found] == [0, 7]


@pytest.mark.parametrize(
    ("statement", "parameters", "complaint"),
    [
        (select(agents).where(agents.c.id == bindparam("x")), None, "misses 'x'"),
        (select(agents).where(agents.c.id == bindparam("x")), {}, "misses 'x'"),
        (
            select(agents).where(agents.c.id == bindparam("x")),
            {"y": "1"},
            "misses 'x', does not have 'y'",
        ),
        (
            select(agents).where(agents.c.id == bindparam("x")),
            {"x": "1", "y": "1"},
            "does not have 'y'",
        ),
        (select(agents), {"x": 1}, "does not have 'x'"),
        (select(agents).where(agents.c.id == "1"), {"id_1": "2"}, "does not have 'id_1'"),
        (text("SELECT :x"), {"X": 1}, "misses 'x', does not have 'X'"),
        (
            insert(key_value_store),
            {"key": "k", "value": "v", "updated_at": 1, "nosuch": 1},
            "'nosuch'",
        ),
        (update(key_value_store).values(value=bindparam("v")), {"value": "x"}, "misses 'v'"),
        (text("SELECT nonsense"), None, "no such column: nonsense"),
        (text("nonsense"), None, "syntax error"),
        (text("SELECT * FROM nosuch"), None, "no such table"),
        (select(agents).where(agents.c.id.in_(bindparam("ids"))), {"ids": ["a"]}, "no parameter"),
    ],
)
def test_a_statement_that_does_not_fit_its_parameters_is_a_clear_error(
    database: DatabaseConnection, statement: Any, parameters: Any, complaint: str
) -> None:
    with pytest.raises(DatabaseError, match=re.escape(complaint)):
        database.db.execute(statement, parameters)


@pytest.mark.parametrize("name", [name for s in DEFINED for name, *_ in s.compiled.kinds][:1])
def test_our_own_statements_refuse_missing_and_unknown_parameters_too(
    database: DatabaseConnection, name: str
) -> None:
    for statement in DEFINED:
        whole: dict[str, Any] = {
            name: "x" if kind is str else 1 for name, kind, _ in statement.compiled.kinds
        }
        with pytest.raises(DatabaseError, match="does not have 'nosuch'"):
            database.db.execute(statement, whole | {"nosuch": 1})
        for missing in whole:
            fewer = {key: value for key, value in whole.items() if key != missing}
            with pytest.raises(DatabaseError, match=f"misses {missing!r}"):
                database.db.execute(statement, fewer)
            with pytest.raises(ValueRefused) as refused:
                database.db.execute(statement, whole | {missing: 1.5})
            assert (refused.value.column, refused.value.value) == (missing, 1.5)
    assert name


@pytest.mark.parametrize(
    ("statement", "parameters", "column"),
    [
        (update(key_value_store).values(updated_at="5"), None, "updated_at"),
        (insert(key_value_store).values(key=5, value="v", updated_at=1), None, "key"),
        (text("SELECT 'x" + "x" * 300_000 + "'"), None, "statement"),
        (text("SELECT '\ud800'"), None, "statement"),
        (text("SELECT :x"), {"x": "\udfff"}, "x"),
        (text("SELECT :x"), {"x": 2**64}, "x"),
        (text("SELECT :x"), {"x": b"x" * (17 * 1024 * 1024)}, "x"),
    ],
    ids=["integer", "text", "long statement", "surrogate", "surrogate value", "number", "bytes"],
)
def test_a_value_that_cannot_be_bound_is_refused_by_name(
    database: DatabaseConnection, statement: Any, parameters: Any, column: str
) -> None:
    with pytest.raises(ValueRefused) as refused:
        database.db.execute(statement, parameters)
    assert refused.value.column == column


@pytest.mark.parametrize("statement", ["SELECT 1", None, 5])
def test_what_is_no_statement_is_refused_in_words(
    database: DatabaseConnection, statement: Any
) -> None:
    with pytest.raises(DatabaseError, match=r"wrap SQL text in text\(\)"):
        database.db.execute(statement)


def test_several_sets_of_parameters_are_refused_in_words(database: DatabaseConnection) -> None:
    rows: Any = [{"key": "a", "value": "", "updated_at": 1}] * 2
    with pytest.raises(DatabaseError, match="one mapping for one execution"):
        database.db.execute(insert(key_value_store), rows)


@pytest.mark.parametrize(
    ("values", "value", "column"),
    [
        ({"status": func.upper(bindparam("new"))}, "bad", "status"),
        ({"created_at": bindparam("new")}, "5", "created_at"),
        ({"created_at": bindparam("new")}, 2**70, "created_at"),
        ({"name": "x", "status": bindparam("new")}, "\ud800", "status"),
        ({"status": bindparam("new")}, [1], "status"),
    ],
)
def test_a_parameter_of_any_name_is_refused_by_its_column(
    database: DatabaseConnection,
    put: Any,
    values: dict[str, Any],
    value: Any,
    column: str,
) -> None:
    put(database, "agents")
    with pytest.raises(ValueRefused) as refused:
        database.db.execute(update(agents).values(values), {"new": value})
    assert (refused.value.column, refused.value.value) == (column, value)


@pytest.mark.parametrize(
    ("bad", "column"), [({"created_at": "1"}, "created_at"), ({"rules": "\ud800"}, "rules")]
)
def test_a_value_that_fits_no_row_of_several_is_refused_by_its_column(
    database: DatabaseConnection, bad: dict[str, Any], column: str
) -> None:
    good = {"type": "WHITELIST", "rules": "{}", "created_at": 1, "updated_at": 1}
    rows = [good | {"id": generate_id()}, good | {"id": generate_id()} | bad]
    with pytest.raises(ValueRefused) as refused:
        database.db.execute(insert(policies).values(rows))
    assert (refused.value.column, refused.value.value) == (column, bad[column])


def test_a_refused_value_among_several_rows_is_named(database: DatabaseConnection) -> None:
    good = {"type": "WHITELIST", "rules": "{}", "created_at": 1, "updated_at": 1}
    rows = [good | {"id": generate_id()}, good | {"id": generate_id(), "type": "whitelist"}]
    with pytest.raises(ValueRefused) as refused:
        database.db.execute(insert(policies).values(rows))
    assert refused.value.column == "type"
    assert refused.value.value == ["WHITELIST", "whitelist"]
    assert "in one of the rows" in str(refused.value)
    assert database.db.execute(select(policies)) == []


@pytest.mark.parametrize(
    ("statement", "parameters", "value"),
    [
        (
            update(agents)
            .where(agents.c.status == bindparam("status"))
            .values(status=bindparam("new")),
            {"status": "CREATING", "new": "BAD"},
            "BAD",
        ),
        (
            update(agents).where(agents.c.id == bindparam("of")).values(status="BAD"),
            {"of": "x"},
            "BAD",
        ),
    ],
)
def test_a_refusal_shows_the_value_that_was_to_be_stored(
    database: DatabaseConnection, statement: Any, parameters: dict[str, str], value: str
) -> None:
    row = {"id": "x" * 36, "name": "n", "chain": "solana", "network": "localnet"}
    row |= {"id": generate_id(), "public_key": "k"}
    database.db.execute(insert(agents), row | {"created_at": 1, "updated_at": 1})
    with pytest.raises(ValueRefused) as refused:
        database.db.execute(
            statement, parameters | ({"of": row["id"]} if "of" in parameters else {})
        )
    assert (refused.value.column, refused.value.value) == ("status", value)
