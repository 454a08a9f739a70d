"""The shipped program on a disk that fails, and on one that is full.

An unknown commit ends it, and the restart looks; a full disk makes it read-only until there is
space. The disk is a `sitecustomize` module on the program's path: it makes SQLite use, by default,
a file system that fails while a certain file is there.
"""

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waiaas.offline import read_tables

pytestmark = pytest.mark.e2e

AMOUNT = 10**6
COMMIT_UNKNOWN = 70
"""The exit status of a daemon that cannot know what became of a commit."""

FAILING_DISK = """
import os, apsw

system, *_ = apsw.vfs_names()
look = os.statvfs

def is_full():
    "Tell whether there is no space; what the ballast occupied is there when it has been let go."
    return os.path.exists({full!r}) and (
        os.path.exists({ballast!r}) or os.path.getsize({full!r}) > 0
    )

def statvfs(path):
    none = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
    return none if os.path.exists({full!r}) else look(path)

os.statvfs = statvfs

class Disk(apsw.VFS):
    def __init__(self):
        super().__init__("failing", system, makedefault=True)

    def xOpen(self, name, flags):
        return File(system, name, flags)

class File(apsw.VFSFile):
    def __init__(self, base, name, flags):
        super().__init__(base, name, flags)
        self.is_wal = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

    def xWrite(self, data, offset):
        if self.is_wal and is_full():
            raise apsw.FullError("no space")
        super().xWrite(data, offset)

    def xSync(self, flags):
        if self.is_wal and os.path.exists({broken!r}):
            raise apsw.IOError("the cable came off")
        super().xSync(flags)

disk = Disk()
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return the file whose presence breaks the disk of a daemon started with `environment`."""
    return tmp_path / "broken"


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Return the file whose presence fills that disk, and if it is not empty, for the ballast too.

    What the ballast gives back is room enough for everything, here; but nothing else tries it.
    """
    return tmp_path / "full"


@pytest.fixture
def environment(waiaas: Any, tmp_path: Path, broken: Path, full: Path) -> dict[str, str]:
    modules = tmp_path / "modules"
    modules.mkdir()
    program = FAILING_DISK.format(
        broken=str(broken), full=str(full), ballast=str(waiaas.data / "ballast")
    )
    (modules / "sitecustomize.py").write_text(program, encoding="utf-8")
    return {"PYTHONPATH": str(modules)}


def test_an_unknown_commit_ends_the_daemon_and_the_payment_is_made_once_after_the_restart(
    waiaas: Any,
    chain_of: Callable[[Any], Any],
    environment: dict[str, str],
    broken: Path,
    recipient: str,
) -> None:
    daemon = waiaas.start(env=environment)
    agent = daemon.funded_agent()
    known = agent.pay(recipient, AMOUNT, key="before")["id"]
    agent.ended(known)

    broken.touch()
    with pytest.raises((OSError, http.client.HTTPException)):
        agent.pay(recipient, AMOUNT, key="unknown")

    assert daemon.ended() == COMMIT_UNKNOWN
    log = daemon.log.read_text(encoding="utf-8")
    assert "the outcome of a commit is unknown (the cable came off)" in log
    assert "Traceback" not in log

    broken.unlink()
    restarted = waiaas.start(env=environment)
    agent = type(agent)(restarted.url, agent.token)
    asked_again = agent.pay(recipient, AMOUNT, key="unknown")["id"]
    assert agent.ends(asked_again) == "CONFIRMED"
    paid = read_tables(waiaas.data)["transactions"]
    assert len(paid.rows) == 2
    assert chain_of(waiaas).balance(recipient) == 2 * AMOUNT


def ledger_events(waiaas: Any) -> list[str]:
    table = read_tables(waiaas.data)["audit_log"]
    column = table.columns.index("event_type")
    told = ("LEDGER_", "KEYSTORE_LOCKED")
    return [str(row[column]) for row in table.rows if str(row[column]).startswith(told)]


def refusal(agent: Any, recipient: str, *, key: str) -> dict[str, Any]:
    """Ask for a payment that is refused; return the answer."""
    with pytest.raises(Exception, match="LEDGER_FULL") as refused:
        agent.pay(recipient, AMOUNT, key=key)
    answer: dict[str, Any] = refused.value.body  # type: ignore[attr-defined]  # -- a Problem
    return answer


def test_a_full_disk_refuses_payments_reads_on_and_goes_on_when_there_is_space(
    waiaas: Any,
    chain_of: Callable[[Any], Any],
    environment: dict[str, str],
    full: Path,
    recipient: str,
) -> None:
    daemon = waiaas.start(env=environment)
    agent = daemon.funded_agent()
    before = agent.pay(recipient, AMOUNT, key="before")["id"]
    agent.ended(before)
    under_way = agent.pay(recipient, AMOUNT, key="under-way")["id"]

    full.touch()
    for _ in range(3):
        answer = refusal(agent, recipient, key="asked-on-the-full-disk")
        assert (answer["status"], answer["retryable"]) == (507, True)
        assert "free space" in answer["hint"]
    assert not (waiaas.data / "ballast").exists()
    assert ledger_events(waiaas) == ["LEDGER_FULL"], "in the room of the ballast, once"
    assert agent.get(f"/v1/transactions/{before}")["status"] == "CONFIRMED"
    assert agent.get(f"/v1/transactions/{under_way}")["id"] == under_way
    assert agent.get("/health")["status"] == "read_only"

    full.unlink()
    after = agent.pay(recipient, AMOUNT, key="asked-on-the-full-disk")["id"]
    assert {agent.ends(payment) for payment in (under_way, after)} == {"CONFIRMED"}
    assert agent.get("/health")["status"] == "ok"
    assert (waiaas.data / "ballast").exists()
    assert ledger_events(waiaas) == ["LEDGER_FULL", "LEDGER_RESUMED"]

    # Control: where the ballast gives no room, a full disk is refused but cannot be recorded.
    full.write_text("to the last byte", encoding="ascii")
    assert refusal(agent, recipient, key="never")["status"] == 507
    assert ledger_events(waiaas) == ["LEDGER_FULL", "LEDGER_RESUMED"]
    full.unlink()

    # With the room of the ballast the kill switch is turned on although nothing else is written.
    full.touch()
    done = waiaas.json("kill-switch", "on")
    assert (done["state"], done["agentsSuspended"]) == ("ACTIVATED", 1)
    # So are the keys locked; that they are is told beside the full disk.
    locked, status = waiaas.json("lock"), waiaas.json("status")
    told = (status["status"], status["killSwitch"], status["locked"], ledger_events(waiaas)[-1])
    assert (locked["locked"], *told) == (True, "read_only", "ACTIVATED", True, "KEYSTORE_LOCKED")
    full.unlink()

    daemon.process.terminate()
    assert daemon.ended() == 0
    log = daemon.log.read_text(encoding="utf-8")
    assert "FULL_UNRECORDED" in log
    assert "Traceback" not in log
    paid = read_tables(waiaas.data)["transactions"]
    assert {row[paid.columns.index("id")] for row in paid.rows} == {before, under_way, after}
    assert chain_of(waiaas).balance(recipient) == 3 * AMOUNT
    assert waiaas.json("audit", "verify", "--json")["intact"]
