"""A ledger where nothing can be written, as evidence is kept: it is read, and nothing is put there.

The controls: SQLite's ordinary way to read fails there, and with a WAL it is the only right one.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from waiaas.daemon import initialise
from waiaas.database import open_ledger
from waiaas.database.at_rest import is_sealed, open_resting
from waiaas.database.audit_verify import audit_snapshot, verify_audit
from waiaas.database.connection import open_reader
from waiaas.database.errors import DatabaseError
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.offline import export_audit_log, verify_audit_log
from waiaas.rehearsal import backtest_rules


def write_a_row(directory: Path) -> None:
    stopped = AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM)
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.audit.append(stopped, now_s=1_700_000_000))


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    write_a_row(directory)
    return directory


@pytest.fixture
def sealed(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a place of which the system says that nothing can be written there."""
    monkeypatch.setattr(os, "access", lambda path, mode: path != place or mode != os.W_OK)
    return place


def test_what_takes_no_writes_is_read_without_companions(sealed: Path) -> None:
    before = names(sealed)
    with audit_snapshot(sealed / "ledger.db") as connection:
        found = verify_audit(connection)
        assert names(sealed) == before
    assert (found.rows, found.fault) == (1, None)
    with open_reader(sealed / "ledger.db") as connection:
        connection.db.begin("DEFERRED")
        verify_audit(connection)
        assert names(sealed) != before, "control: the ordinary way makes some"


def test_what_the_wal_still_holds_is_not_passed_over(sealed: Path, tmp_path: Path) -> None:
    with open_ledger(sealed) as ledger:
        stopped = AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM)
        ledger.write(lambda tx: tx.audit.append(stopped, now_s=1_700_000_000))
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(sealed / name, tmp_path / name)
        assert not is_sealed(sealed / "ledger.db"), "somebody has it open"
    shutil.copy(tmp_path / "ledger.db-wal", sealed)
    shutil.copy(tmp_path / "ledger.db", sealed)
    with pytest.raises(DatabaseError, match="copy the directory"):
        is_sealed(sealed / "ledger.db")
    with open_reader(sealed / "ledger.db", is_at_rest=True) as connection:
        assert verify_audit(connection).rows == 1, "control: a row would be missing"


def test_what_can_be_written_is_read_in_the_ordinary_way(place: Path) -> None:
    assert not is_sealed(place / "ledger.db")


def test_who_begins_to_write_meanwhile_is_noticed(place: Path) -> None:
    with pytest.raises(DatabaseError, match="meanwhile"):
        read_while_somebody_begins(place / "ledger.db")


def read_while_somebody_begins(file: Path) -> None:
    with open_resting(file, is_at_rest=True) as connection:
        verify_audit(connection)
        file.with_name("ledger.db-wal").write_bytes(b"begun")


def test_on_a_read_only_mount_everything_that_reads_evidence_reads_it(
    tmp_path: Path, unshare: list[str] | None
) -> None:
    if unshare is None:
        pytest.skip("nobody may mount anything here; the modelled place above stands for it")
    directory = tmp_path / "data"
    initialise(directory, b"correct horse battery staple")
    write_a_row(directory)
    mounted = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" "$3" "$1"'
    line = [*unshare, "sh", "-c", mounted, "sh", str(directory), sys.executable, __file__]
    done = subprocess.run(line, check=False, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen == {
        "second": 0,
        "verified": 1,
        "exported": 1,
        "tried": 0,
        "control": "DatabaseError",
    }


def main(directory: Path) -> None:
    found = verify_audit_log(directory, anchor_file=None)
    try:
        with open_reader(directory / "ledger.db") as connection:
            connection.db.begin("DEFERRED")
            verify_audit(connection)
        control = "it was read"
    except DatabaseError as error:
        control = type(error).__name__
    since = "1970-01-01T00:00:00Z"
    tool = Path(__file__).parents[2] / "tools" / "verify_audit.py"
    line = [sys.executable, str(tool), str(directory / "ledger.db")]
    second = subprocess.run(line, check=False, capture_output=True, encoding="utf-8")
    seen = {
        "second": second.returncode,
        "verified": found.rows,
        "exported": len(list(export_audit_log(directory))),
        "tried": backtest_rules(directory, new=None, since=since, agent_id=None)["decisions"],
        "control": control,
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
