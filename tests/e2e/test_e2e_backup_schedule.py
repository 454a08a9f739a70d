"""Scheduled backups with the program as shipped: nobody asks for them, and they are good."""

import sys
from pathlib import Path
from typing import Any, Final

import libfaketime  # type: ignore[import-untyped]  # -- only its place is wanted
import pytest

pytestmark = pytest.mark.e2e

FAKETIME: Final = (
    Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
)
HOURLY_AND_ONE: Final = {"WAIAAS_BACKUP_INTERVAL_HOURS": "1", "WAIAAS_BACKUP_KEEP": "1"}


class WallClock:
    """What the machine's clock shows to a program, also while it runs; time itself goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.env: Final = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds, after which it is read again
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set("+0")

    def set(self, offset: str) -> None:
        """Exchange the file at once: whoever reads it finds one time or the other."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{offset}\n", encoding="ascii")
        written.replace(self._file)


def backed_up(operator: Any) -> str | None:
    """Return the name of a new backup, unless the one before it is still being finished."""
    try:
        return str(operator.ask("POST", "/v1/admin/backups", {"mode": "keystore"})["name"])
    except Exception as refused:
        if "BACKUP_UNDER_WAY" not in str(refused):
            raise
        return None


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is built on Linux alone")
def test_a_daemon_backs_itself_up_soon_after_its_start_and_again_when_it_is_due(
    waiaas: Any, wait: Any
) -> None:
    backups = waiaas.data / "backups"
    clock = WallClock(waiaas.folder / "clock")
    env = {**HOURLY_AND_ONE, **clock.env}

    def scheduled() -> set[str]:
        """Return the schedule's backups, of which there is one at any moment from the first on."""
        return {path.name for path in backups.glob("*-scheduled-*.waiaas-backup")}

    daemon = waiaas.start(localnet=False, env=env)
    [first] = wait("the first scheduled backup", scheduled)
    operator = daemon.operator()
    mine = wait("a backup of the operator's", lambda: backed_up(operator))
    status = operator.get("/v1/admin/status")
    assert status["scheduledBackupProblem"] is None
    told = waiaas.json("backup", "verify", first, password=True)
    assert (told["whole"], told["daemonId"]) == (True, status["daemonId"])
    assert told["createdAt"] == status["lastScheduledBackupAt"]

    # Two hours later, as far as the machine's clock goes; time has not passed, so somebody has to
    # say that this is right. The schedule has just made one, and looks again in ten minutes at the
    # earliest: not before the next start.
    clock.set("+2h")
    wait("the doubt", lambda: operator.get("/health")["status"] == "clock_in_doubt")
    unseen = waiaas.run("clock", "accept", password=True, code=2).stderr
    assert "--difference 7" in unseen
    refused = waiaas.run("clock", "accept", "--difference", "0", password=True, code=1).stderr
    assert "CLOCK_IN_DOUBT" in refused
    seen = waiaas.json("clock", "status")["difference"]
    assert abs(seen - 2 * 3600) < 60
    accepted = waiaas.json("clock", "accept", "--difference", f"{seen}", password=True)
    assert (accepted["inDoubt"], accepted["difference"]) == (False, 0)
    daemon.process.terminate()
    assert daemon.ended() == 0
    assert not list(waiaas.data.glob(".backup-work-*"))
    assert scheduled() == {first}

    def replaced() -> set[str]:
        there = scheduled()
        assert there, "the first was removed before the second was there"
        return there - {first} if first not in there else set()

    daemon = waiaas.start(localnet=False, env=env)
    [second] = wait("the second in place of the first", replaced)
    assert (backups / mine).exists()
    daemon.process.terminate()
    assert daemon.ended() == 0
    assert scheduled() == {second}
