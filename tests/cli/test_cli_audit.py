"""`waiaas audit` on a data directory of its own: what is printed, what is written, how it ends."""

import base64
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from tests.canaries import MARKER
from tests.fakes.events import unchecked
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.daemon import initialise
from waiaas.database import create_database, open_ledger
from waiaas.database.audit_verify import audit_snapshot, verify_audit
from waiaas.domain.addresses import solana_address
from waiaas.domain.audit import OPERATOR, SYSTEM, AuditEvent, owner_actor
from waiaas.domain.enums import AuditAction
from waiaas.ports import LedgerTransaction

Run = Callable[..., Any]


def _append(event: AuditEvent, now_s: int, tx: LedgerTransaction) -> None:
    tx.audit.append(event, now_s=now_s)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with three rows in its audit log, to be copied."""
    data = tmp_path_factory.mktemp("audit") / "data"
    initialise(data, f"{MARKER} correct horse".encode())
    started = AuditEvent(AuditAction.DAEMON_STARTED, SYSTEM, details={"version": "\u00e9\u2028"})
    with open_ledger(data) as ledger:
        for now_s in range(3):
            append = partial(_append, started, now_s)
            ledger.write(append)
    return data


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """Return a copy of it; no connection is open."""
    return shutil.copytree(made, tmp_path / "data")


@pytest.fixture
def run(directory: Path) -> Run:
    """Return a function that runs the command line in this process."""

    def command(*arguments: object, code: int = 0) -> Any:
        done = CliRunner().invoke(app, ["--data-dir", str(directory), *map(str, arguments)])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return command


def test_a_whole_log_is_said_to_be_whole(run: Run) -> None:
    assert json.loads(run("audit", "verify").stdout) == {
        "intact": True,
        "rows": 3,
        "hash": json.loads(run("audit", "head").stdout)["hash"],
        "anchors": 0,
    }


def test_the_head_is_an_anchor_that_agrees(run: Run, tmp_path: Path) -> None:
    line = run("audit", "head").stdout
    assert json.loads(line).keys() == {"daemon_id", "sequence", "hash", "timestamp"}
    assert run("audit", "head", "--json").stdout == line
    assert run("audit", "head", "--quiet").stdout == json.loads(line)["hash"] + "\n"
    file = tmp_path / "anchors.jsonl"
    file.write_text(line * 2, encoding="ascii")
    assert json.loads(run("audit", "verify", "--anchor", file).stdout)["anchors"] == 2


def test_an_export_is_a_new_file_for_its_owner_alone(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    run("audit", "export", "--file", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("audit", "export").stdout.encode() == file.read_bytes()
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [(line["sequence"], line["audit_id"], line["id"]) for line in lines] == [
        (number, number, number) for number in (1, 2, 3)
    ]
    assert json.loads(lines[0]["details"]) == {"version": "\u00e9\u2028"}
    done = run("audit", "export", "--file", file, code=1)
    assert "exists and was not overwritten" in done.stderr
    assert "Give another --file." in done.stderr
    assert len(file.read_bytes().splitlines()) == 3


def test_what_was_done_to_it_is_said_and_ends_with_six(
    run: Run, directory: Path, tmp_path: Path
) -> None:
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text(run("audit", "head").stdout.replace(":3,", ":7,"), encoding="ascii")
    done = run("audit", "verify", "--anchor", anchors, code=6)
    assert json.loads(done.stdout)["fault"] == "cut"
    with create_database(directory / "ledger.db") as connection:
        connection.sqlite.execute(
            "INSERT INTO audit_log (timestamp, event_type, actor, details) VALUES (1, 'A', 'b', 1)"
        )
    done = run("audit", "verify", code=6)
    assert json.loads(done.stdout) | {"hash": ""} == {
        "intact": False,
        "rows": 3,
        "hash": "",
        "anchors": 0,
        "fault": "extra-row",
        "sequence": 4,
        "auditId": 4,
    }
    assert "waiaas: the audit log was tampered with: audit row 4 has no link" in done.stderr
    assert json.loads(run("audit", "export").stdout.splitlines()[-1])["sequence"] is None


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_an_anchor_file_without_an_end_is_refused(run: Run, tmp_path: Path, kind: str) -> None:
    places = {"device": Path("/dev/zero"), "pipe": tmp_path / "pipe", "folder": tmp_path}
    os.mkfifo(tmp_path / "pipe")
    done = run("audit", "verify", "--anchor", places[kind], code=2)
    assert f"{places[kind]} cannot be used" in done.stderr


@pytest.mark.parametrize("command", [("head",), ("export",), ("verify",)])
def test_who_cannot_be_told_is_told_so(directory: Path, command: tuple[str, ...]) -> None:
    program = [sys.executable, "-m", "waiaas", "--data-dir", str(directory), "audit", *command]
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = subprocess.run(
            program, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False
        )
    assert done.returncode == 1
    assert done.stderr == "waiaas: standard output takes nothing: No space left on device\n"


# ── what owners signed ─────────────────────────────────────────────────────────────────────────


def signed(directory: Path, **changes: Any) -> None:
    """Write the row of an owner's act; *changes* are to what a genuine one would hold."""
    key = SigningKey.generate()
    with open_ledger(directory) as ledger:
        sequence, head = ledger.read(lambda tx: tx.audit.head())
        facts: dict[str, Any] = {"anchorSequence": sequence, "anchorHash": head} | changes
        message = f"text\n- urn:waiaas:audit:{facts['anchorSequence']}:{facts['anchorHash']}"
        signature = base64.b64encode(key.sign(message.encode()).signature).decode()
        address = solana_address(bytes(key.verify_key))
        whole = {"ownerAddress": address, "message": message, "signature": signature} | facts
        action, actor = AuditAction.TX_APPROVED, owner_actor(address)
        event = unchecked(AuditEvent, action=action, actor=actor, details=whole)
        ledger.write(partial(_append, event, 9))
        operators = AuditEvent(AuditAction.TX_APPROVED, OPERATOR)
        ledger.write(partial(_append, operators, 9))


def test_a_head_that_an_owner_signed_is_an_anchor(directory: Path, run: Run) -> None:
    signed(directory)
    found = json.loads(run("audit", "verify", "--json").output)
    assert (found["intact"], found["rows"], found["anchors"]) == (True, 5, 1)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"anchorHash": "a" * 64}, "rewritten"),  # signed by him: another history was there
        ({"message": "another text"}, "edited"),
        ({"signature": "1" * 88}, "edited"),
        ({"signature": None}, "edited"),
        ({"anchorSequence": "1"}, "edited"),
        ({"ownerAddress": "So11111111111111111111111111111111111111112"}, "edited"),
    ],
)
def test_a_history_made_anew_around_an_owners_signature_is_found(
    changes: dict[str, str], fault: str, directory: Path, run: Run
) -> None:
    """The chain itself is whole in each of them: without the signature nobody would know."""
    signed(directory, **changes)
    done = run("audit", "verify", "--json", code=6)
    assert f'"fault": "{fault}"' in done.output
    with audit_snapshot(directory / "ledger.db") as connection:
        assert verify_audit(connection).fault is None


def test_a_head_signed_before_the_first_row_anchors_nothing(directory: Path, run: Run) -> None:
    signed(directory, anchorSequence=0, anchorHash="0" * 64)
    assert json.loads(run("audit", "verify", "--json").output)["anchors"] == 0
