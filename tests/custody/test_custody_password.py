"""Changing the master password of a stopped daemon: what is written down, and what is refused."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

import pytest
from structlog.testing import capture_logs
from tests.canaries import MARKER
from typer.testing import CliRunner, Result

from waiaas.cli.app import app
from waiaas.custody import _rotate, change_password, raise_cost
from waiaas.database import Ledger, LedgerFull, open_ledger
from waiaas.database.lock import DirectoryLock
from waiaas.directory import DaemonError
from waiaas.keystore.kdf import CURRENT
from waiaas.keystore.rewriting import Rewrite
from waiaas.ports import KeystoreFacts
from waiaas.system import SystemClock

Rows = Callable[[], list[tuple[str, str, Any]]]

OLD: Final = f"{MARKER} the first master password".encode()
NEW: Final = b"the second master password"
NAME: Final = "keystore/keystore.json"
FACTS: Final = KeystoreFacts("1" * 64, "2" * 64)


def not_asked() -> bytes:
    pytest.fail("nobody was to be asked")


def change(data: Path, *, old: bytes = OLD, new: bytes = NEW) -> bool:
    return change_password(
        data, password=lambda: old, new_password=lambda: new, clock=SystemClock()
    )


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Callable[..., Result]:
    """Run `waiaas password change` with passwords in files."""

    def ran(*, old: bytes, new: bytes) -> Result:
        options = []
        for option, password in (("password", old), ("new-password", new)):
            path = tmp_path / option
            path.touch(mode=0o600)
            path.write_bytes(password + b"\n")
            options += [f"--{option}-file", str(path)]
        return CliRunner().invoke(app, ["--data-dir", str(data), "password", "change", *options])

    return ran


def test_a_change_is_two_rows_that_name_the_new_file(
    data: Path, rows: Rows, run: Callable[..., Result]
) -> None:
    result = run(old=OLD, new=NEW)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"changed": True, "recorded": True})
    digest = sha256((data / NAME).read_bytes()).hexdigest()
    expected = {"reason": "password", "keystoreSha256": digest}
    assert rows() == [
        ("KEY_ROTATED", "operator", {**expected, "stage": stage}) for stage in ("begun", "done")
    ]
    refused = run(old=OLD, new=NEW)
    assert refused.exit_code == 4
    assert "does not open" in refused.output
    assert rows()[2:] == [("AUTH_FAILED", "unauthenticated", {"caller": "LOCAL_USER"})]
    assert sha256((data / NAME).read_bytes()).hexdigest() == digest


def test_on_a_full_disk_nothing_is_tried_and_the_ledgers_reserve_stays(
    data: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, ballast = os.statvfs, (data / "ballast").stat()

    def with_room_of(free_bytes: int) -> None:
        told = [*look(data)]
        told[1], told[4] = 1, free_bytes
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(told))

    before = (data / NAME).read_bytes()
    with_room_of(2 * 1024 * 1024 - 1)
    for _ in range(2):  # Not even the second time, in what the first one gave away.
        with pytest.raises(DaemonError, match=r"room for 2047 KiB.*free some space"):
            change_password(data, password=not_asked, new_password=not_asked, clock=SystemClock())
    assert (data / NAME).read_bytes() == before
    assert ((data / "ballast").stat().st_ino, rows()) == (ballast.st_ino, [])
    with_room_of(2 * 1024 * 1024)
    change(data, new=NEW)
    assert (data / NAME).read_bytes() != before


def test_what_is_written_on_the_way_is_for_nobody_else(data: Path) -> None:
    os.umask(0o022)
    change(data, new=NEW)
    assert os.umask(0o022) == 0o077


def test_a_new_password_that_is_refused_leaves_no_trace(data: Path, rows: Rows) -> None:
    before = (data / NAME).read_bytes()
    with pytest.raises(DaemonError, match="12 to 1024 bytes"):
        change(data, new=b"short")
    assert (data / NAME).read_bytes() == before
    assert rows() == []


def test_a_new_password_that_is_the_old_one_changes_nothing(data: Path, rows: Rows) -> None:
    before = (data / NAME).read_bytes()
    with pytest.raises(DaemonError, match="The new password is the old one"):
        change(data, new=OLD)
    assert (data / NAME).read_bytes() == before
    assert rows() == []


def test_beside_a_daemon_nobody_is_asked_for_a_password(data: Path) -> None:
    lock = DirectoryLock(data)
    try:
        with pytest.raises(DaemonError, match="end it with `kill"):
            change_password(data, password=not_asked, new_password=not_asked, clock=SystemClock())
    finally:
        lock.release()


class FullAfter:
    """A ledger that takes some writes and no more."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def write(self, _unit: object) -> None:
        if not self.left:
            raise LedgerFull
        self.left -= 1


def rotated(writes: int, carry_out: Callable[[], None]) -> bool:
    return _rotate(
        Rewrite(FACTS, "0" * 64, carry_out),
        reason="password",
        actor="operator",
        ledger=cast("Ledger", FullAfter(writes)),
        clock=SystemClock(),
    )


def test_a_ledger_that_cannot_take_the_first_row_keeps_the_old_file() -> None:
    with pytest.raises(LedgerFull):
        rotated(0, lambda: pytest.fail("the file was replaced"))


def test_a_ledger_that_cannot_take_the_second_row_makes_no_failure_of_a_change() -> None:
    done: list[str] = []
    assert not rotated(1, lambda: done.append("replaced"))
    assert done == ["replaced"]
    assert rotated(2, lambda: done.append("replaced"))


def test_a_cut_between_the_rows_leaves_a_row_that_claims_nothing(data: Path, rows: Rows) -> None:
    def cut() -> None:
        raise KeyboardInterrupt

    with open_ledger(data) as ledger, pytest.raises(KeyboardInterrupt):
        _rotate(
            Rewrite(FACTS, "0" * 64, cut),
            reason="cost",
            actor="system",
            ledger=ledger,
            clock=SystemClock(),
        )
    assert [(name, details["stage"]) for name, _, details in rows()] == [("KEY_ROTATED", "begun")]


def test_a_start_raises_the_cost_once_and_writes_it_down(data: Path, rows: Rows) -> None:
    higher = CURRENT._replace(memory_kib=CURRENT.memory_kib + 8)
    with open_ledger(data) as ledger:
        for _ in range(2):
            raise_cost(data / "keystore", OLD, ledger=ledger, clock=SystemClock(), cost=higher)
    assert [(name, who, details["reason"]) for name, who, details in rows()] == [
        ("KEY_ROTATED", "system", "cost")
    ] * 2
    assert f'"memory_kib": {higher.memory_kib}' in (data / NAME).read_text()


def test_what_stands_in_the_way_of_a_higher_cost_keeps_nobody_from_starting(
    data: Path, rows: Rows
) -> None:
    higher = CURRENT._replace(lanes=5)
    before = (data / NAME).read_bytes()
    with open_ledger(data) as ledger, capture_logs() as logs:
        raise_cost(data / "keystore", NEW, ledger=ledger, clock=SystemClock(), cost=higher)
    assert (data / NAME).read_bytes() == before
    assert [log["log_level"] for log in logs] == ["warning"]
    assert rows() == []
