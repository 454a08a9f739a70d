"""Is the file damaged? What each check finds, what none finds, and that looking changes nothing."""

import random  # noqa: TID251 -- reproducible damage, not secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
import pytest
from sqlalchemy import insert

from waiaas.database import DatabaseConnection, create_database, open_ledger, push_schema
from waiaas.database.audit import AuditLog
from waiaas.database.errors import CheckStopped, DatabaseError
from waiaas.database.ids import generate_id
from waiaas.database.integrity import (
    FIRST_CHECK_BYTES_MAX,
    CheckKind,
    Part,
    check_integrity,
    must_check_first,
)
from waiaas.database.schema import SEVEN_TABLES, audit_log, metadata
from waiaas.database.tables import Tables
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.transaction import ReservationState
from waiaas.ports import LedgerTransaction

if TYPE_CHECKING:
    from tests.conftest import Proof

Put = Callable[..., dict[str, Any]]
Digests = Callable[[Path], dict[str, str]]

QUICK, FULL = CheckKind.QUICK, CheckKind.FULL
PAGE_BYTES: Final = 4096
ROWS: Final = 150
"""In each of the seven tables and, one for each transaction, in those beside them."""


def _fill(connection: DatabaseConnection, put: Put) -> None:
    rows = metadata.tables
    log = AuditLog(connection.db.execute)
    for number in range(ROWS):
        for table in SEVEN_TABLES:
            if table is not audit_log:
                put(connection, table.name)
        log.append(AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM), now_s=number)
        payment = put(
            connection,
            "transactions",
            amount=f"{10**6 + number}",
            status="SUBMITTED",
            tier="NOTIFY",
        )
        shared: dict[str, Any] = {"tx_id": payment["id"], "agent_id": payment["agent_id"]}
        text = f"{number:064x}"
        attempt: dict[str, Any] = {
            "id": generate_id(),
            "state": "SENT",
            "message": text * 5,
            "message_sha256": text,
            "unit_price": 1,
            "last_valid_block_height": 9,
            "created_at": 1,
        }
        request = {"request": "{}", "request_sha256": text}
        connection.db.execute(insert(rows["requests"]), {**shared, **request})
        connection.db.execute(insert(rows["attempts"]), {**shared, **attempt})
        money = Tables(connection.db.execute).reservations
        tx_id, agent_id = TransactionId(payment["id"]), AgentId(payment["agent_id"])
        money.hold(tx_id, agent_id=agent_id, asset="native", amount="1000000", now_s=1)
        if number % 3:
            money.settle(tx_id, state=[*ReservationState][number % 3], now_s=number)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, put: Put) -> bytes:
    """Return the bytes of a database with rows in all tables, as a clean stop leaves it."""
    path = tmp_path_factory.mktemp("sound") / "ledger.db"
    with create_database(path) as connection:
        push_schema(connection)
        with connection.db.transaction():
            _fill(connection, put)
    return path.read_bytes()


@pytest.fixture
def file(path: Path, sound: bytes) -> Path:
    path.write_bytes(sound)
    return path


# ── what is found ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", CheckKind)
def test_nothing_is_found_in_a_sound_file_and_nothing_is_changed(
    file: Path, digests: Digests, kind: CheckKind
) -> None:
    before = digests(file)
    assert check_integrity(file, kind=kind) == []
    assert digests(file).items() >= before.items()


@pytest.mark.parametrize("kind", CheckKind)
def test_a_torn_page_is_found_by_both(file: Path, kind: CheckKind) -> None:
    content = bytearray(file.read_bytes())
    content[-2 * PAGE_BYTES : -PAGE_BYTES] = bytes(PAGE_BYTES)
    file.write_bytes(content)
    findings = check_integrity(file, kind=kind)
    assert findings
    assert all("\n" not in finding.text for finding in findings)


def test_an_index_that_does_not_fit_its_table_is_found_by_the_full_check_alone(file: Path) -> None:
    content = file.read_bytes()
    token = b"hash of "
    place = content.rindex(token)  # In the index or in the table: the other has it otherwise.
    file.write_bytes(content[:place] + b"hash if " + content[place + len(token) :])
    assert check_integrity(file, kind=QUICK) == []
    assert any("index" in finding.text for finding in check_integrity(file, kind=FULL))


def test_a_row_without_its_parent_is_found_by_the_full_check_alone(file: Path) -> None:
    with create_database(file) as connection:
        connection.sqlite.execute("PRAGMA foreign_keys=OFF")
        connection.sqlite.execute("DELETE FROM agents")
    assert check_integrity(file, kind=QUICK) == []
    findings = check_integrity(file, kind=FULL)
    assert {finding.part for finding in findings} == {Part.REFERENCES}
    assert "of sessions refers to nothing in agents" in str(findings)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE held_totals SET total = '1' || total",
        "UPDATE spent_totals SET total = '1' || total",
        "UPDATE spent_totals SET settled_at = settled_at + 1",
        "DELETE FROM held_totals",
        "DELETE FROM spent_totals",
        "UPDATE reservations SET amount = '1' || amount WHERE state = 'HELD'",
        "UPDATE reservations SET amount = '1' || amount WHERE state = 'SPENT'",
        "UPDATE reservations SET state = 'RELEASED' WHERE state = 'HELD'",
        "UPDATE reservations SET state = 'RELEASED' WHERE state = 'SPENT'",
        "UPDATE transactions SET tier = 'DELAY' WHERE status = 'SUBMITTED'",
    ],
)
def test_a_total_that_is_not_the_sum_of_its_rows_is_found_by_the_full_check_alone(
    file: Path, change: str
) -> None:
    sqlite = apsw.Connection(str(file))
    sqlite.execute(change)
    sqlite.close()
    assert not check_integrity(file, kind=QUICK)
    [finding] = check_integrity(file, kind=FULL)
    assert finding.part is Part.TOTALS


