"""`waiaas audit`: it proves a real log, beside a daemon and without one, and notices a forger."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waiaas.directory import DaemonError
from waiaas.offline import export_audit_log, read_audit_head, verify_audit_log

pytestmark = [pytest.mark.e2e, pytest.mark.forked]


@pytest.fixture
def second_verifier(root: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs tools/verify_audit.py, and nothing else, on a file."""

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-I", root / "tools" / "verify_audit.py", *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


@pytest.fixture
def root() -> Path:
    """Return the top of the repository."""
    return Path(__file__).resolve().parents[2]


def _forge(ledger: Path, *statements: str) -> None:
    """Do what a person with the file and a SQLite shell can, while no daemon runs."""
    database = sqlite3.connect(ledger)
    try:
        for (name,) in database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name LIKE 'audit%'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(statement)
        database.commit()
    finally:
        database.close()


def test_the_log_of_a_real_daemon_is_proved_and_a_forger_is_noticed(
    waiaas: Any, tmp_path: Path, second_verifier: Callable[..., Any]
) -> None:
    ledger = waiaas.data / "ledger.db"
    empty = verify_audit_log(waiaas.data, anchor_file=None)
    assert (empty.rows, empty.hash, empty.fault) == (0, "0" * 64, None)
    assert read_audit_head(waiaas.data) is None

    daemon = waiaas.start(localnet=False)
    running = waiaas.json("audit", "verify", "--json")
    assert running["intact"]
    assert running["rows"] == 2  # It started, and unlocked its keystore.
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text(f"{read_audit_head(waiaas.data)}\n", encoding="ascii")
    export = tmp_path / "audit.jsonl"
    export.write_bytes(b"".join(export_audit_log(waiaas.data)))
    assert len(export.read_bytes().splitlines()) == 2
    daemon.process.terminate()
    assert daemon.ended() == 0

    # Without a daemon nothing is written, and the log has one row more: it stopped.
    before = ledger.read_bytes()
    stopped = verify_audit_log(waiaas.data, anchor_file=anchors)
    assert (stopped.rows, stopped.anchors, stopped.fault) == (3, 1, None)
    assert b"".join(export_audit_log(waiaas.data)).startswith(export.read_bytes())
    assert ledger.read_bytes() == before
    for file in (ledger, export):
        done = second_verifier(file, "--anchor", anchors)
        assert (done.returncode, done.stderr) == (0, "")
        assert "1 anchors agree" in done.stdout
    assert stopped.hash in second_verifier(ledger).stdout

    # The newest rows are cut off: found by the anchor only.
    _forge(
        ledger, "DELETE FROM audit_log WHERE id > 1", "DELETE FROM audit_chain WHERE audit_id > 1"
    )
    cut = verify_audit_log(waiaas.data, anchor_file=None)
    assert (cut.rows, cut.fault) == (1, None)
    assert second_verifier(ledger).returncode == 0
    done = waiaas.run("audit", "verify", "--anchor", str(anchors), code=6)
    found = json.loads(done.stdout)
    assert (found["intact"], found["fault"], found["sequence"]) == (False, "cut", 2)
    assert "the chain ends at 1, but an anchor says that it reached 2" in done.stderr
    assert second_verifier(ledger, "--anchor", anchors).returncode == 6

    # A row is edited: found by itself.
    _forge(ledger, "UPDATE audit_log SET actor = 'nobody'")
    fault = verify_audit_log(waiaas.data, anchor_file=None).fault
    assert fault is not None
    assert fault.explanation == "audit row 1, or the hash of its link 1, was changed"
    assert second_verifier(ledger).returncode == 6


def test_what_cannot_be_read_is_an_error_and_no_finding(
    waiaas: Any, tmp_path: Path, second_verifier: Callable[..., Any]
) -> None:
    with pytest.raises(DaemonError, match="run `waiaas init` first"):
        verify_audit_log(tmp_path / "elsewhere", anchor_file=None)
    anchors = tmp_path / "anchors"
    said = waiaas.run("audit", "verify", "--anchor", str(anchors), code=2).stderr
    assert "anchors cannot be used" in said
    anchors.write_text("\n{}\n", encoding="ascii")
    with pytest.raises(DaemonError, match="line 2 is not an anchor"):
        verify_audit_log(waiaas.data, anchor_file=anchors)
    assert (
        "is not an anchor" in second_verifier(waiaas.data / "ledger.db", "--anchor", anchors).stderr
    )
    assert second_verifier(anchors).returncode == 1
    assert second_verifier(tmp_path / "nothing").returncode == 1

    ledger = waiaas.data / "ledger.db"
    for content, complaint in [(b"", "it is empty"), (b"x" * 4096, "not a database")]:
        ledger.write_bytes(content)
        with pytest.raises(DaemonError, match=complaint):
            verify_audit_log(waiaas.data, anchor_file=None)
        with pytest.raises(DaemonError, match=complaint):
            list(export_audit_log(waiaas.data))
    ledger.unlink()
    with pytest.raises(DaemonError, match="cannot be opened"):
        read_audit_head(waiaas.data)
    assert not ledger.exists()
    other = sqlite3.connect(ledger)
    other.execute("CREATE TABLE notes (t TEXT)")
    other.close()
    with pytest.raises(DaemonError, match="another application"):
        verify_audit_log(waiaas.data, anchor_file=None)
    assert second_verifier(ledger).returncode == 1
