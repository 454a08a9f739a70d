"""The shipped program on a disk that fails: an unknown commit ends it, and the restart looks.

The disk is a `sitecustomize` module on the program's path: it makes SQLite use, by default, a file
system whose syncs of the WAL fail while a certain file is there.
"""

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waiaas.daemon import read_tables

pytestmark = pytest.mark.e2e

AMOUNT = 10**6
COMMIT_UNKNOWN = 70
"""The exit status of a daemon that cannot know what became of a commit."""

FAILING_DISK = """
import os, apsw

system, *_ = apsw.vfs_names()

class Disk(apsw.VFS):
    def __init__(self):
        super().__init__("failing", system, makedefault=True)

    def xOpen(self, name, flags):
        return File(system, name, flags)

class File(apsw.VFSFile):
    def __init__(self, base, name, flags):
        super().__init__(base, name, flags)
        self.is_wal = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

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
def environment(tmp_path: Path, broken: Path) -> dict[str, str]:
    modules = tmp_path / "modules"
    modules.mkdir()
    program = FAILING_DISK.format(broken=str(broken))
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
    assert agent.ended(asked_again)["status"] == "CONFIRMED"
    paid = read_tables(waiaas.data)["transactions"]
    assert len(paid.rows) == 2
    assert chain_of(waiaas).balance(recipient) == 2 * AMOUNT