def test_an_audit_row_that_is_not_what_its_link_says_is_found_by_the_full_check_alone(
    file: Path,
) -> None:
    sqlite = apsw.Connection(str(file))
    triggers = sqlite.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit_log'"
    )
    kept = [(str(name), str(sql)) for name, sql in triggers]
    for name, _ in kept:
        sqlite.execute(f"DROP TRIGGER {name}")
    sqlite.execute("UPDATE audit_log SET actor = 'operator' WHERE id = 3")
    for _, sql in kept:
        sqlite.execute(sql)
    sqlite.close()
    assert not check_integrity(file, kind=QUICK)
    [finding] = check_integrity(file, kind=FULL)
    assert finding.part is Part.CHAIN


@pytest.mark.parametrize("kind", CheckKind)
def test_what_is_no_database_any_more_is_a_finding(file: Path, kind: CheckKind) -> None:
    file.write_bytes(b"not SQLite" + file.read_bytes()[10:])
    assert [finding.part for finding in check_integrity(file, kind=kind)] == [Part.FILE]


def test_what_is_not_there_is_an_error_and_no_finding(path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be opened"):
        check_integrity(path, kind=QUICK)


# ── beside everything else ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", CheckKind)
def test_a_check_ends_when_it_is_told_to(file: Path, kind: CheckKind) -> None:
    with create_database(file) as connection, connection.db.transaction():
        for number in range(3000):
            connection.sqlite.execute(
                "INSERT INTO key_value_store VALUES (?, '', 1)", (f"{number}",)
            )
    looks: list[None] = []

    def stopped() -> bool:
        looks.append(None)
        return len(looks) > 1

    with pytest.raises(CheckStopped):
        check_integrity(file, kind=kind, is_stopped=stopped)
    assert len(looks) == 2
    assert check_integrity(file, kind=kind, is_stopped=threading.Event().is_set) == []


def test_a_check_runs_beside_a_writer(tmp_path: Path) -> None:
    def fill(tx: LedgerTransaction) -> None:
        for number in range(3000):
            tx.key_values.put(f"{number}", "", now_s=1)

    with open_ledger(tmp_path / "data") as ledger:

        def look() -> bool:
            ledger.write(lambda tx: tx.key_values.put("a", "value", now_s=1))
            return False

        ledger.write(fill)
        assert check_integrity(ledger.path, kind=FULL, is_stopped=look) == []
        assert ledger.read(lambda tx: tx.key_values.get("a")) == "value"


@pytest.mark.parametrize(
    ("was_clean", "size_bytes", "first"),
    [
        (True, FIRST_CHECK_BYTES_MAX, False),
        (True, FIRST_CHECK_BYTES_MAX - 1, True),
        (False, FIRST_CHECK_BYTES_MAX, True),
        (False, 0, True),
    ],
)
def test_only_a_large_file_that_was_closed_cleanly_is_checked_after_the_start(
    *, was_clean: bool, size_bytes: int, first: bool
) -> None:
    assert must_check_first(was_clean=was_clean, size_bytes=size_bytes) is first


def test_an_amount_that_is_no_number_any_more_is_found(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"native1000000HELD", b"native1p00000HELD"))
    [found] = check_integrity(file, kind=FULL)
    assert (found.part, "1p00000" in found.text) == (Part.TOTALS, True)


# ── single flipped bits ────────────────────────────────────────────────────────────────────────


def _flip(content: bytes, chance: random.Random) -> bytes:
    flipped = bytearray(content)
    flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _sees(look: Callable[[Path], object], directory: Path) -> bool:
    """Tell whether a look finds something, or finds the file unusable."""
    try:
        return bool(look(directory))
    except DatabaseError:
        return True


def _quick(directory: Path) -> object:
    return check_integrity(directory / "ledger.db", kind=QUICK)


def _full(directory: Path) -> object:
    return check_integrity(directory / "ledger.db", kind=FULL)


def _opening(directory: Path) -> object:
    with open_ledger(directory) as ledger:
        return ledger.damage


def _naive(directory: Path) -> object:
    """Do what a program without a check does at its start."""
    with create_database(directory / "ledger.db") as connection:
        push_schema(connection)
    return None


@pytest.mark.proof
def test_bit_flips_are_seen_by_as_many_checks_as_the_documentation_says(
    proof: "Proof", sound: bytes, tmp_path: Path
) -> None:
    """And what the check at the start sees is never written to."""
    seen: Counter[str] = Counter()
    cases = 0
    for chance in proof.cases(full=1000, unit="bit flips", budget_s=40):
        cases += 1
        directory = tmp_path / f"{cases}"
        directory.mkdir(mode=0o700)
        file, content = directory / "ledger.db", _flip(sound, chance)
        file.write_bytes(content)
        by_quick, by_full = _sees(_quick, directory), _sees(_full, directory)
        assert by_full or not by_quick, "the full check includes the quick one"
        refuses = _sees(_opening, directory)
        if by_quick and not (refuses and file.read_bytes() == content):
            proof.lose()
        file.write_bytes(content)
        seen.update(quick=by_quick, full=by_full, naive=_sees(_naive, directory))
        shutil.rmtree(directory)
    share = {name: f"{100 * count / cases:.1f} %" for name, count in seen.items()}
    proof.control(f"quick saw {share['quick']}, full {share['full']}, no check {share['naive']}")
    assert proof._losses == 0
    assert seen["naive"] <= seen["quick"] < seen["full"] < cases
