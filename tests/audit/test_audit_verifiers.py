"""Two verifiers that share no code say the same of every log, whole or not."""

import ast
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import apsw
import pytest

from waiaas.database.chain import Anchor, FaultKind

LOGS: Final = 10_000
BUDGET_S: Final = 50.0
DAEMON: Final = "01990000-0000-7000-8000-000000000001"


def disturb(log: Any, rng: Any) -> None:
    """Do anything to either table, or nothing."""
    sequence, number = rng.randrange(1, 8), rng.randrange(1, 8)
    hashes = [link[3] for link in log.links()] or ["0" * 64]
    for sql, values in rng.choices(
        [
            ("DELETE FROM audit_log WHERE id = ?", (number,)),
            ("DELETE FROM audit_chain WHERE sequence = ?", (sequence,)),
            ("DELETE FROM audit_log WHERE id >= ?", (number,)),
            ("DELETE FROM audit_chain WHERE sequence >= ?", (sequence,)),
            ("UPDATE audit_log SET actor = actor || 'x' WHERE id = ?", (number,)),
            ("UPDATE audit_log SET timestamp = ~timestamp WHERE id >= ?", (number,)),
            ("UPDATE audit_log SET id = id + 50 WHERE id >= ?", (number,)),
            ("UPDATE audit_chain SET hash = ? WHERE sequence = ?", (rng.choice(hashes), sequence)),
            ("UPDATE audit_chain SET audit_id = ? WHERE sequence = ?", (number, sequence)),
            ("UPDATE audit_chain SET sequence = sequence + 50 WHERE sequence >= ?", (sequence,)),
            ("INSERT INTO audit_log VALUES (?, 1, '', '', 1, 2, 3, '{}', 'info', 4)", (number,)),
            (
                "UPDATE audit_chain SET previous_hash = ? WHERE sequence = ?",
                (rng.choice(hashes), sequence),
            ),
        ],
        k=rng.randrange(1, 3),
    ):
        with suppress(apsw.ConstraintError):  # The number may be taken.
            log.sqlite.execute(sql, values)


@pytest.mark.proof
def test_both_verifiers_agree(
    log: Any, tool: Any, proof: Any, second_opinion: Callable[..., Any]
) -> None:
    whole = tampered = 0
    for rng in proof.cases(full=LOGS, unit="logs", budget_s=BUDGET_S):
        with log.trial():
            log.write(rng, rng.randrange(7))
            anchors = [log.head()] if log.rows() and rng.random() < 0.5 else []
            log.write(rng, rng.randrange(3))
            if rng.random() < 0.6:
                log.without_triggers()
                disturb(log, rng)
                if rng.random() < 0.1:
                    log.rechain()
            ours = log.verify(*anchors)
            opinions = [second_opinion(log.export(), *anchors)]
            if rng.random() < 0.05:
                given = [{"sequence": a.sequence, "hash": a.hash} for a in anchors]
                opinions.append(_from_file(tool, log, given))
            for theirs in opinions:
                if (theirs.rows, theirs.head, theirs.fault is None) != (
                    ours.rows,
                    ours.hash,
                    ours.fault is None,
                ):
                    proof.lose()
                    pytest.fail(f"{ours} but {theirs}: {log.export()}")
            whole += ours.fault is None
            tampered += ours.fault is not None
    proof.control(f"{whole} whole, {tampered} not")
    assert whole
    assert tampered


def _from_file(tool: Any, log: Any, anchors: list[dict[str, Any]]) -> Any:
    """Have the second verifier read the same pages through the standard library's SQLite."""
    database = sqlite3.connect(":memory:")
    try:
        database.deserialize(log.sqlite.serialize("main"))
        return tool.verify(tool.pairs_of_database(database), anchors, None)
    finally:
        database.close()


def test_the_second_verifier_imports_nothing_of_ours_nor_of_others(tool_path: Any) -> None:
    tree = ast.parse(tool_path.read_bytes())
    modules = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert modules
    assert modules <= set(sys.stdlib_module_names)


