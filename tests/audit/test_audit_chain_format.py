"""The format of the chain is, byte for byte, what docs/audit-chain.md says it is."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from waiaas.database.audit_verify import _CANONICAL_ROWS
from waiaas.database.chain import (
    GENESIS,
    Anchor,
    anchor_line,
    canonical,
    link_hash,
    parse_anchors,
)
from waiaas.database.statements import compiled

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "audit-chain.md"
ROW: Final = (
    *(1, 1_800_000_000, "DAEMON_STARTED", "system", None, None, None),
    *('{"version":"0.1"}', "info", None),
)
FIRST: Final = "d132b959afc01d8b3c5e3b143636a855093387f99f6647fe5ead16a09ceaae0e"
ESCAPES: Final = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
INTEGERS: Final = (0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
ANCHOR: Final = Anchor(daemon_id=None, sequence=1, hash=FIRST, timestamp=1_800_000_000)


def _written(text: str) -> str:
    """Write a string as RFC 8785, 3.2.2.2 has it."""
    return "".join(ESCAPES.get(ord(c)) or (f"\\u{ord(c):04x}" if ord(c) < 32 else c) for c in text)


def _every_text() -> list[str]:
    """Return every character that can be stored: alone, and all of them in pieces."""
    codes = [*range(0xD800), *range(0xE000, 0x110000)]
    few = [chr(code) for code in codes if code < 0x300 or code % 0x400 in (0, 0x3FF)]
    return few + ["".join(map(chr, codes[at : at + 4096])) for at in range(0, len(codes), 4096)]


def test_the_example_on_the_page_is_the_hash_of_its_row() -> None:
    row = canonical(ROW)
    assert link_hash(GENESIS, row) == FIRST
    page = PAGE.read_text(encoding="utf-8")
    assert FIRST in page
    assert f"row='{row.decode()}'" in page
    parts = (b"waiaas-audit-v1\n", b"0" * 64 + b"\n", b"%d\n" % len(row), row)
    assert hashlib.sha256(b"".join(parts)).hexdigest() == FIRST


def test_every_character_is_written_as_the_standard_says() -> None:
    for text in _every_text():
        assert canonical((text,)).decode() == f'["{_written(text)}"]'


def test_integers_are_written_in_full() -> None:
    for number in INTEGERS:
        assert canonical((number, None)) == f"[{number},null]".encode()


@pytest.fixture
def stored(log: Any) -> Callable[..., tuple[int, bytes]]:
    """Return a function that stores a row and reads it as a verification does."""

    def read(*columns: Any) -> tuple[int, bytes]:
        with log.trial():
            log.sqlite.execute("INSERT INTO audit_log VALUES (?,?,?,?,?,?,?,?,?,?)", columns)
            text = compiled(_CANONICAL_ROWS, {})
            [(number, row)] = log.sqlite.execute(text.sql, text.values({}))
            return number, row

    return read


def test_sqlite_writes_every_character_as_the_writer_does(
    stored: Callable[..., tuple[int, bytes]],
) -> None:
    for text in _every_text():
        row = (7, -5, text, text, text, None, "", json.dumps(text), "warning", text)
        assert stored(*row) == (7, canonical(row))


def test_sqlite_writes_every_integer_as_the_writer_does(
    stored: Callable[..., tuple[int, bytes]],
) -> None:
    for number in INTEGERS:
        row = (1, number, "", "", None, None, None, "{}", "info", None)
        assert stored(*row) == (1, canonical(row))


def test_the_writer_hashes_rows_as_they_are_stored(log: Any, sources: list[Any]) -> None:
    with log.trial():
        for rng in sources:
            log.write(rng, 1)
        before = GENESIS
        for sequence, (link, row) in enumerate(zip(log.links(), log.rows(), strict=True), start=1):
            assert link == (sequence, row[0], before, link_hash(before, canonical(row)))
            before = link[3]


def test_a_row_whose_unit_fails_leaves_neither_link_nor_gap(log: Any, sources: Any) -> None:
    with log.trial():
        log.write(sources[0], 2)
        log.sqlite.execute("SAVEPOINT unit")
        log.write(sources[1], 3)
        log.sqlite.execute("ROLLBACK TO unit")
        log.write(sources[2], 1)
        assert [link[:2] for link in log.links()] == [(1, 1), (2, 2), (3, 3)]
        assert log.verify().fault is None


def test_an_audit_row_whose_link_cannot_be_written_is_an_error(log: Any, sources: Any) -> None:
    with log.trial():
        log.sqlite.execute("DROP TABLE audit_chain")
        with pytest.raises(Exception, match="audit_chain"):
            log.write(sources[0], 1)


# ── anchors ────────────────────────────────────────────────────────────────────────────────────


def test_an_anchor_is_read_as_it_was_written() -> None:
    line = anchor_line(ANCHOR)
    assert json.loads(line) == {
        "daemon_id": None,
        "sequence": 1,
        "hash": FIRST,
        "timestamp": 1_800_000_000,
    }
    assert parse_anchors(f"\n{line}\n\n{line}".encode()) == [ANCHOR, ANCHOR]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "it holds no anchor"),
        (" \n\n", "it holds no anchor"),
        ("{}", "line 1 is not an anchor"),
        (anchor_line(ANCHOR) + "\nx", "line 2 is not an anchor"),
        (anchor_line(ANCHOR)[:-1], "line 1 is not an anchor"),
        (anchor_line(ANCHOR).replace(":1,", ":0,"), "line 1 is not an anchor"),
        (anchor_line(ANCHOR).replace(":1,", ":1.5,"), "line 1 is not an anchor"),
        (anchor_line(ANCHOR).replace(FIRST, FIRST.upper()), "line 1 is not an anchor"),
        (anchor_line(ANCHOR).replace(FIRST, FIRST + "\\n"), "line 1 is not an anchor"),
        (anchor_line(ANCHOR).replace("sequence", "number"), "line 1 is not an anchor"),
        (anchor_line(ANCHOR).replace("null", '"\udcff"'), "line 1 is not an anchor"),
    ],
)
def test_what_is_not_an_anchor_is_refused_with_its_line(content: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_anchors(content.encode("utf-8", "surrogateescape"))


# ── types that a column never has ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("column", ["severity", "actor", "agent_id", "tx_id", "ip_address"])
@pytest.mark.parametrize("length", [0, 3, 6])
def test_a_blob_in_a_text_column_is_found_whatever_it_would_be_written_as(
    log: Any, tool: Any, sources: Any, column: str, length: int
) -> None:
    """Base64 is what msgspec makes of it; json_array reads a JSONB blob as the JSON it is."""
    blobs = [b"\x00" * length, b"info"[:length], b"\x47info"[:length]]
    for blob in blobs:
        with log.trial():
            log.write(sources[0], 3)
            log.without_triggers()
            _into_a_loose_table(log.sqlite)
            log.sqlite.execute(
                f"UPDATE audit_log SET {column} = ? WHERE id = 2",  # noqa: S608 -- a name of ours
                (blob,),
            )
            found = log.verify()
            assert found.rows == 1
            assert found.fault is not None
            pairs = iter(zip(log.links(), log.rows(), strict=True))
            assert tool.verify(pairs, [], None).rows == 1
            with pytest.raises(Exception, match="holds a blob"):
                log.export()


def _into_a_loose_table(sqlite: apsw.Connection) -> None:
    """Have the same rows in a table that is not STRICT, as an edited file may."""
    sqlite.execute("CREATE TABLE copy AS SELECT * FROM audit_log")
    sqlite.execute("DROP TABLE audit_log")
    sqlite.execute(
        "CREATE TABLE audit_log (id INTEGER PRIMARY KEY, timestamp, event_type, actor, agent_id,"
        " session_id, tx_id, details, severity, ip_address)"
    )
    sqlite.execute("INSERT INTO audit_log SELECT * FROM copy")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("timestamp", "'1'"),
        ("timestamp", "1.0"),
        ("timestamp", "NULL"),
        ("actor", "5"),
        ("actor", "5.5"),
        ("actor", "NULL"),
        ("actor", "CAST(x'41ff' AS TEXT)"),
    ],
)
def test_a_value_of_another_type_is_found(log: Any, tool: Any, column: str, value: str) -> None:
    with log.trial():
        log.without_triggers()
        _into_a_loose_table(log.sqlite)
        log.sqlite.execute(
            "INSERT INTO audit_log VALUES (1, 1, 'A', '5', NULL, NULL, NULL, '{}', 'info', NULL)"
        )
        log.rechain()
        assert log.verify().fault is None
        log.sqlite.execute(f"UPDATE audit_log SET {column} = {value}")  # noqa: S608 -- values of ours
        found = log.verify()
        assert (found.rows, found.fault and found.fault.kind) == (0, "edited")
        if "CAST" not in value:
            pairs = iter(zip(log.links(), log.rows(), strict=True))
            assert tool.verify(pairs, [], None).fault is not None