def test_the_program_says_what_kind_of_fault_it_is(log: Any, sources: list[Any]) -> None:
    def found(*sqls: str) -> tuple[str, int, int | None]:
        with log.trial():
            log.write(sources[0], 5)
            log.without_triggers()
            for sql in sqls:
                log.sqlite.execute(sql)
            fault = log.verify().fault
            assert fault is not None
            return fault.kind, fault.sequence, fault.audit_id

    assert found("UPDATE audit_log SET actor = actor || '!' WHERE id = 3") == ("edited", 3, 3)
    assert found("DELETE FROM audit_log WHERE id = 3") == ("missing-row", 3, 3)
    assert found("DELETE FROM audit_log WHERE id = 5") == ("missing-row", 5, 5)
    assert found("DELETE FROM audit_chain WHERE sequence = 3") == ("missing-link", 3, None)
    assert found("DELETE FROM audit_chain WHERE sequence = 5") == ("extra-row", 5, 5)
    assert found(
        "DELETE FROM audit_log WHERE id = 2",
        "DELETE FROM audit_chain WHERE sequence = 2",
        "UPDATE audit_chain SET sequence = 2 WHERE sequence = 3",
    ) == ("broken-link", 2, 3)
    assert found(
        "UPDATE audit_log SET id = 0 WHERE id = 5",
    ) == ("extra-row", 1, 0)


def test_a_row_written_past_the_library_is_found_at_the_end_and_later(
    log: Any, sources: list[Any]
) -> None:
    """The triggers let it in, for it is a new row; it has no link."""
    with log.trial():
        log.write(sources[0], 2)
        log.sqlite.execute(
            "INSERT INTO audit_log (timestamp, event_type, actor, details)"
            " VALUES (1, 'FORGED', 'mallory', '{}')"
        )
        fault = log.verify().fault
        assert fault is not None
        assert (fault.kind, fault.audit_id) == (FaultKind.EXTRA_ROW, 3)
        log.write(sources[1], 2)
        assert log.verify().fault == fault
        assert log.verify().rows == 2


def test_an_anchor_of_another_daemon_is_called_that(log: Any, sources: list[Any]) -> None:
    with log.trial():
        log.sqlite.execute("INSERT INTO key_value_store VALUES ('daemon.id', ?, 1)", (DAEMON,))
        log.write(sources[0], 2)
        own = log.head()
        assert own.daemon_id == DAEMON
        assert log.verify(own, own).anchors == 2
        other = Anchor(daemon_id="x", sequence=2, hash=own.hash, timestamp=own.timestamp)
        found = log.verify(own, other)
        assert (found.anchors, found.rows) == (1, 2)
        assert found.fault is not None
        assert found.fault.kind == "other-daemon"


def test_an_empty_log_is_whole(log: Any, second_opinion: Callable[..., Any]) -> None:
    with log.trial():
        assert log.verify() == log.verify()
        assert (log.verify().rows, log.verify().hash, log.verify().fault) == (0, "0" * 64, None)
        assert second_opinion(log.export()) == (0, "0" * 64, None)
        anchor = Anchor(daemon_id=None, sequence=1, hash="a" * 64, timestamp=1)
        fault = log.verify(anchor).fault
        assert fault is not None
        assert fault.kind == "cut"
        assert second_opinion(log.export(), anchor).fault is not None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"x", "line 2 is not one of an export"),
        (b"[]", "line 2 is not one of an export"),
        (b"{}", "line 2 is not one of an export"),
        (b'{"sequence": 1, "sequence": 1}', "named twice"),
        (b"[" * 100_000, "line 2 is not one of an export"),
    ],
)
def test_what_is_no_export_is_no_finding(
    log: Any, tool: Any, sources: list[Any], line: bytes, complaint: str
) -> None:
    with log.trial():
        log.write(sources[0], 1)
        lines = [*log.export(), line]
        with pytest.raises(tool.Unreadable, match=complaint):
            list(tool.pairs_of_export(iter(lines)))


def test_a_surrogate_in_an_export_is_not_taken_for_the_bytes_it_escapes(
    log: Any, tool: Any, sources: list[Any]
) -> None:
    with log.trial():
        log.write(sources[0], 1)
        link, row = log.links()[0], list(log.rows()[0])
        row[2] = "\udcc3\udca9"
        assert tool.verify(iter([(link, tuple(row))]), [], None).fault is not None
